//! A process that writes is killed, again and again, and its store must hold what it acknowledged.
//!
//! The child hands batches over in their order, several at a time, and says which were acknowledged. So the store must
//! hold exactly the contents behind some batch from the last acknowledged one to the last one handed over.

use super::history::{Contents, batch, checked, close, unchecked};
use super::opening::copy;
use crossbeam_channel::{bounded, never};
use std::env;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use turnstone::base::Random;
use turnstone::storage::{Moment, Store};

/// What the child is told: folder, seed, first batch, batches at a time, and where it ends itself.
const CHILD: &str = "TURNSTONE_TEST_STORE_WRITER";
/// Cycles with one store.
const CYCLES_PER_STORE: u64 = 12;
/// A store that was opened by the child process first, as the daemon does it: every so often.
const CHECKED_EVERY: u64 = 10;
const LONG: Duration = Duration::from_secs(60);

/// `TURNSTONE_SEEDS` is set by `tests/run --full`; five cycles for each seed are 10,000 there.
fn cycles() -> u64 {
    let seeds = env::var("TURNSTONE_SEEDS").ok().and_then(|seeds| seeds.parse::<u64>().ok());
    seeds.map_or(120, |seeds| (seeds * 5).max(120))
}

#[tokio::test]
async fn a_killed_process_has_lost_nothing_that_it_acknowledged() {
    if let Ok(told) = env::var(CHILD) {
        write_until_killed(&told);
    }
    let (mut by_us, mut flushed, mut fenced, mut acknowledged) = (0, 0, 0, 0);
    let mut world = World::new(0);
    for cycle in 0..cycles() {
        if cycle.is_multiple_of(CYCLES_PER_STORE) {
            world = World::new(cycle);
        }
        match world.random.next_u64() % 4 {
            0 => {
                world.cycle(cycle, End::Flushed).await;
                flushed += 1;
            }
            1 => {
                world.cycle(cycle, End::Fenced).await;
                fenced += 1;
            }
            _ => {
                world.cycle(cycle, End::Killed).await;
                by_us += 1;
            }
        }
        if (cycle + 1).is_multiple_of(CYCLES_PER_STORE) {
            acknowledged += world.last;
        }
    }
    let text = format!(
        "kill -9: {} cycles, {by_us} at random moments, {flushed} between flush and fence, {fenced} between fence and \
         answer; {acknowledged} batches, nothing lost",
        by_us + flushed + fenced
    );
    writeln!(stdout(), "{text}").unwrap();
}

/// How the child ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// By the parent, after some time.
    Killed,
    /// By itself, at a commit, between flush and fence.
    Flushed,
    /// By itself, at a commit, between fence and answer.
    Fenced,
}

struct World {
    folder: tempfile::TempDir,
    seed: u64,
    random: Random,
    /// The last batch that the store was seen to hold, and what it holds.
    last: u64,
    contents: Contents,
}

impl World {
    fn new(seed: u64) -> Self {
        let random = Random::seeded(seed);
        Self { folder: tempfile::tempdir().unwrap(), seed, random, last: 0, contents: Contents::default() }
    }

    async fn cycle(&mut self, cycle: u64, end: End) {
        let depth = 1 + self.random.next_u64() % 12;
        let commits = 1 + self.random.next_u64() % 8;
        let run_for = Duration::from_micros(self.random.next_u64() % 60_000);
        let told = format!(
            "{}|{}|{depth}|{end:?}|{commits}|{}",
            self.seed,
            self.last + 1,
            self.folder.path().display()
        );
        let acknowledged = run(&told, (end == End::Killed).then_some(run_for)).unwrap_or(self.last);
        let name = format!("seed {}, cycle {cycle}, {end:?}: batches {} to", self.seed, self.last + 1);

        let is_checked = cycle.is_multiple_of(CHECKED_EVERY);
        let settings = if is_checked { checked(self.folder.path()) } else { unchecked(self.folder.path()) };
        let mut left = self.keep_a_copy();
        let name = format!("{name} {acknowledged} were acknowledged (left as in {})", left.path().display());
        let store = Store::open(&settings).unwrap_or_else(|error| {
            left.disable_cleanup(true);
            panic!("{name}: {error}")
        });
        let found = Contents::read(&store).await.unwrap();
        close(&store);
        let range = acknowledged..=acknowledged + depth;
        (self.last + 1..=found.last).for_each(|batch| self.contents.after(self.seed, batch));
        left.disable_cleanup(true);
        assert!(range.contains(&found.last), "{name}, found {}", found.last);
        assert!(found == self.contents, "{name}, found {}: other contents", found.last);
        left.disable_cleanup(false);
        self.last = found.last;
    }

    /// What the child left, to be looked at: opening it changes it.
    fn keep_a_copy(&self) -> tempfile::TempDir {
        let left = tempfile::tempdir().unwrap();
        copy(self.folder.path(), left.path());
        left
    }
}

/// Runs a child to its end. Returns the last batch that it acknowledged.
fn run(told: &str, kill_after: Option<Duration>) -> Option<u64> {
    let test = "killed::a_killed_process_has_lost_nothing_that_it_acknowledged";
    let mut child = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, told)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let last = acknowledged(&mut child);
    if let Some(after) = kill_after {
        // Nothing to wait for but the time: the moment is what is random.
        let _timeout = never::<()>().recv_timeout(after);
        child.kill().unwrap();
    }
    let last = last.recv_timeout(LONG).expect("the child ends within a minute");
    let status = child.wait().unwrap();
    assert!(!status.success() && status.code().is_none(), "{told}: killed, and not by an error: {status}");
    last
}

/// Reads what the child says until it ends.
fn acknowledged(child: &mut Child) -> crossbeam_channel::Receiver<Option<u64>> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, last) = bounded(1);
    thread::spawn(move || {
        // A line that was cut by the end is no number of an acknowledged batch.
        let numbers = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("ack ")?.strip_suffix('.')?.parse().ok());
        sender.send(numbers.last()).unwrap();
    });
    last
}

fn write_until_killed(told: &str) -> ! {
    let mut parts = told.splitn(6, '|');
    let mut number = || parts.next().unwrap().parse::<u64>();
    let (seed, first, depth) = (number().unwrap(), number().unwrap(), number().unwrap());
    let (end, commits, folder) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let (end, mut left) = (end.to_owned(), commits.parse::<u64>().unwrap());
    let watcher = move |moment| {
        let here = matches!((moment, &*end), (Moment::Flushed(_), "Flushed") | (Moment::Fenced(_), "Fenced"));
        left -= u64::from(here);
        if here && left == 0 {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
    };
    let store = Store::open_watched(&unchecked(Path::new(folder)), watcher).unwrap();
    // As many places as batches may be on their way.
    let (begin, end) = bounded(depth as usize);
    for number in first.. {
        begin.send(()).unwrap();
        let end = end.clone();
        store.commit_then(batch(seed, number), move |result| {
            result.unwrap();
            stdout().lock().write_all(format!("ack {number}.\n").as_bytes()).unwrap();
            end.recv().unwrap();
        });
    }
    unreachable!("there are enough numbers");
}
