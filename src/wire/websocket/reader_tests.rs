use super::super::CloseCode;
use super::*;

/// Small enough that a message of the bound is quick, large enough for a length of 16 bits.
const MAX: u32 = 1000;
const FIN: u8 = 0x80;
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

#[test] // RFC 6455 section 5.7
fn the_masked_text_of_the_rfc_is_read() {
    let hello = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(read(&hello), Ok(vec![text("Hello")]));
}

#[test] // RFC 6455 section 5.7, with masks, as a client has to send it
fn the_fragmented_text_and_the_pong_of_the_rfc_are_read() {
    let stream =
        [frame(0x1, b"Hel"), frame(FIN, b"lo"), frame(FIN | 0xA, b"Hello"), frame(FIN | 0x2, &[7; 256])];
    let pong = Incoming::Pong(b"Hello".into());
    assert_eq!(read(&stream.concat()), Ok(vec![text("Hello"), pong, Incoming::Binary(vec![7; 256].into())]));
}

#[test]
fn a_message_that_is_whole_is_lent_and_nothing_is_kept() {
    let mut stream =
        [frame(FIN | 0x1, b"one"), frame(FIN | 0x2, b"two"), frame(FIN | 0x9, b"three")].concat();
    let mut reader = Reader::new(MAX);
    let mut input = &mut stream[..];
    while let Some(incoming) = reader.read(&mut input).unwrap() {
        match incoming {
            Incoming::Text(Cow::Borrowed("one")) => {}
            Incoming::Binary(Cow::Borrowed(b"two")) => {}
            Incoming::Ping(Cow::Borrowed(b"three")) => {}
            other => panic!("{other:?}"),
        }
        assert!(!reader.is_partial());
    }
    assert_eq!((input.len(), reader.kept_bytes()), (0, 0));
}

#[test]
fn a_reader_is_small() {
    assert!(size_of::<Reader>() <= 16);
}

#[test]
fn memory_comes_with_the_bytes_and_goes_with_the_message() {
    let mut reader = Reader::new(65_536);
    let mut stream = frame(FIN | 0x2, &[7; 60_000]);
    let (front, back) = stream.split_at_mut(1008);
    assert_eq!(reader.read(&mut &mut front[..]), Ok(None));
    assert!(reader.is_partial());
    assert!((1000..2000).contains(&reader.kept_bytes()), "{}", reader.kept_bytes());
    let mut input = back;
    let incoming = reader.read(&mut input).unwrap();
    assert_eq!(incoming, Some(Incoming::Binary(vec![7; 60_000].into())));
    assert!(!reader.is_partial() && reader.kept_bytes() == 0);
}

#[test] // RFC 6455 section 5.4
fn control_frames_come_between_fragments() {
    let stream = [
        frame(0x1, b"a"),
        frame(FIN | 0x9, b"ping"),
        frame(0x0, b""),
        frame(FIN | 0xA, b""),
        frame(FIN, b"b"),
        frame(FIN | 0x1, b"c"),
    ];
    let (ping, pong) = (Incoming::Ping(b"ping".into()), Incoming::Pong(b"".into()));
    assert_eq!(read(&stream.concat()), Ok(vec![ping, pong, text("ab"), text("c")]));
}

#[test] // RFC 6455 section 5.4
fn what_continues_nothing_or_begins_too_early_is_refused() {
    assert_eq!(read(&frame(FIN, b"")), Err(Violation::NothingToContinue));
    assert_eq!(read(&frame(0x0, b"")), Err(Violation::NothingToContinue));
    for opcode in [0x1, FIN | 0x1, 0x2, FIN | 0x2] {
        let stream = [frame(0x1, b"a"), frame(opcode, b"b")].concat();
        assert_eq!(read(&stream), Err(Violation::MessageInsideMessage), "{opcode:#x}");
    }
    let stream = [frame(FIN | 0x1, b"a"), frame(FIN, b"b")].concat();
    assert_eq!(read(&stream), Err(Violation::NothingToContinue), "the message has ended");
}

#[test] // RFC 6455 sections 5.6 and 8.1
fn a_text_is_utf8_as_a_whole() {
    assert_eq!(read(&[frame(0x1, b"\xCE"), frame(FIN, b"\xBA")].concat()), Ok(vec![text("κ")]));
    for broken in [&b"\xCE"[..], b"\xED\xA0\x80", b"\xC0\xAF", b"\xF4\x90\x80\x80", b"a\xFF"] {
        assert_eq!(read(&frame(FIN | 0x1, broken)), Err(Violation::NotUtf8), "{broken:x?}");
        let pieces = [frame(0x1, b"a"), frame(FIN, broken)].concat();
        assert_eq!(read(&pieces), Err(Violation::NotUtf8), "{broken:x?}");
        assert_eq!(read(&frame(FIN | 0x2, broken)), Ok(vec![Incoming::Binary(broken.into())]));
    }
}

#[test] // RFC 6455 section 5.5.1
fn a_close_may_carry_a_code_and_a_reason() {
    let close = |code, reason: &'static str| Incoming::Close { code, reason: reason.into() };
    assert_eq!(read(&frame(FIN | 0x8, b"")), Ok(vec![close(None, "")]));
    let going_away = close(Some(CloseCode::GOING_AWAY), "");
    assert_eq!(read(&frame(FIN | 0x8, b"\x03\xE9")), Ok(vec![going_away]));
    assert_eq!(
        read(&frame(FIN | 0x8, "\x0F\x0Etschüss".as_bytes())),
        Ok(vec![close(CloseCode::new(0x0F0E), "tschüss")])
    );
}

