//! From bytes of a client to messages (RFC 6455 sections 5 and 6.2).

use super::frame::{CLIENT_HEADER_BYTES_MAX, ClientHeader};
use super::mask::unmask;
use super::{CONTROL_BYTES_MAX, Incoming, Opcode, Violation};
use std::borrow::Cow;
use std::mem;

/// How many frames one message may have; what other libraries send as a stream comes in far fewer.
pub const FRAGMENTS_MAX: u16 = 1024;

/// What one connection's input has left behind: 16 bytes, and memory only while something is not whole.
///
/// ```
/// # use turnstone::wire::websocket::{Incoming, Reader, Violation};
/// # fn serve(scratch: &mut [u8], mut handle: impl FnMut(Incoming)) -> Result<(), Violation> {
/// let mut reader = Reader::new(65_536);
/// let mut input = scratch; // what one read of the socket has brought
/// while let Some(incoming) = reader.read(&mut input)? {
///     handle(incoming);
/// }
/// # Ok(())
/// # }
/// # let mut frame = [0x89, 0x80, 1, 2, 3, 4];
/// # serve(&mut frame, |incoming| assert_eq!(incoming, Incoming::Ping(Default::default()))).unwrap();
/// ```
#[derive(Debug)]
pub struct Reader {
    partial: Option<Box<Partial>>,
    message_bytes_max: u32,
    has_ended: bool,
}

impl Reader {
    /// A reader that takes messages of up to this many bytes of payload, all fragments together.
    pub const fn new(message_bytes_max: u32) -> Self {
        Self { partial: None, message_bytes_max, has_ended: false }
    }

    /// The next message or control frame in `input`, which is moved on behind it. `None`: all of the input
    /// is used up, and what was not whole is kept here.
    ///
    /// The result does not depend on how the stream was cut. Payload is unmasked where it lies. Whatever
    /// comes behind a Close or a violation counts no more (sections 5.5.1 and 7.1.7). A text is checked
    /// when it is whole, and not earlier: the bound on its size says how much can come in vain.
    ///
    /// # Errors
    /// The connection must be closed as the [`Violation`] says; a length is judged before any byte
    /// of its payload is kept.
    pub fn read<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Incoming<'a>>, Violation> {
        while !self.has_ended && !input.is_empty() {
            match self.advance(input) {
                Ok(None) => {}
                Ok(Some((opcode, payload))) => {
                    let incoming = Incoming::new(opcode, payload);
                    if opcode == Opcode::Close || incoming.is_err() {
                        self.end();
                    }
                    return incoming.map(Some);
                }
                Err(violation) => {
                    self.end();
                    return Err(violation);
                }
            }
        }
        *input = &mut [];
        Ok(None)
    }

    /// Whether a frame or a message has begun and not ended: its sender should not take for ever.
    pub const fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Bytes on the heap: none when nothing is partial, else up to the bound of a message and
    /// [`Self::OVERHEAD_BYTES_MAX`].
    pub fn kept_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.kept_bytes())
    }

    /// What a partial message takes beside its own bytes.
    pub const OVERHEAD_BYTES_MAX: usize = size_of::<Partial>() + CONTROL_BYTES_MAX;

    fn end(&mut self) {
        self.has_ended = true;
        self.partial = None;
    }

    /// One frame, or what is here of it; and what becomes whole with it.
    fn advance<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Whole<'a>>, Violation> {
        let under_way = self.partial.as_mut().and_then(|partial| partial.frame.take());
        let is_new = under_way.is_none();
        let mut frame = match under_way {
            Some(frame) => frame,
            None => match self.begin(input)? {
                Some(frame) => frame,
                None => return Ok(None),
            },
        };
        let payload = frame.take_payload(input);
        let whole = if is_new && frame.remaining == 0 && frame.is_all_of_its_message() {
            Some((frame.opcode, Cow::Borrowed(payload)))
        } else {
            let bytes_max = self.message_bytes_max as usize;
            self.partial.get_or_insert_default().append(frame, payload, bytes_max)
        };
        self.partial.take_if(|partial| partial.is_empty());
        Ok(whole)
    }

    /// The frame at the front of the input, whose header is taken off. `None` when the header is not whole.
    fn begin(&mut self, input: &mut &mut [u8]) -> Result<Option<Frame>, Violation> {
        let held = self.partial.as_mut().map(|partial| mem::take(&mut partial.header)).unwrap_or_default();
        let header = match held.length {
            0 => ClientHeader::parse(input)?,
            _ => ClientHeader::parse(held.followed_by(input).bytes())?,
        };
        let Some(header) = header else {
            self.partial.get_or_insert_default().header = held.followed_by(input);
            *input = &mut [];
            return Ok(None);
        };
        take(input, header.length - usize::from(held.length));
        self.admit(header).map(Some)
    }

    /// Section 5.4: whether this frame may come now, and is one too many or too much.
    fn admit(&mut self, header: ClientHeader) -> Result<Frame, Violation> {
        let message = self.partial.as_mut().and_then(|partial| partial.message.as_mut());
        let mut room = self.message_bytes_max;
        match (header.opcode, message) {
            (opcode, _) if opcode.is_control() => room = CONTROL_BYTES_MAX as u32,
            (Opcode::Continuation, None) => return Err(Violation::NothingToContinue),
            (Opcode::Continuation, Some(message)) => {
                // It was admitted, so it is no longer than the bound.
                room -= message.bytes.len() as u32;
                message.frames += 1;
                if message.frames > FRAGMENTS_MAX {
                    return Err(Violation::TooManyFragments);
                }
            }
            (_, Some(_)) => return Err(Violation::MessageInsideMessage),
            (_, None) => {}
        }
        let ClientHeader { opcode, is_final, masking_key, payload_bytes, .. } = header;
        match u32::try_from(payload_bytes) {
            Ok(remaining) if remaining <= room => Ok(Frame { opcode, is_final, masking_key, remaining }),
            _ => Err(Violation::MessageTooBig),
        }
    }
}

