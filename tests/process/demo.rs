//! `turnstone demo`, as a user without privileges runs it.

use crate::daemon::{Folder, Lines, PATIENCE, eventually, http_get, send_signal, wait};
use crate::minting::ask;
use crate::polling::Polling;
use crate::skip::skip;
use crate::start::{NO_OTHER_USER, without_root};
use crate::tls_client::Link;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

#[test]
fn demo_relays_prints_ice_servers_that_work_and_ends_on_ctrl_c() {
    const NAME: &str = "demo::demo_relays_prints_ice_servers_that_work_and_ends_on_ctrl_c";
    let Some(mut command) = without_root() else {
        return skip(NAME, NO_OTHER_USER);
    };
    let command = command.arg("demo").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut demo = Demo(command.spawn().unwrap());
    let stdout = Lines::of(demo.0.stdout.take().unwrap());
    let stderr = Lines::of(demo.0.stderr.take().unwrap());
    eventually(PATIENCE, "the last line of the welcome", || {
        stdout.so_far().iter().any(|line| line.contains("Ctrl-C")).then_some(())
    });
    let text = stdout.so_far().join("\n");
    assert!(text.contains("relay works"), "{text} {:#?}", stderr.so_far());

    let block = &text[text.find("iceServers").unwrap()..];
    let block = &block[block.find('\n').unwrap()..];
    let mut values = serde_json::Deserializer::from_str(block).into_iter::<serde_json::Value>();
    let servers = values.next().expect("a JSON value").unwrap();
    let turn = servers.as_array().unwrap().iter().find(|server| !server["username"].is_null()).unwrap();
    let (name, password) = (turn["username"].as_str().unwrap(), turn["credential"].as_str().unwrap());
    for url in turn["urls"].as_array().unwrap() {
        // The client knows no TLS.
        let Some(address) = url.as_str().unwrap().strip_prefix("turn:") else { continue };
        allocate(address.split('?').next().unwrap(), name, password);
    }
    let token = |user: &str| {
        let found = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{user}: \"")));
        found.unwrap().split('"').next().unwrap().to_owned()
    };
    let signaling =
        text.lines().find_map(|line| line.strip_prefix("signaling for Socket.IO: http://")).unwrap();
    let public = signaling.split('/').next().unwrap().parse().unwrap();
    let mut bob = Polling::open(public, "/socket.io/");
    assert!(bob.connect("/", &token("bob"))["pid"].is_string());
    bob.await_event("connection:established");
    call_by_the_printed_program(NAME, &text);
    call_by_the_test_page(public, &text);
    let metrics = text.lines().find_map(|line| line.strip_prefix("metrics: http://")).unwrap();
    let (host, path) = metrics.split_once('/').unwrap();
    assert_eq!(http_get(host.parse().unwrap(), &format!("/{path}")).unwrap().0, 200);

    log_in_to_the_dashboard(&text);

    send_signal(&demo.0, libc::SIGINT);
    let status = wait(&mut demo.0, PATIENCE).expect("Ctrl-C ends it");
    assert_eq!(status.code(), Some(0), "{:#?}", stderr.so_far());
    let config = text.split("turnstone --config ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(!Path::new(config).parent().unwrap().exists(), "its folder is gone: {config}");
}

fn log_in_to_the_dashboard(text: &str) {
    let dashboard = text.lines().find_map(|line| line.strip_prefix("dashboard: http://")).unwrap();
    let (host, key) = dashboard.split_once("/ for the API key ").unwrap();
    let admin: SocketAddr = host.parse().unwrap();
    assert!(http_get(admin, "/").unwrap().1.contains("<script"));
    let body = serde_json::json!({ "key": key }).to_string();
    let (status, _, told) = ask(TcpStream::connect(admin).unwrap(), "POST", "/v1/login", &[], &body);
    assert_eq!((status, told["csrf"].is_string()), (200, true), "{told}");
}

/// Opens both printed URLs, and asks with the printed key for what the page asks for.
fn call_by_the_test_page(public: SocketAddr, text: &str) {
    let pages: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("test page: ")).collect();
    let [here, others] = pages[..] else { panic!("{pages:?}") };
    assert!(here.starts_with(&format!("http://localhost:{}/test#key=tsk_", public.port())), "{here}");
    let (page, key) = others.strip_prefix("https://").unwrap().split_once("/test#key=").unwrap();
    let version = &rustls::version::TLS13;
    let mut link =
        Link::secure(TcpStream::connect(page).unwrap(), version, "localhost", &[b"http/1.1"]).unwrap();
    let (status, head, _) = ask(&mut link, "GET", "/test", &[], "");
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{head}");
    let key = format!("Authorization: Bearer {key}");
    let participants = |stream| ask(stream, "POST", "/test/participants", &[&key], "");
    let (status, _, made) = participants(TcpStream::connect(public).unwrap());
    assert_eq!((status, made["participants"].as_array().map(Vec::len)), (201, Some(2)), "{made}");
}

/// Pastes the printed program and runs it as both users, as the text says.
fn call_by_the_printed_program(test: &str, text: &str) {
    let packages = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/node/node_modules");
    if !Path::new(packages).join("socket.io-client").exists() {
        return skip(test, "socket.io-client is not installed: npm ci in tests/foreign/node");
    }
    let start = text.find("import {").unwrap();
    let program = &text[start..start + text[start..].find("\n\n").unwrap()];
    let folder = Folder::new();
    let path = folder.write("call.mjs", program);
    std::os::unix::fs::symlink(packages, folder.path().join("node_modules")).unwrap();
    let run = |user: &str| {
        let mut command = Command::new("node");
        let child = command.arg(&path).arg(user).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("node runs");
        let lines = Lines::of(child.stdout.take().unwrap());
        (Demo(child), lines)
    };
    let said =
        |lines: &Lines, word: &str| lines.so_far().iter().any(|line| line.contains(word)).then_some(());
    let (_bob, bob) = run("bob");
    eventually(PATIENCE, "bob is in", || said(&bob, "connection:established"));
    let (_alice, alice) = run("alice");
    eventually(PATIENCE, "bob rings", || said(&bob, "call:incoming"));
    eventually(PATIENCE, "alice hears that bob accepted", || said(&alice, "call:accepted"));
    assert!(alice.so_far().iter().any(|line| line.contains("credential:")), "{:#?}", alice.so_far());
}

/// What a stranger's client does with the printed block.
fn allocate(server: &str, username: &str, password: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::new(ClientConfig {
            stun_serv_addr: server.into(),
            turn_serv_addr: server.into(),
            username: username.into(),
            password: password.into(),
            realm: "turn".into(),
            software: String::new(),
            rto_in_ms: 0,
            conn: Arc::new(UdpSocket::bind("0.0.0.0:0").await.unwrap()),
            vnet: None,
        });
        let client = client.await.unwrap();
        client.listen().await.unwrap();
        let relay = timeout(PATIENCE, client.allocate()).await.unwrap().unwrap();
        assert_eq!(relay.local_addr().unwrap().ip().to_string(), server.rsplit_once(':').unwrap().0);
        relay.close().await.unwrap();
        client.close().await.unwrap();
    });
}

/// Killed when the test fails halfway.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}
