//! What was measured, as people read it.

use crate::admin::text::{Column, Table, bytes};
use crate::probe::bench::{Measured, Peers, ProcessFigures, RelayFigures, RelayOptions};
use clap::ValueEnum;
use std::fmt::Write as _;

const HEADINGS: [(&str, Column); 9] = [
    ("TARGET", Column::Text),
    ("PACKETS/S", Column::Figure),
    ("MIN-MAX", Column::Figure),
    ("LOSS", Column::Figure),
    ("P50/P99/P99.9 US", Column::Figure),
    ("CPU US/PACKET", Column::Figure),
    ("MIN-MAX", Column::Figure),
    ("RSS", Column::Figure),
    ("SWITCHES/S", Column::Figure),
];

/// One line for each target, and how the first compares with the others.
pub(super) fn relay(options: &RelayOptions, measured: &[Measured<RelayFigures>]) -> String {
    let mut table = Table::new(&HEADINGS);
    measured.iter().for_each(|target| table.row(row(target)));
    let mut out = format!("{}\n{}", title(options), table.text());
    let Some((first, others)) = measured.split_first() else { return out };
    for other in others {
        let rate = first.median.packets_per_second / other.median.packets_per_second;
        _ = write!(out, "{} / {}: {rate:.2} x the packets per second", first.name, other.name);
        if let (Some(ours), Some(theirs)) = (first.median.process, other.median.process) {
            _ = write!(
                out,
                ", {:.2} x the CPU per packet",
                ours.cpu_us_per_packet / theirs.cpu_us_per_packet
            );
        }
        out.push('\n');
    }
    out
}

/// What was done, in a line.
fn title(options: &RelayOptions) -> String {
    let rate = options.rate.map_or_else(|| "full speed".to_owned(), |rate| format!("{rate} packets/s"));
    let peers = match options.peers {
        Peers::Each => "a peer each",
        Peers::One => "one peer",
    };
    format!(
        "{} clients over {} by {}, {peers}, {} bytes {}, bursts of {}, {rate}; medians of {} rounds of {:?}",
        options.clients,
        name(options.transport),
        name(options.via),
        options.payload_bytes,
        name(options.way),
        options.burst,
        options.rounds,
        options.seconds
    )
}

/// How the command line calls it.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn row(target: &Measured<RelayFigures>) -> Vec<String> {
    let median = &target.median;
    let used = |figure: &dyn Fn(&ProcessFigures) -> String| {
        median.process.as_ref().map_or_else(|| "-".to_owned(), figure)
    };
    let rates = extent(target.rounds.iter().map(|round| round.packets_per_second));
    let costs = extent(target.rounds.iter().filter_map(|round| Some(round.process?.cpu_us_per_packet)));
    let delay = median.delay_us;
    vec![
        target.name.clone(),
        format!("{:.0}", median.packets_per_second),
        format!("{:.0}-{:.0}", rates.0, rates.1),
        format!("{:.2}%", 100.0 * median.loss),
        format!("{:.0}/{:.0}/{:.0}", delay.p50, delay.p99, delay.p999),
        used(&|process| format!("{:.2}", process.cpu_us_per_packet)),
        used(&|_| format!("{:.2}-{:.2}", costs.0, costs.1)),
        used(&|process| bytes(process.rss_bytes)),
        used(&|process| {
            let switches = process.switches.voluntary + process.switches.involuntary;
            format!("{:.0}", switches as f64 / median.seconds)
        }),
    ]
}

/// The smallest and the largest of some values.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(low, high), value| (low.min(value), high.max(value)))
}
