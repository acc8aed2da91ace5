//! What is measured, as programs and people read it.

use super::drive::Driven;
use super::process::{Process, ProcessFigures, Switches};
use super::{BenchFailed, Target};
use serde::Serialize;

/// The figures of one round of some kind.
pub trait Figures: Copy {
    /// The median of each figure by itself.
    fn median(rounds: &[Self]) -> Self;

    /// What the server used, if its process is known.
    fn process(&self) -> Option<ProcessFigures>;
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

/// What came of relaying.
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
    /// Time on a core of the server for each packet that was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_packet: Option<f64>,
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

impl RelayFigures {
    pub(super) fn of(driven: &Driven, process: Option<Process>) -> Result<Self, BenchFailed> {
        let outcome = &driven.outcome;
        let seconds = outcome.counted_ns as f64 / 1e9;
        let process = driven.used(process)?;
        let per_packet = |used: ProcessFigures| used.cpu_seconds * 1e6 / outcome.delivered.max(1) as f64;
        Ok(Self {
            delivered: outcome.delivered,
            sent: outcome.sent,
            seconds,
            packets_per_second: outcome.delivered as f64 / seconds,
            loss: 1.0 - outcome.arrived as f64 / outcome.sent.max(1) as f64,
            delay_us: Delay::of(driven),
            cpu_us_per_packet: process.map(per_packet),
            process,
        })
    }
}

impl Figures for RelayFigures {
    fn median(rounds: &[Self]) -> Self {
        let of = Medians(rounds);
        Self {
            delivered: of.whole(|round| round.delivered),
            sent: of.whole(|round| round.sent),
            seconds: of.real(|round| round.seconds),
            packets_per_second: of.real(|round| round.packets_per_second),
            loss: of.real(|round| round.loss),
            delay_us: of.delay(|round| round.delay_us),
            cpu_us_per_packet: of.maybe(|round| round.cpu_us_per_packet),
            process: of.process(),
        }
    }

    fn process(&self) -> Option<ProcessFigures> {
        self.process
    }
}

impl Delay {
    pub(super) fn of(driven: &Driven) -> Self {
        let us = |share| driven.outcome.delays.quantile(share) as f64 / 1e3;
        Self { p50: us(0.5), p99: us(0.99), p999: us(0.999) }
    }
}

impl<F: Figures> Measured<F> {
    pub(super) fn new(target: &Target, rounds: Vec<F>) -> Self {
        Self { name: target.name.clone(), median: F::median(&rounds), rounds }
    }
}

/// Medians of figures over rounds.
pub(super) struct Medians<'a, F>(pub(super) &'a [F]);

impl<F: Figures> Medians<'_, F> {
    pub(super) fn real(&self, figure: impl Fn(&F) -> f64) -> f64 {
        median(self.0.iter().map(figure))
    }

    pub(super) fn whole(&self, figure: impl Fn(&F) -> u64) -> u64 {
        self.real(|round| figure(round) as f64).round() as u64
    }

    /// `None` when no round has it.
    pub(super) fn maybe(&self, figure: impl Fn(&F) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.0.iter().filter_map(figure).collect();
        (!values.is_empty()).then(|| median(values))
    }

    pub(super) fn delay(&self, figure: impl Fn(&F) -> Delay) -> Delay {
        Delay {
            p50: self.real(|round| figure(round).p50),
            p99: self.real(|round| figure(round).p99),
            p999: self.real(|round| figure(round).p999),
        }
    }

    pub(super) fn process(&self) -> Option<ProcessFigures> {
        let used = |figure: fn(ProcessFigures) -> f64| self.maybe(|round| round.process().map(figure));
        let whole = |figure: fn(ProcessFigures) -> u64| {
            self.maybe(|round| round.process().map(|used| figure(used) as f64))
                .map(|value| value.round() as u64)
        };
        Some(ProcessFigures {
            cpu_seconds: used(|used| used.cpu_seconds)?,
            rss_bytes: whole(|used| used.rss_bytes)?,
            switches: Switches {
                voluntary: whole(|used| used.switches.voluntary)?,
                involuntary: whole(|used| used.switches.involuntary)?,
            },
        })
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
            cpu_us_per_packet: process.map(|used| used.cpu_seconds),
            process,
        }
    }

    fn used(cpu_seconds: f64) -> Option<ProcessFigures> {
        let switches = Switches { voluntary: 3, involuntary: 4 };
        Some(ProcessFigures { cpu_seconds, rss_bytes: 1, switches })
    }

    #[test]
    fn the_median_is_taken_of_each_figure_by_itself() {
        let median = RelayFigures::median(&[round(9, used(1.0)), round(1, used(5.0)), round(4, used(2.0))]);
        assert_eq!((median.delivered, median.packets_per_second), (4, 4.0));
        assert_eq!((median.process.unwrap().cpu_seconds, median.cpu_us_per_packet), (2.0, Some(2.0)));
        assert_eq!(RelayFigures::median(&[round(2, None), round(4, None)]).delivered, 3);
    }

    #[test]
    fn figures_of_a_process_are_there_only_when_one_is_known() {
        let with = serde_json::to_value(round(1, used(1.5))).unwrap();
        assert_eq!(with["cpu_seconds"], json!(1.5));
        assert_eq!(with["switches"], json!({ "voluntary": 3, "involuntary": 4 }));
        assert_eq!(with["delay_us"], json!({ "p50": 1.0, "p99": 2.0, "p999": 3.0 }));
        let without = serde_json::to_value(round(1, None)).unwrap();
        let absent = ["cpu_seconds", "cpu_us_per_packet", "process"];
        assert!(absent.iter().all(|name| without.get(name).is_none()), "{without}");
    }
}
