//! `GET /v1/figures`: what the dashboard draws: the last five minutes by second, how full the relay is, what fails and
//! what to do about it, and how the daemon is.

use super::clock::{now, rfc3339};
use super::seconds::{Seconds, published};
use super::steering::{certificates, last_reload, state_name, storage};
use super::{Caller, Fields, Services, Shared, answer};
use crate::auth::Scope;
use crate::http::Sources;
use crate::http::admin::reasons;
use crate::http::problem::Problem;
use crate::http::process::descriptors;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/figures", get(figures))
}

async fn figures(
    State(services): State<Shared>,
    caller: Caller,
    mut fields: Fields,
) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let since = fields.whole("since", 0..=u64::MAX, ", the `last_sample` of an earlier answer")?;
    fields.done()?;
    let capacity = capacity(&services).await;
    let health = health(&*services.sources);
    let mut told = samples(&services.desk.seconds(), since);
    told["failures"] = failures(&services);
    told["capacity"] = capacity;
    told["health"] = health;
    Ok(answer::json(StatusCode::OK, &told))
}

fn samples(seconds: &Seconds, since: Option<u64>) -> Value {
    let samples = seconds.after(since);
    let doors = seconds.doors().enumerate().map(|(place, door)| {
        let [bytes_in, bytes_out] = seconds.bits(place, &samples);
        json!({ "door": door, "bytes_in_bps": bytes_in, "bytes_out_bps": bytes_out })
    });
    let drops = seconds
        .drops(&samples)
        .map(|drops| json!({ "reason": drops.reason, "title": drops.title, "per_s": drops.per_s }));
    let [packets_in, packets_out] = seconds.packets(&samples);
    json!({
        "step_s": 1,
        "now": rfc3339(now()),
        "first_sample": samples.start,
        "last_sample": samples.end.saturating_sub(1),
        "doors": doors.collect::<Vec<_>>(),
        "packets_in_pps": packets_in,
        "packets_out_pps": packets_out,
        "drops": drops.collect::<Vec<_>>(),
    })
}

/// What is in use and how much there is; `null` for what has no bound of its own, or cannot be read.
pub(super) async fn capacity(services: &Shared) -> Value {
    // The count may have to be taken file by file.
    let descriptors = tokio::task::spawn_blocking(descriptors).await.ok().flatten();
    let (steering, sources) = (&services.steering, &services.sources);
    let ports = sources.relay_ports();
    json!({
        "sessions": { "now": steering.sessions(), "max": steering.sessions_max() },
        "ports": {
            "now": ports.used,
            "max": ports.used + ports.free + ports.quarantined,
            "quarantined": ports.quarantined,
        },
        "descriptors": { "now": descriptors.map(|(open, _)| open), "max": descriptors.map(|(_, max)| max) },
        "bandwidth_bps": { "now": services.desk.seconds().bits_now(), "max": sources.bandwidth().total },
    })
}

/// What never happened is left out.
pub(super) fn failures(services: &Services) -> Value {
    let sum = published(&*services.sources);
    let seconds = services.desk.seconds();
    let counted =
        seconds.failures_lately().map(|(failure, lately)| (failure, lately, sum.value(failure.counter())));
    let told = counted.filter(|(_, _, total)| *total > 0).map(|(failure, lately, total)| {
        let words = failure.words();
        json!({
            "kind": failure.kind(),
            "reason": failure.reason(),
            "title": words.title,
            "what_to_do": words.what_to_do,
            "last_minute": lately,
            "total": total,
        })
    });
    told.collect()
}

