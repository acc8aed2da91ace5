//! How fast a TURN server is, seen from outside: any server, so that several are measured alike.
//!
//! A `Crowd` has the clients of one server and their peers, each with a socket of its own, and one thread that
//! drives them all by readiness. The `turn` crate's clients do the set-up over lines to that thread; packets then go
//! through batches of our own, since the load must cost less than the server that it loads. Packets carry their number
//! and the time at which they left. Only what arrives counts, once.

mod allocate;
mod applicants;
mod challenge;
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
mod relay;
mod requests;
mod round;
mod seen;
mod set_up;
mod stream;
mod target;
mod trust;
mod turn_client;

pub use allocate::{AllocateFigures, AllocateOptions, allocate};
pub use challenge::{ChallengeFigures, ChallengeOptions, challenge};
pub use credentials::Credentials;
pub use failed::BenchFailed;
pub use figures::{Delay, Figures, Measured, RelayFigures};
pub use options::{BURST_MAX, Peers, RelayOptions, Transport, Trust, Via, Way};
pub use payload::PAYLOAD_BYTES_MIN;
pub use process::{ProcessFigures, Switches};
pub use relay::relay;
pub use target::Target;

use process::Process;
use std::net::{IpAddr, SocketAddr};
use tokio::runtime::{Builder, Runtime};

/// Where a target is, seen from here.
#[derive(Clone, Copy, Debug)]
struct Place {
    server: SocketAddr,
    /// The address of this machine on the way there.
    local: IpAddr,
    process: Option<Process>,
}

impl Place {
    fn of(target: &Target, runtime: &Runtime) -> Result<Self, BenchFailed> {
        let process = target.pid.map(Process::of).transpose()?;
        let (server, local) = target.find(runtime)?;
        Ok(Self { server, local, process })
    }
}

/// Has each of the `crowds`, one for each target, do its round before any does its next one: A B A B.
fn take_turns<C, F: Figures>(
    targets: &[Target],
    rounds: u32,
    crowds: &mut [C],
    progress: &mut dyn FnMut(&str),
    mut round: impl FnMut(&mut C) -> Result<F, BenchFailed>,
) -> Result<Vec<Measured<F>>, BenchFailed> {
    let mut figures: Vec<Vec<F>> = targets.iter().map(|_| Vec::new()).collect();
    for number in 1..=rounds {
        for ((target, crowd), figures) in targets.iter().zip(&mut *crowds).zip(&mut figures) {
            progress(&format!("round {number} of {rounds}: {}", target.name));
            figures.push(round(crowd)?);
        }
    }
    Ok(targets.iter().zip(figures).map(|(target, rounds)| Measured::new(target, rounds)).collect())
}

/// Numbers of rounds, none of which any other run of the last minutes has.
fn round_ids() -> impl Iterator<Item = u32> {
    // Above the number of a process there is room for more rounds than a run may have.
    let first = std::process::id() << 12;
    (1..).map(move |number: u32| first.wrapping_add(number))
}

/// For the clients of the `turn` crate, whose timers need one; their sockets are elsewhere.
fn runtime() -> Result<Runtime, BenchFailed> {
    let built = Builder::new_multi_thread().worker_threads(1).enable_time().build();
    built.map_err(|error| BenchFailed::io("start a runtime", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Number(u32);

    impl Figures for Number {
        fn median(rounds: &[Self]) -> Self {
            Self(rounds.iter().map(|round| round.0).sum())
        }

        fn process(&self) -> Option<ProcessFigures> {
            None
        }
    }

    #[test]
    fn no_target_has_its_next_round_before_all_others_had_theirs() {
        let targets = ["a=h:1", "b=h:2"].map(|target| target.parse().unwrap());
        let (mut order, mut said) = (Vec::new(), Vec::new());
        let mut progress = |text: &str| said.push(text.to_owned());
        let measured = take_turns(&targets, 3, &mut ['a', 'b'], &mut progress, |crowd| {
            order.push(*crowd);
            Ok(Number(order.len() as u32))
        });
        let sums: Vec<_> =
            measured.unwrap().into_iter().map(|target| (target.name, target.median.0)).collect();
        assert_eq!(order, ['a', 'b', 'a', 'b', 'a', 'b']);
        assert_eq!(sums, [("a".to_owned(), 1 + 3 + 5), ("b".to_owned(), 2 + 4 + 6)]);
        assert_eq!(said[1], "round 1 of 3: b");
    }
}
