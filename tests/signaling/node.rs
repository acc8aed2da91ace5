//! Node's clients, told what to do and asked what they saw, by JSON lines.

use crate::daemon::PATIENCE;
use crate::skip::skip;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/node");

/// A Node process with any number of clients in it; it ends with the value.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    input: RefCell<ChildStdin>,
    reports: Receiver<Value>,
    /// What was reported and not looked at yet, by client.
    unseen: RefCell<HashMap<String, VecDeque<Value>>>,
}

impl Node {
    /// One that takes orders. `None`, and a loud word, where Node or its packages are not installed.
    pub(crate) fn start(test: &str) -> Option<Self> {
        Self::spawn(test).inspect(Self::await_ready)
    }

    /// The same while it still loads its modules, which takes seconds on a machine under load.
    pub(crate) fn spawn(test: &str) -> Option<Self> {
        let has_node = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !has_node {
            skip(test, "no `node`");
            return None;
        }
        if !Path::new(FOLDER).join("node_modules/socket.io-client").exists() {
            skip(test, "no node_modules: run `npm ci` in tests/foreign/node");
            return None;
        }
        let mut child = Command::new("node")
            .arg("clients.mjs")
            .current_dir(FOLDER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, reports) = sync_channel(100_000);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let report =
                    serde_json::from_str(&line).unwrap_or_else(|_| json!({ "as": "node", "what": line }));
                if sender.send(report).is_err() {
                    return;
                }
            }
        });
        let input = RefCell::new(child.stdin.take().expect("piped"));
        Some(Self { child, input, reports, unseen: RefCell::default() })
    }

    /// From here on it does at once what it is told: tokens that end soon are good for something.
    #[track_caller]
    pub(crate) fn await_ready(&self) {
        while self.next_of("node")["what"] != "ready" {}
    }

    pub(crate) fn tell(&self, order: &Value) {
        writeln!(self.input.borrow_mut(), "{order}").expect("node takes a line");
    }

    /// The next report of whichever client.
    #[track_caller]
    pub(crate) fn next(&self) -> Value {
        match self.reports.recv_timeout(PATIENCE) {
            Ok(report) => report,
            Err(error) => panic!("{error}: nothing was reported; unseen: {:#?}", self.unseen.borrow()),
        }
    }

    /// The next report of this client.
    #[track_caller]
    fn next_of(&self, name: &str) -> Value {
        let started = Instant::now();
        loop {
            if let Some(report) = self.unseen.borrow_mut().get_mut(name).and_then(VecDeque::pop_front) {
                return report;
            }
            let left = PATIENCE.saturating_sub(started.elapsed());
            let Ok(report) = self.reports.recv_timeout(left) else {
                panic!("{name} sees nothing more; unseen: {:#?}", self.unseen.borrow());
            };
            let of = report["as"].as_str().unwrap_or_default().to_owned();
            self.unseen.borrow_mut().entry(of).or_default().push_back(report);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client<'n> {
    node: &'n Node,
    pub(crate) name: String,
    acks: Cell<u64>,
    /// Reports that `ask` has passed on its way to an answer.
    passed: RefCell<VecDeque<Value>>,
    /// All that was looked at, in order, in few words.
    story: RefCell<Vec<String>>,
    /// What was asked, by the number of its answer.
    asked: RefCell<HashMap<u64, String>>,
}

impl<'n> Client<'n> {
    /// `wire`: "socket.io", "plain" or "sdk".
    pub(crate) fn open(
        node: &'n Node,
        name: &str,
        wire: &str,
        url: &str,
        auth: Value,
        options: Value,
    ) -> Self {
        node.tell(
            &json!({"as": name, "do": "open", "wire": wire, "url": url, "auth": auth, "options": options}),
        );
        Self {
            node,
            name: name.into(),
            acks: Cell::new(0),
            passed: RefCell::default(),
            story: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    pub(crate) fn tell(&self, verb: &str, more: Value) {
        let mut order = json!({ "as": self.name, "do": verb });
        let fields = order.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        self.node.tell(&order);
    }

    /// An event without an answer.
    pub(crate) fn say(&self, event: &str, data: Value) {
        self.tell("emit", json!({ "event": event, "data": data }));
    }

    /// An event that asks for an answer, which is awaited later. Returns its number.
    pub(crate) fn begin(&self, event: &str, data: Value) -> u64 {
        self.begin_to("emit", event, json!({ "event": event, "data": data }))
    }

    /// Something else that has an answer: `what` names it in the story.
    fn begin_to(&self, verb: &str, what: &str, mut more: Value) -> u64 {
        self.acks.set(self.acks.get() + 1);
        self.asked.borrow_mut().insert(self.acks.get(), what.to_owned());
        more["ack"] = self.acks.get().into();
        self.tell(verb, more);
        self.acks.get()
    }

    /// An event and its answer. What comes before the answer stays to be looked at.
    #[track_caller]
    pub(crate) fn ask(&self, event: &str, data: Value) -> Value {
        let ack = self.begin(event, data);
        self.await_answer(ack)
    }

    /// What our own client does when its app says so, and how it went: `{"ok", "data" | "code"}`.
    #[track_caller]
    pub(crate) fn order(&self, verb: &str, more: Value) -> Value {
        let ack = self.begin_to(verb, verb, more);
        self.await_answer(ack)
    }

    /// The answer to what was begun before.
    #[track_caller]
    pub(crate) fn await_answer(&self, ack: u64) -> Value {
        let mut passed = self.passed.borrow_mut();
        let known = passed.iter().find(|report| report["what"] == "ack" && report["ack"] == ack);
        if let Some(report) = known {
            return report["body"].clone();
        }
        loop {
            let report = self.node.next_of(&self.name);
            let is_it = report["what"] == "ack" && report["ack"] == ack;
            passed.push_back(report.clone());
            if is_it {
                return report["body"].clone();
            }
        }
    }

    /// The same where the answer is a good one: its fields.
    #[track_caller]
    pub(crate) fn get(&self, event: &str, data: Value) -> Value {
        let answer = self.ask(event, data);
        assert_eq!(answer["ok"], true, "{event} of {}: {answer}", self.name);
        answer.get("data").cloned().unwrap_or(answer)
    }

    /// The same where it is refused: the code.
    #[track_caller]
    pub(crate) fn refused(&self, event: &str, data: Value) -> String {
        let answer = self.ask(event, data);
        assert_eq!(answer["ok"], false, "{event} of {}: {answer}", self.name);
        assert!(answer["message"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
        answer["code"].as_str().expect("a code").to_owned()
    }

    /// The next thing that it saw, whatever that is.
    #[track_caller]
    pub(crate) fn look(&self) -> Value {
        let report = self.passed.borrow_mut().pop_front();
        let report = report.unwrap_or_else(|| self.node.next_of(&self.name));
        let words = match report["what"].as_str() {
            Some("event") => report["event"].as_str().unwrap_or_default().to_owned(),
            Some("ack") => {
                let asked = self.asked.borrow();
                let event = report["ack"].as_u64().and_then(|ack| asked.get(&ack));
                format!("ack of {}", event.map_or("?", |event| event))
            }
            Some("open" | "upgrade") if report["body"].is_string() => {
                format!("{} {}", report["what"].as_str().unwrap(), report["body"].as_str().unwrap())
            }
            Some(what) => what.to_owned(),
            None => report.to_string(),
        };
        self.story.borrow_mut().push(words);
        report
    }

    /// What it is to see next; answers are passed over.
    #[track_caller]
    pub(crate) fn see(&self, what: &str) -> Value {
        let report = self.look_past_answers();
        assert_eq!(report["what"], what, "{} saw {report}", self.name);
        report["body"].clone()
    }

    /// The event that it is to hear next; answers are passed over. Returns the data.
    #[track_caller]
    pub(crate) fn hear(&self, event: &str) -> Value {
        self.hear_all(event)[0].clone()
    }

    /// The same with all arguments that its handler sees.
    #[track_caller]
    pub(crate) fn hear_all(&self, event: &str) -> Vec<Value> {
        let report = self.look_past_answers();
        assert_eq!(report["event"], event, "{} saw {report}", self.name);
        report["args"].as_array().expect("arguments").clone()
    }

    /// Looks until it sees this. What comes before is seen, too.
    #[track_caller]
    pub(crate) fn await_seen(&self, what: &str) -> Value {
        loop {
            let report = self.look();
            if report["what"] == what || report["event"] == what {
                return report;
            }
        }
    }

    /// Everything that was for it has come, and it has looked at all of it.
    #[track_caller]
    pub(crate) fn expect_nothing_more(&self) {
        self.get("heartbeat", json!({}));
        self.hear("heartbeat:ack");
        let beat = |word: &String| word != "heartbeat:ack" && word != "ack of heartbeat";
        while self.passed.borrow().front().is_some() {
            assert_eq!(self.look()["what"], "ack", "{}", self.name);
        }
        self.story.borrow_mut().retain(beat);
    }

    /// All that it has looked at, from its first moment.
    pub(crate) fn story(&self) -> Vec<String> {
        self.story.borrow().clone()
    }

    #[track_caller]
    fn look_past_answers(&self) -> Value {
        loop {
            let report = self.look();
            if report["what"] != "ack" {
                return report;
            }
        }
    }
}
