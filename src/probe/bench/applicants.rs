//! Clients that want an allocation and nothing else: many at a time, each a socket and a few bytes.

use super::crowd::forget_errors;
use super::link::receive;
use super::refusal::{advice, nobody};
use super::requests::{self, Answer, Proof};
use super::{BenchFailed, Credentials, Place, Target};
use crate::net::{Clock, Poller, RecvBatch, UdpOptions, UdpSocket};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

/// After so long a request is sent again (RFC 8489 section 6.2.1, without its doubling), and so often in all.
const RETRANSMIT_NS: u64 = 500_000_000;
const SENT_MAX: u32 = 16;

/// So many ports may be taken already.
const MOVES_MAX: u32 = 8;

/// How long a wait for answers is.
const PATIENCE: Duration = Duration::from_millis(10);

/// Answers come one by one.
const OPTIONS: UdpOptions = UdpOptions { receive_bytes: None, send_bytes: None, offload: false };

/// Room for any answer.
const SLOT_BYTES: usize = 2048;

/// Where clients are to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// All have an allocation.
    Inside,
    /// None has.
    Outside,
}

/// All clients of one server.
pub(super) struct Applicants {
    name: String,
    server: SocketAddr,
    local: IpAddr,
    all: Vec<Applicant>,
    poller: Poller,
    batch: RecvBatch,
    clock: Clock,
    is_refused: bool,
    was_answered: bool,
}

struct Applicant {
    socket: UdpSocket,
    username: String,
    password: String,
    /// Once the server has said what it wants to know.
    proof: Option<Proof>,
    request: Request,
    /// Where it is, or was before the request.
    is_inside: bool,
    /// How often it took another port.
    moves: u32,
}

/// The request that is under way.
struct Request {
    transaction: [u8; 12],
    bytes: Vec<u8>,
    sent_ns: u64,
    sent: u32,
    is_answered: bool,
}

impl Applicants {
    /// Opens a socket for each; nobody has said anything yet.
    pub(super) fn open(
        target: &Target,
        place: Place,
        credentials: &Credentials,
        count: usize,
    ) -> Result<Self, BenchFailed> {
        let here = |error: io::Error| BenchFailed::io("open a client's socket", &error);
        let poller = Poller::new().map_err(here)?;
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            let socket = UdpSocket::relay(place.local, 0, OPTIONS).map_err(here)?;
            poller.add(socket.as_fd(), number as u64).map_err(here)?;
            let (username, password) = credentials.of(number);
            all.push(Applicant::new(socket, username, password));
        }
        let batch = RecvBatch::new(SLOT_BYTES);
        let (name, clock) = (target.name.clone(), Clock::start());
        let Place { server, local, .. } = place;
        Ok(Self { name, server, local, all, poller, batch, clock, is_refused: false, was_answered: false })
    }

    /// Brings all to the goal, `at_once` at a time.
    pub(super) fn bring(&mut self, goal: Goal, at_once: usize) -> Result<(), BenchFailed> {
        let mut next = 0;
        let mut under_way = Vec::with_capacity(at_once);
        loop {
            under_way.retain(|number: &usize| !self.all[*number].request.is_answered);
            while under_way.len() < at_once && next < self.all.len() {
                if self.begin(next, goal)? {
                    under_way.push(next);
                }
                next += 1;
            }
            if under_way.is_empty() {
                return Ok(());
            }
            self.take_answers(goal)?;
            self.send_again(&under_way)?;
        }
    }

    /// Returns whether there is something to do.
    fn begin(&mut self, number: usize, goal: Goal) -> Result<bool, BenchFailed> {
        let applicant = &mut self.all[number];
        // One whose request was given up may be there, or not.
        if applicant.request.is_answered && applicant.is_inside == (goal == Goal::Inside) {
            return Ok(false);
        }
        if goal == Goal::Inside {
            // As if it had never been there: a client comes without any nonce.
            applicant.proof = None;
        }
        let asked = applicant.ask(number, goal, self.server, self.clock.monotonic().as_nanos());
        asked.map(|()| true).map_err(BenchFailed::Misused)
    }

    fn take_answers(&mut self, goal: Goal) -> Result<(), BenchFailed> {
        let lost = |error| BenchFailed::io("receive", &error);
        self.poller.wait(Some(PATIENCE)).map_err(lost)?;
        let Self { all, poller, batch, clock, server, local, is_refused, was_answered, name } = self;
        for event in poller.events() {
            let number = event.token as usize;
            let Some(applicant) = all.get_mut(number) else { continue };
            if event.error {
                *is_refused |= forget_errors(&applicant.socket);
            }
            let mut answers = Vec::new();
            receive(&applicant.socket, batch, |bytes| answers.extend(Answer::read(bytes))).map_err(lost)?;
            for answer in &answers {
                if answer.transaction != applicant.request.transaction {
                    continue;
                }
                *was_answered = true;
                let now_ns = clock.monotonic().as_nanos();
                let heard = match answer.outcome {
                    // RFC 8656 section 7.4: another port then; this one had an allocation a moment ago.
                    Err((437, _)) if goal == Goal::Inside && applicant.moves < MOVES_MAX => {
                        let socket = UdpSocket::relay(*local, 0, OPTIONS).map_err(lost)?;
                        poller.add(socket.as_fd(), number as u64).map_err(lost)?;
                        (applicant.socket, applicant.proof) = (socket, None);
                        applicant.moves += 1;
                        applicant.ask(number, goal, *server, now_ns)
                    }
                    _ => applicant.hear(number, answer, goal, *server, now_ns),
                };
                heard.map_err(|why| BenchFailed::Other(format!("{name} ({server}): {why}")))?;
            }
        }
        Ok(())
    }

    fn send_again(&mut self, under_way: &[usize]) -> Result<(), BenchFailed> {
        let now_ns = self.clock.monotonic().as_nanos();
        for number in under_way {
            let applicant = &mut self.all[*number];
            let request = &applicant.request;
            if request.is_answered || now_ns < request.sent_ns + RETRANSMIT_NS {
                continue;
            }
            if request.sent >= SENT_MAX || (self.is_refused && !self.was_answered) {
                return Err(nobody(&self.name, self.server, self.is_refused && !self.was_answered));
            }
            applicant.send(self.server, now_ns);
        }
        Ok(())
    }
}

