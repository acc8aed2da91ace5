//! A hub with clients and a clock that moves only when told.
#![allow(unreachable_pub)]

use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use turnstone::base::{Now, Random, Timestamp, UnixTime};
use turnstone::metrics::CounterId;
use turnstone::signaling::{
    Abilities, Closing, Deed, Effect, Hello, Hub, Identity, Inbound, Outcome, Outgoing, Refusal, Resume,
    SessionId, Settings, Unstored, Welcome,
};

/// What a client saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Push { event: String, data: Value, offset: String },
    Answer { ack: u64, result: Result<Value, (String, Option<u64>)> },
}

/// The driver's part, played by the test.
pub struct Place {
    pub hub: Hub,
    pub now: Now,
    pub closed: Vec<(SessionId, Closing)>,
    pub verify: VecDeque<(SessionId, Option<u64>, String)>,
    /// What the hub wants of a storage, in order.
    pub deeds: VecDeque<(u64, Deed)>,
    /// Who was to take part in what, by the deeds before.
    pub met: Vec<Deed>,
    inbox: BTreeMap<SessionId, VecDeque<Seen>>,
    /// Clients that take nothing, as if their sockets were full.
    stuck: Vec<SessionId>,
    next_ack: u64,
}

/// How a client comes.
#[derive(Clone, Debug)]
pub struct Coming {
    pub identity: Identity,
    pub device: Option<String>,
    pub resume: Option<(String, Option<String>)>,
    pub source: IpAddr,
    pub namespace: u16,
}

impl Coming {
    pub fn of(user: &str) -> Self {
        Self {
            identity: identity(user),
            device: None,
            resume: None,
            source: [192, 0, 2, 1].into(),
            namespace: 0,
        }
    }

    pub fn device(mut self, device: &str) -> Self {
        self.device = Some(device.into());
        self
    }

    pub fn rooms(mut self, rooms: &[&str]) -> Self {
        self.identity.rooms = Some(rooms.iter().map(|room| Box::from(*room)).collect());
        self
    }

    pub fn roles(mut self, roles: &[&str]) -> Self {
        self.identity.roles = roles.iter().map(|role| Box::from(*role)).collect();
        self
    }

    pub fn resuming(mut self, pid: &str, offset: Option<&str>) -> Self {
        self.resume = Some((pid.into(), offset.map(Into::into)));
        self
    }
}

pub fn identity(user: &str) -> Identity {
    Identity {
        user: Arc::from(user),
        device: None,
        name: None,
        expires: UnixTime(START_UNIX + 100 * 24 * 3600),
        rooms: None,
        roles: Arc::from([]),
    }
}

pub const START_UNIX: u64 = 1_800_000_000;

