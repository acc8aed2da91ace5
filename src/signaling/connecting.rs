//! Sessions come, are lost, go on and end.

use super::hub::Timer;
use super::json::Object;
use super::limits::wait;
use super::payload::{NAME_SHAPE, is_name, wrong};
use super::session::{Session, Token};
use super::session_log::Log;
use super::{Abilities, Class, Closing, Hub, Identity, Party, Push, Refusal, SessionId};
use crate::base::{Now, Timestamp, TokenBucket, subscriber};
use crate::metrics::{Recovery, SignalingError, sessions_opened, signaling_recoveries};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a client says when it comes; its token and its origin are checked already.
#[derive(Clone, Debug)]
pub struct Hello<'a> {
    /// Who it is.
    pub identity: Identity,
    /// Number of its namespace; 0 for plain clients.
    pub namespace: u16,
    /// What it calls its device; counts only where the token does not say.
    pub device: Option<&'a str>,
    /// The session that it wants to go on with.
    pub resume: Option<Resume<'a>>,
    /// What it can do.
    pub caps: Abilities,
    /// Where it comes from.
    pub source: IpAddr,
}

/// The session that a client wants to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume<'a> {
    /// Its private id.
    pub pid: &'a str,
    /// The offset of the last event that the client has.
    pub offset: Option<&'a str>,
}

/// What a client is told first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// What the driver calls the session.
    pub session: SessionId,
    /// What others may know it by.
    pub public_id: Box<str>,
    /// What only its own client may know: with it the session goes on.
    pub pid: Box<str>,
    /// It went on; every event that was missed follows.
    pub recovered: bool,
    /// Who the client is.
    pub user: Arc<str>,
    /// On which device.
    pub device: Arc<str>,
    /// The session still had a transport, which the driver closes without a word to the hub.
    pub taken_over: bool,
}

/// What came of an attempt to go on with a session.
enum Attempt {
    Recovered {
        session: SessionId,
        offset: u64,
    },
    /// And the session of this client that is of no use any more.
    Failed(Option<SessionId>),
    None,
}

impl Hub {
    /// A client whose token is good opens a session, or goes on with one.
    ///
    /// # Errors
    /// What the client is told instead; nothing has changed then.
    pub fn connect(&mut self, now: Now, hello: Hello<'_>) -> Result<Welcome, Refusal> {
        if self.is_stopping {
            return Err(wait(
                "the server stops",
                Duration::from_millis(u64::from(super::expiry::RETURN_MS_MAX)),
            ));
        }
        if hello.device.is_some_and(|device| !is_name(device)) {
            return Err(wrong("device", NAME_SHAPE));
        }
        let user = self.town.people.enter(&hello.identity.user);
        let welcome = self.admit(now, user, hello);
        if welcome.is_err() {
            self.forget_if_stranger(now, user);
        }
        welcome
    }

    fn admit(&mut self, now: Now, user: u32, hello: Hello<'_>) -> Result<Welcome, Refusal> {
        self.spend_connect(now, user)?;
        match self.attempt(&hello) {
            Attempt::Recovered { session, offset } => Ok(self.go_on(now, session, offset, hello)),
            Attempt::Failed(former) => {
                // The former session makes room for the new one, and ends behind it: its device is never gone.
                self.expect_room(now, user, &hello, former)?;
                let device =
                    former.and_then(|id| self.town.sessions.get(id)).map(|former| Arc::clone(&former.device));
                let welcome = self.open(now, user, hello, device);
                if let Some(former) = former {
                    self.close(former, Closing::Replaced);
                    self.end(now, former);
                }
                let snapshot = self
                    .calls
                    .snapshot(&Party { user: welcome.user.clone(), device: welcome.device.clone() });
                self.tell(now, welcome.session, "call:sync", snapshot, Class::Reliable);
                Ok(welcome)
            }
            Attempt::None => {
                self.expect_room(now, user, &hello, None)?;
                Ok(self.open(now, user, hello, None))
            }
        }
    }

    /// Whether the client can go on where it was. The token was verified anew; it must be of the same user.
    fn attempt(&mut self, hello: &Hello<'_>) -> Attempt {
        let Some(resume) = hello.resume else { return Attempt::None };
        let offset = resume.offset.map_or(Some(0), |offset| self.parse_offset(offset));
        let wanted = hello.identity.device.as_deref().or(hello.device);
        let known = self.town.sessions.by_private(resume.pid).and_then(|id| self.town.sessions.get_mut(id));
        let known = known.filter(|session| {
            session.identity.user == hello.identity.user
                && session.namespace == hello.namespace
                && wanted.is_none_or(|device| *session.device == *device)
        });
        let Some(session) = known else {
            self.counters.increment(signaling_recoveries(Recovery::Unknown));
            return Attempt::Failed(None);
        };
        let (id, start) = (session.id, session.start_seq);
        // An offset from before this session is that of a client which got nothing from it yet.
        match offset.filter(|offset| session.log.resume(*offset).is_ok()) {
            Some(offset) => {
                session.log.detach();
                self.counters.increment(signaling_recoveries(Recovery::Recovered));
                Attempt::Recovered { session: id, offset: offset.max(start) }
            }
            None => {
                self.counters.increment(signaling_recoveries(Recovery::Gap));
                Attempt::Failed(Some(id))
            }
        }
    }

