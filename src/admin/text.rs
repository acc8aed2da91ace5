//! Words and figures for a terminal: nothing in them moves its cursor, and a table fits its lines.

use super::client::Failure;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use unicode_width::UnicodeWidthStr;

/// Columns of a terminal that does not say how many it has, and of no terminal.
const COLUMNS: usize = 80;

/// A text of somebody else, with everything escaped that a terminal obeys or that would hide or turn what follows.
pub(super) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // Marks that have no width, or that turn the direction of what follows.
            '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                out.extend(letter.escape_unicode());
            }
            _ if letter.is_control() => out.extend(letter.escape_default()),
            _ => out.push(letter),
        }
    }
    out
}

/// Bytes in three digits: `999 B`, `1.23 MB`.
pub(super) fn bytes(count: u64) -> String {
    scaled(count as f64, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// Bits per second in three digits.
pub(super) fn bit_rate(bps: u64) -> String {
    scaled(bps as f64, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s", "Ebit/s"])
}

fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut at = 0;
    // 999.5 would be written as 1000.
    while value >= 999.5 && at + 1 < units.len() {
        value /= 1000.0;
        at += 1;
    }
    let digits = match value {
        _ if at == 0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", units[at])
}

/// A span of time in its two largest units: `34s`, `12m 05s`, `2h 13m`, `3d 04h`.
pub(super) fn span(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

/// Writes to standard output.
///
/// # Errors
/// [`Failure::Unsaid`]: the disk is full, or who reads has seen enough and gone, as `head` does.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    say_bytes(text.as_bytes())
}

/// The same with bytes.
pub(super) fn say_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    // What is left behind for the end of the process would fail without a word there.
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::Unsaid)
}

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Text; cut where a line is too short for all of it.
    Text,
    /// Text that is never cut.
    Whole,
    /// A figure, on the right and never cut.
    Figure,
}

/// Lines of equal columns.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these headings.
    pub(super) fn new(headings: &[(&str, Column)]) -> Self {
        let names = headings.iter().map(|(name, _)| (*name).to_owned()).collect();
        Self { columns: headings.iter().map(|(_, column)| *column).collect(), rows: vec![names] }
    }

    /// One more line; what is in it is made safe.
    pub(super) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(|cell| safe(cell.as_ref())).collect());
    }

    /// Writes it to standard output, in as many columns as there are.
    pub(super) fn print(&self) -> Result<(), Failure> {
        say(&self.text())
    }

    /// Its lines, in as many columns as there are.
    pub(super) fn text(&self) -> String {
        self.render(columns())
    }

    /// The text, no line longer than `columns` unless the cells that are never cut are.
    pub(super) fn render(&self, columns: usize) -> String {
        let widths = self.widths(columns);
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(&widths).zip(&self.columns) {
                let cell = cut(cell, *width);
                let space = " ".repeat(width - cell.width());
                match column {
                    Column::Figure => line += &format!("{space}{cell}  "),
                    Column::Text | Column::Whole => line += &format!("{cell}{space}  "),
                }
            }
            out += line.trim_end();
            out.push('\n');
        }
        out
    }

    /// Takes from the widest text until all fit, down to what its heading needs.
    fn widths(&self, columns: usize) -> Vec<usize> {
        let natural = |n: usize| self.rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.width()).max();
        let mut widths: Vec<_> = (0..self.columns.len()).map(|n| natural(n).unwrap_or(0)).collect();
        let gaps = 2 * self.columns.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > columns {
            let least = |n: usize| self.rows[0][n].width().max(4);
            let can_give = |n: &usize| self.columns[*n] == Column::Text && widths[*n] > least(*n);
            let Some(widest) = (0..widths.len()).filter(can_give).max_by_key(|n| widths[*n]) else { break };
            widths[widest] -= 1;
        }
        widths
    }
}

/// At most `width` columns of a text, with a mark where it was cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    for letter in text.chars() {
        let longer = format!("{out}{letter}");
        if longer.width() + 1 > width {
            break;
        }
        out = longer;
    }
    if width > 0 { out + "…" } else { out }
}

/// A text in lines of at most `width` columns, broken between words; a word that is longer has a line of its own.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line += word,
            Some(line) if line.width() + 1 + word.width() <= width => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn columns() -> usize {
    let of_terminal = || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col.into());
    io::stdout().is_terminal().then(of_terminal).flatten().filter(|columns| *columns >= 40).unwrap_or(COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        let written = [0, 999, 1000, 1_234, 12_345, 999_499, 999_500, 1_000_000, u64::MAX].map(bytes);
        let right =
            ["0 B", "999 B", "1.00 kB", "1.23 kB", "12.3 kB", "999 kB", "1.00 MB", "1.00 MB", "18.4 EB"];
        assert_eq!(written, right);
        assert_eq!(bit_rate(2_500_000), "2.50 Mbit/s");
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        let written = [0, 59, 60, 3599, 3600, 86_399, 90_000].map(|s| span(Duration::from_secs(s)));
        assert_eq!(written, ["0s", "59s", "1m 00s", "59m 59s", "1h 00m", "23h 59m", "1d 01h"]);
    }

    #[test]
    fn a_name_cannot_move_the_cursor_or_turn_the_line() {
        assert_eq!(safe("a\u{1b}[31m\n\u{202e}b\u{9b}"), "a\\u{1b}[31m\\n\\u{202e}b\\u{9b}");
        assert_eq!(safe("Zoë 日本"), "Zoë 日本");
    }

    #[test]
    fn a_table_fits_and_only_text_is_cut() {
        let mut table =
            Table::new(&[("ID", Column::Whole), ("SUBJECT", Column::Text), ("RATE", Column::Figure)]);
        table.row(["0-17-1", &"日本x".repeat(100), "1.00 Mbit/s"]);
        table.row(["0-2-1", "bob", "7 bit/s"]);
        let text = table.render(40);
        assert!(text.lines().all(|line| line.width() <= 40), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("0-17-1  日本x日") && lines[1].contains('…'), "{text}");
        assert!(lines[1].ends_with("  1.00 Mbit/s") && lines[2].ends_with("      7 bit/s"), "{text}");
    }

    #[test]
    fn what_is_wrapped_is_whole() {
        assert_eq!(wrapped("a bc 日本 def x", 5), ["a bc", "日本", "def x"]);
        assert_eq!(wrapped("/a/very/long/path is", 5), ["/a/very/long/path", "is"]);
        assert_eq!(wrapped("", 5), [""]);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(["abc", "abcd", "日本語"].map(|text| cut(text, 3)), ["abc", "ab…", "日…"]);
        assert_eq!(cut("abc", 0), "");
    }
}
