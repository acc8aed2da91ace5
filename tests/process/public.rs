//! Public HTTP of the real daemon: its listener, the same paths behind TLS, its limits, its reload.

use crate::daemon::{Config, Daemon, PATIENCE, eventually, free_port, http_get, loopback, verb};
use crate::start::assert_refused;
use crate::tls_client::Link;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

const SOCKET_IO: &str = "/socket.io/?EIO=4&transport=polling";

fn public() -> Config {
    Config { public: Some(loopback(free_port())), ..Config::default() }
}

/// The whole answer to `GET path` with another line, over whatever kind of connection.
fn ask(link: &mut (impl Read + Write), path: &str, line: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: turn.example.org\r\n{line}\r\nConnection: close\r\n\r\n");
    link.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The server may close without a word of TLS.
    let _closed = link.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_taken_public_port_is_one_line_that_names_the_key() {
    let config = public();
    let address = config.public.unwrap();
    let _holder = TcpListener::bind(address).unwrap();
    let ended = verb(&["run"], &config.text());
    assert_refused(&ended, "http.public", &format!("{address} is in use"));
}

#[test]
fn the_same_paths_answer_in_the_clear_and_behind_tls() {
    let config = Config { transports: "\"udp\", \"tcp\", \"tls\"", ..public() };
    let daemon =
        Daemon::start(&Config { sections: "[tls]\nmode = \"self-signed\"\n".into(), ..config.clone() });
    let public = config.public.unwrap();
    for (path, status) in [("/healthz", "200"), ("/readyz", "200"), (SOCKET_IO, "200"), ("/metrics", "404")] {
        let clear = ask(&mut connect(public), path, "X: y");
        let version = &rustls::version::TLS13;
        let mut link =
            Link::secure(connect(daemon.server), version, "turn.example.org", &[b"http/1.1"]).unwrap();
        let secure = ask(&mut link, path, "X: y");
        for answer in [&clear, &secure] {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        }
        // Each Engine.IO session has an id of its own, in front of all else.
        let body = |answer: &str| {
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            body.split_once("\",\"").map_or(body, |(_, rest)| rest).to_owned()
        };
        assert_eq!(body(&clear), body(&secure), "{path}");
    }
}

#[test]
fn connections_of_http_and_of_turn_share_their_limit() {
    let config = public().limits("connections_total = 3");
    let daemon = Daemon::start(&config);
    let public = config.public.unwrap();
    let turn = connect(daemon.server);
    let mut held = vec![connect(public), connect(public)];
    for stream in &mut held {
        // The answer proves that it has a place.
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(stream.read(&mut [0; 512]).unwrap() > 0);
    }
    daemon.await_metric("turnstone_connections", |count| count == 1.0);
    assert_eq!(http_get(public, "/healthz"), None, "a fourth one");
    assert_eq!(daemon.get("/healthz").0, 200, "admin is not counted");
    drop(turn);
    eventually(PATIENCE, "room again", || http_get(public, "/healthz"));
}

#[test]
fn a_reload_lets_another_page_in_and_cuts_nobody() {
    let config = public();
    let daemon = Daemon::start(&config);
    let public = config.public.unwrap();
    let mut held = connect(public);
    let page = "Origin: https://app.example.org";
    let refused = ask(&mut connect(public), SOCKET_IO, page);
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(
        refused.contains("https://app.example.org") && refused.contains("signaling.origins"),
        "{refused}"
    );
    let sections =
        "[signaling]\norigins = [\"https://app.example.org\"]\nsocketio_paths = [\"/elsewhere/\"]\n";
    daemon.write_config(&Config { sections: sections.into(), ..config }.text());
    daemon.signal(libc::SIGHUP);
    eventually(PATIENCE, "the page is let in", || {
        ask(&mut connect(public), SOCKET_IO, page).starts_with("HTTP/1.1 200 ").then_some(())
    });
    eventually(PATIENCE, "a key that needs a restart", || {
        daemon.logged("signaling.socketio_paths").then_some(())
    });
    assert!(ask(&mut held, "/healthz", "X: y").ends_with("ok\n"));
    let told = daemon.log();
    assert!(!told.iter().any(|line| line.contains("app.example.org")), "a stranger fills no log: {told:#?}");
}
