use super::super::testing::{Pair, VERSIONS, client, server_config};
use super::*;
use proptest::prelude::*;
use rustls::crypto::cipher::OutboundPlainMessage;
use rustls::{AlertDescription, ConnectionTrafficSecrets, ContentType, ProtocolVersion};
use std::sync::LazyLock;

static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(server_config);

fn pair(version: usize) -> Pair {
    Pair::connected(&SERVER, client(VERSIONS[version], &[]))
}

/// `payload` in records of at most `size` bytes, of the type of handshake messages, in the clear.
fn handshake_records(payload: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    payload.chunks(size).flat_map(record).collect()
}

/// A handshake message under the keys of a TLS 1.3 client, which is used up by it.
fn sealed_handshake(client: rustls::ClientConnection, message: &[u8]) -> Vec<u8> {
    let suite = client.negotiated_cipher_suite().and_then(|suite| suite.tls13()).expect("TLS 1.3");
    let (number, secrets) = client.dangerous_extract_secrets().expect("allowed").tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else { panic!("another suite") };
    let message = OutboundPlainMessage {
        typ: ContentType::Handshake,
        version: ProtocolVersion::TLSv1_2,
        payload: message.into(),
    };
    suite.aead_alg.encrypter(key, iv).encrypt(message, number).expect("encrypted").encode()
}

#[test]
fn both_versions_carry_data_both_ways() {
    for version in VERSIONS {
        let mut pair = Pair::connected(&SERVER, client(version, &[b"h2", b"stun.turn"]));
        assert_eq!(pair.server.alpn(), Some(&b"stun.turn"[..]));
        let up = pair.encrypted(b"a request");
        assert_eq!(pair.give(&up).expect("good"), Received { consumed: up.len(), closed: false });
        assert_eq!(pair.plain, b"a request");
        pair.server.send(b"an answer", &mut pair.outgoing).expect("sent");
        assert_eq!(pair.give_client().expect("good"), b"an answer");
    }
}

#[test]
fn what_is_long_goes_in_as_few_records_as_possible() {
    for version in 0..2 {
        let mut pair = pair(version);
        let long: Vec<u8> = (0..40_000u32).map(|n| n as u8).collect();
        pair.server.send(&long, &mut pair.outgoing).expect("sent");
        assert_eq!(record_lengths(&pair.outgoing).len(), 3);
        assert_eq!(pair.give_client().expect("good"), long);
    }
}

#[test]
fn a_client_without_a_protocol_is_served_and_one_with_others_only_is_told_so() {
    for version in VERSIONS {
        assert_eq!(Pair::connected(&SERVER, client(version, &[])).server.alpn(), None);
        let mut pair = Pair::new(&SERVER, client(version, &[b"h2"]));
        let hello = pair.sent_by_client();
        assert!(matches!(pair.give(&hello), Err(TlsError::Protocol(rustls::Error::NoApplicationProtocol))));
        let told = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert_eq!(pair.give_client(), Err(told));
    }
}

#[test]
fn new_keys_are_taken_and_answered() {
    let mut pair = pair(1);
    for round in 0..3 {
        pair.client.refresh_traffic_keys().expect("TLS 1.3");
        let up = pair.encrypted(&[round; 10]);
        pair.give(&up).expect("good");
        // The answer is a new key of ours, in front of the next data.
        pair.server.send(&[round; 20], &mut pair.outgoing).expect("sent");
        assert_eq!(pair.give_client().expect("good"), [round; 20]);
    }
    assert_eq!(pair.plain.len(), 30);
}

#[test]
fn a_closing_client_is_noticed_and_what_follows_its_word_is_dropped() {
    for version in 0..2 {
        let mut pair = pair(version);
        let mut last = pair.encrypted(b"last words");
        pair.client.send_close_notify();
        last.extend(pair.sent_by_client());
        last.extend_from_slice(b"noise");
        assert_eq!(pair.give(&last).expect("good"), Received { consumed: last.len(), closed: true });
        assert_eq!(pair.plain, b"last words");
        pair.server.send(b"good bye", &mut pair.outgoing).expect("may still be said");
        pair.server.close(&mut pair.outgoing);
        assert_eq!(pair.give_client().expect("good"), b"good bye");
        assert!(pair.server.send(b"more", &mut pair.outgoing).is_err());
    }
}

