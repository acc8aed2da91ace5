//! Turns counters into Prometheus text: the only place besides `requests` that knows `prometheus`.

use super::api::MintCounts;
use super::process::Process;
use super::requests::Requests;
use super::{CertificateState, PortCounts, PublicRefusals, Sources};
use crate::base::{Family as AddressFamily, Transport};
use crate::metrics::{
    CallState, Carrier, Closed, CounterId, Family, Histogram, Kind, Label, LimitScope, Series, Snapshot,
    allocations_ended, allocations_started, calls_entered, calls_left, connections_accepted,
    connections_closed, families, rooms_made, rooms_removed, sessions_closed, sessions_opened,
    signaling_closed, signaling_opened,
};
use crate::storage::{Health, TableHealth};
use crate::turn::Bandwidth;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, Metric, MetricFamily, MetricType};
use prometheus::{Registry, TextEncoder};
use std::collections::HashMap;
use std::sync::Arc;

/// The text format and its version; the encoding is part of what Prometheus itself sends.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that `GET /metrics` shows.
pub(super) struct Exposition {
    registry: Registry,
    requests: Requests,
}

impl Exposition {
    /// Registers all families.
    ///
    /// # Errors
    /// When two families share a name or one has no valid name, which no config can cause.
    pub(super) fn new(sources: Arc<dyn Sources>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = Requests::register(&registry)?;
        registry.register(Box::new(DaemonCollector::new(sources)?))?;
        Ok(Self { registry, requests })
    }

    pub(super) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// All families as text. Reads `/proc`, so it belongs on a thread that may block.
    pub(super) fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Sums the published copies of all workers at the scrape.
struct DaemonCollector {
    sources: Arc<dyn Sources>,
    process: Process,
    descriptions: Vec<Desc>,
}

impl DaemonCollector {
    fn new(sources: Arc<dyn Sources>) -> prometheus::Result<Self> {
        let mut collector = Self { sources, process: Process::new(), descriptions: Vec::new() };
        let describe = |family: &MetricFamily| {
            Desc::new(family.name().into(), family.help().into(), Vec::new(), HashMap::new())
        };
        collector.descriptions = collector.collect().iter().map(describe).collect::<Result<_, _>>()?;
        Ok(collector)
    }
}

impl Collector for DaemonCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shards: Vec<_> = self.sources.shards().iter().map(|shard| Snapshot::sum([&**shard])).collect();
        let threads = self.sources.shards().iter().chain(self.sources.signaling());
        let sum = Snapshot::sum(threads.map(|thread| &**thread));
        let mut all: Vec<_> =
            families().filter_map(|(family, series)| counted(family, &series, &sum, &shards)).collect();
        all.extend([build_info(), allocations(&sum), connections(&sum)]);
        all.extend(signaling(&sum));
        all.push(relay_ports(self.sources.relay_ports()));
        all.push(bandwidth_limits(self.sources.bandwidth()));
        all.push(public_refusals(self.sources.public_refusals()));
        all.extend(minting(self.sources.mint_counts()));
        all.extend(state(&*self.sources));
        all.extend(self.sources.storage().iter().flat_map(storage));
        all.extend(self.sources.certificates().into_iter().flat_map(certificates));
        all.extend(self.process.families());
        all
    }
}

/// One family that the workers count, or nothing when it is hidden.
fn counted(family: &Family, series: &[Series], sum: &Snapshot, shards: &[Snapshot]) -> Option<MetricFamily> {
    let each = |metric: &dyn Fn(&Series) -> Metric| {
        series.iter().map(|one| with_labels(metric(one), labels_of(family, one))).collect::<Vec<_>>()
    };
    let (kind, metrics) = match family.kind {
        Kind::Hidden => return None,
        Kind::Counter => (MetricType::COUNTER, each(&|one| counter_value(sum.slot(one.first) as f64))),
        Kind::Histogram(shape) => {
            (MetricType::HISTOGRAM, each(&|one| histogram_value(shape, one.first, sum)))
        }
        Kind::WorkerSeconds => (MetricType::COUNTER, per_worker(series, shards)),
    };
    Some(family_of(family.name, family.help, kind, metrics))
}

fn labels_of(family: &Family, one: &Series) -> impl Iterator<Item = (&'static str, String)> {
    let names = family.labels.iter().map(|(name, _)| *name);
    names.zip(one.label_values.iter().map(|value| (*value).to_owned()))
}

/// One series per worker; such a family has no label of its own.
fn per_worker(series: &[Series], shards: &[Snapshot]) -> Vec<Metric> {
    let Some(one) = series.first() else { return Vec::new() };
    let metric = |(worker, shard): (usize, &Snapshot)| {
        let seconds = shard.slot(one.first) as f64 / 1e9;
        with_labels(counter_value(seconds), [("worker", worker.to_string())])
    };
    shards.iter().enumerate().map(metric).collect()
}

