//! Whole messages against the `stun` crate, which we did not write: both ways, and wherever the two
//! disagree, for a reason of the list.

use crate::arbitrary::{Draft, closes, draft, nearly_a_message};
use proptest::prelude::*;
use stun::agent::TransactionId as TheirId;
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{Message as Theirs, Setter};
use turnstone::wire::Malformed;
use turnstone::wire::stun::{
    AttributeType, Class, HEADER_BYTES, IntegrityAlgorithm, IntegrityKey, Message, Method, TransactionId,
};

/// Why the two may answer differently to the same bytes. Ours is the stricter one each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// They do not look at the two top bits (RFC 8489 section 5: MUST be zeroes).
    TopBits,
    /// They take bytes behind the length that the header claims.
    TrailingBytes,
    /// They leave FINGERPRINT to the caller; we refuse a wrong one.
    WrongFingerprint,
    /// They list what stands behind an integrity or FINGERPRINT, which does not count
    /// (RFC 8489 sections 14.5 to 14.7).
    BehindClosing,
    /// They rename 0x8020, which drafts before RFC 5389 used, to XOR-MAPPED-ADDRESS.
    OldXorMapped,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_ours_writes_theirs_reads_and_verifies(draft in draft()) {
        let bytes = draft.write();
        let ours = Message::parse(&bytes).unwrap();
        prop_assert_eq!((ours.class(), ours.method()), (draft.class, draft.method));
        let mut theirs = read(&bytes).unwrap();
        assert_same_header(&theirs, &bytes);
        prop_assert_eq!(theirs.raw.len(), bytes.len());
        let read: Vec<_> = their_attributes(&theirs).into_iter().filter(|(kind, _)| !closes(*kind)).collect();
        prop_assert_eq!(read, renamed(&draft.attributes));
        let wrong = MessageIntegrity::new_short_term_integrity(format!("{}-", draft.password));
        prop_assert_eq!(their_integrity(&draft).check(&mut theirs).is_ok(), draft.with_sha1);
        prop_assert!(wrong.check(&mut theirs).is_err());
        prop_assert_eq!(FINGERPRINT.check(&theirs).is_ok(), draft.with_fingerprint);
    }

    #[test]
    fn what_theirs_writes_ours_reads_and_verifies(draft in draft()) {
        let theirs = their_write(&draft);
        let ours = Message::parse(&theirs.raw).unwrap();
        assert_same_header(&theirs, &theirs.raw);
        prop_assert_eq!((ours.class(), ours.method()), (draft.class, draft.method));
        prop_assert_eq!(ours.transaction_id(), draft.id);
        let read: Vec<_> = our_attributes(&ours).into_iter().filter(|(kind, _)| !closes(*kind)).collect();
        prop_assert_eq!(&read, &draft.attributes);
        prop_assert_eq!(ours.check_integrity(IntegrityAlgorithm::Sha1, &draft.key()), draft.with_sha1);
        prop_assert_eq!(ours.has_fingerprint(), draft.with_fingerprint);
        let wrong = IntegrityKey::short_term(b"\x01").unwrap();
        prop_assert!(!ours.check_integrity(IntegrityAlgorithm::Sha1, &wrong));
    }

    /// The same draft gives the same bytes, checksums and padding included.
    #[test]
    fn ours_and_theirs_write_the_same_bytes(mut draft in draft()) {
        draft.with_sha256 = false;
        prop_assert_eq!(draft.write(), their_write(&draft).raw);
    }

    /// The `stun` crate knows no SHA-256, so the words of RFC 8489 section 14.6 are the judge: HMAC of
    /// all in front of the attribute, with a length field that ends behind it.
    #[test]
    fn the_sha256_tag_is_the_hmac_of_the_message_up_to_it(mut draft in draft()) {
        draft.with_sha256 = true;
        let bytes = draft.write();
        let ours = Message::parse(&bytes).unwrap();
        prop_assert!(ours.check_integrity(IntegrityAlgorithm::Sha256, &draft.key()));
        let at = bytes.len() - 36 - 8 * usize::from(draft.with_fingerprint);
        let mut covered = bytes[..at].to_vec();
        covered[2..4].copy_from_slice(&((at + 36 - HEADER_BYTES) as u16).to_be_bytes());
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, draft.password.as_bytes());
        let tag = aws_lc_rs::hmac::sign(&key, &covered);
        prop_assert_eq!(tag.as_ref(), &bytes[at + 4..at + 36]);
    }

    #[test]
    fn both_answer_alike_to_arbitrary_bytes_but_for_the_listed_reasons(case in nearly_a_message()) {
        let (draft, bytes) = case;
        differences(&bytes, &draft);
    }

    #[test]
    fn both_answer_alike_to_bytes_with_a_sound_header(
        draft in draft(),
        body in proptest::collection::vec(prop_oneof![Just(0u8), Just(8), Just(4), Just(0x80), any::<u8>()], 0..80),
    ) {
        let mut bytes = draft.write()[..HEADER_BYTES].to_vec();
        bytes[2..4].copy_from_slice(&(body.len() as u16).to_be_bytes());
        bytes.extend(body);
        differences(&bytes, &draft);
    }
}

