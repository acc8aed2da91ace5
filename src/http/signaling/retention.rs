//! Stored messages go when they are old, or when their conversation has too many of them.

use crate::base::{EvenClock, Now};
use crate::net::Clock;
use crate::storage::records::{ConversationRecord, MessageRecord, SentRecord, ThreadRecord};
use crate::storage::{Batch, Key, Page, Record, Store, StoreError, Table};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

/// How often they are looked through.
const EVERY: Duration = Duration::from_secs(3600);
/// What is read, and taken away, in one go: others shall not wait behind it.
const AT_ONCE: usize = 200;

/// How long messages are kept, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long.
    pub age: Duration,
    /// So many of a conversation.
    pub per_conversation: u64,
    /// How long the name is kept under which its sender knows a message.
    pub client_ref: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(365 * 24 * 3600),
            per_conversation: 100_000,
            client_ref: Duration::from_secs(120),
        }
    }
}

/// Takes away what is over, for ever and every hour.
pub(super) async fn sweep_on(store: Store, retention: Arc<ArcSwap<Retention>>) {
    let clock = Clock::start();
    let mut even = EvenClock::new(clock.now());
    let mut pause = EvenClock::EVEN_FOR;
    loop {
        tokio::time::sleep(pause).await;
        let now = clock.now();
        pause = pause_at(&mut even, now);
        if pause < EVERY {
            continue;
        }
        let retention = **retention.load();
        match sweep(&store, Duration::from_secs(now.unix.0), retention).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "stored messages were old, and are gone"),
            Err(error) => tracing::debug!(%error, "stored messages cannot be looked through"),
        }
    }
}

/// How long until the next look: an hour when this one may be taken, and else until the wall clock is believed. One that is
/// far ahead when the machine starts would take everything away.
fn pause_at(even: &mut EvenClock, now: Now) -> Duration {
    if even.is_believed(now) { EVERY } else { EvenClock::EVEN_FOR }
}

/// Takes away what is over at `now`, since 1970. Returns how many messages went.
async fn sweep(store: &Store, now: Duration, retention: Retention) -> Result<usize, StoreError> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let sent_until = SentRecord::since(millis(now.saturating_sub(retention.client_ref)));
    store.remove_range(Key::of(Table::SentMessages), sent_until).await?;
    let old_ms = millis(now.saturating_sub(retention.age));
    let mut gone = 0;
    let mut page = Page::of(Key::of(Table::Conversations), AT_ONCE);
    loop {
        let heads: Vec<ConversationRecord> = store.page(page.clone()).await?;
        let Some(last) = heads.last() else { return Ok(gone) };
        page.from = last.key().number(0);
        for head in &heads {
            gone += shorten(store, head, old_ms, retention.per_conversation).await?;
        }
    }
}

/// Takes the oldest messages of a conversation away.
async fn shorten(
    store: &Store,
    head: &ConversationRecord,
    old_ms: u64,
    most: u64,
) -> Result<usize, StoreError> {
    let mut gone = 0;
    loop {
        let page = Page::of(MessageRecord::prefix(&head.conversation), AT_ONCE);
        let oldest: Vec<MessageRecord> = store.page(page).await?;
        let is_over =
            |one: &&MessageRecord| one.at_ms < old_ms || head.count - one.count.min(head.count) >= most;
        let over: Vec<_> = oldest.iter().take_while(is_over).collect();
        let mut batch = Batch::new();
        for one in &over {
            batch = batch.delete(one.key());
            if let Some(thread) = &one.thread {
                batch = batch.delete(ThreadRecord::prefix(&one.conversation, thread).number(one.seq));
            }
        }
        if !over.is_empty() {
            store.commit(batch).await?;
        }
        gone += over.len();
        if over.len() < AT_ONCE {
            return Ok(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Timestamp, UnixTime};
    use crate::signaling::{Conversation, StoredMessage};
    use crate::storage::StoreSettings;
    use crate::storage::records::{Place, batch_of};

    async fn left(store: &Store, conversation: &Conversation) -> Vec<u64> {
        let prefix = MessageRecord::prefix(&Place::from(conversation));
        let rows: Vec<MessageRecord> = store.page(Page::of(prefix, 1_000)).await.expect("read");
        rows.iter().map(|row| row.seq).collect()
    }

    #[test]
    fn nothing_is_taken_away_by_a_clock_that_was_set_since_the_last_look() {
        let now = |at, unix| Now { at: Timestamp::from_secs(at), unix: UnixTime(unix) };
        let mut even = EvenClock::new(now(0, 9_000_000));
        assert_eq!(pause_at(&mut even, now(600, 1_000_600)), EvenClock::EVEN_FOR, "it was ahead");
        assert_eq!(pause_at(&mut even, now(1_200, 1_001_200)), EVERY);
        assert_eq!(pause_at(&mut even, now(4_800, 9_000_000)), EvenClock::EVEN_FOR);
    }

    #[tokio::test]
    async fn old_messages_go_and_so_do_the_oldest_of_too_many() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens");
        let rooms = ["a", "b"].map(|room| Conversation::Room(room.into()));
        for conversation in &rooms {
            for seq in 1..=10_u64 {
                let message = StoredMessage {
                    conversation: conversation.clone(),
                    seq,
                    count: seq,
                    id: format!("{conversation:?}{seq}").into(),
                    from: "alice".into(),
                    at_ms: seq * 1_000,
                    thread: Some("t".into()),
                    client_ref: Some(format!("{seq}").into()),
                    data: "{}".into(),
                };
                store.commit(batch_of(message).expect("JSON")).await.expect("written");
            }
        }
        let secs = Duration::from_secs;
        let retention = Retention { age: secs(100), per_conversation: 1_000, client_ref: secs(98) };
        let swept = async |at: u64, retention| sweep(&store, secs(at), retention).await;
        assert_eq!(swept(100, retention).await, Ok(0));
        assert_eq!(swept(104, retention).await, Ok(6));
        assert_eq!(left(&store, &rooms[1]).await, (4..=10).collect::<Vec<_>>());
        let few = Retention { per_conversation: 2, ..retention };
        assert_eq!(swept(104, few).await, Ok(10));
        for conversation in &rooms {
            assert_eq!(left(&store, conversation).await, [9, 10]);
        }
        let threads: Vec<ThreadRecord> =
            store.page(Page::of(Key::of(Table::MessageThreads), 100)).await.expect("read");
        assert_eq!(threads.len(), 4);
        let sent: Vec<SentRecord> =
            store.page(Page::of(Key::of(Table::SentMessages), 100)).await.expect("read");
        assert!(sent.iter().all(|one| one.at_ms >= 6_000) && sent.len() == 10, "{sent:?}");
    }
}
