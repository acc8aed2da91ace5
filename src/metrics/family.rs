//! Families: name, help, kind and labels, each with its place in the flat array of a shard.

use super::labels::{
    AllocationFailure, AuthFailed, BatchOp, CallState, Carrier, Closed, DenyRule, Direction, Dropped,
    EndReason, Label, LimitScope, MessageDirection, MethodLabel, Overflow, PeerConnection, Recovery,
    ResponseCode, SignalingError, TokenFailure,
};
use crate::base::{Family as AddressFamily, Transport};

/// The place of one counter in a [`super::CounterSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterId(pub(super) u16);

/// How a family is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows only.
    Counter,
    /// Nanoseconds that grow only, shown in seconds with one series per worker (label `worker`).
    WorkerSeconds,
    /// Buckets with these upper bounds in seconds, then the count above, then the sum in units.
    Histogram(&'static Histogram),
    /// Feeds a gauge that the scrape computes; not shown itself.
    Hidden,
}

/// Bounds of a histogram in its own integer unit.
#[derive(Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Upper bounds, inclusive, at most [`HISTOGRAM_BUCKETS_MAX`].
    pub bounds: &'static [u64],
    /// How many units make a second.
    pub units_per_second: u64,
}

/// Bounds of the largest histogram.
pub const HISTOGRAM_BUCKETS_MAX: usize = 12;

/// One family of series that every shard counts.
#[derive(Debug)]
pub struct Family {
    /// Full name.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// How it is shown.
    pub kind: Kind,
    /// Labels with their values; series are ordered by the first label, then the second.
    pub labels: &'static [(&'static str, &'static [&'static str])],
}

impl Family {
    const fn series(&self) -> usize {
        let mut n = 1;
        let mut i = 0;
        while i < self.labels.len() {
            n *= self.labels[i].1.len();
            i += 1;
        }
        n
    }

    /// Slots of one series: one, or buckets + overflow + sum.
    const fn width(&self) -> usize {
        match self.kind {
            Kind::Histogram(histogram) => histogram.bounds.len() + 2,
            _ => 1,
        }
    }
}

/// One series of a family with its label values.
#[derive(Debug)]
pub struct Series {
    /// Values of the family's labels, in order.
    pub label_values: Vec<&'static str>,
    /// First slot in the flat array.
    pub first: usize,
}

/// All families, each with its series.
pub fn families() -> impl Iterator<Item = (&'static Family, Vec<Series>)> {
    FAMILIES.iter().zip(OFFSETS).map(|(family, offset)| (family, series_of(family, offset)))
}

fn series_of(family: &Family, offset: usize) -> Vec<Series> {
    (0..family.series())
        .map(|n| {
            let mut rest = n;
            let mut label_values: Vec<_> = family
                .labels
                .iter()
                .rev()
                .map(|(_, values)| {
                    let value = values[rest % values.len()];
                    rest /= values.len();
                    value
                })
                .collect();
            label_values.reverse();
            Series { label_values, first: offset + n * family.width() }
        })
        .collect()
}

/// Slots of the flat array.
pub(super) const SLOTS: usize = OFFSETS[FAMILIES.len() - 1]
    + FAMILIES[FAMILIES.len() - 1].series() * FAMILIES[FAMILIES.len() - 1].width();

const OFFSETS: [usize; FAMILIES.len()] = {
    let mut offsets = [0; FAMILIES.len()];
    let mut i = 1;
    while i < FAMILIES.len() {
        offsets[i] = offsets[i - 1] + FAMILIES[i - 1].series() * FAMILIES[i - 1].width();
        i += 1;
    }
    offsets
};

