//! UDP sockets of a shard: how they are opened, and receiving.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, Socket, Type};

use super::batch::RecvBatch;
use super::cmsg::SO_RXQ_OVFL;
use super::icmp::may_come_from_icmp;
use super::sys;

/// From `asm-generic/socket.h`; the libc crate has no name for it.
const SO_SELECT_ERR_QUEUE: i32 = 45;

/// How many pending ICMP errors one receive looks past before it leaves the rest to the next loop turn.
const PENDING_ERRORS_MAX: usize = 4;

/// A non-blocking UDP socket. IPv6 ones carry no IPv4, so IPv4-mapped addresses never appear.
///
/// Path MTU discovery is off and ICMP cannot lower the path MTU that the kernel assumes
/// (`IP_PMTUDISC_OMIT`): datagrams leave without DF, and in fragments where the interface needs it, which is the
/// alternate behaviour of RFC 8656 section 14. `IP_PMTUDISC_INTERFACE` would guard as well, but it refuses every
/// datagram above the interface MTU, which four bytes of channel header are enough for.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    v4: bool,
    /// The longest segment that the kernel may be asked to cut; 0 when it cannot.
    segment_bytes_max: Cell<u16>,
}

/// What can be chosen for a socket.
///
/// Sizes of the kernel's buffers are bytes, and `None` leaves the system's default. The kernel doubles what is asked for, to
/// cover its bookkeeping, and cuts it at `net.core.rmem_max` and `net.core.wmem_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// Payload bytes that may wait to be received.
    pub receive_bytes: Option<usize>,
    /// Payload bytes that may wait to be sent.
    pub send_bytes: Option<usize>,
    /// Let the kernel, where it can, coalesce what one sender sent (`UDP_GRO`), and cut apart what leaves for one receiver
    /// (`UDP_SEGMENT`). Such a socket needs a [`RecvBatch`] with slots of 65,536 bytes.
    pub offload: bool,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self { receive_bytes: None, send_bytes: None, offload: true }
    }
}

/// Whether a socket leaves DF unset (the normal state) or sets it.
#[derive(Clone, Copy)]
pub(super) enum Fragmentation {
    Allowed,
    Forbidden,
}

impl UdpSocket {
    /// Opens a listener on `address`, one of several that share the port (`SO_REUSEPORT`, one per shard).
    ///
    /// On a wildcard address each datagram tells the address that it was sent to, so that the reply can leave
    /// from there.
    ///
    /// # Errors
    /// `AddrInUse` when somebody else holds the port, `AddrNotAvailable` when the address is not on this host,
    /// `PermissionDenied` below port 1024 without the capability, or no file descriptor is left.
    pub fn listener(address: SocketAddr, options: UdpOptions) -> io::Result<Self> {
        let socket = Self::open(address, options)?;
        socket.socket.set_reuse_port(true)?;
        socket.tell_destinations(address)?;
        socket.socket.bind(&address.into())?;
        Ok(socket)
    }

    /// Takes over a listener on `address` that somebody else has bound, non-blocking and of one family.
    ///
    /// # Errors
    /// It is no socket of UDP.
    pub fn adopt(socket: Socket, address: SocketAddr, options: UdpOptions) -> io::Result<Self> {
        let adopted = Self { socket, v4: address.is_ipv4(), segment_bytes_max: Cell::new(0) };
        adopted.prepare(options)?;
        adopted.tell_destinations(address)?;
        Ok(adopted)
    }

    /// Opens the relay socket `ip`:`port`, which is not shared with anybody. Port 0 takes any free one.
    ///
    /// ICMP errors about what it sent are kept for [`Self::recv_error`].
    ///
    /// # Errors
    /// As for [`Self::listener`]; `AddrInUse` is the normal answer for a port that some process holds.
    pub fn relay(ip: IpAddr, port: u16, options: UdpOptions) -> io::Result<Self> {
        let address = SocketAddr::new(ip, port);
        let socket = Self::open(address, options)?;
        socket.option((libc::SOL_IP, libc::IP_RECVERR), (libc::SOL_IPV6, libc::IPV6_RECVERR))?;
        socket.socket.bind(&address.into())?;
        Ok(socket)
    }

    /// Reports the error queue as priority data too: an edge that an async runtime can wait for.
    ///
    /// # Errors
    /// None for a socket that was opened here.
    pub(in crate::net) fn tell_errors_as_priority(&self) -> io::Result<()> {
        let select_errors = (libc::SOL_SOCKET, SO_SELECT_ERR_QUEUE);
        self.option(select_errors, select_errors)
    }

