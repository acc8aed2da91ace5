//! What was measured, as people read it: a line for each target, and how the first compares with the others.

use crate::admin::text::{Column, Table, bytes};
use crate::probe::bench::{
    AllocateFigures, AllocateOptions, ChallengeFigures, ChallengeOptions, Delay, Figures, Measured, Peers,
    RelayFigures, RelayOptions,
};
use clap::ValueEnum;
use std::fmt::Write as _;

/// A figure that may be missing.
type Maybe<F> = fn(&F) -> Option<f64>;

pub(super) fn relay(options: &RelayOptions, measured: &[Measured<RelayFigures>]) -> String {
    let peers = match options.peers {
        Peers::Each => "a peer each",
        Peers::One => "one peer",
    };
    let title = format!(
        "{} clients over {} by {}, {peers}, {} bytes {}, bursts of {}, {}; medians of {} rounds of {:?}",
        options.clients,
        name(options.transport),
        name(options.via),
        options.payload_bytes,
        name(options.way),
        options.burst,
        speed(options.rate),
        options.rounds,
        options.seconds
    );
    let mut table =
        table(&["PACKETS/S", "MIN-MAX", "LOSS", DELAYS, "CPU US/PACKET", "MIN-MAX", "RSS", SWITCHES]);
    let (rate, cost): (Maybe<RelayFigures>, Maybe<RelayFigures>) =
        (|round| Some(round.packets_per_second), |round| round.cpu_us_per_packet);
    for target in measured {
        let median = &target.median;
        table.row([
            target.name.clone(),
            figure(rate(median), 0),
            extent(target, rate, 0),
            share(median.loss),
            delays(median.delay_us),
            figure(cost(median), 2),
            extent(target, cost, 2),
            resident(median),
            switches(median, median.seconds),
        ]);
    }
    whole(&title, &table, measured, [(rate, "packets per second"), (cost, "CPU per packet")])
}

pub(super) fn allocate(options: &AllocateOptions, measured: &[Measured<AllocateFigures>]) -> String {
    let title = format!(
        "{} allocations over udp, {} at once; medians of {} rounds",
        options.count, options.at_once, options.rounds
    );
    let mut table =
        table(&["ALLOCATIONS/S", "MIN-MAX", "PER CPU-S", "MIN-MAX", "BYTES EACH", "RSS", SWITCHES]);
    let (rate, worth): (Maybe<AllocateFigures>, Maybe<AllocateFigures>) =
        (|round| Some(round.allocations_per_second), |round| round.allocations_per_cpu_second);
    for target in measured {
        let median = &target.median;
        table.row([
            target.name.clone(),
            figure(rate(median), 0),
            extent(target, rate, 0),
            figure(worth(median), 0),
            extent(target, worth, 0),
            figure(median.bytes_per_allocation, 0),
            resident(median),
            switches(median, median.seconds),
        ]);
    }
    let memory: Maybe<AllocateFigures> = |round| round.bytes_per_allocation;
    whole(
        &title,
        &table,
        measured,
        [(worth, "allocations per CPU-second"), (memory, "memory of an allocation")],
    )
}

pub(super) fn challenge(options: &ChallengeOptions, measured: &[Measured<ChallengeFigures>]) -> String {
    let title = format!(
        "{} sources without credentials over udp, {}; medians of {} rounds of {:?}",
        options.sources,
        speed(options.rate),
        options.rounds,
        options.seconds
    );
    let mut table = table(&[
        "REQUESTS/S",
        "401S/S",
        "UNANSWERED",
        DELAYS,
        "401S PER CPU-S",
        "CPU US/REQUEST",
        "MIN-MAX",
        SWITCHES,
    ]);
    let cost: Maybe<ChallengeFigures> = |round| round.cpu_us_per_request;
    let rate: Maybe<ChallengeFigures> = |round| Some(round.challenges_per_second);
    for target in measured {
        let median = &target.median;
        table.row([
            target.name.clone(),
            figure(Some(median.requests_per_second), 0),
            figure(rate(median), 0),
            share(median.unanswered),
            delays(median.delay_us),
            figure(median.challenges_per_cpu_second, 0),
            figure(cost(median), 2),
            extent(target, cost, 2),
            switches(median, median.seconds),
        ]);
    }
    whole(&title, &table, measured, [(rate, "401s per second"), (cost, "CPU per request")])
}

const DELAYS: &str = "P50/P99/P99.9 US";
const SWITCHES: &str = "SWITCHES/S";

fn table(figures: &[&str]) -> Table {
    let figures = figures.iter().map(|heading| (*heading, Column::Figure));
    Table::new(&std::iter::once(("TARGET", Column::Text)).chain(figures).collect::<Vec<_>>())
}

/// Title, lines, and the ratios of the first target to each other one.
fn whole<F>(title: &str, table: &Table, measured: &[Measured<F>], ratios: [(Maybe<F>, &str); 2]) -> String {
    let mut out = format!("{title}\n{}", table.text());
    let Some((first, others)) = measured.split_first() else { return out };
    for other in others {
        let told: Vec<_> = ratios
            .iter()
            .filter_map(|(figure, what)| {
                let (ours, theirs) = figure(&first.median).zip(figure(&other.median))?;
                (theirs > 0.0).then(|| format!("{:.2} x the {what}", ours / theirs))
            })
            .collect();
        _ = writeln!(out, "{} / {}: {}", first.name, other.name, told.join(", "));
    }
    out
}

fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// The smallest and the largest of all rounds.
fn extent<F>(target: &Measured<F>, figure: Maybe<F>, digits: usize) -> String {
    let values = || target.rounds.iter().filter_map(figure);
    let ends = values().reduce(f64::min).zip(values().reduce(f64::max));
    ends.map_or_else(|| "-".to_owned(), |(low, high)| format!("{low:.digits$}-{high:.digits$}"))
}

fn share(part: f64) -> String {
    format!("{:.2}%", 100.0 * part)
}

fn delays(delay: Delay) -> String {
    format!("{:.0}/{:.0}/{:.0}", delay.p50, delay.p99, delay.p999)
}

fn resident(figures: &impl Figures) -> String {
    figures.process().map_or_else(|| "-".to_owned(), |used| bytes(used.rss_bytes))
}

fn switches(figures: &impl Figures, seconds: f64) -> String {
    let all = figures.process().map(|used| used.switches.voluntary + used.switches.involuntary);
    figure(all.map(|all| all as f64 / seconds), 0)
}

fn speed(rate: Option<u32>) -> String {
    rate.map_or_else(|| "full speed".to_owned(), |rate| format!("{rate}/s"))
}

/// How the command line calls it.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
