//! Stored messages go when they are old, or when their conversation has too many of them; conversations go when the round
//! before has found them empty, and nobody asked for them since.

use crate::base::{EvenClock, Now};
use crate::net::Clock;
use crate::signaling::SURE_FOR;
use crate::storage::records::{
    ConversationRecord, CursorRecord, MessageRecord, Place, SentRecord, ThreadRecord,
};
use crate::storage::{Batch, Key, Page, Record, Store, StoreError, Table};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often they are looked through.
const EVERY: Duration = Duration::from_secs(3600);
/// What is read, and taken away, in one go: others shall not wait behind it.
const AT_ONCE: usize = 200;
/// Conversations of rooms that go in one round: they are in memory while all cursors are looked through.
const ROOMS_MAX: usize = 10_000;
/// What the hub knew of a conversation when it was found empty is doubted before it goes, and written by then.
const _: () = assert!(EVERY.as_secs() >= SURE_FOR.as_secs() + 900);

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
    let (mut gone, mut rooms) = (0, Rooms::new());
    let mut page = Page::of(Key::of(Table::Conversations), AT_ONCE);
    loop {
        let heads: Vec<ConversationRecord> = store.page(page.clone()).await?;
        let Some(last) = heads.last() else { break };
        page.from = last.key().number(0);
        let mut batches = Vec::new();
        for head in heads {
            if !head.is_emptied {
                let (messages, is_empty) = shorten(store, &head, old_ms, retention.per_conversation).await?;
                gone += messages;
                batches.extend(is_empty.then(|| mark(head)));
            } else if let Place::Users(one, other) = &head.conversation {
                batches.push(forget_pair(&head, one, other));
            } else if rooms.len() < ROOMS_MAX {
                rooms.insert(head.conversation.clone(), head);
            }
        }
        commit(store, batches).await?;
    }
    forget_rooms(store, &rooms).await?;
    Ok(gone)
}

/// Rooms whose conversations go, as they were found.
type Rooms = BTreeMap<Place, ConversationRecord>;

/// A conversation is empty, unless something was said since it was looked at.
fn mark(head: ConversationRecord) -> Batch {
    let batch = Batch::new().only_while(&head);
    batch.put(&ConversationRecord { is_emptied: true, ..head })
}

/// Who takes part in the conversation of two is known.
fn forget_pair(head: &ConversationRecord, one: &str, other: &str) -> Batch {
    let cursor = |user| CursorRecord::key_of(user, &head.conversation);
    Batch::new().only_while(head).delete(cursor(one)).delete(cursor(other)).delete(head.key())
}

/// Who takes part in a room's conversation is found among all cursors. They go before it: whenever this ends, the mark
/// stays until the last of them has gone.
async fn forget_rooms(store: &Store, rooms: &Rooms) -> Result<(), StoreError> {
    if rooms.is_empty() {
        return Ok(());
    }
    let mut page = Page::of(Key::of(Table::ReadCursors), AT_ONCE);
    loop {
        let cursors: Vec<CursorRecord> = store.page(page.clone()).await?;
        let Some(last) = cursors.last() else { break };
        page.from = last.key().number(0);
        let forget = |cursor: &CursorRecord| {
            let head = rooms.get(&cursor.conversation)?;
            Some(Batch::new().only_while(head).delete(cursor.key()))
        };
        commit(store, cursors.iter().filter_map(forget).collect()).await?;
    }
    let heads: Vec<_> = rooms.values().collect();
    for heads in heads.chunks(AT_ONCE) {
        let forget = |head: &&ConversationRecord| Batch::new().only_while(*head).delete(head.key());
        commit(store, heads.iter().map(forget).collect()).await?;
    }
    Ok(())
}

/// Writes batches that are handed over together, so that they are flushed together.
async fn commit(store: &Store, batches: Vec<Batch>) -> Result<(), StoreError> {
    let written: Vec<_> = batches.into_iter().map(|batch| store.begin_commit(batch)).collect();
    for one in written {
        one.await?;
    }
    Ok(())
}

