//! The last five minutes, second by second: what the keeper of the books notes for those who look.
//!
//! All of it are differences of what is counted anyway, so that the seconds add up to what `/metrics` shows: traffic by
//! door as the drivers tell it to the books, everything else from the counters that they publish.

use super::failures::{self, Failure};
use crate::base::{Now, Timestamp, Traffic, Transport};
use crate::http::Sources;
use crate::metrics::{CounterId, History, Label, Snapshot};
use std::net::SocketAddr;
use std::ops::Range;

/// Whole seconds that are kept.
const SECONDS_MAX: usize = 300;

/// Doors with columns of their own; all others share one.
const DOORS_MAX: usize = 64;

/// Columns in front of those of [`counted`]: packets from clients and from peers.
const PACKETS: usize = 2;

/// So far the wall clock may be from what the numbers of the seconds say.
const CLOCK_OFF_MAX_S: u64 = 5;

/// Seconds of "lately".
const LATELY_S: u64 = 60;

/// A door.
pub type DoorName = (Transport, SocketAddr);

/// What is counted in each second. A second is known by its number, which is about the seconds since 1970 when it began:
/// a daemon that starts again goes on with later ones.
#[derive(Debug)]
pub struct Seconds {
    history: History,
    /// What the number of a second is ahead of the monotonic clock.
    ahead: u64,
    before: Option<Snapshot>,
    doors: Vec<DoorName>,
    /// There are more doors than have columns of their own.
    has_others: bool,
}

/// Datagrams dropped for one reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Drops {
    pub(super) reason: &'static str,
    pub(super) title: &'static str,
    /// In each of the seconds asked for.
    pub(super) per_s: Vec<u64>,
}

impl Seconds {
    /// Begins to count for these doors.
    pub fn begin(now: Now, doors: Vec<DoorName>) -> Self {
        let ahead = now.unix.0.saturating_sub(now.at.as_secs());
        let history = History::new(now.at, SECONDS_MAX);
        let mut seconds = Self { history, ahead, before: None, doors: Vec::new(), has_others: false };
        for door in doors {
            seconds.place(door);
        }
        seconds
    }

    /// Follows a wall clock that was set, or that went on while the machine slept: all seconds get other numbers then.
    pub fn keep_time(&mut self, now: Now) {
        let ahead = now.unix.0.saturating_sub(now.at.as_secs());
        if ahead.abs_diff(self.ahead) > CLOCK_OFF_MAX_S {
            self.ahead = ahead;
        }
    }

    /// Notes what was relayed since the last time, and what `sum` counted since then.
    pub fn note(
        &mut self,
        now: Timestamp,
        relayed: impl IntoIterator<Item = (DoorName, Traffic)>,
        sum: Snapshot,
    ) {
        let earlier = |id| self.before.as_ref().map_or(0, |before| before.value(id));
        let mut counts = vec![0; PACKETS];
        counts.extend(counted().map(|id| sum.value(id).saturating_sub(earlier(id))));
        let doors_at = counts.len();
        for (door, traffic) in relayed {
            let at = doors_at + 2 * self.place(door);
            if counts.len() < at + 2 {
                counts.resize(at + 2, 0);
            }
            counts[0] += traffic.packets_from_client;
            counts[1] += traffic.packets_from_peer;
            counts[at] += traffic.bytes_from_client;
            counts[at + 1] += traffic.bytes_from_peer;
        }
        self.before = Some(sum);
        self.history.record(now, &counts);
    }

    /// Numbers of the seconds behind `since`; of all that are kept without it.
    pub(super) fn after(&self, since: Option<u64>) -> Range<u64> {
        let kept = self.history.seconds();
        let (first, end) = (kept.start + self.ahead, kept.end + self.ahead);
        // One that is still to come is of a daemon whose clock was ahead.
        let since = since.filter(|since| *since < end);
        since.map_or(first, |since| since.saturating_add(1).max(first))..end
    }

