//! Conversations while there is a storage: who speaks next gets the next number, whatever becomes of the one before, and
//! nobody hears a message before those below it are on the disk or refused.

use super::bus::{Message, Request, Say};
use super::hub::Timer;
use super::json::Object;
use super::keep::{Conversation, Deed, Outcome, Purpose, StoredMessage, Unstored};
use super::limits::wait;
use super::{Hub, Refusal};
use crate::base::{Now, Timestamp};
use crate::metrics::SignalingError;
use ahash::RandomState;
use slab::Slab;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use ulid::Ulid;

/// Messages that wait in one conversation.
const LINE_MAX: usize = 64;
/// Bytes of all messages that wait.
pub(super) const WAITING_BYTES_MAX: usize = 16 << 20;
/// Users of whom one conversation remembers that they take part.
pub(super) const KNOWN_MAX: usize = 4096;

/// How long after a stored message, or after it was asked, what storage knows of a conversation is taken for known. An empty
/// conversation goes later than that.
pub const SURE_FOR: Duration = Duration::from_secs(45 * 60);

/// All conversations in which something was said lately.
#[derive(Debug)]
pub(super) struct Shelves {
    places: HashMap<Conversation, u32, RandomState>,
    slab: Slab<Shelf>,
    waiting_bytes: usize,
}

/// One conversation.
#[derive(Debug)]
struct Shelf {
    conversation: Conversation,
    numbers: Numbers,
    /// What was said and nobody has heard yet, in order.
    line: VecDeque<Waiting>,
    /// Users of whom storage knows that they take part.
    known: HashSet<Arc<str>>,
    /// It is being told of others; the line waits for that.
    is_meeting: bool,
    /// A write was refused, so the count is too high, or nobody knows; or the conversation may have gone from storage.
    is_miscounted: bool,
    /// Somebody was charged for beginning it in storage.
    is_paid: bool,
    /// When storage said where the numbers stand, or something was stored.
    sure_at: Timestamp,
    /// The last number before the numbers were asked for again: none is given twice.
    given: u64,
    used_at: Timestamp,
}

/// Where the numbers of a conversation stand.
#[derive(Clone, Copy, Debug)]
enum Numbers {
    /// Storage is asked for them.
    Awaited,
    /// The last number, and how many messages are stored.
    Known { seq: u64, count: u64 },
    /// Storage could not say; they run on in memory alone.
    Alone { seq: u64 },
}

#[derive(Debug)]
struct Waiting {
    say: Say,
    /// Others who sent the same under the same name meanwhile.
    also: Vec<Request>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Without a number.
    Said,
    /// Being written.
    Writing(Numbered),
    /// May be heard.
    Ready(Numbered),
    /// Could not be written.
    Refused(Refusal),
}

/// A message with its place in the conversation.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) id: Box<str>,
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) data: Box<str>,
}

impl Numbers {
    /// The last one that was given.
    fn last(&self) -> u64 {
        match self {
            Self::Awaited => 0,
            Self::Known { seq, .. } | Self::Alone { seq } => *seq,
        }
    }

    /// The next one, and how many messages are stored with it.
    fn next(&mut self, is_stored: bool) -> (u64, u64) {
        match self {
            Self::Awaited => (0, 0),
            Self::Known { seq, count } => {
                (*seq, *count) = (*seq + 1, *count + u64::from(is_stored));
                (*seq, *count)
            }
            Self::Alone { seq } => {
                *seq += 1;
                (*seq, 0)
            }
        }
    }
}

impl Shelves {
    pub(super) fn new(hasher: &RandomState) -> Self {
        Self { places: HashMap::with_hasher(hasher.clone()), slab: Slab::new(), waiting_bytes: 0 }
    }

    fn at(&mut self, conversation: &Conversation) -> Option<&mut Shelf> {
        self.slab.get_mut(*self.places.get(conversation)? as usize)
    }
}

