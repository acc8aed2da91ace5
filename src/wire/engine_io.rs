//! Engine.IO, protocol version 4: packets, the bodies of long polling, the query, the answers to what is refused.
//!
//! ```text
//! 0{"sid":..}   open      server only       4hello    message
//! 1             close                       bAQID     message, binary as base64 (in a text)
//! 2 / 2probe    ping                        5         upgrade
//! 3 / 3probe    pong                        6         noop
//! ```
//! In a WebSocket each packet is a message, and a binary message has no type in front. A polling body is text, with
//! the byte 0x1E between two packets; JSON cannot contain it.

use super::json;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use std::borrow::Cow;

/// Stands between two packets of a polling body.
pub const SEPARATOR: u8 = 0x1E;

/// How many packets one polling body may have. A client batches whatever it emitted since its last POST, so hundreds
/// are normal; the shortest event with its separator takes 8 bytes, so a body of 64 KiB could otherwise ask for 8,000.
pub const PACKETS_MAX: usize = 1024;

/// What a client says in `2probe`, and hears in `3probe`.
pub const PROBE: &str = "probe";

/// Both paddings are taken: the protocol names base64 and says no more, and clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The session begins; the JSON of [`Open`].
    Open(&'a str),
    /// The session is over.
    Close,
    /// Are you there? With [`PROBE`] on a WebSocket that would like to take over.
    Ping(&'a str),
    /// Yes.
    Pong(&'a str),
    /// For the protocol above.
    Message(Data<'a>),
    /// The WebSocket takes over.
    Upgrade,
    /// Nothing: it ends a long poll.
    Noop,
}

/// What a message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes: borrowed from a WebSocket, decoded from base64 in a polling body.
    Binary(Cow<'a, [u8]>),
}

/// Why a body or a message is not of the protocol: the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It does not begin with a type, or is empty.
    PacketType,
    /// There is more than a packet of its type has.
    Trailing,
    /// `b` without base64 behind it.
    Base64,
    /// A polling body with more than [`PACKETS_MAX`] packets.
    TooManyPackets,
}

impl<'a> Packet<'a> {
    /// Reads one packet: a text message of a WebSocket, or a piece of a polling body.
    ///
    /// # Errors
    /// `PacketType`, `Trailing` or `Base64`.
    pub fn decode(text: &'a str) -> Result<Self, Malformed> {
        let (kind, rest) = text.split_at_checked(1).ok_or(Malformed::PacketType)?;
        let bare = |packet| if rest.is_empty() { Ok(packet) } else { Err(Malformed::Trailing) };
        match kind {
            "0" => Ok(Self::Open(rest)),
            "1" => bare(Self::Close),
            "2" => Ok(Self::Ping(rest)),
            "3" => Ok(Self::Pong(rest)),
            "4" => Ok(Self::Message(Data::Text(rest))),
            "5" => bare(Self::Upgrade),
            "6" => bare(Self::Noop),
            "b" => BASE64
                .decode(rest)
                .map(|bytes| Self::Message(Data::Binary(Cow::Owned(bytes))))
                .map_err(|_| Malformed::Base64),
            _ => Err(Malformed::PacketType),
        }
    }

    /// A binary message of a WebSocket.
    pub fn from_binary(bytes: &'a [u8]) -> Self {
        Self::Message(Data::Binary(Cow::Borrowed(bytes)))
    }

    /// Appends the packet as text. (On a WebSocket, binary data goes as it is, unless the client asked for
    /// [`Query::base64`].)
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, rest) = match self {
            Self::Open(rest) => (b'0', *rest),
            Self::Close => (b'1', ""),
            Self::Ping(rest) => (b'2', *rest),
            Self::Pong(rest) => (b'3', *rest),
            Self::Message(Data::Text(rest)) => (b'4', *rest),
            Self::Message(Data::Binary(bytes)) => return encode_base64(out, bytes),
            Self::Upgrade => (b'5', ""),
            Self::Noop => (b'6', ""),
        };
        out.push(kind);
        out.extend_from_slice(rest.as_bytes());
    }
}