/// Slots from `first`: one count per bucket, the count above all bounds, the sum in units.
fn histogram_value(shape: &Histogram, first: usize, sum: &Snapshot) -> Metric {
    let seconds = |units: u64| units as f64 / shape.units_per_second as f64;
    let mut count = 0;
    let mut buckets = Vec::with_capacity(shape.bounds.len());
    for (at, bound) in shape.bounds.iter().enumerate() {
        count += sum.slot(first + at);
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(seconds(*bound));
        bucket.set_cumulative_count(count);
        buckets.push(bucket);
    }
    count += sum.slot(first + shape.bounds.len());
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(count);
    histogram.set_sample_sum(seconds(sum.slot(first + shape.bounds.len() + 1)));
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

fn build_info() -> MetricFamily {
    let labels = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("commit", option_env!("TURNSTONE_COMMIT").unwrap_or("unknown").to_owned()),
        // The package has no Cargo features yet.
        ("features", "none".to_owned()),
    ];
    let help = "Always 1; the labels tell which build this is.";
    family_of("turnstone_build_info", help, MetricType::GAUGE, vec![with_labels(gauge_value(1.0), labels)])
}

/// A new transport must be added here to compile.
const TRANSPORTS: [Transport; Transport::VALUES.len()] = Transport::ALL;

/// Live allocations: those made minus those that ended. The two are read one after the other while
/// workers publish, so the difference stops at zero.
fn allocations(sum: &Snapshot) -> MetricFamily {
    let mut metrics = Vec::new();
    for transport in TRANSPORTS {
        for family in AddressFamily::ALL.iter().copied() {
            let made = sum.value(allocations_started(transport, family));
            let live = made.saturating_sub(sum.value(allocations_ended(transport, family)));
            let labels = [
                (Transport::NAME, Transport::VALUES[transport.index()].to_owned()),
                (AddressFamily::NAME, AddressFamily::VALUES[family.index()].to_owned()),
            ];
            metrics.push(with_labels(gauge_value(live as f64), labels));
        }
    }
    let help = "Live allocations, by client transport and family of the relayed address.";
    family_of("turnstone_allocations", help, MetricType::GAUGE, metrics)
}

/// Open connections: those accepted minus those that ended.
fn connections(sum: &Snapshot) -> MetricFamily {
    let accepted = sum.value(connections_accepted());
    let ended: u64 = Closed::ALL.iter().map(|reason| sum.value(connections_closed(*reason))).sum();
    let open = accepted.saturating_sub(ended);
    gauge("turnstone_connections", "Open connections of TCP and TLS doors.", open as f64)
}

/// What lives on the signaling side: what began minus what ended.
fn signaling(sum: &Snapshot) -> [MetricFamily; 4] {
    let live = |began: CounterId, ended: CounterId| sum.value(began).saturating_sub(sum.value(ended)) as f64;
    let connections =
        by_label(|carrier| live(signaling_opened(carrier), signaling_closed(carrier)), Carrier::ALL);
    let calls = by_label(|state| live(calls_entered(state), calls_left(state)), CallState::ALL);
    let sessions = live(sessions_opened(), sessions_closed());
    let help = "Open signaling connections, by what carries them.";
    [
        family_of("turnstone_ws_connections", help, MetricType::GAUGE, connections),
        gauge(
            "turnstone_signaling_sessions",
            "Signaling sessions, those that may be resumed included.",
            sessions,
        ),
        gauge("turnstone_rooms", "Rooms.", live(rooms_made(), rooms_removed())),
        family_of("turnstone_calls", "Live calls, by state.", MetricType::GAUGE, calls),
    ]
}

fn by_label<L: Label>(value: impl Fn(L) -> f64, all: &[L]) -> Vec<Metric> {
    let text = |label: L| L::VALUES[label.index()].to_owned();
    all.iter().map(|label| with_labels(gauge_value(value(*label)), [(L::NAME, text(*label))])).collect()
}

fn relay_ports(ports: PortCounts) -> MetricFamily {
    let states = [("used", ports.used), ("free", ports.free), ("quarantined", ports.quarantined)];
    let metric =
        |(state, count): (&str, u64)| with_labels(gauge_value(count as f64), [("state", state.to_owned())]);
    let metrics = states.into_iter().map(metric).collect();
    family_of("turnstone_relay_ports", "Relay ports of the pool, by state.", MetricType::GAUGE, metrics)
}

