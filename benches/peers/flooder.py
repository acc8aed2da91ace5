#!/usr/bin/env python3
"""A client that sends without looking whether anything arrives.

    flooder.py ADDRESS PORT USERNAME PASSWORD|plain FROM RATE together|apart

It allocates on the server (RFC 8656), or asks a plain forwarder, and says "flooding" on its standard output. Then RATE
packets a second leave through a channel to a peer at FROM that reads nothing, until its standard input ends. At last it
says how many left in how many seconds. Together, a burst is one send (UDP_SEGMENT), maybe received as one;
apart, each packet comes alone, and costs the server more and the flooder, too.
"""

import hashlib
import hmac
import json
import os
import select
import socket
import struct
import sys
import time

PAYLOAD_BYTES = 160
BURST = 32
# Who was away for longer leaves the rest out.
BEHIND_MAX = 4
# An owner that is gone closes the input; this is for one that hangs.
LASTS_MAX_S = 120
ANSWER_S, TRIES = 0.5, 20

UDP_SEGMENT = 103
COOKIE = 0x2112A442
ALLOCATE, CHANNEL_BIND, SUCCESS, ERROR = 0x0003, 0x0009, 0x0100, 0x0110
USERNAME, INTEGRITY, CHANNEL_NUMBER, PEER_ADDRESS, REALM, NONCE, TRANSPORT = 0x06, 0x08, 0x0C, 0x12, 0x14, 0x15, 0x19
CHANNEL = 0x4000


def main():
    address, port, username, password, origin, rate, manner = sys.argv[1:]
    client, peer = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    peer.bind((origin, 0))
    client.bind((origin, 0))
    client.connect((address, int(port)))
    client.settimeout(ANSWER_S)
    if password == "plain":
        channel = forward(client, peer.getsockname())
    else:
        allocate(client, username, password, peer.getsockname())
        channel = CHANNEL
    print("flooding", flush=True)
    print(json.dumps(flood(client, channel, float(rate), manner == "together")))


def flood(client, channel, rate, is_together):
    segment = struct.pack(">HH", channel, PAYLOAD_BYTES) + bytes(PAYLOAD_BYTES)
    client.setblocking(False)
    send = sender_of_bursts(client, segment) if is_together else lambda: [client.send(segment) for _ in range(BURST)]
    sent, told, begin, now = 0, 0, time.monotonic(), time.monotonic()
    while now < begin + LASTS_MAX_S:
        due = int((now - begin) * rate / BURST) + 1
        for _ in range(min(due - told, BEHIND_MAX)):
            try:
                send()
                sent += BURST
            except (BlockingIOError, ConnectionRefusedError):
                pass
        told = due
        if select.select([sys.stdin], [], [], max(begin + told * BURST / rate - time.monotonic(), 0))[0]:
            break
        now = time.monotonic()
    seconds = time.monotonic() - begin
    return {"sent": sent, "seconds": seconds, "packets_per_second": sent / seconds}


def sender_of_bursts(client, segment):
    size = [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("H", len(segment)))]
    burst = [segment * BURST]
    return lambda: client.sendmsg(burst, size)


def forward(client, peer):
    mapped = bytes(10) + b"\xff\xff" + socket.inet_aton(peer[0])
    answer = asked(client, b"FORWARD\0" + mapped + struct.pack(">H", peer[1]), lambda answer: len(answer) == 20)
    return struct.unpack(">H", answer[:2])[0]


def allocate(client, username, password, peer):
    """An allocation, and a channel to the peer, by long-term credentials (RFC 8489 section 9.2)."""
    wanted = [(TRANSPORT, struct.pack(">I", socket.IPPROTO_UDP << 24))]
    kind, told = request(client, ALLOCATE, wanted, None)
    if kind != ALLOCATE | ERROR or REALM not in told or NONCE not in told:
        sys.exit("the server asks for no credentials")
    key = hashlib.md5(b":".join([username.encode(), told[REALM], password.encode()])).digest()
    proof = ([(USERNAME, username.encode()), (REALM, told[REALM]), (NONCE, told[NONCE])], key)
    number, ip = struct.pack(">I", CHANNEL << 16), struct.unpack(">I", socket.inet_aton(peer[0]))[0]
    mixed = struct.pack(">BBHI", 0, 1, peer[1] ^ COOKIE >> 16, ip ^ COOKIE)
    for method, attributes in [(ALLOCATE, wanted), (CHANNEL_BIND, [(CHANNEL_NUMBER, number), (PEER_ADDRESS, mixed)])]:
        kind, _ = request(client, method, attributes, proof)
        if kind != method | SUCCESS:
            sys.exit(f"the server refuses {method:#06x}")


def request(client, method, attributes, proof):
    """Type and attributes of the answer."""
    transaction = os.urandom(12)
    fields, key = proof or ([], None)
    body = b"".join(map(attribute, [*attributes, *fields]))
    head = lambda length: struct.pack(">HHI", method, length, COOKIE) + transaction
    if key:
        # Its length counts the proof itself (RFC 8489 section 14.5).
        digest = hmac.digest(key, head(len(body) + 24) + body, hashlib.sha1)
        body += attribute((INTEGRITY, digest))
    answer = asked(client, head(len(body)) + body, lambda answer: answer[8:20] == transaction)
    return struct.unpack(">H", answer[:2])[0], dict(attributes_of(answer[20:]))


def attribute(pair):
    kind, value = pair
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def attributes_of(body):
    while len(body) >= 4:
        kind, length = struct.unpack(">HH", body[:4])
        yield kind, body[4:4 + length]
        body = body[4 + length + -length % 4:]


def asked(client, message, is_answer):
    for _ in range(TRIES):
        client.send(message)
        try:
            answer = client.recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            continue
        if is_answer(answer):
            return answer
    sys.exit("the server does not answer")


if __name__ == "__main__":
    main()
