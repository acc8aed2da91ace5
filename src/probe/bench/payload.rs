//! What a packet of the bench carries, so that it is known when it arrives.
//!
//! ```text
//! | round: 4 | flow: 4 | sequence: 4 | sent: 8, nanoseconds | anything up to the size |
//! ```

/// Bytes that each payload has at least.
pub const PAYLOAD_BYTES_MIN: usize = 20;

/// The front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Which round of which run: what comes late from another one does not count.
    pub(super) round: u32,
    pub(super) flow: u32,
    /// Of the packets of this flow and round.
    pub(super) sequence: u32,
    /// By the clock of who sends and receives.
    pub(super) sent_ns: u64,
}

impl Stamp {
    /// Writes itself to the front of `payload`, which has at least [`PAYLOAD_BYTES_MIN`].
    pub(super) fn put(self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.round.to_be_bytes());
        payload[4..8].copy_from_slice(&self.flow.to_be_bytes());
        payload[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        payload[12..20].copy_from_slice(&self.sent_ns.to_be_bytes());
    }

    /// `None` of what is too short.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let front = payload.first_chunk::<PAYLOAD_BYTES_MIN>()?;
        let four = |at: usize| u32::from_be_bytes([front[at], front[at + 1], front[at + 2], front[at + 3]]);
        Some(Self {
            round: four(0),
            flow: four(4),
            sequence: four(8),
            sent_ns: u64::from(four(12)) << 32 | u64::from(four(16)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_put_and_not_from_less() {
        let stamp = Stamp { round: 0x0102_0304, flow: 5, sequence: u32::MAX, sent_ns: 0x1122_3344_5566_7788 };
        let mut payload = [0xAA; PAYLOAD_BYTES_MIN + 3];
        stamp.put(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[PAYLOAD_BYTES_MIN..], [0xAA; 3]);
        assert_eq!(Stamp::read(&payload[..PAYLOAD_BYTES_MIN - 1]), None);
    }
}
