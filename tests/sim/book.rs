//! The reference for relay ports: one line for each port.

use crate::opening::missing;
use crate::world::Answer;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use turnstone::base::Timestamp;
use turnstone::turn::{PortRange, RelayAddress};

/// Which port is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Want {
    Any,
    Even,
    Pair,
}

#[derive(Debug)]
pub(crate) struct Book {
    /// By family.
    addresses: [Option<RelayAddress>; 2],
    lines: Vec<Line>,
    reservations: Vec<Reservation>,
    quarantine: Duration,
    /// Ports with a socket, under their internal and their external address.
    pub(crate) live: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Line {
    internal: SocketAddr,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Used,
    /// Free from then on; before that only in need.
    Since(Timestamp),
}

#[derive(Debug)]
struct Reservation {
    token: [u8; 8],
    subject: String,
    internal: SocketAddr,
    until: Timestamp,
}

impl Book {
    pub(crate) fn new(addresses: &[RelayAddress], ports: PortRange, quarantine: Duration) -> Self {
        let lines = addresses.iter().flat_map(|address| {
            (ports.first..=ports.last).map(|port| Line {
                internal: SocketAddr::new(address.internal, port),
                state: State::Since(Timestamp::ZERO),
            })
        });
        let of = |v6: bool| addresses.iter().copied().find(|a| a.internal.is_ipv6() == v6);
        Self {
            lines: lines.collect(),
            addresses: [of(false), of(true)],
            reservations: Vec::new(),
            quarantine,
            live: Vec::new(),
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.lines.iter().filter(|line| line.state == State::Used).count()
    }

    pub(crate) fn expire_reservations(&mut self, now: Timestamp) {
        let over: Vec<_> = self.reservations.iter().filter(|r| r.until <= now).map(|r| r.internal).collect();
        self.reservations.retain(|r| r.until > now);
        for internal in over {
            self.line(internal).state = State::Since(now.after(self.quarantine));
        }
    }

    pub(crate) fn is_reserved(&self, token: [u8; 8], subject: &str) -> bool {
        self.reservations.iter().any(|r| r.token == token && r.subject == subject)
    }

    /// Ports that are reserved for a subject.
    pub(crate) fn reserved_by(&self, subject: &str) -> u32 {
        self.reservations.iter().filter(|r| r.subject == subject).count() as u32
    }

    /// Tokens that were given out and not used.
    pub(crate) fn tokens(&self) -> Vec<[u8; 8]> {
        self.reservations.iter().map(|r| r.token).collect()
    }

    /// Whether such a request can be served at all, else the code of its first failure.
    pub(crate) fn check(&self, now: Timestamp, families: [bool; 2], want: Want) -> Result<(), u16> {
        let [v4, v6] = self.outcomes(now, families, want);
        match (v4, v6) {
            (Some(Ok(())), _) | (_, Some(Ok(()))) => Ok(()),
            (Some(Err(code)), _) | (None, Some(Err(code))) => Err(code),
            (None, None) => unreachable!("a request wants one family at least"),
        }
    }

    /// Takes over the ports of a success, which must be ones that could be given.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        families: [bool; 2],
        want: Want,
        answer: &Answer,
        subject: &str,
    ) -> Vec<SocketAddr> {
        let outcomes = self.outcomes(now, families, want);
        let (mut failed, mut ports) = (Vec::new(), Vec::<SocketAddr>::new());
        for (v6, outcome) in [(false, outcomes[0]), (true, outcomes[1])] {
            let relayed = answer.relayed.iter().find(|a| a.is_ipv6() == v6);
            assert_eq!(relayed.is_some(), outcome == Some(Ok(())), "{answer:?}");
            if let Some(Err(code)) = outcome {
                failed.push((v6, code));
            }
            ports.extend(relayed.map(|external| self.internal_of(*external)));
        }
        assert_eq!(missing(answer), failed.first().copied());
        assert_eq!(answer.relayed.len(), ports.len());
        for internal in &ports {
            let fits = self.fitting(now, internal.is_ipv6(), want, true);
            let in_need = self.fitting(now, internal.is_ipv6(), want, false);
            assert!(fits.contains(internal) || (fits.is_empty() && in_need.contains(internal)), "{internal}");
            self.line(*internal).state = State::Used;
            self.open(*internal);
        }
        assert_eq!(answer.token.is_some(), want == Want::Pair);
        if let Some(token) = &answer.token {
            let next = SocketAddr::new(ports[0].ip(), ports[0].port() + 1);
            self.line(next).state = State::Used;
            let until = now.after(Duration::from_secs(30));
            let token = token.as_slice().try_into().expect("eight bytes");
            self.reservations.push(Reservation { token, subject: subject.into(), internal: next, until });
        }
        ports
    }

