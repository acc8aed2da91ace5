//! All sessions in one thread: they rest, set up calls, and send candidates.

use crate::candidate::{Candidate, sent_at};
use crate::dialect::{self, Dialect, Said};
use crate::options::Options;
use crate::process::{Process, Usage};
use crate::session::Session;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::Timespec;
use std::error::Error;
use std::time::{Duration, Instant};

/// Messages that one epoll_wait brings.
const BATCH: usize = 256;

/// No server sends more at once.
const READ_BYTES: usize = 64 * 1024;

/// The load was not on its core for so many events: it leaves out what is more, rather than to send all at once.
const BEHIND_MAX: u64 = 64;

/// Calls are set up within this time, or not at all.
const SET_UP_MAX: Duration = Duration::from_secs(20);

/// After the last event nothing arrives for so long before the rest counts as lost.
const QUIET: Duration = Duration::from_secs(1);

/// How fast events go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Speed {
    /// One by one, evenly, so many a second over all sessions.
    PerSecond(u32),
    /// Each session has one under way, always: who gets an event sends one.
    OneUnderWay,
}

/// What came of one load.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Events within the window.
    pub(crate) arrived: u64,
    /// Events that were sent, before or within the window, and never arrived.
    pub(crate) lost: u64,
    /// Events that were due and not sent, because the load was late.
    pub(crate) skipped: u64,
    /// Errors that the server told.
    pub(crate) complaints: u64,
    /// The first of them.
    pub(crate) complaint: Option<String>,
    pub(crate) elapsed: Duration,
    /// What the server used within the window.
    pub(crate) used: Usage,
    pub(crate) delays_ns: Vec<u64>,
}

pub(crate) struct Crowd {
    dialect: Dialect,
    sessions: Vec<Session>,
    users: Vec<String>,
    /// By session.
    call_ids: Vec<String>,
    epoll: OwnedFd,
    zero: Instant,
    candidate: Candidate,
    message: Vec<u8>,
    scratch: Vec<u8>,
    events: Vec<Event>,
}

/// What one session received.
enum Received {
    Candidate { sent_ns: u64 },
    Text(Vec<u8>),
}

