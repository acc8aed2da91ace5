//! Counts of our own HTTP requests, by a closed set of routes.

use axum::http::StatusCode;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use std::time::Duration;

/// A route as a label value: never the path that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Healthz,
    Readyz,
    Metrics,
    /// Keys, users, revocations and logins.
    Access,
    Sessions,
    /// Usage, figures, calls and events.
    Records,
    Other,
}

impl Route {
    // Each costs a dozen series, so that routes of one kind share one.
    const ALL: [Self; 7] = [
        Self::Healthz,
        Self::Readyz,
        Self::Metrics,
        Self::Access,
        Self::Sessions,
        Self::Records,
        Self::Other,
    ];

    pub(super) fn of(path: &str) -> Self {
        match path {
            "/healthz" => Self::Healthz,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            path => path.strip_prefix("/v1/").map_or(Self::Other, Self::of_api),
        }
    }

    /// By the first word behind `/v1/`.
    fn of_api(path: &str) -> Self {
        match path.split('/').next().unwrap_or_default() {
            "api-keys" | "users" | "revocations" | "credentials" | "login" => Self::Access,
            "sessions" => Self::Sessions,
            "usage" | "calls" | "events" | "figures" => Self::Records,
            _ => Self::Other,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Readyz => "readyz",
            Self::Metrics => "metrics",
            Self::Access => "access",
            Self::Sessions => "sessions",
            Self::Records => "records",
            Self::Other => "other",
        }
    }
}

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
const SECONDS: [f64; 6] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5];

/// Requests and their durations. Shared atomics are fine here: this is the control side.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    total: IntCounterVec,
    seconds: HistogramVec,
}

impl Requests {
    /// Registers both families with every series at zero.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let total =
            Opts::new("turnstone_http_requests_total", "HTTP requests answered, by route and status class.");
        let seconds = HistogramOpts::new(
            "turnstone_http_request_duration_seconds",
            "Time to make the answer to an HTTP request, by route.",
        );
        let requests = Self {
            total: IntCounterVec::new(total, &["route", "class"])?,
            seconds: HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["route"])?,
        };
        for route in Route::ALL {
            requests.seconds.with_label_values(&[route.label()]);
            for class in CLASSES {
                requests.total.with_label_values(&[route.label(), class]);
            }
        }
        registry.register(Box::new(requests.total.clone()))?;
        registry.register(Box::new(requests.seconds.clone()))?;
        Ok(requests)
    }

    pub(super) fn observe(&self, route: Route, status: StatusCode, took: Duration) {
        // A final answer is 200 to 599; anything else would be our own fault.
        let class = CLASSES[usize::from(status.as_u16() / 100).clamp(2, 5) - 2];
        self.total.with_label_values(&[route.label(), class]).inc();
        self.seconds.with_label_values(&[route.label()]).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_a_client_made_up_lands_on_the_label_other() {
        for path in ["/", "/metrics/", "/METRICS", "/x\u{1b}", "/healthz/../metrics"] {
            assert_eq!(Route::of(path), Route::Other, "{path}");
        }
        for route in [Route::Healthz, Route::Readyz, Route::Metrics] {
            assert_eq!(Route::of(&format!("/{}", route.label())), route);
        }
        for (path, route) in
            [("api-keys", Route::Access), ("sessions", Route::Sessions), ("calls", Route::Records)]
        {
            for path in [format!("/v1/{path}"), format!("/v1/{path}/x%00/y")] {
                assert_eq!(Route::of(&path), route);
            }
        }
    }
}
