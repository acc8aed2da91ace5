//! Any text as a packet, a polling body and a query; any bytes as the life of a session.

use std::borrow::Cow;
use std::time::Duration;
use turnstone::base::Timestamp;
use turnstone::signaling::engine::{Carrier, Control, Engine, Output, Settings};
use turnstone::wire::engine_io::{self, Data, PACKETS_MAX, Packet, Query, SEPARATOR};

pub(crate) fn run(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        check_payload(text);
        if let Ok(query) = Query::parse(text) {
            let parameters: Vec<_> = text.split('&').collect();
            assert!(parameters.contains(&"EIO=4"));
            let sids =
                parameters.iter().filter_map(|pair| pair.strip_prefix("sid=")).find(|sid| !sid.is_empty());
            assert_eq!(query.sid, sids);
        }
    }
    Driver::run(data);
}

/// A body is as long as its separators say, and what is read can be written and read again.
fn check_payload(text: &str) {
    let pieces: Vec<_> = text.split(char::from(SEPARATOR)).collect();
    let Ok(packets) = engine_io::payload(text) else {
        return assert!(pieces.len() > PACKETS_MAX);
    };
    let packets: Vec<_> = packets.collect();
    let bad = pieces.iter().position(|piece| Packet::decode(piece).is_err());
    assert_eq!(packets.len(), bad.map_or(pieces.len(), |at| at + 1));
    let mut body = Vec::new();
    for (packet, piece) in packets.iter().zip(pieces) {
        let Ok(packet) = packet else { continue };
        engine_io::separate(&mut body);
        let start = body.len();
        packet.encode(&mut body);
        // Base64 is the one thing that has more than one form.
        if !matches!(packet, Packet::Message(Data::Binary(Cow::Owned(_)))) {
            assert_eq!(&body[start..], piece.as_bytes());
        }
    }
    if bad.is_none() {
        let again: Vec<_> = engine_io::payload(str::from_utf8(&body).unwrap()).unwrap().collect();
        assert_eq!(again, packets);
    }
}

/// What a driver knows by itself, to compare with what the engine says.
struct Driver {
    now: Timestamp,
    settings: Settings,
    engine: Engine,
    polls: bool,
    posts: bool,
    has_socket: bool,
    is_over: bool,
}

const PACKETS: [Packet<'_>; 8] = [
    Packet::Ping("probe"),
    Packet::Upgrade,
    Packet::Pong(""),
    Packet::Message(Data::Text("x")),
    Packet::Noop,
    Packet::Close,
    Packet::Ping(""),
    Packet::Open(""),
];

impl Driver {
    fn run(data: &[u8]) {
        let (now, settings) = (Timestamp::from_secs(1), Settings::default());
        let by_polling = data.first().is_none_or(|byte| byte % 2 == 0);
        let engine = match by_polling {
            true => Engine::by_polling(now, &settings),
            false => Engine::by_websocket(now, &settings),
        };
        let (polls, has_socket) = (by_polling, !by_polling);
        let mut driver = Self { now, settings, engine, polls, posts: false, has_socket, is_over: false };
        driver.drain();
        for byte in data.iter().skip(1) {
            driver.step(*byte);
            driver.drain();
        }
        driver.die_of_silence();
    }

    fn step(&mut self, byte: u8) {
        let (now, settings) = (self.now, self.settings);
        match byte >> 4 {
            0 => {
                let (before, result) = (self.polls, self.engine.on_poll(now, &settings));
                assert!(result.is_err() || !before, "a second GET was taken");
                self.polls |= result.is_ok();
            }
            1 if self.polls && self.engine.carrier() == Some(Carrier::Poll) => {
                self.engine.on_poll_answered();
                self.polls = false;
            }
            2 if self.polls => {
                self.polls = false;
                self.engine.on_poll_lost();
            }
            3 => self.posts |= self.engine.on_post(now, &settings).is_ok(),
            4 if self.posts => {
                self.posts = false;
                let _ = self.engine.on_post_end();
            }
            5 if self.posts => {
                self.posts = false;
                self.engine.on_post_lost();
            }
            6 => {
                let (before, result) = (self.has_socket, self.engine.on_socket(now, &settings));
                assert!(result.is_err() || !before, "a second WebSocket was taken");
                self.has_socket |= result.is_ok();
            }
            7 if self.has_socket => {
                self.has_socket = false;
                self.engine.on_socket_lost();
            }
            8 if self.posts => self.packet(Carrier::Poll, byte),
            9 | 10 if self.has_socket => self.packet(Carrier::Socket, byte),
            11 if self.posts => self.engine.on_malformed(Carrier::Poll),
            12 if self.has_socket => self.engine.on_malformed(Carrier::Socket),
            13 if byte == 0xD0 => self.engine.close(now, &settings),
            14 => self.pass(Duration::from_millis(u64::from(byte & 15) * 50)),
            15 => self.pass(Duration::from_secs(u64::from(byte & 15))),
            _ => {}
        }
    }

    fn packet(&mut self, from: Carrier, byte: u8) {
        let packet = PACKETS[usize::from(byte & 7)].clone();
        let is_message = matches!(packet, Packet::Message(_));
        let carried = from == Carrier::Poll || self.engine.carrier() == Some(Carrier::Socket);
        let data = self.engine.on_packet(self.now, &self.settings, from, packet);
        assert!(data.is_none() || (is_message && carried && !self.is_over));
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now.after(span);
        self.engine.on_deadline(self.now, &self.settings);
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.next_output() {
            assert!(!self.is_over, "{output:?} after the end");
            match output {
                Output::AnswerPoll(control) => {
                    assert!(std::mem::take(&mut self.polls), "{control:?} without a GET");
                    assert_ne!(control, Control::ProbeAnswer);
                }
                Output::Send(control) => {
                    assert!(self.has_socket, "{control:?} without a WebSocket");
                    assert!(!matches!(control, Control::Noop | Control::Close));
                }
                Output::CloseSocket => assert!(std::mem::take(&mut self.has_socket)),
                Output::Ended(_) => self.is_over = true,
            }
        }
        match self.engine.carrier() {
            None => {}
            Some(Carrier::Poll) => assert!(self.polls && !self.is_over),
            Some(Carrier::Socket) => assert!(self.has_socket && !self.is_over),
        }
        assert!(!self.is_over || !(self.polls || self.has_socket), "something was left behind");
        match self.engine.next_deadline() {
            None => assert!(self.is_over),
            Some(at) => assert!(at.since(self.now) <= Duration::from_secs(25)),
        }
    }

    /// A client that says nothing any more does not live for ever, and no deadline is met twice.
    fn die_of_silence(&mut self) {
        for _ in 0..8 {
            let Some(at) = self.engine.next_deadline() else {
                return;
            };
            self.now = self.now.max(at);
            self.engine.on_deadline(self.now, &self.settings);
            self.drain();
            assert!(
                self.engine.next_deadline().is_none_or(|next| next > self.now),
                "a deadline without an effect"
            );
        }
        panic!("it lives");
    }
}