    /// Takes over the port behind a token.
    pub(crate) fn redeem(&mut self, token: [u8; 8], answer: &Answer) -> SocketAddr {
        let at = self.reservations.iter().position(|r| r.token == token).expect("checked before");
        let internal = self.reservations.remove(at).internal;
        assert_eq!(answer.relayed.iter().map(|a| self.internal_of(*a)).collect::<Vec<_>>(), [internal]);
        assert_eq!((&answer.token, answer.address_error), (&None, None));
        self.open(internal);
        internal
    }

    /// A socket closed.
    pub(crate) fn rest(&mut self, now: Timestamp, internal: SocketAddr) {
        let external = self.external_of(internal);
        self.live.retain(|address| *address != internal && *address != external);
        self.line(internal).state = State::Since(now.after(self.quarantine));
    }

    /// Where a datagram for an own relay behind 1:1 NAT goes.
    pub(crate) fn to_internal(&self, peer: SocketAddr) -> SocketAddr {
        if self.live.contains(&peer) { self.internal_of(peer) } else { peer }
    }

    /// How an own relay is known.
    pub(crate) fn to_external(&self, from: SocketAddr) -> SocketAddr {
        if self.live.contains(&from) { self.external_of(from) } else { from }
    }

    /// Whether each wanted family can be had.
    fn outcomes(&self, now: Timestamp, families: [bool; 2], want: Want) -> [Option<Result<(), u16>>; 2] {
        [false, true].map(|v6| {
            families[usize::from(v6)].then(|| {
                if self.addresses[usize::from(v6)].is_none() {
                    return Err(440);
                }
                // Half a pair is never taken out of its quarantine.
                let rested = want == Want::Pair;
                if self.fitting(now, v6, want, rested).is_empty() { Err(508) } else { Ok(()) }
            })
        })
    }

    fn fitting(&self, now: Timestamp, v6: bool, want: Want, rested: bool) -> Vec<SocketAddr> {
        let is_free = |internal: SocketAddr| {
            self.lines.iter().any(|line| {
                line.internal == internal
                    && matches!(line.state, State::Since(since) if !rested || since <= now)
            })
        };
        let lines = self.lines.iter().map(|line| line.internal);
        lines
            .filter(|a| a.is_ipv6() == v6 && is_free(*a))
            .filter(|a| want == Want::Any || a.port() % 2 == 0)
            .filter(|a| want != Want::Pair || is_free(SocketAddr::new(a.ip(), a.port() + 1)))
            .collect()
    }

    fn open(&mut self, internal: SocketAddr) {
        let external = self.external_of(internal);
        self.live.extend([internal, external]);
    }

    fn line(&mut self, internal: SocketAddr) -> &mut Line {
        self.lines.iter_mut().find(|line| line.internal == internal).expect("a port of the pool")
    }

    fn internal_of(&self, address: SocketAddr) -> SocketAddr {
        self.swap(address, |relay| (relay.external, relay.internal))
    }

    fn external_of(&self, address: SocketAddr) -> SocketAddr {
        self.swap(address, |relay| (relay.internal, relay.external))
    }

    fn swap(&self, address: SocketAddr, pair: impl Fn(&RelayAddress) -> (IpAddr, IpAddr)) -> SocketAddr {
        let relay = self.addresses.iter().flatten().find(|relay| pair(relay).0 == address.ip());
        relay.map_or(address, |relay| SocketAddr::new(pair(relay).1, address.port()))
    }
}
