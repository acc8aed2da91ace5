//! TCP: listeners, one per stream runtime on a shared port, and relayed addresses (RFC 6062).

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Connections of peers that may wait to be accepted at one relayed address.
const RELAY_BACKLOG: i32 = 16;

/// Bytes that the kernel keeps each way for a connection, before it doubles them for its bookkeeping: 20 Mbit/s
/// over a path of 100 ms. More would only be old media.
pub const BUFFER_BYTES: usize = 256 << 10;

/// A silent client is asked after this long, then this often, and is given up after so many silent
/// answers: a connection whose client vanished ends within two minutes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
const KEEPALIVE_TRIES: u32 = 4;

/// How long bytes may wait for a client to take them.
const STUCK_MAX: Duration = Duration::from_secs(60);

/// Listens on `address`, one of several that share the port (`SO_REUSEPORT`): the kernel spreads
/// connections over them. IPv6 listeners carry no IPv4.
///
/// # Errors
/// As `bind` and `listen`: `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` below port 1024.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Listens on a relayed address that is nobody else's, and from which [`relay_socket`] may connect.
///
/// # Errors
/// As [`listen`]; `AddrInUse` is the normal answer for a port that some process holds.
pub fn listen_relay(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address)?;
    socket.bind(&address.into())?;
    socket.listen(RELAY_BACKLOG)?;
    // Not before: it would share a port with another process that does the same.
    socket.set_reuse_port(true)?;
    Ok(socket.into())
}

/// An unconnected socket on the address of a [`listen_relay`], non-blocking.
///
/// # Errors
/// As `bind`.
pub fn relay_socket(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Finds out whether `address` can be bound and is nobody's. Returns it, with the port that the system
/// chose for port 0.
///
/// # Errors
/// As [`listen`]; `AddrInUse` also when another process would share its port as we do.
pub fn probe(address: SocketAddr) -> io::Result<SocketAddr> {
    // Listening is what finds a bound port that SO_REUSEADDR would overlook.
    let socket = open(address)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Sets what a connection with media needs: no delay for small writes, bounded queues in the kernel,
/// and probes for a client that vanished.
///
/// # Errors
/// The connection is gone already.
pub fn tune(stream: &impl AsFd) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TRIES);
    // Ends a connection whose client takes nothing any more, also one that is closed here already.
    socket.set_tcp_user_timeout(Some(STUCK_MAX))?;
    socket.set_tcp_keepalive(&keepalive)
}

/// An address of a connection as doors know it: a listener of both families tells IPv4 in IPv6 form.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

/// Whether a failed accept is about one connection that went away, so that the next may succeed at once. Otherwise
/// descriptors or memory are used up.
pub fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Makes the close of `stream` a reset, which leaves no state behind here.
pub fn reset_on_close(stream: &impl AsFd) {
    // Without it the close is a normal one, which is as good.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for connections of the one before to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    #[test]
    fn several_listeners_share_a_port_that_is_then_nobody_elses() {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let any = SocketAddr::new(ip, 0);
            assert_ne!(probe(any).expect("a free port").port(), 0);
            let first = listen(any).expect("a free port");
            let address = first.local_addr().expect("bound");
            let held = [first, listen(address).expect("second")];
            assert_eq!(probe(address).expect_err("ours").kind(), io::ErrorKind::AddrInUse);
            drop(held);
            assert_eq!(probe(address).expect("free again"), address);
        }
    }

    #[test] // RFC 6062 section 5.2
    fn connections_leave_from_the_address_that_listens_and_is_nobody_elses() {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let relay = listen_relay(SocketAddr::new(ip, 0)).expect("a free port");
            let address = relay.local_addr().expect("bound");
            assert_eq!(listen_relay(address).expect_err("taken").kind(), io::ErrorKind::AddrInUse);
            let peers = [0, 1].map(|_| TcpListener::bind((ip, 0)).expect("a free port"));
            let made = peers.each_ref().map(|peer| {
                let socket = Socket::from(relay_socket(address).expect("shared"));
                socket.set_nonblocking(false).expect("a socket");
                socket.connect(&peer.local_addr().expect("bound").into()).expect("connected");
                assert_eq!(peer.accept().expect("accepted").1, address);
                socket
            });
            relay.set_nonblocking(false).expect("a listener");
            let caller = TcpStream::connect(address).expect("it still listens");
            assert_eq!(relay.accept().expect("accepted").1, caller.local_addr().expect("connected"));
            drop(made);
        }
    }

    #[test]
    fn an_address_has_one_form() {
        for (told, known) in [("[::ffff:192.0.2.1]:7", "192.0.2.1:7"), ("[fe80::1%3]:7", "[fe80::1%3]:7")] {
            assert_eq!(canonical(told.parse().expect("literal")), known.parse().expect("literal"));
        }
    }

    #[test]
    fn a_reset_is_seen_by_the_other_side() {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        listener.set_nonblocking(false).expect("a listener");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (stream, _) = listener.accept().expect("accepted");
        tune(&stream).expect("options of a live connection");
        reset_on_close(&stream);
        drop(stream);
        let error = client.read(&mut [0]).expect_err("no orderly end");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
