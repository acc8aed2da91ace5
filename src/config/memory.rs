//! How much memory the daemon can use at most with a configuration: the sum that `check-config` prints.

use super::addresses::RelayAddress;
use super::checked::{Config, Listen, TlsMode, Transport};
use super::{dtls, hub};
use crate::http;
use crate::net::tcp;
use crate::relay::PEER_CONNECTIONS_MAX;
use crate::storage;
use crate::turn::{ENDED_CALLS_MAX, PEER_BYTES, SUBJECTS_RESTING_MAX, Settings};
use std::net::SocketAddr;

/// Worst case of one kind of thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRow {
    /// What it is.
    pub name: &'static str,
    /// How many there can be.
    pub count: u64,
    /// Bytes of each.
    pub bytes_each: u64,
    /// The keys that bound the number; empty for what is fixed or follows from the machine.
    pub bounded_by: &'static str,
    /// Whether the bytes are the kernel's (socket buffers, allocated only as they fill) or the process's.
    pub in_kernel: bool,
}

impl MemoryRow {
    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.bytes_each)
    }
}

/// Worst case of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemorySum {
    /// The parts.
    pub rows: Vec<MemoryRow>,
}

impl MemorySum {
    /// Bytes of the process.
    pub fn process_bytes(&self) -> u64 {
        self.total(false)
    }

    /// Bytes of socket buffers in the kernel.
    pub fn kernel_bytes(&self) -> u64 {
        self.total(true)
    }

    /// Bytes of both.
    pub fn bytes(&self) -> u64 {
        self.process_bytes().saturating_add(self.kernel_bytes())
    }

    fn total(&self, in_kernel: bool) -> u64 {
        let rows = self.rows.iter().filter(|row| row.in_kernel == in_kernel);
        rows.map(MemoryRow::bytes).fold(0, u64::saturating_add)
    }
}

/// Bytes of one thing of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemSizes {
    /// An allocation with its timer, without peers.
    pub allocation: u64,
    /// A permission and a channel of an allocation.
    pub peer: u64,
    /// A subject with its quota.
    pub subject: u64,
    /// A port of the pool: its place in the free list or in quarantine.
    pub port: u64,
    /// Receive and send buffers of a shard.
    pub shard_buffers: u64,
    /// Budget tables of a shard: replies to strangers, and guesses.
    pub shard_budgets: u64,
    /// What a shard keeps of allocations that have ended.
    pub shard_books: u64,
    /// What a shard keeps of a call that has ended.
    pub ended_call: u64,
    /// The end of a call of which a shard is still to hear.
    pub untold_end: u64,
    /// A TCP or TLS connection: what is incomplete, and what waits to be sent.
    pub connection: u64,
    /// The same in the kernel.
    pub connection_sockets: u64,
    /// A connection to a peer, with what is on its way to and from the client.
    pub peer_connection: u64,
    /// A DTLS session.
    pub dtls_session: u64,
    /// Threads, code, metrics, HTTP: all that does not grow.
    pub fixed: u64,
}

impl Default for ItemSizes {
    fn default() -> Self {
        Self {
            allocation: 3 << 10,
            peer: PEER_BYTES as u64,
            subject: 1 << 10,
            port: 16,
            shard_buffers: 2 << 20,
            shard_budgets: 1 << 20,
            shard_books: 12 << 20,
            ended_call: 64,
            untold_end: 128,
            connection: 128 << 10,
            connection_sockets: 2 * KERNEL_FACTOR * tcp::BUFFER_BYTES as u64,
            peer_connection: 64 << 10,
            dtls_session: dtls::SESSION_BYTES_MAX,
            fixed: 32 << 20,
        }
    }
}

impl Config {
    /// Worst case on this machine, with the default [`ItemSizes`].
    pub fn worst_case_memory(&self) -> MemorySum {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.worst_case_memory_of(self.relay.workers.on(cores), &ItemSizes::default())
    }

