//! How fast a TURN server is, seen from outside: any server, so that several are measured alike.
//!
//! A `Crowd` has the clients of one server and their peers, each with a socket of its own, and one thread that
//! drives them all by readiness. The `turn` crate's clients do the set-up over lines to that thread; packets then go
//! through batches of our own, since the load must cost less than the server that it loads. Packets carry their number
//! and the time at which they left. Only what arrives counts, once.

mod credentials;
mod crowd;
mod delays;
mod drive;
mod failed;
mod figures;
mod limit;
mod line;
mod link;
mod options;
mod pace;
mod payload;
mod process;
mod refusal;
mod round;
mod seen;
mod set_up;
mod stream;
mod target;
mod trust;
mod turn_client;

pub use credentials::Credentials;
pub use failed::BenchFailed;
pub use figures::{Delay, Measured, RelayFigures};
pub use options::{BURST_MAX, Peers, RelayOptions, Transport, Trust, Via, Way};
pub use payload::PAYLOAD_BYTES_MIN;
pub use process::{ProcessFigures, Switches};
pub use target::Target;

use crowd::Crowd;
use process::Process;
use tokio::runtime::{Builder, Runtime};

/// Relays packets through each target in turn, A B A B, and measures. Takes minutes.
///
/// `progress` hears how far it is, in words.
///
/// # Errors
/// What was asked for makes no sense, a target is not there or refuses, or this machine has too few descriptors.
pub fn relay(
    options: &RelayOptions,
    targets: &[Target],
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Measured<RelayFigures>>, BenchFailed> {
    options.check(targets)?;
    limit::raise(2 * options.clients * targets.len())?;
    let runtime = runtime()?;
    let mut crowds = Vec::new();
    let made = targets.iter().try_for_each(|target| {
        crowds.push(gather(target, options, &runtime, progress)?);
        Ok(())
    });
    let measured = made.and_then(|()| measure(options, targets, &mut crowds, progress));
    progress("ending the allocations");
    crowds.into_iter().for_each(|(crowd, _)| crowd.close(&runtime));
    measured
}

/// All clients of one target, ready to send.
fn gather(
    target: &Target,
    options: &RelayOptions,
    runtime: &Runtime,
    progress: &mut dyn FnMut(&str),
) -> Result<(Crowd, Option<Process>), BenchFailed> {
    let process = target.pid.map(Process::of).transpose()?;
    let tls = trust::tls(options.transport, &options.trust, target)?;
    let way = target.find(runtime)?;
    let mut crowd = Crowd::open(&target.name, way, target.plain, options, tls.as_ref())?;
    let made = match target.plain {
        true => crowd.set_up_plain(options),
        false => crowd.set_up(options, runtime, progress),
    };
    match made {
        Ok(()) => Ok((crowd, process)),
        Err(error) => {
            // Some clients may have their allocation already.
            crowd.close(runtime);
            Err(error)
        }
    }
}

fn measure(
    options: &RelayOptions,
    targets: &[Target],
    crowds: &mut [(Crowd, Option<Process>)],
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Measured<RelayFigures>>, BenchFailed> {
    let mut rounds: Vec<Vec<RelayFigures>> = targets.iter().map(|_| Vec::new()).collect();
    // Above the number of a process there is room for more rounds than a run may have.
    let mut id = std::process::id() << 12;
    for number in 1..=options.rounds {
        for ((crowd, process), rounds) in crowds.iter_mut().zip(&mut rounds) {
            progress(&format!("round {number} of {}: {}", options.rounds, crowd.name));
            id = id.wrapping_add(1);
            let driven = crowd.drive(id, options, *process)?;
            if driven.outcome.delivered == 0 {
                return Err(nothing_arrived(crowd, driven.outcome.sent));
            }
            rounds.push(RelayFigures::of(&driven, *process)?);
        }
    }
    Ok(targets.iter().zip(rounds).map(|(target, rounds)| Measured::new(target, rounds)).collect())
}

fn nothing_arrived(crowd: &Crowd, sent: u64) -> BenchFailed {
    BenchFailed::Other(format!(
        "{} ({}): of {sent} packets none arrived; does a firewall stop UDP between the server and the peers, which are \
         on this machine?",
        crowd.name, crowd.server
    ))
}

/// For the clients of the `turn` crate, whose timers need one; their sockets are elsewhere.
fn runtime() -> Result<Runtime, BenchFailed> {
    let built = Builder::new_multi_thread().worker_threads(1).enable_time().build();
    built.map_err(|error| BenchFailed::io("start a runtime", &error))
}
