//! The keeper with a real store and drivers that a test fills.

use super::old::take_away;
use super::*;
use crate::http::api::{MintSettings, Minting};
use crate::http::signaling::{CallNews, NEWS_MAX};
use crate::metrics::EndReason;
use crate::signaling::{CallRecord, Callee, LiveCall, LiveParty, Media, Party, Stand};
use crate::storage::records::{CallRow, GapRow, MinutePage, RunRow, live_call_key, put_page, usage_range};
use crate::storage::{Batch, Key, StoreSettings, Table};
use crate::usage::{Gap, Page, PageKey, Row};
use arc_swap::ArcSwap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::sync::mpsc;

#[derive(Debug, Default)]
struct Fake {
    deltas: Mutex<Vec<Delta>>,
    asked: AtomicUsize,
    ended: Mutex<Vec<(String, UnixTime)>>,
    asked_to_tell: AtomicUsize,
}

impl Fake {
    fn relay(&self, subject: &str, call_id: Option<&str>, bytes: u64) {
        self.deltas.lock().expect("no test panics in it").push(Delta {
            subject: subject.into(),
            label: None,
            call_id: call_id.map(Into::into),
            door: "127.0.0.1:3478".parse().expect("an address"),
            transport: Transport::Udp,
            traffic: Traffic { bytes_from_client: bytes, ..Traffic::default() },
        });
    }
}

impl Drivers for Fake {
    fn deltas(&self) -> Coming<'_, Vec<Delta>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let deltas = std::mem::take(&mut *self.deltas.lock().expect("no test panics in it"));
        Box::pin(async { deltas })
    }

    fn end_call(&self, call_id: &str, _: Duration, until: UnixTime) {
        self.ended.lock().expect("no test panics in it").push((call_id.to_owned(), until));
    }

    fn tell_ends(&self) -> bool {
        // It has no time at first.
        self.asked_to_tell.fetch_add(1, Ordering::SeqCst) > 0
    }
}

struct Bench {
    folder: TempDir,
    store: Store,
    drivers: Arc<Fake>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreSettings { path: folder.path().into(), probe: None }).expect("opens");
        Self { folder, store, drivers: Arc::default() }
    }

    /// A keeper of one process.
    fn keep(&self, part: u64) -> (Arc<Desk>, Keeping) {
        let desk = Arc::new(Desk::new(part));
        let retention = Duration::from_secs(86_400);
        let keeping = Keeping::start(desk.clone(), self.store.clone(), self.drivers.clone(), retention);
        (desk, keeping)
    }

    async fn minutes(&self) -> Traffic {
        let all = usage_range(Period::Minute, UnixTime(0), UnixTime(u64::MAX >> 8), None, 1000);
        let mut total = Traffic::default();
        for page in self.store.page::<MinutePage>(all).await.expect("read") {
            total.add(&Page::from(page).total());
        }
        total
    }

    async fn gaps(&self) -> Vec<GapRow> {
        self.store.page::<GapRow>(GapRow::latest(100)).await.expect("read")
    }

    async fn run(&self) -> Option<RunRow> {
        self.store.get::<RunRow>(RunRow::place()).await.expect("read")
    }
}

