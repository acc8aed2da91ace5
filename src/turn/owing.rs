//! What the ledger knows of bandwidth: whom it refuses, and what a subject owes after its last allocation.

use super::bandwidth::Bandwidth;
use super::error::OpenError;
use super::ledger::Ledger;
use super::shares::Shares;
use crate::base::Timestamp;
use std::sync::Arc;

/// Subjects without allocations that are remembered for what they owe; one more is forgotten.
pub const SUBJECTS_RESTING_MAX: usize = 1 << 16;

/// Subjects that are looked at with each allocation; an allocation ends for each that begins.
const RESTED_AT_ONCE: usize = 4;

impl Ledger {
    /// New limits of bandwidth, and whether new allocations feel them, too.
    pub fn set_bandwidth(&mut self, bandwidth: Bandwidth) {
        self.bandwidth = bandwidth;
    }

    /// The limits of bandwidth in force.
    pub fn bandwidth(&self) -> Bandwidth {
        self.bandwidth
    }

    /// What all servers spend together is looked at in `shares`.
    pub fn share_bandwidth(&mut self, shares: Arc<Shares>) {
        self.shares = shares;
    }

    /// With `limits.over_total = "refuse"`: no new allocation where those that live want more than there is.
    pub(super) fn check_bandwidth(&self, now: Timestamp, subject: &str) -> Result<(), OpenError> {
        let Bandwidth { per_user, total, refuses, .. } = self.bandwidth;
        let account = self.subjects.get(subject).filter(|_| refuses && per_user.is_some());
        if account.is_some_and(|account| account.allocations.bandwidth().is_over(now)) {
            return Err(OpenError::UserBandwidth);
        }
        if refuses && total.is_some() && self.shares.is_over(now) {
            return Err(OpenError::TotalBandwidth);
        }
        Ok(())
    }

    /// Forgets a subject that holds nothing. One that has relayed under a limit rests first: whoever ends his
    /// allocations and makes others shall not find his bucket full.
    pub(super) fn forget_if_empty(&mut self, subject: &str) {
        if self.held_by(subject) > 0 {
            return;
        }
        let Some((name, account)) = self.subjects.get_key_value(subject) else { return };
        if account.rests {
            return;
        }
        if account.allocations.bandwidth().is_untouched() || self.resting.len() >= SUBJECTS_RESTING_MAX {
            self.subjects.remove(subject);
            return;
        }
        self.resting.push_back(Arc::clone(name));
        if let Some(account) = self.subjects.get_mut(subject) {
            account.rests = true;
        }
    }

    /// Looks at a few of those that rest: more than can have come since the last time.
    pub(super) fn forget_rested(&mut self, now: Timestamp) {
        for _ in 0..RESTED_AT_ONCE {
            let Some(name) = self.resting.pop_front() else { return };
            let holds_none = self.held_by(&name) == 0;
            let Some(account) = self.subjects.get_mut(&name) else { continue };
            if holds_none && !account.allocations.bandwidth().is_full(now) {
                self.resting.push_back(name);
                continue;
            }
            account.rests = false;
            if holds_none {
                self.subjects.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LedgerSettings, OpenRequest, PeerProtocol, PortParity, PortRange, RelayAddress};
    use super::*;
    use crate::base::Random;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    /// Allocates as `subject`, relays a second's worth of any limit, and ends it.
    fn relay_and_leave(ledger: &mut Ledger, now: Timestamp, subject: &str) {
        let request = OpenRequest {
            subject: subject.into(),
            allocations_max: None,
            families: [true, false],
            protocol: PeerProtocol::Udp,
            parity: PortParity::Any,
            token: None,
            local: Ipv4Addr::LOCALHOST.into(),
        };
        let grant = ledger.open(now, &request).expect("room");
        grant.total.bandwidth().spend(now, 1_000_000_000);
        ledger.close_port(now, grant.leases[0].expect("v4").internal);
        ledger.end(subject);
    }

    fn ledger() -> Ledger {
        let address = Ipv4Addr::LOCALHOST.into();
        let settings = LedgerSettings {
            addresses: vec![RelayAddress { internal: address, external: address }],
            ports: PortRange { first: 50_000, last: 50_099 },
            quarantine: Duration::ZERO,
            allocations_per_user: 1,
            allocations_total: 0,
        };
        Ledger::new(&settings, Random::seeded(1))
    }

    #[test]
    fn who_owes_is_remembered_until_it_is_paid_off_and_not_longer() {
        let (mut ledger, mut now) = (ledger(), Timestamp::from_secs(50));
        for n in 0..100 {
            relay_and_leave(&mut ledger, now, &format!("subject-{n}"));
        }
        assert_eq!((ledger.subjects.len(), ledger.resting.len()), (100, 100));
        now = now.after(Duration::from_secs(2));
        for _ in 0..40 {
            relay_and_leave(&mut ledger, now, "one");
        }
        assert_eq!((ledger.subjects.len(), ledger.resting.len()), (1, 1), "only the one who owes");
        assert!(ledger.subjects["one"].rests);
    }

    #[test]
    fn the_books_of_who_owes_are_bounded() {
        let (mut ledger, now) = (ledger(), Timestamp::from_secs(50));
        for n in 0..SUBJECTS_RESTING_MAX + 100 {
            relay_and_leave(&mut ledger, now, &n.to_string());
        }
        assert_eq!(
            (ledger.subjects.len(), ledger.resting.len()),
            (SUBJECTS_RESTING_MAX, SUBJECTS_RESTING_MAX)
        );
    }
}
