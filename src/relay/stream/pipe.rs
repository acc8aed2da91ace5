//! The bytes of a connection between a client and a peer (RFC 6062 section 5.5).

use crate::metrics::Direction;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::time::{Sleep, sleep};

/// Bytes under way in each direction, beside what the kernel holds: no more is read from one side than the
/// other takes.
pub(super) const PIPE_BYTES: usize = 16 << 10;

/// How long a side waits that may not read, before it asks again: a part of what a bucket holds.
const PAUSE: Duration = Duration::from_millis(25);

/// Carries bytes both ways until both sides have ended, or one of them broke. The end of one direction is
/// passed on by itself.
///
/// `count`: told of bytes as they move, and whether they waited for `may_read`. `may_read`: asked before so many are
/// read from either side; while it says no, the kernel keeps them and slows their sender down.
///
/// # Errors
/// One side broke; the other one must be closed.
pub(super) async fn carry(
    client: impl AsyncRead + AsyncWrite + Unpin,
    peer: impl AsyncRead + AsyncWrite + Unpin,
    count: &impl Fn(Direction, usize, bool),
    may_read: &impl Fn(usize) -> bool,
) -> io::Result<()> {
    let (from, to, pause) = (Direction::FromClient, Direction::ToClient, None);
    let mut client = Side { stream: client, count, may_read, from, to, pause, was_held: false };
    let (from, to, pause) = (Direction::FromPeer, Direction::ToPeer, None);
    let mut peer = Side { stream: peer, count, may_read, from, to, pause, was_held: false };
    copy_bidirectional_with_sizes(&mut client, &mut peer, PIPE_BYTES, PIPE_BYTES).await.map(|_| ())
}

/// One side, whose bytes are counted both ways.
struct Side<'a, S, C, M> {
    stream: S,
    count: &'a C,
    may_read: &'a M,
    from: Direction,
    to: Direction,
    /// It may not read before this is over.
    pause: Option<Pin<Box<Sleep>>>,
    /// It was not allowed to read at first, and what is there when it may has waited.
    was_held: bool,
}

impl<S, C, M: Fn(usize) -> bool> Side<'_, S, C, M> {
    /// Ready when so many bytes may be read.
    fn poll_leave(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            if (self.may_read)(bytes) {
                return Poll::Ready(());
            }
            self.pause = Some(Box::pin(sleep(PAUSE)));
            self.was_held = true;
        }
    }
}

impl<S: AsyncRead + Unpin, C: Fn(Direction, usize, bool), M: Fn(usize) -> bool> AsyncRead
    for Side<'_, S, C, M>
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_leave(cx, into.remaining()));
        let (before, waited) = (into.filled().len(), mem::take(&mut self.was_held));
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        (self.count)(self.from, into.filled().len() - before, waited);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, C: Fn(Direction, usize, bool), M> AsyncWrite for Side<'_, S, C, M> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        (self.count)(self.to, written, false);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test] // RFC 6062 section 5.5
    async fn bytes_pass_as_they_are_and_an_end_is_passed_on_by_itself() {
        let moved = RefCell::new(BTreeMap::<&str, usize>::new());
        let count = |way: Direction, bytes: usize, _waited: bool| {
            *moved.borrow_mut().entry(name(way)).or_default() += bytes
        };
        let ((mut client, near), (mut peer, far)) = (duplex(8), duplex(8));
        let talk = async {
            client.write_all(b"question").await.expect("open");
            client.shutdown().await.expect("open");
            let mut asked = Vec::new();
            peer.read_to_end(&mut asked).await.expect("open");
            assert_eq!(asked, b"question");
            peer.write_all(b"an answer that is longer").await.expect("the other way is open");
            drop(peer);
            let mut answered = Vec::new();
            client.read_to_end(&mut answered).await.expect("open");
            assert_eq!(answered, b"an answer that is longer");
        };
        let (carried, ()) = tokio::join!(carry(near, far, &count, &|_| true), talk);
        carried.expect("both ended");
        let expected = [("from_client", 8), ("from_peer", 24), ("to_client", 24), ("to_peer", 8)];
        assert_eq!(moved.into_inner(), expected.into());
    }

    #[tokio::test]
    async fn no_more_is_read_than_the_other_side_takes() {
        let read = RefCell::new(0);
        let count = |way: Direction, bytes, _waited: bool| {
            if way == Direction::FromClient {
                *read.borrow_mut() += bytes;
            }
        };
        let ((mut client, near), (_peer, far)) = (duplex(1 << 20), duplex(100));
        client.write_all(&vec![7; 1 << 19]).await.expect("room");
        let mut carried = Box::pin(carry(near, far, &count, &|_| true));
        let polled = std::future::poll_fn(|cx| Poll::Ready(carried.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
        drop(carried);
        assert!((1..=PIPE_BYTES + 100).contains(&read.into_inner()));
    }

    #[tokio::test]
    async fn who_may_not_read_reads_later_and_loses_nothing() {
        let (asked, left) = (Cell::new(0), Cell::new(3_000));
        let waits = RefCell::new(Vec::new());
        let count = |way: Direction, bytes: usize, waited: bool| {
            if way == Direction::FromClient {
                waits.borrow_mut().push(waited);
            }
            if matches!(way, Direction::FromClient | Direction::FromPeer) {
                left.set(left.get() - bytes as isize);
            }
        };
        // Two in three are refused, and then one read's worth is there.
        let may_read = |_: usize| {
            asked.set(asked.get() + 1);
            if asked.get() % 3 == 0 {
                left.set(3_000);
            }
            left.get() > 0
        };
        let ((mut client, near), (mut peer, far)) = (duplex(4_096), duplex(4_096));
        let sent: Vec<u8> = (0..20_000).map(|n| (n % 251) as u8).collect();
        let talk = async {
            client.write_all(&sent).await.expect("open");
            client.shutdown().await.expect("open");
            drop(client);
        };
        let hear = async {
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).await.expect("open");
            drop(peer);
            heard
        };
        let (_carried, (), heard) = tokio::join!(carry(near, far, &count, &may_read), talk, hear);
        assert!(heard == sent);
        assert!(asked.get() > 6, "it was refused: {}", asked.get());
        let waits = waits.into_inner();
        assert!(!waits[0] && waits.contains(&true), "what had to wait is told so: {waits:?}");
    }

    fn name(way: Direction) -> &'static str {
        use crate::metrics::Label;
        Direction::VALUES[way.index()]
    }
}