impl Hub {
    /// A message gets into the line of its conversation.
    ///
    /// # Errors
    /// There is no place for it.
    pub(super) fn shelve(&mut self, now: Now, say: Say) -> Result<(), Refusal> {
        let conversation = Conversation::of(&say.party.user, &say.to);
        let bytes = say.bytes();
        if self.shelves.waiting_bytes + bytes > WAITING_BYTES_MAX {
            return Err(Unstored::Busy.into());
        }
        self.find_shelf(now, &conversation)?;
        let wants_numbers = say.store;
        let Some(shelf) = self.shelves.at(&conversation) else { return Ok(()) };
        shelf.used_at = now.at;
        if say.store && now.at.since(shelf.sure_at) >= SURE_FOR {
            shelf.is_miscounted = true;
            shelf.known.clear();
        }
        if let Some(same) = shelf.line.iter_mut().find(|other| other.say.is_same(&say)) {
            if same.also.len() >= LINE_MAX {
                return Err(full());
            }
            same.also.push(say.request);
            let origin = say.from;
            self.rest_if_stored(say.store, origin);
            return Ok(());
        }
        if shelf.line.len() >= LINE_MAX {
            return Err(full());
        }
        let is_alone = matches!(shelf.numbers, Numbers::Alone { .. });
        shelf.line.push_back(Waiting { say, also: Vec::new(), step: Step::Said });
        self.shelves.waiting_bytes += bytes;
        if is_alone && wants_numbers {
            self.ask_for_numbers(now, &conversation);
        }
        self.advance(now, &conversation);
        Ok(())
    }

    /// Storage says where the numbers of a conversation stand.
    pub(super) fn on_loaded(
        &mut self,
        now: Now,
        conversation: &Conversation,
        result: Result<Outcome, Unstored>,
    ) {
        let in_memory = self.last_in_memory(conversation);
        let Some(shelf) = self.shelves.at(conversation) else { return };
        let in_memory = in_memory.max(shelf.given);
        (shelf.sure_at, shelf.is_paid) = (now.at, false);
        shelf.numbers = match result {
            Ok(Outcome::Loaded { seq, count }) => Numbers::Known { seq: seq.max(in_memory), count },
            _ => Numbers::Alone { seq: in_memory },
        };
        self.advance(now, conversation);
    }

    /// A message is on the disk, or will never be.
    pub(super) fn on_written(
        &mut self,
        now: Now,
        conversation: &Conversation,
        seq: u64,
        result: Result<(), Unstored>,
    ) {
        let Some(shelf) = self.shelves.at(conversation) else { return };
        let is_it =
            |waiting: &&mut Waiting| matches!(&waiting.step, Step::Writing(numbered) if numbered.seq == seq);
        let Some(waiting) = shelf.line.iter_mut().find(is_it) else { return };
        let step = std::mem::replace(&mut waiting.step, Step::Said);
        shelf.is_miscounted |= result.is_err();
        waiting.step = match (step, result) {
            (Step::Writing(numbered), Ok(())) => Step::Ready(numbered),
            (_, Err(why)) => Step::Refused(why.into()),
            (step, Ok(())) => step,
        };
        self.advance(now, conversation);
    }

    /// Nothing may have been said for a while.
    pub(super) fn on_shelf_timer(&mut self, now: Now, place: u32) {
        let Some(shelf) = self.shelves.slab.get(place as usize) else { return };
        let end = shelf.used_at.after(self.settings.rooms.idle);
        if end > now.at || !shelf.line.is_empty() {
            let at = end.max(now.at.after(Duration::from_secs(60)));
            self.timers.schedule(at, Timer::Shelf(place));
            return;
        }
        let shelf = self.shelves.slab.remove(place as usize);
        self.shelves.places.remove(&shelf.conversation);
    }

    fn find_shelf(&mut self, now: Now, conversation: &Conversation) -> Result<(), Refusal> {
        if self.shelves.places.contains_key(conversation) {
            return Ok(());
        }
        if self.shelves.slab.len() >= self.settings.messages.pairs_total {
            return Err(Refusal::new(
                SignalingError::TooLarge,
                "the server has no place for another conversation",
            ));
        }
        self.have_done(Purpose::Load(conversation.clone()), Deed::Load(conversation.clone()))?;
        let place = self.shelves.slab.insert(Shelf {
            conversation: conversation.clone(),
            numbers: Numbers::Awaited,
            line: VecDeque::new(),
            known: HashSet::new(),
            is_meeting: false,
            is_miscounted: false,
            is_paid: false,
            sure_at: now.at,
            given: 0,
            used_at: now.at,
        }) as u32;
        self.shelves.places.insert(conversation.clone(), place);
        self.timers.schedule(now.at.after(self.settings.rooms.idle), Timer::Shelf(place));
        Ok(())
    }

    fn ask_for_numbers(&mut self, now: Now, conversation: &Conversation) {
        let asked = self.have_done(Purpose::Load(conversation.clone()), Deed::Load(conversation.clone()));
        if asked.is_ok()
            && let Some(shelf) = self.shelves.at(conversation)
        {
            shelf.numbers = Numbers::Awaited;
            shelf.used_at = now.at;
        }
    }

