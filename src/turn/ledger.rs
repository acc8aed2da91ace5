//! What all servers of a daemon share: relay ports, reservations and quotas.
//!
//! Touched when an allocation is made or ends, never per packet.

use super::address::PeerProtocol;
use super::bandwidth::{Bandwidth, Pool};
use super::error::OpenError;
use super::ports::{LivePorts, PortPool, PortRange};
use super::settings::Settings;
use super::shares::Shares;
use crate::base::{Family, Random, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// An own address that relay ports live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayAddress {
    /// Where sockets are bound.
    pub internal: IpAddr,
    /// What peers see: another address behind 1:1 NAT, else the same.
    pub external: IpAddr,
}

/// Checked settings of a [`Ledger`].
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// Where relay ports live; a client gets the one that it talks to, else the first of its family.
    pub addresses: Vec<RelayAddress>,
    /// On each address.
    pub ports: PortRange,
    /// How long a port rests after use.
    pub quarantine: Duration,
    /// Allocations of one subject.
    pub allocations_per_user: u32,
    /// Allocations in all; 0 is no limit but the ports.
    pub allocations_total: u32,
}

/// Which port is wanted (RFC 8656 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortParity {
    /// Any.
    Any,
    /// EVEN-PORT with R = 0.
    Even,
    /// EVEN-PORT with R = 1: the next higher one is reserved.
    EvenAndReserveNext,
}

/// What an Allocate asks the ledger for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRequest {
    /// Who; quotas are kept by it.
    pub subject: Arc<str>,
    /// The credential's own limit, which may be lower than the configured one.
    pub allocations_max: Option<u32>,
    /// IPv4 wanted, IPv6 wanted; one at least. With both, one may be missing in the end.
    pub families: [bool; 2],
    /// What it relays. Ports of both protocols come from one pool, each with one owner.
    pub protocol: PeerProtocol,
    /// Which port.
    pub parity: PortParity,
    /// Take the port that was reserved under this token.
    pub token: Option<[u8; 8]>,
    /// The own address that the client talks to.
    pub local: IpAddr,
}

/// One leased port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Bind here.
    pub internal: SocketAddr,
    /// Advertise this.
    pub external: SocketAddr,
    /// Which kind of socket.
    pub protocol: PeerProtocol,
    /// Whether the port had not rested long enough.
    pub early: bool,
}

/// How many allocations a subject has on all servers: written by the ledger, read by each server that
/// spends a part of the subject's rates.
#[derive(Clone, Debug, Default)]
pub struct SubjectTotal(Arc<OnAllServers>);

#[derive(Debug, Default)]
struct OnAllServers {
    allocations: AtomicU32,
    bandwidth: Pool,
}

impl SubjectTotal {
    /// The number now; a moment old at most.
    pub fn get(&self) -> u32 {
        self.0.allocations.load(Ordering::Relaxed)
    }

    /// What the subject may relay.
    pub(super) fn bandwidth(&self) -> &Pool {
        &self.0.bandwidth
    }
}

impl PartialEq for SubjectTotal {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SubjectTotal {}

/// What the ledger gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// By family.
    pub leases: [Option<Lease>; 2],
    /// Token of the next port.
    pub reservation: Option<[u8; 8]>,
    /// The family of a dual request that could not be had, and why.
    pub missing: Option<(Family, OpenError)>,
    /// The subject's count, with this allocation.
    pub total: SubjectTotal,
}

/// How many ports are in which state, over all addresses. Reserved ones are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortUse {
    /// Bound or reserved.
    pub used: usize,
    /// Free.
    pub free: usize,
    /// Resting.
    pub quarantined: usize,
}

/// The shared books.
#[derive(Debug)]
pub struct Ledger {
    addresses: Vec<Address>,
    reservations: HashMap<[u8; 8], Reservation>,
    /// When the first reservation may be over; spares the walk.
    next_reservation_end: Option<Timestamp>,
    pub(super) subjects: HashMap<Arc<str>, Account>,
    /// Subjects without allocations whose bandwidth is not paid off yet.
    pub(super) resting: VecDeque<Arc<str>>,
    pub(super) bandwidth: Bandwidth,
    pub(super) shares: Arc<Shares>,
    total: u32,
    per_user_max: u32,
    total_max: u32,
    random: Random,
}

