//! Credentials that are void although their time is not over.

use crate::base::UnixTime;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whose credentials are void.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The one with this id (`i=`).
    Id(Box<str>),
    /// All of this subject.
    Subject(Box<str>),
    /// All with this label.
    Label(Box<str>),
    /// All that were made for this call, whenever: it has ended. Not a ban, so it has an end.
    Call(Box<str>),
    /// What lives by a static user of this name who was taken away; nothing that was minted, and nobody who is a user of this
    /// name again.
    User(Box<str>),
}

/// One order to refuse credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Which ones.
    pub target: Target,
    /// When it was given: what is minted later is good, unless it is a ban.
    pub at: UnixTime,
    /// Until when it refuses names that do not say when they were minted, and those of a call that has ended. Names that
    /// say it are refused for as long as the order is kept. `None` for a ban, which holds until it is lifted.
    pub until: Option<UnixTime>,
}

/// What a credential says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// Its id.
    pub id: Option<&'a str>,
    /// Whose it is.
    pub subject: &'a str,
    /// Its label.
    pub label: Option<&'a str>,
    /// The call that it was made for.
    pub call_id: Option<&'a str>,
    /// When it was minted; `None` for names of other minters and for static users.
    pub minted_at: Option<UnixTime>,
}

/// All orders in force, prepared for look-up. Shards share one behind an `Arc`.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    ids: HashMap<Box<str>, Void>,
    subjects: HashMap<Box<str>, Void>,
    labels: HashMap<Box<str>, Void>,
    calls: HashMap<Box<str>, Void>,
    users: HashSet<Box<str>>,
}

/// The mint times that credentials say, so that no order of before voids them. Names know whole seconds only, and what is
/// minted in the second of an order says the next one. All who mint by one secret share the note of the latest.
#[derive(Clone, Debug, Default)]
pub struct MintTimes {
    orders: Arc<Revocations>,
    /// How many sets of orders there were before.
    version: u64,
    latest: Arc<AtomicU64>,
}

/// What of one target is void: the strictest of all its orders.
#[derive(Clone, Copy, Debug)]
struct Void {
    /// What was minted up to this second. For ever, since nobody knows how long a credential of then lives: the longest
    /// lifetime may have been another one.
    minted_to: UnixTime,
    /// Until then what does not say when it was minted; `None` for ever.
    until: Option<UnixTime>,
    /// As if nothing said when it was minted.
    all: bool,
}

impl Revocations {
    /// Prepares `orders`.
    pub fn new<'a>(orders: impl IntoIterator<Item = &'a Revocation>) -> Self {
        let mut all = Self::default();
        for order in orders {
            let (table, name) = match &order.target {
                Target::Id(name) => (&mut all.ids, name),
                Target::Subject(name) => (&mut all.subjects, name),
                Target::Label(name) => (&mut all.labels, name),
                Target::Call(name) => (&mut all.calls, name),
                Target::User(name) => {
                    all.users.insert(name.clone());
                    continue;
                }
            };
            let whenever = order.until.is_none() || matches!(order.target, Target::Call(_));
            let new = Void { minted_to: order.at, until: order.until, all: whenever };
            table.entry(name.clone()).and_modify(|void| *void = void.and(new)).or_insert(new);
        }
        all
    }

    /// Whether nothing is void.
    pub fn is_empty(&self) -> bool {
        !self.take_users_away()
            && [&self.ids, &self.subjects, &self.labels, &self.calls].iter().all(|table| table.is_empty())
    }

    /// Whether static users were taken away.
    pub fn take_users_away(&self) -> bool {
        !self.users.is_empty()
    }

    /// Whether a static user of this name was taken away. There may be one again.
    pub fn takes_away(&self, user: &str) -> bool {
        self.users.contains(user)
    }

    /// Whether this credential is void.
    pub fn deny(&self, now: UnixTime, claimed: &Claimed<'_>) -> bool {
        let hit = |void: Option<&Void>| void.is_some_and(|void| void.hits(now, claimed.minted_at));
        hit(claimed.id.and_then(|id| self.ids.get(id)))
            || hit(self.subjects.get(claimed.subject))
            || hit(claimed.label.and_then(|label| self.labels.get(label)))
            || hit(claimed.call_id.and_then(|call| self.calls.get(call)))
    }

    /// From which second on a credential of this subject and label may be minted that is not void at once; `None` while
    /// there is a ban. A name knows whole seconds only, so one that is minted within the second of an order says the
    /// next one.
    pub fn mintable_from(&self, now: UnixTime, subject: &str, label: Option<&str>) -> Option<UnixTime> {
        let voids = [self.subjects.get(subject), label.and_then(|label| self.labels.get(label))];
        voids
            .into_iter()
            .flatten()
            .map(|void| (!void.all).then(|| UnixTime(void.minted_to.0.saturating_add(1))))
            .try_fold(now, |from, void| void.map(|void| from.max(void)))
    }
}

impl MintTimes {
    /// The same note, under these orders, which replace those before.
    pub fn under(&self, orders: Arc<Revocations>) -> Self {
        Self { orders, version: self.version + 1, latest: Arc::clone(&self.latest) }
    }

    /// The mint time of a credential that is made `now`; `None` while there is a ban.
    pub fn next(&self, now: UnixTime, subject: &str, label: Option<&str>) -> Option<UnixTime> {
        let time = self.orders.mintable_from(now, subject, label)?;
        self.latest.fetch_max(time.0, Ordering::Relaxed);
        Some(time)
    }

    /// The latest that was given: what is revoked next, is revoked up to it.
    pub fn latest(&self) -> UnixTime {
        UnixTime(self.latest.load(Ordering::Relaxed))
    }