/// Takes the oldest messages of a conversation away. Returns how many went, and whether none was left.
async fn shorten(
    store: &Store,
    head: &ConversationRecord,
    old_ms: u64,
    most: u64,
) -> Result<(usize, bool), StoreError> {
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
            return Ok((gone, over.len() == oldest.len()));
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

    fn said(conversation: &Conversation, seq: u64) -> StoredMessage {
        StoredMessage {
            conversation: conversation.clone(),
            seq,
            count: seq,
            id: format!("{conversation:?}{seq}").into(),
            from: "alice".into(),
            at_ms: seq * 1_000,
            thread: None,
            client_ref: None,
            data: "{}".into(),
        }
    }

    /// Alice has said three things in each of some conversations, and bob has read one of them.
    async fn talk(store: &Store, conversations: &[Conversation]) {
        let mut batches = Vec::new();
        for conversation in conversations {
            batches.extend((1..=3).map(|seq| batch_of(said(conversation, seq)).expect("JSON")));
            let conversation = Place::from(conversation);
            let cursor = CursorRecord { user: "bob".into(), conversation, seq: 1, count: 1 };
            batches.push(Batch::new().put(&cursor));
        }
        commit(store, batches).await.expect("written");
    }

    fn talks() -> Vec<Conversation> {
        let rooms = (0..AT_ONCE + 50).map(|n| Conversation::Room(format!("room-{n}").into()));
        rooms.chain([Conversation::Pair("alice".into(), "bob".into())]).collect()
    }

    async fn rows(store: &Store) -> (Vec<ConversationRecord>, Vec<CursorRecord>) {
        let heads = store.page(Page::of(Key::of(Table::Conversations), usize::MAX)).await.expect("read");
        (heads, store.page(Page::of(Key::of(Table::ReadCursors), usize::MAX)).await.expect("read"))
    }

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    #[tokio::test]
    async fn what_was_empty_for_a_round_goes_with_all_that_was_known_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens");
        talk(&store, &talks()).await;
        let retention = Retention::default();
        assert_eq!(sweep(&store, YEAR, retention).await, Ok(0));
        assert_eq!(sweep(&store, 2 * YEAR, retention).await, Ok(3 * talks().len()));
        let (heads, cursors) = rows(&store).await;
        assert!(heads.iter().all(|head| head.is_emptied));
        assert_eq!((heads.len(), cursors.len()), (talks().len(), 2 * talks().len()));
        // In two of them somebody speaks.
        let revived = [talks().pop().expect("a pair"), talks().swap_remove(7)];
        for conversation in &revived {
            store.commit(batch_of(said(conversation, 4)).expect("JSON")).await.expect("written");
        }
        assert_eq!(sweep(&store, 2 * YEAR, retention).await, Ok(2), "also what was said in 1970");
        let (heads, cursors) = rows(&store).await;
        assert_eq!((heads.len(), cursors.len()), (2, 4));
        assert!(heads.iter().all(|head| head.count == 4));
        sweep(&store, 2 * YEAR, retention).await.expect("swept");
        assert_eq!(rows(&store).await, (Vec::new(), Vec::new()));
    }

    #[tokio::test]
    async fn whenever_a_round_breaks_off_no_cursor_is_left_without_its_conversation() {
        // The store is closed behind so many commits of the round that takes conversations away.
        for commits in 0..6 {
            let folder = tempfile::tempdir().expect("a folder");
            let settings = StoreSettings { path: folder.path().into(), probe: None };
            let store = Store::open(&settings).expect("opens");
            talk(&store, &talks()).await;
            sweep(&store, 2 * YEAR, Retention::default()).await.expect("swept");
            assert!(store.close(Duration::from_secs(10)));
            let (sender, mut seen) = tokio::sync::mpsc::channel(1 << 10);
            let watcher = move |moment| {
                if matches!(moment, crate::storage::Moment::Fenced(_)) {
                    let _nobody_listens = sender.try_send(());
                }
            };
            let store = Store::open_watched(&settings, watcher).expect("opens");
            let sweeping = tokio::spawn({
                let store = store.clone();
                async move { sweep(&store, 2 * YEAR, Retention::default()).await }
            });
            for _ in 0..commits {
                seen.recv().await;
            }
            sweeping.abort();
            let _over = sweeping.await;
            let (heads, cursors) = rows(&store).await;
            let has_head = |cursor: &&CursorRecord| {
                heads.iter().any(|head| head.is_emptied && head.conversation == cursor.conversation)
            };
            assert_eq!(cursors.iter().filter(has_head).count(), cursors.len(), "behind {commits} commits");
            sweep(&store, 2 * YEAR, Retention::default()).await.expect("swept");
            assert_eq!(rows(&store).await, (Vec::new(), Vec::new()));
        }
    }

    #[tokio::test]
    async fn a_conversation_that_somebody_asks_for_while_it_goes_stays_with_its_cursors() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens");
        let lobby = Conversation::Room("lobby".into());
        talk(&store, std::slice::from_ref(&lobby)).await;
        sweep(&store, 2 * YEAR, Retention::default()).await.expect("swept");
        let rooms: Rooms =
            rows(&store).await.0.into_iter().map(|head| (head.conversation.clone(), head)).collect();
        let loaded = super::super::deeds::carry_out(&store, crate::signaling::Deed::Load(lobby)).await;
        assert_eq!(loaded, Ok(crate::signaling::Outcome::Loaded { seq: 3, count: 3 }));
        forget_rooms(&store, &rooms).await.expect("looked through");
        let (heads, cursors) = rows(&store).await;
        assert_eq!((heads.len(), cursors.len()), (1, 2));
    }
}