    /// Worst case with this many shards and these sizes.
    pub fn worst_case_memory_of(&self, shards: usize, sizes: &ItemSizes) -> MemorySum {
        let shards = shards as u64;
        let ports = self.ports_max();
        let allocations = self.allocations_max();
        let row = |name, count, bytes_each, bounded_by| MemoryRow {
            name,
            count,
            bytes_each,
            bounded_by,
            in_kernel: false,
        };
        let sockets = |name, count, bytes_each, bounded_by| MemoryRow {
            in_kernel: true,
            ..row(name, count, bytes_each, bounded_by)
        };
        let open = self.connections_max();
        let own = [
            row("allocations", allocations, sizes.allocation, ALLOCATIONS),
            row(
                "peers of those",
                allocations.saturating_mul(Settings::PEERS_MAX as u64),
                sizes.peer,
                ALLOCATIONS,
            ),
            row("subjects", allocations, sizes.subject, ALLOCATIONS),
            row("subjects that owe", self.subjects_resting_max(), sizes.subject, "limits.bandwidth_per_user"),
            row("ports of the pool", ports, sizes.port, "relay.ports"),
            // A stream runtime beside each shard has the same.
            row("shard buffers", 2 * shards, sizes.shard_buffers, "relay.workers"),
            row("shard budgets", 2 * shards, sizes.shard_budgets, "relay.workers"),
            row("shard books", 2 * shards, sizes.shard_books, "relay.workers"),
            row("ended calls", 2 * shards * ENDED_CALLS_MAX as u64, sizes.ended_call, "relay.workers"),
            row("ends of calls untold", http::signaling::NEWS_MAX as u64, sizes.untold_end, ""),
            row("store: what waits to be written", 1, storage::QUEUED_BYTES_MAX as u64, ""),
            row("store: cache", 1, storage::CACHE_BYTES, ""),
            row("store: what backups hold", storage::VIEWS_MAX as u64, storage::HELD_BYTES_MAX as u64, ""),
            row("connections", open, sizes.connection.max(self.request_bytes_max()), CONNECTIONS),
            row("peer connections", self.peer_connections_max(), sizes.peer_connection, "relay.tcp"),
            row("DTLS sessions", self.dtls_sessions_max() * shards, sizes.dtls_session, "relay.workers"),
        ];
        let kernel = [
            // A dual allocation has two ports, so the pool bounds the sockets and not the allocations.
            sockets("relay sockets", self.relay_sockets_max(), self.relay_socket_bytes(), ALLOCATIONS),
            sockets("connections", open, sizes.connection_sockets, CONNECTIONS),
            sockets("peer connections", self.peer_connections_max(), sizes.connection_sockets, "relay.tcp"),
            sockets("UDP listeners", self.udp_listeners() * shards, self.listener_bytes(), "listen"),
        ];
        let fixed = row("fixed", 1, sizes.fixed, "");
        let rows = own.into_iter().chain(self.signaling_rows()).chain([fixed]).chain(kernel);
        MemorySum { rows: rows.collect() }
    }

    /// What clients of signaling can fill: nothing where nobody gets in.
    fn signaling_rows(&self) -> [MemoryRow; 11] {
        let (hub, driver) = (hub::settings(&self.signaling), hub::driver(&self.signaling));
        let message = self.signaling.max_message.0;
        let is_open = self.signaling.enabled && self.connections_max() > 0;
        let lets_in = is_open && self.auth.jwt.names_a_key();
        let row = |name, count: usize, bytes_each, bounded_by| {
            let count = if lets_in { count as u64 } else { 0 };
            MemoryRow { name, count, bytes_each, bounded_by, in_kernel: false }
        };
        let polling = driver.connections_max as u64;
        let ((cursors, cursor_bytes), (deeds, deed_bytes)) = (hub.cursors_max(), hub.deeds_max());
        [
            // An Engine.IO session is there before its client shows a token.
            MemoryRow {
                count: if is_open { polling } else { 0 },
                ..row("long-polling", 0, 2 * message + POLLING_BYTES, "signaling.max_message")
            },
            row(
                "sessions",
                hub.sessions_total,
                hub.session_bytes_max(message),
                "signaling.limits.sessions_total",
            ),
            row("rooms", hub.rooms.total, hub.place_bytes_max(), ""),
            row("pairs of users", hub.messages.pairs_total, hub.place_bytes_max(), ""),
            row("conversations", hub.messages.pairs_total, hub.conversation_bytes_max(), ""),
            row("messages that are being stored", 1, hub.waiting_bytes_max(), ""),
            row("read cursors that are being stored", cursors, cursor_bytes, ""),
            row("what is asked of the store", deeds, deed_bytes, ""),
            row("message history", 1, hub.messages.history_bytes_total as u64, ""),
            row("calls", hub.calls.calls_total, hub.calls.call_bytes_max(), "signaling.calls.group_max"),
            // On their way to whoever records them, and while what they relayed last is awaited.
            row("calls that end", 2 * http::signaling::NEWS_MAX, hub.calls.record_bytes_max(), ""),
        ]
    }

