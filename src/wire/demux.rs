//! The first byte tells the protocols of one port apart (RFC 7983, RFC 8656 section 12 table 3).

/// What a datagram or a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0-3: a STUN message.
    Stun,
    /// 20-63: DTLS (RFC 7983; TLS alert to application data use 20-26).
    Dtls,
    /// 64-79: ChannelData in the range of RFC 8656.
    Channel,
    /// 80-127: ChannelData in the range of RFC 5766, which RFC 8656 reserves.
    LegacyChannel,
    /// Anything else: nobody's.
    Unknown,
}

/// Classifies by the first byte, before any bit is masked off.
pub const fn classify(first: u8) -> Kind {
    match first {
        0..=3 => Kind::Stun,
        20..=63 => Kind::Dtls,
        64..=79 => Kind::Channel,
        80..=127 => Kind::LegacyChannel,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // RFC 7983 section 7, RFC 8656 section 12 table 3
    fn every_first_byte_has_the_kind_of_the_table() {
        for byte in 0..=255u8 {
            let expected = match byte {
                0..=3 => Kind::Stun,
                b if (20..64).contains(&b) => Kind::Dtls,
                b if b >> 4 == 4 => Kind::Channel,
                b if (5..=7).contains(&(b >> 4)) => Kind::LegacyChannel,
                _ => Kind::Unknown,
            };
            assert_eq!(classify(byte), expected, "{byte}");
        }
    }
}