    /// The doors, in the order of their places.
    pub(super) fn doors(&self) -> impl Iterator<Item = String> {
        let name =
            |(transport, address): &DoorName| format!("{} {address}", Transport::VALUES[transport.index()]);
        self.doors.iter().map(name).chain(self.has_others.then(|| "other".to_owned()))
    }

    /// Bits from the clients of the door at this place, and to them, in each of these seconds.
    pub(super) fn bits(&self, place: usize, seconds: &Range<u64>) -> [Vec<u64>; 2] {
        let at = PACKETS + counted().count() + 2 * place;
        [at, at + 1].map(|at| self.column(at, seconds).map(|bytes| bytes * 8).collect())
    }

    /// Packets from clients and to them, in each of these seconds.
    pub(super) fn packets(&self, seconds: &Range<u64>) -> [Vec<u64>; 2] {
        [0, 1].map(|at| self.column(at, seconds).collect())
    }

    /// What was dropped in these seconds, by reason.
    pub(super) fn drops(&self, seconds: &Range<u64>) -> impl Iterator<Item = Drops> {
        failures::drops().enumerate().map(move |(at, (_, reason, title))| Drops {
            reason,
            title,
            per_s: self.column(PACKETS + at, seconds).collect(),
        })
    }

    /// All failures with their counts of the last minute.
    pub(super) fn failures_lately(&self) -> impl Iterator<Item = (Failure, u64)> {
        let first = PACKETS + counted().count() - Failure::all().count();
        let end = self.history.seconds().end + self.ahead;
        let lately = end.saturating_sub(LATELY_S)..end;
        Failure::all().enumerate().map(move |(at, failure)| (failure, self.column(first + at, &lately).sum()))
    }

    /// All bits of the last whole second.
    pub(super) fn bits_now(&self) -> u64 {
        let end = self.history.seconds().end + self.ahead;
        let last = end.saturating_sub(1)..end;
        let doors = self.doors().enumerate();
        doors.flat_map(|(place, _)| self.bits(place, &last)).flatten().sum()
    }

    fn column(&self, at: usize, seconds: &Range<u64>) -> impl Iterator<Item = u64> + use<'_> {
        let ahead = self.ahead;
        self.history.column(at, seconds.start.saturating_sub(ahead)..seconds.end.saturating_sub(ahead))
    }

    fn place(&mut self, door: DoorName) -> usize {
        match self.doors.iter().position(|known| *known == door) {
            Some(place) => place,
            None if self.doors.len() < DOORS_MAX => {
                self.doors.push(door);
                self.doors.len() - 1
            }
            None => {
                self.has_others = true;
                DOORS_MAX
            }
        }
    }
}

/// What all threads have published.
pub fn published(sources: &dyn Sources) -> Snapshot {
    Snapshot::sum(sources.shards().iter().chain(sources.signaling()).map(|thread| &**thread))
}