#[derive(Debug)]
struct Address {
    address: RelayAddress,
    pool: PortPool,
    live: Arc<LivePorts>,
}

/// What a subject holds; forgotten when it is nothing.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) allocations: SubjectTotal,
    /// Reserved ports that wait for their token. They count against the quota, or a loop of EVEN-PORT
    /// allocations would hold the whole pool.
    reservations: u32,
    /// Its name waits in [`Ledger::resting`].
    pub(super) rests: bool,
}

#[derive(Debug)]
struct Reservation {
    address: usize,
    port: u16,
    subject: Arc<str>,
    until: Timestamp,
}

impl Ledger {
    /// Books with every port free. `random`: its stream chooses ports and tokens.
    pub fn new(settings: &LedgerSettings, random: Random) -> Self {
        let addresses = settings.addresses.iter().map(|address| Address {
            address: *address,
            pool: PortPool::new(settings.ports, settings.quarantine),
            live: Arc::default(),
        });
        Self {
            addresses: addresses.collect(),
            reservations: HashMap::new(),
            next_reservation_end: None,
            subjects: HashMap::new(),
            resting: VecDeque::new(),
            bandwidth: Bandwidth::default(),
            shares: Arc::new(Shares::new(1)),
            total: 0,
            per_user_max: settings.allocations_per_user,
            total_max: settings.allocations_total,
            random,
        }
    }

    /// Relay addresses and their live maps, for the peer policy.
    pub fn live_ports(&self) -> Vec<(RelayAddress, Arc<LivePorts>)> {
        self.addresses.iter().map(|a| (a.address, Arc::clone(&a.live))).collect()
    }

    /// New limits; what is allocated stays.
    pub fn set_limits(&mut self, allocations_per_user: u32, allocations_total: u32) {
        self.per_user_max = allocations_per_user;
        self.total_max = allocations_total;
    }

    /// Takes quota and ports for one allocation.
    ///
    /// # Errors
    /// Nothing is taken then.
    pub fn open(&mut self, now: Timestamp, request: &OpenRequest) -> Result<Grant, OpenError> {
        self.expire_reservations(now);
        self.forget_rested(now);
        self.check_bandwidth(now, &request.subject)?;
        self.check_quota(request)?;
        let mut grant = match request.token {
            Some(token) => self.redeem(token, &request.subject)?,
            None => self.lease(now, request)?,
        };
        let account = self.subjects.entry(Arc::clone(&request.subject)).or_default();
        account.allocations.0.allocations.fetch_add(1, Ordering::Relaxed);
        grant.total = account.allocations.clone();
        self.total += 1;
        Ok(grant)
    }

    /// Other ports for an allocation whose quota is taken already, since those before could not be bound.
    ///
    /// # Errors
    /// As [`Ledger::open`]; the quota stays taken.
    pub fn lease_again(&mut self, now: Timestamp, request: &OpenRequest) -> Result<Grant, OpenError> {
        self.lease(now, request)
    }

    /// How many allocations of its subject must go before `request` fits its quota.
    pub fn over_quota(&self, request: &OpenRequest) -> u32 {
        let own_max = request.allocations_max.unwrap_or(u32::MAX).min(self.per_user_max);
        (self.held_by(&request.subject) + request.slots()).saturating_sub(own_max)
    }

    /// Trades a leased port that could not be bound for another one. The bad one rests.
    pub fn exchange(&mut self, now: Timestamp, lease: Lease, even: bool) -> Option<Lease> {
        let at = self.address_of(lease.internal.ip())?;
        let other = self.lease_on(now, at, lease.protocol, even)?;
        self.addresses[at].pool.release(now, lease.internal.port());
        Some(other)
    }

    /// The socket of a lease is bound: peers of this daemon may reach it.
    pub fn bound(&mut self, lease: &Lease) {
        if let Some(at) = self.address_of(lease.internal.ip()) {
            self.addresses[at].live.insert(lease.protocol, lease.internal.port());
        }
    }

    /// The socket is closed (or was never bound): its port rests.
    pub fn close_port(&mut self, now: Timestamp, internal: SocketAddr) {
        if let Some(at) = self.address_of(internal.ip()) {
            self.addresses[at].live.remove(internal.port());
            self.addresses[at].pool.release(now, internal.port());
        }
    }

