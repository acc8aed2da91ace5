//! Any bytes as a datagram at a DTLS door.

use turnstone::wire::dtls::{
    COOKIE_BYTES, ClientHello, advance_plaintext_records, bare_hello, hello_verify_request,
    is_hello_verify_request,
};

/// Where the length of a record lies, and where its fragment begins.
const LENGTH_AT: usize = 11;
const FRAGMENT_AT: usize = 13;

pub(crate) fn run(data: &[u8]) {
    counting_on_can_be_undone(data);
    let Some(hello) = ClientHello::parse(data) else { return };
    assert!(!is_hello_verify_request(data));
    assert!(hello.record_sequence < 1 << 48 && hello.cookie.len() <= 255);
    // The hello ends with its record, whatever follows, and needs all of it.
    let end = FRAGMENT_AT + usize::from(u16::from_be_bytes([data[LENGTH_AT], data[LENGTH_AT + 1]]));
    assert_eq!(ClientHello::parse(&data[..end]), Some(hello));
    assert_eq!(ClientHello::parse(&data[..end - 1]), None);
    let mut advanced = data.to_vec();
    advance_plaintext_records(&mut advanced, 1);
    let next = ClientHello::parse(&advanced).expect("nothing else changed");
    assert_eq!(next.record_sequence, (hello.record_sequence + 1) % (1 << 48));
    assert_eq!((next.random, next.message_seq, next.cookie), (hello.random, hello.message_seq, hello.cookie));
    let offered = (0..=u16::MAX).step_by(0x3F).filter(|suite| hello.offers(*suite)).count();
    assert!(offered <= data.len() / 2);
    answer(&hello, data.len());
}

fn answer(hello: &ClientHello<'_>, asked_bytes: usize) {
    let answer = hello_verify_request(hello, &[0xCC; COOKIE_BYTES]);
    assert!(is_hello_verify_request(&answer) && ClientHello::parse(&answer).is_none());
    assert!(answer.len() <= asked_bytes, "nobody is sent more than came in his name");
    let bare = bare_hello(hello.random, hello.message_seq);
    let again = ClientHello::parse(&bare).expect("our own writing");
    assert_eq!((again.random, again.message_seq, again.cookie), (hello.random, hello.message_seq, &[][..]));
}

fn counting_on_can_be_undone(data: &[u8]) {
    let mut copy = data.to_vec();
    advance_plaintext_records(&mut copy, 0x1234_5678_9ABC);
    advance_plaintext_records(&mut copy, 0x1234_5678_9ABCu64.wrapping_neg());
    assert_eq!(copy, data);
}
