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
use super::trains::{Train, Trains};

/// Memory for building batches to send, reused by every run on a thread.
pub struct SendScratch {
    headers: Headers,
    addresses: Box<[RawAddress; sys::BATCH_MAX]>,
    controls: Box<[SendControl; sys::BATCH_MAX]>,
    trains: Trains,
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
        self.send_message(&to.into(), &control, [bytes, &[], &[]])
    }

    /// Sends the datagrams of `run` in order, without blocking; their payloads are in `received`.
    ///
    /// Neighbours with the same destination and length, of which the last may be shorter, leave in one go, where the socket
    /// may and the kernel can. One that cannot be sent is counted and skipped. A full send buffer ends the run: media that
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
                Err(error) => report.count(&error, 1),
            }
        } else {
            let mut rest = run;
            while !rest.is_empty() {
                let taken = scratch.trains.couple(received, rest, self.segment_bytes_max());
                let (chunk, behind) = rest.split_at(taken.datagrams);
                report.failed += taken.unusable;
                if !self.send_chunk(scratch, received, chunk, &mut report) {
                    break;
                }
                rest = behind;
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

    /// Sends the trains that `chunk` was coupled to. Returns false when the send buffer is full.
    fn send_chunk(
        &self,
        scratch: &mut SendScratch,
        received: &(impl Payloads + ?Sized),
        chunk: &[Outgoing],
        report: &mut SendReport,
    ) -> bool {
        let SendScratch { headers, addresses, controls, trains } = scratch;
        let trains = trains.as_slice();
        for ((address, control), train) in addresses.iter_mut().zip(controls.iter_mut()).zip(trains) {
            let first = &chunk[train.first];
            *address = first.to.into();
            *control = SendControl::new(self.is_v4(), first.source, first.ecn);
            if train.count > 1 {
                control.cut(train.segment_bytes);
            }
        }
        let messages = trains.iter().zip(addresses.iter()).zip(controls.iter());
        let messages = messages.map(|((train, to), control)| {
            let parts = chunk[train.range()].iter().filter_map(|one| parts(received, one)).flatten();
            Message { to, control: control.as_bytes(), parts }
        });
        let (mut retry, mut full) = (Retry::default(), false);
        sys::send_many(self.as_fd(), headers, messages, |start, answer| match answer {
            Ok(sent) => {
                // Never 0 by its contract, but a kernel that broke it must not keep the shard here.
                let next = start + sent.max(1);
                report.sent += trains.iter().take(next).skip(start).map(|train| train.count).sum::<usize>();
                retry = Retry::default();
                Some(next)
            }
            Err(error) if retry.is_worthwhile(&error) => Some(start),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                full = true;
                None
            }
            Err(error) => {
                retry = Retry::default();
                let train = &trains[start];
                if train.count > 1 && refuses_segments(&error) {
                    full = !self.send_apart(received, &chunk[train.range()], train, &error, report);
                    return (!full).then_some(start + 1);
                }
                report.count(&error, train.count);
                Some(start + 1)
            }
        });
        !full
    }

    /// Sends the datagrams of a train that the kernel does not want to cut one by one, and remembers that for the next ones.
    /// Returns false when the send buffer is full.
    #[cold]
    fn send_apart(
        &self,
        received: &(impl Payloads + ?Sized),
        datagrams: &[Outgoing],
        train: &Train,
        error: &io::Error,
        report: &mut SendReport,
    ) -> bool {
        let mut has_sent = false;
        for one in datagrams {
            match self.send_outgoing(received, one) {
                Ok(_) => {
                    report.sent += 1;
                    has_sent = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => report.count(&error, 1),
            }
        }
        // The same error for each alone was about something else.
        if has_sent {
            let whole = error.raw_os_error() == Some(libc::EIO);
            self.give_up_segments(if whole { 0 } else { train.segment_bytes - 1 });
        }
        true
    }

    fn send_outgoing(&self, received: &(impl Payloads + ?Sized), one: &Outgoing) -> io::Result<usize> {
        let control = SendControl::new(self.is_v4(), one.source, one.ecn);
        let parts = parts(received, one).ok_or(io::ErrorKind::InvalidInput)?;
        self.send_message(&one.to.into(), &control, parts)
    }

    fn send_message(
        &self,
        to: &RawAddress,
        control: &SendControl,
        parts: [&[u8]; sys::PARTS],
    ) -> io::Result<usize> {
        let mut retry = Retry::default();
        loop {
            let message = Message { to, control: control.as_bytes(), parts: parts.into_iter() };
            match sys::send_one(self.as_fd(), message) {
                Err(error) if retry.is_worthwhile(&error) => {}
                result => return result,
            }
        }
    }
}

impl SendScratch {
    /// Most datagrams that one system call takes; a longer run is sent by several.
    pub const DATAGRAMS_MAX: usize = sys::SEGMENTS_MAX;

    /// Memory for batches of 32 messages.
    pub fn new() -> Self {
        Self {
            headers: Headers::new(),
            addresses: Box::new([RawAddress::EMPTY; sys::BATCH_MAX]),
            controls: Box::new([SendControl::EMPTY; sys::BATCH_MAX]),
            trains: Trains::default(),
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

    /// Counts datagrams that were not sent.
    pub fn count(&mut self, error: &io::Error, datagrams: usize) {
        let count = match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS) => &mut self.would_block,
            Some(libc::EMSGSIZE) => &mut self.too_big,
            _ => &mut self.failed,
        };
        *count += datagrams;
    }
}

/// Whether the kernel may be unable to cut what it could send in pieces: it has no way to (`EIO`), or a segment is longer than
/// what the interface carries (`EMSGSIZE`, `EINVAL` before Linux 6.14).
fn refuses_segments(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
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
fn parts<'a>(received: &'a (impl Payloads + ?Sized), one: &'a Outgoing) -> Option<[&'a [u8]; sys::PARTS]> {
    let payload = received.payload(one.slot, &one.payload)?;
    Some([one.header.as_slice(), payload, one.padding()])
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::UdpSocket as Std;

    use super::super::testing::{LOCAL, TIMEOUT, filled, in_namespace, listener, peer, receive, relay};
    use super::*;
    use crate::net::{Header, Payloads, RecvBatch, UdpOptions};

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

    fn with_offload(ip: IpAddr, offload: bool) -> UdpSocket {
        UdpSocket::relay(ip, 0, UdpOptions { offload, ..UdpOptions::default() }).unwrap()
    }

    #[test]
    fn a_train_is_taken_and_handed_over_in_one_go_and_cut_where_it_was_coupled() {
        for ip in LOCAL {
            let received = filled(ip, &std::array::from_fn::<u8, 200, _>(|i| i as u8));
            for (coupling, coalescing) in [(true, true), (true, false), (false, true), (false, false)] {
                let (from, to) = (with_offload(ip, coupling), with_offload(ip, coalescing));
                let way = outgoing(to.local_addr().unwrap(), 0);
                let one = |start: u32, bytes: u32, ecn: u8| {
                    let header = Header::of(&[0x40, 0, 0, start as u8]);
                    Outgoing { header, payload: start..start + bytes, ecn, ..way.clone() }
                };
                // Two trains, the first with a shorter end, and a datagram that fits to none.
                let run = [
                    one(0, 40, 1),
                    one(40, 40, 1),
                    one(80, 7, 1),
                    one(0, 9, 2),
                    one(9, 9, 2),
                    one(100, 60, 2),
                ];
                assert_eq!(from.send_run(&mut SendScratch::new(), &received, &run).sent, run.len());
                let mut batch = RecvBatch::new(65_536);
                assert_eq!(receive(&to, &mut batch), run.len());
                assert_eq!(batch.slots_used(), if coupling && coalescing { 3 } else { run.len() });
                for (i, sent) in run.iter().enumerate() {
                    let got = batch.datagram(i);
                    let payload = received.payload(0, &sent.payload).unwrap();
                    assert_eq!(got.bytes, [sent.header.as_slice(), payload].concat());
                    assert_eq!((got.ecn, got.from), (sent.ecn, from.local_addr().unwrap()));
                    let range = got.start..got.start + got.bytes.len() as u32;
                    assert_eq!(batch.payload(got.slot, &range), Some(got.bytes));
                    assert!(!got.truncated);
                }
            }
        }
    }

    #[test]
    fn an_adopted_socket_coalesces_only_where_it_may() {
        for (offload, slots) in [(true, 1), (false, 3)] {
            let (from, given) = (with_offload(LOCAL[0], true), with_offload(LOCAL[0], true));
            let to = given.local_addr().unwrap();
            let given = socket2::Socket::from(given.as_fd().try_clone_to_owned().unwrap());
            let options = UdpOptions { offload, ..UdpOptions::default() };
            let adopted = UdpSocket::adopt(given, to, options).unwrap();
            let run = vec![outgoing(to, 5); 3];
            let received = filled(LOCAL[0], b"burst");
            assert_eq!(from.send_run(&mut SendScratch::new(), &received, &run).sent, 3);
            let mut batch = RecvBatch::new(65_536);
            assert_eq!((receive(&adopted, &mut batch), batch.slots_used()), (3, slots));
        }
    }

    #[test]
    fn as_many_segments_as_a_kernel_sends_in_one_go_are_received() {
        let (sender, to) = (peer(LOCAL[0]), with_offload(LOCAL[0], true));
        sys::set_option(sender.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 10).unwrap();
        // 128 since Linux 6.9, 64 before.
        let bytes: Vec<u8> = (0..1275_u32).map(|i| i as u8).collect();
        let send = |bytes: &[u8]| sender.send_to(bytes, to.local_addr().unwrap());
        let sent = send(&bytes).or_else(|_| send(&bytes[..635])).unwrap();
        let mut batch = RecvBatch::new(65_536);
        assert_eq!(receive(&to, &mut batch), sent.div_ceil(10));
        let got: Vec<_> = (0..batch.len()).map(|i| batch.datagram(i).bytes).collect();
        assert!(got[..got.len() - 1].iter().all(|segment| segment.len() == 10));
        assert_eq!(got.concat(), bytes[..sent]);
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
                let small = |offload| {
                    let options = UdpOptions { send_bytes: Some(1), offload, ..UdpOptions::default() };
                    UdpSocket::relay(LOCAL[0], 0, options).unwrap()
                };
                let run = vec![outgoing("127.0.0.1:9".parse().unwrap(), 1000); 200];
                // What is too full for a train is dropped as a whole.
                let report = small(true).send_run(&mut SendScratch::new(), &batch, &run);
                assert_eq!(report, SendReport { sent: 64, would_block: 136, ..SendReport::default() });
                let (socket, run) = (small(false), &run[..100]);
                let report = socket.send_run(&mut SendScratch::new(), &batch, run);
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
                LOCAL.into_iter().for_each(sends_apart_what_the_interface_cannot_cut);
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

    fn sends_apart_what_the_interface_cannot_cut(ip: IpAddr) {
        let (from, to) = (with_offload(ip, true), with_offload(ip, true));
        let received = filled(ip, &[7; 2000]);
        let way = outgoing(to.local_addr().unwrap(), 0);
        let mut batch = RecvBatch::new(65_536);
        let mut slots_of = |bytes: u32| {
            let run = vec![Outgoing { payload: 0..bytes, ..way.clone() }; 3];
            assert_eq!(from.send_run(&mut SendScratch::new(), &received, &run).sent, 3);
            assert_eq!(receive(&to, &mut batch), 3);
            assert!((0..3).all(|i| batch.datagram(i).bytes.len() == bytes as usize));
            batch.slots_used()
        };
        // Above the MTU each leaves in fragments of its own, and that is remembered; what fits still goes in one go.
        assert_eq!([2000, 2000, 1400].map(&mut slots_of), [3, 3, 1]);
        assert_eq!(from.segment_bytes_max(), 1999);
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
