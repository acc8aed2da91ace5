//! Every case of the Engine.IO conformance suite as the machine sees it, and what the suite leaves out.

use super::{Carrier, Control, End, Engine, Output, Settings};
use crate::base::Timestamp;
use crate::wire::engine_io::{Data, Packet, Reject};
use std::time::Duration;

/// A session, its clock and what its driver knows.
struct World {
    now: Timestamp,
    settings: Settings,
    engine: Engine,
}

const OPEN: Output = Output::AnswerPoll(Control::Open { may_upgrade: true });
const PING: Output = Output::AnswerPoll(Control::Ping);
const NOOP: Output = Output::AnswerPoll(Control::Noop);
const CLOSE: Output = Output::AnswerPoll(Control::Close);
const PROBE_ANSWER: Output = Output::Send(Control::ProbeAnswer);

impl World {
    /// A polling session whose open packet was fetched.
    fn polling() -> Self {
        let (now, settings) = (Timestamp::from_secs(1000), Settings::default());
        let mut world = Self { now, settings, engine: Engine::by_polling(now, &settings) };
        assert_eq!(world.drain(), [OPEN]);
        world
    }

    /// A session that began with a WebSocket.
    fn websocket() -> Self {
        let (now, settings) = (Timestamp::from_secs(1000), Settings::default());
        let mut world = Self { now, settings, engine: Engine::by_websocket(now, &settings) };
        assert_eq!(world.drain(), [Output::Send(Control::Open { may_upgrade: false })]);
        world
    }

    /// A polling session that a WebSocket took over.
    fn upgraded() -> Self {
        let mut world = Self::polling();
        world.socket().unwrap();
        world.says(Carrier::Socket, "2probe");
        world.says(Carrier::Socket, "5");
        assert_eq!(world.drain(), [PROBE_ANSWER]);
        world
    }

    fn drain(&mut self) -> Vec<Output> {
        let was_settled = self.engine.is_settled();
        let outputs: Vec<_> = std::iter::from_fn(|| self.engine.next_output()).collect();
        assert!(outputs.is_empty() || !was_settled, "it said that there was nothing: {outputs:?}");
        outputs
    }

    fn poll(&mut self) -> Result<(), Reject> {
        self.engine.on_poll(self.now, &self.settings)
    }

    fn socket(&mut self) -> Result<(), Reject> {
        self.engine.on_socket(self.now, &self.settings)
    }

