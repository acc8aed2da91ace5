#![doc = include_str!("ARCHITECTURE.md")]

pub mod admin;
pub mod auth;
pub mod base;
pub mod config;
pub mod daemon;
pub mod http;
pub mod metrics;
pub mod net;
pub mod probe;
pub mod relay;
pub mod signaling;
pub mod storage;
pub mod turn;
pub mod usage;
pub mod wire;
