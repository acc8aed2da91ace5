//! What strangers say stays out of the log, tokens at any level, and no line is theirs (S5, L1).

use crate::daemon::{PATIENCE, eventually};
use crate::honest::Pair;
use crate::place::{Place, config, signed, token};
use crate::polling::open;
use crate::raw::{Raw, connect, http};
use serde_json::json;

/// Is nowhere but in tokens, secrets and transport ids.
const CANARY: &str = "c4n4ry";

const NASTY: &str = "a\r\n2026-01-01 ERROR forged\u{1b}[31m\u{0}\u{7}\u{202e}%n%s\u{2028}";

fn place(level: &str, query: bool) -> Place {
    let mut config = config("");
    config.sections = format!("{}[log]\nlevel = \"{level}\"\n", config.sections);
    if query {
        config.sections = config.sections.replace("[signaling]", "query = true\ncookie = \"c\"\n[signaling]");
    }
    Place::of(config)
}

/// A request whose headers and path have everything in them that HTTP lets through.
fn nasty_requests(place: &Place) {
    let token = format!("{CANARY}.{CANARY}.{CANARY}");
    let headers = format!(
        "Authorization: Bearer {token}\r\nCookie: c={token}\r\nUser-Agent: \x1b[31m{CANARY}\r\n\
         X-Forwarded-For: \x1b[2J, {CANARY}\r\nX-Request-Id: %n%s{CANARY}\r\n"
    );
    for path in [
        format!("/socket.io/?EIO=4&transport=polling&token={token}"),
        format!("/socket.io/?EIO=4&transport=polling&sid={CANARY}"),
        format!("/ws?token={token}%0d%0aforged"),
        format!("/{CANARY}%0d%0a%1b[31m"),
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let _closed = http(&mut connect(place.public), &format!("{method} {path}"), &headers, b"");
        }
    }
    let forged = format!("Origin: https://{CANARY}.example\x1b[31m\r\n");
    let _closed = http(&mut connect(place.public), "GET /ws", &forged, b"");
    let mut raw = connect(place.public);
    let _closed = http(&mut raw, "GET /ws\x1b[31m\x00", "", b"");
}

/// Everything that a client can say, with control characters and the canary in it.
fn nasty_clients(place: &Place) {
    let offers =
        format!("Sec-WebSocket-Protocol: turnstone.v1.json, turnstone.token.{CANARY}.{CANARY}.x\r\n");
    let mut raw = Raw::upgrade(connect(place.public), "/ws", &offers).unwrap();
    raw.text("{\"hello\":{}}");
    raw.until_closed();
    for hello in [
        json!({ "hello": { "token": format!("{CANARY}.{NASTY}") } }),
        json!({ "hello": { "token": token("owner"), "device": NASTY } }),
        json!({ "hello": { "token": token("owner"), "resume": { "pid": CANARY, "offset": NASTY } } }),
        json!({ "hello": { "token": signed(&json!({ "sub": NASTY, "exp": 9_999_999_999_u64, "name": NASTY })) } }),
        json!({ NASTY: CANARY }),
    ] {
        let mut raw = Raw::plain(place);
        raw.text(&hello.to_string());
        raw.hear();
    }
    let mut raw = Raw::engine_in(place, "nasty");
    for (event, data) in [
        (NASTY, json!({})),
        ("room:join", json!({ "room": NASTY })),
        ("call:start", json!({ "to": NASTY, "client_ref": NASTY, "data": NASTY })),
        ("call:end", json!({ "call_id": NASTY, "reason": NASTY })),
        ("presence:set", json!({ "status": NASTY, "meta": NASTY })),
        ("auth:refresh", json!({ "token": format!("{CANARY}.{CANARY}.{CANARY}") })),
        ("event:emit", json!({ "to": NASTY, "name": NASTY, "data": NASTY })),
    ] {
        raw.text(&format!("42{}", json!([event, data])));
    }
    raw.text("429[\"heartbeat\",{}]");
    raw.until(|text| text.starts_with("439["));
    raw.text(&format!("40/{CANARY}\u{1b}[31m,{}", json!({ "token": CANARY })));
    assert_eq!(raw.until_closed().1, Some(1007));
}

#[test]
fn no_token_is_in_a_log_line_or_a_metric_at_any_level() {
    for query in [false, true] {
        let place = place("trace", query);
        let mut pair = Pair::in_call(&place);
        nasty_requests(&place);
        nasty_clients(&place);
        let sid = open(&place, "");
        pair.goes_on();
        let good = token("honest-caller");
        let log = eventually(PATIENCE, "the log has come so far", || {
            let log = place.daemon.log();
            log.iter().filter(|line| line.contains("a signaling client came")).nth(5).is_some().then_some(log)
        });
        for line in &log {
            assert!(!line.contains(CANARY), "{line}");
            assert!(!line.contains(&sid) && !line.contains(&good) && !line.contains("eyJ"), "{line}");
            assert!(!line.contains("forged") || line.contains("\\n"), "a line of their own: {line}");
            assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
            assert!(line.len() < 4096, "{line}");
        }
        let (_, metrics) = place.daemon.get("/metrics");
        assert!(!metrics.contains(CANARY) && !metrics.contains("forged"));
    }
}

#[test]
fn strangers_fill_no_log() {
    let place = place("info", false);
    let mut pair = Pair::in_call(&place);
    let before = place.daemon.log().len();
    for _ in 0..5 {
        nasty_requests(&place);
        nasty_clients(&place);
    }
    pair.goes_on();
    let log = place.daemon.log();
    // One warning says that pages are refused, however many they are.
    assert!(log.len() <= before + 1, "{:#?}", &log[before..]);
}
