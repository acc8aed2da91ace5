//! Engine.IO by long polling: transport ids of others, overlapping requests, bodies without end.

use crate::place::{PAGE, Place, config, full_or, token};
use crate::raw::{Heard, Raw, answer, connect, http};
use crate::tls_client::Link;
use serde_json::json;
use std::io::{Read, Write};

const PATH: &str = "/socket.io/?EIO=4&transport=polling";
const OTHER_PAGE: &str = "https://other.example.org";

pub(crate) fn get(place: &Place, sid: &str, headers: &str) -> (u16, String) {
    let sid = if sid.is_empty() { String::new() } else { format!("&sid={sid}") };
    http(&mut connect(place.public), &format!("GET {PATH}{sid}"), headers, b"").unwrap()
}

pub(crate) fn post(place: &Place, sid: &str, headers: &str, body: &[u8]) -> (u16, String) {
    http(&mut connect(place.public), &format!("POST {PATH}&sid={sid}"), headers, body).unwrap()
}

/// Opens a session and gives its transport id.
pub(crate) fn open(place: &Place, headers: &str) -> String {
    let (status, body) = get(place, "", headers);
    assert_eq!(status, 200, "{body}");
    body.split('"').nth(3).unwrap().to_owned()
}

/// Opens one that is in a namespace.
pub(crate) fn enter(place: &Place, user: &str, headers: &str) -> String {
    let sid = open(place, headers);
    let connect = format!("40{}", json!({ "token": token(user) }));
    assert_eq!(post(place, &sid, headers, connect.as_bytes()), (200, "ok".into()));
    let (status, body) = get(place, &sid, headers);
    assert!(status == 200 && body.starts_with("40{"), "{body}");
    sid
}

fn upgrade(place: &Place, sid: &str, headers: &str) -> Raw {
    let path = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
    Raw::upgrade(connect(place.public), &path, headers).unwrap()
}

/// A session that still answers, whoever else has tried what.
#[track_caller]
fn lives(place: &Place, sid: &str) {
    assert_eq!(post(place, sid, "", b"421[\"heartbeat\",{}]"), (200, "ok".into()));
    let (status, body) = get(place, sid, "");
    assert!(status == 200 && body.contains("431["), "{status} {body}");
}

#[test]
fn a_transport_id_is_of_no_use_to_another_page_or_at_another_path() {
    let both = format!("[\"{PAGE}\", \"{OTHER_PAGE}\"]");
    let mut config = config("socketio_paths = [\"/socket.io/\", \"/api/socket/\"]\n");
    config.sections = config.sections.replace(&format!("[\"{PAGE}\"]"), &both);
    let place = Place::of(config);
    let mine = format!("Origin: {PAGE}\r\n");
    let sid = enter(&place, "owner", &mine);
    let theirs = format!("Origin: {OTHER_PAGE}\r\n");
    let (status, body) = get(&place, &sid, &theirs);
    assert!(status == 400 && body.contains("Session ID unknown"), "{body}");
    assert_eq!(post(&place, &sid, &theirs, b"41").0, 400);
    assert_eq!(upgrade(&place, &sid, &theirs).hear(), Heard::Close(1008));
    let elsewhere = format!("GET /api/socket/?EIO=4&transport=polling&sid={sid}");
    assert_eq!(http(&mut connect(place.public), &elsewhere, &mine, b"").unwrap().0, 400);
    // A browser leaves the origin out where the page is of the same one.
    lives(&place, &sid);
    // A page that is not let in at all never comes so far.
    let foreign = "Origin: https://evil.example\r\n";
    assert_eq!(get(&place, &sid, foreign).0, 403);
    assert_eq!(post(&place, &sid, foreign, b"41").0, 403);
    lives(&place, &sid);
}

#[test]
fn a_transport_id_that_a_client_chose_is_no_session() {
    let (place, mut pair) = Place::with_pair();
    for sid in ["chosen-by-the-attacker", "AAAAAAAAAAAAAAAAAAAAAA", "__proto__", "0", &"a".repeat(4000)] {
        for _ in 0..2 {
            assert_eq!(get(&place, sid, "").0, 400, "{sid}");
            assert_eq!(post(&place, sid, "", b"40").0, 400, "{sid}");
        }
    }
    assert_eq!(upgrade(&place, "AAAAAAAAAAAAAAAAAAAAAA", "").hear(), Heard::Close(1008));
    let (status, body) =
        http(&mut connect(place.public), "GET /socket.io/?EIO=3&transport=polling", "", b"").unwrap();
    assert!(status == 400 && body.contains("Unsupported protocol version"), "{body}");
    pair.goes_on();
    place.await_connections(2);
}

#[test]
fn an_upgrade_is_not_to_be_had_twice() {
    let (place, mut pair) = Place::with_pair();
    let sid = enter(&place, "owner", "");
    let mut socket = upgrade(&place, &sid, "");
    socket.text("2probe");
    assert_eq!(socket.hear(), Heard::Text("3probe".into()));
    assert_eq!(upgrade(&place, &sid, "").hear(), Heard::Close(1008), "while the first is probed");
    socket.text("5");
    socket.text("421[\"heartbeat\",{}]");
    socket.until(|text| text.starts_with("431["));
    for _ in 0..3 {
        assert_eq!(upgrade(&place, &sid, "").hear(), Heard::Close(1008), "after it");
        assert_eq!(get(&place, &sid, "").0, 400);
        assert_eq!(post(&place, &sid, "", b"41").0, 400);
    }
    socket.text("422[\"heartbeat\",{}]");
    socket.until(|text| text.starts_with("432["));
    pair.goes_on();
}

