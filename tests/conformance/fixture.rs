//! The server side that the public test suite of Socket.IO expects, in place of the hub.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use turnstone::base::{Now, Timestamp};
use turnstone::http::signaling::Backend;
use turnstone::metrics::CounterSet;
use turnstone::signaling::{
    Class, Effect, Hello, Identity, Inbound, Outgoing, Push, Refusal, SessionId, Settings, Welcome,
};

/// Says `auth` with what came with CONNECT, and gives `message` and `message-with-ack` back.
#[derive(Default)]
pub(crate) struct Fixture {
    sessions: u64,
    queues: HashMap<SessionId, VecDeque<Outgoing>>,
    effects: VecDeque<Effect>,
    ready: HashSet<SessionId>,
    counters: CounterSet,
}

impl Fixture {
    fn queue(&mut self, session: SessionId, outgoing: Outgoing) {
        self.queues.entry(session).or_default().push_back(outgoing);
        if self.ready.insert(session) {
            self.effects.push_back(Effect::Ready(session));
        }
    }

    fn push(
        &mut self,
        session: SessionId,
        event: &'static str,
        arguments: String,
        inbound: Option<&Inbound<'_>>,
    ) {
        let push = Push {
            seq: 0,
            event: Cow::Borrowed(event),
            data: arguments.into(),
            attachments: inbound.map_or_else(Vec::new, |inbound| inbound.attachments.to_vec()),
            class: Class::Reliable,
        };
        self.queue(session, Outgoing::Push(Arc::new(push)));
    }
}

impl Backend for Fixture {
    fn connect(&mut self, _: Now, _: Hello<'_>, auth: &str) -> Result<Welcome, Refusal> {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        self.push(session, "auth", auth.to_owned(), None);
        Ok(Welcome {
            session,
            public_id: self.sessions.to_string().into(),
            // Without a private id a client does not try to recover.
            pid: "".into(),
            recovered: false,
            user: "guest".into(),
            device: "guest".into(),
            taken_over: false,
        })
    }

    fn on_event(&mut self, _: Now, session: SessionId, event: Inbound<'_>) {
        let arguments = format!("{}{}", event.data, event.more);
        match (event.name, event.ack) {
            ("message", _) => self.push(session, "message-back", arguments, Some(&event)),
            ("message-with-ack", Some(ack)) => {
                let attachments = event.attachments.to_vec();
                self.queue(session, Outgoing::Acknowledge { ack, arguments: arguments.into(), attachments });
            }
            _ => {}
        }
    }

    fn on_lost(&mut self, _: Now, session: SessionId) {
        self.queues.remove(&session);
        self.ready.remove(&session);
    }

    fn on_left(&mut self, now: Now, session: SessionId) {
        self.on_lost(now, session);
    }

    fn on_verified(&mut self, _: Now, _: SessionId, _: Option<u64>, _: Result<Identity, Refusal>) {}

    fn on_deadline(&mut self, _: Now) {}

    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }

    fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn next_outgoing(&mut self, session: SessionId) -> Option<Outgoing> {
        let next = self.queues.get_mut(&session).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.ready.remove(&session);
        }
        next
    }

    fn offset(&self, _: &Push) -> Option<String> {
        None
    }

    fn reload(&mut self, _: Settings) {}

    fn counters(&mut self) -> &mut CounterSet {
        &mut self.counters
    }

    fn shutdown(&mut self, _: Now) {}
}
