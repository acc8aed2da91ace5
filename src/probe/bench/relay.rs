//! How many packets go through a server, how fast, and what that costs it.

use super::crowd::Crowd;
use super::drive::{Course, drive};
use super::process::Process;
use super::{
    BenchFailed, Measured, Place, RelayFigures, RelayOptions, Target, limit, round_ids, runtime, take_turns,
    trust,
};
use tokio::runtime::Runtime;

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
    let course = Course {
        warm_up: options.warm_up,
        length: options.seconds,
        bursts_per_second: options.rate.map(|rate| f64::from(rate) / f64::from(options.burst)),
    };
    let mut ids = round_ids();
    let measured = made.and_then(|()| {
        take_turns(targets, options.rounds, &mut crowds, progress, |(crowd, process)| {
            crowd.begin(ids.next().unwrap_or_default(), options);
            let driven = drive(crowd, course, *process)?;
            match driven.outcome.delivered {
                0 => Err(nothing_arrived(crowd, driven.outcome.sent)),
                _ => RelayFigures::of(&driven, *process),
            }
        })
    });
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
    let tls = trust::tls(options.transport, &options.trust, target)?;
    let place = Place::of(target, runtime)?;
    let mut crowd = Crowd::open(target, place, options, tls.as_ref())?;
    let made = match target.plain {
        true => crowd.set_up_plain(options),
        false => crowd.set_up(options, runtime, progress),
    };
    match made {
        Ok(()) => Ok((crowd, place.process)),
        Err(error) => {
            // Some clients may have their allocation already.
            crowd.close(runtime);
            Err(error)
        }
    }
}

fn nothing_arrived(crowd: &Crowd, sent: u64) -> BenchFailed {
    BenchFailed::Other(format!(
        "{} ({}): of {sent} packets none arrived; does a firewall stop UDP between the server and the peers, which are \
         on this machine?",
        crowd.name, crowd.server
    ))
}
