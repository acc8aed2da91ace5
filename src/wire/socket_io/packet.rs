//! Reading the text of one packet.

use super::arguments::{Arguments, NamedArguments};
use super::{ATTACHMENTS_MAX, Malformed, placeholder};
use crate::wire::json::{DEPTH_MAX, INTEGER_MAX, check_depth, optional_text};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// The longest namespace that is read, with its slash and without its query.
pub const NAMESPACE_BYTES_MAX: usize = 255;

/// Names of events that libraries raise themselves; a handler must not be made to believe that they did.
const RESERVED_NAMES: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// With its slash, without a query.
    pub namespace: &'a str,
    /// The rest.
    pub content: Content<'a>,
}

/// A packet without its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// It would like to join the namespace.
    Connect {
        /// What it says about itself: a JSON object. [`Auth`] reads what we know of it.
        auth: Option<&'a str>,
    },
    /// It leaves the namespace.
    Disconnect,
    /// Something happened.
    Event {
        /// The number that the answer is to bear, below 2^53.
        id: Option<u64>,
        /// What happened.
        name: Cow<'a, str>,
        /// All that follows the name.
        arguments: Arguments<'a>,
    },
    /// The answer to an event of ours.
    Ack {
        /// The number of that event.
        id: u64,
        /// What it says.
        arguments: Arguments<'a>,
    },
}

/// Reads a text. Returns with it how many binary messages follow.
///
/// # Errors
/// All but those about what came before.
pub(super) fn decode(text: &str) -> Result<(Packet<'_>, usize), Malformed> {
    let (kind, rest) = text.split_at_checked(1).ok_or(Malformed::PacketType)?;
    let (attachments, rest) = match kind {
        "5" | "6" => decode_attachments(rest)?,
        _ => (0, rest),
    };
    let (namespace, rest) = decode_namespace(rest)?;
    let (id, payload) = decode_id(rest)?;
    check_depth(payload, DEPTH_MAX).map_err(|_| Malformed::TooDeep)?;
    let content = match (kind, id) {
        ("0", None) => Content::Connect { auth: decode_auth(payload)? },
        ("1", None) if payload.is_empty() => Content::Disconnect,
        ("1", None) => return Err(Malformed::Payload),
        ("2" | "5", _) => decode_event(id, payload)?,
        ("3" | "6", Some(id)) => Content::Ack { id, arguments: Arguments::decode(payload)? },
        ("0" | "1" | "3" | "6", _) => return Err(Malformed::AckId),
        _ => return Err(Malformed::PacketType),
    };
    if attachments > 0 {
        placeholder::check(payload, attachments)?;
    }
    Ok((Packet { namespace, content }, attachments))
}

/// `2-`
fn decode_attachments(text: &str) -> Result<(usize, &str), Malformed> {
    let (digits, rest) = text.split_once('-').ok_or(Malformed::Attachments)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed::Attachments);
    }
    // What overflows is too many, too.
    match digits.parse() {
        Ok(count) if count <= ATTACHMENTS_MAX => Ok((count, rest)),
        _ => Err(Malformed::TooManyAttachments),
    }
}

/// `/chat?token=..,` up to the comma, or up to the end of a packet that has nothing else.
fn decode_namespace(text: &str) -> Result<(&str, &str), Malformed> {
    if !text.starts_with('/') {
        return Ok(("/", text));
    }
    let (namespace, rest) = text.split_once(',').unwrap_or((text, ""));
    let namespace = namespace.split_once('?').map_or(namespace, |(path, _)| path);
    // Without a comma a payload looks like a part of the namespace.
    let is_foreign = |byte: u8| byte.is_ascii_control() || matches!(byte, b'[' | b'{' | b'"');
    if namespace.len() > NAMESPACE_BYTES_MAX || namespace.bytes().any(is_foreign) {
        return Err(Malformed::Namespace);
    }
    Ok((namespace, rest))
}

