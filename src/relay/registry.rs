//! What all drivers of a core share, behind one lock that is taken when an allocation is made or ends.

use super::mailbox::{Command, Mailbox};
use super::parked::Waiting;
use super::question::Question;
use crate::base::Timestamp;
use crate::turn::{
    Bandwidth, Grant, Lease, Ledger, LivePorts, OpenError, OpenRequest, PortUse, RelayAddress, SessionEvent,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::mpsc;

/// The ledger, the way to each driver, and connections on their way from one to another.
#[derive(Debug)]
pub struct Registry {
    ledger: Mutex<Ledger>,
    mailboxes: OnceLock<Vec<Mailbox>>,
    waiting: Waiting,
    followers: OnceLock<mpsc::Sender<Following>>,
}

/// What became of a session, and the number of its driver.
pub type Following = (usize, SessionEvent);

impl Registry {
    /// Shared books.
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger: Mutex::new(ledger),
            mailboxes: OnceLock::new(),
            waiting: Waiting::default(),
            followers: OnceLock::new(),
        }
    }

    /// Makes the drivers known to each other; once, when all of them exist.
    pub fn connect(&self, mailboxes: Vec<Mailbox>) {
        let _already_connected = self.mailboxes.set(mailboxes);
    }

    /// Allocations that live, on all of them.
    pub fn allocations(&self) -> u32 {
        self.ledger().allocations()
    }

    /// How many there may be; `None` for as many as there are ports.
    pub fn allocations_max(&self) -> Option<u32> {
        self.ledger().allocations_max()
    }

    /// Relay ports by state.
    pub fn port_use(&self) -> PortUse {
        self.ledger().port_use()
    }

    /// For the peer policy.
    pub fn live_ports(&self) -> Vec<(RelayAddress, Arc<LivePorts>)> {
        self.ledger().live_ports()
    }

    /// New limits; what is allocated stays.
    pub fn set_limits(&self, allocations_per_user: u32, allocations_total: u32) {
        self.ledger().set_limits(allocations_per_user, allocations_total);
    }

    /// New limits of bandwidth, as far as new allocations feel them; servers learn them with their settings.
    pub fn set_bandwidth(&self, bandwidth: Bandwidth) {
        self.ledger().set_bandwidth(bandwidth);
    }

    /// The limits of bandwidth in force.
    pub fn bandwidth(&self) -> Bandwidth {
        self.ledger().bandwidth()
    }

    /// Posts a command to every driver. Returns whether all took it.
    pub fn broadcast(&self, command: impl Fn() -> Command) -> bool {
        let refused = self.mailboxes().iter().filter(|mailbox| !mailbox.post(command()));
        refused.count() == 0
    }

    /// Connections to peers that wait for their clients.
    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Starts and ends of all sessions from now on. No driver waits for whoever reads: what finds `capacity` events
    /// unread is lost, and counted. `None` when somebody follows already.
    pub fn follow(&self, capacity: usize) -> Option<mpsc::Receiver<Following>> {
        let (sender, receiver) = mpsc::channel(capacity);
        self.followers.set(sender).is_ok().then_some(receiver)
    }

    pub(super) fn followers(&self) -> Option<&mpsc::Sender<Following>> {
        self.followers.get()
    }

    /// Asks one driver. `false` when its mailbox is full or it is gone.
    pub fn ask(&self, driver: usize, question: Question) -> bool {
        self.post(driver, Command::Ask(question))
    }

    /// As [`Registry::broadcast`] to one driver.
    pub fn tell(&self, driver: usize, command: Command) -> bool {
        self.post(driver, command)
    }

    /// Posts a command to one driver. Returns whether it took it.
    pub(super) fn post(&self, driver: usize, command: Command) -> bool {
        self.mailboxes().get(driver).is_some_and(|mailbox| mailbox.post(command))
    }

    /// How many drivers of a core there are.
    pub fn drivers(&self) -> usize {
        self.mailboxes().len()
    }

    pub(super) fn open(&self, now: Timestamp, request: &OpenRequest) -> Result<Grant, OpenError> {
        self.ledger().open(now, request)
    }

    /// Whether one allocation less would make room for `request`.
    pub(super) fn is_one_too_many(&self, request: &OpenRequest) -> bool {
        self.ledger().over_quota(request) == 1
    }

    pub(super) fn lease_again(&self, now: Timestamp, request: &OpenRequest) -> Result<Grant, OpenError> {
        self.ledger().lease_again(now, request)
    }

    pub(super) fn exchange(&self, now: Timestamp, lease: Lease, even: bool) -> Option<Lease> {
        self.ledger().exchange(now, lease, even)
    }

    pub(super) fn bound(&self, lease: &Lease) {
        self.ledger().bound(lease);
    }

    pub(super) fn close_port(&self, now: Timestamp, internal: SocketAddr) {
        self.ledger().close_port(now, internal);
    }

    pub(super) fn cancel_reservation(&self, now: Timestamp, token: [u8; 8]) {
        self.ledger().cancel_reservation(now, token);
    }

    pub(super) fn end(&self, subject: &str) {
        self.ledger().end(subject);
    }

    fn mailboxes(&self) -> &[Mailbox] {
        self.mailboxes.get().map_or(&[], Vec::as_slice)
    }

    /// A panic of one driver must not take the others along: the books are sound after each call.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
