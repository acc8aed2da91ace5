//! `/v1/api-keys`: keys are made, listed and taken away.

use super::clock::{now, rfc3339};
use super::leftover::take_leftover;
use super::whole::whole;
use super::{Caller, Path, Shared, answer, body};
use crate::auth::{ApiKey, ApiKeyHash, Scope, api_key_text};
use crate::http::problem::Problem;
use crate::storage::Batch;
use crate::storage::records::ApiKeyRecord;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use serde_json::{Value, json};

/// Keys at once.
pub(super) const KEYS_MAX: usize = 1000;

/// Bytes of a key's name.
const NAME_BYTES_MAX: usize = 128;

const SCOPES: [(&str, Scope); 3] = [
    (Scope::Mint.name(), Scope::Mint),
    (Scope::Read.name(), Scope::Read),
    (Scope::Admin.name(), Scope::Admin),
];

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/api-keys", get(list).post(create)).route("/v1/api-keys/{id}", delete(revoke))
}

async fn list(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let keys = services.keys.load();
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    let keys: Vec<_> = keys.into_iter().map(told).collect();
    Ok(answer::json(StatusCode::OK, &json!({ "api_keys": keys })))
}

async fn create(State(services): State<Shared>, caller: Caller, body: Body) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    let mut fields = body::fields(body).await?;
    let name = fields.text("name", 1..=NAME_BYTES_MAX)?;
    let name = fields.required("name", name, "what the key is for")?;
    let scopes = fields.words("scopes", &SCOPES)?;
    let scopes = fields.required("scopes", scopes, "a list with some of: mint, read, admin")?;
    fields.done()?;
    whole(add(services, name, scopes)).await
}

/// The key is in this answer and nowhere else. It is good once it is durable.
async fn add(services: Shared, name: String, scopes: Vec<Scope>) -> Result<Response, Problem> {
    // Or all who come while one is written would find the last place free.
    let _making = services.making_keys.lock().await;
    if services.keys.load().len() >= KEYS_MAX {
        let message = format!("there are {KEYS_MAX} API keys, which is the most");
        return Err(Problem::conflict("full", message, "take one away that is not used any more"));
    }
    let (id, text) = (services.ids.next("key"), api_key_text(services.ids.bytes()));
    let key = ApiKey { id: id.into(), name: name.into(), scopes, created_at: now() };
    let hash = ApiKeyHash::of(&text);
    services.store.commit(Batch::new().put(&ApiKeyRecord::new(hash, &key))).await?;
    services.keys.rcu(|keys| keys.with(hash, key.clone()));
    let mut answer = told(&key);
    answer["key"] = text.into();
    Ok(answer::json(StatusCode::CREATED, &answer))
}

async fn revoke(State(services): State<Shared>, caller: Caller, Path(id): Path) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    whole(take_away(services, id)).await
}

