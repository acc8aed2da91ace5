//! Keys: typed segments behind the byte of a table, in the order of their values.

use super::Table;

/// A key. Text may hold any character: each segment ends by itself, so that no key reaches into another's range.
///
/// ```text
/// table (1) segment*     text:   its bytes, 00 as 00 FF, then 00 01
///                        number: 8 bytes, the highest first
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key without segments: the beginning of every key of the table.
    pub fn of(table: Table) -> Self {
        Self(vec![table.tag()])
    }

    /// One more segment.
    pub fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.0.push(byte);
            if byte == 0 {
                self.0.push(0xff);
            }
        }
        self.0.extend([0, 1]);
        self
    }

    /// One more segment.
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// A key of the database.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes, table first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first key behind all that begin with this one; `None` when there is none.
    pub fn end(&self) -> Option<Self> {
        let last = self.0.iter().rposition(|byte| *byte != 0xff)?;
        let mut end = self.0[..=last].to_vec();
        end[last] += 1;
        Some(Self(end))
    }
}

/// Reads the segments of a key in the order in which they were written.
#[derive(Clone, Copy, Debug)]
pub struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    /// The segments behind the table's byte; `None` for a key of no table.
    pub fn new(key: &'a [u8]) -> Option<(Table, Self)> {
        let (tag, rest) = key.split_first()?;
        Some((Table::of_tag(*tag)?, Self(rest)))
    }

    /// The next segment as a text; `None` when it is none.
    pub fn text(&mut self) -> Option<String> {
        let (mut text, mut at) = (Vec::new(), 0);
        loop {
            match (*self.0.get(at)?, self.0.get(at + 1)) {
                (0, Some(0xff)) => {
                    text.push(0);
                    at += 2;
                }
                (0, Some(1)) => break,
                (0, _) => return None,
                (byte, _) => {
                    text.push(byte);
                    at += 1;
                }
            }
        }
        self.0 = &self.0[at + 2..];
        String::from_utf8(text).ok()
    }

    /// The next segment as a number; `None` when it is none.
    pub fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_read_back_and_sort_as_their_segments(
            a in "[\0a-c\u{80}]{0,4}", b in "[\0a-c\u{80}]{0,4}", m: u64, n: u64,
        ) {
            let key = |text: &str, number| Key::of(Table::Messages).text(text).number(number);
            let (first, second) = (key(&a, m), key(&b, n));
            prop_assert_eq!(first.cmp(&second), (a.as_bytes(), m).cmp(&(b.as_bytes(), n)));
            let (table, mut reader) = KeyReader::new(first.as_bytes()).expect("a table");
            prop_assert_eq!((table, reader.text(), reader.number()), (Table::Messages, Some(a.clone()), Some(m)));
            prop_assert_eq!(reader.number(), None);
            // What begins with one text never lies in the range of another.
            let range = Key::of(Table::Messages).text(&a);
            let end = range.end().expect("the tag is below 255");
            prop_assert_eq!((&range..&end).contains(&&second), a == b);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            if let Some((_, mut reader)) = KeyReader::new(&bytes) {
                let _ = (reader.text(), reader.number(), reader.text());
            }
        }
    }
}
