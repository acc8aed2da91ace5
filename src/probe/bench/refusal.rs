//! What the server's answer means to whoever started the bench.

use super::crowd::Crowd;
use super::turn_client::SetUpFailed;
use super::{BenchFailed, RelayOptions, Transport};

/// Says what went wrong with the set-up of `client`, and what to do.
pub(super) fn explain(
    crowd: &Crowd,
    client: usize,
    options: &RelayOptions,
    failed: &SetUpFailed,
) -> BenchFailed {
    let who = format!("{} ({})", crowd.name, crowd.server);
    if !failed.was_answered && !failed.is_here {
        let why = match options.transport {
            Transport::Udp if crowd.is_refused => "nobody listens there for UDP",
            Transport::Udp => "no answer over UDP: is it a TURN server, and does a firewall let UDP through?",
            Transport::Tcp | Transport::Tls => {
                "it took the connection and gave no answer: is it a TURN server?"
            }
        };
        return BenchFailed::Unreachable(format!("{who}: {why}"));
    }
    let step = format!("{who}: client {} of {} cannot {}", client + 1, options.clients, failed.step);
    let Some(refusal) = failed.refusal.as_ref().filter(|refusal| refusal.code != 0) else {
        return BenchFailed::Other(format!("{step}: {}", failed.words));
    };
    let peer = crowd.peer_of(client).map_or_else(|_| "its peer".to_owned(), |peer| peer.ip().to_string());
    let advice = match refusal.code {
        401 | 441 => {
            "check --username and --password, or --secret, which has to be the server's own; a name out of a secret \
             expires by the clocks of both machines"
                .to_owned()
        }
        403 => format!(
            "allow the peer address {peer}, for turnstone in relay.peers.allow, or have peers on another one by \
             --peer-address"
        ),
        437 => "the server has an allocation of that socket already: start again".to_owned(),
        443 | 440 => "have peers on an address of the family that the server relays by --peer-address".to_owned(),
        486 => "the user has as many allocations as it may: take fewer --clients, raise limits.allocations_per_user \
                of the server, or give --secret, by which each client is a user of its own"
            .to_owned(),
        508 => "the server has no relay port left: take fewer --clients, or give it more ports".to_owned(),
        _ => "the server's log may say why".to_owned(),
    };
    let answer = format!("{} {} {}", refusal.method, refusal.code, refusal.reason);
    BenchFailed::Other(format!("{step}: {}; {advice}", answer.trim_end()))
}
