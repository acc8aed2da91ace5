//! What the driver drives.

use crate::auth::MintTimes;
use crate::base::{Now, Timestamp};
use crate::metrics::CounterSet;
use crate::signaling::{
    BackEndEvent, Effect, Hello, Hub, Identity, Inbound, LiveCall, Outcome, Outgoing, Push, Refusal,
    SentBefore, SessionId, Settings, Unstored, Welcome, Whose,
};
use std::collections::VecDeque;

/// The hub, or what stands in its place where the wires alone are tested. See [`Hub`] for the methods.
pub trait Backend: Send {
    /// `auth` is the JSON that the client sent along with its CONNECT or hello.
    ///
    /// # Errors
    /// What the client is told.
    fn connect(&mut self, now: Now, hello: Hello<'_>, auth: &str) -> Result<Welcome, Refusal>;
    /// An event of a client.
    fn on_event(&mut self, now: Now, session: SessionId, event: Inbound<'_>);
    /// The transport is gone.
    fn on_lost(&mut self, now: Now, session: SessionId);
    /// The client said goodbye.
    fn on_left(&mut self, now: Now, session: SessionId);
    /// The answer to [`Effect::Verify`].
    fn on_verified(
        &mut self,
        now: Now,
        session: SessionId,
        ack: Option<u64>,
        result: Result<Identity, Refusal>,
    );
    /// Time has passed.
    fn on_deadline(&mut self, now: Now);
    /// When [`Backend::on_deadline`] has something to do.
    fn next_deadline(&self) -> Option<Timestamp>;
    /// What to do next; messages of the bus are its own matter.
    fn next_effect(&mut self) -> Option<Effect>;
    /// What to send next to this client.
    fn next_outgoing(&mut self, session: SessionId) -> Option<Outgoing>;
    /// Where a client that has seen `push` goes on; `None` while it cannot.
    fn offset(&self, push: &Push) -> Option<String>;
    /// Takes over changed settings.
    fn reload(&mut self, settings: Settings);
    /// Credentials for calls are minted by these from now on.
    fn mint_by(&mut self, _times: MintTimes) {}
    /// The counters of this thread.
    fn counters(&mut self) -> &mut CounterSet;
    /// There is a storage: what is to outlive the daemon leaves as effects.
    fn keep(&mut self) {}
    /// Takes over what was kept, before the first client.
    fn restore(&mut self, _now: Now, _calls: Vec<LiveCall>, _sent: Vec<SentBefore>) {}
    /// What became of [`Effect::Store`].
    fn on_stored(&mut self, _now: Now, _number: u64, _result: Result<Outcome, Unstored>) {}
    /// An event of the application's back end.
    ///
    /// # Errors
    /// What it is told.
    fn publish_event(&mut self, _now: Now, _event: BackEndEvent) -> Result<usize, Refusal> {
        Ok(0)
    }
    /// The presence that the application's back end asks for.
    ///
    /// # Errors
    /// What it is told.
    fn presence_of(&self, _whose: &Whose) -> Result<Box<str>, Refusal> {
        Ok("{}".into())
    }
    /// The daemon stops.
    fn shutdown(&mut self, now: Now);
}

/// The hub of a single node: what it says to others it hears itself, before anything else happens to it.
pub struct LocalHub {
    hub: Hub,
    effects: VecDeque<Effect>,
}

impl LocalHub {
    /// A node of its own.
    pub fn new(hub: Hub) -> Self {
        Self { hub, effects: VecDeque::new() }
    }

    /// Brings the bus to rest, so that the next input meets what this one has changed.
    fn settle(&mut self, now: Now) {
        while let Some(effect) = self.hub.next_effect() {
            match effect {
                Effect::Publish(message) => self.hub.on_bus(now, message),
                effect => self.effects.push_back(effect),
            }
        }
    }
}

impl Backend for LocalHub {
    fn connect(&mut self, now: Now, hello: Hello<'_>, _auth: &str) -> Result<Welcome, Refusal> {
        let welcome = self.hub.connect(now, hello);
        self.settle(now);
        welcome
    }

    fn on_event(&mut self, now: Now, session: SessionId, event: Inbound<'_>) {
        self.hub.on_event(now, session, event);
        self.settle(now);
    }

    fn on_lost(&mut self, now: Now, session: SessionId) {
        self.hub.on_lost(now, session);
        self.settle(now);
    }

    fn on_left(&mut self, now: Now, session: SessionId) {
        self.hub.on_left(now, session);
        self.settle(now);
    }

    fn on_verified(
        &mut self,
        now: Now,
        session: SessionId,
        ack: Option<u64>,
        result: Result<Identity, Refusal>,
    ) {
        self.hub.on_verified(now, session, ack, result);
        self.settle(now);
    }

    fn on_deadline(&mut self, now: Now) {
        self.hub.on_deadline(now);
        self.settle(now);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.hub.next_deadline()
    }

    fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn next_outgoing(&mut self, session: SessionId) -> Option<Outgoing> {
        self.hub.next_outgoing(session)
    }

    fn offset(&self, push: &Push) -> Option<String> {
        Some(self.hub.offset(push))
    }

    fn reload(&mut self, settings: Settings) {
        self.hub.reload(settings);
    }

    fn mint_by(&mut self, times: MintTimes) {
        self.hub.mint_by(times);
    }

    fn counters(&mut self) -> &mut CounterSet {
        self.hub.counters()
    }

    fn keep(&mut self) {
        self.hub.keep();
    }

    fn restore(&mut self, now: Now, calls: Vec<LiveCall>, sent: Vec<SentBefore>) {
        self.hub.restore(now, calls, sent);
        self.settle(now);
    }

    fn on_stored(&mut self, now: Now, number: u64, result: Result<Outcome, Unstored>) {
        self.hub.on_stored(now, number, result);
        self.settle(now);
    }

    fn publish_event(&mut self, now: Now, event: BackEndEvent) -> Result<usize, Refusal> {
        let told = self.hub.publish_event(now, event);
        self.settle(now);
        told
    }

    fn presence_of(&self, whose: &Whose) -> Result<Box<str>, Refusal> {
        self.hub.presence_of(whose)
    }

    fn shutdown(&mut self, now: Now) {
        self.hub.shutdown(now);
        self.settle(now);
    }
}
