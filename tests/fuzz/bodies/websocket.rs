//! Any bytes as what a WebSocket client sends, in one piece and in others: two bytes say how large a
//! message may be and how the rest is cut.

use turnstone::wire::websocket::{
    CLOSE_REASON_BYTES_MAX, CONTROL_BYTES_MAX, Incoming, Opcode, Reader, Violation, frame_header,
    write_close, write_frame,
};

type Read = (Vec<Incoming<'static>>, Option<Violation>);

pub(crate) fn run(data: &[u8]) {
    let Some((&[bound, cut], stream)) = data.split_first_chunk() else { return };
    // 0 to 65,025, more often small.
    let bytes_max = u32::from(bound) * u32::from(bound);
    let whole = read(bytes_max, [stream]);
    assert_eq!(read(bytes_max, stream.chunks(1)), whole, "byte by byte");
    assert_eq!(read(bytes_max, stream.chunks(1 + usize::from(cut))), whole);
    assert_eq!(read(bytes_max, growing(stream, cut)), whole);
    assert_plausible(&whole, bytes_max as usize, stream.len());
    for incoming in &whole.0 {
        assert_writable(incoming);
    }
}

/// Pieces of other sizes each time.
fn growing(mut stream: &[u8], cut: u8) -> impl Iterator<Item = &[u8]> {
    let mut bytes = usize::from(cut);
    std::iter::from_fn(move || {
        bytes = bytes * 5 % 241 + 1;
        let (piece, rest) = stream.split_at(bytes.min(stream.len()));
        stream = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn read<'a>(bytes_max: u32, pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let (mut reader, mut all, mut violation) = (Reader::new(bytes_max), Vec::new(), None);
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match reader.read(&mut input) {
                Ok(None) => break,
                Ok(Some(incoming)) => {
                    let has_ended = violation.is_some() || matches!(all.last(), Some(Incoming::Close { .. }));
                    assert!(!has_ended, "something behind the end");
                    all.push(owned(incoming));
                }
                Err(error) => assert_eq!(violation.replace(error), None, "a second violation"),
            }
            assert!(reader.kept_bytes() <= bytes_max as usize + Reader::OVERHEAD_BYTES_MAX);
        }
        assert!(input.is_empty(), "what is not whole is kept");
        assert_eq!(reader.is_partial(), reader.kept_bytes() > 0);
    }
    (all, violation)
}

fn assert_plausible((all, violation): &Read, bytes_max: usize, stream_bytes: usize) {
    let has_close = matches!(all.last(), Some(Incoming::Close { .. }));
    assert!(violation.is_none() || !has_close, "one end is enough");
    let (mut payload_bytes, mut frames) = (0, 0);
    for incoming in all {
        let (payload, bound) = payload(incoming);
        assert!(payload.len() <= bound.unwrap_or(bytes_max));
        payload_bytes += payload.len();
        frames += 1;
    }
    assert!(payload_bytes + 6 * frames <= stream_bytes, "more came out than went in");
}

/// What came whole can go out again, and its length says where it ends.
fn assert_writable(incoming: &Incoming<'_>) {
    let mut out = Vec::new();
    let opcode = match incoming {
        Incoming::Text(_) => Opcode::Text,
        Incoming::Binary(_) => Opcode::Binary,
        Incoming::Ping(_) => Opcode::Ping,
        Incoming::Pong(_) => Opcode::Pong,
        Incoming::Close { code: None, .. } => return,
        Incoming::Close { code: Some(code), reason } => {
            write_close(&mut out, *code, reason);
            assert_eq!(out[2..4], code.get().to_be_bytes());
            assert_eq!(&out[4..], reason.as_bytes());
            return;
        }
    };
    let (payload, _) = payload(incoming);
    write_frame(&mut out, opcode, payload);
    assert_eq!(out, [&frame_header(opcode, payload.len()), payload].concat());
}

/// The payload, and its bound if that is not the bound of messages.
fn payload<'a>(incoming: &'a Incoming<'_>) -> (&'a [u8], Option<usize>) {
    match incoming {
        Incoming::Text(text) => (text.as_bytes(), None),
        Incoming::Binary(bytes) => (bytes, None),
        Incoming::Ping(bytes) | Incoming::Pong(bytes) => (bytes, Some(CONTROL_BYTES_MAX)),
        Incoming::Close { reason, .. } => (reason.as_bytes(), Some(CLOSE_REASON_BYTES_MAX)),
    }
}

fn owned(incoming: Incoming<'_>) -> Incoming<'static> {
    match incoming {
        Incoming::Text(text) => Incoming::Text(text.into_owned().into()),
        Incoming::Binary(bytes) => Incoming::Binary(bytes.into_owned().into()),
        Incoming::Ping(bytes) => Incoming::Ping(bytes.into_owned().into()),
        Incoming::Pong(bytes) => Incoming::Pong(bytes.into_owned().into()),
        Incoming::Close { code, reason } => Incoming::Close { code, reason: reason.into_owned().into() },
    }
}
