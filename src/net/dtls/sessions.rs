//! The table of sessions: bounded, and closed to whom has not proven his address.

use super::config::{DtlsConfig, Limits, SUITES};
use super::events::{Answer, EndReason, Ended, Host, Inbound, Output, Path, Refusal, SessionId};
use super::session::{Session, Step};
use crate::auth::Cookies;
use crate::base::{Now, Random, TimerId, Timestamp, Wheel};
use crate::wire::dtls::{ClientHello, alert, hello_verify_request};
use arc_swap::ArcSwap;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// DTLS sessions of one thread.
pub struct Sessions {
    config: Arc<ArcSwap<DtlsConfig>>,
    cookies: Cookies,
    limits: Limits,
    /// What the timestamps count from.
    origin: Instant,
    by_path: HashMap<Path, SessionId, ahash::RandomState>,
    sessions: HashMap<SessionId, Entry, ahash::RandomState>,
    /// Oldest first.
    half_open: BTreeSet<SessionId>,
    wheel: Wheel<SessionId>,
    ended: VecDeque<Ended>,
    last: SessionId,
}

struct Entry {
    session: Session,
    path: Path,
    /// When the client last said something, or its handshake was done.
    heard: Timestamp,
    timer: Option<(Timestamp, TimerId)>,
    /// Why we are closing it, if we are.
    closing: Option<EndReason>,
}

impl Sessions {
    /// No sessions yet. `config`: read for each new session. `cookies`: of the same master for all threads of a daemon. `random`: where hash
    /// keys come from. `origin`: the instant of [`Timestamp::ZERO`].
    pub fn new(
        config: Arc<ArcSwap<DtlsConfig>>,
        cookies: Cookies,
        limits: Limits,
        random: &mut Random,
        origin: Instant,
        now: Now,
    ) -> Self {
        let mut seed = || random.next_u64();
        let hasher = ahash::RandomState::with_seeds(seed(), seed(), seed(), seed());
        Self {
            config,
            cookies,
            limits,
            origin,
            by_path: HashMap::with_hasher(hasher.clone()),
            sessions: HashMap::with_hasher(hasher),
            half_open: BTreeSet::new(),
            wheel: Wheel::new(now.at),
            ended: VecDeque::new(),
            last: SessionId(0),
        }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// A datagram arrived.
    pub fn on_datagram(&mut self, now: Now, path: Path, datagram: &[u8], host: &mut impl Host) -> Inbound {
        let known = self.by_path.get(&path).copied();
        if let Some(hello) = ClientHello::parse(datagram) {
            let is_copy =
                known.and_then(|id| self.sessions.get(&id)).is_some_and(|e| e.session.began_with(&hello));
            if !is_copy {
                return self.on_hello(now, path, &hello, datagram, host);
            }
        }
        match known {
            Some(id) => self.receive(now, id, datagram),
            None => Inbound::Refused(Refusal::NoSession),
        }
    }

    /// What this session wants done next; call until `None`, then drain [`Sessions::next_ended`].
    ///
    /// `buffer`: at least [`Limits::DATAGRAM_BYTES_MAX`] bytes.
    pub fn poll(&mut self, now: Now, id: SessionId, buffer: &mut [u8]) -> Option<Output> {
        let entry = self.sessions.get_mut(&id)?;
        let path = entry.path;
        match entry.session.poll(buffer) {
            Ok(Step::Send(length)) => Some(Output::Send { path, length }),
            Ok(Step::Plain(length)) => {
                entry.heard = now.at;
                Some(Output::Plain { path, length })
            }
            Ok(Step::Connected) => {
                entry.heard = now.at;
                self.half_open.remove(&id);
                Some(Output::Connected)
            }
            Ok(Step::Wait(instant)) => {
                self.wait(id, instant);
                None
            }
            Ok(Step::Closed) => {
                let reason = entry.closing.unwrap_or(EndReason::Closed);
                self.end(id, reason);
                None
            }
            Err(lost) => {
                self.end(id, lost.into());
                None
            }
        }
    }

    /// Encrypts one datagram for a client; poll the session afterwards. `false` when there is no such
    /// session, its handshake is not done, or `plain` is longer than [`Limits::PLAIN_BYTES_MAX`].
    pub fn send(&mut self, id: SessionId, plain: &[u8]) -> bool {
        let Some(entry) = self.sessions.get_mut(&id) else { return false };
        if !entry.session.is_connected() || entry.closing.is_some() || plain.len() > Limits::PLAIN_BYTES_MAX {
            return false;
        }
        let sent = entry.session.send(plain);
        sent.map_err(|lost| self.end(id, lost.into())).is_ok()
    }

    /// Says goodbye to a client; poll the session afterwards.
    pub fn close(&mut self, id: SessionId, reason: EndReason) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        entry.closing = Some(reason);
        if entry.session.close().is_err() {
            self.end(id, reason);
        }
    }