#[test]
fn a_candidate_that_misbehaves_takes_nothing_from_the_session() {
    let (place, mut pair) = Place::with_pair();
    let sid = enter(&place, "owner", "");
    for first in ["5", "2", "40", "42[\"call:end\",{}]", "x", "2probe-more"] {
        let mut socket = upgrade(&place, &sid, "");
        socket.text(first);
        assert_eq!(socket.until_closed().0, Vec::<String>::new(), "{first}");
        lives(&place, &sid);
    }
    pair.goes_on();
}

#[test]
fn a_second_get_ends_the_session_and_a_second_post_does_no_harm() {
    let (place, mut pair) = Place::with_pair();
    let sid = enter(&place, "owner", "");
    let mut posts = [connect(place.public), connect(place.public)];
    for link in &mut posts {
        write!(link, "POST {PATH}&sid={sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n").unwrap();
    }
    for link in &mut posts {
        link.write_all(b"6").unwrap();
    }
    assert_eq!(answer(&mut posts[0]).unwrap(), (200, "ok".into()));
    assert_eq!(answer(&mut posts[1]).unwrap(), (200, "ok".into()));
    let mut waits = connect(place.public);
    write!(waits, "GET {PATH}&sid={sid} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    // Whichever comes first waits, and hears that the session is over; a third finds none.
    let (status, _) = get(&place, &sid, "");
    let (first, farewell) = answer(&mut waits).unwrap();
    assert!([status, first].contains(&400), "{status} {first} {farewell}");
    assert_eq!(get(&place, &sid, "").0, 400);
    pair.goes_on();
    place.await_connections(2);
}

#[test]
fn a_body_that_is_too_long_is_not_kept() {
    let (place, mut pair) = Place::with_pair();
    let sid = enter(&place, "owner", "");
    let line = format!("POST {PATH}&sid={sid} HTTP/1.1\r\nHost: x\r\n");
    let before = place.memory();
    let mut endless: Vec<Link> = (0..20).map(|_| connect(place.public)).collect();
    for (number, link) in endless.iter_mut().enumerate() {
        if number % 2 == 0 {
            write!(link, "{line}Content-Length: 100000000\r\n\r\n").unwrap();
        } else {
            write!(link, "{line}Transfer-Encoding: chunked\r\n\r\n").unwrap();
            let chunk = [b"4000\r\n".as_slice(), &[b'4'; 0x4000], b"\r\n"].concat();
            // The server stops reading at some point.
            while link.write_all(&chunk).is_ok() {}
        }
    }
    for link in &mut endless {
        let mut status = [0; 12];
        // One that is still written to may only see a reset.
        if link.read_exact(&mut status).is_ok() {
            assert_eq!(&status, b"HTTP/1.1 413");
        }
    }
    let grown = place.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "grown by {grown} bytes");
    lives(&place, &sid);
    pair.goes_on();
}

#[test]
fn a_body_of_very_many_packets_ends_its_session() {
    let (place, mut pair) = Place::with_pair();
    for packet in ["4", "3", "6", "2", "40", "42[]", "b"] {
        let sid = enter(&place, "owner", "");
        let packets = vec![packet; 80_000 / (packet.len() + 1)].join("\x1e");
        let (status, _) = post(&place, &sid, "", packets.as_bytes());
        assert_eq!(status, 400, "{packet}");
        assert_eq!(get(&place, &sid, "").0, 400, "{packet}");
    }
    pair.goes_on();
    place.await_connections(2);
}

#[test]
fn one_source_opens_so_many_sessions_and_others_still_come_in() {
    let config = config("");
    let lines = "trusted_proxies = [\"127.0.0.1/32\"]\n";
    let config = crate::daemon::Config { sections: format!("{lines}{}", config.sections), ..config };
    let place = Place::of(config);
    let count = full_or(10_000, 600);
    let before = place.memory();
    let mut link = connect(place.public);
    let mut opened = 0;
    for number in 0..count {
        // What the client itself claims stands to the left of what the proxy has seen.
        let headers = format!("X-Forwarded-For: 192.0.2.{}, 198.51.100.7\r\n", number % 250);
        match http(&mut link, &format!("GET {PATH}"), &headers, b"").unwrap() {
            (200, _) => opened += 1,
            (status, body) => assert!(status == 503 && body.contains("try again"), "{status} {body}"),
        }
    }
    assert!(opened >= 200 && opened < count, "{opened}");
    let other = "X-Forwarded-For: 198.51.100.8\r\n";
    let sid = enter(&place, "honest", other);
    lives(&place, &sid);
    let grown = place.memory().saturating_sub(before);
    assert!(grown < 8 << 20, "grown by {grown} bytes");
}

#[test]
fn what_is_posted_to_a_session_that_went_on_elsewhere_is_not_taken_for_said() {
    let (place, mut pair) = Place::with_pair();
    let sid = open(&place, "");
    let hello = format!("40{}", json!({ "token": token("mover") }));
    assert_eq!(post(&place, &sid, "", hello.as_bytes()), (200, "ok".into()));
    let (_, welcome) = get(&place, &sid, "");
    let pid = welcome.split("\"pid\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let mut elsewhere = Raw::plain(&place);
    elsewhere.text(&json!({ "hello": { "token": token("mover"), "resume": { "pid": pid } } }).to_string());
    assert!(matches!(elsewhere.hear(), Heard::Text(text) if text.starts_with("{\"welcome\"")));
    assert_eq!(post(&place, &sid, "", b"42[\"heartbeat\",{}]").0, 400);
    pair.goes_on();
}