    /// One packet of the client; returns the text that is for the protocol above.
    fn says(&mut self, from: Carrier, packet: &'static str) -> Option<&'static str> {
        let packet = Packet::decode(packet).unwrap();
        match self.engine.on_packet(self.now, &self.settings, from, packet)? {
            Data::Text(text) => Some(text),
            Data::Binary(bytes) => panic!("{bytes:?} was not said"),
        }
    }

    /// A whole POST; returns the messages in it and how it is answered.
    fn post(&mut self, packets: &[&'static str]) -> (Vec<&'static str>, Result<(), Reject>) {
        if let Err(reject) = self.engine.on_post(self.now, &self.settings) {
            return (Vec::new(), Err(reject));
        }
        let messages = packets.iter().filter_map(|packet| self.says(Carrier::Poll, packet)).collect();
        (messages, self.engine.on_post_end())
    }

    /// Lets `span` pass, with each deadline on the way met exactly; returns all outputs.
    fn pass(&mut self, span: Duration) -> Vec<Output> {
        let until = self.now.after(span);
        let mut outputs = Vec::new();
        while let Some(at) = self.engine.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.engine.on_deadline(self.now, &self.settings);
            outputs.extend(self.drain());
        }
        self.now = until;
        outputs
    }

    fn assert_over(&mut self) {
        assert_eq!(self.poll(), Err(Reject::UnknownSid));
        assert_eq!(self.engine.on_post(self.now, &self.settings), Err(Reject::UnknownSid));
        assert_eq!(self.socket(), Err(Reject::UnknownSid));
        assert_eq!((self.drain(), self.engine.carrier()), (vec![], None));
        assert_eq!(self.engine.next_deadline(), None);
    }
}

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(25);
const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn a_session_is_small() {
    assert!(size_of::<Engine>() <= 40, "{}", size_of::<Engine>());
}

#[test]
fn polling_opens_with_an_offer_to_upgrade_and_a_websocket_without() {
    World::polling();
    World::websocket();
}

#[test]
fn control_packets_have_their_form_on_the_wire() {
    let settings = Settings::default();
    let text = |control: Control| {
        let mut out = Vec::new();
        control.encode("S-1", &settings, &mut out);
        String::from_utf8(out).unwrap()
    };
    let open = r#"0{"sid":"S-1","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":65536}"#;
    assert_eq!(text(Control::Open { may_upgrade: true }), open);
    let others = [Control::Ping, Control::ProbeAnswer, Control::Noop, Control::Close];
    assert_eq!(others.map(text), ["2", "3probe", "6", "1"]);
}

// Messages.

#[test]
fn a_post_brings_messages_and_a_waiting_get_carries_them_once() {
    let mut world = World::polling();
    assert_eq!(world.post(&["4test1", "4test2", "6", "4test3"]), (vec!["test1", "test2", "test3"], Ok(())));
    assert_eq!(world.engine.carrier(), None);
    world.poll().unwrap();
    assert_eq!((world.drain(), world.engine.carrier()), (vec![], Some(Carrier::Poll)));
    world.engine.on_poll_answered();
    assert_eq!(world.engine.carrier(), None);
}

#[test]
fn binary_messages_pass_on_both_carriers() {
    for (mut world, from) in [(World::polling(), Carrier::Poll), (World::websocket(), Carrier::Socket)] {
        let packet = Packet::from_binary(&[1, 2, 3, 4]);
        let Some(Data::Binary(bytes)) = world.engine.on_packet(world.now, &world.settings, from, packet)
        else {
            panic!("not a binary message");
        };
        assert_eq!(*bytes, [1, 2, 3, 4]);
    }
}

#[test]
fn a_websocket_carries_messages_both_ways_at_any_time() {
    let mut world = World::websocket();
    assert_eq!(world.says(Carrier::Socket, "4hello"), Some("hello"));
    assert_eq!((world.drain(), world.engine.carrier()), (vec![], Some(Carrier::Socket)));
}

#[test]
fn a_malformed_post_is_answered_with_400_and_ends_the_session() {
    let mut world = World::polling();
    world.engine.on_post(world.now, &world.settings).unwrap();
    world.engine.on_malformed(Carrier::Poll);
    assert_eq!(world.drain(), [Output::Ended(End::Protocol)]);
    assert_eq!(world.engine.on_post_end(), Err(Reject::BadRequest));
    world.assert_over();
}

#[test]
fn a_malformed_message_closes_the_websocket() {
    let mut world = World::websocket();
    world.engine.on_malformed(Carrier::Socket);
    assert_eq!(world.drain(), [Output::CloseSocket, Output::Ended(End::Protocol)]);
    world.assert_over();
}

#[test] // security S9
fn a_second_get_is_refused_and_ends_the_first_one_and_the_session() {
    let mut world = World::polling();
    world.poll().unwrap();
    assert_eq!(world.poll(), Err(Reject::BadRequest));
    assert_eq!(world.drain(), [CLOSE, Output::Ended(End::Overlap)]);
    world.assert_over();
}

#[test]
fn a_second_post_is_refused_with_the_first_one_and_ends_the_session() {
    let mut world = World::polling();
    world.poll().unwrap();
    world.engine.on_post(world.now, &world.settings).unwrap();
    assert_eq!(world.engine.on_post(world.now, &world.settings), Err(Reject::BadRequest));
    assert_eq!(world.says(Carrier::Poll, "4late"), None);
    assert_eq!(world.drain(), [CLOSE, Output::Ended(End::Overlap)]);
    assert_eq!(world.engine.on_post_end(), Err(Reject::BadRequest));
    world.assert_over();
}

#[test]
fn a_get_that_is_broken_off_ends_the_session() {
    let mut world = World::polling();
    world.engine.on_poll_lost();
    assert_eq!(world.drain(), [], "no GET waited");
    world.poll().unwrap();
    world.engine.on_poll_lost();
    assert_eq!(world.drain(), [Output::Ended(End::Lost)]);
    world.assert_over();
}

#[test]
fn a_post_that_is_broken_off_ends_the_session() {
    let mut world = World::polling();
    world.engine.on_post_lost();
    assert_eq!(world.drain(), [], "no POST was there");
    world.poll().unwrap();
    world.engine.on_post(world.now, &world.settings).unwrap();
    world.engine.on_post_lost();
    assert_eq!(world.drain(), [CLOSE, Output::Ended(End::Lost)]);
}

// Heartbeat.

#[test]
fn a_polling_session_lives_as_long_as_it_answers_pings() {
    let mut world = World::polling();
    for _ in 0..3 {
        world.poll().unwrap();
        assert_eq!(world.pass(INTERVAL), [PING]);
        world.pass(TIMEOUT / 2);
        assert_eq!(world.post(&["3"]), (vec![], Ok(())));
    }
}

#[test]
fn a_websocket_session_lives_as_long_as_it_answers_pings() {
    let mut world = World::websocket();
    for _ in 0..3 {
        assert_eq!(world.pass(INTERVAL), [Output::Send(Control::Ping)]);
        assert_eq!(world.says(Carrier::Socket, "3"), None);
    }
}

#[test]
fn a_ping_waits_for_the_next_get_and_does_not_wait_longer_for_its_pong() {
    let mut world = World::polling();
    assert_eq!(world.pass(INTERVAL + 5 * SECOND), []);
    world.poll().unwrap();
    assert_eq!(world.drain(), [PING]);
    assert_eq!(world.pass(15 * SECOND), [Output::Ended(End::PingTimeout)]);
}

#[test]
fn without_a_pong_in_time_a_polling_session_is_over() {
    let mut world = World::polling();
    assert_eq!(world.pass(INTERVAL + TIMEOUT), [Output::Ended(End::PingTimeout)]);
    world.assert_over();

    let mut waiting = World::polling();
    waiting.poll().unwrap();
    waiting.pass(INTERVAL);
    waiting.poll().unwrap();
    assert_eq!(waiting.pass(TIMEOUT), [CLOSE, Output::Ended(End::PingTimeout)]);
}

#[test]
fn a_get_after_the_time_is_over_is_refused_though_the_timer_lags_behind() {
    let mut world = World::polling();
    world.pass(INTERVAL);
    world.now = world.now.after(TIMEOUT);
    assert_eq!(world.poll(), Err(Reject::UnknownSid));
    assert_eq!(world.drain(), [Output::Ended(End::PingTimeout)]);
}

#[test]
fn without_a_pong_in_time_a_websocket_is_closed() {
    let mut world = World::websocket();
    let ended = [Output::Send(Control::Ping), Output::CloseSocket, Output::Ended(End::PingTimeout)];
    assert_eq!(world.pass(INTERVAL + TIMEOUT), ended);
}

#[test]
fn a_pong_that_nobody_asked_for_buys_no_time() {
    let mut world = World::websocket();
    world.pass(INTERVAL - SECOND);
    world.says(Carrier::Socket, "3");
    assert_eq!(world.pass(SECOND), [Output::Send(Control::Ping)]);
}

#[test]
fn packets_that_are_not_the_clients_to_send_end_the_session() {
    for packet in ["2", "2probe", "0{}", "5"] {
        let mut world = World::websocket();
        assert_eq!(world.says(Carrier::Socket, packet), None);
        assert_eq!(world.drain(), [Output::CloseSocket, Output::Ended(End::Protocol)], "{packet}");
        let mut world = World::polling();
        assert_eq!(world.post(&[packet, "4late"]), (vec![], Err(Reject::BadRequest)), "{packet}");
        assert_eq!(world.drain(), [Output::Ended(End::Protocol)], "{packet}");
    }
}

// Close.

#[test]
fn a_polling_client_ends_its_session_and_its_get() {
    let mut world = World::polling();
    world.poll().unwrap();
    assert_eq!(world.post(&["4last", "1", "4late"]), (vec!["last"], Ok(())));
    assert_eq!(world.drain(), [NOOP, Output::Ended(End::ByClient)]);
    world.assert_over();
}

#[test]
fn a_websocket_client_ends_its_session() {
    let mut world = World::websocket();
    world.says(Carrier::Socket, "1");
    assert_eq!(world.drain(), [Output::CloseSocket, Output::Ended(End::ByClient)]);
    world.assert_over();
}

#[test]
fn a_websocket_that_breaks_ends_its_session() {
    let mut world = World::websocket();
    world.engine.on_socket_lost();
    assert_eq!(world.drain(), [Output::Ended(End::Lost)]);
    world.assert_over();
}

#[test]
fn a_session_that_the_server_closes_tells_whom_it_reaches() {
    let mut world = World::polling();
    world.poll().unwrap();
    world.engine.close(world.now, &world.settings);
    assert_eq!(world.drain(), [CLOSE, Output::Ended(End::ByServer)]);

    let mut world = World::websocket();
    world.engine.close(world.now, &world.settings);
    assert_eq!(world.drain(), [Output::CloseSocket, Output::Ended(End::ByServer)]);
}

#[test]
fn a_session_that_the_server_closes_waits_for_the_next_get_but_not_for_ever() {
    let mut world = World::polling();
    world.engine.close(world.now, &world.settings);
    assert_eq!(world.drain(), []);
    assert_eq!(world.post(&["4late"]), (vec![], Ok(())), "heard no more");
    assert_eq!(world.socket(), Err(Reject::BadRequest));
    world.poll().unwrap();
    assert_eq!(world.drain(), [CLOSE, Output::Ended(End::ByServer)]);

    let mut world = World::polling();
    world.pass(INTERVAL);
    world.engine.close(world.now, &world.settings);
    assert_eq!(world.pass(TIMEOUT), [Output::Ended(End::ByServer)]);
    world.assert_over();
}

#[test]
fn closing_twice_does_not_wait_longer() {
    let mut world = World::polling();
    world.engine.close(world.now, &world.settings);
    world.pass(TIMEOUT / 2);
    world.engine.close(world.now, &world.settings);
    assert_eq!(world.pass(TIMEOUT / 2), [Output::Ended(End::ByServer)]);
}

#[test]
fn a_session_closed_before_its_client_heard_of_it_says_both() {
    let (now, settings) = (Timestamp::ZERO, Settings::default());
    let mut world = World { now, settings, engine: Engine::by_polling(now, &settings) };
    world.engine.close(now, &settings);
    assert_eq!(world.drain(), [OPEN]);
    world.poll().unwrap();
    assert_eq!(world.drain(), [CLOSE, Output::Ended(End::ByServer)]);
}

// Upgrade.

#[test]
fn a_websocket_takes_over_and_the_get_is_released() {
    let mut world = World::polling();
    world.poll().unwrap();
    world.socket().unwrap();
    assert_eq!((world.drain(), world.engine.carrier()), (vec![], Some(Carrier::Poll)));
    assert_eq!(world.says(Carrier::Socket, "2probe"), None);
    assert_eq!((world.drain(), world.engine.carrier()), (vec![PROBE_ANSWER, NOOP], None));
    world.says(Carrier::Socket, "5");
    assert_eq!((world.drain(), world.engine.carrier()), (vec![], Some(Carrier::Socket)));
    assert_eq!(world.says(Carrier::Socket, "4hello"), Some("hello"));
}

#[test]
fn a_get_that_comes_after_the_probe_is_released_too_but_not_in_a_circle() {
    let mut world = World::polling();
    world.socket().unwrap();
    world.says(Carrier::Socket, "2probe");
    assert_eq!(world.drain(), [PROBE_ANSWER]);
    for _ in 0..3 {
        world.poll().unwrap();
        assert_eq!(world.drain(), []);
        assert_eq!(world.pass(Duration::from_millis(100)), [NOOP]);
    }
}

#[test]
fn a_get_that_still_waits_when_the_websocket_takes_over_is_ended() {
    let mut world = World::polling();
    world.socket().unwrap();
    world.says(Carrier::Socket, "2probe");
    world.drain();
    world.poll().unwrap();
    world.says(Carrier::Socket, "5");
    assert_eq!((world.drain(), world.engine.carrier()), (vec![NOOP], Some(Carrier::Socket)));
}

#[test]
fn messages_of_a_post_pass_while_a_websocket_is_probed() {
    let mut world = World::polling();
    world.socket().unwrap();
    world.says(Carrier::Socket, "2probe");
    assert_eq!(world.post(&["4hello"]), (vec!["hello"], Ok(())));
}

#[test]
fn requests_after_the_upgrade_are_refused_and_harm_nothing() {
    let mut world = World::upgraded();
    assert_eq!(world.poll(), Err(Reject::BadRequest));
    assert_eq!(world.post(&["4x"]), (vec![], Err(Reject::BadRequest)));
    assert_eq!((world.drain(), world.engine.carrier()), (vec![], Some(Carrier::Socket)));
    assert_eq!(world.says(Carrier::Socket, "4hello"), Some("hello"));
}

#[test] // security S9
fn a_second_websocket_is_refused_and_harms_nothing() {
    let mut candidate = World::polling();
    candidate.socket().unwrap();
    for mut world in [candidate, World::upgraded(), World::websocket()] {
        assert_eq!(world.socket(), Err(Reject::BadRequest));
        assert_eq!(world.drain(), []);
    }
    let mut world = World::upgraded();
    assert_eq!(world.socket(), Err(Reject::BadRequest));
    assert_eq!(world.says(Carrier::Socket, "4hello"), Some("hello"));
}

#[test]
fn a_candidate_that_says_anything_else_is_closed_and_polling_goes_on() {
    for packet in ["4hello", "2", "3", "1", "5", "6"] {
        let mut world = World::polling();
        world.poll().unwrap();
        world.socket().unwrap();
        assert_eq!(world.says(Carrier::Socket, packet), None);
        assert_eq!(world.drain(), [Output::CloseSocket], "{packet}");
        assert_eq!(world.says(Carrier::Socket, "4stray"), None);
        assert_eq!(world.engine.carrier(), Some(Carrier::Poll));
        world.socket().expect("it may try again");
    }
    let mut world = World::polling();
    world.socket().unwrap();
    world.engine.on_malformed(Carrier::Socket);
    world.engine.on_malformed(Carrier::Socket);
    assert_eq!(world.drain(), [Output::CloseSocket]);
    assert_eq!(world.poll(), Ok(()));
}

#[test]
fn a_candidate_has_ten_seconds() {
    for probes in [false, true] {
        let mut world = World::polling();
        world.socket().unwrap();
        if probes {
            world.says(Carrier::Socket, "2probe");
            world.drain();
        }
        assert_eq!(world.pass(10 * SECOND - Duration::from_millis(1)), []);
        assert_eq!(world.pass(Duration::from_millis(1)), [Output::CloseSocket]);
        world.poll().unwrap();
        assert_eq!((world.drain(), world.engine.carrier()), (vec![], Some(Carrier::Poll)));
    }
}

#[test]
fn a_candidate_that_breaks_leaves_the_session_as_it_was() {
    let mut world = World::polling();
    world.poll().unwrap();
    world.socket().unwrap();
    world.engine.on_socket_lost();
    assert_eq!((world.drain(), world.engine.carrier()), (vec![], Some(Carrier::Poll)));
    world.engine.on_socket_lost();
    assert_eq!(world.drain(), []);
}

#[test]
fn a_ping_that_finds_no_get_goes_to_the_websocket_that_took_over() {
    let mut world = World::polling();
    world.pass(INTERVAL - SECOND);
    world.socket().unwrap();
    world.says(Carrier::Socket, "2probe");
    world.drain();
    assert_eq!(world.pass(SECOND), []);
    world.says(Carrier::Socket, "5");
    assert_eq!(world.drain(), [Output::Send(Control::Ping)]);
}

#[test]
fn whatever_ends_the_session_takes_the_candidate_with_it() {
    let mut world = World::polling();
    world.poll().unwrap();
    world.socket().unwrap();
    world.says(Carrier::Socket, "2probe");
    assert_eq!(world.post(&["1"]), (vec![], Ok(())));
    assert_eq!(world.drain(), [Output::CloseSocket, NOOP, Output::Ended(End::ByClient)]);
    world.assert_over();
}

#[test]
fn a_session_that_is_closed_while_it_upgrades_is_closed_on_the_carrier_that_comes_first() {
    let mut world = World::polling();
    world.socket().unwrap();
    world.says(Carrier::Socket, "2probe");
    world.drain();
    world.engine.close(world.now, &world.settings);
    assert_eq!(world.drain(), []);
    world.says(Carrier::Socket, "5");
    assert_eq!(world.drain(), [Output::CloseSocket, Output::Ended(End::ByServer)]);
}
