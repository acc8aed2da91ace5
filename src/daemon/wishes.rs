//! What all drivers are to do, and which of them have not heard it yet.

use super::admittance::Admittance;
use crate::relay::{Command, ShardUpdate};
use std::collections::BTreeSet;

/// Settings and drain as they were asked for last, told to each driver until it takes them: a mailbox may be full.
#[derive(Debug)]
pub(super) struct Wishes {
    update: ShardUpdate,
    draining: bool,
    /// Drivers that are to hear of the settings.
    without_update: BTreeSet<usize>,
    /// Drivers that are to hear of the drain.
    without_drain: BTreeSet<usize>,
}

impl Wishes {
    /// What every driver began with.
    pub(super) fn new(update: ShardUpdate) -> Self {
        Self { update, draining: false, without_update: BTreeSet::new(), without_drain: BTreeSet::new() }
    }

    /// So many drivers are to hear of other settings.
    pub(super) fn update(&mut self, update: ShardUpdate, drivers: usize) {
        self.update = update;
        self.without_update = (0..drivers).collect();
    }

    /// So many drivers are to hear that they drain, or that they do not any more.
    pub(super) fn drain(&mut self, draining: bool, drivers: usize) {
        self.draining = draining;
        self.without_drain = (0..drivers).collect();
    }

    /// Tells those who have not heard, as far as `post` succeeds; whom to let in is taken from `admittance`, where it
    /// may have changed since the settings did. Returns whether all have heard.
    pub(super) fn tell(
        &mut self,
        admittance: &Admittance,
        mut post: impl FnMut(usize, Command) -> bool,
    ) -> bool {
        if !self.without_update.is_empty() {
            self.update.authenticator = admittance.authenticator();
            self.update.revocations = admittance.revocations();
        }
        let update = &self.update;
        self.without_update.retain(|driver| !post(*driver, Command::Reload(update.clone())));
        self.without_drain.retain(|driver| !post(*driver, Command::Drain(self.draining)));
        self.without_update.is_empty() && self.without_drain.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::admittance::Credentials;
    use super::*;
    use crate::auth::{self, Revocation, Revocations, Target};
    use crate::base::UnixTime;
    use crate::turn::{OwnAddresses, PeerPolicy, PeerRules};
    use std::sync::Arc;

    fn admittance() -> Admittance {
        Admittance::new(&auth::Settings::of_nobody(), Credentials::default())
    }

    fn update(admittance: &Admittance) -> ShardUpdate {
        let own = OwnAddresses { relays: Vec::new(), hosts: Vec::new(), endpoints: Vec::new() };
        ShardUpdate {
            settings: Arc::default(),
            authenticator: admittance.authenticator(),
            policy: PeerPolicy::new(PeerRules::default(), own),
            revocations: admittance.revocations(),
        }
    }

    #[test]
    fn a_busy_driver_is_told_once_it_has_time_and_then_no_more() {
        let mut admittance = admittance();
        let mut wishes = Wishes::new(update(&admittance));
        let never = |_, _: Command| panic!("there is nothing to tell");
        assert!(wishes.tell(&admittance, never));
        wishes.update(update(&admittance), 2);
        wishes.drain(true, 2);
        assert!(!wishes.tell(&admittance, |driver, _| driver == 0));

        // Somebody is banned, and the drain is over, before the busy one has heard of anything.
        let ban = Revocation { target: Target::Subject("mallory".into()), at: UnixTime(1), until: None };
        admittance.set_revocations(Arc::new(Revocations::new(&[ban])));
        wishes.drain(false, 2);
        let mut told = Vec::new();
        assert!(wishes.tell(&admittance, |driver, command| {
            told.push(match command {
                Command::Reload(update) => format!("{driver} bans: {}", !update.revocations.is_empty()),
                Command::Drain(draining) => format!("{driver} drains: {draining}"),
                other => panic!("{other:?}"),
            });
            true
        }));
        assert_eq!(told, ["1 bans: true", "0 drains: false", "1 drains: false"]);
        assert!(wishes.tell(&admittance, never));
    }
}
