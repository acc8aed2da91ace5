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
}

impl Admittance {
    pub(super) fn new(settings: &auth::Settings, credentials: Credentials) -> Self {
        let authenticator = Arc::new(Authenticator::with_stored(settings, &credentials.users));
        Self { settings: settings.clone(), credentials, authenticator }
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
        self.credentials.revocations = revocations;
    }

    fn prepare(&mut self) {
        self.authenticator = Arc::new(Authenticator::with_stored(&self.settings, &self.credentials.users));
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
