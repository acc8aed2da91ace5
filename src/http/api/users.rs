//! `/v1/users`: static TURN users beside those of the config. A password comes in and never goes out again.

use super::clock::{now, rfc3339};
use super::leftover::take_leftover;
use super::whole::whole;
use super::{Caller, Coming, Path, Services, Shared, answer, body};
use crate::auth::{NAME_BYTES_MAX, Scope, Secret, StoredUser, user_name, user_password};
use crate::base::UnixTime;
use crate::http::problem::Problem;
use crate::storage::Batch;
use crate::storage::records::UserRecord;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::Mutex;

/// Stored users at once.
pub(super) const USERS_MAX: usize = 10_000;

/// Bytes of a password.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Stored users.
#[derive(Debug)]
pub struct Users {
    /// Nobody waits while it is held: who is taken away is gone at once, however slow the disk or a driver is.
    by_name: Mutex<BTreeMap<String, UserRecord>>,
    /// Held by the one who adds somebody, until that is durable.
    adding: Mutex<()>,
}

impl Users {
    /// These.
    pub fn new(records: Vec<UserRecord>) -> Self {
        let by_name = records.into_iter().map(|record| (record.name.clone(), record)).collect();
        Self { by_name: Mutex::new(by_name), adding: Mutex::default() }
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/users", get(list).post(add)).route("/v1/users/{name}", delete(remove))
}

async fn list(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let minting = services.minting.load();
    let stored = services.users.by_name.lock().await;
    let configured = minting.config_users().map(|name| json!({ "name": name, "source": "config" }));
    // Where both know a name, the config wins.
    let stored = stored.values().filter(|record| !minting.is_config_user(&record.name)).map(told);
    let users: Vec<_> = configured.chain(stored).collect();
    Ok(answer::json(StatusCode::OK, &json!({ "users": users })))
}

async fn add(State(services): State<Shared>, caller: Caller, body: Body) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    let (name, password) = wanted(body).await?;
    whole(put(services, name, password)).await
}

/// A user is good once it is durable.
async fn put(services: Shared, name: String, password: Secret) -> Result<Response, Problem> {
    let minting = services.minting.load_full();
    if minting.is_config_user(&name) {
        return Err(in_config());
    }
    let _adding = services.users.adding.lock().await;
    services.users.has_room_for(&name).await?;
    let user = StoredUser::new(&name, minting.realm(), &password);
    let record = UserRecord::new(&user, now().0);
    services.store.commit(Batch::new().put(&record)).await?;
    let answer = told(&record);
    let mut users = services.users.by_name.lock().await;
    users.insert(name, record);
    let telling = services.tell_users(&users);
    drop(users);
    telling.await?;
    Ok(answer::json(StatusCode::CREATED, &answer))
}

async fn remove(
    State(services): State<Shared>,
    caller: Caller,
    Path(name): Path,
) -> Result<Response, Problem> {
    caller.must(Scope::Admin)?;
    // Names are kept as OpaqueString has them.
    let name = user_name(&name).unwrap_or(name);
    whole(take_away(services, name)).await
}

/// The user is nobody any more at once, and then that is made durable. If that fails, it can be asked for again.
async fn take_away(services: Shared, name: String) -> Result<Response, Problem> {
    let mut users = services.users.by_name.lock().await;
    if users.remove(&name).is_none() {
        drop(users);
        return take_away_leftover(&services, &name).await;
    }
    let telling = services.tell_users(&users);
    let writing = services.store.begin_commit(Batch::new().delete(UserRecord::key_of(&name)));
    drop(users);
    let (told, ended) = tokio::join!(telling, services.end_sessions_of(&name));
    let told = if ended { told } else { Err(Problem::worker_busy()) };
    writing.await.map_err(|error| Problem::from(error).applied(told.is_ok()))?;
    told?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Who is on the disk alone.
async fn take_away_leftover(services: &Services, name: &str) -> Result<Response, Problem> {
    let _adding = services.users.adding.lock().await;
    if services.users.by_name.lock().await.contains_key(name) {
        let hint = "it was added again meanwhile; ask again to take it away";
        return Err(Problem::conflict("exists", "there is a user of this name", hint));
    }
    if take_leftover::<UserRecord>(&services.store, UserRecord::key_of(name)).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(match services.minting.load().is_config_user(name) {
        true => in_config(),
        false => Problem::not_found("GET /v1/users lists the users there are"),
    })
}

impl Users {
    /// Refuses a name that is taken, and one more than there may be.
    async fn has_room_for(&self, name: &str) -> Result<(), Problem> {
        let users = self.by_name.lock().await;
        if users.contains_key(name) {
            let hint = "take the user away first: `turnstone user del`";
            return Err(Problem::conflict("exists", "there is a user of this name", hint).at("name"));
        }
        if users.len() >= USERS_MAX {
            let message = format!("there are {USERS_MAX} users, which is the most");
            let hint = "mint time-limited credentials: POST /v1/ice-servers";
            return Err(Problem::conflict("full", message, hint));
        }
        Ok(())
    }
}

impl Services {
    /// These are the users from the call on; what it returns is over when the drivers know.
    fn tell_users<'a>(&'a self, users: &BTreeMap<String, UserRecord>) -> Coming<'a, Result<(), Problem>> {
        let telling = self.control.set_users(users.values().filter_map(UserRecord::user).collect());
        Box::pin(async move {
            match telling.await {
                true => Ok(()),
                false => Err(Problem::worker_busy()),
            }
        })
    }
}

