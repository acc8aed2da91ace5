//! The hub's deeds, done with the storage: what takes more than one step, and so runs beside the thread.

use crate::signaling::{Conversation, Deed, HISTORY_BYTES_MAX, OpenRooms, Outcome, Unread};
use crate::storage::records::{
    ConversationRecord, CursorRecord, MessageRecord, Place, ThreadRecord, batch_of,
};
use crate::storage::{Batch, Key, Page, Record, Store, StoreError};
use std::sync::Arc;

/// Conversations that one answer tells of.
const CONVERSATIONS_MAX: usize = 256;
/// Conversations that are looked at for it: of a user with more, the others are not told of. Strangers alone do not bring
/// anybody there, as each has one conversation with them.
const LOOKED_AT_MAX: usize = 4096;
/// Those that are looked at in one go: others shall not wait behind them.
const AT_ONCE: usize = 256;

/// How often it is tried to keep a conversation that is about to go away. Only what takes it away comes between, once.
const LOAD_TRIES: usize = 4;

/// Does a deed.
///
/// # Errors
/// The storage could not.
pub(super) async fn carry_out(store: &Store, deed: Deed) -> Result<Outcome, StoreError> {
    match deed {
        Deed::Load(conversation) => load(store, &Place::from(&conversation)).await,
        Deed::Write(message) => {
            let batch = batch_of(*message).unwrap_or_default();
            store.commit(batch).await.map(|()| Outcome::Done)
        }
        Deed::Meet { conversation, users, before } => {
            meet(store, &Place::from(&conversation), &users, before).await
        }
        Deed::Read { user, conversation, seq } => read(store, &user, Place::from(&conversation), seq).await,
        Deed::History { conversation, before, thread, limit } => {
            let place = Place::from(&conversation);
            let (found, more) = match thread {
                Some(thread) => of_thread(store, &place, &thread, before, limit).await?,
                None => page(store, &place, before, limit).await?,
            };
            let messages = found.into_iter().rev();
            let messages = messages.map(|record| (record.seq, Box::from(record.message.get()))).collect();
            Ok(Outcome::History { messages, more })
        }
        Deed::Part { user, conversation } => {
            store.commit(parting(&user, &conversation)).await.map(|()| Outcome::Done)
        }
        Deed::Unread { user, rooms } => unread(store, &user, &rooms).await,
    }
}

/// Where the numbers of a conversation stand. One that was about to go away stays.
async fn load(store: &Store, conversation: &Place) -> Result<Outcome, StoreError> {
    for _ in 0..LOAD_TRIES {
        let key = ConversationRecord::key_of(conversation);
        match store.get::<ConversationRecord>(key).await? {
            None => return Ok(Outcome::Loaded { seq: 0, count: 0 }),
            Some(head) if !head.is_emptied => {
                return Ok(Outcome::Loaded { seq: head.seq, count: head.count });
            }
            Some(head) => {
                let batch = Batch::new().only_while(&head);
                store.commit(batch.put(&ConversationRecord { is_emptied: false, ..head })).await?;
            }
        }
    }
    Err(StoreError::Busy)
}

