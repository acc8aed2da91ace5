//! Clients that do not go on: each is closed in time, and costs little until then.

use crate::place::{Place, full_or};
use crate::polling::enter;
use crate::raw::{Heard, Raw, answer, connect, header_and};
use std::io::Write;

#[test]
fn whoever_does_not_go_on_is_closed_in_time() {
    let (place, mut pair) = Place::with_pair();
    let sid = enter(&place, "slow-poster", "");
    let count = full_or(8_000, 600);
    let before = place.memory();
    let mut silent: Vec<Raw> = (0..count)
        .map(|number| if number % 2 == 0 { Raw::plain(&place) } else { Raw::engine(&place) })
        .collect();
    let each = place.memory().saturating_sub(before) / count as u64;
    assert!(each < 16 << 10, "{each} bytes for each");
    // A few bytes are not a hello either.
    for (number, raw) in silent.iter_mut().enumerate() {
        if number % 3 == 0 {
            raw.try_send(&header_and(0x81, 60_000, b"{\"hello\":")).unwrap();
        }
    }
    let mut waits = Raw::engine_in(&place, "waits-for-an-attachment");
    waits.text("451-[\"message\",{\"_placeholder\":true,\"num\":0}]");
    let mut left = Raw::engine_in(&place, "left-its-namespace");
    left.text("41");
    let mut post = connect(place.public);
    let line = "POST /socket.io/?EIO=4&transport=polling&sid=";
    write!(post, "{line}{sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n4").unwrap();
    let mut head = connect(place.public);
    head.write_all(b"GET /socket.io/?EI").unwrap();
    pair.goes_on();
    assert_eq!(answer(&mut post).unwrap().0, 408);
    assert_eq!(waits.until_closed().1, Some(1008));
    for raw in &mut silent {
        assert_eq!(raw.until_closed(), (vec![], Some(1008)));
    }
    assert_eq!(left.hear(), Heard::Close(1008), "it is in no namespace any more");
    let head = answer(&mut head);
    assert!(head.is_err() || head.is_ok_and(|(status, _)| status == 408));
    pair.goes_on();
    // The long poll of the one that posts slowly lives on.
    place.await_connections(3);
    place.rests();
    let grown = place.memory().saturating_sub(before);
    assert!(grown < (4 << 20) + (4 << 10) * count as u64, "{grown} bytes stay");
}

#[test]
fn what_a_request_said_is_not_kept_with_its_connection() {
    let (place, mut pair) = Place::with_pair();
    let path = format!("/ws?{}", "q".repeat(15_000));
    let connect_one = || {
        let headers = "Sec-WebSocket-Protocol: turnstone.v1.json\r\n";
        Raw::upgrade(connect(place.public), &path, headers).unwrap()
    };
    // What one takes at a time stays with the allocator.
    let mut held: Vec<Raw> = (0..100).map(|_| connect_one()).collect();
    let before = place.memory();
    let count = 400;
    held.extend((0..count).map(|_| connect_one()));
    place.await_connections(held.len() + 2);
    let each = place.memory().saturating_sub(before) / count;
    assert!(each < 8 << 10, "{each} bytes for each");
    pair.goes_on();
}
