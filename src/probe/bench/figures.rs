//! What is measured, as programs and people read it.

use super::drive::Driven;
use super::process::{Process, ProcessFigures, Switches};
use super::{BenchFailed, Target};
use serde::Serialize;

/// The figures of one round, or the medians of several, each figure by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RelayFigures {
    /// Packets that arrived while the round counted, each once; in both ways, those of both.
    pub delivered: u64,
    /// Packets that left while it counted.
    pub sent: u64,
    /// How long it counted.
    pub seconds: f64,
    /// Delivered ones.
    pub packets_per_second: f64,
    /// Share of the packets sent that did not arrive at all, 0 to 1.
    pub loss: f64,
    /// From the send to the receive.
    pub delay_us: Delay,
    /// What the server used meanwhile, if its process is known.
    #[serde(flatten)]
    pub process: Option<ProcessFigures>,
}

/// Delays in microseconds that a share of the packets stayed at or below.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Delay {
    /// Half of them.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
}

/// All rounds of one target.
#[derive(Clone, Debug, Serialize)]
pub struct Measured<F> {
    /// The target's name.
    pub name: String,
    /// Its rounds in order.
    pub rounds: Vec<F>,
    /// The median of each figure.
    pub median: F,
}

impl RelayFigures {
    pub(super) fn of(driven: &Driven, process: Option<Process>) -> Result<Self, BenchFailed> {
        let outcome = &driven.outcome;
        let seconds = outcome.counted_ns as f64 / 1e9;
        let delay = |share| outcome.delays.quantile(share) as f64 / 1e3;
        let used = process.zip(driven.usage);
        let process =
            used.map(|(process, (before, after))| process.figures(&before, &after, outcome.delivered));
        Ok(Self {
            delivered: outcome.delivered,
            sent: outcome.sent,
            seconds,
            packets_per_second: outcome.delivered as f64 / seconds,
            loss: 1.0 - outcome.arrived as f64 / outcome.sent.max(1) as f64,
            delay_us: Delay { p50: delay(0.5), p99: delay(0.99), p999: delay(0.999) },
            process: process.transpose()?,
        })
    }

    fn median(rounds: &[Self]) -> Self {
        let of = |figure: &dyn Fn(&Self) -> f64| median(rounds.iter().map(figure));
        let whole = |figure: &dyn Fn(&Self) -> u64| of(&|round| figure(round) as f64).round() as u64;
        let used: Vec<_> = rounds.iter().filter_map(|round| round.process).collect();
        Self {
            delivered: whole(&|round| round.delivered),
            sent: whole(&|round| round.sent),
            seconds: of(&|round| round.seconds),
            packets_per_second: of(&|round| round.packets_per_second),
            loss: of(&|round| round.loss),
            delay_us: Delay {
                p50: of(&|round| round.delay_us.p50),
                p99: of(&|round| round.delay_us.p99),
                p999: of(&|round| round.delay_us.p999),
            },
            process: (!used.is_empty()).then(|| ProcessFigures::median(&used)),
        }
    }
}

impl ProcessFigures {
    fn median(rounds: &[Self]) -> Self {
        let of = |figure: &dyn Fn(&Self) -> f64| median(rounds.iter().map(figure));
        let whole = |figure: &dyn Fn(&Self) -> u64| of(&|round| figure(round) as f64).round() as u64;
        Self {
            cpu_seconds: of(&|round| round.cpu_seconds),
            cpu_us_per_packet: of(&|round| round.cpu_us_per_packet),
            rss_bytes: whole(&|round| round.rss_bytes),
            switches: Switches {
                voluntary: whole(&|round| round.switches.voluntary),
                involuntary: whole(&|round| round.switches.involuntary),
            },
        }
    }
}

impl Measured<RelayFigures> {
    pub(super) fn new(target: &Target, rounds: Vec<RelayFigures>) -> Self {
        Self { name: target.name.clone(), median: RelayFigures::median(&rounds), rounds }
    }
}

/// The middle of some values; of an even number, the mean of the two in the middle. 0 of none.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn round(delivered: u64, process: Option<ProcessFigures>) -> RelayFigures {
        RelayFigures {
            delivered,
            sent: delivered,
            seconds: 1.0,
            packets_per_second: delivered as f64,
            loss: 0.0,
            delay_us: Delay { p50: 1.0, p99: 2.0, p999: 3.0 },
            process,
        }
    }

    fn used(cpu_seconds: f64) -> Option<ProcessFigures> {
        let switches = Switches { voluntary: 3, involuntary: 4 };
        Some(ProcessFigures { cpu_seconds, cpu_us_per_packet: 1.0, rss_bytes: 1, switches })
    }

    #[test]
    fn the_median_is_taken_of_each_figure_by_itself() {
        let median = RelayFigures::median(&[round(9, used(1.0)), round(1, used(5.0)), round(4, used(2.0))]);
        assert_eq!((median.delivered, median.packets_per_second), (4, 4.0));
        assert_eq!(median.process.unwrap().cpu_seconds, 2.0);
        assert_eq!(RelayFigures::median(&[round(2, None), round(4, None)]).delivered, 3);
    }

    #[test]
    fn figures_of_a_process_are_there_only_when_one_is_known() {
        let with = serde_json::to_value(round(1, used(1.5))).unwrap();
        assert_eq!(with["cpu_seconds"], json!(1.5));
        assert_eq!(with["switches"], json!({ "voluntary": 3, "involuntary": 4 }));
        assert_eq!(with["delay_us"], json!({ "p50": 1.0, "p99": 2.0, "p999": 3.0 }));
        let without = serde_json::to_value(round(1, None)).unwrap();
        assert!(without.get("cpu_seconds").is_none() && without.get("process").is_none(), "{without}");
    }
}
