//! How many acknowledged writes does the store make of what the disk can sync, and how long does it take to open?
//!
//! `cargo bench --bench storage`; with `-- --test` everything is small and runs once. The floor is measured beside it, on the
//! same disk: one fsync and one fdatasync, each behind a write, are what a commit cannot do without.
#![allow(clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use turnstone::storage::{Batch, Key, Probe, Record, Store, StoreSettings, Table};

criterion_group!(benches, figures);
criterion_main!(benches);

const WRITERS: u64 = 64;

#[derive(Serialize, Deserialize)]
struct Row {
    number: u64,
    text: String,
}

impl Record for Row {
    const TABLE: Table = Table::Messages;

    fn key(&self) -> Key {
        Key::of(Self::TABLE).text("room").number(self.number)
    }
}

/// As large as a message or a call record.
fn row(number: u64) -> Row {
    Row { number, text: "x".repeat(200) }
}

fn figures(criterion: &mut Criterion) {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (rounds, records) = if is_test { (20, 2_000) } else { (1_000, 100_000) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Not in /tmp, which may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = open(folder.path());
    let mut ratios = Vec::new();
    for run in 0..if is_test { 1 } else { 5 } {
        let floor = floor(folder.path(), rounds);
        let lone = runtime.block_on(alone(&store, rounds));
        let rate = runtime.block_on(crowd(&store, rounds));
        let ratio = rate * floor.as_secs_f64() / WRITERS as f64;
        ratios.push(ratio);
        let bare = bare(folder.path(), rounds);
        println!(
            "run {run}: sled alone, {WRITERS} writes, its flush and the fence: {:.2} of {WRITERS} a floor",
            floor.as_secs_f64() / bare.as_secs_f64()
        );
        println!(
            "run {run}: fsync + fdatasync {floor:?}; {WRITERS} writers: {rate:.0} acknowledged writes/s, {ratio:.2} of {WRITERS} \
             a floor; a lone write: median {:?}, {:.2} floors",
            lone,
            lone.as_secs_f64() / floor.as_secs_f64()
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{WRITERS} writers reach {:.2} of the floor's rate (median; goal 0.70)",
        ratios[ratios.len() / 2]
    );
    runtime.block_on(fill(&store, records));
    assert!(store.close(Duration::from_secs(60)));
    let began = Instant::now();
    let store = open(folder.path());
    println!("opening {records} records: {:?} without the child that opens them first", began.elapsed());
    assert!(store.close(Duration::from_secs(60)));
    let probe = Probe { program: env!("CARGO_BIN_EXE_turnstone").into(), ..Probe::this_binary() };
    let began = Instant::now();
    let store = Store::open(&StoreSettings { path: folder.path().into(), probe: Some(probe) }).unwrap();
    println!("opening {records} records: {:?} as the daemon does it (goal 2 s)", began.elapsed());
    criterion.bench_function("how long does reading one record take", |b| {
        b.iter(|| runtime.block_on(store.get::<Row>(row(7).key())).unwrap().unwrap());
    });
    assert!(store.close(Duration::from_secs(60)));
}

fn open(folder: &Path) -> Store {
    Store::open(&StoreSettings { path: folder.into(), probe: None }).unwrap()
}

/// The median of one fsync and one fdatasync.
fn floor(folder: &Path, rounds: u64) -> Duration {
    let file = |name: &str| {
        let file = File::create(folder.join(name)).unwrap();
        file.write_all_at(&vec![0; 8 << 20], 0).unwrap();
        file.sync_all().unwrap();
        file
    };
    let (log, fence) = (file("log"), file("floor-fence"));
    let once = |round: u64| {
        let began = Instant::now();
        log.write_all_at(&[1; 300], round % 20_000 * 300).unwrap();
        log.sync_all().unwrap();
        fence.write_all_at(&[1; 4096], round % 2 * 4096).unwrap();
        fence.sync_data().unwrap();
        began.elapsed()
    };
    median((0..rounds).map(once).collect())
}

/// The median of what no store on sled can do without for a group: one batch of as many records, the flush that has to come
/// before the answers, and the fence behind it. Nothing is encoded, hashed, handed over or answered.
fn bare(folder: &Path, rounds: u64) -> Duration {
    let path = folder.join("bare");
    let database = sled::Config::new().path(&path).flush_every_ms(None).open().unwrap();
    let fence = File::create(folder.join("bare-fence")).unwrap();
    fence.write_all_at(&[0; 8192], 0).unwrap();
    fence.sync_all().unwrap();
    let once = |round: u64| {
        let began = Instant::now();
        let mut batch = sled::Batch::default();
        for writer in 0..WRITERS {
            batch.insert(&(writer * 1000 + round % 1000).to_be_bytes(), &[b'x'; 230][..]);
        }
        database.apply_batch(batch).unwrap();
        database.flush().unwrap();
        fence.write_all_at(&[1; 4096], round % 2 * 4096).unwrap();
        fence.sync_data().unwrap();
        began.elapsed()
    };
    let times = (0..rounds).map(once).collect();
    drop(database);
    std::fs::remove_dir_all(path).unwrap();
    median(times)
}

async fn alone(store: &Store, rounds: u64) -> Duration {
    let mut times = Vec::new();
    for round in 0..rounds {
        let began = Instant::now();
        store.commit(Batch::new().put(&row(round))).await.unwrap();
        times.push(began.elapsed());
    }
    median(times)
}

/// Acknowledged writes a second, of so many who write again once they have their answer.
async fn crowd(store: &Store, rounds: u64) -> f64 {
    let began = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..rounds {
                store.commit(Batch::new().put(&row(writer * 1000 + round % 1000))).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    (WRITERS * rounds) as f64 / began.elapsed().as_secs_f64()
}

async fn fill(store: &Store, records: u64) {
    for first in (0..records).step_by(1000) {
        let rows = (first..first + 1000).fold(Batch::new(), |batch, number| batch.put(&row(number)));
        store.commit(rows).await.unwrap();
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