    /// Live allocations at most: each has a port of its own on one of the relay addresses.
    pub fn allocations_max(&self) -> u64 {
        let ports = self.ports_max();
        match u64::from(self.limits.allocations_total) {
            0 => ports,
            total => total.min(ports),
        }
    }

    /// Subjects without allocations that are remembered, since they have relayed under a limit.
    fn subjects_resting_max(&self) -> u64 {
        let is_limited = self.limits.bandwidth_per_user.0.is_some();
        if is_limited { SUBJECTS_RESTING_MAX as u64 } else { 0 }
    }

    /// Open connections at most; without doors for them there are none.
    fn connections_max(&self) -> u64 {
        let takes_some = self.http.public.0.is_some() || self.listen.iter().any(Listen::takes_connections);
        match (takes_some, self.limits.connections_total) {
            (false, _) => 0,
            (true, 0) => DESCRIPTORS,
            (true, total) => u64::from(total),
        }
    }

    /// What a connection holds while it brings a request or is a WebSocket, instead of what it holds for TURN.
    fn request_bytes_max(&self) -> u64 {
        let message = self.signaling.max_message.0;
        let websocket =
            if self.signaling.enabled { http::signaling::connection_bytes_max(message) } else { 0 };
        http::request_bytes_max(message).max(websocket)
    }

    /// Connections of relayed addresses to peers at most.
    fn peer_connections_max(&self) -> u64 {
        if self.relay.tcp { PEER_CONNECTIONS_MAX as u64 } else { 0 }
    }

    /// Sessions of one stream runtime at most.
    fn dtls_sessions_max(&self) -> u64 {
        let has_dtls = self.listen.iter().any(|listen| listen.transports.contains(&Transport::Dtls));
        if has_dtls && self.tls.mode == TlsMode::Files { dtls::SESSIONS_MAX } else { 0 }
    }

    /// Two sockets an allocation (one per address family), and no more than ports.
    fn relay_sockets_max(&self) -> u64 {
        self.allocations_max().saturating_mul(2).min(self.ports_max())
    }

    /// Ports of all relay addresses; "auto" can be one of each family.
    fn ports_max(&self) -> u64 {
        let addresses = self.relay.addresses.iter().map(|address| match address {
            RelayAddress::Auto => 2,
            RelayAddress::Ip(_) => 1,
        });
        u64::from(self.relay.ports.count()) * addresses.sum::<u64>()
    }

    fn relay_socket_bytes(&self) -> u64 {
        (self.relay.receive_buffer.0 + self.relay.send_buffer.0) * KERNEL_FACTOR
    }

    fn udp_listeners(&self) -> u64 {
        let is_udp = |transport: &Transport| matches!(transport, Transport::Udp | Transport::Dtls);
        let udp = self.listen.iter().filter(|listen| listen.transports.iter().any(is_udp));
        let listed: Vec<_> = udp.map(|listen| listen.address).collect();
        // `[::]` is two sockets, one for each family, unless its port has an IPv4 listener.
        let alone = |address: &&SocketAddr| {
            let has_v4 = listed.iter().any(|other| other.is_ipv4() && other.port() == address.port());
            address.is_ipv6() && address.ip().is_unspecified() && !has_v4
        };
        let alternates = self.listen.iter().filter_map(|listen| listen.alternates()).flatten().count();
        (listed.len() + listed.iter().filter(alone).count() + alternates) as u64
    }

    fn listener_bytes(&self) -> u64 {
        self.relay.listener_buffer.0 * 2 * KERNEL_FACTOR
    }
}

const ALLOCATIONS: &str = "limits.allocations_total, relay.ports";
const CONNECTIONS: &str = "limits.connections_total";

/// A client that polls: its session, its requests and what it was answered.
const POLLING_BYTES: u64 = 72 << 10;

/// Descriptors of the service, which bound connections when nothing else does.
const DESCRIPTORS: u64 = 1 << 20;

