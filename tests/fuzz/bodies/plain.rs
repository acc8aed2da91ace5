//! Any text as a message of the plain wire, against `serde_json`'s tree.

use serde_json::{Map, Value, json};
use turnstone::wire::json::{DEPTH_MAX, INTEGER_MAX, Refused, check_depth};
use turnstone::wire::plain::{CAPS_MAX, Hello, Malformed, Request, TOKEN_BYTES_MAX, answer, push};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let tree = serde_json::from_str::<Value>(text).ok();
    check_hello(text, tree.as_ref());
    let found = Request::decode(text);
    match (&found, &tree) {
        (Ok(request), Some(Value::Object(members))) => check_request(request, members),
        (Ok(_), Some(other)) => panic!("{other} is no request"),
        // It builds no tree of half a surrogate pair, nor of numbers that are too large for it.
        (Ok(_), None) => assert!(text.contains(['u', 'e', 'E']) || text.len() > 300, "{text}"),
        (Err(malformed), Some(Value::Object(members))) => check_refused(text, *malformed, members),
        (Err(_), _) => {}
    }
    if let Ok(request) = found {
        check_written(&request);
    }
}

fn check_request(request: &Request<'_>, members: &Map<String, Value>) {
    assert_eq!(members["ev"], *request.event);
    assert_eq!(members.get("id").filter(|id| !id.is_null()).and_then(Value::as_u64), request.id);
    let data: Value = serde_json::from_str(request.data).unwrap();
    assert_eq!(members.get("data").unwrap_or(&Value::Null), &data);
}

/// There was a reason, unless a member may be there twice, which the tree does not tell.
fn check_refused(text: &str, malformed: Malformed, members: &Map<String, Value>) {
    let may_be_twice = text.contains("\\u")
        || ["\"id\"", "\"ev\"", "\"data\""].iter().any(|key| text.matches(key).count() > 1);
    let id_is_good =
        members.get("id").is_none_or(|id| id.is_null() || id.as_u64().is_some_and(|id| id <= INTEGER_MAX));
    let is_good = id_is_good && members.get("ev").is_some_and(Value::is_string);
    match malformed {
        Malformed::Shape => assert!(!is_good || may_be_twice, "{text}"),
        Malformed::TooDeep => assert!(check_depth(text, DEPTH_MAX).is_err()),
        Malformed::TokenTooLong => panic!("a request has no token"),
    }
}

fn check_hello(text: &str, tree: Option<&Value>) {
    let Ok(hello) = Hello::decode(text) else { return };
    assert!(hello.caps.len() <= CAPS_MAX);
    assert!(hello.token.as_ref().is_none_or(|token| token.len() <= TOKEN_BYTES_MAX));
    let Some(tree) = tree else { return };
    let said = &tree["hello"];
    assert_eq!(hello.token.as_deref(), said["token"].as_str());
    assert_eq!(hello.device.as_deref(), said["device"].as_str());
    assert_eq!(hello.resume.as_ref().map(|resume| &*resume.pid), said["resume"]["pid"].as_str());
    assert_eq!(hello.caps.len(), said["caps"].as_array().map_or(0, Vec::len));
}

/// What is sent on with it is JSON of the shape that the page shows.
fn check_written(request: &Request<'_>) {
    let Ok(data) = serde_json::from_str::<Value>(request.data) else { return };
    let name = &*request.event;
    let mut out = Vec::new();
    push(&mut out, name, request.data, Some(name));
    assert_eq!(
        serde_json::from_slice::<Value>(&out).unwrap(),
        json!({"ev": name, "data": data, "seq": name})
    );
    let id = request.id.unwrap_or(0);
    out.clear();
    answer(&mut out, id, Ok(request.data));
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), json!({"re": id, "ok": true, "data": data}));
    out.clear();
    answer(&mut out, id, Err(&Refused { code: name, message: name, retry_after_ms: Some(id) }));
    let wanted = json!({"re": id, "ok": false, "code": name, "message": name, "retry_after_ms": id});
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), wanted);
}