/// What a message or control frame is, and all of its payload.
type Whole<'a> = (Opcode, Cow<'a, [u8]>);

/// What is not whole yet.
#[derive(Debug, Default)]
struct Partial {
    header: HeldHeader,
    /// The frame whose payload is coming.
    frame: Option<Frame>,
    /// The message of which some fragments, or a part of one, are here.
    message: Option<Message>,
    /// Payload of the control frame that is coming, perhaps in the middle of a message.
    control: Vec<u8>,
}

#[derive(Debug)]
struct Message {
    opcode: Opcode,
    frames: u16,
    /// Unmasked.
    bytes: Vec<u8>,
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.header.length == 0 && self.frame.is_none() && self.message.is_none()
    }

    fn kept_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.bytes.capacity());
        size_of::<Self>() + message + self.control.capacity()
    }

    /// Keeps more of a frame; gives away what becomes whole with it. A message grows with what has come, and
    /// never with what was announced.
    fn append(&mut self, frame: Frame, payload: &[u8], bytes_max: usize) -> Option<Whole<'static>> {
        let is_control = frame.opcode.is_control();
        if is_control {
            extend(&mut self.control, payload, CONTROL_BYTES_MAX);
        } else {
            let begun = || Message { opcode: frame.opcode, frames: 1, bytes: Vec::new() };
            extend(&mut self.message.get_or_insert_with(begun).bytes, payload, bytes_max);
        }
        if frame.remaining > 0 {
            self.frame = Some(frame);
            return None;
        }
        if is_control {
            return Some((frame.opcode, Cow::Owned(mem::take(&mut self.control))));
        }
        let message = self.message.take_if(|_| frame.is_final)?;
        Some((message.opcode, Cow::Owned(message.bytes)))
    }
}

/// A frame whose header was read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    /// Turned to fit the next byte.
    masking_key: [u8; 4],
    /// Bytes of payload that have not come.
    remaining: u32,
}

impl Frame {
    /// What is here of the payload, off the front of the input and without its mask.
    fn take_payload<'a>(&mut self, input: &mut &'a mut [u8]) -> &'a mut [u8] {
        let payload = take(input, input.len().min(self.remaining as usize));
        self.remaining -= payload.len() as u32;
        unmask(payload, &mut self.masking_key);
        payload
    }

    fn is_all_of_its_message(&self) -> bool {
        self.is_final && self.opcode != Opcode::Continuation
    }
}

/// The front of a header.
#[derive(Clone, Copy, Debug, Default)]
struct HeldHeader {
    bytes: [u8; CLIENT_HEADER_BYTES_MAX],
    length: u8,
}

impl HeldHeader {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// With as much more as a header can have.
    fn followed_by(mut self, more: &[u8]) -> Self {
        let free = &mut self.bytes[usize::from(self.length)..];
        let taken = free.len().min(more.len());
        free[..taken].copy_from_slice(&more[..taken]);
        self.length += taken as u8;
        self
    }
}

/// Takes that many bytes, which are there, off the front.
fn take<'a>(input: &mut &'a mut [u8], bytes: usize) -> &'a mut [u8] {
    let (front, rest) = mem::take(input).split_at_mut(bytes);
    *input = rest;
    front
}

/// Doubles the memory when it is full, up to `bytes_max`, which the content never exceeds.
fn extend(buffer: &mut Vec<u8>, more: &[u8], bytes_max: usize) {
    let needed = buffer.len() + more.len();
    if needed > buffer.capacity() {
        let capacity = needed.max(bytes_max.min(2 * buffer.capacity()));
        buffer.reserve_exact(capacity - buffer.len());
    }
    buffer.extend_from_slice(more);
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
