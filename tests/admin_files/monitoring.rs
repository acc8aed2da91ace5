//! The board of Grafana and the alerts of Prometheus: against a live daemon, by Prometheus itself.

use crate::daemon::{Config, Daemon, Folder, PATIENCE, eventually, free_port, http_get, loopback};
use crate::tool::{clean, file, tool};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

const ALERTS: &str = "packaging/prometheus/alerts.yml";

/// A daemon with everything that shows a metric of its own.
fn monitored() -> Daemon {
    let sections = "[tls]\nmode = \"self-signed\"\n".to_owned();
    let config = Config { transports: "\"udp\", \"tls\"", sections, ..Config::default() };
    Daemon::start(&config.limits("bandwidth_total = \"1 Gbit/s\""))
}

/// Each query of the board with where it stands.
fn queries() -> Vec<(String, String)> {
    let board: Value = serde_json::from_str(&file("packaging/grafana/turnstone.json")).unwrap();
    let mut queries = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            queries.push((panel["title"].to_string(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    for note in board["annotations"]["list"].as_array().unwrap() {
        queries.push((note["name"].to_string(), note["expr"].as_str().unwrap().to_owned()));
    }
    assert!(queries.len() > 60, "only {}", queries.len());
    queries
}

/// Families that a text names, without what the text format adds to those of histograms.
fn families(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
    let named = words.filter(|word| word.starts_with("turnstone_") || word.starts_with("process_"));
    named.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect()
}

#[test]
fn every_metric_of_the_board_and_the_alerts_is_one_that_the_daemon_shows() {
    let (_, shown) = monitored().get("/metrics");
    let shown: BTreeSet<_> =
        shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let board = file("packaging/grafana/turnstone.json");
    let named: BTreeSet<_> = families(&board).into_iter().collect();
    let missing: Vec<_> = named.difference(&shown).collect();
    assert!(missing.is_empty(), "the board names {missing:?}");
    // A metric that nobody would ever see is one that the board has forgotten.
    let unseen: Vec<_> = shown.difference(&named).collect();
    assert!(unseen.len() < 10, "the board leaves out {unseen:?}");
    let alerts = file(ALERTS);
    let missing: Vec<_> = families(&alerts).into_iter().filter(|name| !shown.contains(name)).collect();
    assert!(missing.is_empty(), "the alerts name {missing:?}");
}

#[test]
fn promtool_finds_nothing_in_the_metrics_and_the_alerts() {
    let test = "admin_files::monitoring::promtool_finds_nothing_in_the_metrics_and_the_alerts";
    let Some(mut check) = tool(test, "promtool", "prometheus") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = clean(check.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(root.join(ALERTS)));
    assert!(said.stdout.contains("SUCCESS"), "{}", said.stdout);
    let folder = Folder::new();
    let metrics = folder.write("metrics", &monitored().get("/metrics").1);
    let mut shell = tool(test, "sh", "dash").unwrap();
    let said = clean(shell.args(["-c", "promtool check metrics <\"$1\"", "sh"]).arg(metrics));
    assert_eq!(said.stdout, "");
}

#[test]
fn the_alerts_come_when_they_should_and_not_before() {
    let test = "admin_files::monitoring::the_alerts_come_when_they_should_and_not_before";
    let Some(mut promtool) = tool(test, "promtool", "prometheus") else { return };
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/admin_files/alerts.test.yml");
    clean(promtool.args(["test", "rules"]).arg(cases));
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let alerts = file(ALERTS);
    let rules: Vec<_> = alerts.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 15, "only {}", rules.len());
    for rule in rules {
        let name = rule.lines().next().unwrap();
        assert!(name.starts_with("Turnstone"), "{name}");
        for part in ["severity: ", "summary: \"", "description: \"", "expr: "] {
            assert_eq!(rule.matches(part).count(), 1, "{name}: {part}");
        }
        assert!(rule.contains("severity: critical") || rule.contains("severity: warning"), "{name}");
        assert!(rule.contains("$labels.instance"), "{name} does not say where");
    }
}

#[test]
fn every_panel_has_data_of_a_live_daemon_and_no_alert_comes() {
    let test = "admin_files::monitoring::every_panel_has_data_of_a_live_daemon_and_no_alert_comes";
    let daemon = monitored();
    let Some(prometheus) = Prometheus::start(test, daemon.admin) else { return };
    // Two scrapes, and a rate of each.
    let rate = "rate(process_cpu_seconds_total{job=\"turnstone\"}[10s])";
    eventually(PATIENCE, "two scrapes", || prometheus.values(rate).filter(|count| *count == 1));
    for (panel, query) in queries() {
        // What happens rarely is shown only when it happens.
        let always = query.strip_suffix(" > 0").unwrap_or(&query);
        let asked =
            always.replace("$__rate_interval", "10s").replace("$job", "turnstone").replace("$instance", ".+");
        assert!(!asked.contains('$'), "{panel}: {asked}");
        assert!(prometheus.values(&asked).is_some_and(|count| count > 0), "{panel}: nothing for {asked}");
    }
    let rules = eventually(PATIENCE, "each alert judged", || {
        let rules = prometheus.rules();
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")).then_some(rules)
    });
    for rule in rules {
        assert_eq!((&rule["health"], &rule["state"]), (&"ok".into(), &"inactive".into()), "{rule}");
    }
}

/// A Prometheus that scrapes one daemon every second and judges the alerts.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Prometheus {
    fn start(test: &str, daemon: SocketAddr) -> Option<Self> {
        let mut prometheus = tool(test, "prometheus", "prometheus")?;
        let (folder, address) = (Folder::new(), loopback(free_port()));
        folder.write("alerts.yml", &file(ALERTS));
        let config = folder.write(
            "prometheus.yml",
            &format!(
                "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
                 rule_files: [alerts.yml]\n\
                 scrape_configs: [{{ job_name: turnstone, static_configs: [{{ targets: ['{daemon}'] }}] }}]\n"
            ),
        );
        let child = prometheus
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, address, _folder: folder })
    }

    fn ask(&self, path: &str) -> Option<Value> {
        let (status, body) = http_get(self.address, path)?;
        assert!(status == 200 || status == 503, "{path}: {body}");
        serde_json::from_str(&body).ok()
    }

    /// How many series a query gives; `None` while nobody answers.
    fn values(&self, query: &str) -> Option<usize> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let answer = self.ask(&format!("/api/v1/query?query={query}"))?;
        Some(answer["data"]["result"].as_array()?.len())
    }

    fn rules(&self) -> Vec<Value> {
        let answer = self.ask("/api/v1/rules").unwrap_or_default();
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}
