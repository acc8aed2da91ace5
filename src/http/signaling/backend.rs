//! What the driver drives.

use crate::base::{Now, Timestamp};
use crate::metrics::CounterSet;
use crate::signaling::{
    Effect, Hello, Hub, Identity, Inbound, Outgoing, Push, Refusal, SessionId, Settings, Welcome,
};

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
    fn next_effect(&mut self, now: Now) -> Option<Effect>;
    /// What to send next to this client.
    fn next_outgoing(&mut self, session: SessionId) -> Option<Outgoing>;
    /// Where a client that has seen `push` goes on; `None` while it cannot.
    fn offset(&self, push: &Push) -> Option<String>;
    /// Takes over changed settings.
    fn reload(&mut self, settings: Settings);
    /// The counters of this thread.
    fn counters(&mut self) -> &mut CounterSet;
    /// The daemon stops.
    fn shutdown(&mut self, now: Now);
}

impl Backend for Hub {
    fn connect(&mut self, now: Now, hello: Hello<'_>, _auth: &str) -> Result<Welcome, Refusal> {
        Self::connect(self, now, hello)
    }

    fn on_event(&mut self, now: Now, session: SessionId, event: Inbound<'_>) {
        Self::on_event(self, now, session, event);
    }

    fn on_lost(&mut self, now: Now, session: SessionId) {
        Self::on_lost(self, now, session);
    }

    fn on_left(&mut self, now: Now, session: SessionId) {
        Self::on_left(self, now, session);
    }

    fn on_verified(
        &mut self,
        now: Now,
        session: SessionId,
        ack: Option<u64>,
        result: Result<Identity, Refusal>,
    ) {
        Self::on_verified(self, now, session, ack, result);
    }

    fn on_deadline(&mut self, now: Now) {
        Self::on_deadline(self, now);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        Self::next_deadline(self)
    }

    /// The bus of a single node: what the hub says to others it hears itself.
    fn next_effect(&mut self, now: Now) -> Option<Effect> {
        loop {
            match Self::next_effect(self)? {
                Effect::Publish(message) => self.on_bus(now, message),
                effect => return Some(effect),
            }
        }
    }

    fn next_outgoing(&mut self, session: SessionId) -> Option<Outgoing> {
        Self::next_outgoing(self, session)
    }

    fn offset(&self, push: &Push) -> Option<String> {
        Some(Self::offset(self, push))
    }

    fn reload(&mut self, settings: Settings) {
        Self::reload(self, settings);
    }

    fn counters(&mut self) -> &mut CounterSet {
        Self::counters(self)
    }

    fn shutdown(&mut self, now: Now) {
        Self::shutdown(self, now);
    }
}
