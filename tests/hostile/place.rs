//! A daemon with signaling, and what it takes while others attack it.

use crate::daemon::{Config, Daemon, PATIENCE, eventually, free_port, loopback};
use crate::honest::Pair;
use crate::token::Signer;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What signs the tokens.
pub(crate) const TOKEN_SECRET: &str = "another-secret-of-at-least-32-bytes";

/// The page that may connect.
pub(crate) const PAGE: &str = "https://app.example.org";

pub(crate) struct Place {
    pub(crate) daemon: Daemon,
    pub(crate) public: SocketAddr,
    pub(crate) config: Config,
}

/// The config of a place, with more sections.
pub(crate) fn config(sections: &str) -> Config {
    let sections = format!("[signaling]\norigins = [\"{PAGE}\"]\n{sections}");
    let auth = format!("[auth.jwt]\nsecret = \"{TOKEN_SECRET}\"\n");
    Config { public: Some(loopback(free_port())), sections: format!("{auth}{sections}"), ..Config::default() }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::of(config(""))
    }

    pub(crate) fn of(config: Config) -> Self {
        let daemon = Daemon::start(&config);
        Self { daemon, public: config.public.unwrap(), config }
    }

    /// With two honest clients in a call.
    pub(crate) fn with_pair() -> (Self, Pair) {
        let place = Self::new();
        let pair = Pair::in_call(&place);
        (place, pair)
    }

    /// Resident memory of the daemon, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Waits until the daemon does nothing: a loop that spins never does.
    #[track_caller]
    pub(crate) fn rests(&self) {
        eventually(PATIENCE, "the daemon rests", || {
            let before = self.daemon.cpu_s();
            let since = Instant::now();
            while since.elapsed() < Duration::from_millis(250) {
                std::thread::park_timeout(Duration::from_millis(50));
            }
            (self.daemon.cpu_s() - before <= 0.03).then_some(())
        });
    }

    pub(crate) fn gauge(&self, prefix: &str) -> f64 {
        self.daemon.metrics().sum(prefix)
    }

    /// Waits until exactly so many connections are left.
    #[track_caller]
    pub(crate) fn await_connections(&self, count: usize) {
        let what = format!("{count} connections");
        eventually(PATIENCE, &what, || {
            (self.gauge("turnstone_ws_connections{") == count as f64).then_some(())
        });
    }
}

/// A token of a user, good for an hour.
pub(crate) fn token(user: &str) -> String {
    signed(&json!({ "sub": user, "exp": now() + 3600 }))
}

pub(crate) fn signed(claims: &Value) -> String {
    Signer::secret(TOKEN_SECRET).token(claims)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// `many` in a full run, else `few`.
pub(crate) fn full_or(many: usize, few: usize) -> usize {
    let seeds = std::env::var("TURNSTONE_SEEDS").ok().and_then(|seeds| seeds.parse::<u64>().ok());
    if seeds.is_some_and(|seeds| seeds > 200) { many } else { few }
}
