//! The format of a backup.
//!
//! ```text
//! "turnstone store\n" (16) format (4) length of the census (4) census
//! records, in the order of their keys: length of the key (4, not 0) length of the value (4) key value
//! trailer: 0 (4) records (8) SHA-256 of everything before (32)
//! ```
//!
//! Numbers have their lowest byte first. The census in front says how many records of each table follow, and their hash.

use super::census::{CENSUS_BYTES_MAX, Census};
use super::disk::DiskError;
use super::{Table, record};
use aws_lc_rs::digest::{Context, SHA256};
use std::io::{self, Read};

const MAGIC: &[u8; 16] = b"turnstone store\n";
const FORMAT: u32 = 1;
/// Longest key and value that are read; what is written is far shorter.
const KEY_BYTES_MAX: u32 = 64 << 10;
const VALUE_BYTES_MAX: u32 = 64 << 20;

/// Writes the parts of an archive.
pub(super) struct Encoder {
    sum: Context,
    records: u64,
}

impl Encoder {
    /// The encoder, and the header.
    pub(super) fn new(census: &Census) -> (Self, Vec<u8>) {
        let census = census.encode();
        let mut header = MAGIC.to_vec();
        header.extend(FORMAT.to_le_bytes());
        header.extend((census.len() as u32).to_le_bytes());
        header.extend(census);
        let mut sum = Context::new(&SHA256);
        sum.update(&header);
        (Self { sum, records: 0 }, header)
    }

    /// The next records.
    pub(super) fn rows<'a>(&mut self, rows: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in rows {
            bytes.extend((key.len() as u32).to_le_bytes());
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(key);
            bytes.extend(value);
            self.records += 1;
        }
        self.sum.update(&bytes);
        bytes
    }

    /// The trailer.
    pub(super) fn end(mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(self.records.to_le_bytes());
        self.sum.update(&bytes);
        bytes.extend(self.sum.finish().as_ref());
        bytes
    }
}

/// A record of an archive.
pub(super) struct Row {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// Reads an archive, and checks all of it on the way.
pub(super) struct Archive<R> {
    source: Summed<R>,
    wanted: Census,
    found: Census,
    records: u64,
    last_key: Vec<u8>,
}

impl<R: Read> Archive<R> {
    /// Reads the header. Errors are sentences.
    pub(super) fn open(source: R) -> Result<Self, String> {
        let mut source = Summed { source, sum: Context::new(&SHA256) };
        if source.array()? != *MAGIC {
            return Err("it is no backup of turnstone".into());
        }
        let format = u32::from_le_bytes(source.array()?);
        if format != FORMAT {
            return Err(format!("it is of format {format}, and this version of turnstone reads {FORMAT}"));
        }
        let length = u32::from_le_bytes(source.array()?);
        if length as usize > CENSUS_BYTES_MAX {
            return Err("its header is damaged".into());
        }
        let census = source.bytes(length)?;
        let wanted = Census::decode(&census)
            .map_err(|_| "its header is damaged, or of a newer version of turnstone")?;
        let found = Census { commit: wanted.commit, ..Census::default() };
        Ok(Self { source, wanted, found, records: 0, last_key: Vec::new() })
    }

    /// What the header announces.
    pub(super) fn census(&self) -> &Census {
        &self.wanted
    }

    /// The next record; `None` at the end, when everything was there. Errors are sentences.
    pub(super) fn next(&mut self) -> Result<Option<Row>, String> {
        let length = u32::from_le_bytes(self.source.array()?);
        if length == 0 {
            return self.end().map(|()| None);
        }
        let at = self.records + 1;
        let damaged = || format!("record {at} of {} is damaged", self.wanted.records());
        let value_length = u32::from_le_bytes(self.source.array()?);
        if length > KEY_BYTES_MAX || value_length > VALUE_BYTES_MAX {
            return Err(damaged());
        }
        let (key, value) = (self.source.bytes(length)?, self.source.bytes(value_length)?);
        let table = Table::of_tag(key[0]).ok_or_else(damaged)?;
        if key <= self.last_key || record::check(&key, &value).is_err() {
            return Err(damaged());
        }
        self.found.add(table, &key, &value);
        self.records = at;
        self.last_key.clone_from(&key);
        Ok(Some(Row { key, value }))
    }

    fn end(&mut self) -> Result<(), String> {
        let records = u64::from_le_bytes(self.source.array()?);
        let sum = self.source.sum.clone().finish();
        let said: [u8; 32] = self.source.array()?;
        if self.found != self.wanted || records != self.records {
            return Err(format!("it holds {}", self.found.describe_of(&self.wanted)));
        }
        if said != sum.as_ref() {
            return Err("its checksum is wrong".into());
        }
        let mut more = [0];
        match self.source.source.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err("something follows behind its end".into()),
            Err(error) => Err(DiskError::from(error).0),
        }
    }
}

/// A reader with a checksum of what was read.
struct Summed<R> {
    source: R,
    sum: Context,
}

impl<R: Read> Summed<R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(cut_short)?;
        self.sum.update(&bytes);
        Ok(bytes)
    }

    /// Takes no memory for what does not come.
    fn bytes(&mut self, length: u32) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.source.by_ref().take(u64::from(length)).read_to_end(&mut bytes).map_err(cut_short)?;
        if bytes.len() < length as usize {
            return Err(cut_short(io::ErrorKind::UnexpectedEof.into()));
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }
}

fn cut_short(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut short".into(),
        _ => DiskError::from(error).0,
    }
}

/// Reads a backup to its end. For the fuzzer; [`super::restore()`] does the same first.
///
/// # Errors
/// A sentence about what is wrong with it.
pub fn check_backup(source: impl Read) -> Result<u64, String> {
    let mut archive = Archive::open(source)?;
    while archive.next()?.is_some() {}
    Ok(archive.records)
}

#[cfg(test)]
mod tests {
    use super::super::{Key, Record};
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Row(u64);

    impl Record for Row {
        const TABLE: Table = Table::Calls;

        fn key(&self) -> Key {
            Key::of(Self::TABLE).number(self.0)
        }
    }

    fn archive(count: u64) -> Vec<u8> {
        let rows: Vec<_> = (0..count).map(|n| (Row(n).key(), record::seal(&Row(n).key(), &Row(n)))).collect();
        let mut census = Census::default();
        rows.iter().for_each(|(key, value)| census.add(Table::Calls, key.as_bytes(), value));
        let (mut encoder, mut bytes) = Encoder::new(&census);
        bytes.extend(encoder.rows(rows.iter().map(|(key, value)| (key.as_bytes(), value.as_slice()))));
        bytes.extend(encoder.end());
        bytes
    }

    #[test]
    fn an_archive_is_good_only_as_it_was_written() {
        let good = archive(3);
        assert_eq!(check_backup(&*good), Ok(3));
        assert_eq!(check_backup(&*archive(0)), Ok(0));
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(check_backup(&*bytes).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(check_backup(&good[..length]).is_err(), "{length} bytes");
        }
        assert!(check_backup(&*[good, vec![0]].concat()).is_err());
    }
}
