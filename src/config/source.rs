//! Where a value was written: a file or an environment variable, and the place in it.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use std::ops::Range;

/// A line and a column, both counted from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A range of bytes in one of the sources of a [`super::report::Report`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Index of the source.
    pub(super) source: usize,
    /// First byte.
    pub(super) start: usize,
    /// One past the last byte.
    pub(super) end: usize,
}

/// One text that settings came from.
#[derive(Debug)]
pub(super) struct Source {
    /// The file's path, or the words "environment variable NAME".
    pub(super) name: String,
    /// The whole text. It may hold secrets: only a [`Snippet`] of it may be printed.
    pub(super) text: String,
    /// Byte ranges that no message may show.
    hidden: Vec<Range<usize>>,
}

impl Source {
    pub(super) fn new(name: String, text: String) -> Self {
        Self { name, text, hidden: Vec::new() }
    }

    /// Keeps the bytes of `range` out of every message.
    pub(super) fn hide(&mut self, range: Range<usize>) {
        self.hidden.push(range);
    }

    /// The line around `start` with the range up to `end` marked, as far as it lies on that line.
    pub(super) fn snippet(&self, start: usize, end: usize) -> Snippet {
        let start = self.floor(start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let rest = &self.text[start..];
        let line_end = start + rest.find(['\r', '\n']).unwrap_or(rest.len());
        let mut line = self.shown(line_start..line_end);
        let marked = start - line_start..self.floor(end).clamp(start, line_end) - line_start;
        if marked.start == line.len() {
            // Something is missing at the end of the line: the caret needs a place to stand.
            line.push(' ');
        }
        let next = line[marked.start..].chars().next().map_or(1, char::len_utf8);
        let marked = marked.start..marked.end.max(marked.start + next);
        Snippet { name: self.name.clone(), line, marked, at: self.position(start) }
    }

    /// Line and column of a byte offset; an offset past the end means the end.
    pub(super) fn position(&self, offset: usize) -> Position {
        let before = &self.text[..self.floor(offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// A part of the text with every hidden byte as a star, as many bytes as the original.
    ///
    /// Control characters become question marks: a copied file must not write to somebody's terminal.
    fn shown(&self, range: Range<usize>) -> String {
        let is_hidden = |at: usize| self.hidden.iter().any(|range| range.contains(&at));
        let mut shown = String::with_capacity(range.len() + 1);
        for (at, c) in self.text[range.clone()].char_indices() {
            match c {
                _ if is_hidden(range.start + at) => shown.extend(std::iter::repeat_n('*', c.len_utf8())),
                '\t' => shown.push(c),
                _ if c.is_control() => shown.extend(std::iter::repeat_n('?', c.len_utf8())),
                _ => shown.push(c),
            }
        }
        shown
    }

    /// The nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset)
    }
}

/// One line of a source with a range of it marked, ready for printing.
#[derive(Clone, Debug)]
pub(super) struct Snippet {
    name: String,
    /// The whole line without its end, secrets as stars.
    line: String,
    /// Bytes of `line`; never empty.
    marked: Range<usize>,
    at: Position,
}

impl Snippet {
    /// What the renderer must ask for to get the whole line.
    pub(super) const CONTEXT_LINES: usize = 1;

    /// Where the marked range starts in the source.
    pub(super) fn at(&self) -> Position {
        self.at
    }

    /// The marked range, in bytes of the line.
    pub(super) fn span(&self) -> Range<usize> {
        self.marked.clone()
    }
}

/// `miette` asks without context for the position that it prints, and with context for what it draws.
///
/// Its own sources would draw the neighbours of the line as well, and count columns in bytes.
impl SourceCode for Snippet {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        _lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (range, column) = match lines_before {
            0 => (span.offset()..span.offset() + span.len(), self.at.column - 1),
            _ => (0..self.line.len(), 0),
        };
        let data = self.line.as_bytes().get(range.clone()).ok_or(MietteError::OutOfBounds)?;
        let (name, line) = (self.name.clone(), self.at.line - 1);
        Ok(Box::new(MietteSpanContents::new_named(name, data, range.into(), line, column, 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let source = Source::new("f".into(), "ä = 1\nöö = 2".into());
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(7), Position { line: 2, column: 1 });
        assert_eq!(source.position(11), Position { line: 2, column: 3 });
        assert_eq!(source.position(9999), Position { line: 2, column: 7 });
    }

    #[test]
    fn hidden_bytes_become_stars_and_keep_their_number() {
        let mut source = Source::new("f".into(), "x = 1\na = \"ü2\" # b".into());
        source.hide(10..15);
        let snippet = source.snippet(10, 15);
        assert_eq!(snippet.line, "a = ***** # b");
        assert_eq!(snippet.marked, 4..9);
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let source = Source::new("f".into(), "a = \u{1b}[2J\u{9b}".into());
        assert_eq!(source.snippet(0, 1).line, "a = ?[2J??");
    }

    #[test]
    fn a_range_over_several_lines_is_cut_at_the_first() {
        let source = Source::new("f".into(), "ab\r\ncd".into());
        let snippet = source.snippet(1, 5);
        assert_eq!((snippet.line.as_str(), snippet.marked), ("ab", 1..2));
    }

    #[test]
    fn what_is_missing_at_the_end_gets_a_place_for_its_caret() {
        let source = Source::new("f".into(), "ab\n".into());
        assert_eq!((source.snippet(2, 2).line.as_str(), source.snippet(2, 2).marked), ("ab ", 2..3));
        assert_eq!((source.snippet(9, 9).line.as_str(), source.snippet(9, 9).marked), (" ", 0..1));
        let empty = Source::new("f".into(), String::new());
        assert_eq!((empty.snippet(0, 0).line.as_str(), empty.snippet(0, 0).marked), (" ", 0..1));
    }
}
