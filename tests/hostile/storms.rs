//! Clients that come and break off in every way: nothing of them stays.

use crate::place::{Place, full_or};
use crate::polling::{enter, open};
use crate::raw::{PING, Raw, TEXT, connect, frame, header_and};
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

/// One of each, by their number.
fn break_off(place: &Place, number: usize) {
    let user = format!("passer-{}", number % 40);
    match number % 12 {
        0 => Raw::plain(place).reset(),
        1 => Raw::engine(place).reset(),
        2 => {
            let mut raw = Raw::plain_in(place, &user);
            // A goodbye, so that the session ends at once.
            raw.try_send(&frame(8, &1000u16.to_be_bytes())).unwrap();
            raw.until_closed();
        }
        3 => {
            let mut raw = Raw::engine_in(place, &user);
            raw.text("41");
            raw.try_send(&frame(PING, b"x")).unwrap();
            raw.reset();
        }
        4 => {
            let mut raw = Raw::plain(place);
            raw.try_send(&header_and(TEXT, 50_000, &[b'x'; 30_000])).unwrap();
            raw.reset();
        }
        5 => {
            let mut raw = Raw::plain(place);
            raw.link.socket.shutdown(Shutdown::Write).unwrap();
            raw.until_closed();
        }
        6 => {
            let mut link = connect(place.public);
            link.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: webso").unwrap();
        }
        7 => {
            let sid = open(place, "");
            crate::polling::post(place, &sid, "", b"1");
        }
        8 => {
            // The GET that waits is broken off, and the session with it.
            let sid = enter(place, &user, "");
            crate::polling::post(place, &sid, "", b"41");
            let mut link = connect(place.public);
            write!(link, "GET /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            crate::polling::post(place, &sid, "", b"1");
        }
        9 => {
            let mut raw = Raw::engine_in(place, &user);
            raw.text("41");
            raw.text("no packet");
            raw.until_closed();
        }
        10 => {
            let sid = open(place, "");
            let path = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
            let mut socket = Raw::upgrade(connect(place.public), &path, "").unwrap();
            socket.text("2probe");
            socket.reset();
            crate::polling::post(place, &sid, "", b"1");
        }
        _ => {
            let mut raw = Raw::engine(place);
            raw.try_send(&[0x81]).unwrap();
            raw.link.socket.shutdown(Shutdown::Both).unwrap();
        }
    }
}

#[test]
fn ten_storms_leave_nothing_behind() {
    let (place, mut pair) = Place::with_pair();
    let each = full_or(1_200, 120);
    let mut memory = Vec::new();
    for _ in 0..10 {
        (0..each).for_each(|number| break_off(&place, number));
        place.await_connections(2);
        place.rests();
        pair.goes_on();
        memory.push(place.memory());
    }
    let grown = memory[9].saturating_sub(memory[4]);
    assert!(grown < 2 << 20, "{memory:?}");
    drop(pair);
    place.await_connections(0);
    let sessions = || place.gauge("turnstone_signaling_sessions");
    // The two that were cut off may come back for two minutes.
    assert_eq!(sessions(), 2.0);
    if full_or(1, 0) == 1 {
        crate::daemon::eventually(Duration::from_secs(150), "no session", || {
            (sessions() == 0.0).then_some(())
        });
        place.rests();
    }
}
