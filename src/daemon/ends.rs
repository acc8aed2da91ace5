//! Ends of calls on their way to the drivers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::UnixTime;
use crate::http::signaling::NEWS_MAX;

/// Ends that may wait for a driver: every call that there can be may end in one go.
const ENDS_MAX: usize = NEWS_MAX;

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) call_id: Arc<str>,
    /// How long its sessions may go on.
    pub(super) grace: Duration,
    /// Until when its credentials might be good for new ones.
    pub(super) until: UnixTime,
}

/// Ends in their order, and how far each driver has heard of them.
#[derive(Debug)]
pub(super) struct Ends {
    /// Those that not all have heard of.
    ends: VecDeque<End>,
    /// The number of the first of them.
    first: u64,
    /// The number of the one that each driver is to hear of next.
    next_by_driver: Vec<u64>,
}

impl Ends {
    pub(super) fn new(drivers: usize) -> Self {
        Self { ends: VecDeque::new(), first: 0, next_by_driver: vec![0; drivers] }
    }

    /// When there are too many, a driver that heard nothing for all that time misses the first of them.
    pub(super) fn note(&mut self, end: End) {
        if self.ends.len() == ENDS_MAX {
            self.forget(1);
        }
        self.ends.push_back(end);
    }

    /// Has `post` tell each driver what it has not heard of, until that refuses. Returns whether all have heard of all.
    pub(super) fn tell(&mut self, mut post: impl FnMut(usize, &End) -> bool) -> bool {
        let behind = self.first + self.ends.len() as u64;
        let mut heard = behind;
        for (driver, next) in self.next_by_driver.iter_mut().enumerate() {
            *next = (*next).max(self.first);
            let unheard = self.ends.range((*next - self.first) as usize..);
            *next += unheard.take_while(|end| post(driver, end)).count() as u64;
            heard = heard.min(*next);
        }
        self.forget((heard - self.first) as usize);
        heard == behind
    }

    fn forget(&mut self, count: usize) {
        self.ends.drain(..count);
        self.first += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(number: usize) -> End {
        End { call_id: number.to_string().into(), grace: Duration::ZERO, until: UnixTime(9) }
    }

    /// Tells as many as each driver has room for.
    fn tell(ends: &mut Ends, mut room: [usize; 2]) -> (Vec<(usize, String)>, bool) {
        let mut told = Vec::new();
        let all = ends.tell(|driver, end| {
            let has_room = room[driver] > 0;
            if has_room {
                room[driver] -= 1;
                told.push((driver, end.call_id.to_string()));
            }
            has_room
        });
        (told, all)
    }

    #[test]
    fn each_driver_hears_of_each_end_once_and_in_order_when_it_has_room() {
        let mut ends = Ends::new(2);
        let call = |driver, number: usize| (driver, number.to_string());
        (1..=3).for_each(|number| ends.note(end(number)));
        assert_eq!(tell(&mut ends, [2, 0]), (vec![call(0, 1), call(0, 2)], false));
        ends.note(end(4));
        assert_eq!(tell(&mut ends, [9, 1]), (vec![call(0, 3), call(0, 4), call(1, 1)], false));
        assert_eq!(ends.ends.len(), 3, "what all have heard of is forgotten");
        assert_eq!(tell(&mut ends, [9, 9]), (vec![call(1, 2), call(1, 3), call(1, 4)], true));
        assert_eq!((tell(&mut ends, [9, 9]), ends.ends.len()), ((vec![], true), 0));
    }

    #[test]
    fn what_waits_for_a_driver_that_hears_nothing_is_bounded_and_the_latest_is_kept() {
        let mut ends = Ends::new(2);
        (0..ENDS_MAX + 2).for_each(|number| ends.note(end(number)));
        assert_eq!(ends.ends.len(), ENDS_MAX);
        let (told, all) = tell(&mut ends, [usize::MAX, usize::MAX]);
        assert_eq!((told.len(), all), (2 * ENDS_MAX, true));
        assert_eq!(told.first(), Some(&(0, "2".to_owned())));
    }
}