/// The list of reasons names only what happens.
#[test]
fn each_listed_difference_is_seen() {
    let mut draft = Draft {
        class: Class::Request,
        method: Method::BINDING,
        id: TransactionId([7; 12]),
        attributes: Vec::new(),
        password: "k".to_owned(),
        with_sha1: false,
        with_sha256: false,
        with_fingerprint: true,
    };
    let sound = draft.write();
    assert_eq!(differences(&sound, &draft), []);

    let mut top_bits = sound.clone();
    top_bits[0] |= 0x80;
    assert_eq!(differences(&top_bits, &draft), [Difference::TopBits]);

    let trailing = [&sound[..], &[0]].concat();
    assert_eq!(differences(&trailing, &draft), [Difference::TrailingBytes]);

    let mut wrong = sound.clone();
    wrong[27] ^= 1;
    assert_eq!(differences(&wrong, &draft), [Difference::WrongFingerprint]);

    let mut behind = [&sound[..], &sound[HEADER_BYTES..]].concat();
    behind[3] = 16;
    assert_eq!(differences(&behind, &draft), [Difference::BehindClosing]);

    draft.attributes.push((AttributeType(0x8020), vec![0; 8]));
    assert_eq!(differences(&draft.write(), &draft), [Difference::OldXorMapped]);
}

/// Reads `bytes` with both and panics unless each difference has a reason, which is returned.
fn differences(bytes: &[u8], draft: &Draft) -> Vec<Difference> {
    match (Message::parse(bytes), read(bytes)) {
        (Err(_), None) => Vec::new(),
        (Ok(ours), None) => panic!("ours takes what theirs refuses: {ours:?}"),
        (Err(error), Some(theirs)) => vec![refusal(bytes, error, &theirs)],
        (Ok(ours), Some(mut theirs)) => {
            assert_same_header(&theirs, bytes);
            assert_eq!(ours.transaction_id().0, theirs.transaction_id.0);
            assert_same_checks(&ours, &mut theirs, draft);
            attribute_differences(&ours, &theirs)
        }
    }
}

/// The reason why ours refuses what theirs takes.
fn refusal(bytes: &[u8], error: Malformed, theirs: &Theirs) -> Difference {
    let claimed = HEADER_BYTES + usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    match error {
        Malformed::NotStun if bytes[0] & 0xC0 != 0 => Difference::TopBits,
        Malformed::TooLong if bytes.len() > claimed => Difference::TrailingBytes,
        // Theirs agrees when it is asked, whether FINGERPRINT is the last attribute or not.
        Malformed::BadFingerprint if FINGERPRINT.check(theirs).is_err() => Difference::WrongFingerprint,
        _ => panic!("no listed reason for {error:?}"),
    }
}

/// The lists may differ by what stands behind a closing attribute and by one old number.
fn attribute_differences(ours: &Message<'_>, theirs: &Theirs) -> Vec<Difference> {
    let (listed, theirs) = (our_attributes(ours), their_attributes(theirs));
    let counting = counting(&theirs);
    assert_eq!(renamed(&listed), counting);
    let mut found = Vec::new();
    if counting.len() < theirs.len() {
        found.push(Difference::BehindClosing);
    }
    if renamed(&listed) != listed {
        found.push(Difference::OldXorMapped);
    }
    found
}