impl Applicant {
    fn new(socket: UdpSocket, username: String, password: String) -> Self {
        let request =
            Request { transaction: [0; 12], bytes: Vec::new(), sent_ns: 0, sent: 0, is_answered: true };
        Self { socket, username, password, proof: None, request, is_inside: false, moves: 0 }
    }

    /// Begins the request that leads to the goal; what is wrong with it if it cannot be made.
    fn ask(&mut self, number: usize, goal: Goal, server: SocketAddr, now_ns: u64) -> Result<(), String> {
        // Unlike any of before: who it is, and when.
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&(number as u32).to_be_bytes());
        transaction[4..].copy_from_slice(&now_ns.to_be_bytes());
        let bytes = match goal {
            Goal::Inside => requests::allocate(transaction, self.proof.as_ref()),
            Goal::Outside => requests::end(transaction, self.proof.as_ref()),
        };
        let bytes = bytes.map_err(|error| format!("no request can be made: {error}"))?;
        self.request = Request { transaction, bytes, sent_ns: 0, sent: 0, is_answered: false };
        self.send(server, now_ns);
        Ok(())
    }

    fn send(&mut self, server: SocketAddr, now_ns: u64) {
        // What is lost is sent again.
        let _lost_or_sent = self.socket.send_to(server, None, 0, &self.request.bytes);
        self.request.sent_ns = now_ns;
        self.request.sent += 1;
    }

    /// Takes the answer to its request, and asks again with a proof if that is what it says.
    fn hear(
        &mut self,
        number: usize,
        answer: &Answer,
        goal: Goal,
        server: SocketAddr,
        now_ns: u64,
    ) -> Result<(), String> {
        match (&answer.outcome, &answer.challenge) {
            (Ok(()), _) => self.is_inside = goal == Goal::Inside,
            // 437: there is no such allocation any more.
            (Err((437, _)), _) if goal == Goal::Outside => self.is_inside = false,
            (Err((code @ (401 | 438), _)), Some(challenge)) if *code == 438 || self.proof.is_none() => {
                self.proof = Some(Proof::new(&self.username, &self.password, challenge));
                return self.ask(number, goal, server, now_ns);
            }
            (Err((code, reason)), _) => {
                let answer = format!("{} {code} {reason}", answer.method);
                let (answer, advice) = (answer.trim_end_matches(['\0', ' ']), advice(*code, None));
                return Err(format!("client {} cannot allocate: {answer}; {advice}", number + 1));
            }
        }
        self.request.is_answered = true;
        Ok(())
    }
}