    /// An allocation is gone: gives its quota back.
    pub fn end(&mut self, subject: &str) {
        if let Some(account) = self.subjects.get(subject) {
            account.allocations.0.allocations.fetch_sub(1, Ordering::Relaxed);
            self.total -= 1;
            self.forget_if_empty(subject);
        }
    }

    /// A reservation that nobody will use, since its own allocation failed.
    pub fn cancel_reservation(&mut self, now: Timestamp, token: [u8; 8]) {
        if let Some(reservation) = self.reservations.remove(&token) {
            self.addresses[reservation.address].pool.release(now, reservation.port);
            self.unreserve(&reservation.subject);
        }
    }

    /// Allocations of a subject.
    pub fn allocations_of(&self, subject: &str) -> u32 {
        self.subjects.get(subject).map_or(0, |account| account.allocations.get())
    }

    /// Allocations in all.
    pub fn allocations(&self) -> u32 {
        self.total
    }

    /// How many there may be; `None` for as many as there are ports.
    pub fn allocations_max(&self) -> Option<u32> {
        Some(self.total_max).filter(|max| *max > 0)
    }

    /// Ports by state; reservations that are over count as in use until the next call of
    /// [`Ledger::open`] or [`Ledger::expire_reservations`].
    pub fn port_use(&self) -> PortUse {
        self.addresses.iter().fold(PortUse::default(), |sum, address| {
            let (used, free, quarantined) = address.pool.counts();
            PortUse {
                used: sum.used + used,
                free: sum.free + free,
                quarantined: sum.quarantined + quarantined,
            }
        })
    }

    /// Gives back reserved ports that nobody asked for in time.
    pub fn expire_reservations(&mut self, now: Timestamp) {
        if self.next_reservation_end.is_none_or(|end| end > now) {
            return;
        }
        let over = self.reservations.extract_if(|_, reservation| reservation.until <= now);
        for (_, reservation) in over.collect::<Vec<_>>() {
            self.addresses[reservation.address].pool.release(now, reservation.port);
            self.unreserve(&reservation.subject);
        }
        self.next_reservation_end = self.reservations.values().map(|r| r.until).min();
    }

    fn check_quota(&self, request: &OpenRequest) -> Result<(), OpenError> {
        if self.over_quota(request) > 0 {
            return Err(OpenError::Quota);
        }
        if self.total_max != 0 && self.total >= self.total_max {
            return Err(OpenError::Total);
        }
        Ok(())
    }

    /// RFC 8656 section 7.2: a token works once, for the subject that got it, from any 5-tuple.
    fn redeem(&mut self, token: [u8; 8], subject: &str) -> Result<Grant, OpenError> {
        if self.reservations.get(&token).is_none_or(|r| *r.subject != *subject) {
            return Err(OpenError::Token);
        }
        let reservation = self.reservations.remove(&token).ok_or(OpenError::Token)?;
        self.unreserve(subject);
        let lease = self.lease_of(reservation.address, PeerProtocol::Udp, reservation.port, false);
        Ok(Grant::of(lease, None))
    }

    /// Allocations and reserved ports of a subject.
    pub(super) fn held_by(&self, subject: &str) -> u32 {
        self.subjects.get(subject).map_or(0, |account| account.allocations.get() + account.reservations)
    }

    fn unreserve(&mut self, subject: &str) {
        if let Some(account) = self.subjects.get_mut(subject) {
            account.reservations -= 1;
            self.forget_if_empty(subject);
        }
    }

    fn lease(&mut self, now: Timestamp, request: &OpenRequest) -> Result<Grant, OpenError> {
        if request.parity == PortParity::EvenAndReserveNext {
            return self.lease_pair(now, request);
        }
        let even = request.parity == PortParity::Even;
        let mut grant =
            Grant { leases: [None; 2], reservation: None, missing: None, total: SubjectTotal::default() };
        let mut first_error = None;
        for family in Family::ALL.into_iter().filter(|family| request.families[*family as usize]) {
            let lease = self
                .address_for(family, request.local)
                .ok_or(OpenError::Family)
                .and_then(|at| self.lease_on(now, at, request.protocol, even).ok_or(OpenError::NoPort));
            match lease {
                Ok(lease) => grant.leases[family as usize] = Some(lease),
                Err(error) => {
                    grant.missing = Some((family, error));
                    first_error = first_error.or(Some(error));
                }
            }
        }
        match (grant.leases.iter().any(Option::is_some), first_error) {
            (false, Some(error)) => Err(error),
            _ => Ok(grant),
        }
    }

