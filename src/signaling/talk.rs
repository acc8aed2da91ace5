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

    /// The latest messages below `before`, oldest first: at most `limit` of at most `bytes_max` bytes in all; and
    /// whether there are older ones.
    pub(super) fn history(&self, before: u64, limit: usize, bytes_max: usize) -> (Box<str>, bool) {
        let end = self.kept.partition_point(|kept| kept.seq < before);
        let (mut start, mut bytes) = (end, 0);
        while start > 0 && end - start < limit {
            bytes += self.kept[start - 1].json.len() + 1;
            if bytes > bytes_max {
                break;
            }
            start -= 1;
        }
        let messages = super::json::array(self.kept.range(start..end).map(|kept| &*kept.json));
        (messages, start > 0)
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
    fn history_goes_backwards_page_by_page() {
        let (settings, mut total) = (MessageSettings::default(), 0);
        let talk = talk_of(&settings, &mut total, 120);
        let (page, more) = talk.history(u64::MAX, 2, 1 << 16);
        assert_eq!((&*page, more), (r#"["message 119","message 120"]"#, true));
        let (page, more) = talk.history(23, 200, 1 << 16);
        assert_eq!((&*page, more), (r#"["message 21","message 22"]"#, false));
        assert_eq!(talk.history(21, 200, 1 << 16), ("[]".into(), false));
        assert_eq!(talk.history(u64::MAX, 200, 30), (r#"["message 119","message 120"]"#.into(), true));
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
