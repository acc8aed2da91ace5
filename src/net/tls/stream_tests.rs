use super::super::testing::{Pair, VERSIONS, client, server_config};
use super::*;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// When a test gives up on what should have happened at once.
const TIMEOUT: Duration = Duration::from_secs(20);

type Peer = StreamOwned<ClientConnection, std::net::TcpStream>;

/// Two ends of a connection on loopback, the first non-blocking.
fn sockets() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let peer = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    peer.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    let socket = listener.accept().expect("accepted").0;
    socket.set_nonblocking(true).expect("a socket");
    (socket, peer)
}

/// A stream that took over after the handshake, with `early` read already: the first `plain` bytes of it decrypted,
/// the record after them cut.
fn taken_over(version: usize, early: [&[u8]; 2]) -> (TlsStream, Peer) {
    let mut pair = Pair::connected(&server_config(), client(VERSIONS[version], &[b"http/1.1"]));
    let first = pair.encrypted(early[0]);
    pair.give(&first).expect("good");
    let second = pair.encrypted(early[1]);
    let (read, unread) = second.split_at(second.len() / 2);
    pair.give(read).expect("good");
    let (socket, mut peer) = sockets();
    peer.write_all(unread).expect("sent");
    let (remote, local) = (peer.local_addr().expect("bound"), peer.peer_addr().expect("connected"));
    let Pair { client, server, partial, plain, outgoing } = pair;
    let tls = Some(Box::new(server));
    let handed_over = HandedOver {
        socket,
        tls,
        incoming: partial,
        plain,
        unsent: outgoing,
        remote,
        local,
        held: Box::new(()),
    };
    (handed_over.open().expect("opened"), StreamOwned::new(client, peer))
}

fn in_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(work)
}

#[tokio::test]
async fn what_was_read_before_comes_first_and_then_what_arrives() {
    for version in 0..2 {
        let (mut stream, mut peer) = taken_over(version, [b"GET / ", b"HTTP/1.1\r\n"]);
        let peer = in_a_thread(move || {
            peer.write_all(b"Host: x\r\n\r\n").expect("sent");
            peer
        });
        let mut bytes = [0; 27];
        tokio::time::timeout(TIMEOUT, stream.read_exact(&mut bytes)).await.expect("in time").expect("read");
        assert_eq!(bytes.as_slice(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        drop(peer.join());
    }
}

#[tokio::test]
async fn a_long_answer_waits_for_a_slow_reader_within_its_bound_and_ends_with_a_word() {
    const LENGTH: usize = 8 << 20;
    for version in 0..2 {
        let (mut stream, mut peer) = taken_over(version, [b"a", b"b"]);
        let byte = |n: usize| (n % 251) as u8;
        let mut sent = 0;
        let chunk: Vec<u8> = (0..251 * 200).map(byte).collect();
        // Nobody reads: the kernel's buffers fill, and then ours does.
        loop {
            let write = poll_once(|cx| Pin::new(&mut stream).poll_write(cx, &chunk[sent % 251..]));
            match write.await {
                Poll::Ready(count) => sent += count.expect("written"),
                Poll::Pending => break,
            }
        }
        let waiting = stream.unsent.len() - stream.sent;
        assert!((UNSENT_BYTES_MAX..UNSENT_BYTES_MAX + 17_000).contains(&waiting), "{waiting}");
        let reader = in_a_thread(move || {
            let mut all = Vec::new();
            // An end without close_notify would be an error.
            peer.read_to_end(&mut all).map(|_| all)
        });
        while sent < LENGTH {
            sent += stream.write(&chunk[sent % 251..]).await.expect("written");
            assert!(stream.unsent.len() <= 2 * (UNSENT_BYTES_MAX + 17_000));
        }
        stream.shutdown().await.expect("closed");
        let all = reader.join().expect("no panic").expect("an orderly end");
        assert!(all.len() == sent && all.iter().enumerate().all(|(n, got)| *got == byte(n)));
    }
}

#[tokio::test]
async fn what_went_does_not_stay_until_all_went() {
    let (mut stream, _peer) = taken_over(1, [b"a", b"b"]);
    while poll_once(|cx| Pin::new(&mut stream).poll_write(cx, &[7; CHUNK_BYTES])).await.is_ready() {}
    let waiting = stream.unsent.split_off(stream.sent);
    stream.unsent = [vec![0; UNSENT_BYTES_MAX * 2], waiting.clone()].concat();
    stream.sent = UNSENT_BYTES_MAX * 2;
    assert!(poll_once(|cx| Pin::new(&mut stream).poll_flush(cx)).await.is_pending());
    assert_eq!((stream.sent, stream.unsent), (0, waiting));
}

#[tokio::test]
async fn noise_under_tls_is_an_error_and_the_client_is_told() {
    let (mut stream, mut peer) = taken_over(1, [b"a", b"b"]);
    stream.read_exact(&mut [0; 2]).await.expect("read");
    peer.sock.write_all(b"\x17\x03\x03\x00\x05noise").expect("sent");
    let error = stream.read(&mut [0; 9]).await.expect_err("noise");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let told = in_a_thread(move || peer.read(&mut [0; 9]).map_err(|error| error.to_string()));
    assert!(told.join().expect("no panic").expect_err("an alert").contains("BadRecordMac"));
    stream.read(&mut [0; 9]).await.expect_err("it stays one");
}

#[tokio::test]
async fn the_end_of_the_client_is_the_end_of_the_stream() {
    let (mut stream, mut peer) = taken_over(1, [b"a", b"b"]);
    peer.conn.send_close_notify();
    peer.flush().expect("sent");
    let mut all = Vec::new();
    tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut all)).await.expect("in time").expect("an end");
    assert_eq!(all, b"ab");
    stream.write_all(b"the answer").await.expect("written");
    stream.shutdown().await.expect("closed");
    let answer = in_a_thread(move || {
        let mut answer = String::new();
        peer.read_to_string(&mut answer).map(|_| answer)
    });
    assert_eq!(answer.join().expect("no panic").expect("an answer"), "the answer");
}

