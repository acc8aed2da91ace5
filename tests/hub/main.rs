//! The hub of signaling, driven by values and a virtual clock.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

mod calls;
#[path = "../support/counting.rs"]
mod counting;
mod events;
mod expiry;
mod flood;
mod foreign;
mod limits;
mod messages;
mod place;
mod presence;
mod recovery;
mod rooms;
mod stored;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;
