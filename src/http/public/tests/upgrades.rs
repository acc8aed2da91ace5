//! WebSockets: what is refused before the 101, and that nothing is lost behind it.

use super::*;
use crate::http::signaling::Wire;
use crate::net::tls::TlsStream;
use crate::net::tls::testing::{Pair, VERSIONS, client, server_config};

const ENGINE_IO: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1";
const PLAIN: &str = "GET /ws HTTP/1.1";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// A handshake that is right, with one thing in it replaced.
fn handshake(server: &Running, line: &str, replaced: &str, by: &str) -> String {
    let lines = format!(
        "{line}\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
         {KEY}\r\nSec-WebSocket-Protocol: turnstone.v1.json, turnstone.token.a.b.c\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        server.address
    );
    assert!(lines.contains(replaced), "{replaced}");
    lines.replace(replaced, by)
}

/// Reads exactly this much of a connection that was handed over.
async fn read(connection: HandedOver, count: usize) -> (TlsStream, Vec<u8>) {
    let mut stream = connection.open().expect("another runtime takes it");
    let mut bytes = vec![0; count];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("in time").expect("read");
    (stream, bytes)
}

#[tokio::test] // RFC 6455 section 4.2.2
async fn a_websocket_leaves_http_with_every_byte_that_came_behind_its_request() {
    let mut server = Running::start();
    for (line, wire) in [(PLAIN, Wire::Plain), (ENGINE_IO, Wire::EngineIo)] {
        // Frames in the same segment as the request, and more of them than hyper reads at once.
        let early: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
        let mut client = server.connect().await;
        let request = [handshake(&server, line, "", "").as_bytes(), &early].concat();
        client.write_all(&request).await.expect("sent");
        let (head, rest) = read_head(&mut client).await;
        assert!(head.starts_with("http/1.1 101") && rest.is_empty(), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        assert!(!head.contains("extensions") && !head.contains("token"), "{head}");
        assert_eq!(head.contains("sec-websocket-protocol: turnstone.v1.json\r\n"), wire == Wire::Plain);
        let (about, got, connection) = server.next_websocket().await;
        assert_eq!((got, about.client, about.token.as_deref()), (wire, LOCALHOST, Some("a.b.c")));
        assert_eq!(connection.remote, client.local_addr().expect("connected"));
        let (mut stream, bytes) = read(connection, early.len()).await;
        assert!(bytes == early);
        stream.write_all(b"frame").await.expect("written");
        let mut frame = [0; 5];
        client.read_exact(&mut frame).await.expect("read");
        assert_eq!(&frame, b"frame");
        // Its place is taken for as long as it is open, whoever has it.
        assert_eq!(server.places.free.load(Ordering::SeqCst), 999);
        drop(stream);
        server.places.until_free(1_000).await;
    }
}

#[tokio::test]
async fn a_websocket_under_tls_takes_its_session_along() {
    let mut server = Running::start();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    for version in VERSIONS {
        let mut pair = Pair::connected(&server_config(), client(version, &[b"http/1.1"]));
        let mut socket = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        let (taken, remote) = listener.accept().expect("accepted");
        taken.set_nonblocking(true).expect("a socket");
        // The request and the first frame in one record, the second frame in a record that is cut.
        let request = handshake(&server, ENGINE_IO, "", "");
        let first = pair.encrypted(&[request.as_bytes(), b"first"].concat());
        let second = pair.encrypted(b"second");
        let (cut, late) = second.split_at(second.len() / 2);
        let session = Pair::new(&server_config(), client(version, &[]));
        let tls = Some(Box::new(std::mem::replace(&mut pair.server, session.server)));
        let handed = HandedOver {
            socket: taken,
            tls,
            incoming: std::mem::take(&mut pair.partial),
            plain: std::mem::take(&mut pair.plain),
            unsent: std::mem::take(&mut pair.outgoing),
            remote,
            local: listener.local_addr().expect("bound"),
            held: Box::new(()),
        };
        server.hand_over.send(handed).await.expect("the server takes it");
        socket.write_all(&[&first, cut].concat()).await.expect("sent");
        let (about, wire, connection) = server.next_websocket().await;
        assert_eq!((wire, about.secure), (Wire::EngineIo, true));
        socket.write_all(late).await.expect("sent");
        let (mut stream, bytes) = read(connection, 11).await;
        assert_eq!(bytes, b"firstsecond");
        stream.write_all(b"frame").await.expect("written");
        stream.flush().await.expect("flushed");
        let mut plain = Vec::new();
        let answered = async {
            while !plain.ends_with(b"\r\n\r\nframe") {
                assert!(socket.read_buf(&mut pair.outgoing).await.expect("open") > 0);
                plain.extend(pair.give_client().expect("good records"));
            }
        };
        timeout(PATIENCE, answered).await.expect("in time");
        assert!(plain.starts_with(b"HTTP/1.1 101"));
    }
}

#[tokio::test] // RFC 6455 section 4.2.1
async fn what_is_no_handshake_is_refused_and_says_what_is_missing() {
    let mut server = Running::start();
    let version = "Sec-WebSocket-Version: 13";
    for (line, replaced, by, status, code) in [
        (PLAIN, version, "Sec-WebSocket-Version: 8", 426, 3),
        (PLAIN, version, "X: y", 426, 3),
        (PLAIN, KEY, "X: y", 400, 3),
        (PLAIN, KEY, "Sec-WebSocket-Key: short", 400, 3),
        (PLAIN, KEY, "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: b", 400, 3),
        (PLAIN, "Upgrade: WebSocket", "Upgrade: h2c", 400, 3),
        (PLAIN, "keep-alive, Upgrade", "keep-alive", 400, 3),
        (PLAIN, "HTTP/1.1", "HTTP/1.0", 400, 3),
        (PLAIN, "GET", "POST", 405, 2),
        (PLAIN, "turnstone.v1.json", "turnstone.v2.json", 400, 3),
        (PLAIN, "\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello", 400, 3),
        (PLAIN, "\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 3),
        (ENGINE_IO, "HTTP/1.1", "HTTP/1.0", 400, 3),
        (ENGINE_IO, "EIO=4", "EIO=3", 400, 5),
        (ENGINE_IO, "EIO=4", "x=4", 400, 5),
        (ENGINE_IO, "websocket ", "polling ", 400, 3),
        (ENGINE_IO, "EIO=4", "EIO=4&sid=../x", 400, 1),
        (ENGINE_IO, version, "Sec-WebSocket-Version: 14", 426, 3),
    ] {
        // Refused, the connection is an HTTP connection still.
        let next = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let mut client = server.connect().await;
        client.write_all(handshake(&server, line, replaced, by).as_bytes()).await.expect("sent");
        let (head, mut rest) = read_head(&mut client).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status}")) || head.starts_with("http/1.0"),
            "{by}: {head}"
        );
        assert_eq!(head.contains("sec-websocket-version: 13"), status == 426, "{by}: {head}");
        // The server may have closed, as it does for HTTP/1.0.
        let _closed = client.write_all(next.as_bytes()).await;
        rest.extend(closed(&mut client).await);
        let rest = String::from_utf8(rest).expect("text");
        assert!(rest.starts_with(&format!("{{\"code\":{code},\"message\":")), "{by}: {rest}");
        assert!(by.contains("1.0") || rest.ends_with("ok\n"), "{by}: {rest}");
    }
    assert!(server.arrivals.try_recv().is_err(), "nobody came through");
}

#[tokio::test]
async fn a_full_queue_refuses_a_websocket_before_its_101() {
    let mut server = Running::start();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = server.sent(handshake(&server, PLAIN, "", "")).await;
        assert!(read_head(&mut client).await.0.starts_with("http/1.1 101"));
        clients.push(client);
    }
    let mut late = server.sent(handshake(&server, PLAIN, "", "")).await;
    let (head, _) = read_head(&mut late).await;
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: 1"), "{head}");
    server.next_websocket().await;
    let mut client = server.sent(handshake(&server, PLAIN, "", "")).await;
    assert!(read_head(&mut client).await.0.starts_with("http/1.1 101"));
}

#[tokio::test]
async fn a_websocket_outlives_the_server_that_let_it_in() {
    let mut server = Running::start();
    let mut client = server.sent(handshake(&server, PLAIN, "", "")).await;
    read_head(&mut client).await;
    let (_, _, connection) = server.next_websocket().await;
    timeout(PATIENCE, server.stop()).await.expect("ends").expect("no panic").expect("no error");
    client.write_all(b"still here").await.expect("open");
    assert_eq!(read(connection, 10).await.1, b"still here");
}