#[test]
fn a_close_is_said_once_and_ends_the_session() {
    for version in 0..2 {
        let mut pair = pair(version);
        pair.server.close(&mut pair.outgoing);
        pair.server.close(&mut pair.outgoing);
        assert_eq!(record_lengths(&pair.outgoing).len(), 1);
        pair.give_client().expect("good");
        assert_eq!(std::io::Read::read(&mut pair.client.reader(), &mut [0]).expect("an orderly end"), 0);
        let late = pair.encrypted(b"too late");
        assert_eq!(pair.give(&late).expect("ignored"), Received { consumed: late.len(), closed: true });
        assert_eq!(pair.plain, b"");
    }
}

#[test]
fn nothing_is_sent_before_the_handshake_is_over() {
    let mut pair = Pair::new(&SERVER, client(VERSIONS[1], &[]));
    assert!(matches!(pair.server.send(b"x", &mut pair.outgoing), Err(TlsError::NotOpen)));
    let hello = pair.sent_by_client();
    pair.give(&hello).expect("good");
    assert!(pair.server.is_handshaking());
    let before = pair.outgoing.clone();
    assert!(matches!(pair.server.send(b"x", &mut pair.outgoing), Err(TlsError::NotOpen)));
    pair.server.close(&mut pair.outgoing);
    assert_eq!(pair.outgoing, before);
}

#[test]
fn noise_and_records_beyond_the_protocol_end_the_session_with_an_alert() {
    // RFC 8446 section 5.1, 5.2: at most 2^14 + 256 bytes; rustls allows the 2^14 + 2048 of TLS 1.2.
    let (noise, long) = (*b"\x16\xff\xff\x00\x04noise", [22, 3, 3, 0x48, 1]);
    for bytes in [&noise[..], &long] {
        let mut pair = Pair::new(&SERVER, client(VERSIONS[1], &[]));
        assert!(pair.give(bytes).is_err());
        assert_eq!(pair.outgoing[0], 21, "an alert");
        let before = pair.outgoing.clone();
        assert!(pair.give(bytes).is_err(), "once and for all");
        assert_eq!(pair.outgoing, before);
    }
    for version in 0..2 {
        let mut pair = pair(version);
        let mut up = pair.encrypted(b"data");
        *up.last_mut().expect("a record") ^= 1;
        let failed = pair.give(&up);
        assert!(matches!(failed, Err(TlsError::Protocol(rustls::Error::DecryptError))), "{failed:?}");
        assert_eq!(pair.give_client(), Err(rustls::Error::AlertReceived(AlertDescription::BadRecordMac)));
    }
}

/// rustls reads its input from where it stopped inside a message over several records. Other input than
/// that, or none, is out of its bounds then.
#[test]
fn a_hello_in_pieces_may_be_followed_by_anything() {
    let hello = Pair::new(&SERVER, client(VERSIONS[1], &[])).sent_by_client();
    let piece = handshake_records(&hello[5..25], 20);
    for rest in [&b""[..], b"\x16\xff\xffnoise", b"\x17\x03\x03\x00\x01x", &[22, 3, 3, 0x48, 1]] {
        let mut pair = Pair::new(&SERVER, client(VERSIONS[1], &[]));
        let received = pair.give(&[&piece[..], rest].concat());
        assert_eq!(received.is_ok(), rest.is_empty());
        pair.server.close(&mut pair.outgoing);
        assert!(pair.server.send(b"x", &mut pair.outgoing).is_err());
    }
}

#[test]
fn a_hello_in_pieces_is_understood_and_a_huge_one_is_not_waited_for() {
    let mut pair = Pair::new(&SERVER, client(VERSIONS[1], &[]));
    let hello = pair.sent_by_client();
    for byte in handshake_records(&hello[5..], 100) {
        pair.give(&[byte]).expect("part of a hello");
    }
    pair.give_client().expect("an answer to it");
    assert!(!pair.client.is_handshaking());

    // It claims 60,000 bytes, which rustls would wait for.
    let claim = [&[1, 0, 0xea, 0x60][..], &[0; 59_999]].concat();
    for size in [1, 7, 16_000] {
        let mut session = TlsSession::new(&SERVER).expect("a session");
        let (mut kept, mut held_max) = (Vec::new(), 0);
        let refused = handshake_records(&claim, size).chunks(1000).find_map(|bytes| {
            kept.extend_from_slice(bytes);
            match session.receive(&mut kept, &mut Vec::new(), &mut Vec::new()) {
                Ok(Received { consumed, .. }) => _ = kept.drain(..consumed),
                Err(error) => return Some(error),
            }
            held_max = held_max.max(kept.len());
            None
        });
        assert!(matches!(refused, Some(TlsError::Fragments)), "{refused:?}");
        assert!(held_max <= INCOMING_BYTES_MAX);
    }
}