fn encode_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'b');
    let start = out.len();
    // Four characters for three bytes begun, with padding.
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64_STANDARD.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(out.len() - start));
}

/// Appends the type of a text message; its text follows, as the caller writes it.
pub fn begin_message(out: &mut Vec<u8>) {
    out.push(b'4');
}

/// Appends what stands between two packets of a polling body; nothing in front of the first.
pub fn separate(body: &mut Vec<u8>) {
    if !body.is_empty() {
        body.push(SEPARATOR);
    }
}

/// The packets of a polling body, in order, each read when its turn comes.
///
/// `body`: no longer than the caller's limit; an empty one is one packet that is malformed.
///
/// # Errors
/// `TooManyPackets`, before the first one is read. The iterator ends behind a malformed packet.
pub fn payload(body: &str) -> Result<impl Iterator<Item = Result<Packet<'_>, Malformed>>, Malformed> {
    if body.bytes().filter(|byte| *byte == SEPARATOR).count() >= PACKETS_MAX {
        return Err(Malformed::TooManyPackets);
    }
    let mut is_sound = true;
    let packets = body.split(char::from(SEPARATOR)).map(Packet::decode);
    Ok(packets.take_while(move |packet| std::mem::replace(&mut is_sound, packet.is_ok())))
}

/// What a session begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    /// Names the transport in every later request. At least 128 random bits, known to this client only.
    pub sid: &'a str,
    /// A WebSocket may take over; not so when it is one already.
    pub may_upgrade: bool,
    /// The server pings this often.
    pub ping_interval_ms: u64,
    /// How long a pong may take.
    pub ping_timeout_ms: u64,
    /// Bytes of the largest body or message that the server takes.
    pub max_payload: usize,
}

impl Open<'_> {
    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            sid: &'a str,
            upgrades: &'a [&'a str],
            ping_interval: u64,
            ping_timeout: u64,
            max_payload: usize,
        }
        out.push(b'0');
        let body = Body {
            sid: self.sid,
            upgrades: if self.may_upgrade { &["websocket"] } else { &[] },
            ping_interval: self.ping_interval_ms,
            ping_timeout: self.ping_timeout_ms,
            max_payload: self.max_payload,
        };
        json::write(out, &body);
    }
}

/// How a client wants to talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// GET and POST.
    Polling,
    /// A WebSocket.
    WebSocket,
}

/// What the query of a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// `transport`.
    pub transport: Transport,
    /// `sid`, as it came; absent in a handshake.
    pub sid: Option<&'a str>,
    /// `b64`: binary data goes to this WebSocket as base64 in a text.
    pub base64: bool,
}

impl<'a> Query<'a> {
    /// Reads a query, the part behind `?`. Parameters of other names are the application's.
    ///
    /// # Errors
    /// `UnsupportedVersion` unless `EIO=4` is there, `UnknownTransport`, `Jsonp`, and `BadRequest` when one of these
    /// parameters is there twice.
    pub fn parse(query: &'a str) -> Result<Self, Reject> {
        let [mut eio, mut transport, mut sid, mut jsonp, mut base64] = [None; 5];
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                "EIO" => &mut eio,
                "transport" => &mut transport,
                "sid" => &mut sid,
                "j" => &mut jsonp,
                "b64" => &mut base64,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(Reject::BadRequest);
            }
        }
        // A version that is named and wrong says more than what else may be amiss.
        if eio.is_some_and(|version| version != "4") {
            return Err(Reject::UnsupportedVersion);
        }
        let transport = match transport {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(Reject::UnknownTransport),
        };
        match (eio, jsonp) {
            (None, _) => Err(Reject::UnsupportedVersion),
            (_, Some(_)) => Err(Reject::Jsonp),
            _ => {
                let sid = sid.filter(|sid| !sid.is_empty());
                Ok(Self { transport, sid, base64: base64.is_some_and(|value| !value.is_empty()) })
            }
        }
    }
}

