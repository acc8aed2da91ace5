//! Honest clients: tungstenite below, one of them with Socket.IO, the other with the plain wire, in a call.

use crate::daemon::PATIENCE;
use crate::place::{Place, token};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// A client that does what it should.
pub(crate) struct Honest {
    socket: WebSocket<TcpStream>,
    is_plain: bool,
    asked: u64,
    heard: VecDeque<(String, Value)>,
    /// The code of the close frame that came.
    pub(crate) closed: Option<u16>,
}

impl Honest {
    pub(crate) fn plain(server: SocketAddr, user: &str) -> Self {
        let mut one = Self::connect(server, "/ws", Some("turnstone.v1.json"));
        one.send(json!({ "hello": { "token": token(user) } }).to_string());
        let welcome: Value = serde_json::from_str(&one.text().unwrap()).unwrap();
        assert_eq!(welcome["welcome"]["user"], user, "{welcome}");
        one
    }

    pub(crate) fn socket_io(server: SocketAddr, user: &str) -> Self {
        let mut one = Self::connect(server, "/socket.io/?EIO=4&transport=websocket", None);
        assert!(one.text().unwrap().starts_with("0{"));
        one.send(format!("40{}", json!({ "token": token(user) })));
        assert!(one.text().unwrap().starts_with("40{"));
        one
    }

    fn connect(server: SocketAddr, path: &str, protocol: Option<&'static str>) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("ws://{server}{path}").into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        }
        let (socket, _) = tungstenite::client(request, stream).unwrap();
        Self { socket, is_plain: protocol.is_some(), asked: 0, heard: VecDeque::new(), closed: None }
    }

    fn send(&mut self, text: String) {
        self.socket.send(Message::text(text)).unwrap();
    }

    /// The next message of the application's; `None` when the connection is over.
    fn text(&mut self) -> Option<String> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) if &*text == "2" => self.send("3".into()),
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(frame)) => self.closed = frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Sends an event and gives the answer's data, or `{"code":..}` of an error.
    #[track_caller]
    pub(crate) fn ask(&mut self, event: &str, data: Value) -> Value {
        self.asked += 1;
        let number = self.asked;
        self.send(match self.is_plain {
            true => json!({ "id": number, "ev": event, "data": data }).to_string(),
            false => format!("42{number}{}", json!([event, data])),
        });
        loop {
            let text = self.text().unwrap_or_else(|| panic!("{event} gets an answer"));
            if self.is_plain {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["re"] == number {
                    return if message["ok"] == true { message["data"].clone() } else { message };
                }
            } else if let Some(answer) = text.strip_prefix(&format!("43{number}")) {
                return serde_json::from_str::<Value>(answer).unwrap()[0].clone();
            }
            self.keep(&text);
        }
    }

    fn keep(&mut self, text: &str) {
        if self.is_plain {
            let message: Value = serde_json::from_str(text).unwrap();
            if let Some(event) = message["ev"].as_str() {
                self.heard.push_back((event.to_owned(), message["data"].clone()));
            }
        } else if let Some(event) = text.strip_prefix("42") {
            let event: Value = serde_json::from_str(event).unwrap();
            self.heard.push_back((event[0].as_str().unwrap().to_owned(), event[1].clone()));
        }
    }

    /// The data of the next event of this name; others before it are passed over.
    #[track_caller]
    pub(crate) fn hear(&mut self, event: &str) -> Value {
        loop {
            while let Some((name, data)) = self.heard.pop_front() {
                if name == event {
                    return data;
                }
                assert_ne!(name, "call:end", "the call ended while {event} was waited for: {data}");
            }
            let text = self.text().unwrap_or_else(|| panic!("{event} comes"));
            self.keep(&text);
        }
    }

    /// Reads until the connection is over; gives the names of the events that came before.
    pub(crate) fn until_closed(&mut self) -> Vec<(String, Value)> {
        while let Some(text) = self.text() {
            self.keep(&text);
        }
        self.heard.drain(..).collect()
    }
}

/// Two of them in a call.
pub(crate) struct Pair {
    pub(crate) caller: Honest,
    pub(crate) callee: Honest,
    pub(crate) call: String,
    candidates: u64,
}

impl Pair {
    #[track_caller]
    pub(crate) fn in_call(place: &Place) -> Self {
        let mut caller = Honest::socket_io(place.public, "honest-caller");
        let mut callee = Honest::plain(place.public, "honest-callee");
        let started = caller.ask("call:start", json!({ "to": "honest-callee" }));
        let call = started["call_id"].clone();
        assert!(call.is_string(), "{started}");
        callee.hear("call:incoming");
        callee.ask("call:accepted", json!({ "call_id": call }));
        caller.hear("call:accepted");
        let description = |kind: &str| json!({ "type": kind, "sdp": "v=0\r\n" });
        caller.ask("webrtc:offer", json!({ "to": "honest-callee", "offer": description("offer") }));
        callee.hear("webrtc:offer");
        callee.ask("webrtc:answer", json!({ "to": "honest-caller", "answer": description("answer") }));
        caller.hear("webrtc:answer");
        let call = call.as_str().unwrap().to_owned();
        let mut pair = Self { caller, callee, call, candidates: 0 };
        pair.goes_on();
        pair
    }

    /// Each says something to the other, who hears it next: nothing was lost, and the call has not ended.
    #[track_caller]
    pub(crate) fn goes_on(&mut self) {
        self.candidates += 1;
        say(&mut self.caller, &mut self.callee, "honest-callee", self.candidates);
        say(&mut self.callee, &mut self.caller, "honest-caller", self.candidates);
    }
}

#[track_caller]
fn say(from: &mut Honest, to: &mut Honest, name: &str, candidate: u64) {
    let answer = from.ask("webrtc:ice-candidate", json!({ "to": name, "candidate": candidate }));
    assert!(answer.get("code").is_none(), "{answer}");
    assert_eq!(to.hear("webrtc:ice-candidate")["candidate"], candidate);
}
