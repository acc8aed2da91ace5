//! The relay side of a daemon, in this process.

use crate::daemon::{Config, PATIENCE, eventually};
use std::future::Future;
use std::net::SocketAddr;
use turnstone::base::{Random, Traffic, Transport};
use turnstone::config::{self, Host, Plan};
use turnstone::daemon::{Credentials, RelayControl, Relays};
use turnstone::http::api::Control;
use turnstone::metrics::{CounterId, Direction, Snapshot, relay_bytes};
use turnstone::net::PassedSockets;
use turnstone::turn::Session;

pub(crate) struct House {
    pub(crate) relays: Relays,
    pub(crate) control: RelayControl,
    pub(crate) plan: Plan,
    pub(crate) server: SocketAddr,
    runtime: tokio::runtime::Runtime,
}

impl House {
    /// Shards and stream runtimes, with this in `[relay]`.
    pub(crate) fn start(relay: &str) -> Self {
        Self::of(&Config::default().relay(relay).limits("allocations_per_user = 0"))
    }

    pub(crate) fn of(config: &Config) -> Self {
        let loaded = config::parse("test.toml", &config.text(), []).expect("a sound config");
        let plan = config::resolve(&loaded.config, &Host::look().unwrap()).expect("fits this host");
        let (http, _nobody_speaks_http) = tokio::sync::mpsc::channel(1);
        let relays = Relays::start(
            &plan,
            &mut PassedSockets::default(),
            Random::seeded(1),
            Credentials::default(),
            None,
            http,
        )
        .expect("starts");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { control: relays.control(), relays, plan, server: config.listen[0], runtime: runtime.unwrap() }
    }

    pub(crate) fn wait<T>(&self, coming: impl Future<Output = T>) -> T {
        self.runtime.block_on(coming)
    }

    pub(crate) fn sessions(&self, wanted: impl Fn(&Session) -> bool + Sync) -> Vec<Session> {
        let seen = self.wait(self.control.sessions(&wanted));
        assert_eq!(seen.missing, [0; 0]);
        seen.sessions.into_iter().map(|(_, session)| session).collect()
    }

    /// All that was relayed since it was asked last.
    pub(crate) fn accounts(&self) -> Traffic {
        let accounts = self.wait(self.control.accounts());
        assert_eq!(accounts.missing, [0; 0]);
        let mut sum = Traffic::default();
        accounts.accounts.iter().for_each(|account| sum.add(&account.traffic));
        sum
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::sum(self.relays.published().iter().map(|published| &**published))
    }

    pub(crate) fn await_counter(&self, id: CounterId, expected: u64) {
        eventually(PATIENCE, "a counter", || (self.snapshot().value(id) == expected).then_some(()));
    }
}

/// Bytes that came from clients and peers, as the counters say; waits until those are published.
pub(crate) fn relayed_by_counters(house: &House, expected: u64) -> u64 {
    let sum = || {
        let snapshot = house.snapshot();
        let ways = [Direction::FromClient, Direction::FromPeer];
        let all = Transport::ALL.iter().flat_map(|transport| ways.map(|way| relay_bytes(way, *transport)));
        all.map(|id| snapshot.value(id)).sum::<u64>()
    };
    eventually(PATIENCE, "the counters are published", || Some(sum()).filter(|sum| *sum >= expected))
}
