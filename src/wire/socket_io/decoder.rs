//! Packets of more than one message: a text, and the binary messages that it announces.

use super::packet::decode;
use super::{Malformed, Packet};
use bytes::Bytes;

/// Reads what one connection sends. It keeps nothing but a packet whose attachments have not all come.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Boxed: a connection that never sends binary pays for a pointer.
    partial: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Partial {
    text: Box<str>,
    wanted: usize,
    attachments: Vec<Bytes>,
    bytes: usize,
}

/// A packet with all its attachments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    text: Box<str>,
    /// What the placeholders stand for, by their number.
    pub attachments: Vec<Bytes>,
}

impl Whole {
    /// The packet, read again from its text.
    ///
    /// # Errors
    /// None in truth: the text was read before.
    pub fn packet(&self) -> Result<Packet<'_>, Malformed> {
        decode(&self.text).map(|(packet, _)| packet)
    }
}

impl Decoder {
    /// A text came: the packet in it, or `None` when attachments are to follow ([`Self::on_binary`]).
    ///
    /// `bytes_max`: of a whole packet, attachments included.
    ///
    /// # Errors
    /// The connection ends; the decoder is of no more use.
    pub fn on_text<'a>(&mut self, text: &'a str, bytes_max: usize) -> Result<Option<Packet<'a>>, Malformed> {
        if self.is_waiting() {
            return Err(Malformed::AttachmentMissing);
        }
        if text.len() > bytes_max {
            return Err(Malformed::TooLarge);
        }
        let (packet, wanted) = decode(text)?;
        if wanted == 0 {
            return Ok(Some(packet));
        }
        let partial = Partial { text: text.into(), wanted, attachments: Vec::new(), bytes: text.len() };
        self.partial = Some(Box::new(partial));
        Ok(None)
    }

    /// A binary message came: the packet that it makes whole, or `None` when more are to follow.
    ///
    /// # Errors
    /// The connection ends; the decoder is of no more use.
    pub fn on_binary(&mut self, attachment: &[u8], bytes_max: usize) -> Result<Option<Whole>, Malformed> {
        let Some(mut partial) = self.partial.take() else {
            return Err(Malformed::Unannounced);
        };
        partial.bytes = partial.bytes.saturating_add(attachment.len());
        if partial.bytes > bytes_max {
            return Err(Malformed::TooLarge);
        }
        partial.attachments.push(Bytes::copy_from_slice(attachment));
        if partial.attachments.len() < partial.wanted {
            self.partial = Some(partial);
            return Ok(None);
        }
        Ok(Some(Whole { text: partial.text, attachments: partial.attachments }))
    }

    /// Attachments are to follow. How long that may take is the driver's to say.
    pub const fn is_waiting(&self) -> bool {
        self.partial.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Content;
    use super::*;

    const MAX: usize = 64 * 1024;
    const TWO: &str = r#"52-7["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;

    #[test]
    fn a_connection_that_sends_no_binary_pays_for_a_pointer() {
        assert_eq!(size_of::<Decoder>(), size_of::<usize>());
    }

    #[test]
    fn a_packet_is_whole_with_its_last_attachment() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.on_text(TWO, MAX), Ok(None));
        assert!(decoder.is_waiting());
        assert_eq!(decoder.on_binary(&[1, 2, 3], MAX), Ok(None));
        let whole = decoder.on_binary(&[], MAX).unwrap().unwrap();
        assert!(!decoder.is_waiting());
        assert_eq!(whole.attachments, [&[1, 2, 3][..], &[]]);
        let Content::Event { id: Some(7), name, arguments } = whole.packet().unwrap().content else {
            panic!("{whole:?}");
        };
        assert_eq!((&*name, arguments.iter().count()), ("x", 2));
        assert!(decoder.on_text("2[\"y\"]", MAX).unwrap().is_some());
    }

    #[test]
    fn a_packet_that_announces_none_waits_for_none() {
        let mut decoder = Decoder::default();
        assert!(decoder.on_text("50-[\"x\"]", MAX).unwrap().is_some());
        assert_eq!(decoder.on_binary(&[1], MAX), Err(Malformed::Unannounced));
    }

    #[test] // security S6
    fn a_number_may_come_again_since_nothing_is_kept_of_it() {
        let mut decoder = Decoder::default();
        for _ in 0..3 {
            let packet = decoder.on_text("27[\"x\"]", MAX).unwrap().unwrap();
            assert!(matches!(packet.content, Content::Event { id: Some(7), .. }));
        }
        assert!(!decoder.is_waiting());
    }

    #[test] // security S8
    fn a_text_in_the_place_of_an_attachment_is_refused() {
        let mut decoder = Decoder::default();
        decoder.on_text(TWO, MAX).unwrap();
        assert_eq!(decoder.on_text("2[\"y\"]", MAX), Err(Malformed::AttachmentMissing));
    }

    #[test] // security S8
    fn a_binary_message_that_nothing_announced_is_refused() {
        assert_eq!(Decoder::default().on_binary(&[1], MAX), Err(Malformed::Unannounced));
    }

    #[test] // security S8
    fn bytes_count_over_the_text_and_all_attachments() {
        let max = TWO.len() + 10;
        let mut decoder = Decoder::default();
        decoder.on_text(TWO, max).unwrap();
        decoder.on_binary(&[0; 6], max).unwrap();
        assert!(decoder.on_binary(&[0; 4], max).unwrap().is_some());
        decoder.on_text(TWO, max).unwrap();
        decoder.on_binary(&[0; 6], max).unwrap();
        assert_eq!(decoder.on_binary(&[0; 5], max), Err(Malformed::TooLarge));
        assert_eq!(Decoder::default().on_text(TWO, TWO.len() - 1), Err(Malformed::TooLarge));
    }
}
