//! The signaling wires against themselves and against `serde_json`: what is written is read as the same.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::borrow::Cow;
use turnstone::wire::engine_io::{self, Data, Packet};
use turnstone::wire::json::{DEPTH_MAX, INTEGER_MAX, Refused, check_depth};
use turnstone::wire::plain::{self, Request};
use turnstone::wire::socket_io::{Content, Decoder, Event, answer};

const BYTES_MAX: usize = 64 * 1024;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_polling_body_survives(messages in vec(message(), 1..20)) {
        let packets: Vec<_> = messages.iter().map(as_packet).collect();
        let mut body = Vec::new();
        for packet in &packets {
            engine_io::separate(&mut body);
            packet.encode(&mut body);
        }
        let body = String::from_utf8(body).unwrap();
        let read: Vec<_> = engine_io::payload(&body).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(read, packets);
    }

    #[test]
    fn an_event_survives_with_all_its_arguments(
        namespace in namespace(),
        id in option::of(0..=INTEGER_MAX),
        name in name(),
        arguments in vec(json(), 0..5),
        is_pretty in any::<bool>(),
    ) {
        let texts: Vec<_> = arguments.iter().map(|value| written(value, is_pretty)).collect();
        let slices: Vec<_> = texts.iter().map(String::as_str).collect();
        let event =
            Event { namespace: &namespace, id, name: &name, arguments: &slices, offset: None, attachments: 0 };
        let mut out = Vec::new();
        event.encode(&mut out);
        let text = String::from_utf8(out).unwrap();
        let packet = Decoder::default().on_text(&text, BYTES_MAX).unwrap().unwrap();
        prop_assert_eq!(packet.namespace, namespace);
        let Content::Event { id: read_id, name: read_name, arguments } = packet.content else {
            panic!("{text} is no event");
        };
        prop_assert_eq!((read_id, &*read_name), (id, &*name));
        prop_assert_eq!(arguments.iter().collect::<Vec<_>>(), slices);
    }

    #[test]
    fn an_event_with_attachments_is_whole_with_the_last_one(
        name in name(),
        attachments in vec(vec(any::<u8>(), 0..50), 1..=10),
    ) {
        let placeholders: Vec<_> =
            (0..attachments.len()).map(|num| json!({"_placeholder": true, "num": num}).to_string()).collect();
        let slices: Vec<_> = placeholders.iter().map(String::as_str).collect();
        let count = attachments.len();
        let event =
            Event { namespace: "/", id: None, name: &name, arguments: &slices, offset: None, attachments: count };
        let mut out = Vec::new();
        event.encode(&mut out);
        let mut decoder = Decoder::default();
        prop_assert_eq!(decoder.on_text(str::from_utf8(&out).unwrap(), BYTES_MAX), Ok(None));
        for attachment in &attachments[..count - 1] {
            prop_assert_eq!(decoder.on_binary(attachment, BYTES_MAX), Ok(None));
        }
        let whole = decoder.on_binary(&attachments[count - 1], BYTES_MAX).unwrap().unwrap();
        prop_assert_eq!(&whole.attachments, &attachments);
        let Content::Event { arguments, .. } = whole.packet().unwrap().content else { panic!("no event") };
        prop_assert_eq!(arguments.iter().collect::<Vec<_>>(), slices);
    }

    #[test]
    fn an_answer_is_an_object_that_says_whether_it_went_well(
        id in 0..=INTEGER_MAX,
        members in proptest::collection::btree_map("[a-n]{1,3}", json(), 0..4),
        code in name(),
        retry_after_ms in option::of(any::<u64>()),
    ) {
        let mut wanted = json!(members);
        let object = wanted.to_string();
        let refused = Refused { code: &code, message: &code, retry_after_ms };
        for result in [Ok(&*object), Err(&refused)] {
            let mut out = Vec::new();
            answer(&mut out, "/", id, result);
            let text = String::from_utf8(out).unwrap();
            let packet = Decoder::default().on_text(&text, BYTES_MAX).unwrap().unwrap();
            let Content::Ack { id: read_id, arguments } = packet.content else { panic!("{text} is no answer") };
            prop_assert_eq!(read_id, id);
            let found: Vec<Value> = arguments.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
            if result.is_err() {
                wanted = json!({"code": code, "message": code});
                retry_after_ms.inspect(|ms| wanted["retry_after_ms"] = (*ms).into());
            }
            wanted["ok"] = result.is_ok().into();
            prop_assert_eq!(found, std::slice::from_ref(&wanted));
        }
    }

    #[test]
    fn a_plain_request_survives(
        id in option::of(0..=INTEGER_MAX),
        name in name(),
        data in json(),
        is_pretty in any::<bool>(),
    ) {
        let text = written(&json!({"id": id, "ev": name, "data": data}), is_pretty);
        let request = Request::decode(&text).unwrap();
        prop_assert_eq!((request.id, &*request.event), (id, &*name));
        prop_assert_eq!(serde_json::from_str::<Value>(request.data).unwrap(), data.clone());
        let mut out = Vec::new();
        plain::push(&mut out, &request.event, request.data, Some("E.1"));
        let pushed: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(pushed, json!({"ev": name, "data": data, "seq": "E.1"}));
    }

    #[test]
    fn depth_is_what_a_tree_says_it_is(value in json(), is_pretty in any::<bool>(), limit in 0..6usize) {
        prop_assert_eq!(check_depth(&written(&value, is_pretty), limit).is_ok(), depth(&value) <= limit);
    }

    #[test]
    fn no_text_of_json_characters_makes_a_decoder_panic(text in "[0-9\\[\\]{},:\"/\\\\a-f -]{0,40}") {
        let _ = Decoder::default().on_text(&text, BYTES_MAX);
        let _ = Request::decode(&text);
        let _ = check_depth(&text, DEPTH_MAX);
    }
}

fn message() -> impl Strategy<Value = Result<String, Vec<u8>>> {
    prop_oneof!["[^\u{1e}]{0,40}".prop_map(Ok), vec(any::<u8>(), 0..40).prop_map(Err)]
}

fn as_packet(message: &Result<String, Vec<u8>>) -> Packet<'_> {
    Packet::Message(match message {
        Ok(text) => Data::Text(text),
        Err(bytes) => Data::Binary(Cow::Borrowed(bytes)),
    })
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[a-z0-9_/-]{1,20}"]
}

/// Any text that Socket.IO does not keep for itself.
fn name() -> impl Strategy<Value = String> {
    "\\PC{1,8}:\\PC{0,8}".prop_union("[\"\\\\\n\u{0}x]{2,5}")
}

/// Any JSON, with the characters that a splitter could stumble over.
fn json() -> impl Strategy<Value = Value> {
    let text = "[a\"\\\\\\[\\]{},: \n\u{e9}]{0,6}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(text, inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
}

fn written(value: &Value, is_pretty: bool) -> String {
    if is_pretty { serde_json::to_string_pretty(value).unwrap() } else { value.to_string() }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
