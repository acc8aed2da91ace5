//! What allocations cost: time on a core, and memory.

use super::applicants::{Applicants, Goal};
use super::figures::Medians;
use super::process::ProcessFigures;
use super::{BenchFailed, Credentials, Figures, Measured, Place, Target, limit, runtime, take_turns};
use serde::Serialize;
use std::time::Instant;

/// A run of `turnstone bench allocate`.
#[derive(Clone, Debug, Serialize)]
pub struct AllocateOptions {
    /// Who comes.
    #[serde(skip)]
    pub credentials: Credentials,
    /// Allocations of each round.
    pub count: usize,
    /// Requests under way at a time.
    pub at_once: usize,
    /// Rounds of each target.
    pub rounds: u32,
}

/// What came of allocating.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AllocateFigures {
    /// Allocations that were made.
    pub allocated: u64,
    /// From the first request to the last success.
    pub seconds: f64,
    /// Each with the challenge before it.
    pub allocations_per_second: f64,
    /// For each second that the server was on a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocations_per_cpu_second: Option<f64>,
    /// What the resident memory of the server has grown by since before the first round, for each allocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_allocation: Option<f64>,
    /// What the server used meanwhile, if its process is known.
    #[serde(flatten)]
    pub process: Option<ProcessFigures>,
}

/// Makes allocations on each target in turn, as many at a time as are to live, and ends them.
///
/// # Errors
/// As for [`relay`](super::relay()).
pub fn allocate(
    options: &AllocateOptions,
    targets: &[Target],
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Measured<AllocateFigures>>, BenchFailed> {
    options.check(targets)?;
    limit::raise(options.count)?;
    let runtime = runtime()?;
    let places = targets.iter().map(|target| {
        let place = Place::of(target, &runtime)?;
        let before = place.process.map(|process| process.rss_bytes()).transpose()?;
        Ok((target, place, before))
    });
    let mut places = places.collect::<Result<Vec<_>, BenchFailed>>()?;
    take_turns(targets, options.rounds, &mut places, progress, |(target, place, before)| {
        // New sockets each time, since a server may know the former ones for a while.
        let mut crowd = Applicants::open(target, *place, &options.credentials, options.count)?;
        let measured = round(&mut crowd, options, *place, *before);
        let ended = crowd.bring(Goal::Outside, options.at_once);
        measured.and_then(|figures| ended.map(|()| figures))
    })
}

fn round(
    crowd: &mut Applicants,
    options: &AllocateOptions,
    place: Place,
    rss_before: Option<u64>,
) -> Result<AllocateFigures, BenchFailed> {
    let usage = || place.process.map(|process| process.usage()).transpose();
    let (before, begun) = (usage()?, Instant::now());
    crowd.bring(Goal::Inside, options.at_once)?;
    let seconds = begun.elapsed().as_secs_f64();
    let used = place.process.zip(before.zip(usage()?));
    let process = used.map(|(process, (before, after))| process.figures(&before, &after)).transpose()?;
    let count = options.count as f64;
    let grown = process.zip(rss_before).map(|(process, before)| process.rss_bytes.saturating_sub(before));
    Ok(AllocateFigures {
        allocated: options.count as u64,
        seconds,
        allocations_per_second: count / seconds,
        allocations_per_cpu_second: process.map(|used| count / used.cpu_seconds),
        bytes_per_allocation: grown.map(|bytes| bytes as f64 / count),
        process,
    })
}

impl AllocateOptions {
    fn check(&self, targets: &[Target]) -> Result<(), BenchFailed> {
        if self.count == 0 || self.at_once == 0 || self.rounds == 0 {
            return Err(BenchFailed::Misused("--count, --at-once and --rounds are above 0".into()));
        }
        match targets.iter().find(|target| target.plain) {
            Some(plain) => {
                Err(BenchFailed::Misused(format!("{}: a plain forwarder has no allocations", plain.name)))
            }
            None => Ok(()),
        }
    }
}

impl Figures for AllocateFigures {
    fn median(rounds: &[Self]) -> Self {
        let of = Medians(rounds);
        Self {
            allocated: of.whole(|round| round.allocated),
            seconds: of.real(|round| round.seconds),
            allocations_per_second: of.real(|round| round.allocations_per_second),
            allocations_per_cpu_second: of.maybe(|round| round.allocations_per_cpu_second),
            bytes_per_allocation: of.maybe(|round| round.bytes_per_allocation),
            process: of.process(),
        }
    }

    fn process(&self) -> Option<ProcessFigures> {
        self.process
    }
}
