use super::super::testing::Api;
use super::*;
use crate::base::Timestamp;
use crate::metrics::EndReason;
use crate::signaling::{CallRecord, Callee, Media, Party};
use crate::storage::Batch;

fn bytes(count: u64) -> Traffic {
    Traffic { bytes_from_client: count, ..Traffic::default() }
}

fn row(second: u64, caller: &str, callee: &str) -> CallRow {
    let device = Arc::from("phone");
    let caller = Party { user: caller.into(), device };
    let record = CallRecord {
        id: Ulid::from_parts(second * 1000, 7).to_string().into(),
        caller: caller.clone(),
        callee: Callee::User { user: callee.into(), device: Some("tablet".into()) },
        media: Media::Audio,
        reason: EndReason::Hangup,
        ended_by: None,
        started: UnixTime(second),
        answered: Some(UnixTime(second + 1)),
        ended: UnixTime(second + 3),
        duration_ms: 2000,
        stats: vec![(caller.clone(), r#"{"rtt":{"ms":7}}"#.into())],
    };
    let by_subject = [(caller.user, bytes(5))].into();
    CallRow::new(&record, &CallUse { by_subject, others: Traffic::default() })
}

async fn with_calls(rows: &[CallRow]) -> Api {
    let api = Api::start();
    let batch = rows.iter().fold(Batch::new(), |batch, row| batch.put(row));
    api.services.store.commit(batch).await.expect("written");
    api
}

fn ids(answer: &Value) -> Vec<String> {
    let calls = answer["calls"].as_array().expect("a list");
    calls.iter().map(|call| call["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn pages_of_calls_give_each_once_and_the_latest_first() {
    let rows: Vec<_> = (0..450).map(|second| row(1_700_000_000 + second, "alice", "bob")).collect();
    let api = with_calls(&rows).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.local("GET", &format!("/v1/calls?limit=100{cursor}"), "").await.json();
        seen.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = rows.iter().rev().map(|row| row.id.to_string()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn calls_are_found_by_user_and_by_time() {
    let rows = [row(1000, "alice", "bob"), row(2000, "carol", "alice"), row(3000, "bob", "carol\u{1}/")];
    let api = with_calls(&rows).await;
    let find = async |query: &str| {
        let found = api.local("GET", &format!("/v1/calls?{query}"), "").await;
        assert_eq!(found.status, 200, "{}", found.body);
        ids(&found.json())
    };
    let named = |places: &[usize]| places.iter().map(|at| rows[*at].id.to_string()).collect::<Vec<_>>();
    assert_eq!(find("user=alice").await, named(&[1, 0]));
    assert_eq!(find("user=carol%01%2F").await, named(&[2]));
    assert_eq!(find("from=1500&to=3000&state=ended").await, named(&[1]));
    assert_eq!(find("state=live").await, named(&[]));
}

#[tokio::test]
async fn a_call_tells_its_parties_its_bytes_and_what_devices_said() {
    let rows = [row(1_700_000_000, "alice", "bob")];
    let api = with_calls(&rows).await;
    let call = api.local("GET", &format!("/v1/calls/{}", rows[0].id), "").await.json();
    let none = json!({
        "bytes_from_client": 5, "bytes_from_peer": 0, "packets_from_client": 0, "packets_from_peer": 0,
    });
    let mut party = none.clone();
    party["subject"] = json!("alice");
    let expected = json!({
        "id": rows[0].id, "state": "ended", "caller": { "user": "alice", "device": "phone" },
        "callee": { "user": "bob", "device": "tablet" }, "room": null, "call_type": "audio",
        "started_at": "2023-11-14T22:13:20Z", "answered_at": "2023-11-14T22:13:21Z",
        "ended_at": "2023-11-14T22:13:23Z", "reason": "hangup", "ended_by": null, "duration_ms": 2000,
        "relayed": true, "total": none, "parties": [party], "final": false, "partial": false, "sessions": [], "missing_drivers": [],
        "stats": [{ "user": "alice", "device": "phone", "digest": { "rtt": { "ms": 7 } } }],
    });
    assert_eq!(call, expected);
    for unknown in ["0000000000000000000000000G", "x", "..%2f"] {
        assert_eq!(api.local("GET", &format!("/v1/calls/{unknown}"), "").await.status, 404, "{unknown}");
    }
}

/// A call between these, which began so many seconds after the first second of it all.
fn live_call(second: u64, caller: &str, callee: &str) -> LiveCall {
    let party = |user: &str| LiveParty { user: user.into(), device: "phone".into() };
    let started_s = 1_700_000_000 + second;
    LiveCall {
        id: Ulid::from_parts(started_s * 1000, 7).to_string().into(),
        media: Media::Video,
        rev: 1,
        started_s,
        stand: Stand::Answered {
            caller: party(caller),
            callee: party(callee),
            accepted_s: started_s + 1,
            step: LiveStep::Active,
            reports: false,
            described: [true, true],
        },
    }
}

#[tokio::test]
async fn live_calls_are_told_up_to_the_limit_and_that_there_are_more_is_said() {
    let api = Api::start();
    // More than are read in one go.
    let calls: Vec<_> = (0..450).map(|second| live_call(second, &format!("user {second}"), "bob")).collect();
    api.services.store.commit(calls.iter().fold(Batch::new(), Batch::put)).await.expect("written");
    let latest = |count| calls.iter().rev().map(|call| call.id.to_string()).take(count).collect::<Vec<_>>();
    for (query, found, more) in [
        ("state=live", latest(100), true),
        ("limit=449&user=bob", latest(449), true),
        ("limit=450", latest(450), false),
        ("limit=1&user=user%200", vec![calls[0].id.to_string()], false),
        ("state=ended", Vec::new(), false),
    ] {
        let told = api.local("GET", &format!("/v1/calls?{query}"), "").await.json();
        assert_eq!((ids(&told), &told["more"]), (found, &json!(more)), "{query}");
    }
}

#[tokio::test]
async fn a_live_call_is_told_with_what_it_relays() {
    let api = Api::start();
    let call = live_call(0, "alice", "bob");
    api.services.store.commit(Batch::new().put(&call)).await.expect("written");
    api.services.desk.calls().add(Timestamp::ZERO, &Arc::from(&*call.id), &Arc::from("bob"), &bytes(9));
    let told = api.local("GET", "/v1/calls?user=bob", "").await.json();
    let told = &told["calls"][0];
    assert_eq!((&told["state"], &told["relayed"]), (&json!("active"), &json!(true)));
    assert_eq!(told["partial"], json!(true), "it began before these books");
    assert_eq!(
        (&told["parties"][0]["subject"], &told["total"]["bytes_from_client"]),
        (&json!("bob"), &json!(9))
    );
    let shown = api.local("GET", &format!("/v1/calls/{}", call.id), "").await.json();
    assert_eq!((&shown["id"], &shown["sessions"]), (&json!(call.id), &json!([])));
    let of_others = api.local("GET", "/v1/calls?user=carol&state=live", "").await.json();
    assert_eq!(of_others["calls"], json!([]));
}

#[tokio::test]
async fn a_call_of_a_back_end_is_told_by_what_its_credentials_relay() {
    let api = Api::start();
    let id = Arc::from("order/7");
    api.services.desk.calls().add(Timestamp::ZERO, &id, &Arc::from("bob"), &bytes(9));
    let told = api.local("GET", "/v1/calls/order%2F7", "").await.json();
    assert_eq!(
        (&told["id"], &told["state"], &told["relayed"]),
        (&json!("order/7"), &Value::Null, &json!(true))
    );
    assert_eq!((&told["total"]["bytes_from_client"], &told["sessions"]), (&json!(9), &json!([])));
}

#[tokio::test]
async fn bad_queries_for_calls_name_the_field() {
    let api = Api::start();
    for (query, field) in [
        ("state=ringing", "state"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("cursor=x", "cursor"),
        ("user=", "user"),
        ("to=x", "to"),
        ("room=a", "room"),
    ] {
        let refused = api.local("GET", &format!("/v1/calls?{query}"), "").await;
        assert_eq!((refused.status, refused.json()["field"].clone()), (400, json!(field)), "{query}");
    }
}