    /// Takes these over, unless they are older: who tells of them may be overtaken.
    pub fn renew(&mut self, times: Self) {
        if times.version >= self.version {
            *self = times;
        }
    }

    /// The orders by which they are given.
    pub fn orders(&self) -> &Arc<Revocations> {
        &self.orders
    }
}

impl Void {
    fn and(self, other: Self) -> Self {
        let until = self.until.zip(other.until).map(|(one, other)| one.max(other));
        Self { minted_to: self.minted_to.max(other.minted_to), until, all: self.all || other.all }
    }

    fn hits(&self, now: UnixTime, minted_at: Option<UnixTime>) -> bool {
        match minted_at {
            Some(minted) if !self.all => minted <= self.minted_to,
            _ => self.until.is_none_or(|until| now < until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(minted_at: Option<u64>) -> Claimed<'static> {
        let minted_at = minted_at.map(UnixTime);
        Claimed { id: Some("c1"), subject: "alice", label: Some("room"), call_id: Some("call"), minted_at }
    }

    fn order(target: Target, until: Option<u64>) -> Revocation {
        Revocation { target, at: UnixTime(100), until: until.map(UnixTime) }
    }

    #[test]
    fn an_order_denies_what_was_minted_before_it_and_names_without_a_mint_time_until_its_end() {
        for target in [Target::Id("c1".into()), Target::Subject("alice".into()), Target::Label("room".into())]
        {
            let orders = Revocations::new(&[order(target, Some(200))]);
            assert!(orders.deny(UnixTime(150), &claimed(Some(99))));
            assert!(orders.deny(UnixTime(150), &claimed(Some(100))));
            assert!(!orders.deny(UnixTime(150), &claimed(Some(101))));
            assert!(orders.deny(UnixTime(199), &claimed(None)));
            assert!(!orders.deny(UnixTime(200), &claimed(None)));
        }
    }

    #[test]
    fn an_order_denies_what_was_minted_before_it_also_when_its_own_time_is_over() {
        let orders = Revocations::new(&[order(Target::Subject("alice".into()), Some(200))]);
        let much_later = UnixTime(100_000_000);
        assert!(orders.deny(much_later, &claimed(Some(100))), "it may live longer than what is minted now");
        assert!(!orders.deny(much_later, &claimed(Some(101))));
        assert_eq!(orders.mintable_from(much_later, "alice", None), Some(much_later));
    }

    #[test]
    fn an_order_denies_nobody_else() {
        let names = ["bob", "c1", "room", ""];
        let orders = names.map(|name| order(Target::Subject(name.into()), None));
        assert!(!Revocations::new(&orders).deny(UnixTime(150), &claimed(None)));
        let orders = ["alice", "c2"].map(|name| order(Target::Id(name.into()), None));
        assert!(!Revocations::new(&orders).deny(UnixTime(150), &claimed(None)));
    }

    #[test]
    fn a_ban_denies_whenever_a_credential_was_minted_whatever_other_orders_say() {
        let subject = || Target::Subject("alice".into());
        let orders = Revocations::new(&[order(subject(), Some(200)), order(subject(), None)]);
        assert!(orders.deny(UnixTime(1_000_000), &claimed(Some(999_999))));
        assert_eq!(orders.mintable_from(UnixTime(150), "alice", None), None);
        assert_eq!(orders.mintable_from(UnixTime(150), "bob", None), Some(UnixTime(150)));
    }

    #[test]
    fn all_who_mint_note_the_latest_mint_time_together() {
        let before = MintTimes::default();
        let after =
            before.under(Arc::new(Revocations::new(&[order(Target::Subject("alice".into()), Some(200))])));
        assert_eq!(after.next(UnixTime(100), "alice", None), Some(UnixTime(101)));
        assert_eq!(before.next(UnixTime(100), "alice", None), Some(UnixTime(100)));
        assert_eq!((before.latest(), after.latest()), (UnixTime(101), UnixTime(101)));
        let banned = after.under(Arc::new(Revocations::new(&[order(Target::Subject("alice".into()), None)])));
        assert_eq!(banned.next(UnixTime(900), "alice", None), None);
        assert_eq!(banned.latest(), UnixTime(101), "nothing was minted");
        let mut told = after.clone();
        told.renew(banned);
        told.renew(after);
        assert_eq!(told.next(UnixTime(900), "alice", None), None, "what is older changes nothing");
    }

    #[test]
    fn a_call_that_ended_voids_its_credentials_whenever_they_were_minted_until_its_end() {
        let orders = Revocations::new(&[order(Target::Call("call".into()), Some(200))]);
        assert!(!orders.is_empty());
        assert!([None, Some(99), Some(150)].iter().all(|at| orders.deny(UnixTime(150), &claimed(*at))));
        assert!(!orders.deny(UnixTime(200), &claimed(None)));
        let other = Claimed { call_id: Some("other"), ..claimed(None) };
        assert!(!orders.deny(UnixTime(150), &other));
        assert!(!orders.deny(UnixTime(150), &Claimed { call_id: None, subject: "call", ..other }));
        assert_eq!(orders.mintable_from(UnixTime(150), "call", Some("call")), Some(UnixTime(150)));
    }

    #[test]
    fn what_is_minted_in_the_second_of_an_order_says_the_next_one() {
        let orders = Revocations::new(&[order(Target::Label("room".into()), Some(200))]);
        let from = orders.mintable_from(UnixTime(100), "alice", Some("room"));
        assert_eq!(from, Some(UnixTime(101)));
        assert!(!orders.deny(UnixTime(100), &claimed(from.map(|from| from.0))));
        assert_eq!(orders.mintable_from(UnixTime(150), "alice", Some("room")), Some(UnixTime(150)));
    }
}