/// The kernel doubles SO_RCVBUF and SO_SNDBUF for its own overhead (socket(7)).
const KERNEL_FACTOR: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_bounded_by_the_pool_and_by_the_total() {
        let mut config = Config::default();
        assert_eq!(config.allocations_max(), 2 * 16_384);
        config.limits.allocations_total = 1_000;
        assert_eq!(config.allocations_max(), 1_000);
        config.limits.allocations_total = 1_000_000;
        assert_eq!(config.allocations_max(), 2 * 16_384);
    }

    #[test]
    fn a_connection_holds_what_turn_needs_or_a_request_or_a_websocket_whichever_is_most() {
        let mut config = Config::default();
        let of_each = |config: &Config| {
            let sum = config.worst_case_memory_of(2, &ItemSizes::default());
            sum.rows.iter().find(|row| row.name == "connections").map(|row| (row.count, row.bytes_each))
        };
        let websocket = |message: u64| 3 * message + (64 << 10) + (40 << 10);
        assert_eq!(of_each(&config), Some((16_384, websocket(64 << 10))));
        config.signaling.enabled = false;
        assert_eq!(of_each(&config), Some((16_384, 128 << 10)));
        config.signaling.max_message = super::super::units::ByteSize(3 << 20);
        assert_eq!(of_each(&config), Some((16_384, (32 << 10) + (4 << 20) + 256)));
        config.listen[0].transports = vec![Transport::Udp];
        config.listen.truncate(1);
        assert_eq!(of_each(&config).map(|row| row.0), Some(16_384), "http.public takes connections too");
        config.http.public.0 = None;
        assert_eq!(of_each(&config).map(|row| row.0), Some(0));
    }

    #[test]
    fn signaling_adds_its_part_where_somebody_gets_in() {
        let rows = |config: &Config, name: &str| {
            let sum = config.worst_case_memory_of(2, &ItemSizes::default());
            let found: Vec<_> = sum.rows.into_iter().filter(|row| row.name == name).collect();
            <[MemoryRow; 1]>::try_from(found).map(|[row]| row).expect("one row")
        };
        let mut config = Config::default();
        assert_eq!(rows(&config, "sessions").count, 0, "nobody signs tokens");
        assert_eq!(rows(&config, "long-polling").count, 65_536, "they come before their token");
        config.auth.jwt.secret = Some(crate::auth::Secret::new("0123456789abcdef0123456789abcdef"));
        config.signaling.limits.sessions_total = 1_000;
        let sessions = rows(&config, "sessions");
        assert_eq!((sessions.count, sessions.bounded_by), (1_000, "signaling.limits.sessions_total"));
        // 512 KiB of events, 32 streams of 64 KiB, 128 rooms of some 4 KiB.
        assert!((3 << 20..4 << 20).contains(&sessions.bytes_each), "{sessions:?}");
        assert_eq!(rows(&config, "calls").count, 100_000);
        let waiting = rows(&config, "messages that are being stored");
        assert_eq!((waiting.count, waiting.bytes_each), (1, 16 << 20));
        for (name, count) in [
            ("conversations", 100_000),
            ("read cursors that are being stored", 16_384),
            ("what is asked of the store", 16_384),
        ] {
            let row = rows(&config, name);
            assert!(row.count == count && row.bytes_each > 512, "{row:?}");
        }
        config.signaling.enabled = false;
        assert_eq!((rows(&config, "sessions").count, rows(&config, "long-polling").count), (0, 0));
    }

    #[test]
    fn the_sum_is_the_sum_of_its_rows() {
        let mut config = Config::default();
        config.limits.allocations_total = 100;
        config.signaling.enabled = false;
        let sum = config.worst_case_memory_of(2, &ItemSizes::default());
        // Buffers, budgets, books and ended calls; and what ends they have not heard of.
        let shards = 4 * ((2 << 20) + (1 << 20) + (12 << 20) + 65_536 * 64) + 131_072 * 128;
        // Its queue, its cache and its backups.
        let store = (32 << 20) + (64 << 20) + 4 * (64 << 20);
        let process =
            100 * 3_072 + 100 * 1_024 + 32_768 * 16 + shards + store + 16_384 * (128 << 10) + (32 << 20);
        assert_eq!(sum.process_bytes(), process + 100 * 256 * PEER_BYTES as u64);
        // 200 relay sockets of 2 x 512 KiB; 2 listeners on 2 shards of 2 x 8 MiB; 16,384 connections of 2 x 512 KiB.
        assert_eq!(sum.kernel_bytes(), 200 * (1 << 20) + 4 * (16 << 20) + 16_384 * (1 << 20));
        assert_eq!(sum.bytes(), sum.rows.iter().map(MemoryRow::bytes).sum::<u64>());
    }
}
