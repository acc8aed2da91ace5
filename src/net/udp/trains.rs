//! Which datagrams of a run leave in one go, and are cut apart by the kernel (`UDP_SEGMENT`).

use std::ops::Range;

use super::outgoing::{Outgoing, Payloads};
use super::sys;

/// Most bytes of a train: what one datagram could have over IPv4, since it travels as one for most of the way.
const TRAIN_BYTES_MAX: usize = 65_507;

/// Neighbours of a run with the same way and the same length, of which only the last may be shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Train {
    /// Place of the first datagram in its chunk.
    pub(super) first: usize,
    /// Datagrams, at least 1.
    pub(super) count: usize,
    /// Length of each but the last.
    pub(super) segment_bytes: u16,
    bytes: usize,
    /// The last one is shorter: nothing can follow.
    is_complete: bool,
}

/// The trains of one chunk, which is what one system call can take.
#[derive(Debug, Default)]
pub(super) struct Trains {
    trains: [Train; sys::BATCH_MAX],
    len: usize,
}

/// How much of a run is in a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Datagrams that the chunk begins with.
    pub(super) datagrams: usize,
    /// Those among them whose payload was never received, and which are in no train.
    pub(super) unusable: usize,
}

impl Train {
    /// Its places in the chunk.
    pub(super) fn range(&self) -> Range<usize> {
        self.first..self.first + self.count
    }

    /// Whether a datagram of `bytes` may be coupled behind the last one.
    fn has_room_for(&self, bytes: usize) -> bool {
        let segment_bytes = usize::from(self.segment_bytes);
        // Without bytes there would be nothing to cut off for it.
        let fits = (1..=segment_bytes).contains(&bytes) && self.bytes + bytes <= TRAIN_BYTES_MAX;
        fits && !self.is_complete
    }
}

impl Trains {
    /// Replaces the content by the trains at the beginning of `run`, of segments of up to `segment_bytes_max`; with 0 each
    /// datagram is one of its own.
    pub(super) fn couple(
        &mut self,
        received: &(impl Payloads + ?Sized),
        run: &[Outgoing],
        segment_bytes_max: u16,
    ) -> Taken {
        self.len = 0;
        let mut taken = Taken::default();
        // Whether the datagram before this one is the end of the last train.
        let mut is_next = false;
        for one in run.iter().take(sys::SEGMENTS_MAX) {
            let Some(bytes) = bytes_of(received, one) else {
                taken.datagrams += 1;
                taken.unusable += 1;
                is_next = false;
                continue;
            };
            let last = self.trains[..self.len].last_mut();
            let coupled =
                last.filter(|last| is_next && last.has_room_for(bytes) && is_same_way(&run[last.first], one));
            if let Some(last) = coupled {
                last.count += 1;
                last.bytes += bytes;
                last.is_complete = bytes < usize::from(last.segment_bytes);
            } else {
                let Some(free) = self.trains.get_mut(self.len) else { break };
                // One that may not be cut has room for nothing behind it.
                let segment_bytes = if bytes <= usize::from(segment_bytes_max) { bytes as u16 } else { 0 };
                *free = Train { first: taken.datagrams, count: 1, segment_bytes, bytes, is_complete: false };
                self.len += 1;
            }
            is_next = true;
            taken.datagrams += 1;
        }
        taken
    }

    /// The trains.
    pub(super) fn as_slice(&self) -> &[Train] {
        &self.trains[..self.len]
    }
}

/// Bytes of the datagram, or `None` if its payload is not in `received`.
fn bytes_of(received: &(impl Payloads + ?Sized), one: &Outgoing) -> Option<usize> {
    let payload = received.payload(one.slot, &one.payload)?;
    Some(one.header.as_slice().len() + payload.len() + one.padding().len())
}

