//! What is minted, for whom, and what bad wishes get.

use super::super::testing::{Api, SECRET, ask, ask_from, bearer, mint_settings, token, token_of};
use super::super::{Minting, clock};
use crate::auth::{MintedName, Scope, Secret, Settings, explain};
use crate::base::UnixTime;
use crate::http::testing::Answer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const PATH: &str = "/v1/ice-servers";

impl Api {
    async fn minted(&self, key: &str, body: &str) -> Value {
        let answer = self.app(key, "POST", PATH, body).await;
        assert_eq!(answer.status, 201, "{body}: {}", answer.body);
        assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
        answer.json()
    }

    async fn refused(&self, key: &str, body: &str) -> Answer {
        let answer = self.app(key, "POST", PATH, body).await;
        assert!(answer.status >= 400, "{body}: {}", answer.body);
        assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
        answer
    }
}

/// What is wrong with a credential by the relay's own judgement.
fn is_good(username: &str, password: &str) -> bool {
    let settings = Settings {
        realm: "turn".into(),
        secrets: vec![Secret::new(SECRET)],
        users: BTreeMap::new(),
        modern: false,
        strict_expiry: false,
        ttl: Duration::from_secs(3600),
        max_ttl: Duration::from_secs(86_400),
    };
    explain(&settings, clock::now(), username, password).is_valid()
}

#[tokio::test]
async fn a_wish_for_nothing_gets_what_a_browser_takes() {
    let api = Api::start();
    let key = api.key(&[Scope::Mint]);
    for body in ["", "{}", r#"{"user":null}"#] {
        let made = api.minted(&key, body).await;
        let turn = &made["iceServers"][1];
        let (username, password) = (turn["username"].as_str().unwrap(), turn["credential"].as_str().unwrap());
        assert!(is_good(username, password), "{username}");
        let name = MintedName::parse(username).expect("ours");
        assert_eq!((&*name.subject(), name.id().as_deref()), ("", made["credentialId"].as_str()));
        assert!(made["credentialId"].as_str().expect("an id").starts_with("crd_"));
        assert_eq!((&made["ttl"], &made["iceTransportPolicy"]), (&json!(3600), &json!("all")));
        assert_eq!(made["expiresAt"], clock::rfc3339(name.expires()));
        assert_eq!(made["iceServers"][0], json!({ "urls": ["stun:turn.example.org:3478"] }));
        let urls = [
            "turn:turn.example.org:3478?transport=udp",
            "turn:turn.example.org:3478?transport=tcp",
            "turns:turn.example.org:443?transport=tcp",
        ];
        assert_eq!(turn["urls"], json!(urls));
        assert_eq!(turn.as_object().map(|members| members.len()), Some(3), "only what the WebRTC API has");
    }
}

#[tokio::test]
async fn all_that_is_wished_for_is_in_the_username_under_the_hmac() {
    let api = Api::start();
    let key = api.key(&[Scope::Mint]);
    let body = r#"{"ttl":60,"user":"a/b:c;d ü","label":"room 42","call_id":"k 9","transports":["tls","tcp"],
                   "limits":{"allocations":4,"bandwidth_bps":4000000}}"#;
    let made = api.minted(&key, body).await;
    let turn = &made["iceServers"][0];
    let (username, password) = (turn["username"].as_str().unwrap(), turn["credential"].as_str().unwrap());
    assert!(is_good(username, password));
    let name = MintedName::parse(username).expect("ours");
    assert_eq!((&*name.subject(), name.label().as_deref()), ("a/b:c;d ü", Some("room 42")));
    assert_eq!(name.call_id().as_deref(), Some("k 9"));
    assert_eq!((name.allocations_max(), name.bits_per_second()), (Some(4), Some(4_000_000)));
    let minted_at = name.minted_at().expect("said");
    assert_eq!((made["ttl"].clone(), name.expires()), (json!(60), UnixTime(minted_at.0 + 60)));
    let urls = ["turn:turn.example.org:3478?transport=tcp", "turns:turn.example.org:443?transport=tcp"];
    assert_eq!(turn["urls"], json!(urls), "no STUN without UDP");
}

