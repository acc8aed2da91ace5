//! The daemon stops with everybody in it.

use crate::honest::Honest;
use crate::place::Place;
use crate::polling::enter;
use crate::raw::{Raw, answer, connect};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The daemon ends within this, whatever its clients do.
const BOUND: Duration = Duration::from_secs(12);

fn everybody_hears_of_a_stop(signal: i32) {
    let (mut place, mut pair) = Place::with_pair();
    let mut sockets: Vec<Honest> = (0..100)
        .map(|number| match number % 2 {
            0 => Honest::plain(place.public, &format!("user-{number}")),
            _ => Honest::socket_io(place.public, &format!("user-{number}")),
        })
        .collect();
    let sid = enter(&place, "poller", "");
    let mut poll = connect(place.public);
    write!(poll, "GET /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    // Some say nothing, some do not read, some come again and again while the daemon goes.
    let _silent: Vec<Raw> = (0..20).map(|_| Raw::plain(&place)).collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let newcomers = {
        let (public, is_over) = (place.public, Arc::clone(&is_over));
        thread::spawn(move || {
            let mut held = Vec::new();
            while !is_over.load(Ordering::Relaxed) && held.len() < 2_000 {
                let Ok(mut stream) = TcpStream::connect(public) else { break };
                let _gone = stream.write_all(
                    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                      Sec-WebSocket-Protocol: turnstone.v1.json\r\n\r\n",
                );
                held.push(stream);
                thread::park_timeout(Duration::from_millis(10));
            }
        })
    };
    pair.goes_on();
    place.daemon.signal(signal);
    for one in [&mut pair.caller, &mut pair.callee] {
        let events = one.until_closed();
        assert!(
            !events.iter().any(|(name, _)| name == "call:end"),
            "the next start goes on with it: {events:?}"
        );
        assert!(events.iter().any(|(name, _)| name == "server:shutdown"), "{events:?}");
        assert_eq!(one.closed, Some(1001));
    }
    for one in &mut sockets {
        let events = one.until_closed();
        let told = events.iter().find(|(name, _)| name == "server:shutdown");
        assert!(told.is_some_and(|(_, data)| data["retry_after_ms"].is_u64()), "{events:?}");
        assert_eq!(one.closed, Some(1001));
    }
    let (status, body) = answer(&mut poll).unwrap();
    assert!(status == 200 && body.contains("server:shutdown"), "{status} {body}");
    assert_eq!(place.daemon.exit_code(BOUND), 0);
    is_over.store(true, Ordering::Relaxed);
    newcomers.join().unwrap();
}

#[test]
fn sigterm_tells_everybody_and_ends_in_time() {
    everybody_hears_of_a_stop(libc::SIGTERM);
}

#[test]
fn sigint_tells_everybody_and_ends_in_time() {
    everybody_hears_of_a_stop(libc::SIGINT);
}