/// The last messages below `before`, the latest first, and whether there are older ones. What no answer has place for is not
/// read.
async fn page(
    store: &Store,
    conversation: &Place,
    before: u64,
    limit: usize,
) -> Result<(Vec<MessageRecord>, bool), StoreError> {
    let from = MessageRecord::prefix(conversation);
    let page = backwards(from, before, limit + 1);
    let (mut found, is_cut) = store.page_within::<MessageRecord>(page, HISTORY_BYTES_MAX).await?;
    let more = is_cut || found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

async fn of_thread(
    store: &Store,
    conversation: &Place,
    thread: &str,
    before: u64,
    limit: usize,
) -> Result<(Vec<MessageRecord>, bool), StoreError> {
    let from = ThreadRecord::prefix(conversation, thread);
    let mut entries: Vec<ThreadRecord> = store.page(backwards(from, before, limit + 1)).await?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let (mut found, mut bytes) = (Vec::<MessageRecord>::new(), 0);
    for entry in entries {
        if bytes >= HISTORY_BYTES_MAX {
            return Ok((found, true));
        }
        let key = MessageRecord::prefix(conversation).number(entry.seq);
        let message = store.get::<MessageRecord>(key).await?;
        bytes += message.as_ref().map_or(0, |record| record.message.get().len());
        found.extend(message);
    }
    Ok((found, more))
}

fn backwards(from: Key, before: u64, limit: usize) -> Page {
    let to = if before == u64::MAX { from.end() } else { Some(from.clone().number(before)) };
    Page { from, to, limit, backwards: true }
}

/// The last message below `before`, by its number and how many there were up to it; zeros for none.
async fn last_below(store: &Store, conversation: &Place, before: u64) -> Result<(u64, u64), StoreError> {
    let found: Vec<MessageRecord> =
        store.page(backwards(MessageRecord::prefix(conversation), before, 1)).await?;
    Ok(found.first().map_or((0, 0), |record| (record.seq, record.count)))
}

async fn meet(
    store: &Store,
    conversation: &Place,
    users: &[Arc<str>],
    before: u64,
) -> Result<Outcome, StoreError> {
    let head = store.get::<ConversationRecord>(ConversationRecord::key_of(conversation)).await?;
    let (seq, count) = match head {
        // To meet in a room where nothing is stored is no news.
        None if before == u64::MAX => return Ok(Outcome::Done),
        Some(head) if before == u64::MAX && head.is_emptied => return Ok(Outcome::Done),
        None => (0, 0),
        // Also where the messages have gone.
        Some(head) if head.seq < before => (head.seq, head.count),
        Some(_) => last_below(store, conversation, before).await?,
    };
    let mut batch = Batch::new();
    for user in users {
        let key = CursorRecord::key_of(user, conversation);
        if store.get::<CursorRecord>(key).await?.is_none() {
            let (user, conversation) = (Box::from(&**user), conversation.clone());
            batch = batch.put_new(&CursorRecord { user, conversation, seq, count });
        }
    }
    if !batch.is_empty() {
        store.commit(batch).await?;
    }
    Ok(Outcome::Done)
}

async fn read(store: &Store, user: &str, conversation: Place, seq: u64) -> Result<Outcome, StoreError> {
    let known = store.get::<CursorRecord>(CursorRecord::key_of(user, &conversation)).await?;
    let (seq, count) = last_below(store, &conversation, seq.saturating_add(1)).await?;
    if count > known.map_or(0, |known| known.count) {
        let cursor = CursorRecord { user: user.into(), conversation, seq, count };
        store.commit(Batch::new().put_further(&cursor)).await?;
    }
    Ok(Outcome::Done)
}

async fn unread(store: &Store, user: &str, rooms: &OpenRooms) -> Result<Outcome, StoreError> {
    let (mut latest, mut looked_at, mut more) = (Vec::new(), 0, false);
    let mut page = Page::of(CursorRecord::prefix(user), AT_ONCE);
    loop {
        let cursors: Vec<CursorRecord> = store.page(page.clone()).await?;
        let Some(last) = cursors.last() else { break };
        if looked_at >= LOOKED_AT_MAX {
            more = true;
            break;
        }
        page.from = last.key().number(0);
        looked_at += cursors.len();
        latest.extend(unread_of(store, cursors, rooms).await?);
        latest.sort_by_key(|one: &Unread| std::cmp::Reverse(one.last.2));
        more |= latest.len() > CONVERSATIONS_MAX;
        latest.truncate(CONVERSATIONS_MAX);
    }
    Ok(Outcome::Unread { conversations: latest, more })
}

/// What is unread behind some cursors, where there is something to read and their user may.
async fn unread_of(
    store: &Store,
    mut cursors: Vec<CursorRecord>,
    rooms: &OpenRooms,
) -> Result<Vec<Unread>, StoreError> {
    cursors.retain(|cursor| match &cursor.conversation {
        Place::Room(room) => rooms.admit(room),
        Place::Users(..) => true,
    });
    let keys = cursors.iter().map(|cursor| ConversationRecord::key_of(&cursor.conversation)).collect();
    let heads: Vec<Option<ConversationRecord>> = store.get_each(keys).await?;
    let both = cursors.iter().zip(heads).filter_map(|(cursor, head)| Some((cursor, head?)));
    let unread = both.filter(|(_, head)| !head.is_emptied).map(|(cursor, head)| Unread {
        conversation: (&cursor.conversation).into(),
        unread: head.count.saturating_sub(cursor.count),
        head: head.seq,
        read: cursor.seq,
        last: (head.last_id, head.last_from, head.last_at_ms),
    });
    Ok(unread.collect())
}

/// A user takes part in a conversation no more.
pub(super) fn parting(user: &str, conversation: &Conversation) -> Batch {
    Batch::new().delete(CursorRecord::key_of(user, &Place::from(conversation)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::UnixTime;
    use crate::signaling::{Identity, StoredMessage};
    use crate::storage::StoreSettings;
    use std::time::Duration;
    use tempfile::TempDir;

    fn store(folder: &TempDir) -> Store {
        Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens")
    }

    fn lobby() -> Conversation {
        Conversation::Room("lobby/\0".into())
    }

    /// `seq` and `count`; the seventh begins no thread.
    fn message(conversation: &Conversation, seq: u64, count: u64, thread: Option<&str>) -> Deed {
        Deed::Write(Box::new(StoredMessage {
            conversation: conversation.clone(),
            seq,
            count,
            id: format!("id{seq}").into(),
            from: "alice".into(),
            at_ms: 1_000 * seq,
            thread: thread.map(Box::from),
            client_ref: Some(format!("ref{seq}").into()),
            data: format!(r#"{{"body":{seq}}}"#).into(),
        }))
    }

    async fn done(store: &Store, deed: Deed) -> Outcome {
        carry_out(store, deed).await.expect("done")
    }

    async fn history(store: &Store, before: u64, thread: Option<&str>, limit: usize) -> (Vec<u64>, bool) {
        let thread = thread.map(Box::from);
        match done(store, Deed::History { conversation: lobby(), before, thread, limit }).await {
            Outcome::History { messages, more } => {
                for (seq, json) in &messages {
                    assert_eq!(**json, *format!(r#"{{"body":{seq}}}"#));
                }
                (messages.iter().map(|(seq, _)| *seq).collect(), more)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The rooms of a token that opens these, or that does not say.
    fn rooms(patterns: Option<&[&str]>) -> OpenRooms {
        let rooms = patterns.map(|patterns| patterns.iter().map(|one| Box::from(*one)).collect());
        let (user, roles) = ("bob".into(), Arc::from([]));
        Identity { user, device: None, name: None, expires: UnixTime(0), rooms, roles }.opens(true)
    }

    async fn unread_of(store: &Store, user: &str) -> Vec<(u64, u64, u64)> {
        match done(store, Deed::Unread { user: user.into(), rooms: rooms(None) }).await {
            Outcome::Unread { conversations, more: false } => {
                conversations.iter().map(|one| (one.unread, one.head, one.read)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn numbers_history_and_threads_are_there_after_the_store_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = store(&folder);
        assert_eq!(done(&first, Deed::Load(lobby())).await, Outcome::Loaded { seq: 0, count: 0 });
        for (seq, count, thread) in [(1, 1, None), (3, 2, Some("id1")), (4, 3, None), (9, 4, Some("id1"))] {
            done(&first, message(&lobby(), seq, count, thread)).await;
        }
        done(&first, message(&Conversation::Room("lobby".into()), 1, 1, None)).await;
        assert!(first.close(Duration::from_secs(10)));
        let again = store(&folder);
        assert_eq!(done(&again, Deed::Load(lobby())).await, Outcome::Loaded { seq: 9, count: 4 });
        assert_eq!(history(&again, u64::MAX, None, 3).await, (vec![3, 4, 9], true));
        assert_eq!(history(&again, 4, None, 3).await, (vec![1, 3], false));
        assert_eq!(history(&again, u64::MAX, Some("id1"), 50).await, (vec![3, 9], false));
        assert_eq!(history(&again, 9, Some("id1"), 1).await, (vec![3], false));
        assert_eq!(history(&again, u64::MAX, Some("none"), 50).await, (vec![], false));
    }

    #[tokio::test]
    async fn no_more_of_the_history_is_read_than_an_answer_has_place_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder);
        let whole = 60 << 10;
        for seq in 1..=6 {
            let Deed::Write(mut long) = message(&lobby(), seq, seq, Some("t")) else { continue };
            long.data = format!(r#"{{"body":"{}"}}"#, "x".repeat(whole)).into();
            done(&store, Deed::Write(long)).await;
        }
        for (thread, before, expected, has_more) in [
            (None, u64::MAX, vec![5, 6], true),
            (None, 3, vec![1, 2], false),
            (None, 2, vec![1], false),
            (Some("t"), u64::MAX, vec![4, 5, 6], true),
            (Some("t"), 4, vec![1, 2, 3], false),
        ] {
            let thread = thread.map(Box::from);
            let deed = Deed::History { conversation: lobby(), before, thread, limit: 200 };
            let Outcome::History { messages, more } = done(&store, deed).await else { panic!("no history") };
            let seqs: Vec<u64> = messages.iter().map(|(seq, _)| *seq).collect();
            assert_eq!((seqs, more), (expected, has_more));
        }
    }

    #[tokio::test]
    async fn unread_is_what_was_stored_behind_the_cursor_whatever_numbers_lie_between() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder);
        let meet = |before| Deed::Meet { conversation: lobby(), users: vec!["bob".into()], before };
        done(&store, meet(u64::MAX)).await;
        assert_eq!(unread_of(&store, "bob").await, [], "nothing is stored there");
        for (seq, count) in [(2, 1), (5, 2), (6, 3), (20, 4)] {
            done(&store, message(&lobby(), seq, count, None)).await;
        }
        assert_eq!(unread_of(&store, "alice").await, [(0, 20, 20)], "who says it has read it");
        done(&store, meet(6)).await;
        assert_eq!(unread_of(&store, "bob").await, [(2, 20, 5)]);
        done(&store, meet(u64::MAX)).await;
        assert_eq!(unread_of(&store, "bob").await, [(2, 20, 5)], "they had met");
        let read = |seq| Deed::Read { user: "bob".into(), conversation: lobby(), seq };
        done(&store, read(7)).await;
        assert_eq!(unread_of(&store, "bob").await, [(1, 20, 6)]);
        done(&store, read(3)).await;
        assert_eq!(unread_of(&store, "bob").await, [(1, 20, 6)], "it never goes back");
        done(&store, read(u64::MAX)).await;
        assert_eq!(unread_of(&store, "bob").await, [(0, 20, 20)]);
    }

    #[tokio::test]
    async fn a_cursor_that_was_looked_up_too_early_takes_no_newer_one_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder);
        let cursor = |count| CursorRecord {
            user: "bob".into(),
            conversation: Place::from(&lobby()),
            seq: count,
            count,
        };
        let count = async || {
            let found = store.get::<CursorRecord>(cursor(0).key()).await.expect("read");
            found.expect("there").count
        };
        let both = Batch::new().put_further(&cursor(5)).put_further(&cursor(3)).put_new(&cursor(9));
        store.commit(both).await.expect("written");
        assert_eq!(count().await, 5, "in one commit");
        for (batch, expected) in [
            (Batch::new().put_further(&cursor(4)), 5),
            (Batch::new().put_further(&cursor(6)), 6),
            (Batch::new().put_new(&cursor(7)), 6),
            (Batch::new().delete(cursor(0).key()).put_new(&cursor(2)), 2),
        ] {
            store.commit(batch).await.expect("written");
            assert_eq!(count().await, expected);
        }
    }

    #[tokio::test]
    async fn who_comes_when_all_messages_have_gone_has_read_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder);
        for seq in 1..=5 {
            done(&store, message(&lobby(), seq, seq, None)).await;
        }
        let messages = MessageRecord::prefix(&Place::from(&lobby()));
        store.remove_range(messages.clone(), messages.end().expect("an end")).await.expect("removed");
        done(&store, Deed::Meet { conversation: lobby(), users: vec!["bob".into()], before: 6 }).await;
        done(&store, message(&lobby(), 6, 6, None)).await;
        assert_eq!(unread_of(&store, "bob").await, [(1, 6, 5)]);
    }

    #[tokio::test]
    async fn who_asks_for_the_numbers_of_a_conversation_that_is_about_to_go_keeps_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder);
        let head = |is_emptied| ConversationRecord {
            conversation: Place::from(&lobby()),
            seq: 9,
            count: 5,
            last_id: "id9".into(),
            last_from: "alice".into(),
            last_at_ms: 1,
            is_emptied,
        };
        store.commit(Batch::new().put(&head(true))).await.expect("written");
        done(&store, Deed::Meet { conversation: lobby(), users: vec!["bob".into()], before: u64::MAX }).await;
        assert_eq!(unread_of(&store, "bob").await, [], "there is nothing that bob could have read");
        assert_eq!(done(&store, Deed::Load(lobby())).await, Outcome::Loaded { seq: 9, count: 5 });
        let found = store.get::<ConversationRecord>(head(true).key()).await;
        assert_eq!(found, Ok(Some(head(false))));
    }

    #[tokio::test]
    async fn the_conversations_that_are_told_are_the_latest_of_those_that_may_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder);
        let room = |n: u64| Conversation::Room(format!("{}-{n}", if n < 300 { "a" } else { "b" }).into());
        for n in 0..600 {
            let Deed::Write(mut one) = message(&room(n), 1, 1, None) else { continue };
            // The last by name have the oldest messages.
            (one.from, one.at_ms) = ("bob".into(), 1_000 - n);
            store.commit_then(batch_of(*one).expect("JSON"), |_| {});
        }
        let told = async |patterns: Option<&[&str]>| {
            let deed = Deed::Unread { user: "bob".into(), rooms: rooms(patterns) };
            match done(&store, deed).await {
                Outcome::Unread { conversations, more } => {
                    (conversations.into_iter().map(|one| one.conversation).collect::<Vec<_>>(), more)
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(told(None).await, ((0..256).map(room).collect(), true));
        assert_eq!(told(Some(&["b-*"])).await, ((300..556).map(room).collect(), true));
        assert_eq!(told(Some(&["a-7", "b-599"])).await, (vec![room(7), room(599)], false));
        done(&store, Deed::Part { user: "bob".into(), conversation: room(7) }).await;
        assert_eq!(told(Some(&["a-7", "b-599"])).await, (vec![room(599)], false), "bob has left");
    }

    #[tokio::test]
    async fn of_a_user_with_very_many_conversations_only_so_many_are_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder);
        let mut cursors = Batch::new();
        let place = |n: usize| Place::Users("bob".into(), format!("name-{n:05}").into());
        for n in 0..=LOOKED_AT_MAX {
            cursors =
                cursors.put(&CursorRecord { user: "bob".into(), conversation: place(n), seq: 0, count: 0 });
        }
        store.commit(cursors).await.expect("written");
        let told = async |n: usize| {
            done(&store, message(&Conversation::from(&place(n)), 1, 1, None)).await;
            match done(&store, Deed::Unread { user: "bob".into(), rooms: rooms(None) }).await {
                Outcome::Unread { conversations, more } => (conversations.len(), more),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(told(LOOKED_AT_MAX).await, (0, true));
        assert_eq!(told(LOOKED_AT_MAX - 1).await, (1, true));
    }
}
