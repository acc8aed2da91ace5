//! Pairs of users that have messages.

use super::hub::Timer;
use super::talk::Talk;
use super::{Hub, Refusal};
use crate::base::{Now, TimerId, Timestamp};
use crate::metrics::SignalingError;
use ahash::RandomState;
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;

/// All pairs. A pair is in the order of names, so that both mean the same one.
#[derive(Debug)]
pub(super) struct Pairs {
    by_names: HashMap<(Arc<str>, Arc<str>), u32, RandomState>,
    slab: Slab<Pair>,
}

#[derive(Debug)]
struct Pair {
    names: (Arc<str>, Arc<str>),
    talk: Talk,
    used_at: Timestamp,
}

impl Hub {
    /// Nothing may have been said between two users for a while.
    pub(super) fn on_pair_timer(&mut self, now: Now, place: u32) {
        let Some(pair) = self.pairs.slab.get(place as usize) else { return };
        let end = pair.used_at.after(self.settings.rooms.idle);
        if end > now.at {
            // Nobody takes the timer of a pair back, so that nobody needs its number.
            self.timers.schedule(end, Timer::Pair(place));
            return;
        }
        let mut pair = self.pairs.slab.remove(place as usize);
        self.pairs.by_names.remove(&pair.names);
        pair.talk.clear(&mut self.talk_bytes);
    }
}

impl Pairs {
    pub(super) fn new(hasher: &RandomState) -> Self {
        Self { by_names: HashMap::with_hasher(hasher.clone()), slab: Slab::new() }
    }

    /// What the two said to each other.
    pub(super) fn find(&self, one: &Arc<str>, other: &Arc<str>) -> Option<&Talk> {
        let place = self.by_names.get(&in_order(one, other))?;
        self.slab.get(*place as usize).map(|pair| &pair.talk)
    }

    /// The same, from now on; `timer` watches over a new pair.
    pub(super) fn talk(
        &mut self,
        one: &Arc<str>,
        other: &Arc<str>,
        now: Timestamp,
        total: usize,
        timer: impl FnOnce(u32) -> TimerId,
    ) -> Result<&mut Talk, Refusal> {
        let names = in_order(one, other);
        let place = match self.by_names.get(&names) {
            Some(place) => *place,
            None if self.slab.len() >= total => {
                return Err(Refusal::new(
                    SignalingError::TooLarge,
                    "the server has no place for another conversation",
                ));
            }
            None => {
                let pair = Pair { names: names.clone(), talk: Talk::default(), used_at: now };
                let place = self.slab.insert(pair) as u32;
                self.by_names.insert(names, place);
                timer(place);
                place
            }
        };
        let pair = &mut self.slab[place as usize];
        pair.used_at = now;
        Ok(&mut pair.talk)
    }
}

fn in_order(one: &Arc<str>, other: &Arc<str>) -> (Arc<str>, Arc<str>) {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    (Arc::clone(first), Arc::clone(second))
}
