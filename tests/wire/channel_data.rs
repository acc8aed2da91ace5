//! ChannelData over datagrams and streams (RFC 8656 sections 12.4 and 12.5).

use crate::arbitrary::{Draft, draft};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::ops::Range;
use turnstone::wire::Malformed;
use turnstone::wire::channel_data::{
    ChannelData, ChannelNumber, Frame, HEADER_BYTES, frame, header, padding,
};
use turnstone::wire::stun::{Message, Method};

const STUN_BYTES_MAX: usize = 4096;

/// One message of a stream, by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Stun(Range<usize>),
    ChannelData { message: Range<usize>, next: usize },
}

impl Found {
    fn next(&self) -> usize {
        match self {
            Self::Stun(range) => range.end,
            Self::ChannelData { next, .. } => *next,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_datagram_survives_with_and_without_padding(
        number in number(),
        payload in vec(any::<u8>(), 0..200),
        trailing in 0..=3usize,
    ) {
        let mut datagram = header(number, payload.len() as u16).to_vec();
        datagram.extend(&payload);
        let view = ChannelData { number, payload: &payload };
        prop_assert_eq!(ChannelData::parse(&datagram), Ok(view));
        let end = datagram.len();
        datagram.extend(vec![0xA5; trailing]);
        prop_assert_eq!(ChannelData::parse(&datagram), Ok(view));
        datagram.extend([0; 4]);
        prop_assert_eq!(ChannelData::parse(&datagram), Err(Malformed::TooLong));
        for short in 0..end {
            prop_assert_eq!(ChannelData::parse(&datagram[..short]), Err(Malformed::TooShort));
        }
    }

    #[test]
    fn an_arbitrary_datagram_reads_as_its_own_header_says(datagram in vec(any::<u8>(), 0..12)) {
        if let Ok(view) = ChannelData::parse(&datagram) {
            prop_assert_eq!(&header(view.number, view.payload.len() as u16), &datagram[..HEADER_BYTES]);
            prop_assert_eq!(view.payload, &datagram[HEADER_BYTES..HEADER_BYTES + view.payload.len()]);
        }
    }

    #[test]
    fn any_split_of_a_stream_frames_to_the_messages_that_were_sent(
        messages in vec(message(), 10),
        cuts in vec(any::<Index>(), 0..40),
    ) {
        let (stream, sent) = joined(&messages);
        prop_assert_eq!(&delivered(&stream, &[stream.len()]).unwrap(), &sent);
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();
        prop_assert_eq!(&delivered(&stream, &ends).unwrap(), &sent);
        assert_readable(&stream, &sent);
    }

    #[test]
    fn a_stream_that_comes_byte_by_byte_frames_to_the_messages_that_were_sent(
        messages in vec(message(), 10),
    ) {
        let (stream, sent) = joined(&messages);
        let ends: Vec<_> = (0..=stream.len()).collect();
        prop_assert_eq!(delivered(&stream, &ends).unwrap(), sent);
    }

    /// What a reader waits for is exactly what the message takes, so a buffer of the larger of both
    /// bounds never fills up without a message in it.
    #[test]
    fn an_incomplete_message_says_how_many_bytes_it_takes(message in message()) {
        let (stream, sent) = joined(std::slice::from_ref(&message));
        for have in 0..stream.len() {
            let total = if have < HEADER_BYTES { HEADER_BYTES } else { sent[0].next() };
            prop_assert_eq!(frame(&stream[..have], STUN_BYTES_MAX), Ok(Frame::Incomplete { total }));
        }
    }

    #[test]
    fn padding_fills_a_message_up_to_four_bytes(length in 0..=65_535usize) {
        prop_assert!(padding(length) < 4);
        prop_assert_eq!((HEADER_BYTES + length + padding(length)) % 4, 0);
    }

    #[test]
    fn a_stun_message_of_the_bound_is_framed_and_a_longer_one_ends_the_stream(words in 0..64u8) {
        let total = 20 + 4 * usize::from(words);
        let mut stream = vec![0; total];
        stream[3] = 4 * words;
        prop_assert_eq!(frame(&stream, total), Ok(Frame::Stun { total }));
        prop_assert_eq!(frame(&stream, total - 1), Err(Malformed::BadLength));
        // It is refused as soon as its length is known, not when the rest has come.
        prop_assert_eq!(frame(&stream[..4], total - 1), Err(Malformed::BadLength));
    }

    #[test]
    fn arbitrary_bytes_are_never_waited_for_beyond_the_bounds(
        stream in vec(prop_oneof![Just(0u8), Just(1), Just(0x40), any::<u8>()], 0..40),
        stun_bytes_max in 20..200usize,
    ) {
        match frame(&stream, stun_bytes_max) {
            Ok(Frame::Incomplete { total }) => {
                let channel = stream.first().is_some_and(|first| first >> 6 == 1);
                let bytes_max = if channel { HEADER_BYTES + 65_536 } else { stun_bytes_max };
                prop_assert!(total > stream.len() && total <= bytes_max);
            }
            Ok(Frame::Stun { total }) => prop_assert!((20..=stun_bytes_max.min(stream.len())).contains(&total)),
            Ok(Frame::ChannelData { length, total }) => {
                prop_assert!(total <= stream.len() && total == length.next_multiple_of(4));
            }
            // A lost stream stays lost, whatever comes.
            Err(error) => {
                let longer = [&stream[..], &[0; 64]].concat();
                prop_assert!(frame(&longer, stun_bytes_max).is_err(), "{error:?}");
            }
        }
    }
}

/// A ChannelData message with payload, or the bytes of a STUN message.
#[derive(Clone, Debug)]
enum Sent {
    Stun(Vec<u8>),
    ChannelData(ChannelNumber, Vec<u8>),
}

fn message() -> impl Strategy<Value = Sent> {
    prop_oneof![
        (number(), vec(any::<u8>(), 0..50)).prop_map(|(number, payload)| Sent::ChannelData(number, payload)),
        draft().prop_map(|draft| Sent::Stun(of_a_shared_port(draft).write())),
    ]
}

/// Where channels share the port, the first byte of STUN is 0 to 3, hence methods end at 0x0FF
/// (RFC 8489 section 18.2, RFC 7983 section 7).
fn of_a_shared_port(mut draft: Draft) -> Draft {
    draft.method = Method::new(draft.method.get() & 0x0FF);
    draft
}

fn number() -> impl Strategy<Value = ChannelNumber> {
    (0x4000..=0x7FFFu16).prop_map(|number| ChannelNumber::new(number).expect("inside 0x4000-0x7FFF"))
}

/// The stream of these messages, padded as RFC 8656 section 12.5 wants, and where each one lies.
fn joined(messages: &[Sent]) -> (Vec<u8>, Vec<Found>) {
    let (mut stream, mut places) = (Vec::new(), Vec::new());
    for message in messages {
        let start = stream.len();
        match message {
            Sent::Stun(bytes) => {
                stream.extend(bytes);
                places.push(Found::Stun(start..stream.len()));
            }
            Sent::ChannelData(number, payload) => {
                stream.extend(header(*number, payload.len() as u16));
                stream.extend(payload);
                let message = start..stream.len();
                stream.resize(stream.len().next_multiple_of(4), 0);
                places.push(Found::ChannelData { message, next: stream.len() });
            }
        }
    }
    (stream, places)
}

/// Frames a buffer that grows to each of `ends` in turn, as a reader of a socket does.
fn delivered(stream: &[u8], ends: &[usize]) -> Result<Vec<Found>, Malformed> {
    let (mut at, mut found) = (0, Vec::new());
    for &end in ends {
        loop {
            match frame(&stream[at..end], STUN_BYTES_MAX)? {
                Frame::Incomplete { total } => {
                    assert!(total > end - at, "asks for bytes that are here");
                    break;
                }
                Frame::Stun { total } => found.push(Found::Stun(at..at + total)),
                Frame::ChannelData { length, total } => {
                    found.push(Found::ChannelData { message: at..at + length, next: at + total });
                }
            }
            at = found.last().map_or(at, Found::next);
        }
    }
    Ok(found)
}

fn assert_readable(stream: &[u8], found: &[Found]) {
    for place in found {
        match place {
            Found::Stun(range) => assert!(Message::parse(&stream[range.clone()]).is_ok()),
            Found::ChannelData { message, next } => {
                let view = ChannelData::parse(&stream[message.clone()]).unwrap();
                assert_eq!(view.payload, &stream[message.start + HEADER_BYTES..message.end]);
                // Padding on a stream is zero, and a datagram reader does not mind it.
                assert_eq!(ChannelData::parse(&stream[message.start..*next]), Ok(view));
            }
        }
    }
}
