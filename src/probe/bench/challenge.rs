//! What requests of strangers cost: Allocate without credentials, which a server answers with 401, or not at all.

use super::crowd::forget_errors;
use super::drive::{Course, Driven, Load, drive};
use super::figures::Medians;
use super::link::receive;
use super::payload::Stamp;
use super::process::{Process, ProcessFigures};
use super::refusal::nobody;
use super::requests::{self, Answer};
use super::round::{Round, Ways, Window};
use super::{BenchFailed, Delay, Figures, Measured, Place, Target, limit, round_ids, runtime, take_turns};
use crate::net::{Clock, Poller, RecvBatch, UdpOptions, UdpSocket};
use serde::Serialize;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

/// Requests of one source that may be under way at full speed.
const WINDOW: u32 = 8;

/// Times of the last so many requests of each source are kept.
const KEPT: usize = 1024;

/// Room for any answer.
const SLOT_BYTES: usize = 2048;

/// Answers come one by one, and those of a slow moment wait.
const OPTIONS: UdpOptions = UdpOptions { receive_bytes: Some(1 << 20), send_bytes: None, offload: false };

/// A run of `turnstone bench challenge`.
#[derive(Clone, Debug, Serialize)]
pub struct ChallengeOptions {
    /// Sockets that requests come from; on loopback each has an address of its own.
    pub sources: usize,
    /// Requests a second of all sources together; `None`: as many as are answered.
    pub rate: Option<u32>,
    /// Rounds of each target.
    pub rounds: u32,
    /// Length of a round, in seconds.
    #[serde(serialize_with = "super::options::seconds")]
    pub seconds: Duration,
    /// What does not count before it.
    #[serde(serialize_with = "super::options::seconds")]
    pub warm_up: Duration,
}

/// What came of asking without credentials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ChallengeFigures {
    /// Requests that left while the round counted.
    pub requests: u64,
    /// 401s that came while it counted.
    pub challenges: u64,
    /// How long it counted.
    pub seconds: f64,
    /// Sent ones.
    pub requests_per_second: f64,
    /// 401s.
    pub challenges_per_second: f64,
    /// Share of the requests that were not answered, 0 to 1: a server may limit what it says to strangers.
    pub unanswered: f64,
    /// From request to answer.
    pub delay_us: Delay,
    /// 401s for each second that the server was on a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenges_per_cpu_second: Option<f64>,
    /// Time on a core of the server for each request, answered or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_request: Option<f64>,
    /// What the server used meanwhile, if its process is known.
    #[serde(flatten)]
    pub process: Option<ProcessFigures>,
}

