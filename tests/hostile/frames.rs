//! Bytes that are no WebSocket, and messages that are none of the protocol above.

use crate::honest::Pair;
use crate::place::Place;
use crate::raw::{BINARY, Heard, Raw, TEXT, frame, header_and};

/// What a connection says after its first words, and the code that it is closed with.
fn closes(place: &Place, pair: &mut Pair, one: fn(&Place, &str) -> Raw, cases: &[(&str, Vec<u8>, u16)]) {
    for (number, (what, bytes, code)) in cases.iter().enumerate() {
        let mut raw = one(place, &format!("bad-{number}"));
        let _closed_meanwhile = raw.try_send(bytes);
        let (_, closed) = raw.until_closed();
        assert_eq!(closed, Some(*code), "{what}");
    }
    pair.goes_on();
    place.await_connections(2);
    place.rests();
}

fn text(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes())
}

/// What no WebSocket may be sent, whatever is spoken over it.
fn broken_frames() -> Vec<(&'static str, Vec<u8>, u16)> {
    let mut fragments = header_and(TEXT, 1, b"x");
    fragments.extend((0..2000).flat_map(|_| header_and(0, 1, b"x")));
    vec![
        ("a frame without a mask", vec![0x81, 1, b'x'], 1002),
        ("a continuation of nothing", header_and(0x80, 1, b"x"), 1002),
        ("a message inside a message", [header_and(TEXT, 1, b"x"), text("x")].concat(), 1002),
        ("an opcode that there is not", header_and(0x83, 1, b"x"), 1002),
        ("a compressed message", header_and(0xc1, 1, b"x"), 1002),
        ("a long ping", header_and(0x89, 126, &[b'x'; 126]), 1002),
        ("a ping in fragments", header_and(0x09, 1, b"x"), 1002),
        ("a length of 2^63 - 1", header_and(0x81, u64::MAX >> 1, b"x"), 1009),
        ("a length with its highest bit set", header_and(0x81, u64::MAX, b"x"), 1002),
        ("one byte too many", header_and(0x81, (64 << 10) + 1, b""), 1009),
        (
            "fragments that are too long together",
            { [header_and(TEXT, 60_000, &[b'x'; 60_000]), header_and(0, 60_000, b"")].concat() },
            1009,
        ),
        ("fragments without end", fragments, 1008),
        ("no UTF-8", frame(TEXT, &[0xff, 0xfe]), 1007),
        ("a surrogate as UTF-8", frame(TEXT, &[b'"', 0xed, 0xa0, 0x80, b'"']), 1007),
        ("a close with a code of nobody's", frame(8, &[0, 1]), 1002),
    ]
}

#[test]
fn frames_that_break_the_rules_close_the_connection_and_no_other() {
    let (place, mut pair) = Place::with_pair();
    closes(&place, &mut pair, Raw::plain_in, &broken_frames());
    closes(&place, &mut pair, Raw::engine_in, &broken_frames());
}

