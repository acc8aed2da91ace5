//! Names of time-limited credentials.
//!
//! ```text
//! name    = expiry [ ":" rest ]
//! expiry  = 1 to 20 decimal digits, seconds since 1970, below 2^64
//! rest    = ours / foreign
//! ours    = text 1*( ";" part )
//! part    = "i=" text     id of the credential     each letter at most once,
//!         / "t=" number   mint time                in any order
//!         / "c=" text     call id
//!         / "l=" text     label
//!         / "a=" number   allocations, below 2^32
//!         / "b=" number   bit/s, below 2^64
//! text    = any characters but ";", where "%" begins a "%HH" and the decoded bytes are UTF-8
//! foreign = whatever does not read as `ours`: the subject, literally, with every ";", ":" and "%"
//! ```
//! So no name of another minter is refused: `1700000000:a;b` has the subject `a;b`, and
//! `1700000000:50%` the subject `50%`. `1700000000:alice` and `1700000000:alice;i=7` have the same
//! subject, `alice`. What we write always has a part (`t=`), hence it is never taken for foreign and
//! its percent-encoding is always undone.
//!
//! Another minter that puts text of its users into the name unescaped lets them write parts. They
//! can give themselves a lower quota or someone else's subject, which such a minter allows anyway;
//! they cannot raise a quota, because `a=` and `b=` only ever tighten the configured limits.

use crate::base::UnixTime;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Longest name in bytes: USERNAME has fewer than 509 (RFC 8489 section 14.3).
pub const NAME_BYTES_MAX: usize = 508;

/// A view of a time-limited name. Being one says nothing about who made it: the HMAC does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintedName<'a> {
    expires: UnixTime,
    subject: Subject<'a>,
    parts: Parts<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject<'a> {
    Encoded(&'a str),
    Literal(&'a str),
}

/// Text is still encoded here, and known to decode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parts<'a> {
    id: Option<&'a str>,
    minted_at: Option<UnixTime>,
    call_id: Option<&'a str>,
    label: Option<&'a str>,
    allocations_max: Option<u32>,
    bits_per_second: Option<u64>,
}

impl<'a> MintedName<'a> {
    /// Reads `name`; `None` when it does not begin with an expiry or is longer than
    /// [`NAME_BYTES_MAX`]. Allocates only to check text that holds a `%`.
    pub fn parse(name: &'a str) -> Option<Self> {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let (expiry, rest) = name.split_once(':').unwrap_or((name, ""));
        if expiry.len() > EXPIRY_DIGITS_MAX {
            return None;
        }
        let expires = UnixTime(number(expiry)?);
        let (subject, parts) = ours(rest).unwrap_or_else(|| (Subject::Literal(rest), Parts::default()));
        Some(Self { expires, subject, parts })
    }

    /// From this second on the name is void.
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// Whose name it is: quotas, usage and lookups go by it. May be empty, and may hold any character.
    pub fn subject(&self) -> Cow<'a, str> {
        match self.subject {
            Subject::Encoded(text) => decode(text),
            Subject::Literal(text) => Cow::Borrowed(text),
        }
    }

    /// The id under which the credential can be revoked.
    pub fn id(&self) -> Option<Cow<'a, str>> {
        self.parts.id.map(decode)
    }

    /// When it was made, by the clock of its minter.
    pub fn minted_at(&self) -> Option<UnixTime> {
        self.parts.minted_at
    }

    /// The call that it was made for.
    pub fn call_id(&self) -> Option<Cow<'a, str>> {
        self.parts.call_id.map(decode)
    }

    /// What the minter wants to see it counted under.
    pub fn label(&self) -> Option<Cow<'a, str>> {
        self.parts.label.map(decode)
    }

    /// Allocations that may live at once; tightens the configured limit, never loosens it.
    pub fn allocations_max(&self) -> Option<u32> {
        self.parts.allocations_max
    }

    /// Relayed payload in bit/s; tightens the configured limit, never loosens it.
    pub fn bits_per_second(&self) -> Option<u64> {
        self.parts.bits_per_second
    }
}

