//! What do the books cost a relay that is busy?
//!
//! ```text
//! cargo bench --bench accounting               100, 1,000 and 10,000 allocations, some four minutes
//! cargo bench --bench accounting -- --test     seconds: does the bench itself work?
//! ```
//! A real shard on loopback relays a paced flood, in rounds in which what was relayed is asked for and booked every
//! 750 ms, as the keeper does, and in rounds in which nobody asks, in turns. What counts is the CPU time of all threads
//! but the one that floods: the shard, and who asks. A machine that does not reach the rate takes longer for the same
//! packets, with as many samples among them. `benches/README.md` keeps the last table.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

#[path = "accounting/crowd.rs"]
mod crowd;
#[path = "../tests/support/daemon.rs"]
mod daemon;
#[path = "../tests/control/house.rs"]
#[allow(dead_code, reason = "shared; this target needs some of it")]
mod house;
#[path = "accounting/keeper.rs"]
mod keeper;
#[path = "../tests/support/world.rs"]
mod world;

use clap::Parser;
use crowd::{Crowd, PAYLOAD_BYTES};
use daemon::{Config, PATIENCE, eventually};
use house::House;
use keeper::Keeper;
use std::time::{Duration, Instant};
use turnstone::base::Transport;
use turnstone::metrics::{Direction, relay_packets};

/// How often the keeper asks.
const SAMPLE_EVERY: Duration = Duration::from_millis(750);

/// What accounting costs.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// A short run that only shows that the bench works.
    #[arg(long, alias = "test")]
    quick: bool,
    /// Allocations, all of which relay.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    allocations: Vec<usize>,
    /// Packets per second of all together.
    #[arg(long, default_value_t = 100_000)]
    rate: u32,
    /// Rounds with and as many without; one more of each does not count.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Samples of a round, 750 ms worth of packets for each.
    #[arg(long, default_value_t = 4)]
    samples: u32,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a round took.
#[derive(Clone, Copy, Debug)]
struct Round {
    cpu_ns: u64,
    packets: u64,
    took: Duration,
}

impl Round {
    fn per_packet(&self) -> f64 {
        self.cpu_ns as f64 / self.packets as f64
    }
}

/// A relay with its crowd and its keeper.
struct Scene {
    house: House,
    crowd: Crowd,
    keeper: Keeper,
}

fn main() {
    let mut options = Options::parse();
    if options.quick {
        (options.allocations, options.rate) = (vec![20], 1000);
        (options.rounds, options.samples) = (1, 1);
    }
    let facts = |file: &str| std::fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    println!("kernel {}, load average {}", facts("/proc/sys/kernel/osrelease"), facts("/proc/loadavg"));
    println!(
        "| allocations | p/s reached | lost % | ns/p without | ns/p with | ratio | spread | one sample | of the CPU at the rate |"
    );
    for &allocations in &options.allocations {
        measure(&options, allocations);
    }
}

fn measure(options: &Options, allocations: usize) {
    let relay = "addresses = [\"127.0.0.1\"]\nports = \"30000-59999\"\nworkers = 1\n".into();
    let house = House::of(&Config { relay, ..Config::default() });
    let crowd = Crowd::of(house.server, allocations);
    let mut scene = Scene { house, crowd, keeper: Keeper::default() };
    let mut rounds = Vec::new();
    for n in 0..=options.rounds {
        // Who comes first takes turns, so that a drift of the machine is nobody's.
        let pair = match n % 2 {
            0 => [scene.round(options, false), scene.round(options, true)],
            _ => {
                let with = scene.round(options, true);
                [scene.round(options, false), with]
            }
        };
        if n > 0 {
            rounds.push(pair);
        }
    }
    let sample = scene.sample(options);
    scene.assert_books_are_right();
    report(options, allocations, &rounds, sample);
    scene.house.relays.stop();
}

fn report(options: &Options, allocations: usize, rounds: &[[Round; 2]], sample: Duration) {
    let of = |with: usize| median(rounds.iter().map(|pair| pair[with].per_packet()));
    let mut ratios: Vec<_> =
        rounds.iter().map(|[without, with]| with.per_packet() / without.per_packet()).collect();
    ratios.sort_by(f64::total_cmp);
    let packets: u64 = rounds.iter().flatten().map(|round| round.packets).sum();
    let took: f64 = rounds.iter().flatten().map(|round| round.took.as_secs_f64()).sum();
    let round = f64::from(options.rate) * SAMPLE_EVERY.as_secs_f64() * f64::from(options.samples);
    let sent = round * 2.0 * rounds.len() as f64;
    println!(
        "| {allocations:>11} | {:>11.0} | {:>6.2} | {:>12.0} | {:>9.0} | {:>5.3} | {:.3}-{:.3} | {:>7.3} ms | {:>21.2} % |",
        packets as f64 / took,
        100.0 * (1.0 - packets as f64 / sent),
        of(0),
        of(1),
        of(1) / of(0),
        ratios[0],
        ratios[ratios.len() - 1],
        sample.as_secs_f64() * 1e3,
        100.0 * sample.as_nanos() as f64 / (of(0) * f64::from(options.rate) * SAMPLE_EVERY.as_secs_f64()),
    );
}

impl Scene {
    /// Floods for as long as a round lasts, with or without questions.
    fn round(&mut self, options: &Options, with: bool) -> Round {
        let (packets, cpu) = (self.relayed(), cpu_of_the_others());
        let begin = Instant::now();
        for _ in 0..options.samples {
            let Self { house, crowd, keeper } = self;
            std::thread::scope(|scope| {
                crowd.flood(options.rate, SAMPLE_EVERY / 2);
                let asking = with.then(|| scope.spawn(|| keeper.sample(house)));
                crowd.flood(options.rate, SAMPLE_EVERY / 2);
                asking.map(|asking| asking.join().unwrap())
            });
        }
        let took = begin.elapsed();
        let packets = self.relayed() - packets;
        Round { cpu_ns: cpu_of_the_others() - cpu, packets, took }
    }

    /// The CPU time of one sample in which every allocation has something to tell, beside no traffic.
    fn sample(&mut self, options: &Options) -> Duration {
        let samples = if options.quick { 1 } else { 15 };
        let took = median((0..samples).map(|_| {
            let all = Duration::from_secs_f64(self.crowd.len() as f64 / f64::from(options.rate));
            self.crowd.flood(options.rate, all);
            self.relayed();
            let cpu = cpu_of_the_others();
            let Self { house, keeper, .. } = self;
            std::thread::scope(|scope| scope.spawn(|| keeper.sample(house)).join().unwrap());
            (cpu_of_the_others() - cpu) as f64
        }));
        Duration::from_nanos(took as u64)
    }

    /// Packets from clients, once the counters have settled.
    fn relayed(&self) -> u64 {
        let count = || self.house.snapshot().value(relay_packets(Direction::FromClient, Transport::Udp));
        let (mut last, mut since) = (count(), Instant::now());
        eventually(PATIENCE, "the counters settle", || {
            let now = count();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            (since.elapsed() > Duration::from_millis(300)).then_some(now)
        })
    }

    /// Each byte is in the books, once.
    fn assert_books_are_right(&mut self) {
        self.keeper.sample(&self.house);
        assert_eq!(self.keeper.bytes_from_client(), self.relayed() * PAYLOAD_BYTES as u64);
    }
}

/// CPU time of all threads of this process but this one, user and kernel, in nanoseconds. A thread that has ended
/// counts by what the process had of it.
fn cpu_of_the_others() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let ns = |id| {
        let time = clock_gettime(id);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    ns(ClockId::ProcessCPUTime) - ns(ClockId::ThreadCPUTime)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
