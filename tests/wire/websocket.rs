//! WebSocket frames against the `tungstenite` crate, which we did not write: both ways, and wherever the
//! two disagree, for a reason of the list.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::io::{self, Cursor, Read, Write};
use tungstenite::error::ProtocolError;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode as TheirCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};
use turnstone::wire::websocket::{
    FRAGMENTS_MAX, Incoming, Opcode, Reader, Violation, accept_key, write_close, write_frame,
};

/// The largest message that both take.
const MESSAGE_BYTES_MAX: usize = 600;

/// Why the two may answer differently to the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// They judge a frame when all of it has come, we when its header has.
    Patience,
    /// They judge a fragment of a text when it has come, we when the text is whole.
    TextInPieces,
    /// They take a length in more bytes than it needs (RFC 6455 section 5.2: MUST be minimal).
    LengthForm,
    /// They turn a code that may not be sent into 1002 and answer as to any other Close.
    CloseCode,
    /// They do not know 1014 of the registry, which is younger than the RFC.
    BadGateway,
    /// They count bytes alone.
    TooManyFragments,
}

/// How a stream ended.
#[derive(Debug)]
enum End<E> {
    /// All was used up, and more may come.
    Waiting,
    /// A Close has come.
    Closed,
    Refused(E),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn both_read_what_was_sent_however_it_is_cut(
        sent in vec(sent(), 0..8),
        cuts in vec(any::<Index>(), 0..12),
        close in proptest::option::of(close()),
    ) {
        let mut stream: Vec<u8> = sent.iter().flat_map(Sent::frames).collect();
        let mut expected: Vec<_> = sent.iter().flat_map(Sent::messages).collect();
        if let Some((code, reason)) = &close {
            stream.extend(masked(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat(), [1, 2, 3, 4]));
            expected.push(closing(*code, reason));
        }
        let (read, end) = ours(&stream, &cuts);
        prop_assert_eq!(&read, &expected);
        prop_assert_eq!(matches!(end, End::Closed), close.is_some());
        prop_assert_eq!(theirs(&stream).0, expected);
    }

    #[test]
    fn what_their_client_writes_ours_reads(
        messages in vec(message(), 0..8),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let mut client = WebSocket::from_raw_socket(Pipe::default(), Role::Client, None);
        for message in &messages {
            client.send(message.clone()).unwrap();
        }
        let (read, end) = ours(&client.get_ref().written, &cuts);
        prop_assert_eq!(read, messages);
        prop_assert!(matches!(end, End::Waiting));
    }

    #[test]
    fn what_ours_writes_their_client_reads(messages in vec(message(), 0..8), close in close()) {
        let mut stream = Vec::new();
        for message in &messages {
            write_frame(&mut stream, opcode(message), &message.clone().into_data());
        }
        let (code, reason) = close;
        write_close(&mut stream, turnstone::wire::websocket::CloseCode::new(code).unwrap(), &reason);
        let (read, _) = read_by(Role::Client, &stream);
        prop_assert_eq!(&read[..messages.len()], &messages);
        prop_assert_eq!(&read[messages.len()..], &[closing(code, &reason)]);
    }

    #[test]
    fn both_answer_alike_to_damaged_streams_but_for_the_listed_reasons(
        sent in vec(sent(), 1..6),
        changes in vec(any::<(Index, u8, bool)>(), 1..4),
        cut in proptest::option::weighted(0.3, any::<Index>()),
    ) {
        let mut stream: Vec<u8> = sent.iter().flat_map(Sent::frames).collect();
        for (at, value, is_flip) in changes {
            let at = at.index(stream.len());
            stream[at] = if is_flip { stream[at] ^ (1 << (value % 8)) } else { value };
        }
        stream.truncate(cut.map_or(stream.len(), |cut| cut.index(stream.len() + 1)));
        difference(&stream);
    }

    #[test]
    fn both_answer_alike_to_arbitrary_frames_but_for_the_listed_reasons(frames in vec(odd_frame(), 1..8)) {
        difference(&frames.concat());
    }

    #[test]
    fn both_answer_a_key_alike(nonce in any::<[u8; 16]>()) {
        use base64::Engine;
        let key = base64::engine::general_purpose::STANDARD.encode(nonce);
        prop_assert_eq!(accept_key(&key), Some(derive_accept_key(key.as_bytes())));
    }
}

/// The list of reasons names only what happens.
#[test]
fn each_listed_difference_is_seen() {
    let key = [0x5A; 4];
    let frame = |first, payload: &[u8]| masked(first, payload, key);
    let long_form = [&[0x82, 0xFE, 0, 0][..], &key].concat();
    let fragments = [frame(0x02, b""), frame(0x00, b"").repeat(usize::from(FRAGMENTS_MAX))].concat();
    let cases = [
        (vec![0x81, 0x05], Difference::Patience),
        (frame(0x01, b"\xFF"), Difference::TextInPieces),
        (long_form, Difference::LengthForm),
        (frame(0x88, &1005u16.to_be_bytes()), Difference::CloseCode),
        (frame(0x88, &1014u16.to_be_bytes()), Difference::BadGateway),
        (fragments, Difference::TooManyFragments),
    ];
    for (stream, reason) in cases {
        assert_eq!(difference(&stream), Some(reason), "{}", stream.escape_ascii());
    }
    assert_eq!(difference(&frame(0x81, b"Hello")), None);
    assert_eq!(difference(&frame(0x81, b"\xFF")), None);
}