    fn lease_pair(&mut self, now: Timestamp, request: &OpenRequest) -> Result<Grant, OpenError> {
        let family = if request.families[Family::V6 as usize] { Family::V6 } else { Family::V4 };
        let at = self.address_for(family, request.local).ok_or(OpenError::Family)?;
        let (port, next) =
            self.addresses[at].pool.take_pair(now, &mut self.random).ok_or(OpenError::NoPort)?;
        let token = self.random.bytes();
        let until = now.after(Settings::RESERVATION_LIFETIME);
        let subject = Arc::clone(&request.subject);
        self.reservations.insert(token, Reservation { address: at, port: next, subject, until });
        self.next_reservation_end = Some(self.next_reservation_end.map_or(until, |end| end.min(until)));
        self.subjects.entry(Arc::clone(&request.subject)).or_default().reservations += 1;
        let lease = self.lease_of(at, request.protocol, port, false);
        Ok(Grant::of(lease, Some(token)))
    }

    fn lease_on(&mut self, now: Timestamp, at: usize, protocol: PeerProtocol, even: bool) -> Option<Lease> {
        let taken = self.addresses[at].pool.take(now, &mut self.random, even)?;
        Some(self.lease_of(at, protocol, taken.port, taken.early))
    }

    fn lease_of(&self, at: usize, protocol: PeerProtocol, port: u16, early: bool) -> Lease {
        let RelayAddress { internal, external } = self.addresses[at].address;
        let (internal, external) = (SocketAddr::new(internal, port), SocketAddr::new(external, port));
        Lease { internal, external, protocol, early }
    }

    /// The address that the client talks to when it is one of ours, else the first of the family.
    fn address_for(&self, family: Family, local: IpAddr) -> Option<usize> {
        let of_family = |a: &Address| Family::of(a.address.internal) == family;
        self.address_of(local)
            .filter(|at| of_family(&self.addresses[*at]))
            .or_else(|| self.addresses.iter().position(of_family))
    }

    fn address_of(&self, internal: IpAddr) -> Option<usize> {
        self.addresses.iter().position(|a| a.address.internal == internal)
    }
}

impl Grant {
    fn of(lease: Lease, reservation: Option<[u8; 8]>) -> Self {
        let leases = match Family::of(lease.internal.ip()) {
            Family::V4 => [Some(lease), None],
            Family::V6 => [None, Some(lease)],
        };
        Self { leases, reservation, missing: None, total: SubjectTotal::default() }
    }
}

