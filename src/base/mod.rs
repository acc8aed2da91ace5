//! Rank 0: the small things that every other module stands on.
//!
//! Time, randomness and identity are values here. Nothing in this module reads a clock, opens a
//! file or asks the operating system for entropy; the caller brings all three.
#![forbid(unsafe_code)]

mod budget;
mod even;
mod exit;
mod random;
mod time;
mod traffic;
mod transport;
mod wheel;

pub use budget::{BudgetTable, Rate, TokenBucket, subscriber};
pub use even::EvenClock;
pub use exit::Exit;
pub use random::Random;
pub use time::{Now, Timestamp, UnixTime};
pub use traffic::Traffic;
pub use transport::{Family, Transport};
pub use wheel::{TimerId, Wheel};
