//! The latest messages of one room or of one pair of users, in memory.

use super::settings::MessageSettings;
use std::collections::VecDeque;

/// A conversation: numbers its messages and keeps the latest.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// The number of the latest message; the first one is 1.
    pub(super) seq: u64,
    kept: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    seq: u64,
    /// The object that `message:receive` carried.
    json: Box<str>,
}

impl Talk {
    /// Keeps a message. `total` is the sum over all conversations: while it is at its bound nothing new is kept.
    pub(super) fn keep(&mut self, settings: &MessageSettings, total: &mut usize, json: &str) {
        let cost = json.len() + size_of::<Kept>();
        while !self.kept.is_empty()
            && (self.kept.len() >= settings.history_events
                || self.bytes + cost > settings.history_bytes
                || *total + cost > settings.history_bytes_total)
        {
            self.forget_first(total);
        }
        if cost <= settings.history_bytes
            && settings.history_events > 0
            && *total + cost <= settings.history_bytes_total
        {
            self.bytes += cost;
            *total += cost;
            self.kept.push_back(Kept { seq: self.seq, json: Box::from(json) });
        }
    }

    /// The messages below `before`, oldest first, each with its number.
    pub(super) fn before(&self, before: u64) -> impl Iterator<Item = (u64, &str)> {
        let end = self.kept.partition_point(|kept| kept.seq < before);
        self.kept.range(..end).map(|kept| (kept.seq, &*kept.json))
    }

    /// Whether no message is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, total: &mut usize) {
        *total -= self.bytes;
        self.bytes = 0;
        self.kept = VecDeque::new();
    }

    fn forget_first(&mut self, total: &mut usize) {
        if let Some(first) = self.kept.pop_front() {
            let cost = first.json.len() + size_of::<Kept>();
            self.bytes -= cost;
            *total -= cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk_of(settings: &MessageSettings, total: &mut usize, count: u64) -> Talk {
        let mut talk = Talk::default();
        for seq in 1..=count {
            talk.seq = seq;
            talk.keep(settings, total, &format!("\"message {seq}\""));
        }
        talk
    }

    #[test]
    fn the_latest_hundred_are_there_in_order() {
        let (settings, mut total) = (MessageSettings::default(), 0);
        let talk = talk_of(&settings, &mut total, 120);
        let numbers = |before| talk.before(before).map(|(seq, _)| seq).collect::<Vec<_>>();
        assert_eq!(numbers(u64::MAX), (21..=120).collect::<Vec<_>>());
        assert_eq!(numbers(23), [21, 22]);
        assert!(numbers(21).is_empty());
    }

    #[test]
    fn bytes_are_bounded_for_each_and_for_all() {
        let each = MessageSettings { history_bytes: 200, ..MessageSettings::default() };
        let mut total = 0;
        let mut talk = talk_of(&each, &mut total, 50);
        assert!(total <= 200 && total > 100);
        let all = MessageSettings { history_bytes_total: 100, ..each };
        talk.keep(&all, &mut total, "\"fits\"");
        assert!(total <= 100);
        let other = talk_of(&MessageSettings { history_bytes_total: 0, ..each }, &mut total, 3);
        assert!(other.is_empty(), "no room is left for others");
        talk.clear(&mut total);
        assert_eq!(total, 0);
    }
}
