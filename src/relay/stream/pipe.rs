//! The bytes of a connection between a client and a peer (RFC 6062 section 5.5).

use crate::metrics::Direction;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

/// Bytes under way in each direction, beside what the kernel holds: no more is read from one side than the
/// other takes.
pub(super) const PIPE_BYTES: usize = 16 << 10;

/// Carries bytes both ways until both sides have ended, or one of them broke. The end of one direction is
/// passed on by itself.
///
/// `count`: told of bytes as they move.
///
/// # Errors
/// One side broke; the other one must be closed.
pub(super) async fn carry(
    client: impl AsyncRead + AsyncWrite + Unpin,
    peer: impl AsyncRead + AsyncWrite + Unpin,
    count: &impl Fn(Direction, usize),
) -> io::Result<()> {
    let mut client = Side { stream: client, count, from: Direction::FromClient, to: Direction::ToClient };
    let mut peer = Side { stream: peer, count, from: Direction::FromPeer, to: Direction::ToPeer };
    copy_bidirectional_with_sizes(&mut client, &mut peer, PIPE_BYTES, PIPE_BYTES).await.map(|_| ())
}

/// One side, whose bytes are counted both ways.
struct Side<'a, S, C> {
    stream: S,
    count: &'a C,
    from: Direction,
    to: Direction,
}

impl<S: AsyncRead + Unpin, C: Fn(Direction, usize)> AsyncRead for Side<'_, S, C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        (self.count)(self.from, into.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, C: Fn(Direction, usize)> AsyncWrite for Side<'_, S, C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        (self.count)(self.to, written);
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
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test] // RFC 6062 section 5.5
    async fn bytes_pass_as_they_are_and_an_end_is_passed_on_by_itself() {
        let moved = RefCell::new(BTreeMap::<&str, usize>::new());
        let count = |way: Direction, bytes: usize| *moved.borrow_mut().entry(name(way)).or_default() += bytes;
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
        let (carried, ()) = tokio::join!(carry(near, far, &count), talk);
        carried.expect("both ended");
        let expected = [("from_client", 8), ("from_peer", 24), ("to_client", 24), ("to_peer", 8)];
        assert_eq!(moved.into_inner(), expected.into());
    }

    #[tokio::test]
    async fn no_more_is_read_than_the_other_side_takes() {
        let read = RefCell::new(0);
        let count = |way: Direction, bytes| {
            if way == Direction::FromClient {
                *read.borrow_mut() += bytes;
            }
        };
        let ((mut client, near), (_peer, far)) = (duplex(1 << 20), duplex(100));
        client.write_all(&vec![7; 1 << 19]).await.expect("room");
        let mut carried = Box::pin(carry(near, far, &count));
        let polled = std::future::poll_fn(|cx| Poll::Ready(carried.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
        drop(carried);
        assert!((1..=PIPE_BYTES + 100).contains(&read.into_inner()));
    }

    fn name(way: Direction) -> &'static str {
        use crate::metrics::Label;
        Direction::VALUES[way.index()]
    }
}
