//! Sending: one datagram now, or a run of them whose payload was received before.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use super::address::RawAddress;
use super::cmsg::SendControl;
use super::icmp::may_come_from_icmp;
use super::outgoing::{Outgoing, Payloads};
use super::socket::{Fragmentation, UdpSocket};
use super::sys::{self, Headers, Message};

/// Memory for building batches to send, reused by every run on a thread.
pub struct SendScratch {
    headers: Headers,
    addresses: Box<[RawAddress; sys::BATCH_MAX]>,
    controls: Box<[SendControl; sys::BATCH_MAX]>,
}

/// What became of the datagrams of a run; the four counts add up to its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Taken by the kernel.
    pub sent: usize,
    /// Dropped because the socket's send buffer or the interface's queue was full. A full send buffer
    /// ends the run, and what was behind is counted here too.
    pub would_block: usize,
    /// Dropped because the kernel refused the destination or source, or the payload range was not one of
    /// the batch.
    pub failed: usize,
    /// Dropped because they were longer than UDP allows (65,507 bytes over IPv4, 65,527 over IPv6).
    pub too_big: usize,
}

impl UdpSocket {
    /// Sends one datagram now, without blocking. Returns its length.
    ///
    /// `source` is the local address to send from, for wildcard sockets and of the family of `to`.
    /// `ecn`: 0 to 3 (RFC 3168 section 5), higher bits are ignored.
    ///
    /// # Errors
    /// `WouldBlock` when the send buffer is full, `EMSGSIZE` when `bytes` are more than UDP allows, or
    /// the kernel's reason for not sending from `source` or to `to`. Errors that ICMP reported about other
    /// datagrams are not returned.
    pub fn send_to(
        &self,
        to: SocketAddr,
        source: Option<IpAddr>,
        ecn: u8,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let control = SendControl::new(self.is_v4(), source, ecn);
        self.send_message(&Message { to: &to.into(), control: control.as_bytes(), parts: [bytes, &[], &[]] })
    }

    /// Sends the datagrams of `run` in order, without blocking; their payloads are in `received`.
    ///
    /// One that cannot be sent is counted and skipped. A full send buffer ends the run: media that
    /// would have to wait is dropped.
    pub fn send_run(
        &self,
        scratch: &mut SendScratch,
        received: &(impl Payloads + ?Sized),
        run: &[Outgoing],
    ) -> SendReport {
        let mut report = SendReport::default();
        if let [one] = run {
            match self.send_outgoing(received, one) {
                Ok(_) => report.sent += 1,
                Err(error) => report.count(&error),
            }
        } else {
            for chunk in run.chunks(sys::BATCH_MAX) {
                if !self.send_chunk(scratch, received, chunk, &mut report) {
                    break;
                }
            }
        }
        report.would_block += run.len() - report.total();
        report
    }

    /// Sends one datagram with the DF bit set (RFC 8656 section 18.9, DONT-FRAGMENT). Returns its length.
    ///
    /// Takes two more system calls than a run of one, since DF is a property of the socket. Another thread that
    /// sends on the same socket meanwhile would get it too.
    ///
    /// # Errors
    /// As for [`Self::send_to`]; `EMSGSIZE` also when it is longer than the MTU of the interface.
    pub fn send_unfragmented(
        &self,
        _scratch: &mut SendScratch,
        received: &(impl Payloads + ?Sized),
        one: &Outgoing,
    ) -> io::Result<usize> {
        self.set_fragmentation(Fragmentation::Forbidden)?;
        let sent = self.send_outgoing(received, one);
        self.set_fragmentation(Fragmentation::Allowed)?;
        sent
    }

    /// Sends up to a batch of datagrams. Returns false when the send buffer is full.
    fn send_chunk(
        &self,
        scratch: &mut SendScratch,
        received: &(impl Payloads + ?Sized),
        chunk: &[Outgoing],
        report: &mut SendReport,
    ) -> bool {
        let SendScratch { headers, addresses, controls } = scratch;
        for ((address, control), one) in addresses.iter_mut().zip(controls.iter_mut()).zip(chunk) {
            *address = one.to.into();
            *control = SendControl::new(self.is_v4(), one.source, one.ecn);
        }
        let messages = chunk.iter().zip(addresses.iter()).zip(controls.iter());
        let messages = messages.filter_map(|((one, to), control)| message(received, one, to, control));
        let (mut retry, mut full) = (Retry::default(), false);
        let usable = sys::send_many(self.as_fd(), headers, messages, |start, answer| match answer {
            Ok(sent) => {
                report.sent += sent;
                retry = Retry::default();
                // Never 0 by its contract, but a kernel that broke it must not keep the shard here.
                Some(start + sent.max(1))
            }
            Err(error) if retry.is_worthwhile(&error) => Some(start),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                full = true;
                None
            }
            Err(error) => {
                report.count(&error);
                retry = Retry::default();
                Some(start + 1)
            }
        });
        report.failed += chunk.len() - usable;
        !full
    }

    fn send_outgoing(&self, received: &(impl Payloads + ?Sized), one: &Outgoing) -> io::Result<usize> {
        let to = one.to.into();
        let control = SendControl::new(self.is_v4(), one.source, one.ecn);
        let message = message(received, one, &to, &control).ok_or(io::ErrorKind::InvalidInput)?;
        self.send_message(&message)
    }

    fn send_message(&self, message: &Message<'_>) -> io::Result<usize> {
        let mut retry = Retry::default();
        loop {
            match sys::send_one(self.as_fd(), message) {
                Err(error) if retry.is_worthwhile(&error) => {}
                result => return result,
            }
        }
    }
}

