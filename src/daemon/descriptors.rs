//! File descriptors: each relay port is one, and each connection.

use crate::config::Plan;
use crate::relay::PEER_CONNECTIONS_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are no relay socket: doors, pollers, admin connections, the log.
const OTHERS: u64 = 256;

/// Raises the soft limit to the hard one, and says so when even that does not cover the relay ports.
pub(super) fn raise_limit(plan: &Plan) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused, the limit stays as it was; what follows tells whether that is enough.
    let _kept = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let ports = (plan.ledger.ports.len() * plan.ledger.addresses.len()) as u64;
    let wanted = match plan.ledger.allocations_total {
        0 => ports,
        total => ports.min(2 * u64::from(total)),
    };
    let peers = if plan.turn.tcp_relay { PEER_CONNECTIONS_MAX as u64 } else { 0 };
    // Without a limit of their own connections are bounded by descriptors, and say so when they meet it.
    let connections = match plan.connections.total {
        u32::MAX => 0,
        total if plan.takes_connections() => u64::from(total),
        _ => 0,
    };
    let wanted = wanted + peers + connections;
    if limit < wanted + OTHERS {
        tracing::warn!(
            limit,
            wanted = wanted + OTHERS,
            "file descriptors end before relay ports and connections do; raise LimitNOFILE, or lower \
             limits.allocations_total or limits.connections_total"
        );
    }
}
