//! What can be varied.

use super::payload::PAYLOAD_BYTES_MIN;
use super::{BenchFailed, Credentials, Target};
use clap::ValueEnum;
use serde::Serialize;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How long a channel lives without being bound again (RFC 8656 section 12), less the time for the set-up.
const RUN_MAX: Duration = Duration::from_secs(8 * 60);

/// Datagrams of one burst at most.
pub const BURST_MAX: u32 = 64;

/// A datagram with its frame is no longer than UDP takes.
const PAYLOAD_BYTES_MAX: usize = 65_000;

/// How many peers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Peers {
    /// One for each client
    Each,
    /// One for all of them, as with a conference server
    One,
}

/// By which messages clients and server exchange payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// ChannelData
    Channel,
    /// Send and Data indications
    Send,
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// From clients to peers
    Up,
    /// From peers to clients
    Down,
    /// Both at once
    Both,
}

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP
    Udp,
    /// TCP
    Tcp,
    /// TLS over TCP
    Tls,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system's authorities.
    System,
    /// Those of the authorities in this PEM file.
    Ca(PathBuf),
    /// Everybody's.
    Anybody,
}

/// A run of `turnstone bench relay`.
#[derive(Clone, Debug, Serialize)]
pub struct RelayOptions {
    /// Who comes.
    #[serde(skip)]
    pub credentials: Credentials,
    /// How many clients, each with an allocation and one peer.
    pub clients: usize,
    /// How many peers.
    pub peers: Peers,
    /// By which messages.
    pub via: Via,
    /// Which way.
    pub way: Way,
    /// Bytes of application payload.
    #[serde(rename = "size")]
    pub payload_bytes: usize,
    /// Datagrams of one flow that leave together.
    pub burst: u32,
    /// Packets a second of all clients together; `None`: as many as arrive.
    pub rate: Option<u32>,
    /// At full speed, packets of one flow that may be under way.
    pub window: u32,
    /// How clients reach the server.
    pub transport: Transport,
    /// Whose certificates are believed.
    #[serde(skip)]
    pub trust: Trust,
    /// Rounds of each target.
    pub rounds: u32,
    /// Length of a round, in seconds.
    #[serde(serialize_with = "seconds")]
    pub seconds: Duration,
    /// What does not count before it.
    #[serde(serialize_with = "seconds")]
    pub warm_up: Duration,
    /// Where peers are; where the server sees this machine unless given.
    pub peer_address: Option<IpAddr>,
}

impl RelayOptions {
    /// Says what makes no sense.
    pub(super) fn check(&self, targets: &[Target]) -> Result<(), BenchFailed> {
        let misused = |why: String| Err(BenchFailed::Misused(why));
        if targets.is_empty() {
            return misused("--target names no server".into());
        }
        if self.clients == 0 || self.rounds == 0 || self.rate == Some(0) || self.seconds.is_zero() {
            return misused("--clients, --rounds, --rate and --seconds are above 0".into());
        }
        if !(PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&self.payload_bytes) {
            return misused(format!(
                "--size is {PAYLOAD_BYTES_MIN} to {PAYLOAD_BYTES_MAX}: each packet carries its number and its time"
            ));
        }
        if self.burst == 0 || self.burst > BURST_MAX || self.window < self.burst {
            return misused(format!("--burst is 1 to {BURST_MAX}, and --window no less than that"));
        }
        if self.transport != Transport::Udp && targets.iter().any(|target| target.plain) {
            return misused("a plain target speaks UDP alone".into());
        }
        let whole = (self.seconds + self.warm_up) * self.rounds * targets.len() as u32;
        if whole > RUN_MAX {
            return misused(format!(
                "all rounds take {whole:?}, and channels end after ten minutes: stay below {RUN_MAX:?} by fewer \
                 --rounds, --seconds or targets"
            ));
        }
        Ok(())
    }
}

/// A span as a number of seconds.
pub(super) fn seconds<S: serde::Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}
