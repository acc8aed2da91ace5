//! How many connections there may be: of one source, and of all together. Asked when a connection comes or
//! goes, never per message.

use crate::base::{Random, subscriber};
use crate::metrics::Closed;
use std::any::Any;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bounds of [`Admission`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open connections of one IPv4 address or IPv6 /64. Loopback is exempt: it is a proxy of ours.
    pub per_source: u32,
    /// Open connections of all.
    pub total: u32,
}

/// Counts open connections of all stream runtimes.
#[derive(Debug)]
pub struct Admission {
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    limits: ConnectionLimits,
    open: u32,
    /// As many entries as there are open connections at most; a source without one has none.
    by_source: HashMap<u64, u32, ahash::RandomState>,
}

/// The right to be open; dropping it makes room.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    source: Option<u64>,
}

impl Admission {
    /// Nobody is connected. `random`: where hash keys come from, so that no stranger can aim at a bucket.
    pub fn new(limits: ConnectionLimits, mut random: Random) -> Self {
        let mut key = || random.next_u64();
        let by_source = HashMap::with_hasher(ahash::RandomState::with_seeds(key(), key(), key(), key()));
        Self { books: Mutex::new(Books { limits, open: 0, by_source }) }
    }

    /// New limits; what is open stays.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        self.books().limits = limits;
    }

    /// Takes a connection in, whose source may not be known yet: a proxy will tell it.
    pub(super) fn admit(self: &Arc<Self>, source: Option<IpAddr>) -> Result<Admitted, Closed> {
        let mut books = self.books();
        if books.open >= books.limits.total {
            return Err(Closed::TotalLimit);
        }
        let source = source.and_then(counted);
        books.take(source)?;
        books.open += 1;
        Ok(Admitted { admission: Arc::clone(self), source })
    }

    /// As for a connection of a stream door, for one that somebody else serves: it is open until the place is dropped.
    /// `source`: `None` for a proxy's. `None` when there is no room.
    pub fn hold(self: &Arc<Self>, source: Option<IpAddr>) -> Option<Box<dyn Any + Send>> {
        self.admit(source).ok().map(|admitted| Box::new(admitted) as Box<dyn Any + Send>)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn take(&mut self, source: Option<u64>) -> Result<(), Closed> {
        let Some(source) = source else { return Ok(()) };
        let limit = self.limits.per_source;
        let open = self.by_source.entry(source).or_default();
        if *open >= limit {
            return Err(Closed::SourceLimit);
        }
        *open += 1;
        Ok(())
    }

    fn give_back(&mut self, source: u64) {
        if let Some(open) = self.by_source.get_mut(&source) {
            *open -= 1;
            if *open == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

impl Admitted {
    /// Counts the connection for the source that its proxy named.
    pub(super) fn name_source(&mut self, source: IpAddr) -> Result<(), Closed> {
        let source = counted(source);
        let mut books = self.admission.books();
        books.take(source)?;
        if let Some(before) = std::mem::replace(&mut self.source, source) {
            books.give_back(before);
        }
        Ok(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut books = self.admission.books();
        books.open -= 1;
        if let Some(source) = self.source {
            books.give_back(source);
        }
    }
}

fn counted(source: IpAddr) -> Option<u64> {
    (!source.is_loopback()).then(|| subscriber(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(per_source: u32, total: u32) -> Arc<Admission> {
        Arc::new(Admission::new(ConnectionLimits { per_source, total }, Random::from_seed([7; 32])))
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("literal"))
    }

    #[test]
    fn a_source_has_its_own_limit_and_gets_back_what_it_closes() {
        let admission = admission(2, 10);
        let held = [admission.admit(ip("192.0.2.1")), admission.admit(ip("192.0.2.1"))];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(admission.admit(ip("192.0.2.1")).expect_err("the third"), Closed::SourceLimit);
        let _other = admission.admit(ip("192.0.2.2")).expect("another source");
        drop(held);
        assert!(admission.admit(ip("192.0.2.1")).is_ok());
        assert_eq!(admission.books().by_source.len(), 1, "only 192.0.2.2 is connected");
    }

    #[test]
    fn a_64_is_one_source_and_loopback_is_none() {
        let admission = admission(1, 10);
        let _held = admission.admit(ip("2001:db8:1:2::1")).expect("first");
        assert!(admission.admit(ip("2001:db8:1:2:ffff::9")).is_err());
        let _many: Vec<_> = (0..5).map(|_| admission.admit(ip("127.0.0.1")).expect("exempt")).collect();
        assert_eq!(admission.admit(ip("::1")).map(|_| ()), Ok(()));
    }

    #[test]
    fn the_total_counts_everybody_and_a_proxied_source_is_counted_once_it_is_named() {
        let admission = admission(1, 2);
        let mut first = admission.admit(None).expect("a proxy's");
        first.name_source(ip("192.0.2.1").expect("some")).expect("its first");
        let mut second = admission.admit(None).expect("a proxy's");
        assert_eq!(second.name_source(ip("192.0.2.1").expect("some")), Err(Closed::SourceLimit));
        assert_eq!(admission.admit(ip("192.0.2.3")).expect_err("full"), Closed::TotalLimit);
        drop((first, second));
        assert!(admission.books().by_source.is_empty() && admission.books().open == 0);
    }
}
