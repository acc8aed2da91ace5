/*
 * The floor under a UDP relay on Linux: datagrams come in and go out again, and nothing is checked.
 *
 *     forwarder --plain|--gro ADDRESS PORT
 *
 * One thread, one listening socket, one socket per flow, one level-triggered epoll set. A flow begins with
 * "FORWARD\0", the peer's address (16 bytes, IPv4 mapped into IPv6) and its port; the answer is the flow's
 * channel number, and address and port of its socket. From then on the bytes are those of ChannelData
 * (RFC 8656 section 12.4): number and length in front of the payload on the client's side, the bare payload on
 * the peer's. Numbers are big endian. Who asks again for the same flow gets the same answer.
 *
 * --plain: recvmmsg on the listener, one recv for each event of a flow's socket, one sendto for each datagram.
 * --gro:   the kernel joins datagrams (UDP_GRO), and runs of equal size to one destination leave as one send
 *          (UDP_SEGMENT), gathered from headers and payload slices.
 *
 * Socket options are those of the relay that it is compared with: IP_RECVTOS, SO_RXQ_OVFL, no path MTU
 * discovery, buffers of 4 MiB for the listener and 256 KiB for a flow. Flows stay unconnected, since a relay
 * has many peers on one port.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    HEADER = 4,
    CHANNEL_FIRST = 0x4000,
    FLOWS_MAX = 0x4000,
    EVENTS_MAX = 256,
    PLAIN_SLOTS = 32,
    PLAIN_SLOT = 2048,
    /* One and two were slower, 32 were no faster. */
    GRO_SLOTS = 8,
    GRO_SLOT = 65536,
    SEGMENTS_MAX = 64, /* UDP_MAX_SEGMENTS of every kernel that has UDP_SEGMENT */
    SEND_MAX = 65000,
    LISTENER_BUFFER = 4 << 20,
    FLOW_BUFFER = 256 << 10,
};

static const uint64_t LISTENER = UINT64_MAX;
static const char MAGIC[8] = "FORWARD";

struct request {
    char magic[8];
    uint8_t peer[16];
    uint16_t port;
} __attribute__((packed));

struct answer {
    uint16_t channel;
    uint8_t address[16];
    uint16_t port;
} __attribute__((packed));

struct flow {
    int socket; /* -1: not in use */
    struct sockaddr_in client, peer;
};

/* Segments that leave in one send: all of one size, but the last may be shorter. */
struct run {
    int socket;
    const struct sockaddr_in *to;
    struct iovec parts[2 * SEGMENTS_MAX];
    size_t part_count, segments, segment_bytes, bytes;
    bool over; /* a shorter one was the last */
};

static struct flow flows[FLOWS_MAX];
static size_t flow_next;
static int listener, poller;
static struct in_addr local;
static bool gro;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void option(int socket, int level, int name, int value) {
    if (setsockopt(socket, level, name, &value, sizeof value) != 0) die("setsockopt");
}

static int open_socket(uint16_t port, int buffer) {
    int opened = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (opened < 0) return -1;
    option(opened, SOL_SOCKET, SO_RCVBUF, buffer);
    option(opened, SOL_SOCKET, SO_SNDBUF, FLOW_BUFFER);
    option(opened, SOL_SOCKET, SO_RXQ_OVFL, 1);
    option(opened, SOL_IP, IP_RECVTOS, 1);
    option(opened, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
    if (gro) option(opened, SOL_UDP, UDP_GRO, 1);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = local, .sin_port = port};
    if (bind(opened, (struct sockaddr *)&at, sizeof at) != 0) {
        close(opened);
        return -1;
    }
    return opened;
}

static void watch(int socket, uint64_t token) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = token};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, socket, &event) != 0) die("epoll_ctl");
}

static bool same(const struct sockaddr_in *a, const struct sockaddr_in *b) {
    return a->sin_addr.s_addr == b->sin_addr.s_addr && a->sin_port == b->sin_port;
}

/* The flow of this client: its own one, anew when it names another peer, or the oldest one when all are taken. */
static struct flow *flow_for(const struct sockaddr_in *client, const struct sockaddr_in *peer) {
    struct flow *flow = NULL;
    for (size_t i = 0; i < FLOWS_MAX && flow == NULL; i++)
        if (flows[i].socket >= 0 && same(&flows[i].client, client)) flow = &flows[i];
    if (flow != NULL && same(&flow->peer, peer)) return flow;
    if (flow == NULL) flow = &flows[flow_next++ % FLOWS_MAX];
    if (flow->socket >= 0) close(flow->socket);
    flow->socket = open_socket(0, FLOW_BUFFER);
    if (flow->socket < 0) return NULL;
    flow->client = *client;
    flow->peer = *peer;
    watch(flow->socket, flow - flows);
    return flow;
}