    /// Gives numbers to those who have none, and lets those be heard whom nobody waits before.
    fn advance(&mut self, now: Now, conversation: &Conversation) {
        self.number_line(now, conversation);
        while let Some(shelf) = self.shelves.at(conversation) {
            let is_over = |step: &Step| matches!(step, Step::Ready(_) | Step::Refused(_));
            let Some(first) = shelf.line.pop_front_if(|first| is_over(&first.step)) else { return };
            self.shelves.waiting_bytes -= first.say.bytes();
            self.rest_if_stored(first.say.store, first.say.from);
            match first.step {
                Step::Ready(numbered) => self.heard(now, &first.say, &first.also, numbered),
                Step::Refused(refusal) => {
                    for request in first.also.into_iter().chain([first.say.request]) {
                        self.publish(Message::Answer { request, result: Err(refusal.clone()) });
                    }
                }
                Step::Said | Step::Writing(_) => {}
            }
        }
    }

    fn number_line(&mut self, now: Now, conversation: &Conversation) {
        while let Some(shelf) = self.shelves.at(conversation) {
            if shelf.is_meeting || matches!(shelf.numbers, Numbers::Awaited) {
                return;
            }
            let is_said = |waiting: &Waiting| matches!(waiting.step, Step::Said);
            let Some(at) = shelf.line.iter().position(is_said) else { return };
            if !self.is_counted(now, conversation) {
                return;
            }
            let Some(shelf) = self.shelves.at(conversation) else { return };
            if !shelf.line[at].say.store {
                self.number(now, conversation, at);
            } else if matches!(shelf.numbers, Numbers::Alone { .. }) {
                shelf.line[at].step = Step::Refused(Unstored::Unavailable.into());
            } else if let Err(refusal) = self.pay(now, conversation, at) {
                let Some(shelf) = self.shelves.at(conversation) else { return };
                shelf.line[at].step = Step::Refused(refusal);
            } else if !self.has_to_meet(conversation, at) {
                self.number(now, conversation, at);
            }
        }
    }

    /// The first message that is stored of a conversation makes more than a message: its sender is charged for that, before
    /// storage hears of anybody who takes part.
    fn pay(&mut self, now: Now, conversation: &Conversation, at: usize) -> Result<(), Refusal> {
        let Some(shelf) = self.shelves.at(conversation) else { return Ok(()) };
        let is_new = matches!(shelf.numbers, Numbers::Known { count: 0, .. });
        if !is_new || shelf.is_paid {
            return Ok(());
        }
        let sender = shelf.line[at].say.party.user.clone();
        self.spend_conversation(now, &sender)?;
        self.shelves.at(conversation).into_iter().for_each(|shelf| shelf.is_paid = true);
        Ok(())
    }

    /// Gives the next number to what was said at this place of the line, and has it written where that is wanted.
    fn number(&mut self, now: Now, conversation: &Conversation, at: usize) {
        let at_ms = self.clock.unix_ms(now);
        let id = Ulid::from_parts(at_ms, u128::from_le_bytes(self.random.bytes()));
        let Some(shelf) = self.shelves.at(conversation) else { return };
        let Waiting { say, step, .. } = &mut shelf.line[at];
        let (seq, count) = shelf.numbers.next(say.store);
        let id = id.to_string().into_boxed_str();
        let data = super::messages::write(say, &id, seq, at_ms);
        let numbered = Numbered { id, seq, at: at_ms, data };
        if !say.store {
            *step = Step::Ready(numbered);
            return;
        }
        let message = Box::new(stored(conversation, say, &numbered, count));
        shelf.sure_at = now.at;
        *step = Step::Writing(numbered);
        let asked = self.have_done(Purpose::Write(conversation.clone(), seq), Deed::Write(message));
        if let (Err(refusal), Some(shelf)) = (asked, self.shelves.at(conversation)) {
            shelf.line[at].step = Step::Refused(refusal);
            shelf.is_miscounted = true;
        }
    }

