//! The plain wire, WebSocket subprotocol `turnstone.v1.json`: one JSON object a message.
//!
//! ```text
//! client                                                    server
//! {"hello":{"token":..,"resume":{..},"caps":[..]}}   ->
//!                                                    <-     {"welcome":{"session":..,"pid":..,..}}
//!                                                           {"error":{"code":..,"message":..}}
//! {"id":7,"ev":"call:start","data":{..}}             ->
//!                                                    <-     {"re":7,"ok":true,"data":{..}}
//!                                                           {"re":7,"ok":false,"code":..,"message":..}
//!                                                    <-     {"ev":"call:incoming","data":{..},"seq":"E.9"}
//! ```
//! Members that are not known are left alone, so that either side can be the newer one; a known one that is there
//! twice is refused. What `data` holds stays text.

use super::json::{self, DEPTH_MAX, INTEGER_MAX, Refused, Text, check_depth};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The longest token that is read.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// How many abilities a hello may list.
pub const CAPS_MAX: usize = 32;

/// Why a message is not of the protocol: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not JSON, or not of the shape above.
    Shape,
    /// Deeper than [`DEPTH_MAX`].
    TooDeep,
    /// A token longer than [`TOKEN_BYTES_MAX`].
    TokenTooLong,
}

impl Malformed {
    /// What to tell the client's developer, with the form of a first message or of a later one.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Shape => {
                "the first message has to be {\"hello\":{\"token\":\"..\"}}, and each later one \
                 {\"id\":7,\"ev\":\"name\",\"data\":{..}}, of which only `ev` is a must"
            }
            Self::TooDeep => "arrays and objects may lie in each other 32 deep",
            Self::TokenTooLong => "a token may have 8192 bytes",
        }
    }
}

/// The first message of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hello<'a> {
    /// Who it is; absent when the token came with the handshake.
    #[serde(borrow, deserialize_with = "json::optional_text")]
    pub token: Option<Cow<'a, str>>,
    /// The session that it would like to go on with.
    #[serde(borrow)]
    pub resume: Option<Resume<'a>>,
    /// What it can do; at most [`CAPS_MAX`].
    #[serde(borrow, deserialize_with = "caps")]
    pub caps: Vec<Cow<'a, str>>,
    /// What it calls its device.
    #[serde(borrow, deserialize_with = "json::optional_text")]
    pub device: Option<Cow<'a, str>>,
}

/// A session to go on with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Resume<'a> {
    /// Its private id, from the welcome.
    #[serde(borrow)]
    pub pid: Cow<'a, str>,
    /// The `seq` of the last event that the client has seen.
    #[serde(borrow, default)]
    pub offset: Cow<'a, str>,
}

/// Every later message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The number that the answer is to bear, below 2^53. Without one there is no answer.
    pub id: Option<u64>,
    /// What happened.
    pub event: Cow<'a, str>,
    /// One JSON value as it came; `null` when there was none.
    pub data: &'a str,
}

impl<'a> Hello<'a> {
    /// Reads the first message.
    ///
    /// # Errors
    /// The client is told ([`refuse`]) and the connection ends.
    pub fn decode(text: &'a str) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow)]
            hello: Hello<'a>,
        }
        let Message { hello } = decode(text)?;
        match &hello.token {
            Some(token) if token.len() > TOKEN_BYTES_MAX => Err(Malformed::TokenTooLong),
            _ => Ok(hello),
        }
    }
}

impl<'a> Request<'a> {
    /// Reads a later message.
    ///
    /// # Errors
    /// The connection ends.
    pub fn decode(text: &'a str) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Message<'a> {
            id: Option<u64>,
            #[serde(borrow)]
            ev: Cow<'a, str>,
            #[serde(borrow)]
            data: Option<&'a RawValue>,
        }
        let Message { id, ev, data } = decode(text)?;
        if id.is_some_and(|id| id > INTEGER_MAX) {
            return Err(Malformed::Shape);
        }
        Ok(Self { id, event: ev, data: data.map_or("null", RawValue::get) })
    }
}

fn decode<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    check_depth(text, DEPTH_MAX).map_err(|_| Malformed::TooDeep)?;
    // An array with the members in order would pass for a struct.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Malformed::Shape);
    }
    serde_json::from_str(text).map_err(|_| Malformed::Shape)
}

/// A list that is not read beyond its limit.
fn caps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Cow<'de, str>>, D::Error> {
    struct Caps;

    impl<'de> Visitor<'de> for Caps {
        type Value = Vec<Cow<'de, str>>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "at most {CAPS_MAX} names")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            let mut caps = Vec::new();
            while let Some(Text(cap)) = array.next_element()? {
                if caps.len() == CAPS_MAX {
                    return Err(A::Error::invalid_length(CAPS_MAX + 1, &self));
                }
                caps.push(cap);
            }
            Ok(caps)
        }
    }

    deserializer.deserialize_seq(Caps)
}

