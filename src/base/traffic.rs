//! What was relayed.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Relayed application payload, both ways. Only ever grows while an allocation lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes from the client to its peers.
    pub bytes_from_client: u64,
    /// Bytes from peers to the client.
    pub bytes_from_peer: u64,
    /// Datagrams from the client to its peers; reads, where TCP is relayed.
    pub packets_from_client: u64,
    /// Datagrams from peers to the client; reads, where TCP is relayed.
    pub packets_from_peer: u64,
}

impl Traffic {
    /// What came since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            bytes_from_client: self.bytes_from_client - earlier.bytes_from_client,
            bytes_from_peer: self.bytes_from_peer - earlier.bytes_from_peer,
            packets_from_client: self.packets_from_client - earlier.packets_from_client,
            packets_from_peer: self.packets_from_peer - earlier.packets_from_peer,
        }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.bytes_from_client += other.bytes_from_client;
        self.bytes_from_peer += other.bytes_from_peer;
        self.packets_from_client += other.packets_from_client;
        self.packets_from_peer += other.packets_from_peer;
    }

    /// Spread over `elapsed`, which is some time, as of one second.
    pub fn per_second(&self, elapsed: Duration) -> Self {
        let rate = |count: u64| {
            let rate = u128::from(count) * 1_000_000_000 / elapsed.as_nanos().max(1);
            rate.min(u128::from(u64::MAX)) as u64
        };
        Self {
            bytes_from_client: rate(self.bytes_from_client),
            bytes_from_peer: rate(self.bytes_from_peer),
            packets_from_client: rate(self.packets_from_client),
            packets_from_peer: rate(self.packets_from_peer),
        }
    }

    /// Whether nothing was relayed.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes of both ways.
    pub fn bytes(&self) -> u64 {
        self.bytes_from_client + self.bytes_from_peer
    }
}
