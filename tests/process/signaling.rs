//! Signaling as an operator sets it up: what the keys of `[signaling]` change for clients.

use crate::daemon::{Config, Daemon, verb};
use crate::polling::Polling;
use crate::token::{JWT, public, token};
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn a_namespace_without_recovery_has_no_private_id_and_no_argument_more() {
    let names = "[signaling]\nnamespaces = [\"/\", \"/chat\"]\nnamespaces_without_recovery = [\"/chat\"]\n";
    let config = Config { sections: format!("{names}{JWT}"), ..public() };
    let daemon = Daemon::start(&config);
    let alice = token(&daemon, "alice", &[]);
    for (namespace, prefix, recovers) in [("/", "", true), ("/chat", "/chat,", false)] {
        let mut client = Polling::open(config.public.unwrap(), "/socket.io/");
        let connected = client.connect(namespace, &alice);
        assert_eq!(connected["pid"].is_string(), recovers, "{namespace}: {connected}");
        client.post(&format!("42{prefix}[\"heartbeat\",{{}}]"));
        for event in ["connection:established", "heartbeat:ack"] {
            let arguments = client.await_event(event);
            assert_eq!(arguments.len(), if recovers { 2 } else { 1 }, "{namespace}: {event}: {arguments:?}");
        }
    }
    let mut client = Polling::open(config.public.unwrap(), "/socket.io/");
    assert_eq!(client.connect("/elsewhere", &alice)["message"], "Invalid namespace");
}

#[test]
fn pings_come_as_often_as_the_config_says_and_a_reload_changes_rooms() {
    let sections = format!("[signaling]\nping_interval = \"1s\"\nping_timeout = \"2s\"\n{JWT}");
    let config = Config { sections: sections.clone(), ..public() };
    let daemon = Daemon::start(&config);
    let public = config.public.unwrap();
    let mut client = Polling::open(public, "/socket.io/");
    assert_eq!((&client.open["pingInterval"], &client.open["pingTimeout"]), (&1_000.into(), &2_000.into()));
    client.connect("/", &token(&daemon, "alice", &[]));
    client.post("42[\"room:join\",{\"room\":\"a\"}]");
    let closed = sections.replace("[signaling]\n", "[signaling]\nopen_rooms = false\n");
    daemon.write_config(&Config { sections: closed, ..config }.text());
    daemon.signal(libc::SIGHUP);
    crate::daemon::eventually(crate::daemon::PATIENCE, "a room is closed", || {
        client.post("42[\"room:join\",{\"room\":\"b\"},null]");
        client.post("42[\"heartbeat\",{}]");
        client.saw_before("error", "heartbeat:ack").then_some(())
    });
    // The session lives on from ping to ping.
    client.await_ping();
    client.await_ping();
    client.post("42[\"heartbeat\",{}]");
    client.await_event("heartbeat:ack");
}

#[test]
fn what_the_public_side_refuses_is_counted_by_reason() {
    let config = public().limits("connections_total = 8\nconnections_per_source = 0");
    let daemon = Daemon::start(&config);
    let server = config.public.unwrap();
    let refused = |reason: &str| format!("turnstone_public_refusals_total{{reason=\"{reason}\"}}");
    let metrics = daemon.metrics();
    assert_eq!(metrics.sum("turnstone_public_refusals_total{"), 0.0);
    assert_eq!(metrics.get(&refused("too_slow")), 0.0, "each has its series from the start");
    let poll = "/socket.io/?EIO=4&transport=polling";
    for (request, status, reason) in [
        (format!("GET {poll} HTTP/1.1\r\nOrigin: https://evil.example"), "403", "origin"),
        (format!("PUT {poll} HTTP/1.1"), "400", "method"),
        ("GET /ws HTTP/1.1".to_owned(), "400", "handshake"),
        (format!("POST {poll}&sid=a HTTP/1.1\r\nContent-Length: 99999999"), "413", "too_large"),
        (
            format!("POST {poll}&sid=a HTTP/1.1\r\nContent-Type: image/png\r\nContent-Length: 1"),
            "415",
            "content_type",
        ),
    ] {
        let mut stream = TcpStream::connect(server).unwrap();
        stream
            .write_all(format!("{request}\r\nHost: {server}\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head[9..], status.as_bytes(), "{request}");
        daemon.await_metric(&refused(reason), |count| count == 1.0);
    }
    let held: Vec<_> = (0..9).map(|_| TcpStream::connect(server).unwrap()).collect();
    daemon.await_metric(&refused("no_place"), |count| count >= 1.0);
    drop(held);
}

#[test]
fn check_config_says_where_clients_go_and_whether_they_get_in() {
    let config = public();
    let address = config.public.unwrap();
    let ended = verb(&["check-config"], &config.text());
    for words in [
        format!("Socket.IO        http://{address}/socket.io/"),
        format!("plain WebSocket  ws://{address}/ws"),
        "signaling.limits.sessions_total".to_owned(),
    ] {
        assert!(ended.stdout.contains(&words), "no {words} in {}", ended.stdout);
    }
    let nobody = Config { sections: "[signaling]\nopen_rooms = false\n".into(), ..config };
    let ended = verb(&["check-config"], &nobody.text());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("nobody gets in to signaling"), "{}", ended.stderr);
    assert!(ended.stdout.contains("nobody gets in, since [auth.jwt] names no key"), "{}", ended.stdout);
    let ended = verb(&["check-config", "--json"], &nobody.text());
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["signaling"]["lets_clients_in"], false);
    assert_eq!(report["signaling"]["plain"][0], format!("ws://{address}/ws"));
}
