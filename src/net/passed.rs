//! Sockets that the service manager has bound before this process began (sd_listen_fds(3)).

use socket2::{Domain, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Sockets that wait for whoever listens at their addresses.
#[derive(Debug, Default)]
pub struct PassedSockets {
    sockets: Vec<Passed>,
    /// Ports of `[::]` whose listeners take IPv4 connections, too.
    dual_stack_ports: Vec<u16>,
}

#[derive(Debug)]
struct Passed {
    socket: Socket,
    address: SocketAddr,
    is_stream: bool,
}

impl PassedSockets {
    /// Takes what was passed to this process: nothing, unless the service manager says so in the environment. A second
    /// call finds nothing.
    ///
    /// To be called before anything else is opened: the environment tells how many descriptors were passed, and one that is
    /// not there must not be a later one of ours.
    ///
    /// # Errors
    /// A sentence about a socket that is of no use, or about an environment that lies.
    pub fn take() -> Result<Self, String> {
        static ARE_TAKEN: AtomicBool = AtomicBool::new(false);
        if ARE_TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(Self::default());
        }
        let lies = |error: io::Error| format!("LISTEN_FDS does not say what was passed: {error}");
        let descriptors = sd_notify::listen_fds().map_err(lies)?;
        // SAFETY: LISTEN_PID names this process, so that who started it has put these descriptors there for it; each was
        // found open by `listen_fds`, nothing of this process has opened any, and the flag above lets nobody own one twice.
        let owned = descriptors.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) });
        owned.map(Socket::from).collect::<Vec<_>>().into_iter().try_fold(Self::default(), Self::with)
    }

    /// These and one more.
    fn with(mut self, socket: Socket) -> Result<Self, String> {
        let broken = |error: io::Error| format!("a socket that was passed cannot be used: {error}");
        let address = socket.local_addr().map_err(broken)?.as_socket();
        let Some(address) = address else { return Err("a socket that was passed is none of IP".into()) };
        let is_stream = socket.r#type().map_err(broken)? == Type::STREAM;
        if is_stream && !socket.is_listener().map_err(broken)? {
            return Err(format!("the stream socket that was passed for {address} does not listen"));
        }
        let is_dual =
            socket.domain().map_err(broken)? == Domain::IPV6 && !socket.only_v6().map_err(broken)?;
        if is_dual && !is_stream {
            return Err(format!(
                "the datagram socket that was passed for {address} takes IPv4, too: write \
                 BindIPv6Only=ipv6-only into the socket unit, and a ListenDatagram for IPv4"
            ));
        }
        if is_dual && address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) {
            self.dual_stack_ports.push(address.port());
        }
        socket.set_nonblocking(true).map_err(broken)?;
        self.sockets.push(Passed { socket, address, is_stream });
        Ok(self)
    }

    /// Takes the listeners at `address`.
    pub fn streams(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        self.extract(address, true).map(TcpListener::from).collect()
    }

    /// Takes the datagram sockets at `address`, each of one family.
    pub fn datagrams(&mut self, address: SocketAddr) -> Vec<Socket> {
        self.extract(address, false).collect()
    }

    /// Whether a listener at the IPv6 wildcard takes the connections of `address`, an IPv4 wildcard.
    pub fn takes_ipv4_of(&self, address: SocketAddr) -> bool {
        let is_wildcard = address.is_ipv4() && address.ip().is_unspecified();
        is_wildcard && self.dual_stack_ports.contains(&address.port())
    }

    /// What nobody has taken, by kind and address.
    pub fn left(&self) -> impl Iterator<Item = String> + '_ {
        self.sockets.iter().map(ToString::to_string)
    }

    fn extract(&mut self, address: SocketAddr, is_stream: bool) -> impl Iterator<Item = Socket> + use<> {
        let wanted = |passed: &mut Passed| passed.address == address && passed.is_stream == is_stream;
        let taken: Vec<_> = self.sockets.extract_if(.., wanted).collect();
        taken.into_iter().map(|passed| passed.socket)
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_stream { "ListenStream" } else { "ListenDatagram" };
        write!(f, "{kind}={}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpStream, UdpSocket};

    fn passed(sockets: impl IntoIterator<Item = Socket>) -> Result<PassedSockets, String> {
        sockets.into_iter().try_fold(PassedSockets::default(), PassedSockets::with)
    }

    #[test]
    fn sockets_are_found_once_by_address_and_kind_and_the_rest_is_named() {
        let stream = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let datagram = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let (at, beside) = (stream.local_addr().expect("bound"), datagram.local_addr().expect("bound"));
        let mut sockets = passed([stream.into(), datagram.into()]).expect("of use");
        assert!(sockets.datagrams(at).is_empty() && sockets.streams(beside).is_empty());
        assert_eq!(sockets.streams(at).len(), 1);
        assert!(sockets.streams(at).is_empty(), "it is taken");
        assert_eq!(sockets.left().collect::<Vec<_>>(), [format!("ListenDatagram={beside}")]);
        assert_eq!(sockets.datagrams(beside).len(), 1);
        assert_eq!(sockets.left().count(), 0);
    }

    #[test]
    fn a_listener_of_both_families_stands_for_the_ipv4_wildcard_of_its_port() {
        let Ok(dual) = TcpListener::bind("[::]:0") else { return };
        let is_dual = !socket2::SockRef::from(&dual).only_v6().expect("IPv6");
        let port = dual.local_addr().expect("bound").port();
        let sockets = passed([dual.into()]).expect("of use");
        let wildcard = |port| SocketAddr::from(([0, 0, 0, 0], port));
        assert_eq!(sockets.takes_ipv4_of(wildcard(port)), is_dual);
        assert!(!sockets.takes_ipv4_of(wildcard(port ^ 1)));
        assert!(!sockets.takes_ipv4_of(SocketAddr::from(([127, 0, 0, 1], port))));
    }

    #[test]
    fn what_cannot_be_served_is_refused_in_words() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        assert!(passed([client.into()]).expect_err("no listener").contains("does not listen"));
        let (unix, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert!(passed([unix.into()]).expect_err("not IP").contains("none of IP"));
        if let Ok(dual) = UdpSocket::bind("[::]:0")
            && !socket2::SockRef::from(&dual).only_v6().expect("IPv6")
        {
            assert!(passed([dual.into()]).expect_err("both").contains("BindIPv6Only=ipv6-only"));
        }
    }
}
