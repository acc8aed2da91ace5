//! Random interleavings of everything, from a seed.

use super::story::{Choices, Story};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use turnstone::base::Random;
use turnstone::metrics::{EndReason, Label};

const SEEDS: u64 = 200;
const STEPS: usize = 400;

impl Choices for Random {
    fn below(&mut self, bound: u32) -> u32 {
        Random::below(self, bound)
    }
}

#[test]
fn no_interleaving_ends_twice_rings_on_speaks_after_the_end_or_has_two_winners() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("TURNSTONE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TURNSTONE_SEEDS").unwrap_or(SEEDS),
    };
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in seeds.clone() {
        let mut random = Random::seeded(seed);
        let mut story = Story::begin(&mut random);
        let told = catch_unwind(AssertUnwindSafe(|| {
            (0..STEPS).for_each(|_| story.step(&mut random));
            story.stage.close();
        }));
        if let Err(panic) = told {
            println!("{}", story.log.join("\n"));
            println!("replay it with TURNSTONE_SEED={seed} cargo test --test calls model");
            resume_unwind(panic);
        }
        for reason in story.stage.reasons() {
            *ends.entry(EndReason::VALUES[reason.index()]).or_default() += 1;
        }
    }
    println!("{} seeds of {STEPS} steps: {ends:?}", seeds.clone().count());
    if seeds.count() as u64 >= SEEDS {
        let all = "blocked busy cancelled expired hangup ice_timeout lost max_duration media_failed no_answer offline \
                   rejected server_shutdown";
        for reason in all.split_whitespace() {
            assert!(ends.contains_key(reason), "no story ended with {reason}: {ends:?}");
        }
    }
}