    fn go_on(&mut self, now: Now, id: SessionId, offset: u64, hello: Hello<'_>) -> Welcome {
        let source = counted(hello.source);
        self.town.sessions.move_to(id, source);
        let mut taken_over = false;
        if let Some(session) = self.town.sessions.get_mut(id) {
            taken_over = std::mem::replace(&mut session.is_attached, true);
            session.identity = hello.identity;
            session.abilities = hello.caps;
            (session.is_closing, session.is_ready) = (false, false);
            if let Some(window) = session.window.take() {
                self.timers.cancel(window);
            }
        }
        if !taken_over {
            self.attached(now, id);
        }
        self.leave_forbidden_rooms(id);
        self.greet(now, id, offset, true, taken_over)
    }

    fn open(&mut self, now: Now, user: u32, hello: Hello<'_>, device: Option<Arc<str>>) -> Welcome {
        let (public, private) = (Token::new(&mut self.random), Token::new(&mut self.random));
        let start_seq = self.next_seq();
        let named = hello.identity.device.clone().or_else(|| hello.device.map(Arc::from)).or(device);
        let mut log = Log::default();
        log.begin(start_seq);
        let id = self.town.sessions.insert(|id| Session {
            id,
            identity: hello.identity,
            device: named.unwrap_or_else(|| Arc::from(public.text())),
            namespace: hello.namespace,
            abilities: hello.caps,
            public,
            private,
            user,
            source: counted(hello.source),
            log,
            greeting: None,
            start_seq,
            transport: 0,
            is_attached: true,
            is_closing: false,
            is_ready: false,
            has_expired: false,
            has_notice: false,
            verifying: 0,
            asking: 0,
            lost_at: Timestamp::ZERO,
            heard_at: now.at,
            window: None,
            expiry: None,
            rooms: Vec::new(),
            watched: Vec::new(),
            typing: Vec::new(),
            slots: Vec::new(),
            budgets: Default::default(),
            refusals: TokenBucket::default(),
        });
        self.counters.increment(sessions_opened());
        self.attached(now, id);
        self.greet(now, id, start_seq, false, false)
    }

    /// The first event of every transport: a client without any could not say later where it was.
    ///
    /// Its number is that of the last event that the client has, so that its offset does not leap over what follows.
    fn greet(&mut self, now: Now, id: SessionId, seq: u64, recovered: bool, taken_over: bool) -> Welcome {
        self.watch_token(now, id);
        let Some(session) = self.town.sessions.get_mut(id) else { unreachable!("it was just made or found") };
        session.transport = session.transport.wrapping_add(1);
        session.verifying = 0;
        session.heard_at = now.at;
        let welcome = Welcome {
            session: id,
            public_id: session.public.text(),
            pid: session.private.text(),
            recovered,
            user: Arc::clone(&session.identity.user),
            device: Arc::clone(&session.device),
            taken_over,
        };
        let data = Object::new()
            .text("session", &welcome.public_id)
            .text("user", &welcome.user)
            .text("device", &welcome.device)
            .flag("recovered", recovered)
            .finish();
        let event = Cow::Borrowed("connection:established");
        session.greeting =
            Some(Arc::new(Push { seq, event, data, attachments: Vec::new(), class: Class::Reliable }));
        self.ready(id);
        welcome
    }

    /// Makes sure that there is room for another session, which takes the place of `former`. The one of the same user
    /// that has been away the longest goes when there is none.
    fn expect_room(
        &mut self,
        now: Now,
        user: u32,
        hello: &Hello<'_>,
        former: Option<SessionId>,
    ) -> Result<(), Refusal> {
        const BUSY: Duration = Duration::from_secs(5);
        let (sessions, settings) = (&self.town.sessions, &self.settings);
        let spare = usize::from(former.is_some());
        if sessions.len() >= settings.sessions_total + spare {
            return Err(wait("the server has no place for another session", BUSY));
        }
        let per_source = settings.sessions_per_source + spare;
        if counted(hello.source).is_some_and(|source| sessions.of_source(source) >= per_source) {
            return Err(wait("too many sessions from this address", BUSY));
        }
        let own: Vec<_> = self.town.people.at(user).iter().flat_map(|user| user.sessions()).collect();
        if own.len() < settings.sessions_per_user + spare {
            return Ok(());
        }
        let away = own.iter().filter_map(|id| sessions.get(*id)).filter(|session| !session.is_attached);
        let Some(oldest) = away.min_by_key(|session| session.lost_at).map(|session| session.id) else {
            return Err(Refusal::new(SignalingError::TooLarge, "the user has too many sessions"));
        };
        self.end(now, oldest);
        Ok(())
    }

    /// A refused client leaves nothing behind, but for how long it has to wait.
    fn forget_if_stranger(&mut self, now: Now, place: u32) {
        let Some(user) = self.town.people.at_mut(place) else { return };
        if user.devices.is_empty() && user.timer.is_none() {
            user.timer =
                Some(self.timers.schedule(now.at.after(self.settings.presence.grace), Timer::User(place)));
        }
    }
}

/// What sessions and events are counted under; loopback is a proxy of this host, and stands for many.
fn counted(source: IpAddr) -> Option<u64> {
    (!source.to_canonical().is_loopback()).then(|| subscriber(source.to_canonical()))
}
