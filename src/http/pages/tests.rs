use super::*;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, StatusCode, header};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

/// Status, headers and body of one request.
async fn ask(method: &str, path: &str, tags: Option<&str>) -> (StatusCode, HeaderMap, String) {
    ask_of(sdk(), method, path, tags).await
}

async fn ask_of(
    routes: Router,
    method: &str,
    path: &str,
    tags: Option<&str>,
) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(tags) = tags {
        request = request.header(header::IF_NONE_MATCH, tags);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = TowerToHyperService::new(routes).call(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body").to_vec();
    (parts.status, parts.headers, String::from_utf8(body).expect("text"))
}

#[tokio::test]
async fn every_page_of_the_web_may_import_the_client() {
    let (status, headers, body) = ask("GET", "/sdk/turnstone.js", None).await;
    assert_eq!(status, StatusCode::OK);
    for (name, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("cache-control", "no-cache"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(headers.get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()), "{name}");
    }
    assert!(body.contains("export{"), "{body}");
}

#[tokio::test]
async fn its_types_are_beside_it() {
    let (status, headers, body) = ask("GET", "/sdk/turnstone.d.ts", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "application/typescript; charset=utf-8");
    assert!(body.contains("export interface Requests {"), "{body}");
}

#[tokio::test]
async fn who_has_a_file_hears_304_and_who_has_another_gets_it() {
    let (_, headers, whole) = ask("GET", "/sdk/turnstone.js", None).await;
    let tag = headers["etag"].to_str().expect("text").to_owned();
    let other = ask("GET", "/sdk/turnstone.d.ts", None).await.1["etag"].to_str().expect("text").to_owned();
    assert!(tag.len() == 34 && tag.starts_with('"') && tag != other, "{tag} {other}");
    for tags in [tag.clone(), format!("W/{tag}"), format!("{other}, {tag}"), "*".into()] {
        let (status, headers, body) = ask("GET", "/sdk/turnstone.js", Some(&tags)).await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{tags}");
        assert_eq!(headers["etag"], tag);
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["access-control-allow-origin"], "*");
    }
    for tags in [&*other, tag.trim_matches('"'), ""] {
        let (status, _, body) = ask("GET", "/sdk/turnstone.js", Some(tags)).await;
        assert_eq!((status, body == whole), (StatusCode::OK, true), "{tags}");
    }
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let (status, headers, body) = ask("HEAD", "/sdk/turnstone.js", None).await;
    let (_, of_get, whole) = ask("GET", "/sdk/turnstone.js", None).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""));
    assert_eq!(headers["etag"], of_get["etag"]);
    assert_eq!(headers["content-length"], whole.len().to_string());
}

#[tokio::test]
async fn the_dashboard_brings_its_policy_and_asks_for_files_of_ours_alone() {
    let (status, headers, page) = ask_of(dashboard(), "GET", "/", None).await;
    assert_eq!(
        (status, headers["content-type"].as_bytes()),
        (StatusCode::OK, &b"text/html; charset=utf-8"[..])
    );
    let policy = headers["content-security-policy"].to_str().expect("text");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.split("; ").any(|found| found == rule), "{rule} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let links = page.split(['"']).filter(|word| word.starts_with('/') || word.contains("://"));
    for link in links {
        let (status, headers, _) = ask_of(dashboard(), "GET", link, None).await;
        assert_eq!(
            (status, headers["cache-control"].as_bytes()),
            (StatusCode::OK, &b"no-cache"[..]),
            "{link}"
        );
    }
    for (file, words) in
        [("/assets/dashboard.js", "/v1/figures"), ("/assets/THIRD-PARTY.txt", "Leon Sorokin")]
    {
        let (status, headers, body) = ask_of(dashboard(), "GET", file, None).await;
        assert!(status == StatusCode::OK && body.contains(words), "{file}");
        assert!(!headers.contains_key("access-control-allow-origin"), "{file} is for our page alone");
    }
}
