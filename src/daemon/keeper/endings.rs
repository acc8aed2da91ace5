//! Calls that have ended and whose record is not final.

use crate::base::UnixTime;
use crate::http::signaling::NEWS_MAX;
use crate::signaling::CallRecord;
use std::collections::VecDeque;
use tokio::time::Instant;

/// Calls that may wait for their final record: every call that there can be may end in one go.
const ENDINGS_MAX: usize = NEWS_MAX;

/// A call that has ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) record: Box<CallRecord>,
    /// Until when its credentials are refused.
    pub(super) void_until: UnixTime,
    /// When its sessions are over and what they relayed is told.
    pub(super) over: Instant,
}

/// Calls in the order of their ends. The grace is the same for all of them, so that is the order of [`Ending::over`].
#[derive(Debug, Default)]
pub(super) struct Endings {
    queue: VecDeque<Ending>,
    /// How many of them, in front, have been handed out to be recorded as of their end.
    noted: usize,
    /// Nobody waits for the grace any more.
    pub(super) hurry: bool,
    /// No further call ends.
    pub(super) complete: bool,
}

impl Endings {
    /// Takes a call in. When there are too many, the one that ended first is given up, and returned: its record stays as
    /// of its end.
    pub(super) fn add(&mut self, ending: Ending) -> Option<Box<CallRecord>> {
        let is_full = self.queue.len() == ENDINGS_MAX;
        let given_up = if is_full { self.queue.pop_front() } else { None };
        self.noted = self.noted.saturating_sub(usize::from(is_full));
        self.queue.push_back(ending);
        given_up.map(|ending| ending.record)
    }

    /// The next one that is over, to be recorded for good.
    pub(super) fn take_over(&mut self, now: Instant) -> Option<Ending> {
        self.queue.front().filter(|ending| self.hurry || ending.over <= now)?;
        let ending = self.queue.pop_front()?;
        self.noted = self.noted.saturating_sub(1);
        Some(ending)
    }

    /// The next one that is to be recorded as of its end.
    pub(super) fn take_new(&mut self) -> Option<&Ending> {
        let ending = self.queue.get(self.noted)?;
        self.noted += 1;
        Some(ending)
    }

    /// When there is something to write next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.front().map(|ending| ending.over)
    }

    /// Whether nothing is left to be recorded.
    pub(super) fn is_done(&self) -> bool {
        self.complete && self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ended;
    use super::*;
    use std::time::Duration;

    fn add(endings: &mut Endings, id: usize, over: Instant) -> Option<Box<str>> {
        let record = ended(&id.to_string());
        endings.add(Ending { record, void_until: UnixTime(9), over }).map(|record| record.id)
    }

    #[test]
    fn each_call_is_taken_once_when_it_is_new_and_once_when_it_is_over() {
        let (mut endings, start) = (Endings::default(), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        let new = |endings: &mut Endings| endings.take_new().map(|ending| ending.record.id.to_string());
        let over =
            |endings: &mut Endings, at| endings.take_over(at).map(|ending| ending.record.id.to_string());
        let is = |id: &str| Some(id.to_owned());
        (1..=2).for_each(|id| assert_eq!(add(&mut endings, id, later(7)), None));
        assert_eq!((new(&mut endings), over(&mut endings, start)), (is("1"), None));
        assert_eq!(add(&mut endings, 3, later(8)), None);
        assert_eq!((over(&mut endings, later(7)), endings.next_due()), (is("1"), Some(later(7))));
        // Nobody took it when it was new: now it is over, that is enough.
        assert_eq!(over(&mut endings, later(7)), is("2"));
        assert_eq!(
            (over(&mut endings, later(7)), new(&mut endings), new(&mut endings)),
            (None, is("3"), None)
        );
        endings.hurry = true;
        assert_eq!((over(&mut endings, start), endings.is_done()), (is("3"), false));
        endings.complete = true;
        assert!(endings.is_done());
    }

    #[test]
    fn more_calls_than_there_is_room_for_push_out_those_that_ended_first() {
        let (mut endings, now) = (Endings::default(), Instant::now());
        (0..ENDINGS_MAX).for_each(|id| assert_eq!(add(&mut endings, id, now), None));
        assert_eq!(endings.take_new().map(|ending| &*ending.record.id), Some("0"));
        assert_eq!(add(&mut endings, ENDINGS_MAX, now).as_deref(), Some("0"));
        assert_eq!(endings.take_new().map(|ending| &*ending.record.id), Some("1"));
        assert_eq!((endings.queue.len(), endings.noted), (ENDINGS_MAX, 1));
    }
}