/// Only limits that there are: what flows can then be divided by what may flow.
fn bandwidth_limits(limits: Bandwidth) -> MetricFamily {
    let of = |scope: &LimitScope| match scope {
        LimitScope::Allocation => limits.per_allocation,
        LimitScope::User => limits.per_user,
        LimitScope::Total => limits.total,
    };
    let metric = |scope: &LimitScope| {
        let labels = [(LimitScope::NAME, LimitScope::VALUES[scope.index()].to_owned())];
        of(scope).map(|bits| with_labels(gauge_value(bits as f64 / 8.0), labels))
    };
    let metrics = LimitScope::ALL.iter().filter_map(metric).collect();
    let help = "Application payload that may be relayed, both ways together, by whose limit; absent where there is none.";
    family_of("turnstone_bandwidth_limit_bytes_per_second", help, MetricType::GAUGE, metrics)
}

fn public_refusals(refusals: &PublicRefusals) -> MetricFamily {
    let metric =
        |(reason, count)| with_labels(counter_value(count as f64), [("reason", str::to_owned(reason))]);
    let help = "Connections and requests that public HTTP refused, by reason.";
    let metrics = refusals.counts().map(metric).collect();
    family_of("turnstone_public_refusals_total", help, MetricType::COUNTER, metrics)
}

fn minting(counts: &MintCounts) -> [MetricFamily; 2] {
    let metric = |label: &'static str| {
        move |(value, count)| with_labels(counter_value(count as f64), [(label, str::to_owned(value))])
    };
    let (by, refused) =
        (counts.by().map(metric("by")).collect(), counts.refusals().map(metric("reason")).collect());
    [
        family_of(
            "turnstone_credentials_minted_total",
            "Credentials minted by the API, by what its caller had.",
            MetricType::COUNTER,
            by,
        ),
        family_of(
            "turnstone_credentials_refused_total",
            "Credentials that the API did not mint, by reason.",
            MetricType::COUNTER,
            refused,
        ),
    ]
}

fn certificates(state: CertificateState) -> [MetricFamily; 2] {
    let ends = state.ends_unix_s.into_iter();
    let ends = ends.map(|(name, end)| with_labels(gauge_value(end as f64), [("name", name)])).collect();
    let help = "When the certificate in use ends, in seconds since the Unix epoch, by its first name.";
    [
        family_of("turnstone_tls_certificate_expiry_timestamp_seconds", help, MetricType::GAUGE, ends),
        gauge(
            "turnstone_tls_certificate_reload_successful",
            "0 while a certificate stays in use because its files cannot be served.",
            f64::from(u8::from(state.all_current)),
        ),
    ]
}

fn state(sources: &dyn Sources) -> [MetricFamily; 3] {
    let truth = |is: bool| f64::from(u8::from(is));
    let reload = sources.last_reload();
    [
        gauge(
            "turnstone_draining",
            "1 while new allocations are refused because the daemon drains.",
            truth(sources.readiness().draining),
        ),
        gauge(
            "turnstone_config_last_reload_successful",
            "1 when the last reading of the config was accepted.",
            truth(reload.successful),
        ),
        gauge(
            "turnstone_config_last_reload_success_timestamp_seconds",
            "When the config in force was accepted, in seconds since the Unix epoch.",
            reload.success_unix as f64,
        ),
    ]
}

fn storage(health: &Health) -> [MetricFamily; 6] {
    let by_table = |of: fn(&TableHealth) -> u64| -> Vec<Metric> {
        let one = |table: &TableHealth| {
            with_labels(gauge_value(of(table) as f64), [("table", table.table.name().to_owned())])
        };
        health.tables.iter().map(one).collect()
    };
    let up = f64::from(u8::from(health.trouble.is_none()));
    let last_flush = health.last_flush.unwrap_or_default().as_secs_f64();
    let damaged = "Records that are not served because they are damaged.";
    [
        gauge("turnstone_storage_up", "1 while the storage takes writes.", up),
        family_of(
            "turnstone_storage_records",
            "Records in the storage, by table.",
            MetricType::GAUGE,
            by_table(|table| table.records),
        ),
        gauge("turnstone_storage_damaged_records", damaged, health.damaged() as f64),
        gauge(
            "turnstone_storage_last_flush_seconds",
            "How long the last write took to get to the disk.",
            last_flush,
        ),
        gauge("turnstone_storage_bytes", "Bytes of the storage on the disk.", health.bytes_on_disk as f64),
        gauge("turnstone_storage_queued_bytes", "Bytes that wait to be written.", health.bytes_queued as f64),
    ]
}

/// A gauge without labels.
pub(super) fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    family_of(name, help, MetricType::GAUGE, vec![gauge_value(value)])
}