impl SendScratch {
    /// Memory for batches of 32.
    pub fn new() -> Self {
        Self {
            headers: Headers::new(),
            addresses: Box::new([RawAddress::EMPTY; sys::BATCH_MAX]),
            controls: Box::new([SendControl::EMPTY; sys::BATCH_MAX]),
        }
    }
}

impl Default for SendScratch {
    fn default() -> Self {
        Self::new()
    }
}

impl SendReport {
    fn total(&self) -> usize {
        self.sent + self.would_block + self.failed + self.too_big
    }

    /// Counts a datagram that was not sent.
    pub fn count(&mut self, error: &io::Error) {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS) => self.would_block += 1,
            Some(libc::EMSGSIZE) => self.too_big += 1,
            _ => self.failed += 1,
        }
    }
}

/// Whether a refused datagram gets a second try: once, if the refusal may be an ICMP error that was pending.
#[derive(Default)]
struct Retry {
    used: bool,
}

impl Retry {
    fn is_worthwhile(&mut self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::Interrupted
            || (may_come_from_icmp(error) && !std::mem::replace(&mut self.used, true))
    }
}

/// The pieces of `one`, or `None` if its payload is not in `received`: sending something else instead could
/// show one client what another one received.
fn message<'a>(
    received: &'a (impl Payloads + ?Sized),
    one: &'a Outgoing,
    to: &'a RawAddress,
    control: &'a SendControl,
) -> Option<Message<'a>> {
    let payload = received.payload(one.slot, &one.payload)?;
    Some(Message { to, control: control.as_bytes(), parts: [one.header.as_slice(), payload, one.padding()] })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::UdpSocket as Std;

    use super::super::testing::{LOCAL, TIMEOUT, filled, in_namespace, listener, peer, receive, relay};
    use super::*;
    use crate::net::{Buffers, Header, RecvBatch};

    fn outgoing(to: SocketAddr, len: u32) -> Outgoing {
        Outgoing { to, source: None, ecn: 0, header: Header::EMPTY, slot: 0, payload: 0..len, pad: 0 }
    }

    fn received_by(peer: &Std) -> Vec<u8> {
        let mut bytes = vec![0; 65_536];
        let len = peer.recv(&mut bytes).unwrap();
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn header_payload_and_padding_are_gathered_byte_for_byte() {
        for ip in LOCAL {
            let (socket, peer) = (relay(ip), peer(ip));
            let to = peer.local_addr().unwrap();
            let batch = filled(ip, b"0123456789");
            let header = |len: usize| Header::new(&vec![b'h'; len]).unwrap();
            let run = [
                Outgoing { header: header(4), payload: 2..7, pad: 3, ..outgoing(to, 0) },
                outgoing(to, 0),
                Outgoing { header: header(56), ..outgoing(to, 0) },
                Outgoing { pad: 1, ..outgoing(to, 10) },
                Outgoing { header: header(1), pad: 200, ..outgoing(to, 1) },
            ];
            let expected: [&[u8]; 5] = [b"hhhh23456\0\0\0", b"", &[b'h'; 56], b"0123456789\0", b"h0\0\0\0"];
            let mut scratch = SendScratch::new();
            // All at once by sendmmsg, then each alone by sendmsg.
            let report = socket.send_run(&mut scratch, &batch, &run);
            assert_eq!(report, SendReport { sent: 5, ..SendReport::default() });
            expected.iter().for_each(|bytes| assert_eq!(received_by(&peer), *bytes));
            for (one, bytes) in run.iter().zip(expected) {
                assert_eq!(socket.send_run(&mut scratch, &batch, std::slice::from_ref(one)).sent, 1);
                assert_eq!(received_by(&peer), bytes);
                assert_eq!(socket.send_unfragmented(&mut scratch, &batch, one).unwrap(), bytes.len());
                assert_eq!(received_by(&peer), bytes);
            }
        }
    }

    #[test]
    fn a_run_longer_than_a_batch_keeps_its_order() {
        let (socket, peer) = (relay(LOCAL[0]), peer(LOCAL[0]));
        let batch = filled(LOCAL[0], b"x");
        let to = peer.local_addr().unwrap();
        let numbered = |i: u8| Outgoing { header: Header::of(&[i]), ..outgoing(to, 1) };
        let run: Vec<_> = (0..100).map(numbered).collect();
        assert_eq!(socket.send_run(&mut SendScratch::new(), &batch, &run).sent, 100);
        (0..100).for_each(|i| assert_eq!(received_by(&peer), [i, b'x']));
    }

    #[test]
    fn the_longest_datagram_passes_and_one_byte_more_is_too_big() {
        let payload: Vec<u8> = (0..65_507_u32).map(|i| (i % 251) as u8).collect();
        let (socket, peer) = (relay(LOCAL[0]), peer(LOCAL[0]));
        let batch = filled(LOCAL[0], &payload);
        let to = peer.local_addr().unwrap();
        let mut scratch = SendScratch::new();
        assert_eq!(socket.send_run(&mut scratch, &batch, &[outgoing(to, 65_507)]).sent, 1);
        assert!(received_by(&peer) == payload);
        let longer = Outgoing { pad: 1, ..outgoing(to, 65_507) };
        let expected = SendReport { sent: 1, too_big: 1, ..SendReport::default() };
        assert_eq!(socket.send_run(&mut scratch, &batch, &[longer, outgoing(to, 3)]), expected);
        assert_eq!(received_by(&peer), payload[..3]);
    }

    #[test]
    fn what_cannot_be_sent_is_counted_and_the_rest_of_the_run_goes_out() {
        let (socket, peer) = (relay(LOCAL[0]), peer(LOCAL[0]));
        let to = peer.local_addr().unwrap();
        let batch = filled(LOCAL[0], b"abc");
        let other_family = outgoing("[::1]:9".parse().unwrap(), 3);
        let broadcast = outgoing("255.255.255.255:9".parse().unwrap(), 3);
        let beyond_the_slot = outgoing(to, 4);
        let unused_slot = Outgoing { slot: 1, ..outgoing(to, 1) };
        let no_slot = Outgoing { slot: u16::MAX, ..outgoing(to, 0) };
        let foreign_source = Outgoing { source: Some("192.0.2.1".parse().unwrap()), ..outgoing(to, 3) };
        let bad = [other_family, broadcast, beyond_the_slot, unused_slot, no_slot, foreign_source];
        let mut scratch = SendScratch::new();
        let mut run = vec![outgoing(to, 1)];
        for one in &bad {
            run.extend([one.clone(), outgoing(to, 2)]);
            let alone = socket.send_run(&mut scratch, &batch, std::slice::from_ref(one));
            assert_eq!(alone, SendReport { failed: 1, ..SendReport::default() }, "{one:?}");
        }
        let expected = SendReport { sent: 1 + bad.len(), failed: bad.len(), ..SendReport::default() };
        assert_eq!(socket.send_run(&mut scratch, &batch, &run), expected);
        assert_eq!(received_by(&peer), b"a");
        bad.iter().for_each(|_| assert_eq!(received_by(&peer), b"ab"));
        assert_eq!(socket.send_run(&mut scratch, &batch, &[]), SendReport::default());
    }

    #[test]
    fn ecn_bits_survive_in_both_directions() {
        for ip in LOCAL {
            let (a, b) = (listener(ip), relay(ip));
            let mut batch = RecvBatch::new(65_536);
            let mut scratch = SendScratch::new();
            for (from, to) in [(&a, &b), (&b, &a)] {
                for ecn in 0..=3 {
                    let address = to.local_addr().unwrap();
                    from.send_to(address, None, ecn, b"ecn").unwrap();
                    receive(to, &mut batch);
                    assert_eq!(batch.datagram(0).ecn, ecn);
                    let forwarded = Outgoing { ecn, ..outgoing(address, 3) };
                    assert_eq!(from.send_run(&mut scratch, &filled(ip, b"ecn"), &[forwarded]).sent, 1);
                    receive(to, &mut batch);
                    assert_eq!(batch.datagram(0).ecn, ecn);
                }
            }
        }
    }

    #[test] // RFC 8656 section 5: the server address is part of the 5-tuple.
    fn a_wildcard_listener_replies_from_the_address_that_was_asked() {
        for (any, asked) in [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("::", "::1")] {
            replies_from(any, asked);
        }
    }

    /// A client asks `asked` and gets its reply from there, by `send_to` and by a run.
    fn replies_from(any: &str, asked: &str) {
        let socket = listener(any.parse().unwrap());
        let asked = SocketAddr::new(asked.parse().unwrap(), socket.local_addr().unwrap().port());
        let client = peer(LOCAL[usize::from(asked.is_ipv6())]);
        client.send_to(b"who?", asked).unwrap();
        let mut batch = RecvBatch::new(65_536);
        receive(&socket, &mut batch);
        let request = batch.datagram(0);
        assert_eq!(request.local_ip, Some(asked.ip()));
        socket.send_to(request.from, request.local_ip, 0, b"me").unwrap();
        assert_eq!(client.recv_from(&mut [0; 16]).unwrap(), (2, asked));
        let reply = Outgoing { source: request.local_ip, ecn: 1, ..outgoing(request.from, 4) };
        let run = [reply.clone(), reply];
        assert_eq!(socket.send_run(&mut SendScratch::new(), &batch, &run).sent, 2);
        run.iter().for_each(|_| assert_eq!(client.recv_from(&mut [0; 16]).unwrap(), (4, asked)));
    }

    #[test]
    fn a_full_send_buffer_ends_the_run_and_every_datagram_is_accounted_for() {
        // A queue that holds packets back keeps the send buffer full: 8 kbit/s with a burst of one packet.
        let setup = "ip link set lo up && tc qdisc add dev lo root tbf rate 8kbit burst 2000 limit 1000000";
        in_namespace(
            "net::udp::send::tests::a_full_send_buffer_ends_the_run_and_every_datagram_is_accounted_for",
            setup,
            || {
                let batch = filled(LOCAL[0], &[1; 1000]);
                let buffers = Buffers { send_bytes: Some(1), ..Buffers::default() };
                let socket = UdpSocket::relay(LOCAL[0], 0, buffers).unwrap();
                let run = vec![outgoing("127.0.0.1:9".parse().unwrap(), 1000); 100];
                let report = socket.send_run(&mut SendScratch::new(), &batch, &run);
                assert!(report.sent > 0 && report.would_block > 50, "{report:?}");
                assert_eq!(report.sent + report.would_block, 100);
                let alone = socket.send_run(&mut SendScratch::new(), &batch, &run[..1]);
                assert_eq!(alone, SendReport { would_block: 1, ..SendReport::default() });
            },
        );
    }

    #[test] // RFC 8656 section 14: fragments by default, DF on request.
    fn above_the_interface_mtu_a_datagram_leaves_in_fragments_unless_it_must_not() {
        // The kernel makes an IPv6 address usable in the background; its local route tells when.
        let setup = "ip link set lo mtu 1500 up && ip addr add fd00::2/128 dev lo nodad && \
            { tries=0; until ip -6 route show table local | grep -q '^local fd00::2 '; \
            do tries=$((tries + 1)); [ $tries -lt 1000 ] || exit 1; done; }";
        in_namespace(
            "net::udp::send::tests::above_the_interface_mtu_a_datagram_leaves_in_fragments_unless_it_must_not",
            setup,
            || {
                replies_from("::", "fd00::2");
                LOCAL.into_iter().for_each(fragments_unless_forbidden);
                df_is_set_on_request_only();
            },
        );
    }

    fn fragments_unless_forbidden(ip: IpAddr) {
        let batch = filled(ip, &[7; 3000]);
        let (socket, peer) = (relay(ip), peer(ip));
        let one = outgoing(peer.local_addr().unwrap(), 3000);
        let mut scratch = SendScratch::new();
        for _ in 0..2 {
            assert_eq!(socket.send_run(&mut scratch, &batch, std::slice::from_ref(&one)).sent, 1);
            assert_eq!(received_by(&peer), [7; 3000]);
            let error = socket.send_unfragmented(&mut scratch, &batch, &one).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
            let fits = Outgoing { payload: 0..1400, ..one.clone() };
            assert_eq!(socket.send_unfragmented(&mut scratch, &batch, &fits).unwrap(), 1400);
            assert_eq!(received_by(&peer).len(), 1400);
        }
    }

    /// Reads the IPv4 headers of what is sent, through a raw socket.
    fn df_is_set_on_request_only() {
        let batch = filled(LOCAL[0], b"df");
        let (socket, peer) = (relay(LOCAL[0]), peer(LOCAL[0]));
        let (domain, kind) = (socket2::Domain::IPV4, socket2::Type::RAW);
        let mut raw = socket2::Socket::new(domain, kind, Some(socket2::Protocol::UDP)).unwrap();
        raw.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut df_of_next = || {
            let mut packet = [0; 64];
            assert_eq!(raw.read(&mut packet).unwrap(), 20 + 8 + 2);
            packet[6] & 0x40 != 0
        };
        let one = outgoing(peer.local_addr().unwrap(), 2);
        let mut scratch = SendScratch::new();
        for _ in 0..2 {
            socket.send_run(&mut scratch, &batch, std::slice::from_ref(&one));
            assert!(!df_of_next());
            socket.send_unfragmented(&mut scratch, &batch, &one).unwrap();
            assert!(df_of_next());
        }
    }
}
