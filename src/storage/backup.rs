//! Copies of the whole store, made while it is in use: for [`super::restore()`], and for other programs.

use super::archive::Encoder;
use super::census::Census;
use super::snapshot::Snapshot;
use super::writer::Rows;
use super::{Store, StoreError, Table, record};
use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;
use std::{fmt, io};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The commit at which the store was copied.
    pub commit: u64,
    /// Records.
    pub records: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Damaged records that were left out; a backup leaves none out, but fails.
    pub damaged: u64,
}

/// Why a copy was not made, or not to its end: what was written is not complete, and shows it.
#[derive(Debug)]
pub enum CopyError {
    /// The store cannot be read.
    Store(StoreError),
    /// The copy cannot be written.
    Io(io::Error),
    /// What was read is not what the store should hold.
    Inconsistent(String),
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Inconsistent(found) => write!(f, "the store holds {found}: see `turnstone status`"),
        }
    }
}

impl std::error::Error for CopyError {}

impl From<StoreError> for CopyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for CopyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes a backup of the store as it is now. It takes a few hundred KiB of memory, and as much more as is changed
/// meanwhile, up to 64 MiB.
///
/// # Errors
/// The backup is not complete.
pub async fn backup(store: &Store, out: &mut (impl AsyncWrite + Unpin)) -> Result<Copied, CopyError> {
    let mut reader = Reader::new(store).await?;
    let (mut encoder, header) = Encoder::new(reader.snapshot.census());
    let mut bytes = header.len();
    out.write_all(&header).await?;
    while let Some(rows) = reader.next().await? {
        if rows.iter().any(|(key, value)| record::check(key, value).is_err()) {
            let found = "a damaged record, which a restart sets aside";
            return Err(CopyError::Inconsistent(found.into()));
        }
        let part = encoder.rows(rows.iter().map(|(key, value)| (&**key, &**value)));
        bytes += part.len();
        out.write_all(&part).await?;
    }
    let trailer = encoder.end();
    out.write_all(&trailer).await?;
    out.flush().await?;
    Ok(reader.copied(bytes + trailer.len(), 0))
}

/// A line of an export.
#[derive(Serialize)]
struct Line<'a> {
    table: &'static str,
    /// Hexadecimal, without the byte of the table: unique in it, and in its order.
    key: String,
    version: u8,
    value: &'a RawValue,
}

/// Writes the store as it is now as JSON lines, `{"table":..,"key":..,"version":..,"value":..}`, and a last one,
/// `{"records":..,"sha256":..}`, with the SHA-256 of all bytes before it. Memory as [`backup`].
///
/// # Errors
/// The export is not complete.
pub async fn export(store: &Store, out: &mut (impl AsyncWrite + Unpin)) -> Result<Copied, CopyError> {
    let mut reader = Reader::new(store).await?;
    let (mut sum, mut bytes, mut damaged) = (Context::new(&SHA256), 0, 0);
    while let Some(rows) = reader.next().await? {
        let mut part = Vec::new();
        for (key, value) in &rows {
            match line(key, value) {
                Some(line) => part.extend(line),
                None => damaged += 1,
            }
        }
        sum.update(&part);
        bytes += part.len();
        out.write_all(&part).await?;
    }
    let records = reader.found.records() - damaged;
    let last = format!("{{\"records\":{records},\"sha256\":\"{}\"}}\n", hex(sum.finish().as_ref()));
    out.write_all(last.as_bytes()).await?;
    out.flush().await?;
    Ok(reader.copied(bytes + last.len(), damaged))
}

fn line(key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let (version, payload) = record::check(key, value).ok()?;
    let (table, key) = (Table::of_tag(*key.first()?)?.name(), hex(&key[1..]));
    let value = serde_json::from_slice(payload).ok()?;
    let mut line = serde_json::to_vec(&Line { table, key, version, value }).ok()?;
    line.push(b'\n');
    Some(line)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Reads a snapshot, and compares at its end what was read with what there should be.
struct Reader {
    snapshot: Snapshot,
    found: Census,
}

impl Reader {
    async fn new(store: &Store) -> Result<Self, StoreError> {
        let snapshot = store.snapshot().await?;
        let found = Census { commit: snapshot.commit(), ..Census::default() };
        Ok(Self { snapshot, found })
    }

    async fn next(&mut self) -> Result<Option<Rows>, CopyError> {
        let rows = self.snapshot.next().await?;
        for (key, value) in rows.iter().flatten() {
            if let Some(table) = key.first().and_then(|tag| Table::of_tag(*tag)) {
                self.found.add(table, key, value);
            }
        }
        let wanted = self.snapshot.census();
        if rows.is_none() && self.found != *wanted {
            return Err(CopyError::Inconsistent(self.found.describe_of(wanted)));
        }
        Ok(rows)
    }

    fn copied(&self, bytes: usize, damaged: u64) -> Copied {
        let (commit, records) = (self.found.commit, self.found.records() - damaged);
        Copied { commit, records, bytes: bytes as u64, damaged }
    }
}
