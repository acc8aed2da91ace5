//! Fills a buffer of the caller with one STUN message.

use super::header::{Class, HEADER_BYTES, MAGIC_COOKIE, Method, TransactionId, message_type};
use super::integrity::{IntegrityAlgorithm, IntegrityKey};
use super::{AttributeType, attribute};
use std::net::SocketAddr;

/// Writes header and attributes in order; padding bytes are zero.
///
/// An attribute that does not fit marks the message as failed, which [`MessageWriter::finish`]
/// reports, so a reply is whole or not sent at all.
#[derive(Debug)]
pub struct MessageWriter<'b> {
    buffer: &'b mut [u8],
    length: usize,
    failed: bool,
}

impl<'b> MessageWriter<'b> {
    /// Begins a message at the start of `buffer`.
    pub fn new(buffer: &'b mut [u8], class: Class, method: Method, id: TransactionId) -> Self {
        let mut writer = Self { buffer, length: 0, failed: false };
        writer.push(&message_type(class, method).to_be_bytes());
        writer.push(&[0, 0]);
        writer.push(&MAGIC_COOKIE.to_be_bytes());
        writer.push(&id.0);
        writer
    }

    /// Any attribute by its raw value, up to 65,528 bytes.
    pub fn attribute(&mut self, kind: AttributeType, value: &[u8]) {
        self.attribute_header(kind, value.len());
        self.push(value);
        self.push(&[0; 3][..value.len().wrapping_neg() & 3]);
    }

