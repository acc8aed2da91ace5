//! What all shards share, behind one lock that is taken when an allocation is made or ends.

use super::mailbox::{Command, Mailbox};
use crate::auth::CredentialId;
use crate::base::Timestamp;
use crate::turn::{
    AllocationId, Grant, Lease, Ledger, LivePorts, OpenError, OpenRequest, PortUse, RelayAddress,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The ledger, who has how many allocations on which shard, and the way to each shard.
#[derive(Debug)]
pub struct Registry {
    books: Mutex<Books>,
    mailboxes: OnceLock<Vec<Mailbox>>,
    shards: usize,
}

#[derive(Debug)]
struct Books {
    ledger: Ledger,
    /// Allocations of a subject by shard; kept only where there are several shards.
    spread: HashMap<Arc<str>, Vec<u32>>,
}

impl Registry {
    /// Shared books of `shards` shards.
    pub fn new(ledger: Ledger, shards: usize) -> Self {
        let books = Mutex::new(Books { ledger, spread: HashMap::new() });
        Self { books, mailboxes: OnceLock::new(), shards }
    }

    /// Makes the shards known to each other; once, when all of them exist.
    pub fn connect(&self, mailboxes: Vec<Mailbox>) {
        let _already_connected = self.mailboxes.set(mailboxes);
    }

    /// Allocations that live, on all shards.
    pub fn allocations(&self) -> u32 {
        self.books().ledger.allocations()
    }

    /// Relay ports by state.
    pub fn port_use(&self) -> PortUse {
        self.books().ledger.port_use()
    }

    /// For the peer policy.
    pub fn live_ports(&self) -> Vec<(RelayAddress, Arc<LivePorts>)> {
        self.books().ledger.live_ports()
    }

    /// New limits; what is allocated stays.
    pub fn set_limits(&self, allocations_per_user: u32, allocations_total: u32) {
        self.books().ledger.set_limits(allocations_per_user, allocations_total);
    }

    /// Posts a command to every shard. Returns whether all took it.
    pub fn broadcast(&self, command: impl Fn() -> Command) -> bool {
        let refused = self.mailboxes().iter().filter(|mailbox| !mailbox.post(command()));
        refused.count() == 0
    }

    pub(super) fn open(
        &self,
        now: Timestamp,
        shard: usize,
        request: &OpenRequest,
    ) -> Result<Grant, OpenError> {
        let mut books = self.books();
        let grant = books.ledger.open(now, request)?;
        self.shift(&mut books, shard, &request.subject, 1);
        Ok(grant)
    }

    pub(super) fn exchange(&self, now: Timestamp, lease: Lease, even: bool) -> Option<Lease> {
        self.books().ledger.exchange(now, lease, even)
    }

    pub(super) fn bound(&self, lease: &Lease) {
        self.books().ledger.bound(lease);
    }

    pub(super) fn close_port(&self, now: Timestamp, internal: SocketAddr) {
        self.books().ledger.close_port(now, internal);
    }

    pub(super) fn cancel_reservation(&self, now: Timestamp, token: [u8; 8]) {
        self.books().ledger.cancel_reservation(now, token);
    }

    pub(super) fn end(&self, shard: usize, subject: &Arc<str>) {
        let mut books = self.books();
        books.ledger.end(subject);
        self.shift(&mut books, shard, subject, -1);
    }

    /// Asks the other shards that serve `subject` to end an idle allocation of `credential`. Returns
    /// how many will answer.
    pub(super) fn ask_to_evict(
        &self,
        shard: usize,
        subject: &Arc<str>,
        credential: CredentialId,
        allocation: AllocationId,
    ) -> usize {
        let holders = match self.books().spread.get(subject) {
            Some(counts) => counts.clone(),
            None => return 0,
        };
        let others = self.mailboxes().iter().zip(holders).enumerate();
        let asked = others.filter(|(other, (mailbox, count))| {
            let subject = Arc::clone(subject);
            *other != shard
                && *count > 0
                && mailbox.post(Command::EvictIdle { subject, credential, asker: shard, allocation })
        });
        asked.count()
    }

    pub(super) fn answer_eviction(&self, asker: usize, allocation: AllocationId) {
        if let Some(mailbox) = self.mailboxes().get(asker) {
            mailbox.post(Command::EvictionTried { allocation });
        }
    }

    /// Counts an allocation of `subject` on `shard`, and tells the shards that share its rates.
    fn shift(&self, books: &mut Books, shard: usize, subject: &Arc<str>, by: i32) {
        if self.shards < 2 {
            return;
        }
        let counts = books.spread.entry(Arc::clone(subject)).or_insert_with(|| vec![0; self.shards]);
        counts[shard] = counts[shard].saturating_add_signed(by);
        let total: u32 = counts.iter().sum();
        for (mailbox, count) in self.mailboxes().iter().zip(counts.iter()) {
            // One that has all of them, now and before, needs no telling.
            if *count > 0 && *count < total + u32::from(by < 0) {
                mailbox.post(Command::SubjectTotal { subject: Arc::clone(subject), total });
            }
        }
        if total == 0 {
            books.spread.remove(subject);
        }
    }

    fn mailboxes(&self) -> &[Mailbox] {
        self.mailboxes.get().map_or(&[], Vec::as_slice)
    }

    /// A panic of one shard must not take the others along: the books are sound after each call.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
