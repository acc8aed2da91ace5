//! What the server's answer means to whoever started the bench.

use super::crowd::Crowd;
use super::turn_client::SetUpFailed;
use super::{BenchFailed, RelayOptions, Transport};
use std::net::{IpAddr, SocketAddr};

/// Says what went wrong with the set-up of `client`, and what to do.
pub(super) fn explain(
    crowd: &Crowd,
    client: usize,
    options: &RelayOptions,
    failed: &SetUpFailed,
) -> BenchFailed {
    let who = format!("{} ({})", crowd.name, crowd.server);
    if !failed.was_answered && !failed.is_here {
        return match options.transport {
            Transport::Udp => nobody(&crowd.name, crowd.server, crowd.is_refused),
            Transport::Tcp | Transport::Tls => BenchFailed::Unreachable(format!(
                "{who}: it took the connection and gave no answer: is it a TURN server?"
            )),
        };
    }
    let step = format!("{who}: client {} of {} cannot {}", client + 1, options.clients, failed.step);
    let Some(refusal) = failed.refusal.as_ref().filter(|refusal| refusal.code != 0) else {
        return BenchFailed::Other(format!("{step}: {}", failed.words));
    };
    let advice = advice(refusal.code, crowd.peer_of(client).ok().map(|peer| peer.ip()));
    let answer = format!("{} {} {}", refusal.method, refusal.code, refusal.reason);
    BenchFailed::Other(format!("{step}: {}; {advice}", answer.trim_end_matches(['\0', ' '])))
}

/// No answer came over UDP. `is_refused`: but ICMP did.
pub(super) fn nobody(name: &str, server: SocketAddr, is_refused: bool) -> BenchFailed {
    BenchFailed::Unreachable(match is_refused {
        true => format!("{name} ({server}): nobody listens there for UDP"),
        false => format!(
            "{name} ({server}): no answer over UDP: is it a TURN server, and does a firewall let UDP through?"
        ),
    })
}

/// What to do about an error response.
pub(super) fn advice(code: u16, peer: Option<IpAddr>) -> String {
    let peer = peer.map_or_else(|| "of the peers".to_owned(), |peer| peer.to_string());
    match code {
        401 | 441 => {
            "check --username and --password, or --secret, which has to be the server's own; a name out of a secret \
             expires by the clocks of both machines"
        }
        403 => {
            return format!(
                "allow the peer address {peer}, for turnstone in relay.peers.allow, or have peers on another one by \
                 --peer-address"
            );
        }
        437 => "the server has an allocation of that socket already: start again",
        440 | 443 => "have peers on an address of the family that the server relays by --peer-address",
        486 => {
            "the user has as many allocations as it may: ask for fewer, raise limits.allocations_per_user of the \
             server, or give --secret, by which each client is a user of its own"
        }
        508 => "the server has no relay port left: ask for fewer allocations, give it more ports, or wait until ports that \
             were used are free again (relay.port_quarantine)",
        _ => "the server's log may say why",
    }
    .to_owned()
}