    /// An attribute whose value is a 32-bit number.
    pub fn u32(&mut self, kind: AttributeType, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// XOR-MAPPED-, XOR-PEER- or XOR-RELAYED-ADDRESS (RFC 8489 section 14.2).
    pub fn xor_address(&mut self, kind: AttributeType, address: SocketAddr) {
        let mut id = TransactionId::default();
        if let Some(bytes) = self.buffer.get(8..HEADER_BYTES) {
            id.0.copy_from_slice(bytes);
        }
        let (value, length) = attribute::encode_xor_address(address, id);
        self.attribute(kind, &value[..length]);
    }

    /// MAPPED-ADDRESS, ALTERNATE-SERVER, RESPONSE-ORIGIN or OTHER-ADDRESS (RFC 8489 section 14.1).
    pub fn address(&mut self, kind: AttributeType, address: SocketAddr) {
        let (value, length) = attribute::encode_address(address);
        self.attribute(kind, &value[..length]);
    }

    /// ERROR-CODE without reason text: a reply to a stranger carries no byte that is not needed.
    pub fn error_code(&mut self, code: u16) {
        self.attribute(AttributeType::ERROR_CODE, &attribute::encode_error_code(code));
    }

    /// UNKNOWN-ATTRIBUTES (RFC 8489 section 14.13).
    pub fn unknown_attributes(&mut self, kinds: impl ExactSizeIterator<Item = AttributeType>) {
        let count = kinds.len();
        self.attribute_header(AttributeType::UNKNOWN_ATTRIBUTES, 2 * count);
        for kind in kinds {
            self.push(&kind.0.to_be_bytes());
        }
        self.push(&[0; 2][..2 * (count & 1)]);
    }

    /// PADDING (RFC 5780 section 7.6): zeros that bring the message to `total` bytes, rounded down to a
    /// multiple of four; none when it is that long already.
    pub fn padding(&mut self, total: usize) {
        let length = total.saturating_sub(self.length + 4) & !3;
        self.attribute_header(AttributeType::PADDING, length);
        match self.buffer.get_mut(self.length..self.length + length) {
            Some(target) if !self.failed => {
                target.fill(0);
                self.length += length;
            }
            _ => self.failed = true,
        }
    }

    /// MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 over all that was written (RFC 8489 section 14.5).
    pub fn integrity(&mut self, algorithm: IntegrityAlgorithm, key: &IntegrityKey) {
        if self.failed {
            return;
        }
        let tag = key.sign(algorithm, &self.buffer[..self.length]);
        self.attribute(algorithm.attribute(), tag.as_ref());
    }

    /// FINGERPRINT, the last attribute (RFC 8489 section 14.7).
    pub fn fingerprint(&mut self) {
        if self.failed {
            return;
        }
        let value = attribute::fingerprint(&self.buffer[..self.length]);
        self.u32(AttributeType::FINGERPRINT, value);
    }

    /// Closes the message for a last attribute whose value is sent from elsewhere: writes the header
    /// of `kind` for `length` bytes, and counts them and their padding in the length field. Returns the
    /// bytes written, or `None` when they do not fit the buffer or the length field.
    pub fn finish_before(mut self, kind: AttributeType, length: usize) -> Option<usize> {
        self.attribute_header(kind, length);
        if self.failed {
            return None;
        }
        let body = u16::try_from(self.length - HEADER_BYTES + length.next_multiple_of(4)).ok()?;
        self.buffer[2..4].copy_from_slice(&body.to_be_bytes());
        Some(self.length)
    }

    /// Closes the length field. Returns the bytes of the message, or `None` when it did not fit.
    pub fn finish(self) -> Option<usize> {
        if self.failed {
            return None;
        }
        let body = u16::try_from(self.length - HEADER_BYTES).ok()?;
        self.buffer[2..4].copy_from_slice(&body.to_be_bytes());
        Some(self.length)
    }

    fn attribute_header(&mut self, kind: AttributeType, length: usize) {
        let Ok(length) = u16::try_from(length) else {
            self.failed = true;
            return;
        };
        self.push(&kind.0.to_be_bytes());
        self.push(&length.to_be_bytes());
    }

    fn push(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.length..self.length + bytes.len()) {
            Some(target) if !self.failed => {
                target.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            _ => self.failed = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;

    #[test]
    fn a_message_that_does_not_fit_is_not_half_written() {
        for size in 0..36 {
            let mut buffer = vec![0xA5; size];
            let mut writer =
                MessageWriter::new(&mut buffer, Class::Error, Method::ALLOCATE, TransactionId([1; 12]));
            writer.error_code(401);
            writer.attribute(AttributeType::REALM, b"turn");
            assert_eq!(writer.finish(), None, "{size}");
        }
    }

    #[test] // RFC 5780 section 7.6
    fn a_padded_message_has_the_wanted_size_or_an_empty_padding() {
        for (total, expected) in [(0, 24), (24, 24), (27, 24), (28, 28), (1503, 1500)] {
            let mut buffer = [0xA5; 1500];
            let mut writer =
                MessageWriter::new(&mut buffer, Class::Success, Method::BINDING, TransactionId([1; 12]));
            writer.padding(total);
            assert_eq!(writer.finish(), Some(expected), "{total}");
            let value = Message::parse(&buffer[..expected]).expect("sound").first(AttributeType::PADDING);
            assert!(value.is_some_and(|value| value.len() == expected - 24 && value.iter().all(|b| *b == 0)));
        }
        let mut buffer = [0; 64];
        let mut writer =
            MessageWriter::new(&mut buffer, Class::Success, Method::BINDING, TransactionId::default());
        writer.padding(100);
        assert_eq!(writer.finish(), None);
    }

    #[test] // the class of CVE-2020-4067 and coturn 1984
    fn padding_is_zero_whatever_the_buffer_held() {
        let mut buffer = [0xA5; 64];
        let mut writer =
            MessageWriter::new(&mut buffer, Class::Request, Method::ALLOCATE, TransactionId([1; 12]));
        writer.attribute(AttributeType::USERNAME, b"u");
        writer.unknown_attributes([AttributeType(0x7fff)].into_iter());
        let length = writer.finish().expect("fits");
        assert_eq!(buffer[20..length], [0, 6, 0, 1, b'u', 0, 0, 0, 0, 10, 0, 2, 0x7f, 0xff, 0, 0]);
        assert!(Message::parse(&buffer[..length]).is_ok());
    }
}
