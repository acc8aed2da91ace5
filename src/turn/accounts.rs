//! Who relayed how much, in parts that are each told once.
//!
//! ```text
//! packet path: Allocation.tally.traffic --.        taken in pages, all the time
//! connections: Meter --------------------.|
//!                                        vv
//!                              (traffic - taken) ---> Account by key
//! allocation ends: what is left of it ---> Books ---> Account by key
//! ```
//! Nothing is told twice and nothing is lost: what a page tells is taken at the same moment, and what was not taken
//! when an allocation ended waits in the [`Books`].

use super::allocation::{Allocation, Slot};
use super::server::Server;
use crate::base::{Now, Timestamp, Traffic, Transport};
use crate::metrics::{Direction, accounts_merged};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What traffic is counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountKey {
    /// Whose; [`AccountKey::OTHERS`] where too many left at once to tell them apart.
    pub subject: Arc<str>,
    /// The label of the credential.
    pub label: Option<Arc<str>>,
    /// The call that the credential was made for.
    pub call_id: Option<Arc<str>>,
    /// The own address that the client talks to.
    pub door: SocketAddr,
    /// How.
    pub transport: Transport,
}

impl AccountKey {
    /// The subject of a row of many. No credential has it.
    pub const OTHERS: &'static str = "";
}

/// What was relayed under a key since it was told of last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// For whom. Pages may name the same key more than once.
    pub key: AccountKey,
    /// How much; never nothing.
    pub traffic: Traffic,
}

/// A part of all accounts of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountsPage {
    /// At most [`Server::PAGE_SLOTS`] of allocations, and as many of what has ended.
    pub accounts: Vec<Account>,
    /// Where to go on; `None` at the end.
    pub next: Option<u32>,
}

/// What an allocation relayed, what of it was told, and how fast it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    /// Counted on the packet path.
    pub(super) traffic: Traffic,
    pub(super) rate: Traffic,
    taken: Traffic,
    taken_at: Timestamp,
}

impl Tally {
    pub(super) fn new(now: Timestamp) -> Self {
        let none = Traffic::default();
        Self { traffic: none, rate: none, taken: none, taken_at: now }
    }
}

/// What connections between a client and its peers carry (RFC 6062). Their bytes never pass the server, and may pass
/// another thread, where their client came to; so the thread that has them counts here.
#[derive(Debug, Default)]
pub struct Meter {
    from_client: Way,
    from_peer: Way,
}

#[derive(Debug, Default)]
struct Way {
    bytes: AtomicU64,
    reads: AtomicU64,
}

impl Meter {
    /// Counts what was read from one side; what is written to the other side was counted then.
    pub fn count(&self, way: Direction, bytes: usize) {
        let way = match way {
            Direction::FromClient => &self.from_client,
            Direction::FromPeer => &self.from_peer,
            Direction::ToClient | Direction::ToPeer => return,
        };
        way.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        way.reads.fetch_add(u64::from(bytes > 0), Ordering::Relaxed);
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            bytes_from_client: self.from_client.bytes.load(Ordering::Relaxed),
            bytes_from_peer: self.from_peer.bytes.load(Ordering::Relaxed),
            packets_from_client: self.from_client.reads.load(Ordering::Relaxed),
            packets_from_peer: self.from_peer.reads.load(Ordering::Relaxed),
        }
    }
}

/// What ended allocations have relayed and nobody was told yet.
#[derive(Debug)]
pub(super) struct Books {
    rows: Vec<Account>,
    /// Places in `rows`.
    by_key: HashMap<AccountKey, usize, ahash::RandomState>,
    /// Allocations whose connections may outlive them by a moment.
    parting: Vec<Parting>,
}

#[derive(Debug)]
struct Parting {
    key: AccountKey,
    meter: Arc<Meter>,
    taken: Traffic,
}

/// Rows of what has ended. A row is a subject with all that is in its key, so this is more than come and go within a
/// second; without anybody who takes them, it is where memory ends.
const ROWS_MAX: usize = 4096;

/// Meters of ended allocations that are kept before those are dropped that nobody counts with any more: twice the
/// connections there may be, so that this gives room for as many.
const PARTING_MAX: usize = 8192;

impl Books {
    /// `hasher`: keys hold what clients chose.
    pub(super) fn new(hasher: ahash::RandomState) -> Self {
        Self { rows: Vec::new(), by_key: HashMap::with_hasher(hasher), parting: Vec::new() }
    }

    /// Returns whether `traffic` had to be counted under its door alone.
    fn add(&mut self, mut key: AccountKey, traffic: &Traffic) -> bool {
        if traffic.is_zero() {
            return false;
        }
        let merged = self.rows.len() >= ROWS_MAX && !self.by_key.contains_key(&key);
        if merged {
            // One row for each door, on top of all.
            key = AccountKey { subject: AccountKey::OTHERS.into(), label: None, call_id: None, ..key };
        }
        match self.by_key.get(&key) {
            Some(at) => self.rows[*at].traffic.add(traffic),
            None => {
                self.by_key.insert(key.clone(), self.rows.len());
                self.rows.push(Account { key, traffic: *traffic });
            }
        }
        merged
    }

    /// Moves up to `count` rows to `accounts`.
    fn take(&mut self, count: usize, accounts: &mut Vec<Account>) {
        for account in self.rows.drain(self.rows.len().saturating_sub(count)..) {
            self.by_key.remove(&account.key);
            accounts.push(account);
        }
    }