/// All digits in front of the payload.
fn decode_id(text: &str) -> Result<(Option<u64>, &str), Malformed> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok((None, text));
    }
    let (digits, payload) = text.split_at(digits);
    match digits.parse() {
        Ok(id) if id <= INTEGER_MAX => Ok((Some(id), payload)),
        _ => Err(Malformed::AckId),
    }
}

fn decode_auth(payload: &str) -> Result<Option<&str>, Malformed> {
    if payload.is_empty() {
        return Ok(None);
    }
    if !payload.starts_with('{') {
        return Err(Malformed::Payload);
    }
    serde_json::from_str::<IgnoredAny>(payload).map_err(|_| Malformed::Payload)?;
    Ok(Some(payload))
}

fn decode_event(id: Option<u64>, payload: &str) -> Result<Content<'_>, Malformed> {
    let NamedArguments { name, arguments } = NamedArguments::decode(payload)?;
    if RESERVED_NAMES.contains(&&*name) {
        return Err(Malformed::ReservedName);
    }
    Ok(Content::Event { id, name, arguments })
}

/// What a client may say when it connects; what else is there is the application's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Auth<'a> {
    /// Who it is.
    #[serde(borrow, deserialize_with = "optional_text")]
    pub token: Option<Cow<'a, str>>,
    /// The private id of the session that it would like to go on with.
    #[serde(borrow, deserialize_with = "optional_text")]
    pub pid: Option<Cow<'a, str>>,
    /// The offset of the last event that it has seen of that session.
    #[serde(borrow, deserialize_with = "optional_text")]
    pub offset: Option<Cow<'a, str>>,
    /// What it calls its device.
    #[serde(borrow, rename = "deviceId", alias = "device", deserialize_with = "optional_text")]
    pub device: Option<Cow<'a, str>>,
}

impl<'a> Auth<'a> {
    /// Reads the payload of a CONNECT.
    ///
    /// # Errors
    /// `Payload` when a member that we know is no string.
    pub fn decode(auth: &'a str) -> Result<Self, Malformed> {
        serde_json::from_str(auth).map_err(|_| Malformed::Payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content<'_> {
        let (packet, attachments) = decode(text).unwrap();
        assert_eq!((packet.namespace, attachments), ("/", 0), "{text}");
        packet.content
    }

    fn event<'a>(text: &'a str) -> (Option<u64>, Cow<'a, str>, Vec<&'a str>) {
        match content(text) {
            Content::Event { id, name, arguments } => (id, name, arguments.iter().collect()),
            other => panic!("{other:?}"),
        }
    }