fn is_same_way(one: &Outgoing, other: &Outgoing) -> bool {
    one.to == other.to && one.source == other.source && one.ecn == other.ecn
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::net::Header;

    static RECEIVED: [u8; 70_000] = [0; 70_000];

    fn to(port: u16, bytes: u32) -> Outgoing {
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        Outgoing { to, source: None, ecn: 0, header: Header::EMPTY, slot: 0, payload: 0..bytes, pad: 0 }
    }

    fn run(lengths: &[u32]) -> Vec<Outgoing> {
        lengths.iter().map(|bytes| to(1, *bytes)).collect()
    }

    /// Lengths of the trains, in datagrams, and what of the run they are.
    fn coupled(run: &[Outgoing], segment_bytes_max: u16) -> (Vec<usize>, Taken) {
        let mut trains = Trains::default();
        let taken = trains.couple(&RECEIVED[..], run, segment_bytes_max);
        let mut next = 0;
        for train in trains.as_slice() {
            assert!(train.first >= next && train.count > 0);
            next = train.first + train.count;
            let lengths: Vec<_> = run[train.range()].iter().map(|one| one.payload.len()).collect();
            let (last, others) = lengths.split_last().unwrap();
            let segment_bytes = usize::from(train.segment_bytes);
            assert!(others.iter().all(|bytes| *bytes == segment_bytes));
            assert!(others.is_empty() || *last <= segment_bytes);
        }
        assert!(next <= taken.datagrams);
        (trains.as_slice().iter().map(|train| train.count).collect(), taken)
    }

    fn all(run: &[Outgoing]) -> Taken {
        Taken { datagrams: run.len(), unusable: 0 }
    }

    #[test]
    fn equal_lengths_go_together_and_a_shorter_one_is_the_last() {
        for (lengths, trains) in [
            (&[9, 9, 9][..], &[3][..]),
            (&[9, 9, 4, 9, 9], &[3, 2]),
            (&[9, 4, 4], &[2, 1]),
            (&[4, 9, 9], &[1, 2]),
            (&[9, 0, 9, 9], &[1, 1, 2]),
            (&[0, 0], &[1, 1]),
            (&[9], &[1]),
        ] {
            let run = run(lengths);
            assert_eq!(coupled(&run, u16::MAX), (trains.to_vec(), all(&run)), "{lengths:?}");
        }
    }

    #[test]
    fn another_way_begins_another_train() {
        let source = Outgoing { source: Some("127.0.0.1".parse().unwrap()), ..to(1, 9) };
        for other in [to(2, 9), Outgoing { ecn: 1, ..to(1, 9) }, source] {
            let run = [to(1, 9), to(1, 9), other.clone(), other, to(1, 9)];
            assert_eq!(coupled(&run, u16::MAX).0, [2, 2, 1]);
        }
    }

    #[test]
    fn the_length_is_that_of_header_payload_and_padding() {
        let header = |bytes: usize| Header::new(&[0; 56][..bytes]).unwrap();
        let run = [Outgoing { header: header(4), ..to(1, 8) }, Outgoing { pad: 3, ..to(1, 9) }, to(1, 12)];
        let mut trains = Trains::default();
        trains.couple(&RECEIVED[..], &run, u16::MAX);
        assert_eq!(
            trains.as_slice().iter().map(|train| (train.count, train.segment_bytes)).collect::<Vec<_>>(),
            [(3, 12)]
        );
    }

    #[test]
    fn segments_above_what_the_socket_carries_stay_alone() {
        let run = run(&[1201, 1201, 1200, 1200]);
        assert_eq!(coupled(&run, 1200).0, [1, 1, 2]);
        assert_eq!(coupled(&run, 0).0, [1, 1, 1, 1]);
    }

    #[test]
    fn a_train_has_at_most_as_many_bytes_as_a_datagram_and_as_many_segments_as_the_kernel_takes() {
        let many = run(&[30_000; 5]);
        assert_eq!(coupled(&many, u16::MAX), (vec![2, 2, 1], all(&many)));
        assert_eq!(coupled(&run(&[9; 100]), u16::MAX), (vec![64], Taken { datagrams: 64, unusable: 0 }));
        let apart: Vec<_> = (0..100).map(|port| to(port, 9)).collect();
        assert_eq!(coupled(&apart, u16::MAX), (vec![1; 32], Taken { datagrams: 32, unusable: 0 }));
        assert_eq!(coupled(&run(&[66_000, 66_000]), u16::MAX).0, [1, 1]);
    }

    #[test]
    fn what_was_never_received_is_in_no_train() {
        let mut run = run(&[9; 5]);
        run[2].slot = 1;
        assert_eq!(coupled(&run, u16::MAX), (vec![2, 2], Taken { datagrams: 5, unusable: 1 }));
        run.iter_mut().for_each(|one| one.slot = 1);
        assert_eq!(coupled(&run, u16::MAX), (vec![], Taken { datagrams: 5, unusable: 5 }));
    }
}