/// Why a request is refused. Clients know the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// `transport` is neither polling nor websocket.
    UnknownTransport,
    /// No session has this `sid`, or has it any more.
    UnknownSid,
    /// A handshake is a GET.
    BadHandshakeMethod,
    /// What this session cannot take now.
    BadRequest,
    /// Polling by script tags, of which no client that is supported has need.
    Jsonp,
    /// The origin is not allowed.
    Forbidden,
    /// `EIO` is not 4.
    UnsupportedVersion,
}

impl Reject {
    /// The number that clients know.
    pub const fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSid => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest | Self::Jsonp => 3,
            Self::Forbidden => 4,
            Self::UnsupportedVersion => 5,
        }
    }

    /// The status of the HTTP response.
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The sentence in the body.
    pub const fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Jsonp => "Bad request: JSONP polling (parameter j) is not served; use polling or websocket",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => {
                "Unsupported protocol version: this server speaks Engine.IO 4 (EIO=4), which needs socket.io-client \
                 3 or newer, or another client for Socket.IO 3 or 4"
            }
        }
    }

    /// Appends the body, `{"code":..,"message":..}`.
    pub fn encode(self, out: &mut Vec<u8>) {
        self.encode_with(self.message(), out);
    }

    /// Appends the body with a sentence of the caller's, which may quote what the client sent.
    pub fn encode_with(self, message: &str, out: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Body<'a> {
            code: u8,
            message: &'a str,
        }
        json::write(out, &Body { code: self.code(), message });
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

    fn packets(body: &str) -> Vec<Result<Packet<'_>, Malformed>> {
        payload(body).unwrap().collect()
    }

    #[test]
    fn every_type_reads_and_writes_as_one_character() {
        for (packet, wire) in [
            (Packet::Open("{}"), "0{}"),
            (Packet::Close, "1"),
            (Packet::Ping(""), "2"),
            (Packet::Ping(PROBE), "2probe"),
            (Packet::Pong(PROBE), "3probe"),
            (Packet::Message(Data::Text("2[\"é\"]")), "42[\"é\"]"),
            (Packet::Message(Data::Text("")), "4"),
            (Packet::from_binary(&[1, 2, 3, 4]), "bAQIDBA=="),
            (Packet::from_binary(&[]), "b"),
            (Packet::Upgrade, "5"),
            (Packet::Noop, "6"),
        ] {
            assert_eq!(Packet::decode(wire), Ok(packet.clone()), "{wire}");
            assert_eq!(text(|out| packet.encode(out)), wire);
        }
    }

    #[test]
    fn what_begins_with_no_type_is_refused() {
        for wire in ["", "7", "abc", "é", " 4", "\u{1F600}"] {
            assert_eq!(Packet::decode(wire), Err(Malformed::PacketType), "{wire:?}");
        }
        for wire in ["1x", "5probe", "6 "] {
            assert_eq!(Packet::decode(wire), Err(Malformed::Trailing), "{wire:?}");
        }
    }

    #[test]
    fn base64_is_taken_with_padding_and_without() {
        assert_eq!(Packet::decode("bAQIDBA"), Ok(Packet::from_binary(&[1, 2, 3, 4])));
        for wire in ["b=", "bA", "bAQ*D", "b_w", "bAQ ID", "bé", "bAB"] {
            assert_eq!(Packet::decode(wire), Err(Malformed::Base64), "{wire:?}");
        }
    }

    #[test]
    fn a_body_is_split_at_its_separators() {
        assert_eq!(
            packets("4hello\x1e2\x1ebAQIDBA==\x1e4"),
            [
                Ok(Packet::Message(Data::Text("hello"))),
                Ok(Packet::Ping("")),
                Ok(Packet::from_binary(&[1, 2, 3, 4])),
                Ok(Packet::Message(Data::Text(""))),
            ]
        );
    }

    #[test]
    fn nothing_behind_a_malformed_packet_is_read() {
        const END: Result<Packet<'_>, Malformed> = Err(Malformed::PacketType);
        let first = || Ok(Packet::Message(Data::Text("a")));
        assert_eq!(packets("4a\x1eabc\x1e4b"), [first(), END]);
        assert_eq!(packets("4a\x1e"), [first(), END]);
        assert_eq!(packets(""), [END]);
        assert_eq!(packets("\x1e4a"), [END]);
    }

    #[test] // security S9
    fn a_body_of_a_million_packets_is_refused_before_any_is_read() {
        let of = |count| vec!["4"; count].join("\x1e");
        assert_eq!(packets(&of(PACKETS_MAX)).len(), PACKETS_MAX);
        assert_eq!(payload(&of(PACKETS_MAX + 1)).err(), Some(Malformed::TooManyPackets));
        assert_eq!(payload(&of(1_000_000)).err(), Some(Malformed::TooManyPackets));
    }

    #[test]
    fn a_body_is_written_with_separators_between_packets_only() {
        let body = text(|out| {
            for packet in [Packet::Ping(""), Packet::Message(Data::Text("a")), Packet::from_binary(&[255])] {
                separate(out);
                packet.encode(out);
            }
        });
        assert_eq!(body, "2\x1e4a\x1eb/w==");
    }

    #[test]
    fn the_open_packet_has_the_members_that_clients_read_and_no_other() {
        let mut open = Open {
            sid: "lv_VI97HAXpY6yYWAAAC",
            may_upgrade: true,
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            max_payload: 65_536,
        };
        let wanted = r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":65536}"#;
        assert_eq!(text(|out| open.encode(out)), wanted);
        open.may_upgrade = false;
        assert!(text(|out| open.encode(out)).contains(r#""upgrades":[],"#));
    }

    #[test]
    fn a_query_tells_transport_and_session() {
        let polling = Query { transport: Transport::Polling, sid: None, base64: false };
        assert_eq!(Query::parse("EIO=4&transport=polling"), Ok(polling));
        assert_eq!(Query::parse("transport=polling&t=O8-x&sid=&EIO=4&b64="), Ok(polling));
        assert_eq!(
            Query::parse("EIO=4&transport=websocket&sid=abc-_1&b64=1&token=x"),
            Ok(Query { transport: Transport::WebSocket, sid: Some("abc-_1"), base64: true })
        );
    }

    #[test] // security S9
    fn another_protocol_version_is_told_which_clients_work() {
        for query in
            ["EIO=3&transport=polling", "EIO=abc&transport=websocket", "transport=polling", "EIO=3", "EIO="]
        {
            assert_eq!(Query::parse(query), Err(Reject::UnsupportedVersion), "{query}");
        }
        let body = text(|out| Reject::UnsupportedVersion.encode(out));
        assert!(body.starts_with(r#"{"code":5,"message":"Unsupported protocol version"#), "{body}");
        assert!(body.contains("needs socket.io-client 3 or newer"), "{body}");
    }

    #[test]
    fn a_query_that_is_no_use_is_refused_with_the_code_that_clients_know() {
        for (query, reject) in [
            ("", Reject::UnknownTransport),
            ("EIO=4", Reject::UnknownTransport),
            ("EIO=4&transport=abc", Reject::UnknownTransport),
            ("EIO=4&transport=webtransport", Reject::UnknownTransport),
            ("EIO=4&transport=polling&j=0", Reject::Jsonp),
            ("EIO=4&transport=polling&sid=a&sid=b", Reject::BadRequest),
            ("EIO=4&EIO=3&transport=polling", Reject::BadRequest),
        ] {
            assert_eq!(Query::parse(query), Err(reject), "{query}");
        }
    }

    #[test]
    fn what_is_refused_has_code_status_and_sentence() {
        let rejects = [
            Reject::UnknownTransport,
            Reject::UnknownSid,
            Reject::BadHandshakeMethod,
            Reject::BadRequest,
            Reject::Forbidden,
            Reject::UnsupportedVersion,
        ];
        assert_eq!(rejects.map(Reject::code), [0, 1, 2, 3, 4, 5]);
        assert_eq!(rejects.map(Reject::status), [400, 400, 400, 400, 403, 400]);
        assert_eq!(
            text(|out| Reject::UnknownSid.encode(out)),
            r#"{"code":1,"message":"Session ID unknown"}"#
        );
        assert_eq!(
            text(|out| Reject::Forbidden.encode_with("\"evil\"\n", out)),
            r#"{"code":4,"message":"\"evil\"\n"}"#
        );
    }
}