    fn refusal(text: &str) -> Malformed {
        match decode(text) {
            Err(malformed) => malformed,
            Ok(found) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn connecting_says_nothing_or_an_object() {
        assert_eq!(content("0"), Content::Connect { auth: None });
        assert_eq!(content(r#"0{"token":"123"}"#), Content::Connect { auth: Some(r#"{"token":"123"}"#) });
        for text in ["0[]", "0\"a\"", "0null", "0{", "0{}x", "0{\"a\":}", "0abc"] {
            assert_eq!(refusal(text), Malformed::Payload, "{text}");
        }
        assert_eq!(refusal("05{}"), Malformed::AckId);
    }

    #[test]
    fn disconnecting_says_nothing() {
        assert_eq!(content("1"), Content::Disconnect);
        assert_eq!(refusal("1{}"), Malformed::Payload);
        assert_eq!(refusal("17"), Malformed::AckId);
    }

    #[test]
    fn an_event_has_a_name_and_any_number_of_arguments() {
        assert_eq!(event(r#"2["a"]"#), (None, "a".into(), vec![]));
        assert_eq!(event(r#"2["a",{"b":[1,2]}]"#), (None, "a".into(), vec![r#"{"b":[1,2]}"#]));
        assert_eq!(
            event(r#"2456["message",1,"2,]",{"3":[true]}]"#),
            (Some(456), "message".into(), vec!["1", r#""2,]""#, r#"{"3":[true]}"#])
        );
        assert_eq!(event(" 2[\"a\"]".trim_start()), (None, "a".into(), vec![]));
    }

    #[test]
    fn a_name_is_borrowed_unless_it_has_escapes() {
        let (_, plain, _) = event(r#"2["call:start"]"#);
        assert!(matches!(plain, Cow::Borrowed("call:start")));
        let (_, escaped, _) = event(r#"2["call:\u0073tart\n"]"#);
        assert_eq!(escaped, "call:start\n");
    }

    #[test] // security S8
    fn an_event_that_is_no_array_with_a_name_is_refused() {
        for text in [
            "2",
            "2{}",
            "2[{}]",
            "2[\"x\"",
            "2[]",
            "2[1]",
            "2[null,1]",
            "2\"x\"",
            "2[\"x\"]]",
            "2[\"x\",]",
            "2[\"x\" 1]",
            "2[\"x\"]y",
            "2abc[\"x\"]",
            "2-1[\"x\"]",
            "2[\"\\ud800\"]",
            "2[\"a\nb\"]",
            "2 [\"x\"]",
            "2[\"x\",01]",
        ] {
            assert_eq!(refusal(text), Malformed::Payload, "{text}");
        }
    }

    #[test]
    fn names_that_libraries_raise_themselves_are_refused() {
        for name in RESERVED_NAMES {
            assert_eq!(refusal(&format!("2[\"{name}\"]")), Malformed::ReservedName);
        }
        assert_eq!(refusal(r#"2["\u0063onnect",1]"#), Malformed::ReservedName);
        assert_eq!(event(r#"2["Connect"]"#).1, "Connect");
    }

    #[test]
    fn an_answer_has_a_number_and_an_array() {
        let Content::Ack { id: 456, arguments } = content("3456[1,\"2\"]") else { panic!("no answer") };
        assert_eq!(arguments.iter().collect::<Vec<_>>(), ["1", "\"2\""]);
        let Content::Ack { id: 0, arguments } = content("30[]") else { panic!("no answer") };
        assert_eq!(arguments.iter().count(), 0);
        assert_eq!(refusal("3[]"), Malformed::AckId);
        for text in ["37", "37{}", "37[", "37[,]"] {
            assert_eq!(refusal(text), Malformed::Payload, "{text}");
        }
    }

    #[test]
    fn what_a_client_does_not_send_is_refused() {
        for text in ["", "4", "4{\"message\":\"x\"}", "4/a,", "7", "9[]", "abc", "é", "[\"x\"]"] {
            assert_eq!(refusal(text), Malformed::PacketType, "{text}");
        }
    }

    #[test]
    fn a_namespace_ends_at_its_comma_and_its_query_does_not_count() {
        for (text, namespace) in [
            ("0", "/"),
            ("0/,", "/"),
            ("0/admin,", "/admin"),
            ("0/admin", "/admin"),
            ("0/admin?token=1234&uid=abcd,{}", "/admin"),
            ("0/admin?a[]=\"1\"", "/admin"),
            ("1/admin,", "/admin"),
            ("2/admin,12[\"x\",\"/b,\"]", "/admin"),
        ] {
            assert_eq!(decode(text).unwrap().0.namespace, namespace, "{text}");
        }
    }

    #[test]
    fn a_namespace_without_its_comma_does_not_swallow_the_payload() {
        for text in
            ["2/admin[\"x\"]", "2/admin12[\"x\",1]", "0/admin{\"token\":\"x\"}", "0/a\u{1e}b,", "0/a\"b,"]
        {
            assert_eq!(refusal(text), Malformed::Namespace, "{text}");
        }
        assert_eq!(refusal("2/admin"), Malformed::Payload);
        let long = |bytes| format!("0/{},", "a".repeat(bytes - 1));
        assert!(decode(&long(NAMESPACE_BYTES_MAX)).is_ok());
        assert_eq!(refusal(&long(NAMESPACE_BYTES_MAX + 1)), Malformed::Namespace);
    }

    #[test]
    fn a_number_that_is_not_exact_everywhere_is_refused() {
        assert_eq!(event(r#"29007199254740991["x"]"#).0, Some(INTEGER_MAX));
        for digits in ["9007199254740992", "18446744073709551616", &"9".repeat(1000)] {
            assert_eq!(refusal(&format!("2{digits}[\"x\"]")), Malformed::AckId);
        }
    }

    #[test] // security S8
    fn a_number_of_attachments_is_there_and_at_most_ten() {
        let packet = |count: &str| format!("5{count}-[\"x\"]");
        assert_eq!(decode(&packet("0")).unwrap().1, 0);
        assert_eq!(decode(&packet("10")).unwrap().1, 10);
        for count in ["11", "999999999", "5999999999", "99999999999999999999999999"] {
            assert_eq!(refusal(&packet(count)), Malformed::TooManyAttachments);
        }
        assert_eq!(refusal("5999999999-[\"x\"]"), Malformed::TooManyAttachments);
        for text in
            ["5", "5[\"x\"]", "5-[\"x\"]", "5+1-[\"x\"]", "51.0-[\"x\"]", "51[\"x\"]", "5 1-[\"x\"]", "6[]"]
        {
            assert_eq!(refusal(text), Malformed::Attachments, "{text}");
        }
    }

    #[test]
    fn attachments_come_in_front_of_namespace_and_number() {
        let (packet, attachments) = decode(r#"51-/admin,456["x",{"_placeholder":true,"num":0}]"#).unwrap();
        assert_eq!((packet.namespace, attachments), ("/admin", 1));
        assert!(matches!(packet.content, Content::Event { id: Some(456), .. }));
        let (packet, attachments) = decode(r#"61-456[{"_placeholder":true,"num":0}]"#).unwrap();
        assert_eq!(attachments, 1);
        assert!(matches!(packet.content, Content::Ack { id: 456, .. }));
        assert_eq!(refusal("61-[]"), Malformed::AckId);
    }

    #[test] // security S13
    fn depth_is_limited_and_the_array_of_an_event_counts() {
        let nested = |levels| format!("2[\"x\",{}{}]", "[".repeat(levels), "]".repeat(levels));
        assert!(decode(&nested(31)).is_ok());
        assert_eq!(refusal(&nested(32)), Malformed::TooDeep);
        assert_eq!(refusal(&format!("2{}", "[".repeat(100_000))), Malformed::TooDeep);
        assert_eq!(refusal(&format!("0{}", "{\"a\":".repeat(100_000))), Malformed::TooDeep);
    }

    #[test] // security S13
    fn payloads_pass_as_they_came() {
        let odd = r#"{"a":1,"a":2,"__proto__":{"x":1},"b":"\ud800","c":1e999}"#;
        assert_eq!(event(&format!("2[\"x\",{odd}]")).2, [odd]);
    }

    #[test]
    fn what_we_know_of_an_auth_object_is_read_and_the_rest_left_alone() {
        let auth = r#"{"token":"a.b.c","pid":"P","offset":"E.7","deviceId":"phone","role":[1,{}]}"#;
        let found = Auth::decode(auth).unwrap();
        let wanted = Auth {
            token: Some("a.b.c".into()),
            pid: Some("P".into()),
            offset: Some("E.7".into()),
            device: Some("phone".into()),
        };
        assert_eq!(found, wanted);
        assert!(matches!(found.token, Some(Cow::Borrowed(_))));
        assert_eq!(Auth::decode("{}"), Ok(Auth::default()));
        assert_eq!(Auth::decode(r#"{"token":null,"device":"d"}"#).unwrap().device, Some("d".into()));
        for auth in [r#"{"token":7}"#, r#"{"token":"a","token":"b"}"#, r#"{"pid":{}}"#] {
            assert_eq!(Auth::decode(auth), Err(Malformed::Payload), "{auth}");
        }
    }
}