async fn wanted(body: Body) -> Result<(String, Secret), Problem> {
    let mut fields = body::fields(body).await?;
    let name = fields.text("name", 1..=NAME_BYTES_MAX)?;
    let name = fields.required("name", name, "the USERNAME of TURN")?;
    let password = fields.any_text("password", 1..=PASSWORD_BYTES_MAX)?.map(Secret::new);
    let password = fields.required("password", password, "a text of 1 to 1024 bytes")?;
    fields.done()?;
    let bad = |field: &'static str| {
        move |(what, help): (&str, &str)| Problem::field(field, format!("{what}: {help}"))
    };
    Ok((user_name(&name).map_err(bad("name"))?, user_password(password.expose()).map_err(bad("password"))?))
}

fn in_config() -> Problem {
    let hint = "change it in [auth.users] of the config, and reload";
    Problem::conflict("in_config", "a user of the config has this name", hint).at("name")
}

fn told(record: &UserRecord) -> Value {
    let created_at = rfc3339(UnixTime(record.created_at));
    json!({ "name": record.name, "source": "stored", "realm": record.realm, "created_at": created_at })
}

#[cfg(test)]
mod tests {
    use super::super::Kept;
    use super::super::testing::{Api, eventually, token};
    use super::*;
    use crate::auth::Claimed;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    #[tokio::test]
    async fn a_user_is_added_kept_as_keys_and_taken_away() {
        let api = Api::start();
        let added =
            api.local("POST", "/v1/users", r#"{"name":"ame\u0301lie/1","password":"a secret"}"#).await;
        assert_eq!(
            (added.status, added.json()["name"].as_str()),
            (201, Some("am\u{e9}lie/1")),
            "{}",
            added.body
        );
        assert_eq!(api.control.user_names(), ["am\u{e9}lie/1"]);
        let kept = Kept::read(&api.services.store).expect("a store").users;
        let [record] = &kept[..] else { panic!("{kept:?}") };
        let (kept, made) = (
            record.user().expect("whole"),
            StoredUser::new("am\u{e9}lie/1", "turn", &Secret::new("a secret")),
        );
        assert_eq!(kept.keys(), made.keys());
        let listed = api.local("GET", "/v1/users", "").await;
        assert!(!listed.body.contains("a secret") && !listed.body.contains(&record.md5), "{}", listed.body);
        let names: Vec<_> = listed.json()["users"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|user| user["name"].clone())
            .collect();
        assert_eq!(names, ["bob", "am\u{e9}lie/1"], "that of the config first");

        assert_eq!(api.local("DELETE", "/v1/users/am%C3%A9lie%2F1", "").await.status, 204);
        assert!(api.control.user_names().is_empty());
        assert!(Kept::read(&api.services.store).expect("a store").users.is_empty());
        assert_eq!(api.local("DELETE", "/v1/users/am%C3%A9lie%2F1", "").await.status, 404);
    }

    #[tokio::test]
    async fn with_a_user_all_that_lives_by_it_is_void_and_nothing_minted_for_a_subject_of_the_same_name() {
        let api = Api::start();
        let orders = || {
            Arc::clone(api.control.revocations.lock().expect("no test panics in it").last().expect("told"))
        };
        assert_eq!(api.local("POST", "/v1/users", r#"{"name":"alice","password":"p"}"#).await.status, 201);
        assert_eq!(api.local("DELETE", "/v1/users/alice", "").await.status, 204);
        let told = orders();
        assert!(told.takes_away("alice") && !told.takes_away("bob"));
        let minted = Claimed { id: None, subject: "alice", label: None, call_id: None, minted_at: None };
        assert!(!told.deny(now(), &minted));
        // Other orders leave it in force.
        assert_eq!(api.local("POST", "/v1/credentials/revoke", r#"{"subject":"eve"}"#).await.status, 200);
        let told = orders();
        assert!(told.takes_away("alice") && told.deny(now(), &Claimed { subject: "eve", ..minted }));
    }

    #[tokio::test]
    async fn a_driver_that_is_too_busy_to_end_sessions_is_told_of() {
        let api = Api::start();
        assert_eq!(api.local("POST", "/v1/users", r#"{"name":"alice","password":"p"}"#).await.status, 201);
        api.control.is_busy.store(true, Ordering::Relaxed);
        let busy = api.local("DELETE", "/v1/users/alice", "").await;
        assert_eq!((busy.status, busy.json()["code"].clone()), (503, json!("worker_busy")), "{}", busy.body);
        assert!(Kept::read(&api.services.store).expect("a store").users.is_empty(), "it is durable");
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_a_conflict() {
        let api = Api::start();
        let add = |name: &str| json!({ "name": name, "password": "p" }).to_string();
        let of_config = api.local("POST", "/v1/users", &add("bob")).await;
        assert_eq!((of_config.status, of_config.json()["code"].clone()), (409, json!("in_config")));
        assert_eq!(api.local("POST", "/v1/users", &add("eve")).await.status, 201);
        let again = api.local("POST", "/v1/users", &add("eve")).await;
        assert_eq!((again.status, again.json()["code"].clone()), (409, json!("exists")));
        assert_eq!(api.local("DELETE", "/v1/users/bob", "").await.status, 409);
    }

    #[tokio::test]
    async fn a_name_or_password_that_cannot_be_used_is_told() {
        let api = Api::start();
        let long = "n".repeat(509);
        for (name, password, field) in [
            ("", "p", "name"),
            ("a\nb", "p", "name"),
            ("a\u{1b}[31m", "p", "name"),
            ("1700000000:alice", "p", "name"),
            (&*long, "p", "name"),
            ("alice", "", "password"),
            ("alice", "a\u{7}b", "password"),
        ] {
            let body = json!({ "name": name, "password": password }).to_string();
            let refused = api.local("POST", "/v1/users", &body).await;
            assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)), "{name:?}");
            assert!(!refused.body.contains('\u{1b}'));
        }
        for (body, field) in [(r#"{"name":"a"}"#, "password"), (r#"{"name":"a","password":"p","x":1}"#, "x")]
        {
            assert_eq!(api.local("POST", "/v1/users", body).await.json()["field"].as_str(), Some(field));
        }
    }

    #[tokio::test]
    async fn a_user_whose_removal_could_not_be_written_can_be_taken_away_again() {
        let (api, disk) = Api::with_slow_disk();
        assert_eq!(api.local("POST", "/v1/users", r#"{"name":"a","password":"p"}"#).await.status, 201);
        let [refused, again] = api.refused_once(&disk, "DELETE", "/v1/users/a").await;
        assert_eq!((refused.status, refused.json()["applied"].clone()), (503, json!(true)));
        assert_eq!(again.status, 204, "{}", again.body);
        assert!(Kept::read(&api.services.store).expect("a store").users.is_empty());
        assert_eq!(api.local("DELETE", "/v1/users/a", "").await.status, 404);
    }

    #[tokio::test]
    async fn without_a_store_nobody_is_added() {
        let api = Api::without_store();
        let refused = api.local("POST", "/v1/users", r#"{"name":"a","password":"p"}"#).await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (503, json!("store_closed")));
        assert!(api.control.user_names().is_empty());
    }

    #[tokio::test]
    async fn who_is_taken_away_is_gone_at_once_however_slow_the_disk_is() {
        let (api, disk) = Api::with_slow_disk();
        for name in ["a", "b", "c"] {
            let body = json!({ "name": name, "password": "p" }).to_string();
            assert_eq!(api.local("POST", "/v1/users", &body).await.status, 201);
        }
        disk.stop();
        let away = ["/v1/users/a", "/v1/users/b"].map(|path| api.local("DELETE", path, ""));
        let [one, other] = away;
        let look = async {
            eventually(|| api.control.user_names() == ["c"]).await;
            disk.go_on();
        };
        let (one, other, ()) = tokio::join!(one, other, look);
        assert_eq!((one.status, other.status), (204, 204));
        assert_eq!(Kept::read(&api.services.store).expect("a store").users.len(), 1);
    }

    #[tokio::test]
    async fn a_client_that_goes_away_leaves_no_user_half_made() {
        let (api, disk) = Api::with_slow_disk();
        disk.stop();
        let body = Body::from(r#"{"name":"a","password":"p"}"#);
        let request = tokio::spawn(add(State(api.services.clone()), Caller::Local, body));
        eventually(|| disk.is_waited_for()).await;
        request.abort();
        assert!(request.await.is_err_and(|error| error.is_cancelled()));
        disk.go_on();
        eventually(|| api.control.user_names() == ["a"]).await;
        assert_eq!(api.local("DELETE", "/v1/users/a", "").await.status, 204);
    }

    #[tokio::test]
    async fn users_are_the_work_of_operators() {
        let api = Api::start();
        for (scope, read, add) in [(Scope::Mint, 403, 403), (Scope::Read, 200, 403), (Scope::Admin, 200, 201)]
        {
            let key = api.key(&[scope]);
            let body = json!({ "name": scope.name(), "password": "p" }).to_string();
            assert_eq!(api.operator(&key, "GET", "/v1/users", "").await.status, read, "{scope}");
            assert_eq!(api.operator(&key, "POST", "/v1/users", &body).await.status, add, "{scope}");
        }
        assert_eq!(api.operator(&token("a"), "GET", "/v1/users", "").await.status, 403);
    }
}
