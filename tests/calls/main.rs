//! The calls as their users meet them: every rule, race and timer of the reference as a short story with a virtual
//! clock, and random stories under a checker that knows no states.
//!
//! `TURNSTONE_SEEDS=n` runs n random stories instead of 200, `TURNSTONE_SEED=n` replays the one that failed.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

mod bounds;
mod checker;
mod flows;
mod groups;
mod house;
mod model;
mod races;
mod restart;
mod stage;
mod story;
mod timers;
