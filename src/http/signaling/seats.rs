//! The sessions of one connection: one for each namespace of Socket.IO, or the one of a plain client.

use super::arrival::Arrival;
use super::driver::{Common, Key};
use super::gate::{Judged, refusal};
use super::mailbox::Ticket;
use crate::auth::token::TokenRefused;
use crate::base::Now;
use crate::metrics::SignalingError;
use crate::signaling::{self, Abilities, Identity, Outgoing, Refusal, Resume, SessionId, Welcome};
use crate::wire::plain::Hello;
use serde::Deserialize;
use smallvec::SmallVec;
use std::sync::Arc;

/// The sessions of one connection.
pub(super) struct Seats {
    key: Key,
    /// Nearly always one.
    seats: SmallVec<[Seat; 1]>,
    /// Whose turn it is to send.
    next: usize,
    waiting: Vec<Waiting>,
    tickets: u32,
    /// All namespaces of a connection are one device.
    device: Option<Arc<str>>,
}

/// A session at its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    /// Its place in the list of namespaces.
    pub(super) namespace: u16,
    pub(super) session: SessionId,
}

/// Somebody whose token takes a newer key set.
struct Waiting {
    ticket: Ticket,
    what: What,
}

enum What {
    Enter { namespace: u16, auth: Auth },
    Refresh { session: SessionId, ack: Option<u64> },
}

/// What a client says of itself when it connects: the `auth` of Socket.IO, the `hello` of the plain wire.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Auth {
    token: Option<Box<str>>,
    pid: Option<Box<str>>,
    offset: Option<Box<str>>,
    #[serde(rename = "deviceId", alias = "device_id", alias = "device")]
    device: Option<Box<str>>,
    caps: Vec<Box<str>>,
}

impl Auth {
    /// Reads the payload of a CONNECT, which is a JSON object of a checked depth.
    ///
    /// # Errors
    /// A member that we know has the wrong type, or is there twice.
    pub(super) fn read(object: &str) -> Result<Self, Refusal> {
        serde_json::from_str(object).map_err(|_| {
            Refusal::new(
                SignalingError::BadRequest,
                "`auth` may have the texts `token`, `deviceId`, `pid` and `offset`, and a list `caps`",
            )
        })
    }

    fn abilities(&self) -> Abilities {
        let has = |name: &str| self.caps.iter().any(|cap| **cap == *name);
        Abilities { glare: has("glare"), report: has("report"), explicit_accept: has("explicit_accept") }
    }
}

impl From<Hello<'_>> for Auth {
    fn from(hello: Hello<'_>) -> Self {
        let text = |text: std::borrow::Cow<'_, str>| Box::from(&*text);
        let (pid, offset) = hello.resume.map_or((None, None), |resume| {
            let offset = Some(resume.offset).filter(|offset| !offset.is_empty());
            (Some(text(resume.pid)), offset.map(text))
        });
        Self {
            token: hello.token.map(text),
            pid,
            offset,
            device: hello.device.map(text),
            caps: hello.caps.into_iter().map(text).collect(),
        }
    }
}

/// How an entry went.
pub(super) enum Entered {
    /// In.
    Welcome(Welcome),
    /// Not in.
    Refused(Refusal),
    /// Not known yet.
    Later,
    /// Not known, and there is no time to find out.
    Busy,
}

/// The answer to a new token while too many wait.
pub(super) const BUSY: Refusal = Refusal {
    code: SignalingError::RateLimited,
    message: std::borrow::Cow::Borrowed("too many tokens wait for the issuer's keys"),
    retry_after_ms: Some(5_000),
};

