//! What the command line can vary.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// What TURN over TCP and TLS costs, beside coturn.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// What to run; both when nothing is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// A short run that only shows that the bench works.
    #[arg(long, alias = "test")]
    pub(crate) quick: bool,
    /// Servers to run.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "turnstone,coturn")]
    pub(crate) servers: Vec<Kind>,
    /// How clients connect. A server that does not speak a version is left out there.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "tcp,tls12,tls13")]
    pub(crate) doors: Vec<Door>,
    /// Way of the packets: client to peer, peer to client, or both at once.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "up,down,both")]
    pub(crate) ways: Vec<Way>,
    #[arg(long, value_enum, value_delimiter = ',', default_value = "paced,full")]
    pub(crate) paces: Vec<Pace>,
    /// Clients of the throughput part.
    #[arg(long, default_value_t = 100)]
    pub(crate) clients: u16,
    /// Bytes of application data in a packet.
    #[arg(long, default_value_t = 1200)]
    pub(crate) payload: usize,
    /// Packets per second of all clients together, when paced.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) rate: u32,
    /// Packets of one client and one way that may be under way, at full speed.
    #[arg(long, default_value_t = 16)]
    pub(crate) window: u32,
    /// Rounds of each server that count; one before them does not.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,
    /// Length of a round.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections of the idle part.
    #[arg(long, default_value_t = 2000)]
    pub(crate) connections: u16,
    /// Writes all figures there.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Idle,
    Throughput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Turnstone,
    Coturn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Door {
    Tcp,
    /// What coturn 4.6 speaks.
    Tls12,
    Tls13,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    Up,
    Down,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pace {
    Paced,
    Full,
}

impl Options {
    pub(crate) fn read() -> Self {
        let mut options = Self::parse();
        if options.quick {
            (options.clients, options.rate, options.rounds) = (4, 400, 1);
            (options.seconds, options.connections) = (0.1, 50);
        }
        options
    }

    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    pub(crate) fn round(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// How long idle connections are watched.
    pub(crate) fn watch(&self) -> Duration {
        if self.quick { Duration::from_millis(200) } else { Duration::from_secs(5) }
    }
}

/// The name by which the command line knows a value.
pub(crate) fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().expect("none is skipped").get_name().to_owned()
}
