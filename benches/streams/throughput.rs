//! How many packets does one second of a server's CPU carry, client to peer and back?

use crate::connection::Identity;
use crate::load::{Crowd, Outcome, Speed};
use crate::machine;
use crate::meter::Usage;
use crate::options::{Door, Kind, Options, Pace, Way, name};
use crate::server::Server;
use crate::skip::skip;
use crate::table::{self, extent, median};
use serde_json::{Value, json};
use std::io;

const HEAD: [&str; 13] = [
    "door, way, pace",
    "turnstone p/CPU-s",
    "coturn p/CPU-s",
    "ratio",
    "spread",
    "p/s",
    "p/s",
    "loss %",
    "loss %",
    "p50/p99 us",
    "p50/p99 us",
    "switches/p",
    "switches/p",
];

/// One round of one server.
struct Round {
    outcome: Outcome,
    usage: Usage,
}

/// Runs what the options name, prints the table, and returns all figures.
pub(crate) fn run(options: &Options, identity: &Identity) -> Value {
    machine::pin(machine::load_core());
    let servers: Vec<Server> = kinds(options).map(|kind| Server::start(kind, identity)).collect();
    println!(
        "\nthroughput: {} clients, {} B; paced: {} packets/s in all, one by one; full: {} under way per client \
         and way.\nRounds of {:?}, servers in turn, {} of each after one that does not count; medians. p/CPU-s: \
         packets that arrived per second of the server's CPU. Of two equal columns the first is turnstone's.",
        options.clients,
        options.payload,
        options.rate,
        options.window,
        options.round(),
        options.rounds
    );
    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    for door in &options.doors {
        for way in &options.ways {
            for pace in &options.paces {
                let rounds = measure(options, identity, &servers, *door, *way, *pace)
                    .unwrap_or_else(|error| panic!("{door:?}, {way:?}, {pace:?}: {error}"));
                let title = format!("{}, {}, {}", name(*door), name(*way), name(*pace));
                eprintln!("done: {title}");
                rows.push(row(&title, &servers, &rounds));
                figures.push(json!({ "case": title, "rounds": describe(&servers, &rounds) }));
            }
        }
    }
    table::print(&HEAD, &rows);
    Value::from(figures)
}

/// The servers to run; without coturn it says so.
pub(crate) fn kinds(options: &Options) -> impl Iterator<Item = Kind> {
    let mut kinds = options.servers.clone();
    if kinds.contains(&Kind::Coturn) && machine::coturn_version().is_none() {
        skip("bench streams", "no `turnserver` (Debian package coturn): turnstone runs alone");
        kinds.retain(|kind| *kind != Kind::Coturn);
    }
    kinds.into_iter()
}

/// Rounds of each server, in the order of `servers`; none of one that does not speak at the door.
///
/// Clients are new, so that no permission runs out.
fn measure(
    options: &Options,
    identity: &Identity,
    servers: &[Server],
    door: Door,
    way: Way,
    pace: Pace,
) -> io::Result<Vec<Vec<Round>>> {
    let speaks = |server: &&Server| server.speaks(door, identity);
    let crowds = servers.iter().map(|server| {
        Some(server).filter(speaks).map(|server| Crowd::open(server, door, identity, options)).transpose()
    });
    let mut crowds = crowds.collect::<io::Result<Vec<_>>>()?;
    let speed = match pace {
        Pace::Paced => Speed::PerSecond(options.rate),
        Pace::Full => Speed::Window(options.window),
    };
    let mut rounds: Vec<Vec<Round>> = servers.iter().map(|_| Vec::new()).collect();
    for number in 0..=options.rounds {
        for ((server, crowd), rounds) in servers.iter().zip(&mut crowds).zip(&mut rounds) {
            let Some(crowd) = crowd else { continue };
            let before = Usage::of(server.pid());
            let outcome = crowd.round(way, speed, options.round())?;
            let usage = Usage::of(server.pid()) - before;
            assert!(outcome.arrived > 0, "{:?}: of {} packets none arrived", server.kind, outcome.sent);
            if number > 0 {
                rounds.push(Round { outcome, usage });
            }
        }
    }
    Ok(rounds)
}