/// What a client hears when it is let in.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Welcome<'a> {
    /// The public id of its session.
    pub session: &'a str,
    /// Who it is.
    pub user: &'a str,
    /// Its device.
    pub device: &'a str,
    /// The private id: with it, and the token, the session can be gone on with.
    pub pid: &'a str,
    /// It goes on: every event that it missed follows.
    pub recovered: bool,
    /// The server sends a WebSocket ping this often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_interval_ms: Option<u64>,
    /// Bytes of the largest message that is taken.
    pub max_message: usize,
}

/// Appends the answer to a hello that is good.
pub fn welcome(out: &mut Vec<u8>, welcome: &Welcome<'_>) {
    out.extend_from_slice(b"{\"welcome\":");
    json::write(out, welcome);
    out.push(b'}');
}

/// Appends the answer to a hello that is not; the connection is closed behind it.
pub fn refuse(out: &mut Vec<u8>, refused: &Refused<'_>) {
    out.extend_from_slice(b"{\"error\":");
    json::write(out, refused);
    out.push(b'}');
}

/// Appends the answer to request `id`.
///
/// `result`: one JSON value, or why not.
pub fn answer(out: &mut Vec<u8>, id: u64, result: Result<&str, &Refused<'_>>) {
    out.extend_from_slice(b"{\"re\":");
    json::write_number(out, id);
    match result {
        Ok(data) => {
            out.extend_from_slice(b",\"ok\":true,\"data\":");
            out.extend_from_slice(data.as_bytes());
            out.push(b'}');
        }
        Err(refused) => {
            out.extend_from_slice(b",\"ok\":false");
            json::write_members(out, refused);
        }
    }
}

