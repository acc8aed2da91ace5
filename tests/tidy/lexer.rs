//! Splits Rust source into tokens and comments, so that no check is fooled by a word in a string,
//! in a comment or in test code.

/// One token with its line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// The source text; for a string the text between its quotes, escapes as written.
    pub(crate) text: String,
    /// Line of its first character.
    pub(crate) line: usize,
}

impl Token {
    /// Whether this is the identifier, keyword or punctuation `text`, and no literal.
    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Sign) && self.text == text
    }
}

/// Kinds of token that the checks tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Identifier or keyword; a raw identifier without its `r#`.
    Word,
    /// One punctuation character, or `::`.
    Sign,
    /// Any string literal.
    Text,
    /// Character, number or lifetime.
    Other,
}

/// One comment, of either form, with its first and last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    /// Text with its slashes.
    pub(crate) text: String,
    /// First line.
    pub(crate) line: usize,
    /// Last line.
    pub(crate) last_line: usize,
    /// How many tokens stand before it.
    pub(crate) tokens_before: usize,
}

/// A lexed file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lexed {
    /// All tokens in order.
    pub(crate) tokens: Vec<Token>,
    /// All comments in order, doc comments too.
    pub(crate) comments: Vec<Comment>,
}

/// Lexes `source`, which compiles: broken input gives some tokens, never a panic.
pub(crate) fn lex(source: &str) -> Lexed {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, line: 1, out: Lexed::default() };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.out
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    out: Lexed,
}

impl Lexer {
    fn step(&mut self) {
        let (c, next) = (self.peek(0), self.peek(1));
        match c {
            '/' if next == '/' => self.line_comment(),
            '/' if next == '*' => self.block_comment(),
            '"' => self.quoted(0),
            '\'' => self.quote_or_lifetime(),
            c if is_word_start(c) => self.word(),
            c if c.is_ascii_digit() => self.take(Kind::Other, |c| is_word(c) || c == '.'),
            c if c.is_whitespace() => self.skip(1),
            ':' if next == ':' => self.push(Kind::Sign, self.at, self.at + 2),
            _ => self.push(Kind::Sign, self.at, self.at + 1),
        }
    }

    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn skip(&mut self, count: usize) {
        let end = (self.at + count).min(self.chars.len());
        self.line += self.chars[self.at..end].iter().filter(|c| **c == '\n').count();
        self.at = end;
    }

    fn text(&self, from: usize, to: usize) -> String {
        let end = to.min(self.chars.len());
        self.chars[from.min(end)..end].iter().collect()
    }

    fn push(&mut self, kind: Kind, from: usize, to: usize) {
        let token = Token { kind, text: self.text(from, to), line: self.line };
        self.out.tokens.push(token);
        self.skip(to - self.at);
    }

    fn take(&mut self, kind: Kind, belongs: fn(char) -> bool) {
        let mut end = self.at;
        while self.chars.get(end).copied().is_some_and(belongs) {
            // `0..10` is two numbers: a dot belongs to a number only in front of a digit.
            if self.chars[end] == '.' && !self.chars.get(end + 1).is_some_and(char::is_ascii_digit) {
                break;
            }
            end += 1;
        }
        self.push(kind, self.at, end);
    }

