//! The package: its units, its scripts, and what happens to a machine on which it is installed.
//!
//! Installation is tried for real, on an overlay of this very machine in namespaces that end with the test:
//! nothing of it reaches the disk.

mod checks;
mod deb;
mod guest;
mod life;
#[path = "../support/skip.rs"]
mod skip;
mod stalled;
mod units;
mod whole;