/// What a name that we mint says. `Display` writes the name, whatever its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameFields<'a> {
    /// From this second on the name is void.
    pub expires: UnixTime,
    /// Whose name it is.
    pub subject: &'a str,
    /// When it is made. Always written: it marks the name as ours.
    pub minted_at: UnixTime,
    /// An id to revoke it by.
    pub id: Option<&'a str>,
    /// The call that it is for.
    pub call_id: Option<&'a str>,
    /// What to count it under.
    pub label: Option<&'a str>,
    /// Allocations that may live at once.
    pub allocations_max: Option<u32>,
    /// Relayed payload in bit/s.
    pub bits_per_second: Option<u64>,
}

impl fmt::Display for NameFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.expires.0, encode(self.subject))?;
        if let Some(id) = self.id {
            write!(f, ";i={}", encode(id))?;
        }
        write!(f, ";t={}", self.minted_at.0)?;
        if let Some(call_id) = self.call_id {
            write!(f, ";c={}", encode(call_id))?;
        }
        if let Some(label) = self.label {
            write!(f, ";l={}", encode(label))?;
        }
        if let Some(allocations) = self.allocations_max {
            write!(f, ";a={allocations}")?;
        }
        if let Some(rate) = self.bits_per_second {
            write!(f, ";b={rate}")?;
        }
        Ok(())
    }
}

/// `None` when `rest` has no part, or anything in it that is not of the form we write.
fn ours(rest: &str) -> Option<(Subject<'_>, Parts<'_>)> {
    let (subject, rest) = rest.split_once(';')?;
    let mut parts = Parts::default();
    for part in rest.split(';') {
        let (letter, value) = part.split_once('=')?;
        match letter {
            "i" => fill(&mut parts.id, text(value)?)?,
            "t" => fill(&mut parts.minted_at, UnixTime(number(value)?))?,
            "c" => fill(&mut parts.call_id, text(value)?)?,
            "l" => fill(&mut parts.label, text(value)?)?,
            "a" => fill(&mut parts.allocations_max, number(value)?)?,
            "b" => fill(&mut parts.bits_per_second, number(value)?)?,
            _ => return None,
        }
    }
    Some((Subject::Encoded(text(subject)?), parts))
}

/// `None` when the part was there already.
fn fill<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// Digits only: `FromStr` alone would let a sign through.
fn number<T: FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// `encoded` when it decodes.
fn text(encoded: &str) -> Option<&str> {
    let sound = encoded.split('%').skip(1).all(|after| {
        after.as_bytes().first_chunk::<2>().is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    (sound && percent_decode_str(encoded).decode_utf8().is_ok()).then_some(encoded)
}

/// Lossless for what [`text`] let through.
fn decode(encoded: &str) -> Cow<'_, str> {
    percent_decode_str(encoded).decode_utf8_lossy()
}

fn encode(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, RESERVED)
}

/// 2^64 has 20 digits.
const EXPIRY_DIGITS_MAX: usize = 20;