    /// A word, unless it is the prefix of a string (`r`, `b`, `c`, `br`, `cr`) or a raw identifier.
    fn word(&mut self) {
        let mut end = self.at;
        while self.chars.get(end).copied().is_some_and(is_word) {
            end += 1;
        }
        let prefix = self.text(self.at, end);
        let hashes = self.chars[end..].iter().take_while(|c| **c == '#').count();
        let after = self.chars.get(end + hashes).copied().unwrap_or('\0');
        let raw = matches!(prefix.as_str(), "r" | "br" | "cr");
        if after == '"' && (raw || (hashes == 0 && matches!(prefix.as_str(), "b" | "c"))) {
            self.skip(end - self.at);
            if raw { self.raw_string(hashes) } else { self.quoted(0) }
        } else if prefix == "b" && hashes == 0 && after == '\'' {
            self.skip(1);
            self.quote_or_lifetime();
        } else if prefix == "r" && hashes == 1 && is_word_start(after) {
            self.skip(2);
            self.take(Kind::Word, is_word);
        } else {
            self.push(Kind::Word, self.at, end);
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        let (line, from) = (self.line, self.at + hashes + 1);
        let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
        let mut end = from;
        while end < self.chars.len() && !self.chars[end..].starts_with(&close) {
            end += 1;
        }
        self.out.tokens.push(Token { kind: Kind::Text, text: self.text(from, end), line });
        self.skip(end + close.len() - self.at);
    }

    fn quoted(&mut self, prefix: usize) {
        let (line, from) = (self.line, self.at + prefix + 1);
        let mut end = from;
        while end < self.chars.len() && self.chars[end] != '"' {
            end += if self.chars[end] == '\\' { 2 } else { 1 };
        }
        self.out.tokens.push(Token { kind: Kind::Text, text: self.text(from, end), line });
        self.skip(end + 1 - self.at);
    }

    fn quote_or_lifetime(&mut self) {
        if self.peek(1) != '\\' && self.peek(2) != '\'' {
            let mut end = self.at + 1;
            while self.chars.get(end).copied().is_some_and(is_word) {
                end += 1;
            }
            return self.push(Kind::Other, self.at, end);
        }
        let mut end = self.at + 1;
        while end < self.chars.len() && self.chars[end] != '\'' {
            end += if self.chars[end] == '\\' { 2 } else { 1 };
        }
        // `'''` is no Rust; `'\''` ends at its third quote because the escape was skipped.
        self.push(Kind::Other, self.at, end + 1);
    }

    fn line_comment(&mut self) {
        let len = self.chars[self.at..].iter().take_while(|c| **c != '\n').count();
        self.comment(len);
    }

    /// Block comments nest.
    fn block_comment(&mut self) {
        let (mut end, mut depth) = (self.at + 2, 1);
        while end < self.chars.len() && depth > 0 {
            match (self.chars[end], self.chars.get(end + 1)) {
                ('/', Some('*')) => (end, depth) = (end + 2, depth + 1),
                ('*', Some('/')) => (end, depth) = (end + 2, depth - 1),
                _ => end += 1,
            }
        }
        self.comment(end - self.at);
    }

    fn comment(&mut self, len: usize) {
        let (line, text) = (self.line, self.text(self.at, self.at + len));
        self.skip(len);
        let tokens_before = self.out.tokens.len();
        self.out.comments.push(Comment { text, line, last_line: self.line, tokens_before });
    }
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        lex(source).tokens.into_iter().filter(|t| t.kind == Kind::Word).map(|t| t.text).collect()
    }

    #[test]
    fn words_in_strings_and_comments_are_no_words() {
        let source = r####"a "b \" c" r#"d " e"# b"f" br##"g"# h"## // i
            /* j /* k */ l */ m 'n' '\'' b'o' c"p" 'q: r#s"####;
        assert_eq!(words(source), ["a", "m", "s"]);
    }

    #[test]
    fn lifetimes_and_characters_are_told_apart() {
        assert_eq!(words("fn f<'a>(x: &'a u8) { '{'; '\\u{41}'; 'b' }"), ["fn", "f", "x", "u8"]);
    }

    #[test]
    fn ranges_and_method_calls_on_numbers_keep_their_words() {
        assert_eq!(words("0..len; 1.max(x); 1.5f32; 0x1f"), ["len", "max", "x"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let lexed = lex("\"a\nb\" /* c\nd */ e\n// f\ng");
        let lines: Vec<_> = lexed.tokens.iter().map(|t| (t.text.as_str(), t.line)).collect();
        assert_eq!(lines, [("a\nb", 1), ("e", 3), ("g", 5)]);
        assert_eq!(
            lexed.comments.iter().map(|c| (c.line, c.last_line)).collect::<Vec<_>>(),
            [(2, 3), (4, 4)]
        );
    }

    #[test]
    fn unfinished_input_ends_without_panic() {
        for source in ["\"", "'", "r#\"", "/*", "b'", "r#", "'\\", "\"\\", "/", "0."] {
            lex(source);
        }
    }
}
