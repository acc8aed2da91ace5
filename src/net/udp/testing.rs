//! What the socket tests share: sockets on loopback, waiting for a condition, network namespaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as Std};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use super::{RecvBatch, UdpOptions, UdpSocket};
use crate::net::{Event, Poller};

pub(super) const LOCAL: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// When a test stops waiting for what should have happened at once.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

pub(super) fn listener(ip: IpAddr) -> UdpSocket {
    UdpSocket::listener(SocketAddr::new(ip, 0), UdpOptions::default()).unwrap()
}

pub(super) fn relay(ip: IpAddr) -> UdpSocket {
    UdpSocket::relay(ip, 0, UdpOptions::default()).unwrap()
}

/// Waits until the poller reports `socket` in the wanted way.
pub(super) fn wait_for(socket: &UdpSocket, wanted: impl Fn(&Event) -> bool) {
    let mut poller = Poller::new().unwrap();
    poller.add(socket.as_fd(), 0).unwrap();
    for _ in 0..1000 {
        poller.wait(Some(TIMEOUT)).unwrap();
        let event = poller.events().next().expect("nothing happened on the socket for 20 seconds");
        if wanted(&event) {
            return;
        }
    }
    panic!("the socket is ready, but not in the way that the test waits for");
}

/// Waits until `socket` is readable, and receives. Returns how many datagrams came.
pub(super) fn receive(socket: &UdpSocket, batch: &mut RecvBatch) -> usize {
    wait_for(socket, |event| event.readable);
    socket.recv(batch).unwrap()
}

/// A batch that holds one datagram with `payload`.
pub(super) fn filled(ip: IpAddr, payload: &[u8]) -> RecvBatch {
    let socket = relay(ip);
    peer(ip).send_to(payload, socket.local_addr().unwrap()).unwrap();
    let mut batch = RecvBatch::new(65_536);
    assert_eq!(receive(&socket, &mut batch), 1);
    assert_eq!(batch.datagram(0).bytes, payload);
    batch
}

/// A socket that we did not write, and that gives up receiving after a while.
pub(super) fn peer(ip: IpAddr) -> Std {
    let socket = Std::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

/// A port where nobody listens, and that nobody else can take meanwhile: it is held by a socket that is connected
/// to an address of its own, so the kernel answers everybody else with "port unreachable".
pub(super) struct ClosedPort(Std);

impl ClosedPort {
    pub(super) fn on(ip: IpAddr) -> Self {
        let holder = Std::bind((ip, 0)).unwrap();
        holder.connect(holder.local_addr().unwrap()).unwrap();
        Self(holder)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

/// Runs `body` in a network namespace of its own, prepared by the shell command `setup`.
///
/// The test with the full name `test` is run again as a child, in the new namespace. Where namespaces or
/// the tools are missing, it says so and counts as skipped.
pub(super) fn in_namespace(test: &str, setup: &str, body: impl FnOnce()) {
    const MARK: &str = "TURNSTONE_TEST_IN_NAMESPACE";
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--map-root-user", "sh", "-c", script, "sh"]);
        command
    };
    let possible = inside(setup).output().is_ok_and(|output| output.status.success());
    if !possible {
        eprintln!(
            "SKIPPED {test}: it needs unshare(1), ip(8), tc(8) and the right to make a network namespace"
        );
        return;
    }
    let output = inside(&format!("{setup} && exec \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