/// Appends an event.
///
/// `data`: one JSON value. `seq`: what a client that comes back gives as `offset`.
pub fn push(out: &mut Vec<u8>, event: &str, data: &str, seq: Option<&str>) {
    out.extend_from_slice(b"{\"ev\":");
    json::write(out, event);
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(data.as_bytes());
    if let Some(seq) = seq {
        out.extend_from_slice(b",\"seq\":");
        json::write(out, seq);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fill: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        fill(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_hello_may_say_much_or_nothing() {
        let full = r#"{"hello":{"token":"a.b","resume":{"pid":"P","offset":"E.7"},"caps":["glare","r\u0065port"],"device":"phone"}}"#;
        let wanted = Hello {
            token: Some("a.b".into()),
            resume: Some(Resume { pid: "P".into(), offset: "E.7".into() }),
            caps: vec!["glare".into(), "report".into()],
            device: Some("phone".into()),
        };
        let found = Hello::decode(full).unwrap();
        assert_eq!(found, wanted);
        assert!(matches!((&found.token, &found.caps[0]), (Some(Cow::Borrowed(_)), Cow::Borrowed(_))));
        assert_eq!(Hello::decode(r#" {"hello":{}} "#), Ok(Hello::default()));
        let newer = r#"{"hello":{"token":null,"resume":null,"theme":{"a":[]}},"v":2}"#;
        assert_eq!(Hello::decode(newer), Ok(Hello::default()));
        let fresh = Hello::decode(r#"{"hello":{"resume":{"pid":"P"}}}"#).unwrap();
        assert_eq!(fresh.resume, Some(Resume { pid: "P".into(), offset: "".into() }));
    }

    #[test]
    fn what_is_no_hello_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            "null",
            "7",
            "{\"hello\":7}",
            "{\"hello\":{}",
            "{\"hello\":{}}}",
            r#"{"ev":"x"}"#,
            r#"{"hello":{"token":7}}"#,
            r#"{"hello":{"resume":{"offset":"E.7"}}}"#,
            r#"{"hello":{"resume":"P"}}"#,
            r#"{"hello":{"caps":"glare"}}"#,
            r#"{"hello":{"caps":[7]}}"#,
            r#"[{"token":"x"}]"#,
        ] {
            assert_eq!(Hello::decode(text), Err(Malformed::Shape), "{text}");
        }
    }

    #[test] // security S1
    fn a_token_has_a_limit() {
        let hello = |bytes: usize| format!("{{\"hello\":{{\"token\":\"{}\"}}}}", "a".repeat(bytes));
        assert!(Hello::decode(&hello(TOKEN_BYTES_MAX)).is_ok());
        assert_eq!(Hello::decode(&hello(TOKEN_BYTES_MAX + 1)), Err(Malformed::TokenTooLong));
    }

    #[test]
    fn a_list_of_abilities_has_a_limit() {
        let hello = |count: usize| format!("{{\"hello\":{{\"caps\":[{}]}}}}", vec!["\"a\""; count].join(","));
        assert_eq!(Hello::decode(&hello(CAPS_MAX)).unwrap().caps.len(), CAPS_MAX);
        assert_eq!(Hello::decode(&hello(CAPS_MAX + 1)), Err(Malformed::Shape));
    }

    #[test]
    fn a_request_has_an_event_and_perhaps_a_number_and_data() {
        let full = r#"{"id":7,"ev":"call:start","data":{"to":"bob","n":[1, 2]}}"#;
        let wanted = Request { id: Some(7), event: "call:start".into(), data: r#"{"to":"bob","n":[1, 2]}"# };
        let found = Request::decode(full).unwrap();
        assert_eq!(found, wanted);
        assert!(matches!(found.event, Cow::Borrowed(_)));
        let wanted = Request { id: None, event: "a\"b".into(), data: "null" };
        assert_eq!(Request::decode(r#"{"ev":"a\"b"}"#).as_ref(), Ok(&wanted));
        assert_eq!(Request::decode(r#"{"data":null,"ev":"a\"b","id":null,"t":1}"#).as_ref(), Ok(&wanted));
        assert_eq!(Request::decode(r#"{"ev":"x","data":"7"}"#).unwrap().data, "\"7\"");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "7",
            r#"{"ev":7}"#,
            r#"{"ev":null}"#,
            r#"{"ev":"x","data":}"#,
            r#"{"ev":"x"}}"#,
            r#"{"ev":"x","id":-1}"#,
            r#"{"ev":"x","id":1.0}"#,
            r#"{"ev":"x","id":"7"}"#,
            r#"["x"]"#,
            r#"[7,"x",{}]"#,
            r#"{"ev":"x","id":9007199254740992}"#,
            r#"{"hello":{}}"#,
        ] {
            assert_eq!(Request::decode(text), Err(Malformed::Shape), "{text}");
        }
        assert_eq!(Request::decode(r#"{"ev":"x","id":9007199254740991}"#).unwrap().id, Some(INTEGER_MAX));
    }

    #[test] // security S13
    fn a_known_member_that_is_there_twice_is_refused() {
        for text in
            [r#"{"ev":"x","ev":"y"}"#, r#"{"ev":"x","data":1,"data":2}"#, r#"{"id":1,"ev":"x","\u0069d":2}"#]
        {
            assert_eq!(Request::decode(text), Err(Malformed::Shape), "{text}");
        }
        let twice = r#"{"hello":{"token":"a","token":"b"}}"#;
        assert_eq!(Hello::decode(twice), Err(Malformed::Shape));
    }

    #[test] // security S13
    fn depth_is_limited_and_odd_data_passes_as_it_came() {
        let nested =
            |levels| format!("{{\"ev\":\"x\",\"data\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(Request::decode(&nested(31)).is_ok());
        assert_eq!(Request::decode(&nested(32)), Err(Malformed::TooDeep));
        assert_eq!(Hello::decode(&"[".repeat(100_000)), Err(Malformed::TooDeep));
        let odd = r#"{"a":1,"a":2,"__proto__":{},"b":"\ud800"}"#;
        assert_eq!(Request::decode(&format!("{{\"ev\":\"x\",\"data\":{odd}}}")).unwrap().data, odd);
        assert_eq!(Request::decode(r#"{"ev":"\ud800"}"#), Err(Malformed::Shape));
    }

    #[test]
    fn a_welcome_says_who_the_client_is_and_what_it_may_send() {
        let mut body = Welcome {
            session: "S",
            user: "alice",
            device: "phone",
            pid: "P",
            recovered: false,
            ping_interval_ms: None,
            max_message: 65_536,
        };
        assert_eq!(
            text(|out| welcome(out, &body)),
            r#"{"welcome":{"session":"S","user":"alice","device":"phone","pid":"P","recovered":false,"max_message":65536}}"#
        );
        body.ping_interval_ms = Some(25_000);
        assert!(text(|out| welcome(out, &body)).contains(r#","ping_interval_ms":25000,"#));
    }

    #[test]
    fn a_refused_hello_says_why() {
        let refused = Refused { code: "unauthorized", message: "no \"token\"", retry_after_ms: None };
        assert_eq!(
            text(|out| refuse(out, &refused)),
            r#"{"error":{"code":"unauthorized","message":"no \"token\""}}"#
        );
    }

    #[test]
    fn an_answer_bears_the_number_of_its_request() {
        assert_eq!(
            text(|out| answer(out, 7, Ok(r#"{"id":"c"}"#))),
            r#"{"re":7,"ok":true,"data":{"id":"c"}}"#
        );
        let refused = Refused { code: "rate_limited", message: "slower", retry_after_ms: Some(250) };
        assert_eq!(
            text(|out| answer(out, 0, Err(&refused))),
            r#"{"re":0,"ok":false,"code":"rate_limited","message":"slower","retry_after_ms":250}"#
        );
    }

    #[test]
    fn a_push_bears_what_a_client_comes_back_with() {
        assert_eq!(text(|out| push(out, "x", "{}", Some("E.9"))), r#"{"ev":"x","data":{},"seq":"E.9"}"#);
        assert_eq!(text(|out| push(out, "a\"b", "null", None)), r#"{"ev":"a\"b","data":null}"#);
    }
}
