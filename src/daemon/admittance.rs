//! Whom drivers let in.

use crate::auth::{self, Authenticator, Revocations, StoredUser};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What came from elsewhere than the config and holds over a reload.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Static users that the config does not know.
    pub users: Vec<StoredUser>,
    /// Credentials that are void before their time.
    pub revocations: Arc<Revocations>,
}

/// Whom drivers let in: by the config, and by what came since.
#[derive(Debug)]
pub(super) struct Admittance {
    settings: auth::Settings,
    credentials: Credentials,
    authenticator: Arc<Authenticator>,
    replaced: Replaced,
}

/// What drivers may still have, and are to replace. It is kept here so that none of them is the last to have it: to free a
/// hundred thousand orders or users takes some 20 ms, for which packets would wait.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    revocations: Vec<Arc<Revocations>>,
    authenticators: Vec<Arc<Authenticator>>,
}

impl Replaced {
    /// Takes out what nobody else has.
    fn given_up(&mut self) -> Self {
        Self {
            revocations: given_up(&mut self.revocations),
            authenticators: given_up(&mut self.authenticators),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.revocations.is_empty() && self.authenticators.is_empty()
    }
}

fn given_up<T>(replaced: &mut Vec<Arc<T>>) -> Vec<Arc<T>> {
    let (given_up, kept) = std::mem::take(replaced).into_iter().partition(|one| Arc::strong_count(one) == 1);
    *replaced = kept;
    given_up
}

impl Admittance {
    pub(super) fn new(settings: &auth::Settings, credentials: Credentials) -> Self {
        let authenticator = Arc::new(Authenticator::with_stored(settings, &credentials.users));
        Self { settings: settings.clone(), credentials, authenticator, replaced: Replaced::default() }
    }

    /// The config has changed.
    pub(super) fn reload(&mut self, settings: &auth::Settings) {
        self.settings = settings.clone();
        self.prepare();
    }

    pub(super) fn set_users(&mut self, users: Vec<StoredUser>) {
        self.credentials.users = users;
        self.prepare();
    }

    pub(super) fn set_revocations(&mut self, revocations: Arc<Revocations>) {
        let before = std::mem::replace(&mut self.credentials.revocations, revocations);
        self.replaced.revocations.push(before);
    }

    fn prepare(&mut self) {
        let authenticator = Arc::new(Authenticator::with_stored(&self.settings, &self.credentials.users));
        let before = std::mem::replace(&mut self.authenticator, authenticator);
        self.replaced.authenticators.push(before);
    }

    /// What no driver has any more, to be dropped where nobody waits for it. To be called with every change, and now and
    /// then.
    pub(super) fn given_up(&mut self) -> Replaced {
        self.replaced.given_up()
    }

    pub(super) fn authenticator(&self) -> Arc<Authenticator> {
        Arc::clone(&self.authenticator)
    }

    pub(super) fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(&self.credentials.revocations)
    }
}

/// Locked while a driver is told, so that each hears last what came last.
pub(super) fn lock(admittance: &Mutex<Admittance>) -> MutexGuard<'_, Admittance> {
    admittance.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_replaced_is_given_up_once_no_driver_has_it_so_that_none_frees_it() {
        let mut admittance = Admittance::new(&auth::Settings::of_nobody(), Credentials::default());
        let (orders, users) = (admittance.revocations(), admittance.authenticator());
        let (weak_orders, weak_users) = (Arc::downgrade(&orders), Arc::downgrade(&users));
        admittance.set_revocations(Arc::default());
        admittance.set_users(Vec::new());
        assert!(admittance.given_up().is_empty(), "a driver has both");
        drop((orders, users));
        assert!(
            weak_orders.strong_count() == 1 && weak_users.strong_count() == 1,
            "the driver freed neither"
        );
        let given_up = admittance.given_up();
        assert_eq!((given_up.revocations.len(), given_up.authenticators.len()), (1, 1));
        drop(given_up);
        assert!(weak_orders.strong_count() == 0 && weak_users.strong_count() == 0);
        assert!(admittance.replaced.is_empty());
    }
}