impl OpenRequest {
    /// Places in the quota that it adds: one, two with a port to reserve, none when it redeems one.
    fn slots(&self) -> u32 {
        match (self.token, self.parity) {
            (Some(_), _) => 0,
            (None, PortParity::EvenAndReserveNext) => 2,
            (None, _) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test] // turn.md point 8
    fn a_reserved_port_waits_thirty_seconds_for_its_token_from_anywhere() {
        let mut ledger = ledger(&[v4()]);
        let request = OpenRequest { parity: PortParity::EvenAndReserveNext, ..request("alice") };
        let grant = ledger.open(Timestamp::ZERO, &request).expect("room");
        let (port, token) = (grant.leases[0].expect("v4").internal.port(), grant.reservation.expect("token"));
        let redeem = |subject: &str| OpenRequest { token: Some(token), ..self::request(subject) };
        let late = Timestamp::from_secs(29);
        assert_eq!(ledger.open(late, &redeem("mallory")), Err(OpenError::Token));
        let next = ledger.open(late, &redeem("alice")).expect("reserved").leases[0].expect("v4");
        assert_eq!(next.internal.port(), port + 1);
        assert_eq!(ledger.open(late, &redeem("alice")), Err(OpenError::Token));
    }

    #[test]
    fn a_reservation_that_is_over_gives_its_port_back() {
        let mut ledger = ledger(&[v4()]);
        let request = OpenRequest { parity: PortParity::EvenAndReserveNext, ..request("alice") };
        let grant = ledger.open(Timestamp::ZERO, &request).expect("room");
        assert_eq!(ledger.port_use().used, 2);
        let over = Timestamp::from_secs(31);
        let redeem = OpenRequest { token: grant.reservation, ..self::request("alice") };
        assert_eq!(ledger.open(over, &redeem), Err(OpenError::Token));
        assert_eq!(ledger.port_use(), PortUse { used: 1, free: 98, quarantined: 1 });
    }

    #[test] // turn.md point 6
    fn a_dual_request_names_the_family_that_is_missing() {
        let mut ledger = ledger(&[v4()]);
        let dual = OpenRequest { families: [true, true], ..request("alice") };
        let grant = ledger.open(Timestamp::ZERO, &dual).expect("v4 at least");
        assert!(grant.leases[0].is_some() && grant.leases[1].is_none());
        assert_eq!(grant.missing, Some((Family::V6, OpenError::Family)));
        let v6 = OpenRequest { families: [false, true], ..request("alice") };
        assert_eq!(ledger.open(Timestamp::ZERO, &v6), Err(OpenError::Family));
    }

    #[test]
    fn quotas_hold_per_subject_and_in_total_and_come_back() {
        let mut ledger = ledger(&[v4()]);
        ledger.set_limits(2, 3);
        let now = Timestamp::ZERO;
        let first = ledger.open(now, &request("alice")).expect("1").leases[0].expect("v4");
        ledger.open(now, &request("alice")).expect("2");
        assert_eq!(ledger.open(now, &request("alice")), Err(OpenError::Quota));
        ledger.open(now, &request("bob")).expect("3");
        assert_eq!(ledger.open(now, &request("carol")), Err(OpenError::Total));
        ledger.close_port(now, first.internal);
        ledger.end("alice");
        let own = OpenRequest { allocations_max: Some(1), ..request("alice") };
        assert_eq!(ledger.open(now, &own), Err(OpenError::Quota));
        ledger.open(now, &request("alice")).expect("came back");
    }

    #[test]
    fn a_loop_of_reservations_stays_within_the_quota() {
        let mut ledger = ledger(&[v4()]);
        let pair = OpenRequest { parity: PortParity::EvenAndReserveNext, ..request("alice") };
        let mut granted = 0;
        for _ in 0..40 {
            if let Ok(grant) = ledger.open(Timestamp::ZERO, &pair) {
                granted += 1;
                ledger.close_port(Timestamp::ZERO, grant.leases[0].expect("v4").internal);
                ledger.end("alice");
            }
        }
        assert_eq!(granted, 15, "sixteen places: fifteen reservations and one to make the next");
        ledger.open(Timestamp::from_secs(31), &pair).expect("reservations end");
    }

    #[test]
    fn a_client_gets_the_address_that_it_talks_to() {
        let other = RelayAddress {
            internal: Ipv4Addr::new(192, 0, 2, 7).into(),
            external: Ipv4Addr::new(198, 51, 100, 7).into(),
        };
        let mut ledger = ledger(&[v4(), other]);
        let via = OpenRequest { local: other.internal, ..request("alice") };
        let lease = ledger.open(Timestamp::ZERO, &via).expect("room").leases[0].expect("v4");
        assert_eq!((lease.internal.ip(), lease.external.ip()), (other.internal, other.external));
        let via = OpenRequest { local: Ipv6Addr::LOCALHOST.into(), ..request("alice") };
        let lease = ledger.open(Timestamp::ZERO, &via).expect("room").leases[0].expect("v4");
        assert_eq!(lease.internal.ip(), v4().internal);
    }

    fn v4() -> RelayAddress {
        RelayAddress { internal: Ipv4Addr::LOCALHOST.into(), external: Ipv4Addr::LOCALHOST.into() }
    }

    fn ledger(addresses: &[RelayAddress]) -> Ledger {
        let settings = LedgerSettings {
            addresses: addresses.to_vec(),
            ports: PortRange { first: 50_000, last: 50_099 },
            quarantine: Duration::from_secs(30),
            allocations_per_user: 16,
            allocations_total: 0,
        };
        Ledger::new(&settings, Random::seeded(1))
    }

    fn request(subject: &str) -> OpenRequest {
        OpenRequest {
            subject: subject.into(),
            allocations_max: None,
            families: [true, false],
            protocol: PeerProtocol::Udp,
            parity: PortParity::Any,
            token: None,
            local: Ipv4Addr::LOCALHOST.into(),
        }
    }
}