/// It is good no more at once, and then that is made durable. If that fails, it can be asked for again.
async fn take_away(services: Shared, id: String) -> Result<Response, Problem> {
    let place = ApiKeyRecord::key_of(&id);
    if !services.keys.load().iter().any(|key| *key.id == *id) {
        // Or a key that is being made would be gone from the disk alone.
        let _making = services.making_keys.lock().await;
        return match take_leftover::<ApiKeyRecord>(&services.store, place).await? {
            true => Ok(StatusCode::NO_CONTENT.into_response()),
            false => Err(Problem::not_found("GET /v1/api-keys lists the keys there are")),
        };
    }
    services.keys.rcu(|keys| keys.without(&id));
    let written = services.store.commit(Batch::new().delete(place)).await;
    written.map_err(|error| Problem::from(error).applied(true))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn told(key: &ApiKey) -> Value {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    json!({ "id": key.id, "name": key.name, "scopes": scopes, "created_at": rfc3339(key.created_at) })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Api, ask, token};
    use super::*;

    #[tokio::test]
    async fn a_key_is_shown_once_works_at_once_and_is_there_after_a_new_start() {
        let api = Api::start();
        let made =
            api.local("POST", "/v1/api-keys", r#"{"name":"app/\"1\"","scopes":["read","mint"]}"#).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let made = made.json();
        let key = made["key"].as_str().expect("shown");
        assert!(key.starts_with("tsk_") && made["id"].as_str().expect("an id").starts_with("key_"));
        assert_eq!((&made["name"], &made["scopes"]), (&json!("app/\"1\""), &json!(["read", "mint"])));

        let listed = api.operator(key, "GET", "/v1/api-keys", "").await;
        assert_eq!(listed.status, 200, "{}", listed.body);
        assert!(!listed.body.contains(key), "it is shown once");
        assert_eq!(listed.json()["api_keys"][0]["id"], made["id"]);
        let kept = super::super::Kept::read(&api.services.store).expect("a store");
        assert_eq!(kept.keys.find(key).map(|key| key.id.to_string()).as_deref(), made["id"].as_str());
    }

    #[tokio::test]
    async fn a_key_that_was_taken_away_is_good_no_more() {
        let api = Api::start();
        let made = api.local("POST", "/v1/api-keys", r#"{"name":"n","scopes":["read"]}"#).await.json();
        let (key, id) = (made["key"].as_str().expect("shown"), made["id"].as_str().expect("an id"));
        assert_eq!(api.operator(key, "GET", "/v1/api-keys", "").await.status, 200);
        assert_eq!(api.local("DELETE", &format!("/v1/api-keys/{id}"), "").await.status, 204);
        let refused = api.operator(key, "GET", "/v1/api-keys", "").await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (401, json!("unauthorized")));
        assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
        assert!(super::super::Kept::read(&api.services.store).expect("a store").keys.is_empty());
        assert_eq!(api.local("DELETE", &format!("/v1/api-keys/{id}"), "").await.status, 404);
    }

    #[tokio::test]
    async fn a_scope_is_good_for_itself_and_a_users_token_for_no_operators_work() {
        let api = Api::start();
        let body = r#"{"name":"n","scopes":["mint"]}"#;
        for (scope, read, made) in
            [(Scope::Mint, 403, 403), (Scope::Read, 200, 403), (Scope::Admin, 200, 201)]
        {
            let key = api.key(&[scope]);
            assert_eq!(api.operator(&key, "GET", "/v1/api-keys", "").await.status, read, "{scope}");
            assert_eq!(api.operator(&key, "POST", "/v1/api-keys", body).await.status, made, "{scope}");
        }
        let refused = api.operator(&token("alice"), "GET", "/v1/api-keys", "").await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (403, json!("forbidden")));
        for no in ["", "tsk_", "tsk_AAAA", "a.b.c"] {
            assert_eq!(api.operator(no, "GET", "/v1/api-keys", "").await.status, 401, "{no}");
        }
        assert_eq!(ask(api.admin, "GET", "/v1/api-keys", &[], "").await.status, 401);
    }

    #[tokio::test]
    async fn a_field_that_is_missing_wrong_or_unknown_is_named() {
        let api = Api::start();
        let long = format!(r#"{{"name":"{}","scopes":["mint"]}}"#, "n".repeat(129));
        for (body, field) in [
            ("", "name"),
            ("[]", "body"),
            ("{", "body"),
            (r#"{"name":"n"}"#, "scopes"),
            (r#"{"name":"","scopes":["mint"]}"#, "name"),
            (r#"{"name":"a\nb","scopes":["mint"]}"#, "name"),
            (&long, "name"),
            (r#"{"name":"n","scopes":[]}"#, "scopes"),
            (r#"{"name":"n","scopes":["root"]}"#, "scopes"),
            (r#"{"name":"n","scopes":["mint"],"scope":"mint"}"#, "scope"),
        ] {
            let refused = api.local("POST", "/v1/api-keys", body).await;
            assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)), "{body}");
        }
        let refused = api.local("POST", "/v1/api-keys", &" ".repeat(20_000)).await;
        assert_eq!(refused.status, 413);
        assert!(api.services.keys.load().is_empty());
    }

    #[tokio::test]
    async fn keys_that_are_made_at_once_are_not_more_than_there_may_be() {
        let api = Api::start();
        let key = |id: u32| ApiKey {
            id: format!("key_{id}").into(),
            name: "n".into(),
            scopes: vec![Scope::Mint],
            created_at: now(),
        };
        let all_but_one = (1..KEYS_MAX as u32).map(|id| (ApiKeyHash::of(&id.to_string()), key(id)));
        api.services.keys.store(std::sync::Arc::new(all_but_one.collect()));
        let body = r#"{"name":"n","scopes":["mint"]}"#;
        let make = || api.local("POST", "/v1/api-keys", body);
        let (a, b, c, d) = tokio::join!(make(), make(), make(), make());
        let mut statuses = [a, b, c, d].map(|answer| answer.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409]);
        assert_eq!(api.services.keys.load().len(), KEYS_MAX);
    }

    #[tokio::test]
    async fn a_key_whose_deletion_could_not_be_written_can_be_taken_away_again() {
        let (api, disk) = Api::with_slow_disk();
        let made = api.local("POST", "/v1/api-keys", r#"{"name":"n","scopes":["read"]}"#).await.json();
        let path = format!("/v1/api-keys/{}", made["id"].as_str().expect("an id"));
        let [refused, again] = api.refused_once(&disk, "DELETE", &path).await;
        assert_eq!((refused.status, refused.json()["applied"].clone()), (503, json!(true)));
        assert_eq!(again.status, 204, "{}", again.body);
        assert!(super::super::Kept::read(&api.services.store).expect("a store").keys.is_empty());
        assert_eq!(api.local("DELETE", &path, "").await.status, 404);
    }

    #[tokio::test]
    async fn without_a_store_no_key_is_made_and_one_that_goes_is_gone_all_the_same() {
        let api = Api::without_store();
        let refused = api.local("POST", "/v1/api-keys", r#"{"name":"n","scopes":["mint"]}"#).await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (503, json!("store_closed")));
        assert!(api.services.keys.load().is_empty(), "it was not made durable");

        let key = api.key(&[Scope::Admin]);
        let id = api.services.keys.load().iter().next().expect("one").id.to_string();
        let gone = api.operator(&key, "DELETE", &format!("/v1/api-keys/{id}"), "").await;
        assert_eq!((gone.status, gone.json()["applied"].clone()), (503, json!(true)));
        assert_eq!(api.operator(&key, "GET", "/v1/api-keys", "").await.status, 401);
    }
}
