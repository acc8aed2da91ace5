//! Copies of a store whose files are damaged: each must hold the same data, or say in numbers what it does not.

use super::history::{Contents, batch, checked, close, unchecked};
use super::opening::copy;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{Write, stdout};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use turnstone::base::Random;
use turnstone::storage::{Batch, Store, StoreError, StoreSettings};

/// Batches in the stores that are damaged.
const BATCHES: u64 = 400;
const SEED: u64 = 77;
const LONG: Duration = Duration::from_secs(60);

/// `TURNSTONE_SEEDS` is set by `tests/run --full`.
fn copies() -> u64 {
    let seeds = env::var("TURNSTONE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    seeds.map_or(160, |seeds: u64| seeds.max(160))
}

#[tokio::test]
async fn a_damaged_store_holds_the_same_data_or_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let bases = [closed(folder.path()).await, cut_off(folder.path()).await];
    let wanted = Contents::of(SEED, BATCHES);
    let mut counts = Counts::default();
    for seed in 0..copies() {
        let mut random = Random::seeded(seed);
        let state = folder.path().join("copy");
        copy(&bases[(seed % 2) as usize], &state);
        let what = damage(&mut random, &state.join("store"));
        let name = format!("seed {seed}: {what}");
        let outcome = tokio::time::timeout(4 * LONG, judge(&state, &wanted, &name)).await;
        counts.add(outcome.unwrap_or_else(|_| panic!("{name}: hangs")));
        fs::remove_dir_all(&state).unwrap();
    }
    writeln!(stdout(), "damaged copies: {counts:?}; none silent").unwrap();
    assert!(counts.same > 0 && counts.told > 0, "both happen");
}

/// What became of the copies.
#[derive(Debug, Default)]
struct Counts {
    same: u64,
    told: u64,
    told_by_a_dead_child: u64,
    values_set_aside: u64,
}

enum Outcome {
    Same,
    SetAside,
    Told(String),
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Same => self.same += 1,
            Outcome::SetAside => self.values_set_aside += 1,
            Outcome::Told(sentence) => {
                self.told += 1;
                let is_dead = ["panicked", "the check ended", "not done after"]
                    .iter()
                    .any(|end| sentence.contains(end));
                self.told_by_a_dead_child += u64::from(is_dead);
            }
        }
    }
}

/// Opens a copy as the daemon does, and uses it when it opens.
async fn judge(state: &Path, wanted: &Contents, name: &str) -> Outcome {
    let mut settings = checked(state);
    settings.probe.iter_mut().for_each(|probe| probe.time_limit = Duration::from_secs(5));
    let store = match open(&settings).await {
        Ok(store) => store,
        Err(StoreError::Closed(sentence)) => {
            let numbers = sentence.contains(" records") && sentence.contains("commit ");
            let fence = sentence.contains("fence file");
            assert!(numbers || fence, "{name}: no numbers: {sentence}");
            return Outcome::Told(sentence.to_string());
        }
        Err(other) => panic!("{name}: {other:?}"),
    };
    let mut found = Contents::read(&store).await.unwrap();
    let damaged = store.health().damaged();
    if damaged > 0 {
        // What is still there must be right.
        let missing = |all: usize, found: usize| (all - found) as u64;
        assert_eq!(
            missing(wanted.people.len(), found.people.len()) + missing(wanted.notes.len(), found.notes.len()),
            damaged,
            "{name}"
        );
        assert!(found.people.iter().all(|row| wanted.people.get(row.0) == Some(row.1)), "{name}");
        assert!(found.notes.iter().all(|row| wanted.notes.get(row.0) == Some(row.1)), "{name}");
        return Outcome::SetAside;
    }
    assert!(found == *wanted, "{name}: other data, and nobody says so");
    // It also works.
    for number in BATCHES + 1..BATCHES + 4 {
        found.after(SEED, number);
        store.commit(batch(SEED, number)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    close(&store);
    let again = Store::open(&unchecked(state)).unwrap_or_else(|error| panic!("{name}, used: {error}"));
    assert!(Contents::read(&again).await.unwrap() == found, "{name}: other data once used");
    close(&again);
    Outcome::Same
}

/// Off the runtime, so that one that hangs is noticed.
async fn open(settings: &StoreSettings) -> Result<Store, StoreError> {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || Store::open(&settings)).await.unwrap()
}

/// A store that was closed.
async fn closed(folder: &Path) -> PathBuf {
    let state = folder.join("closed");
    close(&filled(&state).await);
    state
}

/// A store as it is on the disk while it is in use.
async fn cut_off(folder: &Path) -> PathBuf {
    let (state, copied) = (folder.join("open"), folder.join("cut-off"));
    let store = filled(&state).await;
    copy(&state, &copied);
    close(&store);
    copied
}

async fn filled(state: &Path) -> Store {
    let store = Store::open(&unchecked(state)).unwrap();
    for number in 1..=BATCHES {
        store.commit(batch(SEED, number)).await.unwrap();
        // Now and then nothing changes, so that what is behind the last record differs too.
        if number % 100 == 0 {
            store.commit(Batch::new()).await.unwrap();
        }
    }
    store
}

/// Damages up to three places of the files, and says what it did.
fn damage(random: &mut Random, store: &Path) -> String {
    let mut files = vec![store.join("fence")];
    files_below(&store.join("database"), &mut files);
    files.sort();
    let times = 1 + random.below(3);
    let what: Vec<_> = (0..times)
        .map(|_| {
            // The log is where most bytes are.
            let log = store.join("database/db");
            let any = files[random.below(files.len() as u32) as usize].clone();
            let file = if random.below(2) == 0 { log } else { any };
            let what = damage_file(random, &file);
            format!("{} {what}", file.strip_prefix(store).unwrap().display())
        })
        .collect();
    what.join(", ")
}

fn damage_file(random: &mut Random, path: &Path) -> String {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let at = if length == 0 { 0 } else { random.next_u64() % length };
    match random.below(4) {
        _ if length == 0 => "is empty".into(),
        0 => {
            file.set_len(at).unwrap();
            format!("cut at {at} of {length}")
        }
        1 => {
            let (page, size) = (at / 4096 * 4096, 4096.min(length - at / 4096 * 4096));
            file.write_all_at(&vec![0; size as usize], page).unwrap();
            format!("zeros at {page}, {size} bytes")
        }
        2 => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            let bit = random.below(8);
            file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
            format!("bit {bit} of {at}")
        }
        _ => {
            let mut bytes = vec![0; 64.min(length - at) as usize];
            bytes.iter_mut().for_each(|byte| *byte = random.below(256) as u8);
            file.write_all_at(&bytes, at).unwrap();
            format!("noise at {at}, {} bytes", bytes.len())
        }
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}
