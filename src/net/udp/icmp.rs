//! ICMP errors about datagrams that a relay socket sent (RFC 8656 section 11.5).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::address::RawAddress;
use super::cmsg::{self, ErrorControl};
use super::socket::UdpSocket;
use super::sys;

/// An ICMP error about a datagram that this socket sent.
///
/// The kernel matched the embedded packet's source to the socket. Who sent the error itself is anybody's guess
/// and not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Destination of the embedded packet: the peer that could not be reached.
    pub peer: SocketAddr,
    /// ICMP type, in the numbers of the peer's family.
    pub icmp_type: u8,
    /// ICMP code.
    pub code: u8,
    /// MTU of the next hop in bytes for "fragmentation needed" (ICMPv4 type 3 code 4) and "packet too big"
    /// (ICMPv6 type 2), else 0: the Error Data of RFC 8656 section 18.13.
    pub data: u32,
}

impl UdpSocket {
    /// Takes the next ICMP error off the error queue of a relay socket; `None` when the queue is empty.
    ///
    /// Errors that the kernel itself raised about a send are dropped here: the send has returned them.
    ///
    /// # Errors
    /// Only for a broken socket or a kernel without memory.
    pub fn recv_error(&self) -> io::Result<Option<IcmpError>> {
        let (mut address, mut control) = (RawAddress::EMPTY, ErrorControl::EMPTY);
        loop {
            match sys::recv_error(self.as_fd(), &mut address, &mut control) {
                Ok(filled) => {
                    let control = control.written(filled.control_bytes);
                    if let Some(error) = address.parse(filled.address_bytes).and_then(|to| parse(to, control))
                    {
                        return Ok(Some(error));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether `error` may be an ICMP error that the kernel reports on the next call, whatever that call is about.
///
/// These are the codes that Linux translates ICMP to (`icmp_err_convert`, `icmpv6_err_convert`). Reporting
/// clears the error, so the call is worth a second try.
pub(super) fn may_come_from_icmp(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EPROTO
                | libc::EMSGSIZE
                | libc::EACCES
        )
    )
}

/// Finds the report (`sock_extended_err`) about a datagram to `peer`; `None` if it did not come by ICMP.
///
/// ```text
/// | errno: 4 | origin: 1 | type: 1 | code: 1 | 0 | info: 4 | data: 4 | address of the sender ... |
/// ```
fn parse(peer: SocketAddr, control: &[u8]) -> Option<IcmpError> {
    let report = cmsg::messages(control).find(|message| {
        matches!(
            (message.level, message.kind),
            (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
        )
    })?;
    let [origin, icmp_type, code, _] = cmsg::chunk::<4>(report.data, 4)?;
    let info = u32::from_ne_bytes(cmsg::chunk(report.data, 8)?);
    let data = match (origin, icmp_type, code) {
        (libc::SO_EE_ORIGIN_ICMP, 3, 4) | (libc::SO_EE_ORIGIN_ICMP6, 2, _) => info,
        (libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6, ..) => 0,
        _ => return None,
    };
    Some(IcmpError { peer, icmp_type, code, data })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ClosedPort, LOCAL, peer, receive, relay, wait_for};
    use super::super::{RecvBatch, SendScratch};
    use super::*;
    use crate::net::{Header, Outgoing};

    /// Port unreachable: ICMPv4 type 3 code 3 (RFC 792), ICMPv6 type 1 code 4 (RFC 4443 section 3.1).
    fn port_unreachable(peer: SocketAddr) -> IcmpError {
        let (icmp_type, code) = if peer.is_ipv4() { (3, 3) } else { (1, 4) };
        IcmpError { peer, icmp_type, code, data: 0 }
    }

    #[test] // RFC 8656 section 11.5: the peer is the destination inside the ICMP message.
    fn port_unreachable_names_the_peer_and_later_sends_to_others_go_out() {
        for ip in LOCAL {
            let socket = relay(ip);
            let (closed, alive) = (ClosedPort::on(ip), peer(ip));
            let dead = closed.address();
            socket.send_to(dead, None, 0, b"anybody?").unwrap();
            wait_for(&socket, |event| event.error);
            // The error is pending now. It concerns neither this send nor the receive below.
            assert_eq!(socket.send_to(alive.local_addr().unwrap(), None, 0, b"hello").unwrap(), 5);
            assert_eq!(alive.recv(&mut [0; 16]).unwrap(), 5);
            assert_eq!(socket.recv_error().unwrap(), Some(port_unreachable(dead)));
            assert_eq!(socket.recv_error().unwrap(), None);
            assert!(socket.take_error().unwrap().is_none());
        }
    }

    #[test]
    fn a_pending_error_neither_stops_a_run_nor_hides_what_was_received() {
        for ip in LOCAL {
            let socket = relay(ip);
            let alive = peer(ip);
            let closed = ClosedPort::on(ip);
            let (dead, to) = (closed.address(), alive.local_addr().unwrap());
            alive.send_to(b"payload", socket.local_addr().unwrap()).unwrap();
            let mut batch = RecvBatch::new(65_536);
            receive(&socket, &mut batch);
            let outgoing = |to| Outgoing {
                to,
                source: None,
                ecn: 0,
                header: Header::EMPTY,
                slot: 0,
                payload: 0..7,
                pad: 0,
            };
            socket.send_to(dead, None, 0, b"?").unwrap();
            wait_for(&socket, |event| event.error);
            // One error is pending, and each datagram to the dead port makes one for the datagram behind it.
            let run = [to, dead, to, dead, to, dead].map(outgoing);
            let report = socket.send_run(&mut SendScratch::new(), &batch, &run);
            assert_eq!(report.sent, 6, "{report:?}");
            (0..3).for_each(|_| assert_eq!(alive.recv(&mut [0; 16]).unwrap(), 7));
            socket.send_to(dead, None, 0, b"?").unwrap();
            wait_for(&socket, |event| event.error);
            alive.send_to(b"still here", socket.local_addr().unwrap()).unwrap();
            receive(&socket, &mut batch);
            assert_eq!(batch.datagram(0).bytes, b"still here");
            let errors: Vec<_> = std::iter::from_fn(|| socket.recv_error().unwrap()).collect();
            assert_eq!(errors, [port_unreachable(dead); 5]);
        }
    }

    #[test]
    fn a_local_error_is_drained_and_not_taken_for_icmp() {
        for ip in LOCAL {
            let socket = relay(ip);
            let (too_big, to) = (vec![0; 65_535], peer(ip).local_addr().unwrap());
            assert!(socket.send_to(to, None, 0, &too_big).is_err());
            assert_eq!(socket.recv_error().unwrap(), None);
        }
    }

    #[test]
    fn the_mtu_is_told_for_too_big_errors_only() {
        let report = |origin, icmp_type, code| {
            let mut data = [0_u8; 16];
            data[4..7].copy_from_slice(&[origin, icmp_type, code]);
            data[8..12].copy_from_slice(&1400_u32.to_ne_bytes());
            let mut control = 32_usize.to_ne_bytes().to_vec();
            control.extend([libc::SOL_IP, libc::IP_RECVERR].map(i32::to_ne_bytes).concat());
            control.extend(data);
            parse("127.0.0.1:9".parse().unwrap(), &control).map(|error| error.data)
        };
        assert_eq!(report(libc::SO_EE_ORIGIN_ICMP, 3, 4), Some(1400));
        assert_eq!(report(libc::SO_EE_ORIGIN_ICMP6, 2, 0), Some(1400));
        assert_eq!(report(libc::SO_EE_ORIGIN_ICMP, 3, 3), Some(0));
        assert_eq!(report(libc::SO_EE_ORIGIN_ICMP6, 4, 0), Some(0));
        assert_eq!(report(libc::SO_EE_ORIGIN_LOCAL, 3, 4), None);
    }
}
