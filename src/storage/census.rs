//! What the store holds, in a few numbers: how many records each table has, and a hash that says which.
//!
//! It is kept three times: under the meta key of the database, in the fence beside it, and in the header of a backup.
//!
//! ```text
//! format (1) commit (8) tables (1), for each: tag (1) records (8) hash (16); XXH3-64 of all that (8); lowest bytes first
//! ```

use super::Table;
use super::record::HEADER_BYTES;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const FORMAT: u8 = 1;
const TABLES: usize = Table::ALL.len();
const ROW_BYTES: usize = 25;
/// The longest one: of all tags there can be.
pub(super) const CENSUS_BYTES_MAX: usize = 18 + 255 * ROW_BYTES;

/// The records of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) records: u64,
    /// The sum of the hashes of its records, in any order: what is added can be taken away again.
    hash: u128,
}

/// All records at one commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// How many groups of batches came before.
    pub(super) commit: u64,
    pub(super) tallies: [Tally; TABLES],
}

/// Why bytes are no census.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadCensus {
    /// They are not what was written.
    Damaged,
    /// A newer build wrote them.
    Newer,
}

impl Census {
    pub(super) fn of(&self, table: Table) -> Tally {
        self.tallies[index(table)]
    }

    pub(super) fn records(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.records).sum()
    }

    /// Whether the same records are there, at whichever commit.
    pub(super) fn same_records(&self, other: &Self) -> bool {
        self.tallies == other.tallies
    }

    /// One more record.
    pub(super) fn add(&mut self, table: Table, key: &[u8], value: &[u8]) {
        let tally = &mut self.tallies[index(table)];
        tally.records = tally.records.wrapping_add(1);
        tally.hash = tally.hash.wrapping_add(hash(key, value));
    }

    /// One record less.
    pub(super) fn remove(&mut self, table: Table, key: &[u8], value: &[u8]) {
        let tally = &mut self.tallies[index(table)];
        tally.records = tally.records.wrapping_sub(1);
        tally.hash = tally.hash.wrapping_sub(hash(key, value));
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.commit.to_le_bytes());
        bytes.push(TABLES as u8);
        for table in Table::ALL {
            let tally = self.of(table);
            bytes.push(table.tag());
            bytes.extend(tally.records.to_le_bytes());
            bytes.extend(tally.hash.to_le_bytes());
        }
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// Reads one that begins here; what follows is not looked at.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadCensus> {
        let rows = usize::from(*bytes.get(9).ok_or(BadCensus::Damaged)?);
        let (body, rest) = bytes.split_at_checked(10 + rows * ROW_BYTES).ok_or(BadCensus::Damaged)?;
        let sum = rest.first_chunk().ok_or(BadCensus::Damaged)?;
        if u64::from_le_bytes(*sum) != xxh3_64(body) {
            return Err(BadCensus::Damaged);
        }
        if body[0] != FORMAT {
            return Err(BadCensus::Newer);
        }
        let mut census = Self { commit: number(&body[1..]), ..Self::default() };
        for row in body[10..].chunks_exact(ROW_BYTES) {
            let table = Table::of_tag(row[0]).ok_or(BadCensus::Newer)?;
            let hash = u128::from(number(&row[9..])) | u128::from(number(&row[17..])) << 64;
            census.tallies[index(table)] = Tally { records: number(&row[1..]), hash };
        }
        Ok(census)
    }

    /// `100 records (users 10, messages 90)`.
    pub(super) fn describe(&self) -> String {
        list(self.records().to_string(), |table| {
            let records = self.of(table).records;
            (records > 0).then(|| format!("{} {records}", table.name()))
        })
    }

    /// `90 of 100 records (users 5 of 10, messages 85 of 90)`, with the tables that differ.
    pub(super) fn describe_of(&self, wanted: &Self) -> String {
        list(format!("{} of {}", self.records(), wanted.records()), |table| {
            let (found, wanted) = (self.of(table), wanted.of(table));
            if found == wanted {
                None
            } else if found.records == wanted.records {
                Some(format!(
                    "{} {}, of which some are not as they were written",
                    table.name(),
                    found.records
                ))
            } else {
                Some(format!("{} {} of {}", table.name(), found.records, wanted.records))
            }
        })
    }
}

fn list(total: String, row: impl Fn(Table) -> Option<String>) -> String {
    let rows: Vec<_> = Table::ALL.into_iter().filter_map(row).collect();
    let rows = if rows.is_empty() { String::new() } else { format!(" ({})", rows.join(", ")) };
    format!("{total} records{rows}")
}

/// Key and header of the value, whose checksum stands for its payload: so that a damaged payload does not hide whether all
/// else is right, and an overwritten value need not be read to its end.
fn hash(key: &[u8], value: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(key);
    hash.update(&value[..value.len().min(HEADER_BYTES)]);
    hash.digest128()
}

fn index(table: Table) -> usize {
    // The tags of the tables are 1, 2, 3, ..; a test below says so.
    usize::from(table.tag()) - 1
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Census {
        let mut census = Census { commit: 7, ..Census::default() };
        census.add(Table::Users, b"\x02a", b"123456789payload");
        census.add(Table::ReadCursors, b"\x0bb", b"short");
        census
    }

    #[test]
    fn the_tables_have_their_places_by_their_tags() {
        for (at, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(index(table), at);
        }
    }

    #[test]
    fn a_census_reads_back_and_any_changed_bit_is_noticed() {
        let bytes = some().encode();
        assert_eq!(Census::decode(&bytes), Ok(some()));
        assert_eq!(Census::decode(&[bytes.clone(), vec![9; 9]].concat()), Ok(some()));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Census::decode(&bytes), Err(BadCensus::Damaged), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Census::decode(&bytes[..len]), Err(BadCensus::Damaged), "{len} bytes");
        }
    }

    #[test]
    fn a_table_that_this_build_does_not_know_is_told_from_damage() {
        let mut bytes = some().encode();
        bytes[10] = 200;
        let body = bytes.len() - 8;
        let sum = xxh3_64(&bytes[..body]).to_le_bytes();
        bytes[body..].copy_from_slice(&sum);
        assert_eq!(Census::decode(&bytes), Err(BadCensus::Newer));
    }

    #[test]
    fn what_is_missing_is_told_by_table() {
        let mut less = some();
        less.remove(Table::Users, b"\x02a", b"123456789payload");
        assert_eq!(less.describe_of(&some()), "1 of 2 records (users 0 of 1)");
        assert_eq!(some().describe(), "2 records (users 1, read_cursors 1)");
        less.add(Table::Users, b"\x02a", b"12345678?payload");
        assert_eq!(
            less.describe_of(&some()),
            "2 of 2 records (users 1, of which some are not as they were written)"
        );
    }
}