    /// Books what connections carried after the end of their allocation, and forgets those that are gone.
    fn settle(&mut self) {
        for mut parting in std::mem::take(&mut self.parting) {
            // Asked first: what is counted before the last holder lets go is seen.
            let over = Arc::get_mut(&mut parting.meter).is_some();
            let traffic = parting.meter.traffic();
            self.add(parting.key.clone(), &traffic.since(&parting.taken));
            if !over {
                self.parting.push(Parting { taken: traffic, ..parting });
            }
        }
    }
}

impl Server {
    /// Takes a part of what was relayed since it was taken last, and sets the rates of the allocations in it. Call with
    /// 0, then with `next` of the page before until there is none; other inputs may come between.
    ///
    /// Looks at [`Server::PAGE_SLOTS`] places at most.
    pub fn take_accounts(&mut self, now: Now, from: u32) -> AccountsPage {
        if from == 0 {
            self.books.settle();
        }
        let (slots, next) = self.page(from);
        let mut accounts = Vec::new();
        for index in slots {
            if let Some(Slot::Live(allocation)) = self.allocations.get_mut(index as usize)
                && let Some(account) = allocation.take_account(now)
            {
                accounts.push(account);
            }
        }
        if next.is_some() {
            return AccountsPage { accounts, next };
        }
        self.books.take(Self::PAGE_SLOTS as usize, &mut accounts);
        AccountsPage { accounts, next: (!self.books.rows.is_empty()).then_some(u32::MAX) }
    }

    /// Takes accounts back that nobody read.
    pub fn return_accounts(&mut self, accounts: Vec<Account>) {
        for Account { key, traffic } in accounts {
            self.book(key, &traffic);
        }
    }

    /// Keeps what an allocation that is gone has relayed and nobody was told.
    pub(super) fn close_account(&mut self, allocation: &Allocation) {
        let key = allocation.account_key();
        let mut rest = allocation.tally.traffic;
        if let Some(tcp) = &allocation.tcp {
            let carried = tcp.meter().traffic();
            rest.add(&carried);
            if self.books.parting.len() >= PARTING_MAX {
                self.books.settle();
            }
            let meter = Arc::clone(tcp.meter());
            self.books.parting.push(Parting { key: key.clone(), meter, taken: carried });
        }
        self.book(key, &rest.since(&allocation.tally.taken));
    }

    fn book(&mut self, key: AccountKey, traffic: &Traffic) {
        if self.books.add(key, traffic) {
            self.counters.increment(accounts_merged());
        }
    }
}

impl Allocation {
    /// All that it relayed.
    pub(super) fn traffic(&self) -> Traffic {
        let mut traffic = self.tally.traffic;
        if let Some(tcp) = &self.tcp {
            traffic.add(&tcp.meter().traffic());
        }
        traffic
    }

    fn take_account(&mut self, now: Now) -> Option<Account> {
        let traffic = self.traffic();
        let moved = traffic.since(&self.tally.taken);
        let elapsed = now.at.since(self.tally.taken_at);
        if elapsed > Duration::ZERO {
            self.tally.rate = moved.per_second(elapsed);
            self.tally.taken_at = now.at;
        }
        self.tally.taken = traffic;
        (!moved.is_zero()).then(|| Account { key: self.account_key(), traffic: moved })
    }

    fn account_key(&self) -> AccountKey {
        AccountKey {
            subject: Arc::clone(&self.identity.subject),
            label: self.identity.label.clone(),
            call_id: self.identity.call_id.clone(),
            door: self.client.local,
            transport: self.client.transport,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_subjects_than_fit_share_a_row_of_their_door_and_no_byte_is_lost() {
        let mut books = Books::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let more = 10;
        let merged = (0..ROWS_MAX + more).filter(|n| books.add(key(&n.to_string()), &bytes(3))).count();
        assert_eq!((merged, books.rows.len()), (more, ROWS_MAX + 1));
        assert!(!books.add(key("0"), &bytes(1)), "who has a row keeps it");
        let mut taken = Vec::new();
        while !books.rows.is_empty() {
            let before = taken.len();
            books.take(256, &mut taken);
            assert!(taken.len() - before <= 256);
        }
        let sum: u64 = taken.iter().map(|account| account.traffic.bytes()).sum();
        assert_eq!(sum, 3 * (ROWS_MAX + more) as u64 + 1);
        let others = taken.iter().find(|account| &*account.key.subject == AccountKey::OTHERS);
        assert_eq!(others.map(|others| others.traffic), Some(bytes(3 * more as u64)));
        assert!(books.by_key.is_empty());
    }

    #[test] // RFC 6062: the end of an allocation reaches the thread that has the bytes a moment later
    fn what_a_connection_carries_after_its_allocation_is_booked_until_it_is_gone() {
        let mut books = Books::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let meter = Arc::new(Meter::default());
        meter.count(Direction::FromClient, 5);
        meter.count(Direction::ToPeer, 5);
        books.parting.push(Parting { key: key("alice"), meter: Arc::clone(&meter), taken: meter.traffic() });
        books.settle();
        assert!(books.rows.is_empty() && books.parting.len() == 1);
        meter.count(Direction::FromClient, 7);
        drop(meter);
        books.settle();
        assert_eq!((books.rows[0].traffic.bytes(), books.parting.len()), (7, 0));
    }

    fn key(subject: &str) -> AccountKey {
        let door = SocketAddr::from(([192, 0, 2, 1], 3478));
        AccountKey { subject: subject.into(), label: None, call_id: None, door, transport: Transport::Udp }
    }

    fn bytes(bytes_from_client: u64) -> Traffic {
        Traffic { bytes_from_client, ..Traffic::default() }
    }
}
