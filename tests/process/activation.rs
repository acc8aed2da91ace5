//! Sockets that a service manager has bound: served instead of new ones, kept over a reload, named when nobody wants them.

use crate::caller::{Caller, assert_relays, peer};
use crate::daemon::{
    BINARY, Config, Daemon, Folder, Lines, PATIENCE, eventually, free_port, has_ipv6, http_get, loopback,
    wait,
};
use crate::skip::skip;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

/// Hands standard input, and output if there are two, to the daemon as a service manager would.
const HAND_OVER: &str = "export LISTEN_PID=$$; exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null";

/// The binary with these sockets, one or two.
fn with_sockets(sockets: Vec<OwnedFd>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", HAND_OVER, BINARY]).env("LISTEN_FDS", sockets.len().to_string());
    let mut sockets = sockets.into_iter().map(Stdio::from);
    command.stdin(sockets.next().expect("one at least"));
    command.stdout(sockets.next().unwrap_or_else(Stdio::null));
    command
}

fn start(config: &Config, sockets: Vec<OwnedFd>) -> Daemon {
    Daemon::start_as(with_sockets(sockets), config, &config.text(), 200)
}

/// The address that a Binding over TCP is told to come from: its family, 1 or 2 (RFC 8489 section 14.2).
fn family_seen(server: SocketAddr) -> u8 {
    let mut stream = TcpStream::connect(server).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    request.extend([7; 12]);
    stream.write_all(&request).expect("sent");
    let mut header = [0; 20];
    stream.read_exact(&mut header).expect("an answer");
    let mut attributes = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]]))];
    stream.read_exact(&mut attributes).expect("an answer");
    let at = attributes.windows(2).position(|kind| kind == [0, 0x20]).expect("XOR-MAPPED-ADDRESS");
    attributes[at + 5]
}

#[test]
fn sockets_that_were_passed_are_served_by_all_workers_and_kept_over_a_reload() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config =
        Config { transports: "\"tcp\"", ..Config::default() }.listen(&[address]).relay("workers = 2");
    let daemon = start(&config, vec![listener.into()]);
    assert_eq!(family_seen(address), 1);
    daemon.write_config(&config.clone().limits("allocations_per_user = 3").text());
    daemon.signal(libc::SIGHUP);
    daemon.await_logged("config reloaded");
    for _ in 0..8 {
        assert_eq!(family_seen(address), 1);
    }
    assert!(!daemon.logged("need a restart") && !daemon.logged("waits in vain"));
}

#[test]
fn a_datagram_socket_that_was_passed_relays() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = Config { transports: "\"udp\"", ..Config::default() }
        .listen(&[socket.local_addr().unwrap()])
        .relay("workers = 1");
    let daemon = start(&config, vec![socket.into()]);
    let (mut caller, peer) = (Caller::new(daemon.server), peer());
    let relayed = caller.allocate();
    assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
    assert_relays(&mut caller, relayed, &peer);
}

#[test]
fn one_datagram_socket_for_two_workers_is_refused_in_words() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let config =
        Config { transports: "\"udp\"", ..Config::default() }.listen(&[address]).relay("workers = 2");
    let folder = Folder::new();
    let path = folder.write("turnstone.toml", &config.text());
    let mut command = with_sockets(vec![socket.into()]);
    command.args(["run", "--config"]).arg(&path).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let stderr = Lines::of(child.stderr.take().expect("piped"));
    let Some(ended) = wait(&mut child, PATIENCE) else {
        child.kill().expect("ours");
        panic!("it serves");
    };
    let said = stderr.all().join("\n");
    assert_eq!(ended.code(), Some(1), "{said}");
    for words in ["listen.address: ", &address.to_string(), "1 datagram sockets", "relay.workers"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn public_http_takes_its_passed_socket_and_one_that_nobody_wants_is_named() {
    let [public, stray] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [address, unwanted] = [&public, &stray].map(|listener| listener.local_addr().unwrap());
    let config = Config { public: Some(address), ..Config::default() };
    let daemon = start(&config, vec![public.into(), stray.into()]);
    let healthy = || http_get(address, "/healthz").filter(|(status, _)| *status == 200);
    eventually(PATIENCE, "public HTTP answers", healthy);
    daemon.await_logged(&format!("ListenStream={unwanted}, and nothing in the config listens there"));
}

#[test]
fn a_passed_listener_of_both_families_serves_both_and_sees_ipv4_as_ipv4() {
    let port = free_port();
    let both = SocketAddr::from(([0u16; 8], port));
    let listener = match TcpListener::bind(both) {
        Ok(listener) if has_ipv6() && TcpStream::connect(loopback(port)).is_ok() => listener,
        _ => return skip(module_path!(), "no socket takes both families here"),
    };
    let daemon = start(&Config::default().listen(&[both]), vec![listener.into()]);
    assert_eq!(family_seen(loopback(port)), 1);
    assert_eq!(family_seen(daemon.server), 2);
}