/// A counter without labels.
pub(super) fn counter(name: &str, help: &str, value: f64) -> MetricFamily {
    family_of(name, help, MetricType::COUNTER, vec![counter_value(value)])
}

fn family_of(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn gauge_value(value: f64) -> Metric {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value);
    Metric::from_gauge(gauge)
}

fn counter_value(value: f64) -> Metric {
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn with_labels<'a>(mut metric: Metric, labels: impl IntoIterator<Item = (&'a str, String)>) -> Metric {
    let pair = |(name, value): (&str, String)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.into());
        pair.set_value(value);
        pair
    };
    metric.set_label(labels.into_iter().map(pair).collect());
    metric
}

#[cfg(test)]
mod tests {
    use super::super::testing::FakeSources;
    use super::*;
    use crate::metrics::{CounterSet, Dropped, busy_nanos, dropped};
    use std::collections::BTreeSet;

    fn text_of(sets: &mut [CounterSet]) -> String {
        let sources = FakeSources::with_workers(sets.len());
        for (set, shard) in sets.iter_mut().zip(sources.shards()) {
            set.publish(shard);
        }
        Exposition::new(Arc::new(sources)).expect("registers").text().expect("encodes")
    }

    #[track_caller]
    fn assert_line(text: &str, line: &str) {
        assert!(text.lines().any(|candidate| candidate == line), "no {line} in\n{text}");
    }

    #[test]
    fn counters_are_summed_over_workers_and_busy_time_is_shown_per_worker() {
        let mut sets = [CounterSet::default(), CounterSet::default()];
        for (set, n) in sets.iter_mut().zip([3, 4]) {
            set.add(dropped(Dropped::Malformed), n);
            set.add(busy_nanos(), n * 500_000_000);
        }
        let text = text_of(&mut sets);
        assert_line(&text, "turnstone_dropped_packets_total{reason=\"malformed\"} 7");
        assert_line(&text, "turnstone_worker_busy_seconds_total{worker=\"0\"} 1.5");
        assert_line(&text, "turnstone_worker_busy_seconds_total{worker=\"1\"} 2");
    }

    #[test]
    fn histograms_are_cumulative_and_in_seconds() {
        let mut set = CounterSet::default();
        for micros in [5, 7, 60, 2_000_000] {
            set.observe_forward_latency(micros);
        }
        set.observe_session(Transport::Udp, 61);
        let text = text_of(&mut [set]);
        for (bound, count) in
            [("0.000005", 1), ("0.00001", 2), ("0.00005", 2), ("0.0001", 3), ("1", 3), ("+Inf", 4)]
        {
            let line = format!("turnstone_forward_latency_seconds_bucket{{le=\"{bound}\"}} {count}");
            assert_line(&text, &line);
        }
        assert_line(&text, "turnstone_forward_latency_seconds_count 4");
        assert_line(&text, "turnstone_forward_latency_seconds_sum 2.000072");
        assert_line(&text, "turnstone_allocation_duration_seconds_sum{transport=\"udp\"} 61");
    }

    #[test]
    fn live_allocations_are_those_made_minus_those_ended_and_never_negative() {
        let mut set = CounterSet::default();
        set.add(allocations_started(Transport::Udp, AddressFamily::V4), 5);
        set.add(allocations_ended(Transport::Udp, AddressFamily::V4), 2);
        set.add(allocations_ended(Transport::Udp, AddressFamily::V6), 1);
        let text = text_of(&mut [set]);
        assert_line(&text, "turnstone_allocations{transport=\"udp\",family=\"ipv4\"} 3");
        assert_line(&text, "turnstone_allocations{transport=\"udp\",family=\"ipv6\"} 0");
        assert!(!text.contains("turnstone_allocations_ended"), "hidden families stay hidden");
    }

    #[test]
    fn a_limit_of_bandwidth_is_shown_in_bytes_and_only_where_there_is_one() {
        let text = text_of(&mut [CounterSet::default()]);
        assert_line(&text, "turnstone_bandwidth_limit_bytes_per_second{scope=\"user\"} 500000");
        assert_eq!(text.matches("turnstone_bandwidth_limit_bytes_per_second{").count(), 1);
        let none = bandwidth_limits(Bandwidth::default());
        assert!(none.get_metric().is_empty());
    }

    #[test]
    fn no_two_series_are_the_same_and_names_keep_the_prometheus_conventions() {
        let text = text_of(&mut [CounterSet::default(), CounterSet::default()]);
        let mut seen = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(seen.insert(series), "{series} twice");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').expect("a type");
            assert!(name.starts_with("turnstone_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        }
    }
}