#[tokio::test]
async fn a_stream_in_the_clear_is_passed_on_as_it_is() {
    let (socket, mut peer) = sockets();
    let (remote, local) = (peer.local_addr().expect("bound"), peer.peer_addr().expect("connected"));
    let incoming = b"GET / ".to_vec();
    let handed_over = HandedOver {
        socket,
        tls: None,
        incoming,
        plain: Vec::new(),
        unsent: b"first".to_vec(),
        remote,
        local,
        held: Box::new(()),
    };
    let mut stream = handed_over.open().expect("opened");
    peer.write_all(b"HTTP/1.1").expect("sent");
    let mut bytes = [0; 14];
    stream.read_exact(&mut bytes).await.expect("read");
    assert_eq!(&bytes, b"GET / HTTP/1.1");
    stream.write_all(b" and second").await.expect("written");
    stream.shutdown().await.expect("closed");
    let answer = in_a_thread(move || {
        let mut answer = String::new();
        peer.read_to_string(&mut answer).map(|_| answer)
    });
    assert_eq!(answer.join().expect("no panic").expect("an answer"), "first and second");
}

#[tokio::test]
async fn a_stream_moves_on_with_all_that_was_read_and_is_not_sent() {
    for version in 0..2 {
        let (mut stream, mut peer) = taken_over(version, [b"GET / ", b"and more"]);
        let mut used = [0; 5];
        stream.read_exact(&mut used).await.expect("read");
        while poll_once(|cx| Pin::new(&mut stream).poll_write(cx, b"tick")).await.is_ready() {}
        let (remote, waiting) = (stream.remote, stream.unsent.len() - stream.sent);
        // The last byte that was read is given back: whoever read it had no use for it.
        let moved = stream.into_handed_over(&used[4..]).expect("moved");
        assert_eq!((moved.remote, moved.unsent.len()), (remote, waiting));
        assert!(moved.tls.is_some());
        let mut stream = moved.open().expect("opened");
        let peer = in_a_thread(move || {
            peer.write_all(b", at last").expect("sent");
            let mut all = Vec::new();
            peer.read_to_end(&mut all).map(|_| all)
        });
        let mut bytes = [0; 19];
        let read = tokio::time::timeout(TIMEOUT, stream.read_exact(&mut bytes)).await;
        read.expect("in time").expect("read");
        assert_eq!(&bytes, b"/ and more, at last");
        stream.write_all(b"tock").await.expect("written");
        stream.shutdown().await.expect("closed");
        let all = peer.join().expect("no panic").expect("an orderly end");
        let (ticks, last) = all.split_last_chunk::<4>().expect("the answer");
        assert!(last == b"tock" && ticks.chunks(4).all(|tick| tick == b"tick"));
    }
}

#[tokio::test]
async fn a_waiting_stream_keeps_no_buffer() {
    let (mut stream, _peer) = taken_over(1, [b"a", b"b"]);
    stream.read_exact(&mut [0; 2]).await.expect("read");
    stream.write_all(&[0; 10_000]).await.expect("written");
    stream.flush().await.expect("flushed");
    let mut byte = [0];
    let idle = poll_once(|cx| Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut byte)));
    assert!(idle.await.is_pending());
    let kept = stream.incoming.capacity() + stream.plain.capacity() + stream.unsent.capacity();
    assert_eq!(kept, 0);
}

/// One look at something that may not be ready.
async fn poll_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    std::future::poll_fn(|cx| Poll::Ready(poll(cx))).await
}
