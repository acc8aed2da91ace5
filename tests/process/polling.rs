//! A client of Socket.IO by long polling, of a few lines and none of the daemon's code.

use crate::daemon::PATIENCE;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One Engine.IO session.
pub(crate) struct Polling {
    server: SocketAddr,
    target: String,
    /// What the server said of the session.
    pub(crate) open: Value,
    /// Packets that came and were not asked for yet.
    packets: VecDeque<String>,
}

impl Polling {
    pub(crate) fn open(server: SocketAddr, path: &str) -> Self {
        let target = format!("{path}?EIO=4&transport=polling");
        let opened = exchange(server, "GET", &target, "");
        let open: Value =
            serde_json::from_str(opened.strip_prefix('0').unwrap_or_else(|| panic!("{opened}"))).unwrap();
        let target = format!("{target}&sid={}", open["sid"].as_str().unwrap());
        Self { server, target, open, packets: VecDeque::new() }
    }

    /// Connects to a namespace; gives the answer, be it CONNECT or CONNECT_ERROR.
    pub(crate) fn connect(&mut self, namespace: &str, token: &str) -> Value {
        let name = if namespace == "/" { String::new() } else { format!("{namespace},") };
        self.post(&format!("40{name}{{\"token\":\"{token}\"}}"));
        loop {
            let packet = self.next();
            let answer = ["40", "44"].iter().find_map(|kind| packet.strip_prefix(&format!("{kind}{name}")));
            if let Some(json) = answer {
                return serde_json::from_str(json).unwrap();
            }
        }
    }

    /// The arguments of the next event with this name, behind it.
    pub(crate) fn await_event(&mut self, name: &str) -> Vec<Value> {
        loop {
            let packet = self.next();
            let list = packet.find('[').filter(|_| packet.starts_with("42")).map(|at| &packet[at..]);
            let Some(mut list) = list.and_then(|list| serde_json::from_str::<Vec<Value>>(list).ok()) else {
                continue;
            };
            if list[0] == name {
                return list.split_off(1);
            }
        }
    }

    /// Whether an event `name` comes before the next `end`.
    pub(crate) fn saw_before(&mut self, name: &str, end: &str) -> bool {
        let mut saw = false;
        loop {
            let packet = self.next();
            saw |= packet.starts_with(&format!("42[\"{name}\""));
            if packet.starts_with(&format!("42[\"{end}\"")) {
                return saw;
            }
        }
    }

    /// Waits for a ping, which is answered.
    pub(crate) fn await_ping(&mut self) {
        while self.next() != "2" {}
    }

    pub(crate) fn post(&self, packet: &str) {
        assert_eq!(exchange(self.server, "POST", &self.target, packet), "ok");
    }

    fn next(&mut self) -> String {
        while self.packets.is_empty() {
            let body = exchange(self.server, "GET", &self.target, "");
            self.packets.extend(body.split('\x1e').map(str::to_owned));
        }
        let packet = self.packets.pop_front().unwrap();
        assert_ne!(packet, "1", "closed by the server");
        if packet == "2" {
            self.post("3");
        }
        packet
    }
}

/// The body of the answer.
fn exchange(server: SocketAddr, method: &str, target: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    body.to_owned()
}