impl Place {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let now = Now { at: Timestamp::from_secs(1000), unix: UnixTime(START_UNIX) };
        Self {
            hub: Hub::new(settings, Random::seeded(7), now),
            now,
            closed: Vec::new(),
            verify: VecDeque::new(),
            deeds: VecDeque::new(),
            met: Vec::new(),
            inbox: BTreeMap::new(),
            stuck: Vec::new(),
            next_ack: 0,
        }
    }

    /// A client that comes and reads its greeting.
    pub fn client(&mut self, user: &str) -> Welcome {
        let welcome = self.connect(&Coming::of(user)).expect("may connect");
        assert_eq!(self.next_event(&welcome), "connection:established");
        welcome
    }

    pub fn connect(&mut self, coming: &Coming) -> Result<Welcome, Refusal> {
        let resume = coming.resume.as_ref().map(|(pid, offset)| Resume { pid, offset: offset.as_deref() });
        let welcome = self.hub.connect(
            self.now,
            Hello {
                identity: coming.identity.clone(),
                namespace: coming.namespace,
                device: coming.device.as_deref(),
                resume,
                caps: Abilities::default(),
                source: coming.source,
            },
        );
        if let Ok(welcome) = &welcome {
            // Whatever the former transport did not take is lost with it.
            self.inbox.remove(&welcome.session);
            self.stuck.retain(|stuck| *stuck != welcome.session);
        }
        self.settle();
        welcome
    }

    /// Sends an event that asks for no answer.
    pub fn say(&mut self, client: &Welcome, name: &str, data: &str) {
        self.event(client.session, name, data, None);
    }

    /// Sends an event and gives its one answer.
    pub fn ask(&mut self, client: &Welcome, name: &str, data: &str) -> Result<Value, (String, Option<u64>)> {
        self.next_ack += 1;
        let ack = self.next_ack;
        self.event(client.session, name, data, Some(ack));
        let inbox = self.inbox.entry(client.session).or_default();
        let is_it = |seen: &Seen| matches!(seen, Seen::Answer { ack: found, .. } if *found == ack);
        assert_eq!(
            inbox.iter().filter(|seen| is_it(seen)).count(),
            1,
            "one answer to {name} {data}: {inbox:?}"
        );
        let at = inbox.iter().position(is_it).expect("counted");
        match inbox.remove(at) {
            Some(Seen::Answer { result, .. }) => result,
            _ => unreachable!("matched above"),
        }
    }

    pub fn event(&mut self, session: SessionId, name: &str, data: &str, ack: Option<u64>) {
        self.hub.on_event(self.now, session, Inbound { name, data, more: "", attachments: &[], ack });
        self.settle();
    }

    /// There is a storage, whose part the test plays.
    pub fn keeping() -> Self {
        let mut place = Self::new();
        place.hub.keep();
        place
    }

    /// Sends an event whose answer waits for storage; gives its number.
    pub fn begin(&mut self, client: &Welcome, name: &str, data: &str) -> u64 {
        self.next_ack += 1;
        self.event(client.session, name, data, Some(self.next_ack));
        self.next_ack
    }

    /// The answer of that number, if it has come.
    pub fn answer(&mut self, client: &Welcome, number: u64) -> Option<Result<Value, (String, Option<u64>)>> {
        let inbox = self.inbox.entry(client.session).or_default();
        let at = inbox.iter().position(|seen| matches!(seen, Seen::Answer { ack, .. } if *ack == number))?;
        match inbox.remove(at) {
            Some(Seen::Answer { result, .. }) => Some(result),
            _ => unreachable!("matched above"),
        }
    }

    /// The next deed but for who takes part: that is done at once, and noted.
    pub fn next_deed(&mut self) -> Option<(u64, Deed)> {
        loop {
            match self.deeds.pop_front()? {
                (number, deed @ Deed::Meet { .. }) => {
                    self.met.push(deed);
                    self.stored(number, Ok(Outcome::Done));
                }
                other => return Some(other),
            }
        }
    }

    /// Storage has done it, or not.
    pub fn stored(&mut self, number: u64, result: Result<Outcome, Unstored>) {
        self.hub.on_stored(self.now, number, result);
        self.settle();
    }

    /// The code of a refusal.
    pub fn refused(&mut self, client: &Welcome, name: &str, data: &str) -> String {
        self.ask(client, name, data).expect_err("is refused").0
    }

    pub fn lose(&mut self, client: &Welcome) {
        self.hub.on_lost(self.now, client.session);
        self.settle();
    }

    pub fn leave(&mut self, client: &Welcome) {
        self.hub.on_left(self.now, client.session);
        self.settle();
    }

    /// From now on the client takes nothing.
    pub fn stick(&mut self, client: &Welcome) {
        self.stuck.push(client.session);
    }

    pub fn wait(&mut self, span: Duration) {
        let end = self.now.at.after(span);
        while let Some(at) = self.hub.next_deadline().filter(|at| *at <= end) {
            self.set(at.max(self.now.at));
            self.hub.on_deadline(self.now);
            self.settle();
        }
        self.set(end);
        self.hub.on_deadline(self.now);
        self.settle();
    }

    fn set(&mut self, at: Timestamp) {
        self.now = Now { at, unix: UnixTime(START_UNIX - 1000 + at.as_secs()) };
    }

    /// Everything that the client got and has not looked at.
    pub fn seen(&mut self, client: &Welcome) -> Vec<Seen> {
        self.inbox.remove(&client.session).unwrap_or_default().into()
    }

    /// The events among them, by name.
    pub fn events(&mut self, client: &Welcome) -> Vec<String> {
        let pushes = self.seen(client).into_iter().filter_map(|seen| match seen {
            Seen::Push { event, .. } => Some(event),
            Seen::Answer { .. } => None,
        });
        pushes.collect()
    }

    /// The data of every event of this name; the others are thrown away.
    pub fn pushes(&mut self, client: &Welcome, name: &str) -> Vec<Value> {
        let pushes = self.seen(client).into_iter().filter_map(|seen| match seen {
            Seen::Push { event, data, .. } if event == name => Some(data),
            _ => None,
        });
        pushes.collect()
    }

    /// The name of the next event.
    pub fn next_event(&mut self, client: &Welcome) -> String {
        match self.inbox.entry(client.session).or_default().pop_front() {
            Some(Seen::Push { event, .. }) => event,
            other => panic!("no event: {other:?}"),
        }
    }

    pub fn count(&mut self, counter: CounterId) -> u64 {
        self.hub.counters().value(counter)
    }

    /// Does what a driver does after each input.
    pub fn settle(&mut self) {
        while let Some(effect) = self.hub.next_effect() {
            match effect {
                Effect::Publish(message) => self.hub.on_bus(self.now, message),
                Effect::Ready(session) if !self.stuck.contains(&session) => self.read(session),
                Effect::Ready(_) => {}
                Effect::Close { session, why } => {
                    if !self.stuck.contains(&session) {
                        self.read(session);
                    }
                    self.closed.push((session, why));
                    self.hub.on_lost(self.now, session);
                }
                Effect::Verify { session, ack, token } => self.verify.push_back((session, ack, token.into())),
                Effect::Store { number, deed } => self.deeds.push_back((number, deed)),
                Effect::CallLive(_) | Effect::CallEnded(_) => {}
            }
        }
    }

    fn read(&mut self, session: SessionId) {
        while let Some(out) = self.hub.next_outgoing(session) {
            let seen = match out {
                Outgoing::Push(push) => Seen::Push {
                    event: push.event.clone().into_owned(),
                    data: parse(&push.data),
                    offset: self.hub.offset(&push),
                },
                Outgoing::Acknowledge { .. } => unreachable!("the hub answers with objects"),
                Outgoing::Answer { ack, result } => Seen::Answer {
                    ack,
                    result: result.map(|json| parse(&json)).map_err(|refusal| {
                        assert!(!refusal.message.is_empty());
                        (refusal.code_text().to_owned(), refusal.retry_after_ms)
                    }),
                },
            };
            self.inbox.entry(session).or_default().push_back(seen);
        }
    }
}

fn parse(json: &str) -> Value {
    let value: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert!(value.is_object(), "{json}");
    value
}