#[tokio::test]
async fn a_user_mints_for_itself_alone() {
    let api = Api::start();
    let alice = token("alice");
    for body in ["", r#"{"user":"alice","limits":{"allocations":2}}"#] {
        let made = api.minted(&alice, body).await;
        let username = made["iceServers"][1]["username"].as_str().expect("a name").to_owned();
        assert_eq!(MintedName::parse(&username).expect("ours").subject(), "alice");
    }
    let refused = api.refused(&alice, r#"{"user":"bob"}"#).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("forbidden")));
    assert_eq!(refused.json()["field"], "user");
    for field in ["label", "call_id"] {
        let refused = api.refused(&alice, &json!({ field: "k9" }).to_string()).await;
        assert_eq!((refused.status, &refused.json()["field"]), (403, &json!(field)));
    }
}

#[tokio::test]
async fn nobody_mints_without_a_key_or_token_that_is_good_for_it() {
    let api = Api::start();
    let read = api.key(&[Scope::Read]);
    assert_eq!(api.refused(&read, "").await.status, 403);
    let signed_by_another = token("alice").rsplit_once('.').map(|(head, _)| format!("{head}.AAAA")).unwrap();
    for bad in ["tsk_nothing", "", "x.y.z", &signed_by_another] {
        let refused = api.refused(bad, "").await;
        assert_eq!((refused.status, &refused.json()["code"]), (401, &json!("unauthorized")), "{bad}");
    }
    assert_eq!(ask(api.public, "POST", PATH, &[], "").await.status, 401);
    let twice = [&*bearer(&read), &*bearer(&read)];
    assert_eq!(ask(api.public, "POST", PATH, &twice, "").await.status, 401);
}

#[tokio::test]
async fn a_bad_wish_names_its_field_and_range() {
    let api = Api::start();
    let key = api.key(&[Scope::Mint]);
    let of_65 = format!(r#"{{"call_id":"{}"}}"#, "c".repeat(65));
    let of_600 = format!(r#"{{"user":"{}"}}"#, "u".repeat(600));
    for (body, field, said) in [
        (r#"{"ttl":0}"#, "ttl", "from 1 to 86400 (seconds; the most is auth.max_ttl)"),
        (r#"{"ttl":86401}"#, "ttl", "from 1 to 86400"),
        (r#"{"ttl":"1h"}"#, "ttl", "a whole number"),
        (r#"{"ttl":1.5}"#, "ttl", "a whole number"),
        (r#"{"user":""}"#, "user", "1 to 4096 bytes"),
        (r#"{"user":"a\u001b[2Jb"}"#, "user", "without control characters"),
        (r#"{"label":7}"#, "label", "a text"),
        (r#"{"call_id":"a\u0007"}"#, "call_id", "1 to 64 bytes without control characters"),
        (&of_65, "call_id", "1 to 64 bytes"),
        (r#"{"transports":["sctp"]}"#, "transports", "udp, tcp, tls"),
        (r#"{"transports":["dtls"]}"#, "transports", "listens"),
        (r#"{"limits":{"allocations":0}}"#, "limits.allocations", "from 1 to"),
        (r#"{"limits":{"bandwidth_bps":"4 Mbit/s"}}"#, "limits.bandwidth_bps", "bit/s"),
        (r#"{"limits":{"bandwidth":1}}"#, "limits.bandwidth", "no such field"),
        (r#"{"limits":[]}"#, "limits", "an object"),
        (r#"{"TTL":60}"#, "TTL", "no such field"),
        (&of_600, "user", " bytes are left for it"),
        ("not json", "body", "JSON object"),
    ] {
        let refused = api.refused(&key, body).await;
        let problem = refused.json();
        assert_eq!((refused.status, problem["field"].as_str()), (400, Some(field)), "{body}");
        assert!(problem["message"].as_str().expect("said").contains(said), "{body}: {problem}");
    }
}

#[tokio::test]
async fn the_bytes_that_are_said_to_be_left_are_left() {
    let api = Api::start();
    let key = api.key(&[Scope::Mint]);
    let of = |user: usize, label: usize| {
        json!({ "user": "u".repeat(user), "label": "l".repeat(label) }).to_string()
    };
    for (is_user, body) in [(true, of(600, 20)), (false, of(20, 600))] {
        let said = api.refused(&key, &body).await.json()["message"].as_str().expect("said").to_owned();
        let left: usize = said.split(' ').find_map(|word| word.parse().ok()).expect("a number");
        let with = |bytes| if is_user { of(bytes, 20) } else { of(20, bytes) };
        api.minted(&key, &with(left)).await;
        assert_eq!(api.refused(&key, &with(left + 1)).await.status, 400);
    }
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_come_back() {
    let api = Api::start();
    let with = |change: fn(&mut super::super::MintSettings)| {
        let mut settings = mint_settings();
        change(&mut settings);
        api.services.minting.store(Arc::new(Minting::new(&settings)));
    };
    let (key, other) = (api.key(&[Scope::Mint]), api.key(&[Scope::Mint]));
    with(|settings| settings.per_key = Some(1));
    assert!(is_limited(&api, &key, "").await);
    api.minted(&other, "").await;
    with(|settings| settings.per_subject = Some(1));
    assert!(is_limited(&api, &key, r#"{"user":"alice"}"#).await);
    api.minted(&key, r#"{"user":"bob"}"#).await;
}

/// Makes mistakes at this source until one too many was made.
async fn guess_too_often(server: SocketAddr, path: &str, bad: &str) {
    for _ in 0..100 {
        if ask(server, "GET", path, &[&bearer(bad)], "").await.status == 429 {
            return;
        }
    }
    panic!("a hundred guesses in a second");
}

#[tokio::test]
async fn who_presents_too_many_bad_tokens_has_none_verified_for_a_while_and_another_source_has() {
    let api = Api::start();
    let settings = super::super::MintSettings { per_source: Some(1), ..mint_settings() };
    api.services.minting.store(Arc::new(Minting::new(&settings)));
    guess_too_often(api.public, "/turn", "x.y.z").await;
    let (key, token) = (bearer(&api.key(&[Scope::Mint])), bearer(&token("alice")));
    let good = ask(api.public, "GET", "/turn", &[&token], "").await;
    assert_eq!((good.status, &good.json()["code"]), (429, &json!("rate_limited")));
    assert!(good.head.contains("retry-after: 1"), "{}", good.head);
    assert_eq!(ask(api.public, "GET", "/turn", &[&key], "").await.status, 200, "keys are looked up");
    let other = Ipv4Addr::new(127, 0, 0, 2);
    assert_eq!(ask_from(other, api.public, "GET", "/turn", &[&token], "").await.status, 200);
}

#[tokio::test]
async fn who_presents_nothing_takes_nothing_from_who_is_behind_the_same_address() {
    let api = Api::start();
    let settings = super::super::MintSettings { per_source: Some(1), ..mint_settings() };
    api.services.minting.store(Arc::new(Minting::new(&settings)));
    for _ in 0..20 {
        assert_eq!(ask(api.public, "GET", "/turn", &[], "").await.status, 401);
    }
    assert_eq!(ask(api.public, "GET", "/turn", &[&bearer(&token("alice"))], "").await.status, 200);
}

#[tokio::test]
async fn guesses_of_api_keys_are_limited_on_the_operators_side_too() {
    let api = Api::start();
    let settings = super::super::MintSettings { per_source: Some(1), ..mint_settings() };
    api.services.minting.store(Arc::new(Minting::new(&settings)));
    guess_too_often(api.admin, "/v1/users", "tsk_nothing").await;
    let key = api.key(&[Scope::Read]);
    assert_eq!(api.operator(&key, "GET", "/v1/users", "").await.status, 200);
    let other = Ipv4Addr::new(127, 0, 0, 2);
    let guess = ask_from(other, api.admin, "GET", "/v1/users", &[&bearer("tsk_nothing")], "").await;
    assert_eq!(guess.status, 401);
}

/// Whether the fifth request or one of the next is refused for its number, in the right words.
async fn is_limited(api: &Api, key: &str, body: &str) -> bool {
    for _ in 0..100 {
        let answer = api.app(key, "POST", PATH, body).await;
        if answer.status == 429 {
            assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
            assert_eq!(answer.json()["code"], "rate_limited");
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_server_without_a_secret_says_so() {
    let api = Api::start();
    let settings = super::super::MintSettings { secret: None, ..mint_settings() };
    api.services.minting.store(Arc::new(Minting::new(&settings)));
    let refused = api.refused(&api.key(&[Scope::Mint]), "").await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("no_secret")));
}

#[tokio::test]
async fn what_is_minted_and_refused_is_counted() {
    let api = Api::start();
    let key = api.key(&[Scope::Mint]);
    api.minted(&key, "").await;
    api.minted(&token("alice"), "").await;
    api.minted(&token("alice"), "").await;
    api.refused(&token("alice"), r#"{"user":"bob"}"#).await;
    let counts = api.services.sources.mint_counts();
    assert_eq!(counts.by().collect::<Vec<_>>(), [("key", 1), ("token", 2)]);
    let refused: Vec<_> = counts.refusals().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [("forbidden", 1)]);
}

#[tokio::test]
async fn the_turn_rest_draft_is_spoken_by_get_and_post() {
    let api = Api::start();
    let key = api.key(&[Scope::Mint]);
    let form = "service=turn&username=%40bob%3Aexample.org&ttl=60";
    let by_query = format!("/turn?{form}&key={key}");
    let answers = [
        api.app(&key, "GET", &format!("/turn?{form}"), "").await,
        api.app(&key, "POST", &format!("/turn?{form}"), "").await,
        api.app(&key, "POST", "/turn", form).await,
        ask(api.public, "GET", &by_query, &[], "").await,
    ];
    for answer in answers {
        let made = answer.json();
        assert_eq!((answer.status, &made["ttl"]), (200, &json!(60)), "{made}");
        let (username, password) = (made["username"].as_str().unwrap(), made["password"].as_str().unwrap());
        assert!(is_good(username, password));
        assert_eq!(MintedName::parse(username).expect("ours").subject(), "@bob:example.org");
        assert_eq!(made["uris"].as_array().map(Vec::len), Some(3));
    }
    // As identity providers make them.
    let long = token_of("carol", Some(&"n".repeat(256)));
    assert!(long.len() > 400);
    let made = ask(api.public, "GET", &format!("/turn?service=turn&key={long}"), &[], "").await;
    assert_eq!(made.status, 200, "{}", made.body);
    for bad in ["/turn?service=stun", "/turn?ttl=0", "/turn?x=1", "/turn?username=%ff"] {
        assert_eq!(api.app(&key, "GET", bad, "").await.status, 400, "{bad}");
    }
    assert_eq!(
        ask(api.public, "POST", &format!("{PATH}?key={key}"), &[], "").await.status,
        401,
        "there alone"
    );
}

#[tokio::test]
async fn cloudflares_calls_get_cloudflares_answers() {
    let api = Api::start();
    let key = api.key(&[Scope::Mint]);
    let id = api.services.keys.load().find(&key).expect("made").id.to_string();
    let body = r#"{"ttl":86400,"customIdentifier":"u1"}"#;
    let path = |id: &str, call: &str| format!("/v1/turn/keys/{id}/credentials/{call}");
    let made = api.app(&key, "POST", &path(&id, "generate-ice-servers"), body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    assert_eq!(made.as_object().map(|members| members.len()), Some(1));
    let turn = &made["iceServers"][1];
    assert!(is_good(turn["username"].as_str().unwrap(), turn["credential"].as_str().unwrap()));
    assert_eq!(MintedName::parse(turn["username"].as_str().unwrap()).expect("ours").subject(), "u1");

    let older = api.app(&key, "POST", &path(&id, "generate"), body).await.json();
    assert_eq!(older["iceServers"]["urls"].as_array().map(Vec::len), Some(4), "{older}");
    assert!(older["iceServers"]["credential"].is_string());
    for (caller, id) in [(&*key, "another"), (&token("u1"), &*id)] {
        assert_eq!(api.app(caller, "POST", &path(id, "generate"), body).await.status, 404);
    }
    let bad = api.app(&key, "POST", &path(&id, "generate"), r#"{"ttl":172800}"#).await;
    assert_eq!((bad.status, bad.json()["field"].as_str()), (400, Some("ttl")));
}