/// Each as in `/v1/status`.
fn health(sources: &dyn Sources) -> Value {
    let readiness = sources.readiness();
    let tls = sources.certificates().map(|state| json!({ "all_current": state.all_current }));
    json!({
        "state": state_name(&readiness),
        "ready": readiness.is_ready(),
        "reasons": reasons(&readiness),
        "draining": readiness.draining,
        "workers": { "count": sources.shards().len(), "stalled": readiness.stalled_workers },
        "tls": tls,
        "certificates": certificates(sources),
        "storage": storage(sources.storage().as_ref()),
        "reload": last_reload(sources),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Api;
    use super::*;
    use crate::base::{Now, Timestamp, Traffic, Transport, UnixTime};
    use crate::metrics::{AuthFailed, CounterSet, Snapshot, auth_failures};

    /// An API whose daemon has relayed 100 bytes by one door in each of its first seconds.
    fn relaying(api: &Api, seconds: u64) {
        let door = (Transport::Udp, ([192, 0, 2, 1], 3478).into());
        let now = Now { at: Timestamp::ZERO, unix: UnixTime(1_000) };
        let mut counted = Seconds::begin(now, vec![door]);
        for second in 1..=seconds {
            let traffic = Traffic { bytes_from_client: 100, packets_from_client: 1, ..Traffic::default() };
            counted.note(Timestamp::from_secs(second), [(door, traffic)], Snapshot::sum([]));
        }
        *api.services.desk.seconds() = counted;
    }

    #[tokio::test]
    async fn figures_are_told_by_second_and_then_what_came_since() {
        let api = Api::start();
        let key = api.key(&[Scope::Read]);
        relaying(&api, 400);
        let told = api.operator(&key, "GET", "/v1/figures", "").await;
        assert_eq!(told.status, 200, "{}", told.body);
        let told = told.json();
        assert_eq!((&told["first_sample"], &told["last_sample"]), (&json!(1100), &json!(1399)));
        let door = &told["doors"][0];
        assert_eq!(
            (&door["door"], &door["bytes_in_bps"]),
            (&json!("udp 192.0.2.1:3478"), &json!(vec![800; 300]))
        );
        assert_eq!(
            (&told["packets_in_pps"], &told["packets_out_pps"]),
            (&json!(vec![1; 300]), &json!(vec![0; 300]))
        );
        assert_eq!(told["drops"].as_array().expect("drops").len(), 19);
        assert_eq!(told["capacity"]["bandwidth_bps"], json!({ "now": 800, "max": null }));

        let since = api.operator(&key, "GET", "/v1/figures?since=1397", "").await.json();
        assert_eq!(
            (&since["first_sample"], &since["doors"][0]["bytes_in_bps"]),
            (&json!(1398), &json!([800, 800]))
        );
        let none = api.operator(&key, "GET", "/v1/figures?since=1399", "").await.json();
        assert_eq!((&none["first_sample"], &none["last_sample"]), (&json!(1400), &json!(1399)));
        assert_eq!((&none["packets_in_pps"], &none["drops"][0]["per_s"]), (&json!([]), &json!([])));
    }

    #[tokio::test]
    async fn before_anything_was_counted_there_are_no_samples_and_the_rest_is_told() {
        let api = Api::start();
        let told = api.local("GET", "/v1/figures", "").await.json();
        assert_eq!(
            (&told["step_s"], &told["packets_in_pps"], &told["failures"]),
            (&json!(1), &json!([]), &json!([]))
        );
        let capacity = &told["capacity"];
        assert_eq!(capacity["sessions"], json!({ "now": 2, "max": 50 }));
        assert_eq!(capacity["ports"], json!({ "now": 1, "max": 6, "quarantined": 3 }));
        let descriptors = |of: &str| capacity["descriptors"][of].as_u64().expect("Linux tells");
        assert!(descriptors("now") > 0 && descriptors("max") >= descriptors("now"), "{capacity}");
        let health = &told["health"];
        assert_eq!(
            (&health["state"], &health["workers"]),
            (&json!("serving"), &json!({ "count": 1, "stalled": [] }))
        );
        assert_eq!(
            (&health["storage"]["ok"], &health["reload"]["successful"]),
            (&json!(false), &json!(true))
        );
    }

    #[tokio::test]
    async fn a_failure_that_happened_comes_with_what_to_do() {
        let api = Api::start();
        let mut set = CounterSet::default();
        set.add(auth_failures(AuthFailed::BadIntegrity), 3);
        set.publish(&api.services.sources.shards()[0]);
        let told = api.local("GET", "/v1/figures", "").await.json();
        let failures = told["failures"].as_array().expect("failures");
        assert_eq!(failures.len(), 1, "{failures:?}");
        let of = |name: &str| failures[0][name].clone();
        assert_eq!(
            [of("kind"), of("reason"), of("title")],
            ["credential", "bad_integrity", "Wrong password"]
        );
        assert_eq!([of("total"), of("last_minute")], [json!(3), json!(0)]);
        assert!(of("what_to_do").as_str().expect("words").contains("turnstone secret list"));
    }

    #[tokio::test]
    async fn figures_are_for_readers_alone_and_fields_are_checked() {
        let api = Api::start();
        let mint = api.key(&[Scope::Mint]);
        assert_eq!(api.operator(&mint, "GET", "/v1/figures", "").await.status, 403);
        assert_eq!(api.app(&mint, "GET", "/v1/figures", "").await.status, 404);
        for (query, field) in [("since=soon", "since"), ("since=-1", "since"), ("from=1", "from")] {
            let refused = api.local("GET", &format!("/v1/figures?{query}"), "").await;
            assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)), "{query}");
        }
    }
}