/// Reads `stream` with both and panics unless a difference has a reason, which is returned.
fn difference(stream: &[u8]) -> Option<Difference> {
    let ((our_messages, our_end), (their_messages, their_end)) = (ours(stream, &[]), theirs(stream));
    let shared = our_messages.len().min(their_messages.len());
    let ours_more = &our_messages[shared..];
    let theirs_more = &their_messages[shared..];
    let protocol_violation = closing(TheirCode::Protocol.into(), "Protocol violation");
    let reason = match (&our_end, &their_end) {
        _ if our_messages[..shared] != their_messages[..shared] => {
            let last = shared - 1;
            let is_1014 = code_of(&our_messages[last]) == Some(1014);
            let is_only_that =
                their_messages[last] == protocol_violation && our_messages[..last] == their_messages[..last];
            (is_1014 && is_only_that).then_some(Difference::BadGateway)
        }
        (End::Waiting, End::Waiting) | (End::Closed, End::Closed) | (End::Refused(_), End::Refused(_))
            if ours_more.is_empty() && theirs_more.is_empty() =>
        {
            return None;
        }
        // Ours goes on to read control frames, or refuses something else, before the text is whole.
        (_, End::Refused(Error::Utf8(_))) if ours_more.iter().all(is_control) && theirs_more.is_empty() => {
            Some(Difference::TextInPieces)
        }
        (End::Refused(Violation::LengthForm | Violation::ControlTooLong), _)
            if ours_more.is_empty() && has_long_length(stream) =>
        {
            Some(Difference::LengthForm)
        }
        (End::Refused(Violation::CloseCode), End::Closed)
            if ours_more.is_empty() && theirs_more == [protocol_violation] =>
        {
            Some(Difference::CloseCode)
        }
        (End::Refused(Violation::TooManyFragments), _) if ours_more.is_empty() => {
            Some(Difference::TooManyFragments)
        }
        (End::Refused(_), End::Waiting) if ours_more.is_empty() && theirs_more.is_empty() => {
            Some(Difference::Patience)
        }
        _ => None,
    };
    Some(reason.unwrap_or_else(|| {
        panic!(
            "no listed reason: ours {our_messages:?} {our_end:?}, theirs {their_messages:?} {their_end:?} \
             to {}",
            stream.escape_ascii()
        )
    }))
}

fn code_of(message: &Message) -> Option<u16> {
    match message {
        Message::Close(Some(CloseFrame { code, .. })) => Some(u16::from(*code)),
        _ => None,
    }
}

fn is_control(message: &Message) -> bool {
    !matches!(message, Message::Text(_) | Message::Binary(_))
}

/// Whether any length stands in more bytes than it needs, by a walk along the frames.
fn has_long_length(mut stream: &[u8]) -> bool {
    loop {
        let Some(&[_, second, ..]) = stream.first_chunk::<2>() else { return false };
        let (extra, shortest) = match second & 0x7F {
            126 => (2, 126),
            127 => (8, 65_536),
            _ => (0, 0),
        };
        let Some(bytes) = stream.get(2..2 + extra) else { return false };
        let length = match extra {
            0 => u64::from(second & 0x7F),
            _ => bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        if length < shortest {
            return true;
        }
        let header = 2 + extra + if second & 0x80 == 0 { 0 } else { 4 };
        let Some(rest) = stream.get(header.saturating_add(length as usize)..) else { return false };
        stream = rest;
    }
}

fn ours(stream: &[u8], cuts: &[Index]) -> (Vec<Message>, End<Violation>) {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let (mut reader, mut at, mut all) = (Reader::new(MESSAGE_BYTES_MAX as u32), 0, Vec::new());
    for end in ends {
        let mut piece = stream[at..end].to_vec();
        let mut input = &mut piece[..];
        loop {
            match reader.read(&mut input) {
                Ok(Some(incoming)) => all.push(message_of(incoming)),
                Ok(None) => break,
                Err(violation) => return (all, End::Refused(violation)),
            }
        }
        assert!(reader.kept_bytes() <= MESSAGE_BYTES_MAX + Reader::OVERHEAD_BYTES_MAX);
        at = end;
    }
    let is_closed = all.last().is_some_and(Message::is_close);
    (all, if is_closed { End::Closed } else { End::Waiting })
}

fn message_of(incoming: Incoming<'_>) -> Message {
    match incoming {
        Incoming::Text(text) => Message::text(&*text),
        Incoming::Binary(bytes) => Message::binary(bytes.into_owned()),
        Incoming::Ping(bytes) => Message::Ping(bytes.into_owned().into()),
        Incoming::Pong(bytes) => Message::Pong(bytes.into_owned().into()),
        Incoming::Close { code: None, .. } => Message::Close(None),
        Incoming::Close { code: Some(code), reason } => closing(code.get(), &reason),
    }
}

fn closing(code: u16, reason: &str) -> Message {
    Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))
}

