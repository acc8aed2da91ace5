//! FINGERPRINT (RFC 8489 section 14.7): CRC-32 of what stands before it, XOR 0x5354554E.

use crate::wire::stun::HEADER_BYTES;

/// Bytes of the attribute, header included.
const ATTRIBUTE_BYTES: usize = 8;

/// The value for `message` (header and attributes in front), whose length field may hold anything.
pub(in crate::wire::stun) fn fingerprint(message: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    if let Some((header, attributes)) = message.split_first_chunk::<HEADER_BYTES>() {
        crc.update(&header[..2]);
        crc.update(&((attributes.len() + ATTRIBUTE_BYTES) as u16).to_be_bytes());
        crc.update(&header[4..]);
        crc.update(attributes);
    }
    crc.finalize() ^ 0x5354_554E
}
