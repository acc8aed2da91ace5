//! File descriptors: each client takes one, and each peer.

use super::BenchFailed;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are no socket of a client or peer.
const OTHERS: u64 = 64;

/// Raises the soft limit to the hard one.
///
/// # Errors
/// Not even that is enough for so many sockets.
pub(super) fn raise(sockets: usize) -> Result<(), BenchFailed> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused, the limit stays as it was; what follows tells whether that is enough.
    let _kept = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let wanted = sockets as u64 + OTHERS;
    if limit < wanted {
        return Err(BenchFailed::Misused(format!(
            "{wanted} file descriptors are needed and {limit} allowed: take fewer --clients, or raise the hard limit \
             (ulimit -Hn)"
        )));
    }
    Ok(())
}
