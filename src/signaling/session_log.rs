//! What one session still has to send and what it may have to send again, in one queue.
//!
//! ```text
//!   pushes:   [ sent, kept for a resume | not sent yet ]      ascending `seq`
//!   answers:  [ each after the push that was the last when it was given ]   sent once, never again
//! ```
//! A client that lost its connection names the last event that it has; everything behind it is sent again, once and in
//! order, or nothing at all: when something behind it is no longer kept, that is a gap.

use super::{Class, Outgoing, Push, Refusal};
use crate::base::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Bounds of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Events that are kept, sent or not.
    pub events_max: usize,
    /// Their bytes.
    pub bytes_max: usize,
    /// How long an event is kept after it was queued, once it was sent.
    pub window: Duration,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { events_max: 256, bytes_max: 512 << 10, window: Duration::from_secs(120) }
    }
}

impl LogSettings {
    /// What may wait unsent. The rest is room for what comes between the close of a transport that does not keep up
    /// and the return of its client, so that such a client loses nothing either.
    fn unsent_max(&self, catching_up: bool) -> (usize, usize) {
        if catching_up {
            (self.events_max, self.bytes_max)
        } else {
            (self.events_max / 4 * 3, self.bytes_max / 4 * 3)
        }
    }
}

/// The outbox of a session and its ring for recovery.
#[derive(Debug, Default)]
pub(super) struct Log {
    pushes: VecDeque<Kept>,
    /// How many of `pushes`, from the front, were sent.
    sent: usize,
    answers: VecDeque<Answer>,
    /// Bytes of all `pushes`, and of those not sent together with the answers.
    bytes: usize,
    unsent_bytes: usize,
    /// The latest event that was queued, the latest that was ever sent, and the latest that this transport got.
    queued_seq: u64,
    sent_seq: u64,
    position_seq: u64,
    /// The latest event that was given up though a resumed client would need it.
    lost_seq: u64,
    /// Coalescing events among `pushes`, and droppable ones; the latter are never kept once they were sent.
    coalescing: u32,
    droppable: u32,
    /// Events are being replayed, and more than half of the queue has been in use ever since.
    catching_up: bool,
}

#[derive(Debug)]
struct Kept {
    push: Arc<Push>,
    bytes: u32,
    /// When it was queued, in whole seconds.
    at_s: u32,
    /// Hash of its key; 0 for events that do not coalesce.
    key: u32,
}

#[derive(Debug)]
struct Answer {
    /// It goes out behind this event.
    after_seq: u64,
    ack: u64,
    result: Result<Box<str>, Refusal>,
}

/// What became of an event for one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It will be sent.
    Fits,
    /// It will be sent, instead of an earlier one that was not sent yet.
    Replaced,
    /// It was left out.
    Dropped,
    /// Too much waits: the transport is to be closed. The event is kept for the resume.
    Overflow,
}

/// Something behind the client's offset is not kept, or the offset lies ahead of all that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap;

/// Memory of an event beside its text: entries, counts and what the frames around it take.
const EVENT_OVERHEAD_BYTES: usize = 64;

impl Log {
    /// Adds an event; its `seq` is greater than that of all before it.
    pub(super) fn push(&mut self, now: Timestamp, settings: &LogSettings, push: Arc<Push>) -> Queued {
        let bytes = push.data.len()
            + push.event.len()
            + push.attachments.iter().map(bytes::Bytes::len).sum::<usize>()
            + EVENT_OVERHEAD_BYTES;
        let is_droppable = push.class == Class::Droppable;
        if is_droppable && !self.has_room_for_droppable(settings, bytes) {
            return Queued::Dropped;
        }
        let key = key_of(&push.class);
        let replaced = key != 0 && self.remove_key(key, &push.class);
        self.queued_seq = push.seq;
        self.bytes += bytes;
        self.unsent_bytes += bytes;
        self.coalescing += u32::from(key != 0);
        self.droppable += u32::from(is_droppable);
        let at_s = now.as_secs() as u32;
        self.pushes.push_back(Kept { push, bytes: bytes as u32, at_s, key });
        self.trim(now, settings);
        if self.is_over(settings) {
            return Queued::Overflow;
        }
        if replaced { Queued::Replaced } else { Queued::Fits }
    }

    /// Adds an answer. `false` when too much waits: the transport is to be closed.
    pub(super) fn answer(
        &mut self,
        settings: &LogSettings,
        ack: u64,
        result: Result<Box<str>, Refusal>,
    ) -> bool {
        self.unsent_bytes += answer_bytes(&result);
        self.answers.push_back(Answer { after_seq: self.queued_seq, ack, result });
        !self.is_over(settings)
    }

    /// The next thing to send. Nothing any more once an unsent event had to go: behind the hole the client's offset
    /// would say that it has what it never got.
    pub(super) fn pop(&mut self, settings: &LogSettings) -> Option<Outgoing> {
        if self.has_hole() {
            return None;
        }
        let next_seq = self.pushes.get(self.sent).map(|kept| kept.push.seq);
        if let Some(answer) =
            self.answers.pop_front_if(|answer| next_seq.is_none_or(|seq| answer.after_seq < seq))
        {
            self.unsent_bytes -= answer_bytes(&answer.result);
            self.settle(settings);
            return Some(Outgoing::Answer { ack: answer.ack, result: answer.result });
        }
        let kept = self.pushes.get(self.sent)?;
        let push = Arc::clone(&kept.push);
        self.unsent_bytes -= kept.bytes as usize;
        self.position_seq = push.seq;
        self.sent_seq = self.sent_seq.max(push.seq);
        if push.class == Class::Droppable {
            self.remove(self.sent);
        } else {
            self.sent += 1;
        }
        self.settle(settings);
        Some(Outgoing::Push(push))
    }

