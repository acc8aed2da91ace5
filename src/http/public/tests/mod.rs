use super::testing::*;
use super::*;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

mod upgrades;

const POLL: &str = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1";
const POST: &str = "POST /socket.io/?EIO=4&transport=polling&sid=a HTTP/1.1";
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn error(answer: &super::super::testing::Answer) -> (u16, Value) {
    (answer.status, answer.json()["code"].clone())
}

#[tokio::test]
async fn a_poll_comes_to_signaling_and_its_answer_to_the_client() {
    let mut server = Running::start();
    let mut client = server.sent(server.head(&format!("{POLL}\nAuthorization: Bearer a.b.c"))).await;
    let (about, reply) = server.next_get().await;
    assert_eq!((about.client, about.secure, about.mount), (LOCALHOST, false, 0));
    assert_eq!((&*about.query, about.token.as_deref()), ("EIO=4&transport=polling", Some("a.b.c")));
    assert_eq!(about.origin, None);
    reply.send(ok("0{}")).expect("the client waits");
    let answer = super::super::testing::Answer::read(&mut client).await;
    assert_eq!((answer.status, &*answer.body), (200, "0{}"));
    for header in ["content-type: text/plain; charset=utf-8", "cache-control: no-store", "vary: origin"] {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
}

#[tokio::test]
async fn packets_come_whole_however_they_are_cut() {
    let mut server = Running::start();
    let kind = "Content-Type: text/plain;charset=UTF-8";
    let whole = format!("{}4hello", server.head(&format!("{POST}\n{kind}\nContent-Length: 6")));
    let head = server.head(&format!("{POST}\nTransfer-Encoding: chunked"));
    let cut = format!("{head}2\r\n4h\r\n4\r\nello\r\n0\r\nTrailer: x\r\n\r\n");
    for request in [whole, cut] {
        let mut client = server.sent(request).await;
        let (about, body, reply) = server.next_post().await;
        assert_eq!((&body[..], &*about.query), (&b"4hello"[..], "EIO=4&transport=polling&sid=a"));
        reply.send(ok("ok")).expect("the client waits");
        assert!(closed(&mut client).await.ends_with(b"ok"));
    }
}

#[tokio::test]
async fn each_mount_answers_with_and_without_its_last_slash_and_nothing_else_does() {
    let mut server = Running::start();
    for (path, mount) in [("/socket.io/", 0), ("/socket.io", 0), ("/api/socket", 1), ("/api/socket/", 1)] {
        let mut client =
            server.sent(server.head(&format!("GET {path}?EIO=4&transport=polling HTTP/1.1"))).await;
        let (about, reply) = server.next_get().await;
        assert_eq!(about.mount, mount, "{path}");
        drop(reply);
        let answer = String::from_utf8(closed(&mut client).await).expect("text").to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    }
    for path in ["/socket.io//", "/socket.iO/", "/socket.io/x", "/socket%2eio/", "/api", "/", "/metrics"] {
        assert_eq!(server.ask(&format!("GET {path} HTTP/1.1")).await.status, 404, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.ask(&format!("GET {path} HTTP/1.1")).await.status, 200, "{path}");
    }
    let off = Running::with(PublicSettings::default(), bounds(), 9);
    for path in ["/socket.io/", "/ws"] {
        assert_eq!(off.ask(&format!("GET {path} HTTP/1.1")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn other_methods_and_other_content_are_refused_as_engine_io_does() {
    let server = Running::start();
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        let answer = server.ask(&format!("{method} /socket.io/?EIO=4 HTTP/1.1")).await;
        assert_eq!(error(&answer), (400, json!(2)), "{method}");
    }
    let answer = server.ask("POST /ws HTTP/1.1\nContent-Length: 0").await;
    assert_eq!(error(&answer), (405, json!(2)));
    assert!(answer.head.contains("allow: get, post, options"), "{}", answer.head);
    for kind in ["application/octet-stream", "application/x-www-form-urlencoded", "text/plainer", ""] {
        let answer = server.ask(&format!("{POST}\nContent-Length: 0\nContent-Type: {kind}")).await;
        assert_eq!(error(&answer), (415, json!(3)), "{kind}");
    }
    let answer = server.ask("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1").await;
    assert_eq!(error(&answer), (400, json!(3)));
    assert!(answer.body.contains("proxy"), "{}", answer.body);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_before_it_is_read_or_where_it_gets_too_long() {
    let mut server = Running::start();
    let max = body::bytes_max(1_000);
    for length in [max + 1, 100 << 20, u64::MAX / 2] {
        let answer = server.ask(&format!("{POST}\nContent-Length: {length}")).await;
        assert_eq!(error(&answer), (413, json!(3)), "{length}");
        assert!(answer.body.contains("signaling.max_message"), "{}", answer.body);
    }
    // One without an end: the server closes while the client still sends.
    let head = server.head(&format!("{POST}\nTransfer-Encoding: chunked"));
    let mut client = server.sent(head).await;
    let chunk = format!("400\r\n{}\r\n", "a".repeat(0x400));
    let endless = async { while client.write_all(chunk.as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, endless).await.expect("the server does not read on for ever");
    // The longest is not too long.
    let longest = "a".repeat(max as usize);
    let request = format!("{}{longest}", server.head(&format!("{POST}\nContent-Length: {max}")));
    let _client = server.sent(request).await;
    assert_eq!(server.next_post().await.1, longest);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    struct Never;
    impl axum::body::HttpBody for Never {
        type Data = axum::body::Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Infallible>>> {
            std::task::Poll::Pending
        }
    }
    let read = body::read(Body::new(Never), 10, Duration::from_millis(1)).await;
    assert_eq!(read, Err(refusal::Refusal::TooSlow));
}

#[tokio::test]
async fn a_body_of_two_lengths_is_no_request_and_hides_none() {
    let server = Running::start();
    for lengths in ["Content-Length: 5\nContent-Length: 6", "Content-Length: 5, 6", "Content-Length: +5"] {
        let hidden = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let request = format!("{}{hidden}", server.head(&format!("{POST}\n{lengths}")).replace("close", "x"));
        let answer = closed(&mut server.sent(request).await).await;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{lengths}: {answer:?}");
        assert!(!answer.ends_with(b"ok\n"), "{lengths}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_seen_to_have_gone() {
    let mut server = Running::start();
    let client = server.sent(server.head(POLL)).await;
    let (_, mut reply) = server.next_get().await;
    assert!(!reply.is_closed());
    drop(client);
    timeout(PATIENCE, reply.closed()).await.expect("it is seen");
}

#[tokio::test]
async fn a_poll_is_answered_after_its_connection_has_grown_old() {
    let aged = Bounds { connection_age: Duration::from_millis(50), ..bounds() };
    let mut server = Running::with(settings(), aged, 9);
    let (mut polling, reply) = loop {
        let polling = server.sent(server.head(POLL).replace("close", "keep-alive")).await;
        tokio::select! {
            (_, reply) = server.next_get() => break (polling, reply),
            // Where this thread is not let run, it grows old before its request is read.
            _ = polling.readable() => {}
        }
    };
    // A younger connection ends of its age before the poll is answered.
    assert!(closed(&mut server.connect().await).await.is_empty());
    reply.send(ok("late")).expect("the client waits");
    assert!(closed(&mut polling).await.ends_with(b"late"));
}

#[tokio::test]
async fn a_poll_does_not_hold_up_a_stop() {
    let bounds = Bounds { finish: Duration::from_millis(50), ..bounds() };
    let mut server = Running::with(settings(), bounds, 9);
    let mut client = server.sent(server.head(POLL)).await;
    let (_, mut reply) = server.next_get().await;
    let task = server.stop();
    assert!(closed(&mut client).await.is_empty());
    timeout(PATIENCE, reply.closed()).await.expect("it is seen");
    timeout(PATIENCE, task).await.expect("ends").expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_queue_that_is_full_turns_clients_away_at_once() {
    let server = Running::start();
    let mut waiting = Vec::new();
    let full = loop {
        let mut client = server.sent(server.head(POLL)).await;
        // The queue takes two, which stay unanswered; the third has its answer at once.
        if waiting.len() == 2 {
            break closed(&mut client).await;
        }
        waiting.push(client);
        while server.arrivals.len() < waiting.len() {
            tokio::task::yield_now().await;
        }
    };
    let full = String::from_utf8(full).expect("text").to_ascii_lowercase();
    assert!(full.starts_with("http/1.1 503") && full.contains("retry-after: 1"), "{full}");
}

#[tokio::test]
async fn a_connection_without_a_place_is_closed_and_one_that_ends_gives_its_place_back() {
    let server = Running::with(settings(), bounds(), 2);
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.sent(request).await;
        // The answer proves that it has a place.
        read_head(&mut stream).await;
        held.push(stream);
    }
    for _ in 0..100 {
        assert!(closed(&mut server.connect().await).await.is_empty());
    }
    drop(held);
    server.places.until_free(2).await;
    assert_eq!(server.ask("GET /healthz HTTP/1.1").await.status, 200);
}

#[tokio::test]
async fn headers_that_are_slow_or_too_many_end_a_connection() {
    let quick = Bounds { header_read: Duration::from_millis(100), ..bounds() };
    let server = Running::with(settings(), quick, 9);
    assert!(closed(&mut server.connect().await).await.is_empty());
    let answer = closed(&mut server.sent(format!("{POLL}\r\nHost: x\r\n")).await).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    server.places.until_free(9).await;
    let server = Running::start();
    let long = format!("{POLL}\nX: {}", "y".repeat(100_000));
    assert_eq!(server.ask(&long).await.status, 431);
    assert_eq!(server.ask(&format!("{POLL}{}", "\nX: y".repeat(100))).await.status, 431);
    let long = format!("GET /socket.io/?{} HTTP/1.1", "y".repeat(100_000));
    assert!((400..500).contains(&server.ask(&long).await.status));
}

#[tokio::test]
async fn who_is_trusted_speaks_for_its_clients_from_one_reload_to_the_next() {
    let mut server = Running::start();
    let forged = format!("{POLL}\nX-Forwarded-For: 203.0.113.1\nX-Forwarded-Proto: https");
    let trusting = PublicSettings { trusted_proxies: vec![LOCALHOST.into()], ..settings() };
    for (now, client, secure, source) in [
        (settings(), LOCALHOST, false, Some(LOCALHOST)),
        (trusting, "203.0.113.1".parse().expect("an address"), true, None),
        (settings(), LOCALHOST, false, Some(LOCALHOST)),
    ] {
        server.settings.store(Arc::new(now));
        let _client = server.sent(server.head(&forged)).await;
        let (about, _) = server.next_get().await;
        assert_eq!((about.client, about.secure), (client, secure));
        let asked = server.places.asked.lock().expect("no panic").last().copied();
        assert_eq!(asked, Some(source), "a proxy is no source");
    }
}

#[tokio::test]
async fn a_page_that_may_not_connect_is_told_why_on_every_way_in() {
    let mut server =
        Running::with(with_origins(Origins::Listed(vec!["https://a.example".into()])), bounds(), 99);
    let upgrade =
        "Upgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for head in [
        POLL.to_owned(),
        format!("{POST}\nContent-Length: 0"),
        format!("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\n{upgrade}"),
        format!("GET /ws HTTP/1.1\n{upgrade}"),
        "OPTIONS /socket.io/?EIO=4 HTTP/1.1".into(),
    ] {
        let answer = server.ask(&format!("{head}\nOrigin: https://evil.example")).await;
        assert_eq!(error(&answer), (403, json!(4)), "{head}");
        assert!(answer.body.contains("https://evil.example") && answer.body.contains("signaling.origins"));
        assert!(!answer.head.contains("access-control-allow"), "{}", answer.head);
        assert!(answer.head.contains("vary: origin"), "{}", answer.head);
    }
    let mut client = server.sent(server.head(&format!("{POLL}\nOrigin: https://a.example"))).await;
    let (about, reply) = server.next_get().await;
    assert_eq!(about.origin.as_deref(), Some("https://a.example"));
    reply.send(ok("")).expect("the client waits");
    let (head, _) = read_head(&mut client).await;
    for header in ["access-control-allow-origin: https://a.example", "access-control-allow-credentials: true"]
    {
        assert!(head.contains(header), "{head}");
    }
    // The list can change while the server runs.
    server.settings.store(Arc::new(with_origins(Origins::Own)));
    assert_eq!(server.ask(&format!("{POLL}\nOrigin: https://a.example")).await.status, 403);
    let own = format!("{POLL}\nOrigin: http://{}", server.address);
    let _client = server.sent(server.head(&own)).await;
    server.next_get().await;
}

#[tokio::test]
async fn a_browser_that_asks_first_is_told_what_it_may_send() {
    let server = Running::with(with_origins(Origins::Any), bounds(), 9);
    let ask =
        "OPTIONS /socket.io/?EIO=4 HTTP/1.1\nOrigin: https://a.example\nAccess-Control-Request-Method: POST";
    let answer = server.ask(ask).await;
    assert_eq!((answer.status, &*answer.body), (204, ""));
    for header in [
        "access-control-allow-origin: *",
        "access-control-allow-methods: get, post",
        "access-control-allow-headers: content-type, authorization",
        "vary: origin",
    ] {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
    assert!(!answer.head.contains("credentials"), "{}", answer.head);
}

#[tokio::test]
async fn a_connection_that_was_handed_over_is_answered_and_ends_with_the_server() {
    let server = Running::start();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let local = listener.local_addr().expect("bound");
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 404), ("/", 404)] {
        let mut client = TcpStream::connect(local).await.expect("connected");
        let (socket, remote) = listener.accept().expect("accepted");
        socket.set_nonblocking(true).expect("a socket");
        let request = server.head(&format!("GET {path} HTTP/1.1"));
        // A part of the request was read before the hand-over.
        let (read, rest) = request.as_bytes().split_at(9);
        let (incoming, plain, unsent) = (Vec::new(), read.to_vec(), Vec::new());
        let held = Box::new(());
        let handed = HandedOver { socket, tls: None, incoming, plain, unsent, remote, local, held };
        server.hand_over.send(handed).await.expect("the server takes it");
        client.write_all(rest).await.expect("open");
        let answer = super::super::testing::Answer::read(&mut client).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    }
    let hand_over = server.hand_over.clone();
    timeout(PATIENCE, server.stop()).await.expect("ends").expect("no panic").expect("no error");
    assert!(hand_over.is_closed());
}

#[tokio::test]
async fn a_port_that_is_taken_cannot_be_bound_again() {
    let server = Running::start();
    let again = PublicSettings { address: Some(server.address), ..PublicSettings::default() };
    assert_eq!(again.bind().expect_err("taken").kind(), io::ErrorKind::AddrInUse);
    assert!(PublicSettings::default().bind().expect("nothing to bind").is_none());
}
