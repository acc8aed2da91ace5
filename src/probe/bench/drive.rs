//! One round: a warm-up, the time that counts, and the wait for what is still under way.

use super::BenchFailed;
use super::pace::Pace;
use super::process::{Process, ProcessFigures, Usage};
use super::round::{Outcome, Round};
use std::io;
use std::time::Duration;

/// Lost packets are looked for so often.
const LOOK_EVERY_NS: u64 = 25_000_000;

/// After the last packet the line is quiet for so long before what is missing is lost.
const QUIET_NS: u64 = 1_000_000_000;

/// Bursts that leave before others are received.
const BURSTS_IN_A_ROW: usize = 64;

/// How long a wait for packets is when nothing may be sent before.
const PATIENCE: Duration = Duration::from_millis(1);

/// Who sends and receives.
pub(super) trait Load {
    /// Monotonic.
    fn now_ns(&self) -> u64;

    /// The books of the round that goes.
    fn round(&mut self) -> &mut Round;

    /// Sends a burst of this flow, and tells the books.
    fn send(&mut self, flow: u32) -> io::Result<()>;

    /// Takes what arrives within `patience`, and tells the books.
    fn pump(&mut self, patience: Duration) -> io::Result<()>;

    /// In words what `error` means here.
    fn lost(&self, error: &io::Error) -> BenchFailed;
}

/// How long a round is, and how fast bursts leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) warm_up: Duration,
    pub(super) length: Duration,
    /// `None`: as others arrive.
    pub(super) bursts_per_second: Option<f64>,
}

/// A round as it was, and what the server used for it.
pub(super) struct Driven {
    pub(super) outcome: Outcome,
    usage: Option<(Usage, Usage)>,
}

/// When packets leave.
enum Speed {
    /// When it is time; the number of the next flow among those that are active.
    Paced(Pace, usize),
    /// When others have arrived; when lost ones were looked for last.
    Full { looked_ns: u64 },
}

/// Runs the round that `load` has begun.
pub(super) fn drive(
    load: &mut impl Load,
    course: Course,
    process: Option<Process>,
) -> Result<Driven, BenchFailed> {
    let begin_ns = load.now_ns();
    let mut speed = match course.bursts_per_second {
        Some(rate) => Speed::Paced(Pace::new(rate, begin_ns), 0),
        None => Speed::Full { looked_ns: begin_ns },
    };
    let usage = || process.map(Process::usage).transpose();
    send_until(load, begin_ns + course.warm_up.as_nanos() as u64, &mut speed)?;
    let before = usage()?;
    let counted_ns = load.now_ns();
    load.round().begin_counting(counted_ns);
    send_until(load, counted_ns + course.length.as_nanos() as u64, &mut speed)?;
    let over_ns = load.now_ns();
    load.round().stop_counting(over_ns);
    let after = usage()?;
    await_the_rest(load)?;
    let outcome = std::mem::replace(load.round(), Round::idle()).over();
    Ok(Driven { outcome, usage: before.zip(after) })
}

fn send_until(load: &mut impl Load, over_ns: u64, speed: &mut Speed) -> Result<(), BenchFailed> {
    loop {
        let now_ns = load.now_ns();
        if now_ns >= over_ns {
            return Ok(());
        }
        let patience = match speed {
            Speed::Paced(pace, next) => send_due(load, pace, next, now_ns),
            Speed::Full { looked_ns } => send_ready(load, looked_ns, now_ns),
        };
        patience.and_then(|patience| load.pump(patience)).map_err(|error| load.lost(&error))?;
    }
}

/// Sends what is due by the clock. Returns how long to wait for what arrives.
fn send_due(load: &mut impl Load, pace: &mut Pace, next: &mut usize, now_ns: u64) -> io::Result<Duration> {
    for _ in 0..pace.due(now_ns) {
        let active = load.round().active();
        let flow = active[*next % active.len()];
        *next += 1;
        load.send(flow)?;
    }
    Ok(pace.patience(now_ns))
}

/// Sends for those who have room. Each has one turn before others have their second, so that bursts stay apart.
fn send_ready(load: &mut impl Load, looked_ns: &mut u64, now_ns: u64) -> io::Result<Duration> {
    if now_ns - *looked_ns > LOOK_EVERY_NS {
        *looked_ns = now_ns;
        load.round().give_up_lost(now_ns);
    }
    for _ in 0..BURSTS_IN_A_ROW {
        let Some(flow) = load.round().next_ready() else { return Ok(PATIENCE) };
        load.send(flow)?;
    }
    Ok(Duration::ZERO)
}

fn await_the_rest(load: &mut impl Load) -> Result<(), BenchFailed> {
    let (mut arrived, mut moved_ns) = (load.round().arrived(), load.now_ns());
    while !load.round().is_whole() && load.now_ns() < moved_ns + QUIET_NS {
        load.pump(PATIENCE).map_err(|error| load.lost(&error))?;
        if load.round().arrived() > arrived {
            (arrived, moved_ns) = (load.round().arrived(), load.now_ns());
        }
    }
    Ok(())
}

impl Driven {
    /// What the server used while the round counted.
    pub(super) fn used(&self, process: Option<Process>) -> Result<Option<ProcessFigures>, BenchFailed> {
        let used = process.zip(self.usage);
        used.map(|(process, (before, after))| process.figures(&before, &after)).transpose()
    }
}