/// How long anything may take on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition that others bring about.
async fn until<T>(what: &str, mut is_so: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = is_so().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

#[tokio::test]
async fn a_clean_stop_writes_the_open_minute_and_leaves_no_gap() {
    let bench = Bench::new();
    for part in 0..3 {
        bench.drivers.relay("alice", None, 100);
        let (desk, keeping) = bench.keep(part << 32);
        until("the first sample", async || (desk.books().total().bytes() == 100).then_some(())).await;
        bench.drivers.relay("alice", None, 1);
        let last = keeping.stop().await;
        assert_eq!(desk.books().total().bytes(), 101, "drivers are asked a last time");
        last.write().await;
    }
    assert_eq!(bench.minutes().await.bytes(), 303);
    assert_eq!((bench.gaps().await, bench.run().await.map(|run| run.ended)), (vec![], Some(true)));
}

#[tokio::test]
async fn a_start_after_no_clean_stop_marks_the_time_between() {
    let bench = Bench::new();
    let run = RunRow { settled_until: UnixTime(1_700_000_040), ended: false };
    bench.store.commit(Batch::new().put(&run)).await.expect("written");
    let before = now();
    let (_, keeping) = bench.keep(0);
    let gap = until("the gap", async || bench.gaps().await.first().copied()).await;
    assert_eq!(gap.0.from, UnixTime(1_700_000_040));
    assert!(before <= gap.0.to && gap.0.to <= now());
    let run = bench.run().await.expect("a process keeps the books");
    assert!(!run.ended && before.0 - 60 < run.settled_until.0);
    keeping.stop().await.write().await;
    let (desk, keeping) = bench.keep(1);
    until("a sample", async || desk.books().settled_until()).await;
    keeping.stop().await.write().await;
    assert_eq!(bench.gaps().await.len(), 1, "the second start came after a clean stop");
}

#[tokio::test]
async fn without_a_store_the_books_go_on_and_the_stop_does_not_wait() {
    let mut bench = Bench::new();
    bench.store = Store::closed("it is broken");
    let (desk, keeping) = bench.keep(0);
    bench.drivers.relay("alice", None, 7);
    until("a sample", async || (desk.books().total().bytes() == 7).then_some(())).await;
    timeout(PATIENCE, async { keeping.stop().await.write().await }).await.expect("it ends");
    assert_eq!(desk.books().live().values().map(|page| page.total().bytes()).max(), Some(7));
}

const DAY: Duration = Duration::from_secs(86_400);

fn minting(max_ttl: Duration) -> Arc<ArcSwap<Minting>> {
    let settings = MintSettings {
        secret: None,
        token_signer: None,
        doors: Vec::new(),
        ttl: Duration::from_secs(60),
        max_ttl,
        per_key: None,
        per_subject: None,
        per_source: None,
        realm: String::new(),
        config_users: Default::default(),
    };
    Arc::new(ArcSwap::from_pointee(Minting::new(&settings)))
}

pub(super) fn ended(id: &str) -> Box<CallRecord> {
    let party = |user: &str| Party { user: user.into(), device: "phone".into() };
    Box::new(CallRecord {
        id: id.into(),
        caller: party("alice"),
        callee: Callee::User { user: "bob".into(), device: Some("tablet".into()) },
        media: Media::Audio,
        reason: EndReason::Hangup,
        ended_by: None,
        started: UnixTime(1_700_000_000),
        answered: None,
        ended: UnixTime(1_700_000_009),
        duration_ms: 0,
        stats: Vec::new(),
    })
}

#[tokio::test]
async fn an_ended_call_is_recorded_at_once_and_again_with_what_came_in_the_grace() {
    let bench = Bench::new();
    let (desk, keeping) = bench.keep(0);
    let (news, listener) = mpsc::channel(8);
    let calls =
        CallKeeper::start(desk.clone(), bench.store.clone(), bench.drivers.clone(), minting(DAY), listener);
    let caller = LiveParty { user: "alice".into(), device: "phone".into() };
    let stand = Stand::Ringing { caller, callee: "bob".into(), expires_at_ms: 1 };
    let live = LiveCall { id: "C".into(), media: Media::Audio, rev: 0, started_s: 1, stand };
    bench.store.commit(Batch::new().put(&live)).await.expect("written");
    bench.drivers.relay("alice", Some("C"), 5);
    until("a sample", async || desk.calls().of("C").cloned()).await;
    news.send(CallNews::Ended(ended("C"))).await.expect("open");
    let row =
        until("a record", async || bench.store.get::<CallRow>(CallRow::place("C")).await.expect("read"))
            .await;
    assert_eq!((row.total().bytes(), row.is_final), (5, false));
    assert_eq!(bench.store.get::<LiveCall>(live_call_key("C")).await, Ok(None), "both in one batch");
    let void = bench.drivers.ended.lock().expect("no test panics in it").clone();
    assert!(matches!(&void[..], [(call, until)] if call == "C" && Some(*until) == row.void_until));
    let again = async || (bench.drivers.asked_to_tell.load(Ordering::SeqCst) > 1).then_some(());
    until("a driver that had no time is told again", again).await;
    bench.drivers.relay("bob", Some("C"), 6);
    let more = async || desk.calls().of("C").filter(|usage| usage.total().bytes() == 11).map(|_| ());
    until("another sample", more).await;
    drop(news);
    calls.finish().await;
    let row = bench.store.get::<CallRow>(CallRow::place("C")).await.expect("read").expect("there");
    assert_eq!((row.total().bytes(), row.traffic.len(), row.is_final), (11, 2, true));
    assert!(row.is_partial, "it began before these books, which know nothing of its beginning");
    keeping.stop().await.write().await;
}

#[tokio::test]
async fn credentials_of_a_call_are_void_for_as_long_as_they_may_live_when_it_ends() {
    let bench = Bench::new();
    let desk = Arc::new(Desk::new(0));
    let (news, listener) = mpsc::channel(8);
    let minting_now = minting(DAY);
    let calls =
        CallKeeper::start(desk, bench.store.clone(), bench.drivers.clone(), minting_now.clone(), listener);
    // What a reload does.
    minting_now.store(minting(9 * DAY).load_full());
    let before = now();
    news.send(CallNews::Ended(ended("C"))).await.expect("open");
    drop(news);
    calls.finish().await;
    let row = bench.store.get::<CallRow>(CallRow::place("C")).await.expect("read").expect("there");
    let told = bench.drivers.ended.lock().expect("no test panics in it")[0].1;
    assert!(before.after(9 * DAY) <= told && Some(told) == row.void_until);
}

#[tokio::test]
async fn a_clean_stop_records_what_calls_relayed_since_the_last_sample() {
    let bench = Bench::new();
    let (desk, keeping) = bench.keep(0);
    let (news, listener) = mpsc::channel(8);
    let calls =
        CallKeeper::start(desk.clone(), bench.store.clone(), bench.drivers.clone(), minting(DAY), listener);
    bench.drivers.relay("alice", Some("C"), 5);
    until("a sample", async || desk.calls().of("C").cloned()).await;
    bench.drivers.relay("alice", Some("C"), 6);
    news.send(CallNews::Ended(ended("C"))).await.expect("open");
    drop(news);
    let keeping = Books { keeping, calls }.close_calls().await;
    let row = bench.store.get::<CallRow>(CallRow::place("C")).await.expect("read").expect("there");
    assert_eq!((row.total().bytes(), row.is_final), (11, true));
    keeping.stop().await.write().await;
}

#[tokio::test]
async fn a_burst_of_ends_is_told_to_drivers_at_once_and_all_of_it_is_recorded() {
    let bench = Bench::new();
    let (desk, keeping) = bench.keep(0);
    let (news, listener) = mpsc::channel(NEWS_MAX);
    let mut calls =
        CallKeeper::start(desk.clone(), bench.store.clone(), bench.drivers.clone(), minting(DAY), listener);
    let id = |number: usize| format!("call {number:05}");
    const CALLS: usize = 20_000;
    bench.drivers.relay("alice", Some(&id(CALLS - 1)), 5);
    until("a sample", async || desk.calls().of(&id(CALLS - 1)).cloned()).await;
    for number in 0..CALLS {
        let record = CallRecord { started: now(), ..*ended(&id(number)) };
        news.try_send(CallNews::Ended(Box::new(record))).expect("room");
    }
    let told =
        async || (bench.drivers.ended.lock().expect("no test panics in it").len() == CALLS).then_some(());
    until("every end is told", told).await;
    drop(news);
    // A stop would not wait so long for a store that is slow.
    timeout(PATIENCE, calls.all_written()).await.expect("all of it is recorded");
    let all = crate::storage::Page::of(Key::of(Table::Calls), CALLS + 1);
    let rows = bench.store.page::<CallRow>(all).await.expect("read");
    assert_eq!(rows.iter().filter(|row| row.is_final && !row.is_partial).count(), CALLS);
    assert_eq!(rows.last().map(|row| row.total().bytes()), Some(5));
    assert_eq!(desk.calls().of(&id(CALLS - 1)), None);
    keeping.stop().await.write().await;
}

#[tokio::test]
async fn what_is_older_than_it_is_kept_goes_and_nothing_else() {
    let bench = Bench::new();
    let now = UnixTime(1_800_000_000);
    let (day, row) = (
        86_400,
        Row {
            subject: "a".into(),
            label: None,
            door: "d".into(),
            overflow: false,
            traffic: Traffic::default(),
        },
    );
    let page = |period: Period, days_ago: u64| Page {
        key: PageKey { period, start: period.start(UnixTime(now.0 - days_ago * day)), part: 1, number: 0 },
        rows: vec![row.clone()],
    };
    let mut batch = Batch::new();
    for days_ago in [0, 1, 3, 50, 61, 399, 402] {
        for period in Period::ALL {
            batch = put_page(batch, &page(period, days_ago));
        }
        let at = UnixTime(now.0 - days_ago * day);
        batch = batch.put(&GapRow(Gap { from: at, to: at }));
    }
    batch = batch.put(&RunRow { settled_until: now, ended: false });
    bench.store.commit(batch).await.expect("written");
    take_away(&bench.store, now, Duration::from_secs(400 * day)).await.expect("taken");
    let left = async |period| {
        let all = usage_range(period, UnixTime(0), UnixTime(now.0 + day), None, 100);
        match period {
            Period::Minute => bench.store.page::<MinutePage>(all).await.expect("read").len(),
            Period::Hour => {
                bench.store.page::<crate::storage::records::HourPage>(all).await.expect("read").len()
            }
            Period::Day => {
                bench.store.page::<crate::storage::records::DayPage>(all).await.expect("read").len()
            }
        }
    };
    assert_eq!([left(Period::Minute).await, left(Period::Hour).await, left(Period::Day).await], [2, 4, 6]);
    assert_eq!((bench.gaps().await.len(), bench.run().await.is_some()), (6, true));
    drop(bench.folder);
}
