//! The admin routes: `/healthz`, `/readyz`, `/metrics`, and the dashboard at `/`.

use super::api::{self, Services};
use super::exposition::{CONTENT_TYPE, Exposition};
use super::host::{HostAllowList, HostRefused};
use super::pages;
use super::problem::Problem;
use super::requests::Route;
use super::server::{Bounds, serve};
use super::{AdminSettings, Readiness, Sources};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use serde_json::json;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Serves the admin side on `listener` until `shutdown` is over, and then at most some seconds more
/// for requests under way.
///
/// `listener` comes bound (see [`AdminSettings::bind`]). Needs a tokio runtime with net and time.
///
/// # Errors
/// When the listener cannot be handed to the runtime. Once it serves, it fails no more: errors of
/// single connections end those connections.
pub async fn serve_admin(
    listener: std::net::TcpListener,
    settings: AdminSettings,
    sources: Arc<dyn Sources>,
    services: Arc<Services>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_bounded(listener, &settings, sources, Some(services), Bounds::default(), shutdown).await
}

/// [`serve_admin`] with other bounds.
pub(super) async fn serve_bounded(
    listener: std::net::TcpListener,
    settings: &AdminSettings,
    sources: Arc<dyn Sources>,
    services: Option<Arc<Services>>,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let hosts = HostAllowList::new(&settings.allowed_hosts);
    let exposition = Exposition::new(sources.clone()).map_err(io::Error::other)?;
    let api = services.map(|services| api::admin_routes(&services)).unwrap_or_default();
    let router = router(Arc::new(Admin { hosts, sources, exposition }), api);
    serve(listener, router, bounds, shutdown).await;
    Ok(())
}

/// What a lost request is told.
const PLACES: &str = "try / (the dashboard), /healthz, /readyz, /metrics or /v1/sessions";

struct Admin {
    hosts: HostAllowList,
    sources: Arc<dyn Sources>,
    exposition: Exposition,
}

fn router(admin: Arc<Admin>, api: Router) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(admin.clone())
        .merge(pages::dashboard())
        .merge(api)
        .fallback(async || Problem::not_found(PLACES))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(from_fn_with_state(admin, guard))
}

/// Around every route: checks `Host`, adds the headers that all answers share, counts.
async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = Route::of(request.uri().path());
    let mut response = match admin.hosts.check(&request) {
        Ok(()) => next.run(request).await,
        Err(HostRefused::Malformed) => Problem::bad_host().into_response(),
        Err(HostRefused::Foreign) => Problem::foreign_host().into_response(),
    };
    protect(response.headers_mut());
    admin.exposition.requests().observe(route, response.status(), started.elapsed());
    response
}