/// All but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_of_another_minter_and_ours_have_the_same_subject() {
        for name in ["170:alice", "170:alice;i=7", "170:alice;t=100;b=64000", "0170:alice;l=%C3%A4"] {
            let name = MintedName::parse(name).expect("begins with an expiry");
            assert_eq!((name.expires(), &*name.subject()), (UnixTime(170), "alice"));
        }
    }

    #[test]
    fn all_parts_are_read() {
        let name = MintedName::parse("170:a%3Bb@x:y;i=c%201;t=9;c=;l=%c3%A4=;a=3;b=64000").expect("ours");
        assert_eq!(name.subject(), "a;b@x:y");
        assert_eq!(name.id().as_deref(), Some("c 1"));
        assert_eq!(name.minted_at(), Some(UnixTime(9)));
        assert_eq!(name.call_id().as_deref(), Some(""));
        assert_eq!(name.label().as_deref(), Some("ä="));
        assert_eq!((name.allocations_max(), name.bits_per_second()), (Some(3), Some(64_000)));
    }

    #[test]
    fn what_is_not_wholly_of_our_form_is_a_foreign_subject_taken_literally() {
        for rest in [
            "",
            "a;b",
            "a;",
            ";",
            "a;i",
            "a;i=1;",
            "a;x=1",
            "a;I=1",
            "50%",
            "50%;i=1",
            "a%4;i=1",
            "a%ff;i=1",
            "%41",
            "a;i=%zz",
            "a;i=1;i=2",
            "a;a=4294967296",
            "a;a=+1",
            "a;a=",
            "a;t=-1",
            "a:b:c",
            "a;i=1;b=1 ",
        ] {
            let whole = format!("170:{rest}");
            let name = MintedName::parse(&whole).expect("begins with an expiry");
            assert_eq!(name.subject(), rest);
            assert_eq!(name.parts, Parts::default(), "{rest}");
        }
    }

    #[test]
    fn an_expiry_alone_is_a_name_without_subject() {
        assert_eq!(MintedName::parse("1700000000").expect("an expiry").subject(), "");
    }

    #[test]
    fn a_name_without_an_expiry_is_none() {
        for name in [
            "",
            ":",
            ":alice",
            "alice",
            "alice:170",
            "+170:alice",
            " 170:alice",
            "170;i=1",
            "170 :alice",
            "1.7e9:a",
        ] {
            assert_eq!(MintedName::parse(name), None, "{name}");
        }
        let most = u64::MAX.to_string();
        assert_eq!(MintedName::parse(&most).expect("fits").expires(), UnixTime(u64::MAX));
        assert_eq!(MintedName::parse("18446744073709551616:alice"), None);
        assert_eq!(MintedName::parse("000000000000000000001:alice"), None, "21 digits");
        let long = format!("170:{}", "a".repeat(NAME_BYTES_MAX - 4));
        assert!(MintedName::parse(&long).is_some());
        assert_eq!(MintedName::parse(&format!("{long}a")), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            expires: u64, minted_at: u64, subject in ".{0,40}", id in option_text(), call_id in option_text(),
            label in option_text(), allocations_max: Option<u32>, bits_per_second: Option<u64>,
        ) {
            let fields = NameFields {
                expires: UnixTime(expires), subject: &subject, minted_at: UnixTime(minted_at), id: id.as_deref(),
                call_id: call_id.as_deref(), label: label.as_deref(), allocations_max, bits_per_second,
            };
            let written = fields.to_string();
            let Some(name) = MintedName::parse(&written) else {
                prop_assert!(written.len() > NAME_BYTES_MAX);
                return Ok(());
            };
            let (subject, id, call_id, label) = (name.subject(), name.id(), name.call_id(), name.label());
            let read = NameFields {
                expires: name.expires(), subject: &subject, minted_at: name.minted_at().expect("written"),
                id: id.as_deref(), call_id: call_id.as_deref(), label: label.as_deref(),
                allocations_max: name.allocations_max(), bits_per_second: name.bits_per_second(),
            };
            prop_assert_eq!(read, fields);
        }

        #[test]
        fn any_text_behind_the_colon_makes_a_name_and_parts_only_by_our_letters(rest in "[a-c;:=%it0-9]{0,24}|.{0,60}") {
            let whole = format!("170:{rest}");
            let name = MintedName::parse(&whole).expect("begins with an expiry");
            let ours = rest.contains(';') && rest.split(';').skip(1).all(|part| {
                part.split_once('=').is_some_and(|(letter, _)| ["i", "t", "c", "l", "a", "b"].contains(&letter))
            });
            if !ours {
                prop_assert_eq!(name.subject(), &*rest);
            }
            if name.parts != Parts::default() {
                prop_assert!(ours);
            }
        }

        #[test]
        fn no_text_panics(name in ".{0,600}") {
            let _ = MintedName::parse(&name).map(|n| (n.subject().len(), n.label().map(|l| l.len())));
        }
    }

    fn option_text() -> impl Strategy<Value = Option<String>> {
        proptest::option::of(".{0,12}")
    }
}
