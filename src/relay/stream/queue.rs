//! What a client has not taken yet.

use std::io;

/// Media is dropped while this much waits: a quarter of a second at 2 Mbit/s, beside what the kernel holds.
pub(super) const MEDIA_BYTES_MAX: usize = 64 << 10;

/// Nothing is read from a client while this much waits for it: responses are not dropped, so it gets no chance
/// to cause more. One read more may have been answered, which bounds the queue.
pub(super) const BYTES_MAX: usize = MEDIA_BYTES_MAX + (16 << 10);

/// Bytes in order, and how many of them are written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    written: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.written > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Hands what waits to `write` until it takes no more. Returns whether the queue is empty now.
    ///
    /// # Errors
    /// As `write`, but for `WouldBlock`, which is no error.
    pub(super) fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        while !self.is_empty() {
            match write(&self.bytes[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.written = 0;
        Ok(true)
    }

    /// What waits, for whoever takes the connection over.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.written);
        self.bytes
    }

    /// Gives memory back that an empty queue does not need.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_however_few_are_taken_at_a_time() {
        let (mut queue, mut taken) = (Queue::default(), Vec::new());
        let bytes: Vec<u8> = (0..200).collect();
        for (i, part) in bytes.chunks(7).enumerate() {
            queue.push(part);
            let mut room = i % 5;
            let empty = queue.flush(|bytes| {
                let count = room.min(bytes.len()).min(3);
                if count == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                room -= count;
                taken.extend_from_slice(&bytes[..count]);
                Ok(count)
            });
            assert_eq!(empty.expect("no error"), queue.is_empty());
        }
        let rest = queue.flush(|bytes| {
            taken.extend_from_slice(bytes);
            Ok(bytes.len())
        });
        assert!(rest.expect("no error") && queue.is_empty());
        assert_eq!(taken, bytes);
    }

    #[test]
    fn written_bytes_make_room_before_memory_grows() {
        let mut queue = Queue::default();
        queue.push(&[7; 1000]);
        let capacity = queue.bytes.capacity();
        for _ in 0..100 {
            let mut once = Some(900);
            queue.flush(|_| once.take().ok_or(io::ErrorKind::WouldBlock.into())).expect("no error");
            queue.push(&[7; 900]);
        }
        assert_eq!((queue.len(), queue.bytes.capacity()), (1000, capacity));
        queue.shrink();
        assert_eq!(queue.len(), 1000, "only an empty queue shrinks");
    }
}