/// Asks each target in turn for an allocation, without credentials.
///
/// # Errors
/// As for [`relay`](super::relay()).
pub fn challenge(
    options: &ChallengeOptions,
    targets: &[Target],
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Measured<ChallengeFigures>>, BenchFailed> {
    options.check(targets)?;
    limit::raise(options.sources * targets.len())?;
    let runtime = runtime()?;
    let strangers = targets.iter().map(|target| {
        let place = Place::of(target, &runtime)?;
        Ok((Strangers::open(target, place, options.sources)?, place.process))
    });
    let mut strangers = strangers.collect::<Result<Vec<_>, BenchFailed>>()?;
    let course = Course {
        warm_up: options.warm_up,
        length: options.seconds,
        bursts_per_second: options.rate.map(f64::from),
    };
    let mut ids = round_ids();
    take_turns(targets, options.rounds, &mut strangers, progress, |(strangers, process)| {
        let id = ids.next().unwrap_or_default();
        let window = Window { burst: 1, under_way_max: options.rate.is_none().then_some(WINDOW) };
        let ways = Ways { up: true, down: false };
        strangers.round = Round::new(id, options.sources, ways, 0, window);
        let driven = drive(strangers, course, *process)?;
        match driven.outcome.delivered {
            0 => Err(nobody(&strangers.name, strangers.server, strangers.is_refused)),
            _ => ChallengeFigures::of(&driven, *process),
        }
    })
}

impl ChallengeOptions {
    fn check(&self, targets: &[Target]) -> Result<(), BenchFailed> {
        if self.sources == 0 || self.rounds == 0 || self.rate == Some(0) || self.seconds.is_zero() {
            let why = "--sources, --rounds, --rate and --seconds are above 0";
            return Err(BenchFailed::Misused(why.into()));
        }
        match targets.iter().find(|target| target.plain) {
            Some(plain) => {
                Err(BenchFailed::Misused(format!("{}: a plain forwarder challenges nobody", plain.name)))
            }
            None => Ok(()),
        }
    }
}

/// Everybody who asks one server.
struct Strangers {
    name: String,
    server: SocketAddr,
    sources: Vec<Source>,
    round: Round,
    poller: Poller,
    batch: RecvBatch,
    clock: Clock,
    is_refused: bool,
}

struct Source {
    socket: UdpSocket,
    /// When the request with a sequence number was sent, at that number modulo [`KEPT`].
    sent_ns: Box<[u64; KEPT]>,
}

impl Strangers {
    fn open(target: &Target, place: Place, sources: usize) -> Result<Self, BenchFailed> {
        let here = |error: io::Error| BenchFailed::io("open a client's socket", &error);
        let poller = Poller::new().map_err(here)?;
        let mut all = Vec::with_capacity(sources);
        for number in 0..sources {
            let socket = UdpSocket::relay(own_address(place.local, number), 0, OPTIONS).map_err(here)?;
            poller.add(socket.as_fd(), number as u64).map_err(here)?;
            all.push(Source { socket, sent_ns: Box::new([0; KEPT]) });
        }
        Ok(Self {
            name: target.name.clone(),
            server: place.server,
            sources: all,
            round: Round::idle(),
            poller,
            batch: RecvBatch::new(SLOT_BYTES),
            clock: Clock::start(),
            is_refused: false,
        })
    }
}

/// On loopback there are addresses enough: 127.0.0.1, then 127.0.1.1 to 127.0.250.250.
fn own_address(local: IpAddr, number: usize) -> IpAddr {
    match local {
        IpAddr::V4(ip) if ip.is_loopback() && number > 0 => {
            let (high, low) = ((number - 1) / 250 % 250, (number - 1) % 250);
            Ipv4Addr::new(127, 0, 1 + high as u8, 1 + low as u8).into()
        }
        other => other,
    }
}

impl Load for Strangers {
    fn now_ns(&self) -> u64 {
        self.clock.monotonic().as_nanos()
    }

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn send(&mut self, flow: u32) -> io::Result<()> {
        let now_ns = self.now_ns();
        let stamp = self.round.next_stamp(flow, now_ns);
        let source = &mut self.sources[(flow / 2) as usize];
        source.sent_ns[stamp.sequence as usize % KEPT] = now_ns;
        let request = requests::allocate(transaction(stamp), None).map_err(io::Error::other)?;
        let is_sent = source.socket.send_to(self.server, None, 0, &request).is_ok();
        self.round.left(flow, u32::from(is_sent), now_ns);
        Ok(())
    }

    fn pump(&mut self, patience: Duration) -> io::Result<()> {
        self.poller.wait(Some(patience))?;
        let Self { poller, sources, batch, round, clock, is_refused, .. } = self;
        for event in poller.events() {
            let Some(Source { socket, sent_ns }) = sources.get_mut(event.token as usize) else { continue };
            if event.error {
                *is_refused |= forget_errors(socket);
            }
            receive(socket, batch, |bytes| {
                let Some(answer) = Answer::read(bytes).filter(Answer::is_challenge) else { return };
                let now_ns = clock.monotonic().as_nanos();
                round.note(stamp(answer.transaction, sent_ns), now_ns);
            })?;
        }
        Ok(())
    }

    fn lost(&self, error: &io::Error) -> BenchFailed {
        BenchFailed::Other(format!("{} ({}): {error}", self.name, self.server))
    }
}

/// Round, flow and sequence: all that an answer brings back.
fn transaction(stamp: Stamp) -> [u8; 12] {
    let mut bytes = [0; 20];
    stamp.put(&mut bytes);
    std::array::from_fn(|at| bytes[at])
}

fn stamp(transaction: [u8; 12], sent_ns: &[u64; KEPT]) -> Stamp {
    let four = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| transaction[at + i]));
    let sequence = four(8);
    Stamp { round: four(0), flow: four(4), sequence, sent_ns: sent_ns[sequence as usize % KEPT] }
}

impl ChallengeFigures {
    fn of(driven: &Driven, process: Option<Process>) -> Result<Self, BenchFailed> {
        let outcome = &driven.outcome;
        let (requests, challenges) = (outcome.sent as f64, outcome.delivered as f64);
        let seconds = outcome.counted_ns as f64 / 1e9;
        let process = driven.used(process)?;
        Ok(Self {
            requests: outcome.sent,
            challenges: outcome.delivered,
            seconds,
            requests_per_second: requests / seconds,
            challenges_per_second: challenges / seconds,
            unanswered: 1.0 - outcome.arrived as f64 / requests.max(1.0),
            delay_us: Delay::of(driven),
            challenges_per_cpu_second: process.map(|used| challenges / used.cpu_seconds),
            cpu_us_per_request: process.map(|used| used.cpu_seconds * 1e6 / requests.max(1.0)),
            process,
        })
    }
}

impl Figures for ChallengeFigures {
    fn median(rounds: &[Self]) -> Self {
        let of = Medians(rounds);
        Self {
            requests: of.whole(|round| round.requests),
            challenges: of.whole(|round| round.challenges),
            seconds: of.real(|round| round.seconds),
            requests_per_second: of.real(|round| round.requests_per_second),
            challenges_per_second: of.real(|round| round.challenges_per_second),
            unanswered: of.real(|round| round.unanswered),
            delay_us: of.delay(|round| round.delay_us),
            challenges_per_cpu_second: of.maybe(|round| round.challenges_per_cpu_second),
            cpu_us_per_request: of.maybe(|round| round.cpu_us_per_request),
            process: of.process(),
        }
    }

    fn process(&self) -> Option<ProcessFigures> {
        self.process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_finds_its_request_by_the_transaction() {
        let sent = Stamp { round: 7, flow: 4, sequence: KEPT as u32 + 3, sent_ns: 99 };
        let mut times = [0; KEPT];
        times[3] = 99;
        assert_eq!(stamp(transaction(sent), &times), sent);
    }

    #[test]
    fn sources_on_loopback_have_an_address_each() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let found = [0, 1, 250, 251].map(|number| own_address(local, number).to_string());
        assert_eq!(found, ["127.0.0.1", "127.0.1.1", "127.0.1.250", "127.0.2.1"]);
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(own_address(elsewhere, 9), elsewhere);
    }
}
