//! Any messages of one connection: texts, and what lies between two bytes 0xFF as binary. Events against `serde_json`'s
//! tree.

use serde_json::Value;
use turnstone::wire::json::{DEPTH_MAX, check_depth};
use turnstone::wire::socket_io::{
    ATTACHMENTS_MAX, Arguments, Content, Decoder, Event, Malformed, Packet, begin_ack,
};

const BYTES_MAX: usize = 1024;

pub(crate) fn run(data: &[u8]) {
    let mut decoder = Decoder::default();
    for message in data.split(|byte| *byte == 0xFF) {
        let was_waiting = decoder.is_waiting();
        let sound = match str::from_utf8(message) {
            Ok(text) if !was_waiting || text.starts_with('2') => {
                check_text(text);
                decoder.on_text(text, BYTES_MAX).is_ok_and(|packet| packet.is_none() == decoder.is_waiting())
            }
            _ => match decoder.on_binary(message, BYTES_MAX) {
                Ok(Some(whole)) => {
                    assert!(was_waiting && !decoder.is_waiting());
                    assert!((1..=ATTACHMENTS_MAX).contains(&whole.attachments.len()));
                    assert!(whole.attachments.iter().map(|bytes| bytes.len()).sum::<usize>() <= BYTES_MAX);
                    check_packet(&whole.packet().unwrap(), whole.attachments.len());
                    true
                }
                Ok(None) => decoder.is_waiting(),
                Err(malformed) => {
                    assert!(matches!(malformed, Malformed::TooLarge) || !was_waiting);
                    false
                }
            },
        };
        if !sound {
            return;
        }
    }
}

fn check_text(text: &str) {
    let found = Decoder::default().on_text(text, usize::MAX);
    if let Ok(Some(packet)) = &found {
        check_packet(packet, 0);
    }
    // What serde_json takes for an event with a name is one.
    let Some(payload) = text.strip_prefix('2').filter(|payload| payload.starts_with('[')) else { return };
    let Ok(Value::Array(elements)) = serde_json::from_str(payload) else { return };
    let depth = depth(&elements.clone().into());
    assert_eq!(check_depth(payload, DEPTH_MAX).is_ok(), depth <= DEPTH_MAX);
    if let Some(Value::String(_)) = elements.first() {
        let expected = matches!(found, Ok(Some(_)) | Err(Malformed::ReservedName));
        assert!(if depth > DEPTH_MAX { found == Err(Malformed::TooDeep) } else { expected }, "{found:?}");
    } else {
        assert!(found.is_err());
    }
}

/// Written again it is read as the same.
fn check_packet(packet: &Packet<'_>, attachments: usize) {
    let namespace = packet.namespace;
    assert!(namespace.starts_with('/') && !namespace.contains([',', '?', '[', '{', '"']));
    let mut out = Vec::new();
    match &packet.content {
        Content::Connect { auth } => {
            return assert!(auth.is_none_or(|auth| auth.starts_with('{')));
        }
        Content::Disconnect => return,
        Content::Event { id, name, arguments } => {
            let elements: Vec<_> = arguments.iter().collect();
            check_elements(arguments, &elements);
            let event = Event { namespace, id: *id, name, arguments: &elements, offset: None, attachments };
            event.encode(&mut out);
        }
        Content::Ack { id, arguments } => {
            let elements: Vec<_> = arguments.iter().collect();
            check_elements(arguments, &elements);
            begin_ack(&mut out, namespace, *id, attachments);
            out.extend_from_slice(elements.join(",").as_bytes());
            out.push(b']');
        }
    }
    let mut decoder = Decoder::default();
    let again = decoder.on_text(str::from_utf8(&out).unwrap(), usize::MAX).unwrap();
    match attachments {
        0 => assert_eq!(again.as_ref().map(normal), Some(normal(packet))),
        _ => assert!(again.is_none() && decoder.is_waiting()),
    }
}

/// A packet with its arguments in a form that does not depend on the space between them.
fn normal<'a>(packet: &Packet<'a>) -> (&'a str, Option<u64>, Option<String>, Vec<&'a str>) {
    match &packet.content {
        Content::Event { id, name, arguments } => {
            (packet.namespace, *id, Some(name.clone().into_owned()), arguments.iter().collect())
        }
        Content::Ack { id, arguments } => (packet.namespace, Some(*id), None, arguments.iter().collect()),
        Content::Connect { .. } | Content::Disconnect => (packet.namespace, None, None, Vec::new()),
    }
}

/// The elements are those of serde_json's tree, where it builds one: it does not for half a surrogate pair, and not for
/// numbers that are too large for it.
fn check_elements(arguments: &Arguments<'_>, elements: &[&str]) {
    assert_eq!(arguments.first(), elements.first().copied());
    let joined = format!("[{}]", elements.join(","));
    let Ok(Value::Array(wanted)) = serde_json::from_str(&joined) else {
        return assert!(joined.contains(['u', 'e', 'E']) || joined.len() > 300, "{joined}");
    };
    let found: Vec<Value> = elements.iter().map(|element| serde_json::from_str(element).unwrap()).collect();
    assert_eq!(found, wanted);
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
