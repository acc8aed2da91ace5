//! Socket.IO v5 as it is on the wire: the cases of the public suite, in our own words.

use crate::raw::{Server, Socket, calm};
use std::time::Duration;
use turnstone::http::signaling::DriverSettings;

/// A WebSocket that is in `/`.
fn inside(server: &Server) -> Socket {
    let mut socket = server.websocket(None);
    assert!(socket.hear().starts_with('0'));
    socket.say("40");
    assert!(socket.hear().starts_with("40{\"sid\":\""));
    assert_eq!(socket.hear(), "42[\"auth\",{}]");
    socket
}

/// It is still in `/`, and hears what it says.
#[track_caller]
fn expect_well(socket: &mut Socket) {
    socket.say("42[\"message\",\"well?\"]");
    assert_eq!(socket.hear(), "42[\"message-back\",\"well?\"]");
}

#[test]
fn a_namespace_takes_what_comes_with_connect() {
    let server = Server::socketio(calm());
    let mut socket = server.websocket(None);
    socket.hear();
    socket.say("40{\"token\":\"123\"}");
    let connect = socket.hear();
    let sid = connect.strip_prefix("40{\"sid\":\"").and_then(|rest| rest.strip_suffix("\"}"));
    assert!(sid.is_some_and(|sid| !sid.is_empty()), "{connect}");
    assert_eq!(socket.hear(), "42[\"auth\",{\"token\":\"123\"}]");
}

#[test]
fn one_connection_is_in_several_namespaces_and_leaves_them_one_by_one() {
    let server = Server::socketio(calm());
    let mut socket = inside(&server);
    socket.say("40/custom,{\"a\":1}");
    assert!(socket.hear().starts_with("40/custom,{\"sid\":\""));
    assert_eq!(socket.hear(), "42/custom,[\"auth\",{\"a\":1}]");
    for (said, heard) in [
        ("42[\"message\",1]", "42[\"message-back\",1]"),
        ("42/custom,[\"message\",2]", "42/custom,[\"message-back\",2]"),
        ("42/custom,7[\"message-with-ack\",3]", "43/custom,7[3]"),
    ] {
        socket.say(said);
        assert_eq!(socket.hear(), heard);
    }
    socket.say("41/custom");
    expect_well(&mut socket);
    // It may come in again, and is somebody new.
    socket.say("40/custom");
    assert!(socket.hear().starts_with("40/custom,{\"sid\":\""));
    socket.hear();
    socket.say("41");
    socket.say("42/custom,[\"message\",4]");
    assert_eq!(socket.hear(), "42/custom,[\"message-back\",4]");
    // But not speak where it is not.
    socket.say("42[\"message\",5]");
    socket.expect_end(&[]);
}

#[test]
fn a_namespace_that_is_not_there_is_refused() {
    let server = Server::socketio(calm());
    let mut socket = server.websocket(None);
    socket.hear();
    socket.say("40/random");
    assert_eq!(socket.hear(), "44/random,{\"message\":\"Invalid namespace\"}");
    socket.say("40");
    assert!(socket.hear().starts_with("40{\"sid\":\""));
}

#[test]
fn a_client_that_asks_for_no_namespace_is_not_kept() {
    let server = Server::socketio(DriverSettings { hello_timeout: Duration::from_secs(1), ..calm() });
    let mut idle = server.websocket(None);
    idle.hear();
    let mut inside = inside(&server);
    idle.expect_end(&[]);
    expect_well(&mut inside);
}

#[test]
fn events_and_answers_come_back_as_they_were_with_their_bytes() {
    let server = Server::socketio(calm());
    let mut socket = inside(&server);
    for (said, heard) in [
        ("42[\"message\",1,\"2\",{\"3\":[false]}]", "42[\"message-back\",1,\"2\",{\"3\":[false]}]"),
        ("42456[\"message-with-ack\",1,\"2\",{\"3\":[false]}]", "43456[1,\"2\",{\"3\":[false]}]"),
        ("420[\"message-with-ack\",null]", "430[null]"),
    ] {
        socket.say(said);
        assert_eq!(socket.hear(), heard);
    }
    let holders = "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}";
    for (said, heard) in [
        (format!("452-[\"message\",{holders}]"), format!("452-[\"message-back\",{holders}]")),
        (format!("452-789[\"message-with-ack\",{holders}]"), format!("462-789[{holders}]")),
    ] {
        socket.say(&said);
        socket.say_bytes(&[1, 2, 3]);
        socket.say_bytes(&[]);
        assert_eq!(socket.hear(), heard);
        assert_eq!(socket.hear_bytes(), [1, 2, 3]);
        assert_eq!(socket.hear_bytes(), [0_u8; 0]);
    }
}

#[test]
fn bytes_of_an_event_go_through_polls_as_base64() {
    let server = Server::socketio(calm());
    let sid = server.open();
    server.push(&sid, "40");
    let mut heard = server.poll(&sid);
    while !heard.contains("auth") {
        heard.push_str(&server.poll(&sid));
    }
    server.push(&sid, "451-[\"message\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID");
    assert_eq!(server.poll(&sid), "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID");
}

#[test]
fn what_is_no_packet_ends_its_connection_and_no_other() {
    let server = Server::socketio(calm());
    let mut other = inside(&server);
    for packet in [
        "4",
        "4abc",
        "42",
        "42{}",
        "42[]",
        "42[{}]",
        "42[\"message\"",
        "42[\"message\"]x",
        "45[\"message\"]",
        "4511-[\"message\"]",
        "45999999999-[\"x\"]",
        "40",
        "40[]",
        "49",
    ] {
        let mut socket = inside(&server);
        socket.say(packet);
        assert!(socket.expect_end(&[]).is_some_and(|code| code >= 1002), "{packet}");
        expect_well(&mut other);
    }
    // Bytes that nobody announced, and text where bytes were.
    let mut socket = inside(&server);
    socket.say_bytes(b"what");
    socket.expect_end(&[]);
    let mut socket = inside(&server);
    socket.say("451-[\"message\",{\"_placeholder\":true,\"num\":0}]");
    socket.say("42[\"message\"]");
    socket.expect_end(&[]);
    expect_well(&mut other);
}
