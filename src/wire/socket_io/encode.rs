//! Writing packets.

use crate::wire::json::{self, Refused};
use serde::Serialize;

/// An event for a client.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// With its slash.
    pub namespace: &'a str,
    /// The number that the client's answer is to bear.
    pub id: Option<u64>,
    /// What happened.
    pub name: &'a str,
    /// JSON texts.
    pub arguments: &'a [&'a str],
    /// Goes behind the arguments, as a string: where a client that reconnects goes on. A client that recovers takes
    /// whatever string stands last for it, so an event without an answer needs one, and an event with an answer must
    /// not have one, since its last argument is the function that answers.
    pub offset: Option<&'a str>,
    /// How many binary messages follow. The arguments name them with placeholders.
    pub attachments: usize,
}

impl Event<'_> {
    /// Appends the text; the attachments are messages of their own.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.attachments {
            0 => out.push(b'2'),
            count => {
                out.push(b'5');
                json::write_number(out, count as u64);
                out.push(b'-');
            }
        }
        write_namespace(out, self.namespace);
        if let Some(id) = self.id {
            json::write_number(out, id);
        }
        out.push(b'[');
        json::write(out, self.name);
        for argument in self.arguments {
            out.push(b',');
            out.extend_from_slice(argument.as_bytes());
        }
        if let Some(offset) = self.offset {
            out.push(b',');
            json::write(out, offset);
        }
        out.push(b']');
    }
}

/// Appends: the client is in the namespace, under the public id `sid`. With `pid`, which is private, it can recover.
pub fn connect(out: &mut Vec<u8>, namespace: &str, sid: &str, pid: Option<&str>) {
    #[derive(Serialize)]
    struct Body<'a> {
        sid: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<&'a str>,
    }
    out.push(b'0');
    write_namespace(out, namespace);
    json::write(out, &Body { sid, pid });
}

/// Appends: the client is not in the namespace, and why. Its library gives `code` to programs as `error.data.code`.
pub fn connect_error(out: &mut Vec<u8>, namespace: &str, message: &str, code: Option<&str>) {
    #[derive(Serialize)]
    struct Body<'a> {
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<Data<'a>>,
    }
    #[derive(Serialize)]
    struct Data<'a> {
        code: &'a str,
    }
    out.push(b'4');
    write_namespace(out, namespace);
    json::write(out, &Body { message, data: code.map(|code| Data { code }) });
}

/// Appends: the client is no longer in the namespace. Its library does not come back by itself.
pub fn disconnect(out: &mut Vec<u8>, namespace: &str) {
    out.push(b'1');
    write_namespace(out, namespace);
}

/// Appends the answer to event `id`: one object, which has `ok` in front of what `result` says.
///
/// `result`: the text of a JSON object, without space around it; or why not.
pub fn answer(out: &mut Vec<u8>, namespace: &str, id: u64, result: Result<&str, &Refused<'_>>) {
    begin_ack(out, namespace, id, 0);
    match result {
        Ok(object) => write_with_ok(out, object),
        Err(refused) => {
            out.extend_from_slice(b"{\"ok\":false");
            json::write_members(out, refused);
        }
    }
    out.push(b']');
}

/// Appends the answer to event `id` as far as its opening bracket; arguments and `]` follow, and then `attachments`
/// binary messages.
pub fn begin_ack(out: &mut Vec<u8>, namespace: &str, id: u64, attachments: usize) {
    match attachments {
        0 => out.push(b'3'),
        count => {
            out.push(b'6');
            json::write_number(out, count as u64);
            out.push(b'-');
        }
    }
    write_namespace(out, namespace);
    json::write_number(out, id);
    out.push(b'[');
}

fn write_with_ok(out: &mut Vec<u8>, object: &str) {
    debug_assert!(object.starts_with('{') && object.ends_with('}'), "{object}");
    let members = object.strip_prefix('{').unwrap_or(object).trim_ascii_start();
    out.extend_from_slice(b"{\"ok\":true");
    if members != "}" {
        out.push(b',');
    }
    out.extend_from_slice(members.as_bytes());
}

fn write_namespace(out: &mut Vec<u8>, namespace: &str) {
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fill: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        fill(&mut out);
        String::from_utf8(out).unwrap()
    }

    const EVENT: Event<'_> =
        Event { namespace: "/", id: None, name: "x", arguments: &[], offset: None, attachments: 0 };

    #[test]
    fn an_event_has_its_name_its_arguments_and_its_offset_in_this_order() {
        assert_eq!(text(|out| EVENT.encode(out)), r#"2["x"]"#);
        let event = Event { arguments: &["{\"a\":1}", "2"], offset: Some("E.7"), ..EVENT };
        assert_eq!(text(|out| event.encode(out)), r#"2["x",{"a":1},2,"E.7"]"#);
        let event = Event { namespace: "/admin", id: Some(456), name: "a\"b", ..EVENT };
        assert_eq!(text(|out| event.encode(out)), r#"2/admin,456["a\"b"]"#);
    }

    #[test]
    fn an_event_with_attachments_counts_them() {
        let event = Event {
            namespace: "/a",
            arguments: &[r#"{"_placeholder":true,"num":0}"#],
            attachments: 1,
            ..EVENT
        };
        assert_eq!(text(|out| event.encode(out)), r#"51-/a,["x",{"_placeholder":true,"num":0}]"#);
    }

    #[test]
    fn who_joined_hears_its_ids() {
        assert_eq!(text(|out| connect(out, "/", "S", None)), r#"0{"sid":"S"}"#);
        assert_eq!(text(|out| connect(out, "/admin", "S", Some("P"))), r#"0/admin,{"sid":"S","pid":"P"}"#);
    }

    #[test]
    fn who_did_not_join_hears_why() {
        assert_eq!(
            text(|out| connect_error(out, "/random", "Invalid namespace", None)),
            r#"4/random,{"message":"Invalid namespace"}"#
        );
        assert_eq!(
            text(|out| connect_error(out, "/", "no \"token\"", Some("unauthorized"))),
            r#"4{"message":"no \"token\"","data":{"code":"unauthorized"}}"#
        );
    }

    #[test]
    fn who_is_put_out_hears_of_it() {
        assert_eq!(text(|out| disconnect(out, "/")), "1");
        assert_eq!(text(|out| disconnect(out, "/admin")), "1/admin,");
    }

    #[test]
    fn an_answer_says_first_whether_it_went_well() {
        assert_eq!(text(|out| answer(out, "/", 7, Ok("{}"))), r#"37[{"ok":true}]"#);
        assert_eq!(text(|out| answer(out, "/a", 0, Ok(r#"{"id":1}"#))), r#"3/a,0[{"ok":true,"id":1}]"#);
        let mut refused = Refused { code: "busy", message: "in a call", retry_after_ms: None };
        assert_eq!(
            text(|out| answer(out, "/", 7, Err(&refused))),
            r#"37[{"ok":false,"code":"busy","message":"in a call"}]"#
        );
        refused.retry_after_ms = Some(250);
        assert!(text(|out| answer(out, "/", 7, Err(&refused))).ends_with(r#","retry_after_ms":250}]"#));
    }

    #[test]
    fn an_answer_of_any_shape_can_be_written_with_its_attachments() {
        assert_eq!(text(|out| begin_ack(out, "/", 456, 0)), "3456[");
        assert_eq!(text(|out| begin_ack(out, "/a", 789, 2)), "62-/a,789[");
    }
}