    /// Behind a refused write the numbers are asked for again, once nothing is being written: the refused message was
    /// counted, and all behind it would be. `false` while numbers are to wait for that.
    fn is_counted(&mut self, now: Now, conversation: &Conversation) -> bool {
        let Some(shelf) = self.shelves.at(conversation).filter(|shelf| shelf.is_miscounted) else {
            return true;
        };
        if shelf.line.iter().any(|waiting| matches!(waiting.step, Step::Writing(_))) {
            return false;
        }
        shelf.is_miscounted = false;
        // Where storage has no time for the question, they run on in memory, and the next stored message asks.
        shelf.given = shelf.numbers.last();
        shelf.numbers = Numbers::Alone { seq: shelf.given };
        self.ask_for_numbers(now, conversation);
        self.shelves.at(conversation).is_some_and(|shelf| !matches!(shelf.numbers, Numbers::Awaited))
    }

    /// Those whom a stored message is for take part in its conversation before it is written: else a crash between the two
    /// would leave it unread by nobody. Whether that is still to be done.
    fn has_to_meet(&mut self, conversation: &Conversation, at: usize) -> bool {
        let users: Vec<Arc<str>> = match conversation {
            Conversation::Pair(one, other) => vec![one.clone(), other.clone()],
            Conversation::Room(room) => {
                let members = self.town.rooms.find(room).map_or(&[][..], |room| &room.members);
                let sessions = members.iter().filter_map(|member| self.town.sessions.get(member.session));
                sessions.map(|session| session.identity.user.clone()).collect()
            }
        };
        let Some(shelf) = self.shelves.at(conversation) else { return false };
        // What is written says that its sender takes part.
        shelf.known.insert(shelf.line[at].say.party.user.clone());
        let mut news = Vec::new();
        for user in users {
            if shelf.known.len() < KNOWN_MAX && shelf.known.insert(user.clone()) {
                news.push(user);
            }
        }
        let before = shelf.numbers.last() + 1;
        if news.is_empty() {
            return false;
        }
        shelf.is_meeting = true;
        let deed = Deed::Meet { conversation: conversation.clone(), users: news, before };
        if let Err(refusal) = self.have_done(Purpose::Meet(conversation.clone()), deed) {
            self.refuse_next(conversation, &refusal);
        }
        true
    }

    /// A user takes part no more, as far as storage will know.
    pub(super) fn forget_met(&mut self, conversation: &Conversation, user: &str) {
        if let Some(shelf) = self.shelves.at(conversation) {
            shelf.known.remove(user);
        }
    }

    /// Storage knows who takes part, or cannot.
    pub(super) fn on_met(&mut self, now: Now, conversation: &Conversation, result: Result<(), Unstored>) {
        match result {
            Err(why) => self.refuse_next(conversation, &why.into()),
            Ok(()) => {
                self.shelves.at(conversation).into_iter().for_each(|shelf| shelf.is_meeting = false);
            }
        }
        self.advance(now, conversation);
    }

    /// The next message cannot be stored, and the one behind it tries anew.
    fn refuse_next(&mut self, conversation: &Conversation, refusal: &Refusal) {
        let Some(shelf) = self.shelves.at(conversation) else { return };
        shelf.is_meeting = false;
        shelf.known.clear();
        let next = shelf.line.iter_mut().find(|waiting| matches!(waiting.step, Step::Said));
        next.into_iter().for_each(|waiting| waiting.step = Step::Refused(refusal.clone()));
    }

    /// A message is heard: answered, kept in memory, and brought to those whom it is for.
    fn heard(&mut self, now: Now, say: &Say, also: &[Request], numbered: Numbered) {
        let Numbered { id, seq, at, data } = numbered;
        let answer = Object::new().text("id", &id).number("seq", seq).number("at", at).finish();
        self.remember(now, say, &answer);
        for request in also {
            self.publish(Message::Answer { request: *request, result: Ok(answer.clone()) });
        }
        self.publish(Message::Answer { request: say.request, result: Ok(answer) });
        self.put_in_memory(now, say, seq, &data);
        self.tell_all(say, &id, seq, data);
    }

    fn rest_if_stored(&mut self, is_stored: bool, origin: super::bus::Origin) {
        if is_stored {
            self.rest(origin);
        }
    }
}

fn stored(conversation: &Conversation, say: &Say, numbered: &Numbered, count: u64) -> StoredMessage {
    StoredMessage {
        conversation: conversation.clone(),
        seq: numbered.seq,
        count,
        id: numbered.id.clone(),
        from: say.party.user.clone(),
        at_ms: numbered.at,
        thread: say.thread.clone(),
        client_ref: say.client_ref.clone(),
        data: numbered.data.clone(),
    }
}

fn full() -> Refusal {
    wait("too many messages wait in this conversation", Duration::from_secs(1))
}