    /// The address and port that the socket is bound to.
    ///
    /// # Errors
    /// None for a socket that was opened here.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Replaces the content of `batch` by what is ready, without blocking. Returns how many datagrams it
    /// holds now; 0 means that nothing was ready. A full batch suggests that there is more.
    ///
    /// Pending ICMP errors are no failure to receive and are skipped; their details stay in the error queue.
    ///
    /// # Errors
    /// Only for a broken socket or a kernel without memory. The batch is empty then.
    pub fn recv(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        self.recv_slots(batch, RecvBatch::SLOTS_MAX)
    }

    /// The same with `slots_max` slots at most, taken as 1 to 32: of a socket that seldom has more than a few, this spares the
    /// kernel to prepare and to look for others.
    ///
    /// # Errors
    /// As for [`Self::recv`].
    pub fn recv_slots(&self, batch: &mut RecvBatch, slots_max: usize) -> io::Result<usize> {
        let mut pending = 0;
        while pending < PENDING_ERRORS_MAX {
            match batch.fill(self.as_fd(), slots_max) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if may_come_from_icmp(&error) => pending += 1,
                result => return result,
            }
        }
        Ok(0)
    }

    /// Reads and clears the pending error (`SO_ERROR`), such as the last ICMP error.
    ///
    /// A poller reports the socket for as long as one is pending, also when the error queue had no room for
    /// the details: call it after [`Self::recv_error`] returned `None`.
    ///
    /// # Errors
    /// None for a socket that was opened here.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Whether the socket is IPv4, and not IPv6.
    pub(super) fn is_v4(&self) -> bool {
        self.v4
    }

    /// The longest segment that the kernel may be asked to cut on this socket; 0 when it cannot.
    pub(super) fn segment_bytes_max(&self) -> u16 {
        self.segment_bytes_max.get()
    }

    /// Remembers that segments above `bytes` cannot be cut here.
    pub(super) fn give_up_segments(&self, bytes: u16) {
        self.segment_bytes_max.set(self.segment_bytes_max.get().min(bytes));
    }

    /// Chooses between fragments and DF for what is sent from now on.
    pub(super) fn set_fragmentation(&self, fragmentation: Fragmentation) -> io::Result<()> {
        // PROBE sets DF and, like OMIT, does not believe in a path MTU below that of the interface.
        let (v4, v6) = match fragmentation {
            Fragmentation::Allowed => (Ipv4PathMtuDiscovery::OMIT, Ipv6PathMtuDiscovery::OMIT),
            Fragmentation::Forbidden => (Ipv4PathMtuDiscovery::PROBE, Ipv6PathMtuDiscovery::PROBE),
        };
        Ok(match self.v4 {
            true => sockopt::set_ip_mtu_discover(&self.socket, v4),
            false => sockopt::set_ipv6_mtu_discover(&self.socket, v6),
        }?)
    }

    /// A socket for the family of `address`, not bound yet, with the options that all have in common.
    fn open(address: SocketAddr, options: UdpOptions) -> io::Result<Self> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        let opened = Self { socket, v4: address.is_ipv4(), segment_bytes_max: Cell::new(0) };
        opened.prepare(options)?;
        Ok(opened)
    }

    /// Sets the options that all have in common.
    fn prepare(&self, options: UdpOptions) -> io::Result<()> {
        let socket = &self.socket;
        if let Some(bytes) = options.receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = options.send_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        let overflow = (libc::SOL_SOCKET, SO_RXQ_OVFL);
        self.option(overflow, overflow)?;
        self.option((libc::SOL_IP, libc::IP_RECVTOS), (libc::SOL_IPV6, libc::IPV6_RECVTCLASS))?;
        self.set_offload(options.offload);
        self.set_fragmentation(Fragmentation::Allowed)
    }

    /// Turns on what the kernel knows of it, or off what an adopted socket may have had. Who coalesces (Linux 5.0) also cuts
    /// (4.18).
    fn set_offload(&self, offload: bool) {
        let is_known = sys::set_option(self.as_fd(), libc::SOL_UDP, libc::UDP_GRO, offload.into()).is_ok();
        self.segment_bytes_max.set(if is_known && offload { u16::MAX } else { 0 });
    }

    /// Has each datagram tell where it was sent to, where `address` does not say so.
    fn tell_destinations(&self, address: SocketAddr) -> io::Result<()> {
        match address.ip().is_unspecified() {
            true => self.option((libc::SOL_IP, libc::IP_PKTINFO), (libc::SOL_IPV6, libc::IPV6_RECVPKTINFO)),
            false => Ok(()),
        }
    }

    /// Turns an option on: level and name for an IPv4 socket, and for an IPv6 one.
    fn option(&self, v4: (i32, i32), v6: (i32, i32)) -> io::Result<()> {
        let (level, name) = if self.v4 { v4 } else { v6 };
        sys::set_option(self.as_fd(), level, name, 1)
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{LOCAL, listener, peer, receive, relay};
    use super::*;

    #[test]
    fn forty_datagrams_arrive_in_order_in_batches_of_at_most_thirty_two() {
        for ip in LOCAL {
            let socket = listener(ip);
            let client = peer(ip);
            for i in 0..40_u8 {
                client.send_to(&vec![i; usize::from(i)], socket.local_addr().unwrap()).unwrap();
            }
            let mut batch = RecvBatch::new(65_536);
            let (mut next, mut calls) = (0, 0);
            while next < 40 {
                let count = receive(&socket, &mut batch);
                assert!(count <= RecvBatch::SLOTS_MAX);
                for i in 0..count {
                    let datagram = batch.datagram(i);
                    assert_eq!(datagram.bytes, vec![next; usize::from(next)]);
                    assert_eq!(datagram.from, client.local_addr().unwrap());
                    assert!(!datagram.truncated);
                    next += 1;
                }
                calls += 1;
            }
            assert!(calls >= 2);
            assert_eq!(socket.recv(&mut batch).unwrap(), 0);
            assert!(batch.is_empty());
        }
    }

    #[test]
    fn a_datagram_longer_than_its_slot_is_cut_and_marked_and_leaves_its_neighbours_alone() {
        let socket = listener(LOCAL[0]);
        let client = peer(LOCAL[0]);
        let mut batch = RecvBatch::new(8);
        let mut seen = Vec::new();
        for payload in [&b"first"[..], b"second, too long", b"third"] {
            client.send_to(payload, socket.local_addr().unwrap()).unwrap();
        }
        while seen.len() < 3 {
            let count = receive(&socket, &mut batch);
            seen.extend((0..count).map(|i| (batch.datagram(i).bytes.to_vec(), batch.datagram(i).truncated)));
        }
        let expected = [(&b"first"[..], false), (b"second, ", true), (b"third", false)];
        assert!(seen.iter().map(|(bytes, cut)| (&bytes[..], *cut)).eq(expected));
    }

    #[test]
    fn two_listeners_share_a_port_and_a_relay_socket_shares_with_nobody() {
        for ip in LOCAL {
            let first = listener(ip);
            let address = first.local_addr().unwrap();
            let second = UdpSocket::listener(address, UdpOptions::default()).unwrap();
            assert_eq!(second.local_addr().unwrap(), address);
            let taken =
                |result: io::Result<UdpSocket>| result.unwrap_err().kind() == io::ErrorKind::AddrInUse;
            assert!(taken(UdpSocket::relay(ip, address.port(), UdpOptions::default())));
            let holder = relay(ip);
            let address = holder.local_addr().unwrap();
            assert!(taken(UdpSocket::relay(ip, address.port(), UdpOptions::default())));
            assert!(taken(UdpSocket::listener(address, UdpOptions::default())));
        }
    }

    #[test]
    fn an_ipv6_wildcard_leaves_the_port_free_for_ipv4() {
        // Another process may hold one random port on IPv4, but not eight.
        let both = |_| {
            let v6 = listener("::".parse().unwrap());
            let port = v6.local_addr().unwrap().port();
            UdpSocket::relay("0.0.0.0".parse().unwrap(), port, UdpOptions::default()).is_ok()
        };
        assert!((0..8).any(both));
    }

    #[test]
    fn buffer_sizes_reach_the_kernel() {
        let buffers =
            UdpOptions { receive_bytes: Some(50_000), send_bytes: Some(40_000), ..UdpOptions::default() };
        let socket = UdpSocket::relay(LOCAL[0], 0, buffers).unwrap();
        assert_eq!(socket.socket.recv_buffer_size().unwrap(), 100_000);
        assert_eq!(socket.socket.send_buffer_size().unwrap(), 80_000);
    }

    #[test]
    fn what_a_full_receive_buffer_loses_is_counted() {
        let buffers = UdpOptions { receive_bytes: Some(1), ..UdpOptions::default() };
        for ip in LOCAL {
            let socket = UdpSocket::relay(ip, 0, buffers).unwrap();
            let client = peer(ip);
            let send = || client.send_to(&[0; 200], socket.local_addr().unwrap()).unwrap();
            (0..100).for_each(|_| assert_eq!(send(), 200));
            let mut batch = RecvBatch::new(65_536);
            // The first datagrams came before the first loss, so only one that comes now tells of it.
            let mut kept = receive(&socket, &mut batch);
            loop {
                match socket.recv(&mut batch).unwrap() {
                    0 => break,
                    more => kept += more,
                }
            }
            assert_eq!(send(), 200);
            assert_eq!(receive(&socket, &mut batch), 1);
            assert!(kept < 100);
            assert_eq!(batch.overflow(), Some(100 - kept as u32));
        }
    }
}