static void open_flow(const struct request *request, const struct sockaddr_in *client) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = request->port}, at;
    memcpy(&peer.sin_addr, request->peer + 12, 4);
    struct flow *flow = flow_for(client, &peer);
    if (flow == NULL) return; /* no answer: the client says so */
    socklen_t size = sizeof at;
    getsockname(flow->socket, (struct sockaddr *)&at, &size);
    struct answer answer = {.channel = htons(CHANNEL_FIRST + (flow - flows)), .port = at.sin_port};
    answer.address[10] = answer.address[11] = 0xff;
    memcpy(answer.address + 12, &at.sin_addr, 4);
    sendto(listener, &answer, sizeof answer, 0, (const struct sockaddr *)client, sizeof *client);
}

static bool is_request(const uint8_t *bytes, size_t length) {
    return length == sizeof(struct request) && memcmp(bytes, MAGIC, sizeof MAGIC) == 0;
}

/* The flow that a datagram of a client belongs to, or none. */
static struct flow *flow_of(const uint8_t *bytes, size_t length) {
    size_t number = (size_t)(bytes[0] << 8 | bytes[1]) - CHANNEL_FIRST;
    return length >= HEADER && number < FLOWS_MAX && flows[number].socket >= 0 ? &flows[number] : NULL;
}

static void put_header(uint8_t *at, const struct flow *flow, size_t length) {
    size_t channel = CHANNEL_FIRST + (size_t)(flow - flows);
    at[0] = channel >> 8;
    at[1] = channel;
    at[2] = length >> 8;
    at[3] = length;
}

/* --plain */

static void plain_from_clients(void) {
    static uint8_t slots[PLAIN_SLOTS][PLAIN_SLOT];
    static struct sockaddr_in from[PLAIN_SLOTS];
    static struct iovec parts[PLAIN_SLOTS];
    static struct mmsghdr messages[PLAIN_SLOTS];
    /* Once: the kernel changes lengths only, and that of an IPv4 address is always the same. */
    for (int i = 0; messages[PLAIN_SLOTS - 1].msg_hdr.msg_iovlen == 0; i++) {
        parts[i] = (struct iovec){slots[i], PLAIN_SLOT};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(listener, messages, PLAIN_SLOTS, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        size_t length = messages[i].msg_len;
        struct flow *flow = flow_of(slots[i], length);
        if (is_request(slots[i], length))
            open_flow((struct request *)slots[i], &from[i]);
        else if (flow != NULL)
            sendto(flow->socket, slots[i] + HEADER, length - HEADER, 0, (struct sockaddr *)&flow->peer,
                   sizeof flow->peer);
    }
}

static void plain_from_peer(struct flow *flow) {
    static uint8_t datagram[HEADER + 65536];
    ssize_t length = recv(flow->socket, datagram + HEADER, sizeof datagram - HEADER, 0);
    if (length < 0) return;
    put_header(datagram, flow, length);
    sendto(listener, datagram, HEADER + length, 0, (struct sockaddr *)&flow->client, sizeof flow->client);
}

/* --gro */

static void leave(struct run *run) {
    if (run->segments == 0) return;
    struct msghdr message = {.msg_name = (void *)run->to,
                             .msg_namelen = sizeof *run->to,
                             .msg_iov = run->parts,
                             .msg_iovlen = run->part_count};
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control;
    if (run->segments > 1) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_UDP;
        header->cmsg_type = UDP_SEGMENT;
        header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        uint16_t segment = run->segment_bytes;
        memcpy(CMSG_DATA(header), &segment, sizeof segment);
    }
    sendmsg(run->socket, &message, 0);
    run->segments = 0;
}

/* Adds a segment of one or two parts, behind those that it can leave with. */
static void join(struct run *run, int socket, const struct sockaddr_in *to, const struct iovec *parts, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += parts[i].iov_len;
    bool fits = run->segments > 0 && !run->over && run->socket == socket && run->to == to &&
                bytes <= run->segment_bytes && run->segments < SEGMENTS_MAX && run->bytes + bytes <= SEND_MAX;
    if (!fits) {
        leave(run);
        run->socket = socket;
        run->to = to;
        run->segment_bytes = bytes;
        run->part_count = run->bytes = 0;
        run->over = false;
    }
    for (size_t i = 0; i < count; i++) run->parts[run->part_count++] = parts[i];
    run->over = bytes < run->segment_bytes;
    run->bytes += bytes;
    run->segments++;
}