#[test] // RFC 6455 sections 5.5.1, 7.4.1 and 7.4.2
fn a_close_with_half_a_code_or_one_that_may_not_be_sent_is_refused() {
    assert_eq!(read(&frame(FIN | 0x8, &[3])), Err(Violation::CloseCode));
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        assert_eq!(read(&frame(FIN | 0x8, &code.to_be_bytes())), Err(Violation::CloseCode), "{code}");
    }
    assert_eq!(read(&frame(FIN | 0x8, b"\x03\xE8\xFF")), Err(Violation::NotUtf8));
}

#[test] // RFC 6455 sections 5.5.1 and 7.1.7
fn nothing_counts_behind_a_close_or_a_violation() {
    let more = [frame(FIN | 0x1, b"more"), vec![0xFF; 20]].concat();
    let stream = [frame(0x1, b"never ends"), frame(FIN | 0x8, b""), more.clone()].concat();
    assert_eq!(read(&stream).unwrap().len(), 1);
    let mut reader = Reader::new(MAX);
    let mut stream = [vec![0x81, 0x01], more].concat();
    let mut input = &mut stream[..];
    assert_eq!(reader.read(&mut input), Err(Violation::Unmasked));
    assert_eq!((reader.read(&mut input), input.len(), reader.kept_bytes()), (Ok(None), 0, 0));
    assert_eq!(reader.read(&mut &mut frame(FIN | 0x1, b"again")[..]), Ok(None));
}

#[test] // RFC 6455 section 10.4; security S7
fn a_message_of_the_bound_is_taken_and_one_byte_more_is_not() {
    let full = vec![b'x'; MAX as usize];
    assert_eq!(read(&frame(FIN | 0x2, &full)), Ok(vec![Incoming::Binary(full.clone().into())]));
    assert_eq!(read(&frame(FIN | 0x2, &[&full[..], b"x"].concat())), Err(Violation::MessageTooBig));
    let pieces =
        |last: &[u8]| [frame(0x2, &full[..600]), frame(0x0, &full[600..]), frame(FIN, last)].concat();
    assert_eq!(read(&pieces(b"")), Ok(vec![Incoming::Binary(full.clone().into())]));
    assert_eq!(read(&pieces(b"x")), Err(Violation::MessageTooBig));
}

#[test] // security S7
fn a_giant_is_refused_by_its_header_alone() {
    let header = |length: u64| [&[0x82, 0xFF][..], &length.to_be_bytes(), &KEY].concat();
    for length in [65_536, 1 << 30, 1 << 32, (1 << 32) + 5, u64::MAX >> 1] {
        assert_eq!(read(&header(length)), Err(Violation::MessageTooBig), "{length}");
    }
    let mut reader = Reader::new(u32::MAX);
    assert_eq!(reader.read(&mut &mut header(u64::from(u32::MAX))[..]), Ok(None));
    assert!(reader.kept_bytes() <= Reader::OVERHEAD_BYTES_MAX, "an announcement takes no memory");
}

#[test] // security S7: a million tiny fragments
fn a_message_has_so_many_fragments_and_no_more() {
    let fragments = |count: u16| {
        let mut stream = frame(0x2, b"");
        (1..count).for_each(|_| stream.extend(frame(0x0, b"")));
        stream
    };
    let last = frame(FIN, b"end");
    let whole = Ok(vec![Incoming::Binary(b"end".into())]);
    assert_eq!(pieces(&[&fragments(FRAGMENTS_MAX - 1), &last]), whole);
    assert_eq!(pieces(&[&fragments(FRAGMENTS_MAX), &last]), Err(Violation::TooManyFragments));
    let mut reader = Reader::new(MAX);
    assert_eq!(reader.read(&mut &mut fragments(FRAGMENTS_MAX)[..]), Ok(None));
    assert_eq!(reader.kept_bytes(), size_of::<Partial>(), "empty fragments take no memory");
}

#[test] // RFC 6455 section 7.4.1
fn each_violation_closes_with_its_code() {
    assert_eq!(Violation::Unmasked.close_code(), CloseCode::PROTOCOL);
    assert_eq!(Violation::NotUtf8.close_code().get(), 1007);
    assert_eq!(Violation::TooManyFragments.close_code().get(), 1008);
    assert_eq!(Violation::MessageTooBig.close_code().get(), 1009);
}

/// Reads a stream in one piece, and cut in three in all ways near its ends; they must agree.
fn read(stream: &[u8]) -> Result<Vec<Incoming<'static>>, Violation> {
    let whole = pieces(&[stream]);
    let cuts: Vec<_> = (0..=stream.len()).filter(|at| *at < 40 || at + 40 > stream.len()).collect();
    for (i, first) in cuts.iter().enumerate() {
        for second in &cuts[i..] {
            let cut = [&stream[..*first], &stream[*first..*second], &stream[*second..]];
            assert_eq!(pieces(&cut), whole, "cut at {first} and {second}");
        }
    }
    whole
}

fn pieces(pieces: &[&[u8]]) -> Result<Vec<Incoming<'static>>, Violation> {
    let (mut reader, mut all) = (Reader::new(MAX), Vec::new());
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        while let Some(incoming) = reader.read(&mut input)? {
            all.push(owned(incoming));
        }
        assert!(input.is_empty() && reader.kept_bytes() <= MAX as usize + Reader::OVERHEAD_BYTES_MAX);
    }
    Ok(all)
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

fn text(text: &'static str) -> Incoming<'static> {
    Incoming::Text(text.into())
}

/// A frame of a client; `first` is FIN and opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0xFE);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}