    /// The transport is gone: answers have nobody to go to any more, droppable events nobody to wait for.
    pub(super) fn detach(&mut self) {
        let answered: usize = self.answers.iter().map(|answer| answer_bytes(&answer.result)).sum();
        self.unsent_bytes -= answered;
        self.answers = VecDeque::new();
        let mut at = self.sent;
        while at < self.pushes.len() {
            if self.pushes[at].push.class == Class::Droppable {
                self.unsent_bytes -= self.pushes[at].bytes as usize;
                self.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Goes on behind `offset`, the last event that the client has; 0 when it has none.
    ///
    /// # Errors
    /// [`Gap`]; the log is as it was then.
    pub(super) fn resume(&mut self, offset: u64) -> Result<(), Gap> {
        if offset < self.lost_seq || offset > self.sent_seq {
            return Err(Gap);
        }
        while self.pushes.front().is_some_and(|kept| kept.push.seq <= offset) {
            // The client has it, and cannot go back behind what it said that it has.
            self.give_up_first();
        }
        self.unsent_bytes +=
            self.pushes.iter().take(self.sent).map(|kept| kept.bytes as usize).sum::<usize>();
        self.sent = 0;
        self.position_seq = offset;
        self.catching_up = !self.pushes.is_empty();
        Ok(())
    }

    /// Notes where the events of this session begin: `seq` was sent, and is never sent again.
    pub(super) fn begin(&mut self, seq: u64) {
        (self.queued_seq, self.sent_seq, self.position_seq) = (seq, seq, seq);
    }

    /// Gives up what was sent too long ago for any transport to be still on its way.
    pub(super) fn trim(&mut self, now: Timestamp, settings: &LogSettings) {
        let oldest_s = now.as_secs().saturating_sub(settings.window.as_secs()) as u32;
        while self.sent > 0 && self.pushes.front().is_some_and(|kept| kept.at_s < oldest_s) {
            self.give_up_first();
        }
        while self.pushes.len() - self.droppable as usize > settings.events_max
            || self.bytes > settings.bytes_max
        {
            self.give_up_first();
        }
        if self.pushes.is_empty() && self.pushes.capacity() > 8 {
            self.pushes = VecDeque::new();
        }
    }

    /// Whether there is nothing to send.
    #[cfg(test)]
    pub(super) fn is_drained(&self) -> bool {
        self.sent == self.pushes.len() && self.answers.is_empty()
    }

    /// Bytes of all events that are kept.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_over(&self, settings: &LogSettings) -> bool {
        let (events, bytes) = settings.unsent_max(self.catching_up);
        self.waiting() > events || self.unsent_bytes > bytes || self.has_hole()
    }

    fn has_hole(&self) -> bool {
        self.lost_seq > self.position_seq
    }

    /// What there is to send, droppable events aside.
    fn waiting(&self) -> usize {
        self.pushes.len() - self.sent - self.droppable as usize + self.answers.len()
    }

    /// Droppable events get a quarter of the queue, in bytes and in number.
    fn has_room_for_droppable(&self, settings: &LogSettings, bytes: usize) -> bool {
        self.unsent_bytes + bytes <= settings.bytes_max / 4
            && (self.droppable as usize) < settings.events_max / 4
    }

    fn settle(&mut self, settings: &LogSettings) {
        if self.waiting() < settings.events_max / 2 && self.unsent_bytes < settings.bytes_max / 2 {
            self.catching_up = false;
        }
        if self.answers.is_empty() && self.answers.capacity() > 4 {
            self.answers = VecDeque::new();
        }
    }

    /// The oldest goes. A droppable one that was never sent is no loss.
    fn give_up_first(&mut self) {
        let Some(first) = self.pushes.front() else { return };
        if first.push.class != Class::Droppable {
            self.lost_seq = first.push.seq;
        }
        if self.sent > 0 {
            self.sent -= 1;
        } else {
            self.unsent_bytes -= first.bytes as usize;
        }
        self.remove(0);
    }

    /// Removes the event of the same key; `true` when it had not been sent.
    fn remove_key(&mut self, key: u32, class: &Class) -> bool {
        if self.coalescing == 0 {
            return false;
        }
        let Some(at) = self.pushes.iter().rposition(|kept| kept.key == key && kept.push.class == *class)
        else {
            return false;
        };
        let was_sent = at < self.sent;
        if was_sent {
            self.sent -= 1;
        } else {
            self.unsent_bytes -= self.pushes[at].bytes as usize;
        }
        self.remove(at);
        !was_sent
    }

    /// Takes an entry out and its bytes off; `sent` and `unsent_bytes` are the caller's.
    fn remove(&mut self, at: usize) {
        if let Some(kept) = self.pushes.remove(at) {
            self.bytes -= kept.bytes as usize;
            self.coalescing -= u32::from(kept.key != 0);
            self.droppable -= u32::from(kept.push.class == Class::Droppable);
        }
    }
}

fn answer_bytes(result: &Result<Box<str>, Refusal>) -> usize {
    let text = match result {
        Ok(json) => json.len(),
        Err(refusal) => refusal.message.len(),
    };
    text + EVENT_OVERHEAD_BYTES
}

/// FNV-1a, never 0: it only spares comparing texts, so that who finds equal ones gains nothing.
fn key_of(class: &Class) -> u32 {
    match class {
        Class::Coalescing(key) => {
            let hash = key
                .bytes()
                .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
            hash.max(1)
        }
        Class::Reliable | Class::Droppable => 0,
    }
}

#[cfg(test)]
#[path = "session_log_tests.rs"]
mod tests;
