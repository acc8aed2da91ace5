//! What a revocation does to those who mint, and where it is kept.

use super::super::testing::{Api, eventually, mint_settings, token};
use super::super::{Kept, MintSettings, Minting};
use super::*;
use crate::auth::{Claimed, MintedName};
use std::time::Duration;

const REVOKE: &str = "/v1/credentials/revoke";

impl Api {
    async fn revoked(&self, body: &str) -> Value {
        let answer = self.local("POST", REVOKE, body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        answer.json()
    }

    /// Whether the last set that the drivers were told refuses this username.
    fn is_denied(&self, username: &str) -> bool {
        let told = self.control.revocations.lock().expect("no test panics in it");
        let name = MintedName::parse(username).expect("ours");
        let (id, subject, label) = (name.id(), name.subject(), name.label());
        let claimed = Claimed {
            id: id.as_deref(),
            subject: &subject,
            label: label.as_deref(),
            call_id: None,
            minted_at: name.minted_at(),
        };
        told.last().is_some_and(|revocations| revocations.deny(now(), &claimed))
    }

    async fn username(&self, key: &str, body: &str) -> String {
        let made = self.app(key, "POST", "/v1/ice-servers", body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["iceServers"][1]["username"].as_str().expect("a name").to_owned()
    }
}

#[tokio::test]
async fn what_was_minted_before_is_void_at_once_and_what_is_minted_after_is_good() {
    let api = Api::start();
    let key = api.key(&[Scope::Mint]);
    let body = r#"{"user":"alice","label":"room"}"#;
    for kind in ["subject", "label", "id"] {
        let before = api.username(&key, body).await;
        let name = MintedName::parse(&before).expect("ours");
        let target = match kind {
            "subject" => json!({ "subject": "alice" }),
            "label" => json!({ "label": "room" }),
            _ => json!({ "id": name.id() }),
        };
        let said = api.revoked(&target.to_string()).await;
        assert_eq!(
            (&said["target"], &said["ban"], &said["sessions_ended"]),
            (&target, &json!(false), &json!(0))
        );
        assert!(api.is_denied(&before), "{kind}");
        let after = api.username(&key, body).await;
        assert!(!api.is_denied(&after), "{kind}: minted within the same second");
    }
}

#[tokio::test]
async fn who_is_banned_mints_nothing_until_the_ban_is_lifted() {
    let api = Api::start();
    let key = api.key(&[Scope::Mint]);
    let said = api.revoked(r#"{"subject":"alice","ban":true}"#).await;
    assert_eq!((&said["ban"], &said["until"]), (&json!(true), &json!(null)));
    for (caller, body) in [(&*key, r#"{"user":"alice"}"#), (&token("alice"), "")] {
        let refused = api.app(caller, "POST", "/v1/ice-servers", body).await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (403, json!("banned")));
    }
    api.username(&key, r#"{"user":"bob"}"#).await;
    let lift = format!("/v1/revocations/{}", said["id"].as_str().expect("an id"));
    assert_eq!(api.local("DELETE", &lift, "").await.status, 204);
    let after = api.username(&key, r#"{"user":"alice"}"#).await;
    assert!(!api.is_denied(&after));
    assert_eq!(api.local("DELETE", &lift, "").await.status, 404);
    assert!(Kept::read(&api.services.store).expect("a store").revocations.is_empty());
}

#[tokio::test]
async fn revocations_are_kept_listed_and_in_force_after_a_new_start() {
    let api = Api::start();
    let strange = "a\u{1b}[31m/\n\u{0}\"ü".repeat(8);
    let said = api.revoked(&json!({ "subject": strange, "ban": true }).to_string()).await;
    let listed = api.local("GET", "/v1/revocations", "").await;
    assert_eq!(listed.body.trim_end().lines().count(), 1, "nothing breaks the line");
    assert!(!listed.body.contains('\u{1b}'));
    assert_eq!(listed.json()["revocations"][0]["target"]["subject"], json!(strange));
    assert_eq!(listed.json()["revocations"][0]["id"], said["id"]);
    let kept = Kept::read(&api.services.store).expect("a store");
    let orders = Orders::new(kept.revocations, kept.ended_calls);
    assert_eq!(orders.in_force().mintable_from(now(), &strange, None), None);
    assert!(orders.in_force().mintable_from(now(), "alice", None).is_some());
}

#[tokio::test]
async fn what_cannot_be_made_durable_holds_all_the_same_and_is_said_so() {
    let api = Api::without_store();
    let before = api.username(&api.key(&[Scope::Mint]), r#"{"user":"alice"}"#).await;
    let answer = api.local("POST", REVOKE, r#"{"subject":"alice"}"#).await;
    let said = answer.json();
    assert_eq!((answer.status, &said["applied"], &said["code"]), (503, &json!(true), &json!("store_closed")));
    assert!(api.is_denied(&before));
}

#[tokio::test]
async fn a_ban_whose_lifting_could_not_be_written_can_be_lifted_again() {
    let (api, disk) = Api::with_slow_disk();
    let said = api.revoked(r#"{"subject":"alice","ban":true}"#).await;
    let path = format!("/v1/revocations/{}", said["id"].as_str().expect("an id"));
    let [refused, again] = api.refused_once(&disk, "DELETE", &path).await;
    assert_eq!((refused.status, refused.json()["applied"].clone()), (503, json!(true)));
    assert_eq!(again.status, 204, "{}", again.body);
    assert!(Kept::read(&api.services.store).expect("a store").revocations.is_empty());
    assert_eq!(api.local("DELETE", &path, "").await.status, 404);
}

#[tokio::test]
async fn that_orders_of_before_are_unknown_is_said() {
    for (api, known) in [(Api::start(), true), (Api::without_store(), false)] {
        let listed = api.local("GET", "/v1/revocations", "").await.json();
        assert_eq!(listed, json!({ "revocations": [], "known": known }));
        let status = api.local("GET", "/v1/status", "").await.json();
        let said = json!([]) != status["reasons"];
        assert_eq!((said, status["reasons"][0]["code"] == "revocations_unknown"), (!known, !known));
    }
}

#[tokio::test]
async fn every_order_holds_at_once_however_slow_the_disk_is() {
    let (api, disk) = Api::with_slow_disk();
    let key = api.key(&[Scope::Mint]);
    let before =
        [api.username(&key, r#"{"user":"alice"}"#).await, api.username(&key, r#"{"user":"bob"}"#).await];
    disk.stop();
    let look = async {
        eventually(|| before.iter().all(|name| api.is_denied(name))).await;
        disk.go_on();
    };
    let (one, other, ()) =
        tokio::join!(api.revoked(r#"{"subject":"alice"}"#), api.revoked(r#"{"subject":"bob"}"#), look);
    let kept = Kept::read(&api.services.store).expect("a store").revocations;
    assert_eq!(kept.len(), 2, "{one} {other}");
}

#[tokio::test]
async fn an_order_that_has_passed_goes_away_by_itself() {
    let api = Api::start();
    let record = |id: &str, until| RevocationRecord {
        id: id.into(),
        kind: "subject".into(),
        name: "alice".into(),
        at: 1,
        until,
    };
    let batch = Batch::new().put(&record("rev_1", Some(2))).put(&record("rev_2", None));
    api.services.store.commit(batch).await.expect("a store");
    let kept = Kept::read(&api.services.store).expect("a store").revocations;
    assert_eq!(kept.len(), 2);
    *api.services.orders().await = kept.into_iter().map(|record| (record.id.clone(), record)).collect();
    let listed = api.local("GET", "/v1/revocations", "").await.json();
    assert_eq!(listed["revocations"].as_array().map(Vec::len), Some(1), "{listed}");
    api.services.forget_passed_revocations().await;
    let left = Kept::read(&api.services.store).expect("a store").revocations;
    assert_eq!(left, [record("rev_2", None)]);
}

#[tokio::test]
async fn what_was_revoked_stays_void_when_the_longest_lifetime_is_lowered() {
    let api = Api::start();
    let key = api.key(&[Scope::Mint]);
    let before = api.username(&key, r#"{"user":"alice","ttl":86400}"#).await;
    let lowered = MintSettings { max_ttl: Duration::from_secs(1), ..mint_settings() };
    api.services.minting.store(Arc::new(Minting::new(&lowered)));
    let said = api.revoked(r#"{"subject":"alice"}"#).await;
    let is_over = async {
        while said["until"].as_str().is_some_and(|until| *until > *rfc3339(now())) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), is_over).await.expect("a second passes");
    api.services.forget_passed_revocations().await;
    assert!(api.is_denied(&before));
    assert_eq!(Kept::read(&api.services.store).expect("a store").revocations.len(), 1);
    assert_eq!(api.local("GET", "/v1/revocations", "").await.json()["revocations"][0]["id"], said["id"]);
}

#[tokio::test]
async fn when_all_places_are_taken_an_order_whose_time_is_over_gives_way_and_a_ban_does_not() {
    let api = Api::start();
    let record = |id: String, until| RevocationRecord {
        id,
        kind: "id".into(),
        name: "crd_1".into(),
        at: now().0,
        until,
    };
    let bans = (1..ORDERS_MAX).map(|n| record(format!("rev_{n}"), None));
    let over = record("rev_0".into(), Some(now().0));
    *api.services.revocations.by_id.lock().await = bans.chain([over]).map(|r| (r.id.clone(), r)).collect();
    api.revoked(r#"{"subject":"alice"}"#).await;
    let full = api.local("POST", REVOKE, r#"{"subject":"bob"}"#).await;
    assert_eq!((full.status, full.json()["code"].clone()), (409, json!("full")));
    let by_id = api.services.revocations.by_id.lock().await;
    assert!(by_id.len() == ORDERS_MAX && !by_id.contains_key("rev_0") && by_id.contains_key("rev_1"));
}

/// On one thread: whoever sees the orders held came between.
#[tokio::test]
async fn others_get_their_turn_while_many_orders_are_prepared() {
    let api = Api::start();
    let ban = |n: usize| RevocationRecord {
        id: format!("rev_{n}"),
        kind: "subject".into(),
        name: format!("user {n}"),
        at: now().0,
        until: None,
    };
    *api.services.orders().await = (0..ORDERS_MAX / 10).map(ban).map(|r| (r.id.clone(), r)).collect();
    let seen = async {
        while api.services.revocations.by_id.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let seen = timeout(Duration::from_secs(30), seen);
    let (seen, _revoked) = tokio::join!(seen, api.revoked(r#"{"subject":"alice"}"#));
    seen.expect("somebody came between");
}

#[tokio::test]
async fn a_revocation_names_one_thing_and_takes_the_scope_admin() {
    let api = Api::start();
    for (body, field) in [
        ("", "subject"),
        (r#"{"ban":true}"#, "subject"),
        (r#"{"id":"a","label":"b"}"#, "label"),
        (r#"{"subject":""}"#, "subject"),
        (r#"{"subject":"a","ban":1}"#, "ban"),
        (r#"{"subject":"a","reason":"x"}"#, "reason"),
    ] {
        let refused = api.local("POST", REVOKE, body).await;
        assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)), "{body}");
    }
    let body = r#"{"subject":"a"}"#;
    for (scope, status) in [(Scope::Mint, 403), (Scope::Read, 403), (Scope::Admin, 200)] {
        assert_eq!(api.operator(&api.key(&[scope]), "POST", REVOKE, body).await.status, status, "{scope}");
    }
    assert_eq!(api.operator(&token("a"), "POST", REVOKE, body).await.status, 403);
}
