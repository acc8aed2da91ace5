//! What the daemon tells about itself: the sources of `/readyz` and `/metrics`.

use super::relays::Relays;
use crate::http::api::MintCounts;
use crate::http::{CertificateState, PortCounts, PublicRefusals, Readiness, Reload, Sources};
use crate::metrics::Published;
use crate::relay::Registry;
use crate::storage::{Health, Store, StoreError};
use crate::turn::Bandwidth;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

/// Beats that a shard may miss before it counts as stalled: ten seconds.
pub(super) const MISSED_BEATS_MAX: u64 = 5;

/// Shared between the control loop, which writes, and HTTP, which reads.
#[derive(Debug)]
pub(super) struct State {
    published: Vec<Arc<Published>>,
    signaling: OnceLock<Arc<Published>>,
    registry: Arc<Registry>,
    draining: AtomicBool,
    stalled: Mutex<Vec<usize>>,
    stalled_signaling: AtomicBool,
    reload_successful: AtomicBool,
    reload_success_unix: AtomicU64,
    certificates: Mutex<Option<CertificateState>>,
    refusals: PublicRefusals,
    mint_counts: MintCounts,
    store: Store,
    stalled_storage: AtomicBool,
    unknown_revocations: AtomicBool,
}

impl State {
    pub(super) fn new(relays: &Relays, store: Store) -> Self {
        Self {
            published: relays.published().to_vec(),
            signaling: OnceLock::new(),
            registry: relays.registry_handle(),
            draining: AtomicBool::new(false),
            stalled: Mutex::default(),
            stalled_signaling: AtomicBool::new(false),
            reload_successful: AtomicBool::new(true),
            reload_success_unix: AtomicU64::new(unix_now()),
            certificates: Mutex::default(),
            refusals: PublicRefusals::default(),
            mint_counts: MintCounts::default(),
            store,
            stalled_storage: AtomicBool::new(false),
            unknown_revocations: AtomicBool::new(false),
        }
    }

    /// Notes where the signaling thread counts.
    pub(super) fn signaling(&self, published: &Arc<Published>) {
        self.signaling.get_or_init(|| Arc::clone(published));
    }

    /// Notes which shards show no life.
    pub(super) fn look(&self, relays: &Relays) {
        *self.stalled.lock().unwrap_or_else(PoisonError::into_inner) = relays.stalled(MISSED_BEATS_MAX);
    }

    /// Notes whether the signaling thread shows no life; `true` when that is news.
    pub(super) fn signaling_stalls(&self, stalls: bool) -> bool {
        !self.stalled_signaling.swap(stalls, Ordering::Relaxed) && stalls
    }

    /// Asks the storage for a sign of life; `true` when it is news that it gives none.
    pub(super) fn storage_stalls(&self) -> bool {
        self.store.beat();
        let stalls = self.store.health().trouble == Some(StoreError::Stalled);
        !self.stalled_storage.swap(stalls, Ordering::Relaxed) && stalls
    }

    /// Notes that nobody knows what was revoked before the start.
    pub(super) fn revocations_are_unknown(&self) {
        self.unknown_revocations.store(true, Ordering::Relaxed);
    }

    pub(super) fn drain(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Notes what is known of the certificates, unless TLS is off.
    pub(super) fn certificates(&self, state: Option<CertificateState>) {
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn reloaded(&self, successful: bool) {
        self.reload_successful.store(successful, Ordering::Relaxed);
        if successful {
            self.reload_success_unix.store(unix_now(), Ordering::Relaxed);
        }
    }
}

impl Sources for State {
    fn shards(&self) -> &[Arc<Published>] {
        &self.published
    }

    fn signaling(&self) -> Option<&Arc<Published>> {
        self.signaling.get()
    }

    fn relay_ports(&self) -> PortCounts {
        let ports = self.registry.port_use();
        PortCounts { used: ports.used as u64, free: ports.free as u64, quarantined: ports.quarantined as u64 }
    }

    fn bandwidth(&self) -> Bandwidth {
        self.registry.bandwidth()
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            starting: false,
            draining: self.draining.load(Ordering::Relaxed),
            stalled_signaling: self.stalled_signaling.load(Ordering::Relaxed),
            stalled_workers: self.stalled.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            storage: self.store.health().trouble.map(|trouble| trouble.to_string()),
            unknown_revocations: self.unknown_revocations.load(Ordering::Relaxed),
        }
    }

    fn certificates(&self) -> Option<CertificateState> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn last_reload(&self) -> Reload {
        Reload {
            successful: self.reload_successful.load(Ordering::Relaxed),
            success_unix: self.reload_success_unix.load(Ordering::Relaxed),
        }
    }

    fn storage(&self) -> Option<Health> {
        Some(self.store.health())
    }

    fn public_refusals(&self) -> &PublicRefusals {
        &self.refusals
    }

    fn mint_counts(&self) -> &MintCounts {
        &self.mint_counts
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
