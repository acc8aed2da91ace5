//! Who comes in by which door: origins, cookies, TLS, and signaling that is switched off or has no key.

use crate::daemon::{Config, Daemon, PATIENCE, eventually};
use crate::honest::{Honest, Pair};
use crate::place::{PAGE, Place, config, token};
use crate::raw::{Heard, Raw, TEXT, connect, frame, header_and, http};
use crate::tls_client::Link;
use serde_json::json;
use std::net::TcpStream;

const PLAIN: &str = "Sec-WebSocket-Protocol: turnstone.v1.json\r\n";
const ENGINE: &str = "/socket.io/?EIO=4&transport=websocket";
const POLL: &str = "/socket.io/?EIO=4&transport=polling";

fn secure(place: &Place) -> Link {
    let socket = TcpStream::connect(place.daemon.server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Link::secure(socket, &rustls::version::TLS13, "turn.example.org", &[b"http/1.1"]).unwrap()
}

#[test]
fn a_foreign_page_is_refused_on_every_way_in() {
    let (place, mut pair) = Place::with_pair();
    for origin in [
        "https://evil.example",
        "https://app.example.org.evil.example",
        "https://app.example.org:8443",
        "http://app.example.org",
        "null",
        "https://APP.example.org/",
        "",
    ] {
        let headers = format!("Origin: {origin}\r\n");
        for line in [format!("GET {POLL}"), format!("POST {POLL}&sid=AAAAAAAAAAAAAAAAAAAAAA")] {
            let (status, _) = http(&mut connect(place.public), &line, &headers, b"").unwrap();
            assert_eq!(status, 403, "{origin}: {line}");
        }
        for (path, more) in [(ENGINE, ""), ("/ws", PLAIN)] {
            let refused = Raw::upgrade(connect(place.public), path, &format!("{headers}{more}"));
            assert_eq!(refused.err().map(|(status, _)| status), Some(403), "{origin}: {path}");
        }
    }
    let own = format!("Origin: {PAGE}\r\n");
    assert!(Raw::upgrade(connect(place.public), ENGINE, &own).is_ok());
    pair.goes_on();
}

/// What the first message of the server says to a client that brings its token along and none in its hello.
fn enters(place: &Place, path: &str, headers: &str) -> bool {
    let mut raw = Raw::upgrade(connect(place.public), path, &format!("{PLAIN}{headers}")).unwrap();
    raw.text("{\"hello\":{}}");
    let Heard::Text(text) = raw.hear() else { panic!("an answer") };
    text.starts_with("{\"welcome\"")
}

#[test]
fn a_token_in_the_query_or_a_cookie_counts_only_where_the_config_says_so() {
    let token = token("owner");
    let query = format!("/ws?token={token}");
    let cookie = format!("Origin: {PAGE}\r\nCookie: session={token}\r\n");
    let place = Place::new();
    assert!(!enters(&place, &query, ""));
    assert!(!enters(&place, "/ws", &cookie));
    assert!(enters(&place, "/ws", &format!("Authorization: Bearer {token}\r\n")));
    let mut config = config("");
    config.sections =
        config.sections.replace("[signaling]", "query = true\ncookie = \"session\"\n[signaling]");
    let place = Place::of(config);
    assert!(enters(&place, &query, ""));
    assert!(enters(&place, "/ws", &cookie));
    let elsewhere = format!("Sec-Fetch-Site: cross-site\r\nCookie: session={token}\r\n");
    assert!(!enters(&place, "/ws", &elsewhere), "a cookie that another page has its visitor's browser send");
}

#[test]
fn behind_tls_bad_frames_get_the_same() {
    let mut config = config("");
    config.transports = "\"udp\", \"tcp\", \"tls\"";
    config.sections = format!("{}[tls]\nmode = \"self-signed\"\n", config.sections);
    let place = Place::of(config);
    let mut pair = Pair::in_call(&place);
    let engine_in = |user: &str| {
        let mut raw = Raw::upgrade(secure(&place), ENGINE, "").unwrap();
        raw.hear();
        raw.text(&format!("40{}", json!({ "token": token(user) })));
        assert!(matches!(raw.hear(), Heard::Text(text) if text.starts_with("40{")));
        raw
    };
    let mut fragments = header_and(TEXT, 1, b"4");
    fragments.extend((0..2000).flat_map(|_| header_and(0, 0, b"")));
    for (what, bytes, code) in [
        ("a frame without a mask", vec![0x81, 1, b'x'], 1002),
        ("a length of 2^63 - 1", header_and(0x81, u64::MAX >> 1, b"x"), 1009),
        ("fragments without end", fragments, 1008),
        ("more attachments than there may be", frame(TEXT, b"45599999999-[\"x\"]"), 1007),
        ("60,000 lists in each other", frame(TEXT, &[b"42".as_slice(), &[b'['; 60_000]].concat()), 1007),
    ] {
        let mut raw = engine_in("bad");
        let _closed = raw.try_send(&bytes);
        assert_eq!(raw.until_closed().1, Some(code), "{what}");
    }
    // Bytes that are no records, a half-closed connection, and a flood that is not read.
    let mut garbage = engine_in("garbage");
    std::io::Write::write_all(&mut garbage.link.socket, &[0x17, 3, 3, 0, 32, 7].repeat(50)).unwrap();
    garbage.link.socket.shutdown(std::net::Shutdown::Write).unwrap();
    let half = engine_in("half");
    half.link.socket.shutdown(std::net::Shutdown::Write).unwrap();
    let before = place.memory();
    let mut flood = engine_in("flood");
    let pings = frame(crate::raw::PING, &[b'x'; 125]).repeat(100);
    for _ in 0..200 {
        flood.try_send(&pings).unwrap();
    }
    flood.text("421[\"heartbeat\",{}]");
    flood.until(|text| text.starts_with("431["));
    assert!(place.memory().saturating_sub(before) < 4 << 20);
    drop((garbage, half, flood));
    pair.goes_on();
    place.await_connections(2);
    place.rests();
}

#[test]
fn a_reload_of_the_pages_cuts_no_socket_that_is_open() {
    let (place, mut pair) = Place::with_pair();
    let mine = format!("Origin: {PAGE}\r\n");
    let mut open = Raw::upgrade(connect(place.public), ENGINE, &mine).unwrap();
    open.hear();
    open.text(&format!("40{}", json!({ "token": token("open") })));
    let sections = place.config.sections.replace(PAGE, "https://new.example.org");
    place.daemon.write_config(&Config { sections, ..place.config.clone() }.text());
    place.daemon.signal(libc::SIGHUP);
    eventually(PATIENCE, "the old page is refused", || {
        Raw::upgrade(connect(place.public), ENGINE, &mine).is_err().then_some(())
    });
    open.text("421[\"heartbeat\",{}]");
    open.until(|text| text.starts_with("431["));
    assert!(Raw::upgrade(connect(place.public), ENGINE, "Origin: https://new.example.org\r\n").is_ok());
    pair.goes_on();
}

#[test]
fn signaling_that_is_off_has_no_paths_and_without_a_key_lets_nobody_in() {
    let off = config("enabled = false\n");
    let daemon = Daemon::start(&off);
    let public = off.public.unwrap();
    for line in [format!("GET {POLL}"), format!("POST {POLL}"), "GET /ws".to_owned()] {
        assert_eq!(http(&mut connect(public), &line, "", b"").unwrap().0, 404, "{line}");
    }
    assert_eq!(Raw::upgrade(connect(public), "/ws", PLAIN).err().map(|(status, _)| status), Some(404));
    drop(daemon);
    let mut keyless = config("");
    keyless.sections =
        keyless.sections.split_once("[signaling]").map(|(_, rest)| format!("[signaling]{rest}")).unwrap();
    let place = Place::of(keyless);
    let mut raw = Raw::engine(&place);
    raw.text(&format!("40{}", json!({ "token": token("anybody") })));
    let Heard::Text(text) = raw.hear() else { panic!("an answer") };
    assert!(text.starts_with("44{") && text.contains("\"code\":\"unauthorized\""), "{text}");
    let none = crate::token::Signer::secret("")
        .signed_text("{\"alg\":\"none\"}", "{\"sub\":\"x\",\"exp\":9999999999}");
    raw.text(&format!("40{}", json!({ "token": none })));
    assert!(matches!(raw.hear(), Heard::Text(text) if text.starts_with("44{")));
    place.rests();
}

#[test]
fn who_takes_over_a_session_needs_its_private_id_and_a_token_of_its_user() {
    let (place, mut pair) = Place::with_pair();
    let mut raw = Raw::plain(&place);
    raw.text(&json!({ "hello": { "token": token("owner") } }).to_string());
    let Heard::Text(text) = raw.hear() else { panic!("a welcome") };
    let welcome: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (pid, public_id) = (&welcome["welcome"]["pid"], &welcome["welcome"]["session"]);
    for (user, id) in [("thief", pid), ("owner", public_id)] {
        let mut thief = Raw::plain(&place);
        thief.text(&json!({ "hello": { "token": token(user), "resume": { "pid": id } } }).to_string());
        let Heard::Text(text) = thief.hear() else { panic!("a welcome of its own") };
        assert!(text.contains("\"recovered\":false"), "{text}");
    }
    raw.text("{\"id\":1,\"ev\":\"heartbeat\"}");
    raw.until(|text| text.contains("\"re\":1"));
    let mut honest = Honest::plain(place.public, "bystander");
    assert_eq!(honest.ask("heartbeat", json!({})).get("code"), None);
    pair.goes_on();
}
