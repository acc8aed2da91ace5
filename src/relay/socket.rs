//! What every driver does with its sockets: the kernel's losses and its ICMP errors.

use crate::net::UdpSocket;
use crate::wire::stun::attribute::Icmp;
use std::net::SocketAddr;

/// The kernel's count of datagrams lost at one socket, as last seen.
#[derive(Debug, Default)]
pub(super) struct Losses {
    seen: u32,
}

impl Losses {
    /// Datagrams lost since the last call. `total`: modulo 2^32, of the last receive, which may not carry it.
    pub(super) fn since(&mut self, total: Option<u32>) -> u64 {
        let Some(total) = total else { return 0 };
        u64::from(total.wrapping_sub(std::mem::replace(&mut self.seen, total)))
    }
}

/// The next ICMP error about a datagram that left through `socket`, and its destination. An unread one would fail the
/// next send to anybody.
pub(super) fn next_error(socket: &UdpSocket) -> Option<(SocketAddr, Icmp)> {
    let Ok(Some(error)) = socket.recv_error() else {
        // The queue may have had no room for the details, while the error itself is pending.
        let _detail_is_lost = socket.take_error();
        return None;
    };
    Some((error.peer, Icmp { icmp_type: error.icmp_type, code: error.code, data: error.data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_once_and_over_the_wrap() {
        let mut losses = Losses::default();
        let totals = [None, Some(3), Some(3), None, Some(u32::MAX), Some(1)];
        assert_eq!(totals.map(|total| losses.since(total)), [0, 3, 0, 0, u64::from(u32::MAX) - 3, 2]);
    }
}