#[test]
fn messages_that_are_none_of_the_plain_wire_close_the_connection() {
    let (place, mut pair) = Place::with_pair();
    let deep = format!("{{\"ev\":\"x\",\"data\":{}", "[".repeat(60_000));
    let nested = format!("{{\"ev\":\"x\",\"data\":{}{}}}", "[".repeat(33), "]".repeat(33));
    let cases = [
        ("no JSON", text("{\"ev\":"), 1007),
        ("an empty message", text(""), 1007),
        ("a list", text(r#"[1,"heartbeat",{}]"#), 1007),
        ("no event", text(r#"{"id":1}"#), 1007),
        ("a number for a name", text(r#"{"ev":7}"#), 1007),
        ("an event twice", text(r#"{"ev":"heartbeat","ev":"call:start"}"#), 1007),
        ("a negative id", text(r#"{"id":-1,"ev":"heartbeat"}"#), 1007),
        ("an id above 2^53", text(r#"{"id":9007199254740993,"ev":"heartbeat"}"#), 1007),
        ("half a surrogate pair", text(r#"{"ev":"\ud800"}"#), 1007),
        ("60,000 lists in each other", text(&deep), 1007),
        ("33 lists in each other", text(&nested), 1007),
        ("NUL bytes", text("\0\0\0\0"), 1007),
        ("a binary message", frame(BINARY, b"{}"), 1003),
    ];
    closes(&place, &mut pair, Raw::plain_in, &cases);
    for hello in
        ["{}", "{\"hello\":7}", "{\"hello\":{\"token\":[]}}", "{\"hello\":{\"token\":\"a.b.c\"}}", "["]
    {
        let mut raw = Raw::plain(&place);
        raw.text(hello);
        let (texts, code) = raw.until_closed();
        assert!(texts.len() == 1 && texts[0].starts_with("{\"error\":{\"code\":"), "{hello}: {texts:?}");
        assert_eq!(code, Some(1008), "{hello}");
    }
    pair.goes_on();
}

#[test]
fn packets_that_are_none_of_socket_io_close_the_connection() {
    let (place, mut pair) = Place::with_pair();
    let deep = format!("42[\"x\",{}", "[".repeat(60_000));
    let attachments = String::from("451-[\"message\",{\"_placeholder\":true,\"num\":0}]");
    let cases = [
        ("no packet of Engine.IO", text("x"), 1002),
        ("an empty one", text(""), 1002),
        ("a ping of the client's", text("2"), 1002),
        ("an upgrade without a probe", text("5"), 1002),
        ("an open of the client's", text("0{}"), 1002),
        ("no packet of Socket.IO", text("4"), 1007),
        ("an unknown type", text("49"), 1007),
        ("more attachments than there may be", text("45599999999-[\"x\"]"), 1007),
        ("eleven attachments", text("4511-[\"x\"]"), 1007),
        ("no count of attachments", text("45-[\"x\"]"), 1007),
        ("an object for a name", text("42[{}]"), 1007),
        ("JSON that does not end", text("42[\"x\""), 1007),
        ("an event without a name", text("42[]"), 1007),
        ("an event that is no list", text("42{\"x\":1}"), 1007),
        ("60,000 lists in each other", text(&deep), 1007),
        ("an id without end", text(&format!("42{}[\"x\"]", "9".repeat(40))), 1007),
        ("an attachment that nobody announced", frame(BINARY, b"x"), 1007),
        ("another packet where an attachment is due", [text(&attachments), text("42[\"x\"]")].concat(), 1007),
        (
            "an attachment that is too long with its event",
            { [text(&attachments), frame(BINARY, &[0; 65_500])].concat() },
            1009,
        ),
        ("an event for a namespace that is not open", text("42/admin,[\"x\"]"), 1008),
        ("the same namespace twice", text("40{}"), 1008),
    ];
    closes(&place, &mut pair, Raw::engine_in, &cases);
}

#[test]
fn connects_are_refused_in_words_and_not_without_end() {
    let (place, mut pair) = Place::with_pair();
    for (connect, words) in [
        ("40/admin,", "44/admin,{\"message\":\"Invalid namespace\"}"),
        ("40/__proto__,", "44/__proto__,{\"message\":\"Invalid namespace\"}"),
        ("40", "\"code\":\"unauthorized\""),
        ("40{\"token\":7}", "\"code\":\"bad_request\""),
        ("40{\"token\":\"x\",\"token\":\"y\"}", "\"code\":\"bad_request\""),
        ("40{\"token\":\"a.b.c\"}", "\"code\":\"unauthorized\""),
    ] {
        let mut raw = Raw::engine(&place);
        raw.text(connect);
        let Heard::Text(text) = raw.hear() else { panic!("an answer to {connect}") };
        assert!(text.starts_with("44") && text.contains(words), "{connect}: {text}");
        // In the same connection, again and again.
        for _ in 0..40 {
            raw.text(connect);
        }
        let (texts, code) = raw.until_closed();
        assert!(texts.len() < 40, "{connect}: {}", texts.len());
        assert_eq!(code, Some(1008), "{connect}");
    }
    pair.goes_on();
    place.rests();
}
