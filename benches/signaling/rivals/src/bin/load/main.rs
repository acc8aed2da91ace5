//! The load on one signaling server: sessions in pairs that send candidates to each other, one to one.
//!
//! Prints what it measured as one JSON object. `benches/signaling/run` says what each option means; here
//! each one must be given.

mod candidate;
mod crowd;
mod dialect;
mod options;
mod process;
mod session;
mod websocket;

use crowd::{Crowd, Outcome, Speed};
use options::Options;
use process::{Memory, Process};
use serde_json::{Value, json};
use std::error::Error;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let process = Process::new(options.pid)?;
    let before = process.memory()?;

    let begin = Instant::now();
    let used_before = process.usage()?;
    let mut crowd = Crowd::open(&options)?;
    let used = process.usage()?.since(&used_before);
    let connected = begin.elapsed();

    crowd.rest(options.idle)?;
    let memory = process.memory()?;
    crowd.set_up_calls()?;

    let mut report = json!({
        "sessions": crowd.len(),
        "payload_bytes": options.payload,
        "event_bytes": crowd.event_bytes(),
        "connect_s": connected.as_secs_f64(),
        "connect_us": used.cpu_ns as f64 / 1e3 / crowd.len() as f64,
        "memory": grown(&before, &memory, crowd.len()),
    });
    let speeds = [
        ("paced", Speed::PerSecond(options.rate), options.paced),
        ("full", Speed::OneUnderWay, options.full),
    ];
    for (name, speed, length) in speeds {
        if length > Duration::ZERO {
            report[name] = told(&crowd.exchange(speed, options.warm_up, length, &process)?);
        }
    }
    println!("{report}");
    Ok(())
}

/// Growth in bytes a connection.
fn grown(before: &Memory, after: &Memory, connections: usize) -> Value {
    let each = |before: u64, after: u64| (after as f64 - before as f64) / connections as f64;
    json!({
        "resident": each(before.resident, after.resident),
        "anonymous": each(before.anonymous, after.anonymous),
        "private_dirty": each(before.private_dirty, after.private_dirty),
    })
}

fn told(outcome: &Outcome) -> Value {
    let mut delays = outcome.delays_ns.clone();
    delays.sort_unstable();
    let quantile = |share: f64| {
        let last = delays.len().saturating_sub(1);
        delays.get((share * last as f64).round() as usize).map(|ns| *ns as f64 / 1e3)
    };
    let each = |sum: u64| sum as f64 / outcome.arrived as f64;
    json!({
        "arrived": outcome.arrived,
        "lost": outcome.lost,
        "skipped": outcome.skipped,
        "complaints": outcome.complaints,
        "complaint": outcome.complaint,
        "elapsed_s": outcome.elapsed.as_secs_f64(),
        "per_second": outcome.arrived as f64 / outcome.elapsed.as_secs_f64(),
        "cpu_us": each(outcome.used.cpu_ns) / 1e3,
        "cpu_share": outcome.used.cpu_ns as f64 / outcome.elapsed.as_nanos() as f64,
        "others_share": outcome.others_share(),
        "switches": each(outcome.used.yielded + outcome.used.preempted),
        "preempted": each(outcome.used.preempted),
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
        "p999_us": quantile(0.999),
    })
}