/// Columns that threads count, in order: drops, then failures.
fn counted() -> impl Iterator<Item = CounterId> {
    failures::drops().map(|(counter, ..)| counter).chain(Failure::all().map(Failure::counter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::UnixTime;
    use crate::metrics::{
        AuthFailed, CounterSet, Dropped, Published, auth_failures, dropped, socket_receive_drops,
    };

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn door(port: u16) -> DoorName {
        (Transport::Udp, ([192, 0, 2, 1], port).into())
    }

    fn begin(doors: impl IntoIterator<Item = u16>) -> Seconds {
        Seconds::begin(Now { at: at(5000), unix: UnixTime(1000) }, doors.into_iter().map(door).collect())
    }

    fn traffic(bytes: u64) -> Traffic {
        Traffic { bytes_from_client: bytes, bytes_from_peer: 1, packets_from_client: 2, packets_from_peer: 3 }
    }

    fn sum(counts: &[(CounterId, u64)]) -> Snapshot {
        let (mut set, published) = (CounterSet::default(), Published::default());
        counts.iter().for_each(|(id, count)| set.add(*id, *count));
        set.publish(&published);
        Snapshot::sum([&published])
    }

    #[test]
    fn traffic_is_told_by_door_in_bits_and_packets_of_all_together() {
        let mut seconds = begin([1, 2]);
        seconds.note(at(6000), [(door(2), traffic(10)), (door(3), traffic(5))], sum(&[]));
        seconds.note(at(7000), [(door(2), traffic(1)), (door(2), traffic(1))], sum(&[]));
        let all = seconds.after(None);
        assert_eq!(all, 1000..1002);
        let names: Vec<_> = seconds.doors().collect();
        assert_eq!(names, ["udp 192.0.2.1:1", "udp 192.0.2.1:2", "udp 192.0.2.1:3"]);
        assert_eq!(seconds.bits(0, &all), [[0, 0], [0, 0]]);
        assert_eq!(seconds.bits(1, &all), [[80, 16], [8, 16]]);
        assert_eq!(seconds.bits(2, &all), [[40, 0], [8, 0]]);
        assert_eq!(seconds.packets(&all), [[4, 4], [6, 6]]);
        assert_eq!(seconds.bits_now(), 32);
    }

    #[test]
    fn counters_are_told_as_what_came_and_a_reason_by_its_own_name() {
        let mut seconds = begin([]);
        let failed = auth_failures(AuthFailed::Expired);
        let counts =
            |n| sum(&[(dropped(Dropped::TooBig), 7 * n), (socket_receive_drops(), n), (failed, 2 * n)]);
        seconds.note(at(6000), [], counts(1));
        seconds.note(at(7000), [], counts(1));
        seconds.note(at(8000), [], counts(3));
        let all = seconds.after(None);
        for drops in seconds.drops(&all) {
            let right = match drops.reason {
                "too_big" => [7, 0, 14],
                "receive_buffer_full" => [1, 0, 2],
                _ => [0; 3],
            };
            assert_eq!(drops.per_s, right, "{drops:?}");
        }
        for (failure, lately) in seconds.failures_lately() {
            let is_it = failure == Failure::Credential(AuthFailed::Expired);
            assert_eq!(lately, if is_it { 6 } else { 0 }, "{failure:?}");
        }
        seconds.note(at(67_000), [], counts(3));
        assert_eq!(seconds.failures_lately().map(|(_, lately)| lately).sum::<u64>(), 4, "of a minute");
    }

    #[test]
    fn who_was_here_gets_what_came_since_and_who_knows_a_later_time_gets_all() {
        let mut seconds = begin([]);
        seconds.note(at(8500), [], sum(&[]));
        assert_eq!(seconds.after(None), 1000..1003);
        for (since, first) in
            [(0, 1000), (999, 1000), (1000, 1001), (1002, 1003), (1003, 1000), (u64::MAX, 1000)]
        {
            assert_eq!(seconds.after(Some(since)), first..1003, "{since}");
        }
    }

    #[test]
    fn the_numbers_follow_a_clock_that_was_set_and_not_one_that_drifts() {
        let mut seconds = begin([]);
        seconds.note(at(7000), [], sum(&[]));
        let set = |unix| Now { at: at(7000), unix: UnixTime(unix) };
        for (unix, all) in [(1002, 1000..1002), (1006, 1000..1002), (9_002, 9_000..9_002), (502, 500..502)] {
            seconds.keep_time(set(unix));
            assert_eq!(seconds.after(None), all);
        }
    }

    #[test]
    fn doors_beyond_the_bound_share_one_line() {
        let mut seconds = begin(0..64);
        seconds.note(at(6000), (0..70).map(|port| (door(port), traffic(1))), sum(&[]));
        let all = seconds.after(None);
        assert_eq!((seconds.doors().count(), seconds.doors().last().as_deref()), (65, Some("other")));
        assert_eq!(
            (seconds.bits(63, &all), seconds.bits(64, &all)),
            ([vec![8], vec![8]], [vec![48], vec![48]])
        );
    }
}
