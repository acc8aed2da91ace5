//! Is what was acknowledged there, whatever happens to the process, the files and the disk?
//!
//! Everything here is real: files, sled, fsync, child processes that are killed, file systems that are full.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

mod copies;
mod damaged;
mod full;
mod history;
mod killed;
mod opening;
#[path = "../support/skip.rs"]
mod skip;
mod using;
