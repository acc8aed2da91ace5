#![doc = include_str!("ARCHITECTURE.md")]

pub mod auth;
pub mod base;
pub mod daemon;
pub mod http;
pub mod metrics;
pub mod net;
pub mod relay;
pub mod turn;
pub mod wire;
