//! The state machine against a naive reference model, from a seed.
//!
//! `TURNSTONE_SEEDS=n` runs n scenarios instead of 200, `TURNSTONE_SEED=n` replays the one that failed.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

mod book;
mod model;
mod opening;
mod payload;
mod peers;
mod request;
mod scenario;
mod simulation;
mod tally;
#[path = "../support/world.rs"]
mod world;

use simulation::Simulation;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const SEEDS: u64 = 200;
const STEPS: usize = 600;

#[test]
fn the_state_machine_does_what_the_reference_model_does() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("TURNSTONE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TURNSTONE_SEEDS").unwrap_or(SEEDS),
    };
    let mut tally = tally::Tally::default();
    for seed in seeds.clone() {
        let mut simulation = Simulation::new(seed);
        let result = catch_unwind(AssertUnwindSafe(|| simulation.run(STEPS)));
        if let Err(panic) = result {
            println!("{}", simulation.report());
            println!("replay it with TURNSTONE_SEED={seed} cargo test --test sim");
            resume_unwind(panic);
        }
        tally.add(&simulation.tally);
    }
    println!("{} seeds of {STEPS} steps: {tally:?}", seeds.count());
    if number("TURNSTONE_SEED").is_none() && number("TURNSTONE_SEEDS").is_none_or(|n| n >= SEEDS) {
        tally.assert_that_everything_happened();
    }
}