/// Both agree about the checksums wherever both have a view: theirs checks the first
/// MESSAGE-INTEGRITY even where it does not count, and FINGERPRINT only as the last attribute.
fn assert_same_checks(ours: &Message<'_>, theirs: &mut Theirs, draft: &Draft) {
    let counts = ours.has_integrity_of(IntegrityAlgorithm::Sha1);
    if counts {
        let verdict = their_integrity(draft).check(theirs).is_ok();
        assert_eq!(ours.check_integrity(IntegrityAlgorithm::Sha1, &draft.key()), verdict);
    } else {
        assert!(!ours.check_integrity(IntegrityAlgorithm::Sha1, &draft.key()));
    }
    let last = their_attributes(theirs).last().map(|(kind, _)| *kind);
    if last == Some(AttributeType::FINGERPRINT) && ours.has_fingerprint() {
        let first = their_attributes(theirs).iter().position(|(kind, _)| *kind == AttributeType::FINGERPRINT);
        if first == Some(theirs.attributes.0.len() - 1) {
            assert!(FINGERPRINT.check(theirs).is_ok());
        }
    }
}

/// RFC 8489 sections 14.5 to 14.7, written down as slowly as the text: what is left of a list.
fn counting(list: &[(AttributeType, Vec<u8>)]) -> Vec<(AttributeType, Vec<u8>)> {
    let mut seen: Vec<AttributeType> = Vec::new();
    let mut left = Vec::new();
    for (kind, value) in list {
        let behind = |closing| seen.contains(&closing);
        let ignored = behind(AttributeType::FINGERPRINT)
            || behind(AttributeType::MESSAGE_INTEGRITY_SHA256) && *kind != AttributeType::FINGERPRINT
            || behind(AttributeType::MESSAGE_INTEGRITY)
                && *kind != AttributeType::FINGERPRINT
                && *kind != AttributeType::MESSAGE_INTEGRITY_SHA256;
        if !ignored {
            seen.push(*kind);
            left.push((*kind, value.clone()));
        }
    }
    left
}

fn read(bytes: &[u8]) -> Option<Theirs> {
    let mut message = Theirs::new();
    message.unmarshal_binary(bytes).is_ok().then_some(message)
}

fn their_write(draft: &Draft) -> Theirs {
    let mut message = Theirs::new();
    // Methods outside of its list have no constructor there; the type field gives them.
    let mut without_body = draft.clone();
    without_body.attributes.clear();
    let head = without_body.write();
    message.typ.read_value(u16::from_be_bytes([head[0], head[1]]));
    message.transaction_id = TheirId(draft.id.0);
    message.write_header();
    for (kind, value) in &draft.attributes {
        message.add(stun::attributes::AttrType(kind.0), value);
    }
    if draft.with_sha1 {
        their_integrity(draft).add_to(&mut message).unwrap();
    }
    if draft.with_fingerprint {
        FINGERPRINT.add_to(&mut message).unwrap();
    }
    message
}

fn their_integrity(draft: &Draft) -> MessageIntegrity {
    MessageIntegrity::new_short_term_integrity(draft.password.clone())
}

fn assert_same_header(theirs: &Theirs, bytes: &[u8]) {
    assert_eq!(theirs.typ.value(), u16::from_be_bytes([bytes[0], bytes[1]]));
    assert_eq!(theirs.transaction_id.0, bytes[8..HEADER_BYTES]);
}

fn our_attributes(message: &Message<'_>) -> Vec<(AttributeType, Vec<u8>)> {
    message.attributes().map(|a| (a.kind, a.value.to_vec())).collect()
}

fn their_attributes(message: &Theirs) -> Vec<(AttributeType, Vec<u8>)> {
    message.attributes.0.iter().map(|a| (AttributeType(a.typ.0), a.value.clone())).collect()
}

fn renamed(list: &[(AttributeType, Vec<u8>)]) -> Vec<(AttributeType, Vec<u8>)> {
    let rename = |kind| if kind == AttributeType(0x8020) { AttributeType::XOR_MAPPED_ADDRESS } else { kind };
    list.iter().map(|(kind, value)| (rename(*kind), value.clone())).collect()
}
