//! `POST /test/participants`: tokens of two users that nobody else has, for a call of the test page with itself.

use super::clock::{now, rfc3339};
use super::ice_servers::secret;
use super::{Caller, Shared};
use crate::auth::token::{TokenRequest, TokenRules, issue};
use crate::auth::{Scope, Secret};
use crate::base::UnixTime;
use crate::http::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use std::fmt::Write;

/// How long both can log in.
const LIFETIME_S: u64 = 600;

/// How tokens for signaling are signed (`auth.jwt.secret`).
#[derive(Clone, Debug)]
pub struct TokenSigner {
    /// Key of HS256.
    pub secret: Secret,
    /// What the verifier wants besides.
    pub rules: TokenRules,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/test/participants", post(participants))
}

async fn participants(State(services): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    caller.must(Scope::Mint)?;
    let minting = services.minting.load_full();
    minting.take_by(&caller)?;
    // No judge of tokens, no signaling.
    let signer = minting.token_signer().filter(|_| services.tokens.is_some()).ok_or_else(no_signer)?;
    let mut name = "test-".to_owned();
    for byte in services.ids.bytes::<6>() {
        write!(name, "{byte:02x}").expect("a String takes everything");
    }
    let participants = ["a", "b"].map(|side| participant(signer, &format!("{name}-{side}"), now()));
    let [Some(caller), Some(callee)] = participants else { return Err(Problem::internal()) };
    let answer = json!({ "participants": [caller, callee], "expires_in_s": LIFETIME_S });
    Ok(secret(StatusCode::CREATED, &answer))
}

fn participant(signer: &TokenSigner, user: &str, now: UnixTime) -> Option<Value> {
    let expires = UnixTime(now.0 + LIFETIME_S);
    let (device, name, rooms) = (None, None, &[][..]);
    let (issued_unix_s, expires_unix_s) = (now.0, expires.0);
    let request = TokenRequest { subject: user, device, name, rooms, issued_unix_s, expires_unix_s };
    let token = issue(&signer.secret, &signer.rules, request).ok()?;
    Some(json!({ "user": user, "token": token, "expires_at": rfc3339(expires) }))
}

fn no_signer() -> Problem {
    let message = "this server has no secret to sign tokens of users with, or its signaling is off";
    let hint = "take two tokens of your own issuer, or set auth.jwt.secret and signaling.enabled";
    Problem::conflict("no_jwt_secret", message, hint)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Api, ask, mint_settings, token};
    use super::super::{MintSettings, Minting};
    use super::*;
    use std::sync::Arc;

    const PATH: &str = "/test/participants";

    #[tokio::test]
    async fn who_may_mint_gets_two_users_whose_tokens_the_judge_takes() {
        let api = Api::start();
        let key = api.key(&[Scope::Mint]);
        let (one, two) = (api.app(&key, "POST", PATH, "").await, api.app(&key, "POST", PATH, "").await);
        assert_eq!(one.status, 201, "{}", one.body);
        assert!(one.head.contains("cache-control: no-store"), "{}", one.head);
        assert_eq!(one.json()["expires_in_s"], 600);
        let user = |answer: &Value, n: usize| answer["participants"][n]["user"].as_str().map(str::to_owned);
        let (first, second) = (user(&one.json(), 0).expect("a"), user(&one.json(), 1).expect("b"));
        assert_eq!(first.strip_suffix("-a"), second.strip_suffix("-b"));
        assert!(first.starts_with("test-") && first.len() == "test-".len() + 12 + 2, "{first}");
        assert_ne!(Some(first), user(&two.json(), 0));
        for participant in one.json()["participants"].as_array().expect("two") {
            let token = participant["token"].as_str().expect("text");
            let minted = api.app(token, "POST", "/v1/ice-servers", "").await;
            assert_eq!(minted.status, 201, "{}", minted.body);
            assert!(participant["expires_at"].as_str().is_some_and(|at| at.ends_with('Z')));
        }
    }

    #[tokio::test]
    async fn nobody_else_gets_anything() {
        let api = Api::start();
        assert_eq!(ask(api.public, "POST", PATH, &[], "").await.status, 401);
        assert_eq!(api.app("tsk_AAAA", "POST", PATH, "").await.status, 401);
        assert_eq!(api.app(&api.key(&[Scope::Read]), "POST", PATH, "").await.status, 403);
        assert_eq!(api.app(&token("alice"), "POST", PATH, "").await.status, 403);
    }

    #[tokio::test]
    async fn it_is_limited_like_minting() {
        let api = Api::start();
        let settings = MintSettings { per_key: Some(1), ..mint_settings() };
        api.services.minting.store(Arc::new(Minting::new(&settings)));
        let key = api.key(&[Scope::Mint]);
        let mut refused = None;
        for _ in 0..20 {
            let answer = api.app(&key, "POST", PATH, "").await;
            if answer.status != 201 {
                refused = Some(answer);
                break;
            }
        }
        let refused = refused.expect("spent");
        assert_eq!((refused.status, refused.json()["code"].clone()), (429, json!("rate_limited")));
    }

    #[tokio::test]
    async fn without_a_shared_secret_it_says_what_to_do() {
        let api = Api::start();
        let settings = MintSettings { token_signer: None, ..mint_settings() };
        api.services.minting.store(Arc::new(Minting::new(&settings)));
        let refused = api.app(&api.key(&[Scope::Mint]), "POST", PATH, "").await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (409, json!("no_jwt_secret")));
        assert!(refused.json()["hint"].as_str().is_some_and(|hint| hint.contains("auth.jwt.secret")));
    }
}