impl Seats {
    pub(super) fn new(key: Key) -> Self {
        Self { key, seats: SmallVec::new(), next: 0, waiting: Vec::new(), tickets: 0, device: None }
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// How many namespaces it is in, or about to be.
    pub(super) fn len(&self) -> usize {
        self.seats.len() + self.waiting.len()
    }

    pub(super) fn session(&self, namespace: u16) -> Option<SessionId> {
        self.seats.iter().find(|seat| seat.namespace == namespace).map(|seat| seat.session)
    }

    /// Whether this namespace was asked for already.
    pub(super) fn knows(&self, namespace: u16) -> bool {
        let waits =
            |one: &Waiting| matches!(one.what, What::Enter { namespace: asked, .. } if asked == namespace);
        self.session(namespace).is_some() || self.waiting.iter().any(waits)
    }

    /// A client wants in. `raw`: all that it said, for a backend that looks at it.
    pub(super) fn enter(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        namespace: u16,
        auth: Auth,
        raw: &str,
    ) -> Entered {
        let token = auth.token.as_deref().or(about.token.as_deref());
        let ticket = self.ticket();
        match common.gate.judge(now, token, ticket, &common.door) {
            Judged::Good(identity) => self.admit(common, now, about, namespace, &auth, identity, raw),
            Judged::Refused(refused) => Entered::Refused(refusal(refused, common.backend.counters())),
            Judged::Busy => Entered::Busy,
            Judged::Later => {
                self.waiting.push(Waiting { ticket, what: What::Enter { namespace, auth } });
                Entered::Later
            }
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        Ticket { connection: self.key, number: self.tickets }
    }

    #[expect(clippy::too_many_arguments, reason = "everything that is known of somebody who comes in")]
    fn admit(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        namespace: u16,
        auth: &Auth,
        identity: Identity,
        raw: &str,
    ) -> Entered {
        let hello = signaling::Hello {
            identity,
            namespace,
            device: auth.device.as_deref().or(self.device.as_deref()),
            resume: auth.pid.as_deref().map(|pid| Resume { pid, offset: auth.offset.as_deref() }),
            caps: auth.abilities(),
            source: about.client,
        };
        let welcome = match common.backend.connect(now, hello, raw) {
            Ok(welcome) => welcome,
            Err(refusal) => return Entered::Refused(refusal),
        };
        self.device.get_or_insert_with(|| Arc::clone(&welcome.device));
        self.seats.push(Seat { namespace, session: welcome.session });
        if let Some(before) = common.connection_by_session.insert(welcome.session, self.key) {
            common.replaced.push((before, welcome.session));
        }
        common.touch(self.key);
        Entered::Welcome(welcome)
    }

    /// A key set was waited for. Gives the namespace if somebody wanted in.
    pub(super) fn on_judged(
        &mut self,
        common: &mut Common,
        now: Now,
        about: &Arrival,
        ticket: Ticket,
        judged: Result<Identity, TokenRefused>,
    ) -> Option<(u16, Entered)> {
        let at = self.waiting.iter().position(|one| one.ticket == ticket)?;
        let judged = judged.map_err(|refused| refusal(refused, common.backend.counters()));
        match self.waiting.swap_remove(at).what {
            What::Enter { namespace, auth } => Some((
                namespace,
                match judged {
                    Ok(identity) => self.admit(common, now, about, namespace, &auth, identity, "{}"),
                    Err(refusal) => Entered::Refused(refusal),
                },
            )),
            What::Refresh { session, ack } => {
                common.backend.on_verified(now, session, ack, judged);
                None
            }
        }
    }

    /// A session has a new token.
    pub(super) fn refresh(
        &mut self,
        common: &mut Common,
        now: Now,
        session: SessionId,
        ack: Option<u64>,
        token: &str,
    ) {
        let ticket = self.ticket();
        let judged = match common.gate.judge(now, Some(token), ticket, &common.door) {
            Judged::Good(identity) => Ok(identity),
            Judged::Refused(refused) => Err(refusal(refused, common.backend.counters())),
            Judged::Busy => Err(BUSY),
            Judged::Later => {
                return self.waiting.push(Waiting { ticket, what: What::Refresh { session, ack } });
            }
        };
        common.backend.on_verified(now, session, ack, judged);
    }

    /// The client leaves a namespace for good.
    pub(super) fn leave(&mut self, common: &mut Common, now: Now, namespace: u16) {
        let Some(at) = self.seats.iter().position(|seat| seat.namespace == namespace) else { return };
        let seat = self.seats.swap_remove(at);
        if common.release(seat.session, self.key) {
            common.backend.on_left(now, seat.session);
        }
    }

    /// A session went on at another connection.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.seats.retain(|seat| seat.session != session);
    }

    /// The connection is over; `for_good` when the client said goodbye.
    pub(super) fn end(self, common: &mut Common, now: Now, for_good: bool) {
        for seat in self.seats {
            match (common.release(seat.session, self.key), for_good) {
                (true, true) => common.backend.on_left(now, seat.session),
                (true, false) => common.backend.on_lost(now, seat.session),
                (false, _) => {}
            }
        }
    }

    /// What to send next, of all sessions in turn, and for which namespace.
    pub(super) fn next_outgoing(&mut self, common: &mut Common) -> Option<(u16, Outgoing)> {
        for _ in 0..self.seats.len() {
            let seat = self.seats[self.next % self.seats.len()];
            // One message each: a busy namespace must not keep the others waiting.
            self.next = (self.next + 1) % self.seats.len();
            if let Some(outgoing) = common.backend.next_outgoing(seat.session) {
                return Some((seat.namespace, outgoing));
            }
        }
        None
    }
}
