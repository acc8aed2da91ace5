//! Any bytes as a ChannelData datagram, and as a stream that arrives in pieces.

use turnstone::wire::Malformed;
use turnstone::wire::channel_data::{ChannelData, Frame, HEADER_BYTES, frame, header, padding};
use turnstone::wire::stun::Message;

/// The bound of the stream side.
const STUN_BYTES_MAX: usize = 2048;

/// The first byte of `data` says how the stream, which is all the others, is cut.
pub(crate) fn run(data: &[u8]) {
    datagram(data);
    if let Some((&seed, stream)) = data.split_first() {
        datagram(stream);
        let whole = framed(stream, |_| stream.len());
        let mut cut = Cuts(u32::from(seed));
        assert_eq!(framed(stream, |have| have + cut.next_bytes()), whole);
        assert_eq!(framed(stream, |have| have + 1), whole);
    }
}

fn datagram(bytes: &[u8]) {
    let Ok(view) = ChannelData::parse(bytes) else { return };
    let end = HEADER_BYTES + view.payload.len();
    assert_eq!(header(view.number, view.payload.len() as u16), bytes[..HEADER_BYTES]);
    assert_eq!(view.payload, &bytes[HEADER_BYTES..end]);
    assert!(bytes.len() - end <= 3);
    assert_eq!(ChannelData::parse(&bytes[..end]), Ok(view));
    // The same datagram, padded for a stream, is one frame of it.
    let mut padded = bytes[..end].to_vec();
    padded.resize(end + padding(end), 0);
    let expected = Frame::ChannelData { length: end, total: padded.len() };
    assert_eq!(frame(&padded, STUN_BYTES_MAX), Ok(expected));
}

/// The frames of `stream` with where they begin, and how it ends: the bytes that wait for more, or why
/// it is lost. `grow` tells how many bytes are there next, given how many were.
fn framed(
    stream: &[u8],
    mut grow: impl FnMut(usize) -> usize,
) -> (Vec<(usize, Frame)>, Result<usize, Malformed>) {
    let (mut at, mut have, mut frames) = (0, 0, Vec::new());
    loop {
        match frame(&stream[at..have], STUN_BYTES_MAX) {
            Err(error) => return (frames, Err(error)),
            Ok(Frame::Incomplete { total }) => {
                assert!(total > have - at && total <= HEADER_BYTES + 65_536);
                if have == stream.len() {
                    return (frames, Ok(have - at));
                }
                have = grow(have).min(stream.len());
            }
            Ok(whole) => {
                frames.push((at, whole));
                at += taken(&stream[at..have], whole);
            }
        }
    }
}

/// Reads one whole frame; its bytes with padding.
fn taken(stream: &[u8], whole: Frame) -> usize {
    match whole {
        Frame::ChannelData { length, total } => {
            assert!(length <= total && total - length <= 3 && total % 4 == 0);
            let view = ChannelData::parse(&stream[..total]).expect("a frame is a datagram with padding");
            assert_eq!(view.payload.len(), length - HEADER_BYTES);
            total
        }
        Frame::Stun { total } => {
            assert!(total <= STUN_BYTES_MAX);
            // Whatever else is wrong with it, the length is what framing said.
            let refused = Message::parse(&stream[..total]).err();
            assert!(!matches!(
                refused,
                Some(Malformed::TooShort | Malformed::TooLong | Malformed::BadLength)
            ));
            total
        }
        Frame::Incomplete { .. } => unreachable!("only whole frames come here"),
    }
}

/// Piece sizes of 1 to 16 bytes: a linear congruence, so that an input always cuts alike.
struct Cuts(u32);

impl Cuts {
    fn next_bytes(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (self.0 >> 28) as usize
    }
}