#[test]
fn a_message_about_keys_in_pieces_ends_the_session() {
    let Pair { client: keys, mut server, .. } = pair(1);
    let mut piece = sealed_handshake(keys, &[24]);
    let (mut plain, mut outgoing) = (Vec::new(), Vec::new());
    let failed = server.receive(&mut piece, &mut plain, &mut outgoing);
    assert!(matches!(failed, Err(TlsError::Fragments)), "{failed:?}");
    assert!(server.send(b"media", &mut outgoing).is_err());
}

#[test]
fn a_record_and_the_start_of_another_leave_the_start() {
    let mut pair = pair(1);
    let (first, second) = (pair.encrypted(&[1; 100]), pair.encrypted(&[2; 100]));
    let bytes = [&first[..], &second[..50]].concat();
    assert_eq!(pair.give(&bytes).expect("good").consumed, first.len());
    assert_eq!((&pair.partial[..], &pair.plain[..]), (&second[..50], &[1; 100][..]));
}

/// Lengths of the records in `bytes`, which holds whole ones.
fn record_lengths(bytes: &[u8]) -> Vec<usize> {
    let (mut rest, mut lengths) = (bytes, Vec::new());
    while let [_, _, _, high, low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        lengths.push(length);
        rest = &rest[5 + length..];
    }
    assert!(rest.is_empty());
    lengths
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Handshake, data of any size, new keys and the end, cut anywhere.
    #[test]
    fn every_cut_of_the_stream_gives_the_same_bytes(
        version in 0usize..2,
        cuts in proptest::collection::vec(1usize..600, 1..40),
        messages in proptest::collection::vec((0usize..5000, any::<bool>()), 1..8),
    ) {
        let mut pair = Pair::new(&SERVER, client(VERSIONS[version], &[]));
        let mut cuts = cuts.iter().cycle();
        let mut closed = false;
        let mut give = |pair: &mut Pair, bytes: &[u8]| {
            let mut rest = bytes;
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().expect("endless")));
                closed |= pair.give(piece).expect("a good stream").closed;
                prop_assert!(pair.partial.len() <= INCOMING_BYTES_MAX);
                rest = after;
            }
            Ok(closed)
        };
        while pair.client.is_handshaking() || pair.server.is_handshaking() {
            let bytes = pair.sent_by_client();
            give(&mut pair, &bytes)?;
            pair.give_client().expect("a handshake");
        }
        let (mut sent, mut stream) = (Vec::new(), Vec::new());
        for (n, (length, renews)) in messages.into_iter().enumerate() {
            if renews && version == 1 {
                pair.client.refresh_traffic_keys().expect("TLS 1.3");
            }
            let message = vec![n as u8; length];
            stream.extend(pair.encrypted(&message));
            sent.extend(message);
        }
        prop_assert!(!give(&mut pair, &stream)?);
        prop_assert_eq!(&pair.plain, &sent);
        pair.client.send_close_notify();
        let end = pair.sent_by_client();
        prop_assert!(give(&mut pair, &end)?);
        pair.server.send(&sent, &mut pair.outgoing).expect("sent");
        prop_assert_eq!(pair.give_client().expect("good"), sent);
    }

    /// Whatever comes, at any moment: no panic, and nothing is held beyond the bound.
    #[test]
    fn hostile_bytes_never_panic(
        version in 0usize..2,
        upto in 0usize..3,
        noise in proptest::collection::vec((prop::sample::select(&[20u8, 21, 22, 23, 24, 80][..]), any::<Vec<u8>>()), 1..6),
    ) {
        let mut pair = if upto == 2 { pair(version) } else { Pair::new(&SERVER, client(VERSIONS[version], &[])) };
        if upto == 1 {
            let hello = pair.sent_by_client();
            pair.give(&hello).expect("a hello");
        }
        for (kind, body) in noise {
            let length = (body.len() as u16).to_be_bytes();
            let record = [&[kind, 3, 3][..], &length, &body].concat();
            if pair.give(&record).is_err() {
                break;
            }
            prop_assert!(pair.partial.len() <= INCOMING_BYTES_MAX);
            let _may_be_early = pair.server.send(b"media", &mut pair.outgoing);
        }
        pair.server.close(&mut pair.outgoing);
        let _is_over = pair.give(&[22, 3, 3, 0, 1, 1]);
    }
}
