//! A browser that logs in, over real connections.

use super::super::testing::{Api, ask, bearer, token};
use super::super::{MintSettings, Minting};
use super::*;
use crate::http::testing::Answer;

/// What a page has after a login.
struct Page {
    cookie: String,
    csrf: String,
}

impl Page {
    async fn log_in(api: &Api) -> Self {
        let key = api.key(&[Scope::Admin]);
        let answer = post(api, &key, &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let csrf = answer.json()["csrf"].as_str().expect("told").to_owned();
        Self { cookie: format!("Cookie: a=b; {}", cookie_of(&answer)), csrf: format!("X-CSRF-Token: {csrf}") }
    }

    async fn ask(&self, api: &Api, method: &str, path: &str, lines: &[&str], body: &str) -> Answer {
        let lines: Vec<_> = [&*self.cookie].into_iter().chain(lines.iter().copied()).collect();
        ask(api.admin, method, path, &lines, body).await
    }
}

async fn post(api: &Api, key: &str, lines: &[&str]) -> Answer {
    ask(api.admin, "POST", "/v1/login", lines, &json!({ "key": key }).to_string()).await
}

/// Name and value; heads come in lower case, so that the value is asked for by other means.
fn cookie_of(answer: &Answer) -> String {
    let line = answer.raw_head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    line.expect("a cookie").split(';').next().expect("its value").to_owned()
}

fn code(answer: &Answer) -> String {
    answer.json()["code"].as_str().expect("a problem").to_owned()
}

#[tokio::test]
async fn a_login_gives_a_cookie_that_no_script_reads_and_what_changes_need() {
    let api = Api::start();
    let key = api.key(&[Scope::Admin]);
    let answer = post(&api, &key, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let line = answer.head.lines().find(|line| line.starts_with("set-cookie: ")).expect("a cookie");
    assert!(line.ends_with("; httponly; samesite=strict; path=/; max-age=43200"), "{line}");
    let body = answer.json();
    assert_eq!(body.as_object().expect("an object").len(), 2, "{body}");
    assert_eq!(body["csrf"].as_str().expect("told").len(), 43);
    let cookie = cookie_of(&answer);
    let (name, value) = cookie.split_once('=').expect("a value");
    assert_eq!(name, format!("turnstone_session_{}", api.admin.port()), "browsers do not tell ports apart");
    assert!(!answer.body.contains(value), "the cookie is in the header alone");
    let far = humantime::parse_rfc3339(body["expires_at"].as_str().expect("told")).expect("a time");
    let left = far.duration_since(std::time::SystemTime::now()).expect("ahead");
    assert!((43_000..=43_200).contains(&left.as_secs()), "{left:?}");

    let behind_tls = post(&api, &key, &[&format!("Origin: https://{}", api.admin)]).await;
    assert!(behind_tls.head.contains("; max-age=43200; secure\r\n"), "{}", behind_tls.head);
}

#[tokio::test]
async fn the_cookie_reads_and_changes_and_a_page_that_is_loaded_anew_learns_its_csrf() {
    let api = Api::start();
    let page = Page::log_in(&api).await;
    assert_eq!(page.ask(&api, "GET", "/v1/status", &[], "").await.status, 200);
    let anew = page.ask(&api, "GET", "/v1/login", &[], "").await;
    assert_eq!(format!("X-CSRF-Token: {}", anew.json()["csrf"].as_str().expect("told")), page.csrf);
    let (path, body) = ("/v1/api-keys", r#"{"name":"n","scopes":["mint"]}"#);
    let origin = format!("Origin: http://{}", api.admin);
    for lines in [&[&*page.csrf][..], &[&page.csrf, &origin]] {
        assert_eq!(page.ask(&api, "POST", path, lines, body).await.status, 201, "{lines:?}");
    }
}

#[tokio::test]
async fn a_change_without_the_csrf_or_from_a_foreign_page_is_refused_and_changes_nothing() {
    let api = Api::start();
    let (page, other) = (Page::log_in(&api).await, Page::log_in(&api).await);
    let keys = api.services.keys.load().len();
    let (path, body) = ("/v1/api-keys", r#"{"name":"n","scopes":["mint"]}"#);
    for lines in [&[][..], &["X-CSRF-Token:"], &["X-CSRF-Token: AAAA"], &[&other.csrf]] {
        let refused = page.ask(&api, "POST", path, lines, body).await;
        assert_eq!((refused.status, &*code(&refused)), (403, "csrf"), "{lines:?}");
    }
    let elsewhere = format!("Origin: http://127.0.0.1:{}", api.public.port());
    for line in ["Origin: https://evil.example", "Origin: null", &elsewhere, "Sec-Fetch-Site: same-site"] {
        for (method, path) in [("POST", path), ("GET", path), ("DELETE", "/v1/login")] {
            let refused = page.ask(&api, method, path, &[&page.csrf, line], body).await;
            assert_eq!((refused.status, &*code(&refused)), (403, "foreign_origin"), "{method} {line}");
        }
        let refused = post(&api, &api.key(&[Scope::Admin]), &[line]).await;
        assert_eq!((refused.status, &*code(&refused)), (403, "foreign_origin"), "{line}");
        assert!(!refused.head.contains("set-cookie"), "{}", refused.head);
    }
    assert_eq!(api.services.keys.load().len(), keys + 4, "those that this test made itself");
}

#[tokio::test]
async fn a_key_that_is_wrong_or_lacks_admin_gives_no_cookie() {
    let api = Api::start();
    let user = token("alice");
    for key in ["tsk_AAAA", "x", &user] {
        let refused = post(&api, key, &[]).await;
        assert_eq!((refused.status, &*code(&refused)), (401, "unauthorized"), "{key}");
        assert!(!refused.head.contains("set-cookie") && !refused.body.contains(key), "{}", refused.body);
    }
    for scopes in [&[Scope::Read][..], &[Scope::Mint], &[Scope::Read, Scope::Mint]] {
        let refused = post(&api, &api.key(scopes), &[]).await;
        let said = refused.json();
        assert_eq!((refused.status, said["field"].as_str()), (403, Some("key")));
        assert!(said["message"].as_str().expect("said").contains("`admin`"), "{said}");
        assert!(!refused.head.contains("set-cookie"), "{}", refused.head);
    }
    for (body, field) in [("", "key"), (r#"{"key":1}"#, "key"), (r#"{"key":"tsk_","user":"u"}"#, "user")] {
        let refused = ask(api.admin, "POST", "/v1/login", &[], body).await;
        assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)), "{body}");
    }
}

#[tokio::test]
async fn too_many_wrong_keys_of_a_source_are_refused_and_the_right_one_is_not() {
    let api = Api::start();
    let settings = MintSettings { per_source: Some(1), ..super::super::testing::mint_settings() };
    api.services.minting.store(Arc::new(Minting::new(&settings)));
    let mut refused = post(&api, "tsk_AAAA", &[]).await;
    for _ in 0..100 {
        if refused.status == 429 {
            break;
        }
        refused = post(&api, "tsk_AAAA", &[]).await;
    }
    assert_eq!((refused.status, &*code(&refused)), (429, "rate_limited"));
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    assert_eq!(post(&api, &api.key(&[Scope::Admin]), &[]).await.status, 200);
}

#[tokio::test]
async fn a_session_ends_with_its_key_at_once() {
    let api = Api::start();
    let page = Page::log_in(&api).await;
    let id = api.services.keys.load().iter().next().expect("one").id.to_string();
    assert_eq!(api.local("DELETE", &format!("/v1/api-keys/{id}"), "").await.status, 204);
    for path in ["/v1/status", "/v1/login"] {
        let refused = page.ask(&api, "GET", path, &[], "").await;
        assert_eq!((refused.status, &*code(&refused)), (401, "logged_out"), "{path}");
    }
}

#[tokio::test]
async fn who_logs_out_has_no_cookie_any_more_and_one_that_was_copied_is_of_no_use() {
    let api = Api::start();
    let page = Page::log_in(&api).await;
    assert_eq!(page.ask(&api, "DELETE", "/v1/login", &[], "").await.status, 403);
    let out = page.ask(&api, "DELETE", "/v1/login", &[&page.csrf], "").await;
    assert_eq!(out.status, 204, "{}", out.body);
    let gone = format!("set-cookie: turnstone_session_{}=; ", api.admin.port());
    assert!(out.head.contains(&gone), "{}", out.head);
    assert!(out.head.contains("; max-age=0"), "{}", out.head);
    let refused = page.ask(&api, "GET", "/v1/status", &[], "").await;
    assert_eq!((refused.status, &*code(&refused)), (401, "logged_out"));
    let nobody = ask(api.admin, "GET", "/v1/login", &[], "").await;
    assert_eq!((nobody.status, &*code(&nobody)), (401, "logged_out"));
}

#[tokio::test]
async fn the_cookie_is_good_on_the_admin_side_alone_and_a_key_goes_before_it() {
    let api = Api::start();
    let page = Page::log_in(&api).await;
    let (body, lines) = (r#"{"user":"alice"}"#, [&*page.cookie, &*page.csrf]);
    assert_eq!(ask(api.public, "POST", "/v1/ice-servers", &lines, body).await.status, 401);
    assert_eq!(ask(api.public, "POST", "/v1/login", &[], "").await.status, 404);
    assert_eq!(ask(api.socket, "POST", "/v1/login", &[], "").await.status, 404);
    let mint = bearer(&api.key(&[Scope::Mint]));
    assert_eq!(page.ask(&api, "GET", "/v1/status", &[&mint], "").await.status, 403);
    let wrong = page.ask(&api, "GET", "/v1/status", &["Authorization: Bearer tsk_AAAA"], "").await;
    assert_eq!((wrong.status, &*code(&wrong)), (401, "unauthorized"));
    // Another path's cookie of the same name may come first.
    let ours = &page.cookie["Cookie: a=b; ".len()..];
    let name = ours.split_once('=').expect("a name").0;
    let two = format!("Cookie: {}{ours}", format!("{name}=stale; ").repeat(9));
    assert_eq!(ask(api.admin, "GET", "/v1/status", &[&two], "").await.status, 200);
}

#[tokio::test]
async fn events_end_when_the_person_who_reads_them_logs_out() {
    let api = Api::start();
    let page = Page::log_in(&api).await;
    let cookie = page.cookie.strip_prefix("Cookie: ").expect("a cookie");
    let mut headers = HeaderMap::new();
    headers.insert(header::COOKIE, cookie.parse().expect("a cookie"));
    headers.insert(header::HOST, api.admin.to_string().parse().expect("a host"));
    let caller = Caller::by_cookie(&api.services, &Method::GET, &headers);
    let caller = caller.expect("a cookie").expect("a session");
    assert!(caller.is_good(&api.services));
    assert_eq!(page.ask(&api, "DELETE", "/v1/login", &[&page.csrf], "").await.status, 204);
    assert!(!caller.is_good(&api.services));
}
