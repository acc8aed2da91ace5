//! Engine.IO v4 as it is on the wire: what only requests and frames show.

use crate::daemon::{PATIENCE, eventually};
use crate::raw::{Server, calm, lively, of, sid_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use turnstone::http::signaling::DriverSettings;

const SEPARATOR: &str = "\u{1e}";

#[test]
fn an_open_packet_says_what_the_session_is_like() {
    let server = Server::echo(calm());
    let (status, polled) = server.get("EIO=4&transport=polling");
    assert_eq!(status, 200);
    let heard = server.websocket(None).hear();
    for (packet, upgrades) in [(&polled, serde_json::json!(["websocket"])), (&heard, serde_json::json!([]))] {
        let open: Value = serde_json::from_str(packet.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["upgrades"], upgrades);
        assert_eq!((&open["pingInterval"], &open["pingTimeout"]), (&25_000.into(), &20_000.into()));
        assert_eq!(open["maxPayload"], 10_000);
        assert_eq!(open.as_object().unwrap().len(), 5);
    }
    assert_ne!(sid_of(&polled), sid_of(&heard));
}

#[test]
fn a_handshake_that_is_none_is_told_why() {
    let server = Server::echo(calm());
    for (method, query, code) in [
        ("GET", "EIO=4&transport=carrier-pigeon", 0),
        ("GET", "EIO=4", 0),
        ("GET", "EIO=4&transport=polling&sid=nobody", 1),
        ("POST", "EIO=4&transport=polling&sid=nobody", 1),
        ("POST", "EIO=4&transport=polling", 2),
        ("GET", "EIO=3&transport=polling", 5),
        ("GET", "transport=polling", 5),
    ] {
        let (status, body) = server.ask(method, query, "").answer();
        assert_eq!(status, 400, "{query}: {body}");
        let error: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{query}: {body}"));
        assert_eq!(error["code"], code, "{query}: {body}");
        assert!(error["message"].is_string(), "{body}");
    }
}

#[test]
fn packets_of_one_body_are_parted_and_bytes_travel_as_base64() {
    let server = Server::echo(calm());
    let sid = server.open();
    let body = ["4hello", "bAQIDBA==", "4grüße €", "4"].join(SEPARATOR);
    server.push(&sid, &body);
    assert_eq!(server.poll(&sid), body);
    // Each poll has what came since, in order.
    server.push(&sid, "4one");
    server.push(&sid, "4two");
    assert_eq!(server.poll(&sid), ["4one", "4two"].join(SEPARATOR));
}

#[test]
fn bytes_of_a_websocket_are_a_message_of_their_own() {
    let server = Server::echo(calm());
    let mut socket = server.websocket(None);
    socket.hear();
    socket.say("4text");
    socket.say_bytes(&[1, 2, 3, 4]);
    socket.say("4more");
    assert_eq!(socket.hear(), "4text");
    assert_eq!(socket.hear_bytes(), [1, 2, 3, 4]);
    assert_eq!(socket.hear(), "4more");
}

#[test]
fn a_body_that_is_no_packet_ends_its_session_and_no_other() {
    let server = Server::echo(calm());
    let other = server.open();
    for body in ["abc", "9", "4good\u{1e}x", "b!!!!", "\u{1e}"] {
        let sid = server.open();
        let (status, _) = server.post(&sid, body);
        assert_eq!(status, 400, "{body:?}");
        assert_eq!(server.get(&of(&sid)).0, 400, "{body:?}");
    }
    server.push(&other, "4here");
    assert_eq!(server.poll(&other), "4here");
}

#[test]
fn a_message_may_have_as_many_bytes_as_was_said_and_not_one_more() {
    let server = Server::echo(calm());
    let mut socket = server.websocket(None);
    socket.hear();
    let longest = format!("4{}", "x".repeat(9_999));
    socket.say(&longest);
    assert_eq!(socket.hear(), longest);
    socket.say(&format!("{longest}x"));
    assert_eq!(socket.expect_end(&[]), Some(1009));
}

#[test]
fn a_body_may_have_what_a_message_in_base64_takes_and_not_more() {
    // As many as the fixture's HTTP goes by.
    let server = Server::echo(DriverSettings { message_bytes_max: 1_000_000, ..calm() });
    let sid = server.open();
    let longest = format!("b{}", STANDARD.encode(vec![7; 1_000_000]));
    server.push(&sid, &longest);
    assert_eq!(server.poll(&sid), longest);
    let (status, _) = server.post(&sid, &longest.repeat(2));
    assert_eq!(status, 413);
}

#[test]
fn a_message_that_takes_many_reads_comes_whole_and_so_does_the_next() {
    let server = Server::echo(DriverSettings { message_bytes_max: 1_000_000, ..calm() });
    let mut socket = server.websocket(None);
    socket.hear();
    let long = format!("4{}", "x".repeat(999_999));
    for _ in 0..3 {
        socket.say(&long);
        socket.say("4short");
        assert_eq!(socket.hear(), long);
        assert_eq!(socket.hear(), "4short");
    }
}

#[test]
fn a_poll_waits_for_a_message() {
    let server = Server::echo(calm());
    let sid = server.open();
    let poll = server.ask("GET", &of(&sid), "");
    server.push(&sid, "4late");
    assert_eq!(poll.answer(), (200, "4late".into()));
}

#[test]
fn two_polls_at_once_end_the_session() {
    let server = Server::echo(calm());
    let sid = server.open();
    let [one, other] = [0, 1].map(|_| server.ask("GET", &of(&sid), ""));
    // Which of the two came first is the network's.
    let mut answers = [one.answer(), other.answer()];
    answers.sort();
    assert_eq!(answers[0], (200, "1".into()));
    assert_eq!(answers[1].0, 400);
    assert_eq!(server.get(&of(&sid)).0, 400);
}

#[test]
fn a_poll_that_is_given_up_while_it_waits_ends_its_session() {
    let server = Server::echo(calm());
    let bystander = server.open();
    for text in ["4one", "4two", "4three"] {
        let sid = server.open();
        let poll = server.ask("GET", &of(&sid), "");
        // What came later has been answered, so that poll waits.
        for _ in 0..3 {
            server.push(&bystander, text);
            assert_eq!(server.poll(&bystander), text);
        }
        poll.abandon();
        let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
        assert_eq!(server.post(&sid, text), (400, unknown.into()));
        server.push(&bystander, text);
        assert_eq!(server.poll(&bystander), text);
    }
}

#[test]
fn a_session_moves_to_a_websocket_and_its_poll_is_released() {
    let server = Server::echo(calm());
    let sid = server.open();
    let poll = server.ask("GET", &of(&sid), "");
    let mut socket = server.websocket(Some(&sid));
    socket.say("2probe");
    assert_eq!(socket.hear(), "3probe");
    assert_eq!(poll.answer(), (200, "6".into()));
    // Until it says so, polls carry what there is.
    server.push(&sid, "4still");
    assert_eq!(server.poll(&sid), "4still");
    socket.say("5");
    socket.say("4moved");
    assert_eq!(socket.hear(), "4moved");
    for (method, body) in [("GET", ""), ("POST", "4x")] {
        assert_eq!(server.ask(method, &of(&sid), body).answer().0, 400, "{method}");
    }
    socket.say("4unharmed");
    assert_eq!(socket.hear(), "4unharmed");
}

#[test]
fn a_message_that_waits_while_a_session_moves_comes_behind_the_move() {
    let server = Server::echo(calm());
    let sid = server.open();
    let mut socket = server.websocket(Some(&sid));
    socket.say("2probe");
    assert_eq!(socket.hear(), "3probe");
    server.push(&sid, "4one\u{1e}4two");
    socket.say("5");
    socket.say("4three");
    assert_eq!([socket.hear(), socket.hear(), socket.hear()], ["4one", "4two", "4three"]);
}

#[test]
fn a_candidate_that_says_anything_else_is_dropped_and_polls_go_on() {
    let server = Server::echo(calm());
    let sid = server.open();
    let mut socket = server.websocket(Some(&sid));
    socket.say("4too early");
    socket.expect_end(&[]);
    server.push(&sid, "4here");
    assert_eq!(server.poll(&sid), "4here");
    // And another one may try.
    let mut socket = server.websocket(Some(&sid));
    socket.say("2probe");
    assert_eq!(socket.hear(), "3probe");
}

#[test]
fn a_second_websocket_of_a_session_is_turned_away_and_the_first_lives() {
    let server = Server::echo(calm());
    let mut first = server.websocket(None);
    let sid = sid_of(&first.hear());
    server.websocket(Some(&sid)).expect_end(&[]);
    first.say("4unharmed");
    assert_eq!(first.hear(), "4unharmed");
    server.websocket(Some("nobody")).expect_end(&[]);
}

#[test]
fn pings_go_on_as_long_as_they_are_answered() {
    let server = Server::echo(lively());
    let mut socket = server.websocket(None);
    socket.hear();
    for _ in 0..3 {
        assert_eq!(socket.hear(), "2");
        socket.say("3");
    }
    assert_eq!(socket.hear(), "2");
    socket.expect_end(&[]);
}

#[test]
fn polls_get_their_pings_too() {
    let server = Server::echo(lively());
    let sid = server.open();
    for _ in 0..3 {
        assert_eq!(server.poll(&sid), "2");
        server.push(&sid, "3");
    }
    assert_eq!(server.poll(&sid), "2");
    // No pong: the session ends, and the poll that waits for it does.
    let (status, body) = server.get(&of(&sid));
    assert!((status, &*body) == (200, "1") || status == 400, "{status} {body}");
    assert_eq!(server.get(&of(&sid)).0, 400);
}

#[test]
fn a_client_may_end_its_session_by_a_packet_or_by_its_websocket() {
    let server = Server::echo(calm());
    // The two requests may overtake each other: a poll that comes behind the end finds nothing.
    eventually(PATIENCE, "a poll that was there first", || {
        let sid = server.open();
        let poll = server.ask("GET", &of(&sid), "");
        server.push(&sid, "1");
        let (status, body) = poll.answer();
        assert!((status, &*body) == (200, "6") || status == 400, "{status} {body}");
        assert_eq!(server.get(&of(&sid)).0, 400);
        (status == 200).then_some(())
    });

    let mut socket = server.websocket(None);
    let sid = sid_of(&socket.hear());
    socket.say("1");
    socket.expect_end(&[]);
    assert_eq!(server.get(&of(&sid)).0, 400);

    let mut socket = server.websocket(None);
    let sid = sid_of(&socket.hear());
    socket.close();
    assert_eq!(server.get(&of(&sid)).0, 400);
}