/// Keeps browsers from caching, guessing types, framing and embedding what we answer, but for what a route has said
/// about that itself.
pub(super) fn protect(headers: &mut HeaderMap) {
    const SHARED: [(HeaderName, &str); 4] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in SHARED {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// The answer of `/healthz`: this process serves.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    told(&admin.sources.readiness())
}

/// The answer of `/readyz`.
pub(super) fn told(readiness: &Readiness) -> Response {
    let status = match readiness.is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = json!({ "ready": readiness.is_ready(), "reasons": reasons(readiness) });
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// Why it is not ready.
pub(super) fn reasons(readiness: &Readiness) -> Vec<serde_json::Value> {
    let mut reasons = Vec::new();
    if readiness.starting {
        reasons.push(json!({ "code": "starting", "message": "not every listener serves yet" }));
    }
    if readiness.draining {
        reasons.push(json!({ "code": "draining", "message": "new allocations are refused" }));
    }
    if !readiness.stalled_workers.is_empty() {
        let message = "relay workers made no progress";
        let workers = &readiness.stalled_workers;
        reasons.push(json!({ "code": "worker_stalled", "message": message, "workers": workers }));
    }
    if readiness.stalled_signaling {
        let message = "the signaling thread made no progress; relaying goes on";
        reasons.push(json!({ "code": "signaling_stalled", "message": message }));
    }
    if let Some(message) = &readiness.storage {
        reasons.push(json!({ "code": "storage", "message": message }));
    }
    if readiness.unknown_revocations {
        let message =
            "revocations and bans of before the start are unknown: mend the storage, and start again";
        reasons.push(json!({ "code": "revocations_unknown", "message": message }));
    }
    reasons
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match tokio::task::spawn_blocking(move || admin.exposition.text()).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Ok(Err(_)) | Err(_) => Problem::internal().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Running;
    use super::*;
    use crate::metrics::{CounterSet, Direction, Kind, families, relay_bytes};
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn running() -> Running {
        Running::start(Bounds::default())
    }

    #[tokio::test]
    async fn health_is_a_plain_ok_that_reveals_no_version() {
        let answer = running().request("GET", "/healthz").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
        assert!(!answer.head.contains("server:"), "{}", answer.head);
        assert!(!answer.head.contains(env!("CARGO_PKG_VERSION")), "{}", answer.head);
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
    }

    #[tokio::test]
    async fn readiness_names_each_reason_and_comes_back() {
        let server = running();
        let ready = server.request("GET", "/readyz").await;
        assert_eq!((ready.status, ready.json()), (200, json!({ "ready": true, "reasons": [] })));

        let bad = Readiness {
            starting: true,
            draining: true,
            stalled_workers: vec![1],
            stalled_signaling: true,
            storage: Some("the disk is full".into()),
            unknown_revocations: true,
        };
        *server.sources.readiness.lock().expect("free") = bad;
        let answer = server.request("GET", "/readyz").await;
        assert_eq!(answer.status, 503);
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
        let body = answer.json();
        assert_eq!(body["ready"], json!(false));
        let codes: Vec<_> = (0..6).map(|n| body["reasons"][n]["code"].clone()).collect();
        let all = ["starting", "draining", "worker_stalled", "signaling_stalled", "storage"];
        assert_eq!((&codes[..5], &codes[5]), (&all.map(Into::into)[..], &json!("revocations_unknown")));
        assert_eq!(body["reasons"][2]["workers"], json!([1]));
        assert!(server.request("GET", "/metrics").await.body.contains("\nturnstone_draining 1\n"));

        *server.sources.readiness.lock().expect("free") = Readiness::default();
        assert_eq!(server.request("GET", "/readyz").await.status, 200);
        assert!(server.request("GET", "/metrics").await.body.contains("\nturnstone_draining 0\n"));
    }

    #[tokio::test]
    async fn unknown_paths_get_404_and_other_methods_405_as_problem_json() {
        let server = running();
        for path in [
            "/index.html",
            "/assets/",
            "/sdk/turnstone.js",
            "/metrics/",
            "/debug/pprof",
            "/healthz/x",
            "/%2e%2e/etc/passwd",
        ] {
            let answer = server.request("GET", path).await;
            assert_eq!((answer.status, answer.json()["code"].clone()), (404, json!("not_found")), "{path}");
            assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let answer = server.request(method, "/metrics").await;
            assert_eq!((answer.status, answer.json()["status"].clone()), (405, json!(405)), "{method}");
            assert!(answer.head.contains("allow: get,head"), "{}", answer.head);
        }
        let head = server.request("HEAD", "/healthz").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
    }

    #[tokio::test]
    async fn a_rebound_name_gets_421_on_every_route_and_our_own_names_pass() {
        let server = running();
        let request = |path: &str, host: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        };
        for path in ["/healthz", "/readyz", "/metrics", "/nothing"] {
            let answer = server.raw(&request(path, "evil.example:9640")).await;
            assert_eq!(
                (answer.status, answer.json()["code"].clone()),
                (421, json!("foreign_host")),
                "{path}"
            );
            assert!(!answer.body.contains("evil"), "what was sent is not repeated");
        }
        for host in ["localhost", "[::1]:9640", "turn.example.org", "203.0.113.4"] {
            assert_eq!(server.raw(&request("/healthz", host)).await.status, 200, "{host}");
        }
        let without = "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n";
        assert_eq!(server.raw(without).await.status, 400);
        assert_eq!(server.raw("GET /healthz HTTP/1.0\r\n\r\n").await.status, 200);
    }

    #[tokio::test]
    async fn every_family_is_shown_from_the_start_with_help_and_type_in_under_600_series() {
        let answer = running().request("GET", "/metrics").await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
        let counted = families().filter(|(family, _)| !matches!(family.kind, Kind::Hidden));
        let mut names: Vec<_> = counted.map(|(family, _)| family.name).collect();
        names.extend(REST);
        for name in &names {
            for (part, end) in [("HELP", " "), ("TYPE", " ")] {
                let line = format!("# {part} {name}{end}");
                assert!(answer.body.lines().any(|l| l.starts_with(&line)), "no {line}");
            }
            let first = answer.body.lines().any(|l| !l.starts_with('#') && l.starts_with(name));
            assert!(first, "{name} has no series");
        }
        let types = answer.body.lines().filter(|line| line.starts_with("# TYPE ")).count();
        assert_eq!(types, names.len(), "a family that this test does not know");
        let series = answer.body.lines().filter(|line| !line.starts_with('#')).count();
        assert!((names.len()..600).contains(&series), "{series} series");
        eprintln!("{series} series in {} families", names.len());
        check_with_promtool(&answer.body);
    }

    /// Families beyond those that the workers count.
    const REST: [&str; 32] = [
        "turnstone_bandwidth_limit_bytes_per_second",
        "turnstone_build_info",
        "turnstone_allocations",
        "turnstone_connections",
        "turnstone_relay_ports",
        "turnstone_public_refusals_total",
        "turnstone_credentials_minted_total",
        "turnstone_credentials_refused_total",
        "turnstone_ws_connections",
        "turnstone_signaling_sessions",
        "turnstone_rooms",
        "turnstone_calls",
        "turnstone_draining",
        "turnstone_storage_up",
        "turnstone_storage_records",
        "turnstone_storage_damaged_records",
        "turnstone_storage_last_flush_seconds",
        "turnstone_storage_bytes",
        "turnstone_storage_queued_bytes",
        "turnstone_tls_certificate_expiry_timestamp_seconds",
        "turnstone_tls_certificate_reload_successful",
        "turnstone_config_last_reload_successful",
        "turnstone_config_last_reload_success_timestamp_seconds",
        "turnstone_http_requests_total",
        "turnstone_http_request_duration_seconds",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_start_time_seconds",
        "process_threads",
    ];

    /// The judge of the format that we did not write (Debian package prometheus).
    fn check_with_promtool(text: &str) {
        let mut command = Command::new("promtool");
        command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut promtool) = command.stderr(Stdio::piped()).spawn() else {
            return skipped("promtool is not installed (package prometheus)");
        };
        promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("read");
        let output = promtool.wait_with_output().expect("ends");
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.trim().is_empty(), "promtool: {said}");
    }

    fn skipped(why: &str) {
        let line = format!("SKIPPED: http::admin promtool check: {why}\n");
        eprint!("{line}");
        let Some(path) = std::env::var_os("TURNSTONE_SKIP_LOG") else { return };
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(path).expect("opens");
        log.write_all(line.as_bytes()).expect("written");
    }

    #[tokio::test]
    async fn a_scrape_shows_what_was_published_since_the_last_one() {
        let server = running();
        let mut set = CounterSet::default();
        let series = "turnstone_relay_bytes_total{direction=\"from_client\",transport=\"udp\"}";
        for round in 1..=3 {
            set.add(relay_bytes(Direction::FromClient, crate::base::Transport::Udp), 1000);
            set.publish(&server.sources.shards()[1]);
            let body = server.request("GET", "/metrics").await.body;
            assert!(body.contains(&format!("\n{series} {}\n", round * 1000)), "{body}");
        }
    }

    #[tokio::test]
    async fn our_own_requests_are_counted_by_route_and_class() {
        let server = running();
        server.request("GET", "/nothing?user=alice").await;
        server.request("POST", "/readyz").await;
        let body = server.request("GET", "/metrics").await.body;
        let count = |route, class, n| {
            format!("\nturnstone_http_requests_total{{class=\"{class}\",route=\"{route}\"}} {n}\n")
        };
        assert!(body.contains(&count("other", "4xx", 1)), "{body}");
        assert!(body.contains(&count("readyz", "4xx", 1)), "{body}");
        assert!(body.contains(&count("metrics", "2xx", 0)), "a scrape counts once it is answered: {body}");
        assert!(!body.contains("alice"));
        let body = server.request("GET", "/metrics").await.body;
        assert!(body.contains(&count("metrics", "2xx", 1)), "{body}");
    }
}