impl Round {
    fn per_cpu_second(&self) -> f64 {
        self.outcome.arrived as f64 / self.usage.cpu_s()
    }

    fn per_second(&self) -> f64 {
        self.outcome.arrived as f64 / self.outcome.elapsed.as_secs_f64()
    }

    fn loss(&self) -> f64 {
        1.0 - self.outcome.arrived as f64 / self.outcome.sent as f64
    }

    fn switches(&self) -> f64 {
        self.usage.switches as f64 / self.outcome.arrived as f64
    }

    /// A delay that `share` of the packets stay below, in microseconds.
    fn delay_us(&self, share: f64) -> f64 {
        let mut delays = self.outcome.delays_ns.clone();
        delays.sort_unstable();
        let at = ((delays.len() as f64 * share) as usize).min(delays.len() - 1);
        f64::from(delays[at]) / 1e3
    }
}

fn row(title: &str, servers: &[Server], rounds: &[Vec<Round>]) -> Vec<String> {
    let of = |kind| {
        servers
            .iter()
            .position(|server| server.kind == kind)
            .map(|at| &rounds[at])
            .filter(|rounds| !rounds.is_empty())
    };
    let (ours, theirs) = (of(Kind::Turnstone), of(Kind::Coturn));
    let cell = |rounds: Option<&Vec<Round>>, show: &dyn Fn(&[Round]) -> String| {
        rounds.map_or_else(|| "-".to_owned(), |rounds| show(rounds))
    };
    let both = |show: &dyn Fn(&[Round]) -> String| [cell(ours, show), cell(theirs, show)];
    let middle = |rounds: &[Round], figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
    let (ratio, spread) = match (ours, theirs) {
        (Some(ours), Some(theirs)) => {
            let ratio = middle(ours, Round::per_cpu_second) / middle(theirs, Round::per_cpu_second);
            let pairs = ours.iter().zip(theirs).map(|(a, b)| a.per_cpu_second() / b.per_cpu_second());
            let (low, high) = extent(pairs);
            (format!("{ratio:.2}"), format!("{low:.2}-{high:.2}"))
        }
        _ => ("-".into(), "-".into()),
    };
    let mut row = vec![title.to_owned()];
    row.extend(both(&|rounds| format!("{:.0}", middle(rounds, Round::per_cpu_second))));
    row.extend([ratio, spread]);
    row.extend(both(&|rounds| format!("{:.0}", middle(rounds, Round::per_second))));
    row.extend(both(&|rounds| format!("{:.2}", 100.0 * middle(rounds, Round::loss))));
    row.extend(both(&|rounds| {
        let [p50, p99] = [0.5, 0.99].map(|share| median(rounds.iter().map(|round| round.delay_us(share))));
        format!("{p50:.0}/{p99:.0}")
    }));
    row.extend(both(&|rounds| format!("{:.2}", middle(rounds, Round::switches))));
    row
}

fn describe(servers: &[Server], rounds: &[Vec<Round>]) -> Value {
    let describe = |round: &Round| {
        json!({
            "sent": round.outcome.sent,
            "arrived": round.outcome.arrived,
            "elapsed_s": round.outcome.elapsed.as_secs_f64(),
            "cpu_s": round.usage.cpu_s(),
            "user_ticks": round.usage.user_ticks,
            "system_ticks": round.usage.system_ticks,
            "switches": round.usage.switches,
            "delay_us_p50": round.delay_us(0.5),
            "delay_us_p99": round.delay_us(0.99),
        })
    };
    let of = |rounds: &Vec<Round>| Value::from(rounds.iter().map(describe).collect::<Vec<_>>());
    servers.iter().zip(rounds).map(|(server, rounds)| (name(server.kind), of(rounds))).collect()
}