impl Crowd {
    pub(crate) fn open(options: &Options) -> Result<Self, Box<dyn Error>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut sessions = Vec::with_capacity(options.users.len());
        for (number, user) in options.users.iter().enumerate() {
            let session =
                Session::open(options, user).map_err(|error| format!("session {number}: {error}"))?;
            epoll::add(&epoll, session.stream(), EventData::new_u64(number as u64), EventFlags::IN)?;
            sessions.push(session);
        }
        Ok(Self {
            dialect: options.dialect,
            call_ids: vec![String::new(); sessions.len()],
            sessions,
            users: options.users.iter().map(|user| user.id.clone()).collect(),
            epoll,
            zero: Instant::now(),
            candidate: Candidate::of_bytes(options.payload)?,
            message: Vec::new(),
            scratch: vec![0; READ_BYTES],
            events: Vec::with_capacity(BATCH),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes of the message that sends a candidate, without the frame around it.
    pub(crate) fn event_bytes(&mut self) -> usize {
        self.write_candidate(0);
        self.message.len()
    }

    /// Says nothing, but answers pings.
    pub(crate) fn rest(&mut self, length: Duration) -> Result<(), Box<dyn Error>> {
        let end = Instant::now() + length;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.receive(left, |_, _, _| Ok(()))?;
        }
        Ok(())
    }

    /// Gives each pair a call, when the dialect has calls.
    pub(crate) fn set_up_calls(&mut self) -> Result<(), Box<dyn Error>> {
        if !self.dialect.has_calls() {
            return Ok(());
        }
        for caller in (0..self.len()).step_by(2) {
            let data = format!("{{\"to\":\"{}\"}}", self.users[caller ^ 1]);
            self.send_event(caller, "call:start", Some(1), &data)?;
        }
        let (mut answered, mut last) = (0, String::from("nothing"));
        let end = Instant::now() + SET_UP_MAX;
        while answered < self.len() / 2 {
            if Instant::now() > end {
                let of = self.len() / 2;
                return Err(format!("{answered} of {of} calls were set up; the last message: {last}").into());
            }
            self.receive(Duration::from_millis(100), |crowd, to, received| {
                if let Received::Text(text) = received {
                    answered += usize::from(crowd.go_on_with_call(to, &text)?);
                    last = String::from_utf8_lossy(&text).into_owned();
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// One step of the call between a session and its partner; true when it is the caller's last.
    fn go_on_with_call(&mut self, at: usize, text: &[u8]) -> Result<bool, Box<dyn Error>> {
        let said = self.dialect.wire().read(text);
        if let Some(complaint) = complaint(&said) {
            return Err(format!("a call was not set up: {complaint}").into());
        }
        if let Said::Answer(text) | Said::Event { text, .. } = said
            && let Some(id) = string_in(text, "\"call_id\":\"")
        {
            id.clone_into(&mut self.call_ids[at]);
        }
        let Said::Event { name, .. } = said else { return Ok(false) };
        let (call_id, peer) = (&self.call_ids[at], &self.users[at ^ 1]);
        let description = |kind| {
            let sdp = "v=0\\r\\no=- 1 1 IN IP4 0.0.0.0\\r\\ns=-\\r\\nt=0 0\\r\\n";
            format!(
                "{{\"to\":\"{peer}\",\"call_id\":\"{call_id}\",\
                 \"{kind}\":{{\"type\":\"{kind}\",\"sdp\":\"{sdp}\"}}}}"
            )
        };
        let (event, id, data) = match name {
            "call:incoming" => ("call:accepted", Some(2), format!("{{\"call_id\":\"{call_id}\"}}")),
            "call:accepted" => ("webrtc:offer", None, description("offer")),
            "webrtc:offer" => ("webrtc:answer", None, description("answer")),
            "webrtc:answer" => return Ok(true),
            _ => return Ok(false),
        };
        self.send_event(at, event, id, &data)?;
        Ok(false)
    }

    /// Sends candidates for `warm_up` and then for `length`, of which alone the outcome tells.
    pub(crate) fn exchange(
        &mut self,
        speed: Speed,
        warm_up: Duration,
        length: Duration,
        process: &Process,
    ) -> Result<Outcome, Box<dyn Error>> {
        let mut outcome = Outcome::default();
        let mut under_way = 0;
        let (mut sent, mut excused) = (0, 0);
        if let Speed::OneUnderWay = speed {
            for from in 0..self.len() {
                self.send_candidate(from)?;
                under_way += 1;
            }
        }
        let begin = Instant::now();
        let mut measured_from = None;
        while begin.elapsed() < warm_up + length {
            if measured_from.is_none() && begin.elapsed() >= warm_up {
                (outcome.arrived, outcome.skipped) = (0, 0);
                outcome.delays_ns.clear();
                measured_from = Some((Instant::now(), process.usage()?));
            }
            if let Speed::PerSecond(rate) = speed {
                let due = (begin.elapsed().as_secs_f64() * f64::from(rate)) as u64 - excused;
                let skipped = due.saturating_sub(sent + BEHIND_MAX);
                excused += skipped;
                outcome.skipped += skipped;
                while sent < due - skipped {
                    self.send_candidate(sent as usize % self.len())?;
                    sent += 1;
                    under_way += 1;
                }
            }
            self.receive(Duration::ZERO, |crowd, at, received| {
                if outcome.count(received, crowd.now_ns(), crowd.dialect) {
                    under_way -= 1;
                    if let Speed::OneUnderWay = speed {
                        crowd.send_candidate(at)?;
                        under_way += 1;
                    }
                }
                Ok(())
            })?;
        }
        let (from, before) = measured_from.ok_or("nothing was measured")?;
        outcome.used = process.usage()?.since(&before);
        outcome.elapsed = from.elapsed();
        outcome.lost = self.drain(under_way)?;
        Ok(outcome)
    }

    /// Waits for what is under way; returns how much of it did not come.
    fn drain(&mut self, mut under_way: u64) -> Result<u64, Box<dyn Error>> {
        let mut moved = Instant::now();
        while under_way > 0 && moved.elapsed() < QUIET {
            self.receive(Duration::from_millis(10), |_, _, received| {
                if let Received::Candidate { .. } = received {
                    under_way -= 1;
                    moved = Instant::now();
                }
                Ok(())
            })?;
        }
        Ok(under_way)
    }

    /// Sends a candidate from one session to its partner.
    fn send_candidate(&mut self, from: usize) -> Result<(), Box<dyn Error>> {
        self.write_candidate(from);
        self.sessions[from].send(&self.message)
    }

    fn write_candidate(&mut self, from: usize) {
        let now_ns = self.now_ns();
        self.message.clear();
        let (to, call_id) = (&self.users[from ^ 1], &self.call_ids[from]);
        self.dialect.push_candidate(&mut self.message, to, call_id, self.candidate.stamped(now_ns));
    }

    fn send_event(
        &mut self,
        from: usize,
        name: &str,
        id: Option<u32>,
        data: &str,
    ) -> Result<(), Box<dyn Error>> {
        self.message.clear();
        self.dialect.wire().push_event(&mut self.message, name, id, |out| out.extend(data.as_bytes()));
        self.sessions[from].send(&self.message)
    }

    /// Waits at most `wait` for messages and hands them to `take`, with the session that got each.
    fn receive(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(&mut Self, usize, Received) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut events = std::mem::take(&mut self.events);
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut received = Vec::new();
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait))?;
        for event in events.drain(..) {
            let at = event.data.u64() as usize;
            self.sessions[at].receive(&mut scratch, |message| {
                received.push(match sent_at(message) {
                    Some(sent_ns) => Received::Candidate { sent_ns },
                    None => Received::Text(message.to_vec()),
                });
            })?;
            for received in received.drain(..) {
                match &received {
                    Received::Text(text) if matches!(self.dialect.wire().read(text), Said::Ping) => {
                        self.sessions[at].send(dialect::PONG)?;
                    }
                    _ => take(self, at, received)?,
                }
            }
        }
        (self.events, self.scratch) = (events, scratch);
        Ok(())
    }

    fn now_ns(&self) -> u64 {
        self.zero.elapsed().as_nanos() as u64
    }
}

impl Outcome {
    /// The part of the window in which others, such as the machine below this one, had the server's core.
    pub(crate) fn others_share(&self) -> f64 {
        let known = (self.used.cpu_ns + self.used.idle_ns) as f64;
        (1.0 - known / self.elapsed.as_nanos() as f64).max(0.0)
    }

    /// Counts a message; true when it is a candidate.
    fn count(&mut self, received: Received, now_ns: u64, dialect: Dialect) -> bool {
        match received {
            Received::Candidate { sent_ns } => {
                self.arrived += 1;
                self.delays_ns.push(now_ns - sent_ns);
                true
            }
            Received::Text(text) => {
                if let Some(complaint) = complaint(&dialect.wire().read(&text)) {
                    self.complaints += 1;
                    self.complaint.get_or_insert_with(|| complaint.to_owned());
                }
                false
            }
        }
    }
}

/// The error in a message, when it is one.
fn complaint<'a>(said: &Said<'a>) -> Option<&'a str> {
    match said {
        Said::Event { name: "error" | "call:error" | "call:rejected" | "call:end", text } => Some(text),
        Said::Answer(text) if text.contains("\"ok\":false") => Some(text),
        Said::Other(text) => Some(text),
        _ => None,
    }
}

/// The string behind `key`, which has no escapes.
fn string_in<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_once(key)?.1.split('"').next()
}