    /// When [`Sessions::on_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.wheel.next_deadline()
    }

    /// A session to poll, because its time has come; call until `None`.
    pub fn on_deadline(&mut self, now: Now, host: &impl Host) -> Option<SessionId> {
        let id = self.wheel.pop(now.at)?;
        let at = self.instant(now.at);
        let Some(entry) = self.sessions.get_mut(&id) else { return Some(id) };
        entry.timer = None;
        if let Err(lost) = entry.session.tick(at) {
            self.end(id, lost.into());
        } else if entry.session.is_connected() && now.at >= entry.heard.after(Limits::IDLE) {
            if host.has_allocation(id) {
                entry.heard = now.at;
            } else {
                self.close(id, EndReason::Idle);
            }
        }
        Some(id)
    }

    /// A session that ended; call until `None` after each input.
    pub fn next_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    fn on_hello(
        &mut self,
        now: Now,
        path: Path,
        hello: &ClientHello<'_>,
        datagram: &[u8],
        host: &mut impl Host,
    ) -> Inbound {
        if hello.message_seq >= Session::HELLOS_MAX {
            return Inbound::Refused(Refusal::BadHello);
        }
        if datagram.len() > Limits::HANDSHAKE_BYTES_MAX {
            return Inbound::Refused(Refusal::TooBig);
        }
        if let Some(fault) = hello.fault(&SUITES) {
            return Inbound::Answer(Answer::new(&alert(hello, fault)));
        }
        if !self.cookies.is_good(now.unix, path.remote, hello.random, hello.cookie) {
            let cookie = self.cookies.issue(now.unix, path.remote, hello.random);
            return Inbound::Answer(Answer::new(&hello_verify_request(hello, &cookie)));
        }
        if let Some(id) = self.by_path.get(&path).copied() {
            self.end(id, EndReason::Replaced);
        }
        if !host.admit(&path) {
            return Inbound::Refused(Refusal::NotAdmitted);
        }
        if !self.make_room(host) {
            return Inbound::Refused(Refusal::Full);
        }
        let Some(session) = Session::admit(&self.config.load(), hello, self.instant(now.at)) else {
            return Inbound::Refused(Refusal::BadHello);
        };
        let id = self.insert(now, path, session);
        self.receive(now, id, datagram)
    }

    fn receive(&mut self, now: Now, id: SessionId, datagram: &[u8]) -> Inbound {
        let at = self.instant(now.at);
        let Some(entry) = self.sessions.get_mut(&id) else { return Inbound::Refused(Refusal::NoSession) };
        let connected = entry.session.is_connected();
        let bytes_max = if connected { Limits::DATAGRAM_BYTES_MAX } else { Limits::HANDSHAKE_BYTES_MAX };
        if datagram.len() > bytes_max {
            return Inbound::Refused(Refusal::TooBig);
        }
        if let Err(lost) = entry.session.receive(at, datagram) {
            self.end(id, lost.into());
        }
        Inbound::Session(id)
    }

    /// Ends the oldest half-open session, or the one without allocation that was idle for longest, when
    /// there are too many. `false` when all have allocations.
    fn make_room(&mut self, host: &impl Host) -> bool {
        if self.half_open.len() >= self.limits.half_open
            && let Some(oldest) = self.half_open.first().copied()
        {
            self.end(oldest, EndReason::Evicted);
        }
        if self.sessions.len() >= self.limits.sessions {
            let spare = self.sessions.iter().filter(|(id, _)| !host.has_allocation(**id));
            let Some(idlest) = spare.min_by_key(|(_, entry)| entry.heard).map(|(id, _)| *id) else {
                return false;
            };
            self.end(idlest, EndReason::Evicted);
        }
        true
    }

    fn insert(&mut self, now: Now, path: Path, session: Session) -> SessionId {
        loop {
            self.last = SessionId(self.last.0.wrapping_add(1));
            if !self.sessions.contains_key(&self.last) {
                break;
            }
        }
        let entry = Entry { session, path, heard: now.at, timer: None, closing: None };
        self.sessions.insert(self.last, entry);
        self.by_path.insert(path, self.last);
        self.half_open.insert(self.last);
        self.last
    }

    /// Sets the timer for what the session waits for, or its idle time. One that is due earlier stays: it
    /// asks again.
    fn wait(&mut self, id: SessionId, instant: Instant) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        let waits = Timestamp::ZERO.after(instant.saturating_duration_since(self.origin));
        let due = waits.min(entry.heard.after(Limits::IDLE));
        match entry.timer {
            Some((earlier, _)) if earlier <= due => return,
            Some((_, timer)) => drop(self.wheel.cancel(timer)),
            None => {}
        }
        entry.timer = Some((due, self.wheel.schedule(due, id)));
    }

    fn end(&mut self, id: SessionId, reason: EndReason) {
        let Some(entry) = self.sessions.remove(&id) else { return };
        self.by_path.remove(&entry.path);
        self.half_open.remove(&id);
        if let Some((_, timer)) = entry.timer {
            self.wheel.cancel(timer);
        }
        let connected = entry.session.is_connected();
        self.ended.push_back(Ended { id, path: entry.path, connected, reason });
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.origin + Duration::from_nanos(at.as_nanos())
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({} of {})", self.sessions.len(), self.limits.sessions)
    }
}