/* How long each datagram in a received buffer is, but for the last. */
static size_t segment_bytes(struct msghdr *message, size_t length) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header))
        if (header->cmsg_level == SOL_UDP && header->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(header), sizeof size);
            return size;
        }
    return length;
}

struct slots {
    uint8_t bytes[GRO_SLOTS][GRO_SLOT];
    struct sockaddr_in from[GRO_SLOTS];
    struct iovec parts[GRO_SLOTS];
    /* The size of segments, the type of service, lost datagrams. */
    union {
        struct cmsghdr header;
        uint8_t bytes[3 * CMSG_SPACE(sizeof(int))];
    } control[GRO_SLOTS];
    struct mmsghdr messages[GRO_SLOTS];
};

static int receive(struct slots *slots, int socket) {
    for (int i = 0; i < GRO_SLOTS; i++) {
        slots->parts[i] = (struct iovec){slots->bytes[i], GRO_SLOT};
        slots->messages[i].msg_hdr = (struct msghdr){.msg_name = &slots->from[i],
                                                     .msg_namelen = sizeof slots->from[i],
                                                     .msg_iov = &slots->parts[i],
                                                     .msg_iovlen = 1,
                                                     .msg_control = &slots->control[i],
                                                     .msg_controllen = sizeof slots->control[i]};
    }
    return recvmmsg(socket, slots->messages, GRO_SLOTS, MSG_DONTWAIT, NULL);
}

static void gro_from_clients(struct slots *slots) {
    struct run run = {.segments = 0};
    int count = receive(slots, listener);
    for (int i = 0; i < count; i++) {
        size_t length = slots->messages[i].msg_len;
        size_t size = segment_bytes(&slots->messages[i].msg_hdr, length);
        for (size_t at = 0; at < length; at += size) {
            uint8_t *segment = slots->bytes[i] + at;
            size_t bytes = length - at < size ? length - at : size;
            struct flow *flow = flow_of(segment, bytes);
            if (is_request(segment, bytes)) {
                open_flow((struct request *)segment, &slots->from[i]);
            } else if (flow != NULL) {
                struct iovec payload = {segment + HEADER, bytes - HEADER};
                join(&run, flow->socket, &flow->peer, &payload, 1);
            }
        }
    }
    leave(&run);
}

static void gro_from_peer(struct slots *slots, struct flow *flow) {
    static uint8_t headers[SEGMENTS_MAX][HEADER];
    struct run run = {.segments = 0};
    int count = receive(slots, flow->socket);
    for (int i = 0; i < count; i++) {
        size_t length = slots->messages[i].msg_len;
        size_t size = segment_bytes(&slots->messages[i].msg_hdr, length);
        for (size_t at = 0; at < length; at += size) {
            size_t bytes = length - at < size ? length - at : size;
            /* Headers of a run are taken in turn: a run that is full has left before its first one comes again. */
            static size_t next;
            uint8_t *header = headers[next++ % SEGMENTS_MAX];
            if (run.segments == SEGMENTS_MAX) leave(&run);
            put_header(header, flow, bytes);
            struct iovec parts[2] = {{header, HEADER}, {slots->bytes[i] + at, bytes}};
            join(&run, listener, &flow->client, parts, 2);
        }
    }
    leave(&run);
}

static void serve(void) {
    static struct epoll_event events[EVENTS_MAX];
    static struct slots slots;
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS_MAX, -1);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            uint64_t token = events[i].data.u64;
            struct flow *flow = token == LISTENER ? NULL : &flows[token];
            if (flow == NULL && gro)
                gro_from_clients(&slots);
            else if (flow == NULL)
                plain_from_clients();
            else if (flow->socket >= 0 && gro)
                gro_from_peer(&slots, flow);
            else if (flow->socket >= 0)
                plain_from_peer(flow);
        }
    }
}

int main(int count, char **arguments) {
    bool known = count == 4 && (strcmp(arguments[1], "--plain") == 0 || strcmp(arguments[1], "--gro") == 0);
    if (!known || inet_pton(AF_INET, arguments[2], &local) != 1) {
        fprintf(stderr, "usage: forwarder --plain|--gro IPV4-ADDRESS PORT\n");
        return 2;
    }
    gro = strcmp(arguments[1], "--gro") == 0;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (size_t i = 0; i < FLOWS_MAX; i++) flows[i].socket = -1;
    poller = epoll_create1(EPOLL_CLOEXEC);
    listener = open_socket(htons(atoi(arguments[3])), LISTENER_BUFFER);
    if (poller < 0 || listener < 0) die("the listening socket");
    watch(listener, LISTENER);
    serve();
}
