//! Rank 1: every number that the daemon counts, defined once with its name, unit and help text.
//!
//! A [`CounterSet`] belongs to one thread, which counts in plain integers and publishes them to a
//! [`Published`] copy a few times a second; whoever scrapes sums the copies of all threads.
//! A [`History`] keeps what was counted in each of the last seconds.
//! Nothing here knows a metrics library: `http` turns [`families`] into text.
#![forbid(unsafe_code)]

mod counters;
mod family;
mod history;
mod labels;

pub use counters::{CounterSet, Published, Snapshot};
pub use family::{
    CALL_SETUP_MS, CounterId, FORWARD_LATENCY_US, Family, HISTOGRAM_BUCKETS_MAX, Histogram, Kind,
    SESSION_SECONDS, Series, accounts_merged, allocation_failures, allocations_ended, allocations_started,
    auth_challenges, auth_failures, busy_nanos, call_news_lost, calls_ended, calls_entered, calls_left,
    connections_accepted, connections_closed, dropped, ended_calls_full, families, peer_connections,
    peer_denied, port_early_reuse, rate_limited_bytes, relay_bytes, relay_packets, rooms_made, rooms_removed,
    session_events_lost, sessions_closed, sessions_opened, signaling_auth_failures, signaling_closed,
    signaling_dropped, signaling_errors, signaling_messages, signaling_opened, signaling_recoveries,
    socket_receive_drops, stun_requests, stun_responses, udp_batch_packets, udp_batches,
};
pub use history::History;
pub use labels::{
    AllocationFailure, AuthFailed, BatchOp, CallState, Carrier, Closed, DenyRule, Direction, Dropped,
    EndReason, Label, LimitScope, MessageDirection, MethodLabel, Overflow, PeerConnection, Recovery,
    ResponseCode, SignalingError, TokenFailure,
};
