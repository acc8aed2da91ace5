//! Why a bench came to no figures.

use std::fmt;

/// In words for whoever started it: what went wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BenchFailed {
    /// What was asked for makes no sense.
    Misused(String),
    /// The server gives no answer.
    Unreachable(String),
    /// Anything else: refused by the server, or impossible on this machine.
    Other(String),
}

impl fmt::Display for BenchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Misused(why) | Self::Unreachable(why) | Self::Other(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for BenchFailed {}

impl BenchFailed {
    /// The system refused `what`.
    pub(super) fn io(what: &str, error: &std::io::Error) -> Self {
        Self::Other(format!("{what}: {error}"))
    }
}