fn theirs(stream: &[u8]) -> (Vec<Message>, End<Error>) {
    read_by(Role::Server, stream)
}

fn read_by(role: Role, stream: &[u8]) -> (Vec<Message>, End<Error>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(64)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let pipe = Pipe { input: Cursor::new(stream.to_vec()), ..Pipe::default() };
    let mut socket = WebSocket::from_raw_socket(pipe, role, Some(config));
    let mut all = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => all.push(message),
            Err(Error::ConnectionClosed) => return (all, End::Closed),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return (all, End::Waiting),
            Err(error) => return (all, End::Refused(error)),
        }
    }
}

/// The two directions of a stream that is in memory.
#[derive(Debug, Default)]
struct Pipe {
    input: Cursor<Vec<u8>>,
    written: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message cut into fragments, with control frames between them.
#[derive(Clone, Debug)]
struct Sent {
    message: Message,
    cuts: Vec<Index>,
    between: Option<Message>,
    key: [u8; 4],
}

impl Sent {
    fn frames(&self) -> Vec<u8> {
        let payload = self.message.clone().into_data();
        let mut ends: Vec<_> = self.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        if is_control(&self.message) {
            ends.clear();
        }
        ends.push(payload.len());
        ends.sort_unstable();
        let (mut stream, mut at) = (Vec::new(), 0);
        for (i, &end) in ends.iter().enumerate() {
            let is_last = i + 1 == ends.len();
            let first = if i == 0 { opcode(&self.message) as u8 } else { 0 };
            stream.extend(masked(first | if is_last { 0x80 } else { 0 }, &payload[at..end], self.key));
            if let Some(between) = self.between.as_ref().filter(|_| !is_last) {
                stream.extend(masked(0x80 | opcode(between) as u8, &between.clone().into_data(), self.key));
            }
            at = end;
        }
        stream
    }

    fn messages(&self) -> Vec<Message> {
        let cuts = if is_control(&self.message) { 0 } else { self.cuts.len() };
        let between = self.between.iter().flat_map(|between| std::iter::repeat_n(between.clone(), cuts));
        between.chain([self.message.clone()]).collect()
    }
}

fn opcode(message: &Message) -> Opcode {
    match message {
        Message::Text(_) => Opcode::Text,
        Message::Binary(_) => Opcode::Binary,
        Message::Ping(_) => Opcode::Ping,
        Message::Pong(_) => Opcode::Pong,
        Message::Close(_) => Opcode::Close,
        Message::Frame(_) => panic!("nobody makes these"),
    }
}

/// A frame of a client; `first` is its first byte.
fn masked(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0xFE);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    bytes.extend(key);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn sent() -> impl Strategy<Value = Sent> {
    (message(), vec(any::<Index>(), 0..4), proptest::option::of(control()), any::<[u8; 4]>())
        .prop_map(|(message, cuts, between, key)| Sent { message, cuts, between, key })
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = vec(any::<u8>(), 0..MESSAGE_BYTES_MAX);
    prop_oneof![
        3 => "\\PC{0,140}".prop_map(Message::text),
        2 => bytes.prop_map(Message::binary),
        1 => control(),
    ]
}

fn control() -> impl Strategy<Value = Message> {
    let bytes = vec(any::<u8>(), 0..=125);
    prop_oneof![
        bytes.clone().prop_map(|bytes| Message::Ping(bytes.into())),
        bytes.prop_map(|bytes| Message::Pong(bytes.into())),
    ]
}

/// A code that both may send, and a reason.
fn close() -> impl Strategy<Value = (u16, String)> {
    (prop_oneof![1000..=1003u16, 1007..=1013u16, 3000..=4999u16], "\\PC{0,30}")
}

/// A frame whose every field is now and then one that no client may send, and whose payload is often not
/// all there.
fn odd_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8A]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        4 => "[a-zäκ€😀]{0,9}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..10),
        1 => (0..6000u16).prop_map(|code| code.to_be_bytes().to_vec()),
        1 => (0..700usize).prop_map(|length| vec![b'a'; length]),
    ];
    let length = prop_oneof![8 => Just(None), 1 => any::<u8>().prop_map(Some)];
    (first, payload, length, any::<[u8; 4]>()).prop_map(|(first, payload, length, key)| {
        let mut bytes = masked(first, &payload, key);
        bytes[1] = length.unwrap_or(bytes[1]);
        bytes
    })
}