const fn values<L: Label>() -> (&'static str, &'static [&'static str]) {
    (L::NAME, L::VALUES)
}

/// How long allocations live.
pub static SESSION_SECONDS: Histogram =
    Histogram { bounds: &[1, 10, 60, 300, 600, 1800, 3600, 14_400, 43_200, 86_400], units_per_second: 1 };

/// Time from receipt to send, in microseconds, of one in 1024 datagrams.
pub static FORWARD_LATENCY_US: Histogram = Histogram {
    bounds: &[5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000, 100_000, 1_000_000],
    units_per_second: 1_000_000,
};

/// Time from `call:start` to the answer, in milliseconds.
pub static CALL_SETUP_MS: Histogram = Histogram {
    bounds: &[250, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 45_000, 90_000, 120_000],
    units_per_second: 1000,
};

macro_rules! define {
    ($($slot:ident: $kind:expr, $name:literal, $help:literal, [$($label:ty),*];)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[derive(Clone, Copy)]
        enum Slot { $($slot),* }
        static FAMILIES: [Family; [$(Slot::$slot),*].len()] = [$(Family {
            name: $name,
            help: $help,
            kind: $kind,
            labels: &[$(values::<$label>()),*],
        }),*];
    };
}

define! {
    AllocationsStarted: Kind::Counter, "turnstone_allocations_total",
        "Allocations made, by client transport and family of the relayed address.", [Transport, AddressFamily];
    AllocationsEnded: Kind::Hidden, "turnstone_allocations_ended",
        "Allocations that ended; with those made it gives the live ones.", [Transport, AddressFamily];
    AllocationFailures: Kind::Counter, "turnstone_allocation_failures_total",
        "Allocate requests of authenticated clients that failed, by reason.", [AllocationFailure];
    SessionSeconds: Kind::Histogram(&SESSION_SECONDS), "turnstone_allocation_duration_seconds",
        "How long allocations lived.", [Transport];
    RelayBytes: Kind::Counter, "turnstone_relay_bytes_total",
        "Relayed application payload in bytes, without any header, live.", [Direction, Transport];
    RelayPackets: Kind::Counter, "turnstone_relay_packets_total",
        "Relayed datagrams, live.", [Direction, Transport];
    DroppedPackets: Kind::Counter, "turnstone_dropped_packets_total",
        "Datagrams dropped without an answer, by reason.", [Dropped];
    RateLimitedBytes: Kind::Counter, "turnstone_rate_limited_bytes_total",
        "Application payload of datagrams dropped because a limit of bandwidth was exceeded, by whose.", [LimitScope];
    StunRequests: Kind::Counter, "turnstone_stun_requests_total",
        "STUN and TURN requests, by method.", [MethodLabel];
    StunResponses: Kind::Counter, "turnstone_stun_responses_total",
        "STUN and TURN responses, by method and code.", [MethodLabel, ResponseCode];
    AuthChallenges: Kind::Counter, "turnstone_auth_challenges_total",
        "First 401 answers: the normal start of a session, no failure.", [];
    AuthFailures: Kind::Counter, "turnstone_auth_failures_total",
        "Credentials refused, by reason.", [AuthFailed];
    PeerDenied: Kind::Counter, "turnstone_peer_denied_total",
        "Peers denied, by the rule that denied them.", [DenyRule];
    PeerConnections: Kind::Counter, "turnstone_peer_connections_total",
        "TCP connections between relayed addresses and peers, by what became of them.", [PeerConnection];
    PortEarlyReuse: Kind::Counter, "turnstone_relay_port_early_reuse_total",
        "Relay ports taken before their quarantine was over, because no other was free.", [];
    UdpBatches: Kind::Counter, "turnstone_udp_batches_total",
        "System calls that received or sent datagrams.", [BatchOp];
    UdpBatchPackets: Kind::Counter, "turnstone_udp_batch_packets_total",
        "Datagrams in those calls.", [BatchOp];
    SocketReceiveDrops: Kind::Counter, "turnstone_socket_receive_drops_total",
        "Datagrams, or several coalesced as one, that the kernel dropped at a full buffer or for a bad checksum.", [];
    ConnectionsAccepted: Kind::Counter, "turnstone_connections_total",
        "Connections accepted on TCP, TLS and DTLS doors.", [];
    ConnectionsClosed: Kind::Counter, "turnstone_connections_closed_total",
        "Connections of TCP, TLS and DTLS doors that ended, by reason; with those accepted it gives the open ones.",
        [Closed];
    AccountsMerged: Kind::Counter, "turnstone_accounts_merged_total",
        "Ended allocations whose traffic is counted under their door alone, because too many subjects left at once.", [];
    SessionEventsLost: Kind::Counter, "turnstone_session_events_lost_total",
        "Starts and ends of allocations that nobody was told of, because those who listen were too slow.", [];
    EndedCallsFull: Kind::Counter, "turnstone_ended_calls_full_total",
        "Ended calls whose credentials stay good until they expire, because too many calls ended.", [];
    BusyNanos: Kind::WorkerSeconds, "turnstone_worker_busy_seconds_total",
        "Time that relay workers did not sleep.", [];
    ForwardLatency: Kind::Histogram(&FORWARD_LATENCY_US), "turnstone_forward_latency_seconds",
        "Time from receipt of a datagram to its send, sampled 1 in 1024.", [];
    SignalingOpened: Kind::Hidden, "turnstone_ws_connections_opened",
        "Signaling connections opened; with those closed it gives the open ones.", [Carrier];
    SignalingClosed: Kind::Hidden, "turnstone_ws_connections_closed",
        "Signaling connections that ended, or went over to another carrier.", [Carrier];
    SignalingMessages: Kind::Counter, "turnstone_ws_messages_total",
        "Signaling messages, by direction; heartbeats of the transport are none.", [MessageDirection];
    SignalingErrors: Kind::Counter, "turnstone_signaling_errors_total",
        "Signaling events refused, by the code that the client was told.", [SignalingError];
    SignalingAuthFailures: Kind::Counter, "turnstone_signaling_auth_failures_total",
        "Tokens of signaling clients refused, by reason.", [TokenFailure];
    SignalingRecoveries: Kind::Counter, "turnstone_signaling_recoveries_total",
        "Attempts to go on with a session after its connection was lost, by outcome.", [Recovery];
    SignalingDropped: Kind::Counter, "turnstone_signaling_dropped_total",
        "What full outbound queues cost, by the class of the event that did not fit.", [Overflow];
    SessionsOpened: Kind::Hidden, "turnstone_signaling_sessions_opened",
        "Signaling sessions begun; with those ended it gives the live ones, the resumable ones included.", [];
    SessionsClosed: Kind::Hidden, "turnstone_signaling_sessions_closed",
        "Signaling sessions that ended.", [];
    CallNewsLost: Kind::Counter, "turnstone_call_records_lost_total",
        "Beginnings and ends of calls that were not told, so that traffic is missing in their records: too many came at once.", [];
    RoomsMade: Kind::Hidden, "turnstone_rooms_made",
        "Rooms made; with those removed it gives the live ones.", [];
    RoomsRemoved: Kind::Hidden, "turnstone_rooms_removed",
        "Rooms removed.", [];
    CallsEntered: Kind::Hidden, "turnstone_calls_entered",
        "Calls that came into a state; with those that left it gives the calls by state.", [CallState];
    CallsLeft: Kind::Hidden, "turnstone_calls_left",
        "Calls that left a state.", [CallState];
    CallsEnded: Kind::Counter, "turnstone_calls_ended_total",
        "Calls that ended, by reason.", [EndReason];
    CallSetup: Kind::Histogram(&CALL_SETUP_MS), "turnstone_call_setup_seconds",
        "Time from the start of a call to its answer.", [];
}

const fn id(slot: Slot, within: usize) -> CounterId {
    CounterId((OFFSETS[slot as usize] + within) as u16)
}

/// `turnstone_allocations_total`
pub fn allocations_started(transport: Transport, family: AddressFamily) -> CounterId {
    id(Slot::AllocationsStarted, transport.index() * AddressFamily::VALUES.len() + family.index())
}

/// Counterpart of [`allocations_started`].
pub fn allocations_ended(transport: Transport, family: AddressFamily) -> CounterId {
    id(Slot::AllocationsEnded, transport.index() * AddressFamily::VALUES.len() + family.index())
}

/// `turnstone_allocation_failures_total`
pub fn allocation_failures(reason: AllocationFailure) -> CounterId {
    id(Slot::AllocationFailures, reason.index())
}

/// `turnstone_relay_bytes_total`
pub fn relay_bytes(direction: Direction, transport: Transport) -> CounterId {
    id(Slot::RelayBytes, direction.index() * Transport::VALUES.len() + transport.index())
}

/// `turnstone_relay_packets_total`
pub fn relay_packets(direction: Direction, transport: Transport) -> CounterId {
    id(Slot::RelayPackets, direction.index() * Transport::VALUES.len() + transport.index())
}

/// `turnstone_dropped_packets_total`
pub fn dropped(reason: Dropped) -> CounterId {
    id(Slot::DroppedPackets, reason.index())
}

/// `turnstone_rate_limited_bytes_total`
pub fn rate_limited_bytes(scope: LimitScope) -> CounterId {
    id(Slot::RateLimitedBytes, scope.index())
}

/// `turnstone_connections_total`
pub fn connections_accepted() -> CounterId {
    id(Slot::ConnectionsAccepted, 0)
}

/// `turnstone_connections_closed_total`
pub fn connections_closed(reason: Closed) -> CounterId {
    id(Slot::ConnectionsClosed, reason.index())
}

/// `turnstone_stun_requests_total`
pub fn stun_requests(method: MethodLabel) -> CounterId {
    id(Slot::StunRequests, method.index())
}

/// `turnstone_stun_responses_total`
pub fn stun_responses(method: MethodLabel, code: ResponseCode) -> CounterId {
    id(Slot::StunResponses, method.index() * ResponseCode::VALUES.len() + code.index())
}

/// `turnstone_auth_challenges_total`
pub fn auth_challenges() -> CounterId {
    id(Slot::AuthChallenges, 0)
}

/// `turnstone_accounts_merged_total`
pub fn accounts_merged() -> CounterId {
    id(Slot::AccountsMerged, 0)
}

/// `turnstone_session_events_lost_total`
pub fn session_events_lost() -> CounterId {
    id(Slot::SessionEventsLost, 0)
}

/// `turnstone_ended_calls_full_total`
pub fn ended_calls_full() -> CounterId {
    id(Slot::EndedCallsFull, 0)
}

/// `turnstone_auth_failures_total`
pub fn auth_failures(reason: AuthFailed) -> CounterId {
    id(Slot::AuthFailures, reason.index())
}

/// `turnstone_peer_denied_total`
pub fn peer_denied(rule: DenyRule) -> CounterId {
    id(Slot::PeerDenied, rule.index())
}

/// `turnstone_peer_connections_total`
pub fn peer_connections(result: PeerConnection) -> CounterId {
    id(Slot::PeerConnections, result.index())
}

/// `turnstone_relay_port_early_reuse_total`
pub fn port_early_reuse() -> CounterId {
    id(Slot::PortEarlyReuse, 0)
}

/// `turnstone_udp_batches_total`
pub fn udp_batches(op: BatchOp) -> CounterId {
    id(Slot::UdpBatches, op.index())
}

/// `turnstone_udp_batch_packets_total`
pub fn udp_batch_packets(op: BatchOp) -> CounterId {
    id(Slot::UdpBatchPackets, op.index())
}

/// `turnstone_socket_receive_drops_total`
pub fn socket_receive_drops() -> CounterId {
    id(Slot::SocketReceiveDrops, 0)
}

/// `turnstone_worker_busy_seconds_total`, counted in nanoseconds.
pub fn busy_nanos() -> CounterId {
    id(Slot::BusyNanos, 0)
}

/// Counterpart of [`signaling_closed`]; the difference is `turnstone_ws_connections`.
pub fn signaling_opened(carrier: Carrier) -> CounterId {
    id(Slot::SignalingOpened, carrier.index())
}

/// Counterpart of [`signaling_opened`].
pub fn signaling_closed(carrier: Carrier) -> CounterId {
    id(Slot::SignalingClosed, carrier.index())
}

/// `turnstone_ws_messages_total`
pub fn signaling_messages(direction: MessageDirection) -> CounterId {
    id(Slot::SignalingMessages, direction.index())
}

/// `turnstone_signaling_errors_total`
pub fn signaling_errors(reason: SignalingError) -> CounterId {
    id(Slot::SignalingErrors, reason.index())
}

/// `turnstone_signaling_auth_failures_total`
pub fn signaling_auth_failures(reason: TokenFailure) -> CounterId {
    id(Slot::SignalingAuthFailures, reason.index())
}

/// `turnstone_signaling_recoveries_total`
pub fn signaling_recoveries(outcome: Recovery) -> CounterId {
    id(Slot::SignalingRecoveries, outcome.index())
}

/// `turnstone_signaling_dropped_total`
pub fn signaling_dropped(class: Overflow) -> CounterId {
    id(Slot::SignalingDropped, class.index())
}

/// Counterpart of [`sessions_closed`]; the difference is `turnstone_signaling_sessions`.
pub fn sessions_opened() -> CounterId {
    id(Slot::SessionsOpened, 0)
}

/// Counterpart of [`sessions_opened`].
pub fn sessions_closed() -> CounterId {
    id(Slot::SessionsClosed, 0)
}

/// `turnstone_call_records_lost_total`
pub fn call_news_lost() -> CounterId {
    id(Slot::CallNewsLost, 0)
}

/// Counterpart of [`rooms_removed`]; the difference is `turnstone_rooms`.
pub fn rooms_made() -> CounterId {
    id(Slot::RoomsMade, 0)
}

/// Counterpart of [`rooms_made`].
pub fn rooms_removed() -> CounterId {
    id(Slot::RoomsRemoved, 0)
}

/// Counterpart of [`calls_left`]; the difference is `turnstone_calls`.
pub fn calls_entered(state: CallState) -> CounterId {
    id(Slot::CallsEntered, state.index())
}

/// Counterpart of [`calls_entered`].
pub fn calls_left(state: CallState) -> CounterId {
    id(Slot::CallsLeft, state.index())
}

/// `turnstone_calls_ended_total`
pub fn calls_ended(reason: EndReason) -> CounterId {
    id(Slot::CallsEnded, reason.index())
}

/// First slot of `turnstone_call_setup_seconds`.
pub(super) fn call_setup() -> usize {
    OFFSETS[Slot::CallSetup as usize]
}

/// First slot of `turnstone_allocation_duration_seconds`.
pub(super) fn session_seconds(transport: Transport) -> usize {
    OFFSETS[Slot::SessionSeconds as usize]
        + transport.index() * FAMILIES[Slot::SessionSeconds as usize].width()
}

/// First slot of `turnstone_forward_latency_seconds`.
pub(super) fn forward_latency() -> usize {
    OFFSETS[Slot::ForwardLatency as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_slot_belongs_to_exactly_one_series() {
        let mut slots = BTreeSet::new();
        for (family, series) in families() {
            for one in series {
                assert_eq!(one.label_values.len(), family.labels.len());
                for slot in one.first..one.first + family.width() {
                    assert!(slots.insert(slot), "{} twice", family.name);
                }
            }
        }
        assert_eq!(slots.len(), SLOTS);
        assert_eq!(slots.last(), Some(&(SLOTS - 1)));
    }

    #[test]
    fn ids_land_on_the_series_with_their_labels() {
        let find = |id: CounterId| {
            families()
                .flat_map(|(family, series)| series.into_iter().map(move |s| (family.name, s)))
                .find(|(_, s)| s.first == usize::from(id.0))
                .map(|(name, s)| (name, s.label_values))
                .expect("exists")
        };
        let id = stun_responses(MethodLabel::Refresh, ResponseCode::C437);
        assert_eq!(find(id), ("turnstone_stun_responses_total", vec!["refresh", "437"]));
        let id = relay_bytes(Direction::ToPeer, Transport::Udp);
        assert_eq!(find(id), ("turnstone_relay_bytes_total", vec!["to_peer", "udp"]));
    }
}
