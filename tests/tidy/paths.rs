//! Paths of a file, with the groups of `use` spelled out and test code set apart.

use super::lexer::Token;

/// One path as it is written, e.g. `std::fs::File`; each member of a group is a path of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Its parts; a glob ends in `*`.
    pub(crate) parts: Vec<String>,
    /// Whether `as` follows.
    pub(crate) renamed: bool,
    /// Line of its last part.
    pub(crate) line: usize,
    /// Inline modules around it, outermost first.
    pub(crate) inside: Vec<String>,
}

impl Path {
    /// The path as text.
    pub(crate) fn text(&self) -> String {
        self.parts.join("::")
    }

    /// Whether it starts with `prefix`, e.g. `std::fs`.
    pub(crate) fn starts_with(&self, prefix: &str) -> bool {
        prefix.split("::").enumerate().all(|(i, part)| self.parts.get(i).is_some_and(|own| own == part))
    }
}

/// Words that a path may follow and that are no part of one.
const KEYWORDS: &[&str] = &[
    "as", "async", "await", "break", "const", "dyn", "else", "extern", "for", "if", "impl", "in", "let",
    "match", "move", "mut", "return", "static", "type", "unsafe", "use", "where", "while",
];

/// All paths in `tokens`. A single word is a path too.
pub(crate) fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut modules: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut at) = (0_usize, 0);
    while at < tokens.len() {
        if tokens[at].is("mod") && tokens.get(at + 2).is_some_and(|t| t.is("{")) {
            depth += 1;
            modules.push((tokens[at + 1].text.clone(), depth));
            at += 3;
        } else if KEYWORDS.iter().any(|keyword| tokens[at].is(keyword)) {
            // `use ::std::fs`: the keyword is no part of the path that follows.
            found.push(single(&tokens[at]));
            at += 1;
        } else if is_name(&tokens[at]) {
            let inside = modules.iter().map(|(name, _)| name.clone()).collect();
            at = tree(tokens, at, Vec::new(), &inside, &mut found);
        } else {
            depth += usize::from(tokens[at].is("{"));
            if tokens[at].is("}") {
                modules.pop_if(|(_, opened_at)| *opened_at == depth);
                depth = depth.saturating_sub(1);
            }
            at += 1;
        }
    }
    found
}

/// Reads one path, or one entry of a group, from `at`; returns where it ends.
fn tree(
    tokens: &[Token],
    mut at: usize,
    mut parts: Vec<String>,
    inside: &Vec<String>,
    found: &mut Vec<Path>,
) -> usize {
    loop {
        let Some(token) = tokens.get(at) else { return at };
        if token.is("{") && !parts.is_empty() {
            return group(tokens, at + 1, &parts, inside, found);
        }
        let glob = token.is("*") && !parts.is_empty();
        if !glob && !is_name(token) {
            return at; // `Vec::<u8>`, `<T>::f`
        }
        parts.push(token.text.clone());
        at += 1;
        if !glob && tokens.get(at).is_some_and(|t| t.is("::")) && continues(tokens.get(at + 1)) {
            at += 1;
            continue;
        }
        let renamed = tokens.get(at).is_some_and(|t| t.is("as"));
        found.push(Path { parts, renamed, line: token.line, inside: inside.clone() });
        return at;
    }
}

fn group(
    tokens: &[Token],
    mut at: usize,
    parts: &[String],
    inside: &Vec<String>,
    found: &mut Vec<Path>,
) -> usize {
    while let Some(token) = tokens.get(at) {
        if token.is("}") {
            return at + 1;
        }
        let end = tree(tokens, at, parts.to_vec(), inside, found);
        at = end.max(at + 1);
        if tokens.get(at).is_some_and(|t| t.is("as")) {
            at += 2;
        }
    }
    at
}

fn single(token: &Token) -> Path {
    Path { parts: vec![token.text.clone()], renamed: false, line: token.line, inside: Vec::new() }
}

fn continues(token: Option<&Token>) -> bool {
    token.is_some_and(|t| is_name(t) || t.is("{") || t.is("*"))
}

fn is_name(token: &Token) -> bool {
    token.kind == super::lexer::Kind::Word
}

/// The tokens without items under `#[cfg(test)]`, and the names of `#[cfg(test)] mod x;` files.
/// A file that starts with `#![cfg(test)]` has no other tokens.
pub(crate) fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut test_files, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        let Some((end, inner)) = test_attribute(tokens, at) else {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        };
        if inner {
            return (Vec::new(), test_files);
        }
        let item = end_of_attributes(tokens, end);
        at = end_of_item(tokens, item);
        let words: Vec<_> = tokens[item..at].iter().filter(|t| is_name(t)).collect();
        if tokens[at - 1].is(";") && words.len() >= 2 && words[words.len() - 2].is("mod") {
            test_files.push(words[words.len() - 1].text.clone());
        }
    }
    (kept, test_files)
}

/// The end of `#[cfg(test)]`, `#[cfg(all(test, ..))]` or their inner form at `at`.
fn test_attribute(tokens: &[Token], at: usize) -> Option<(usize, bool)> {
    if !tokens[at].is("#") {
        return None;
    }
    let inner = tokens.get(at + 1)?.is("!");
    let open = at + 1 + usize::from(inner);
    if !tokens.get(open)?.is("[") || !tokens.get(open + 1)?.is("cfg") {
        return None;
    }
    let condition = if tokens.get(open + 3)?.is("all") { open + 5 } else { open + 3 };
    tokens.get(condition)?.is("test").then(|| (end_of_group(tokens, open), inner))
}

fn end_of_attributes(tokens: &[Token], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|t| t.is("#")) {
        at = end_of_group(tokens, at + 1);
    }
    at
}

/// The end of the item at `at`: behind its body, or behind `;`.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        if tokens[at].is(";") {
            return at + 1;
        }
        if tokens[at].is("{") {
            return end_of_group(tokens, at);
        }
        at = if tokens[at].is("(") || tokens[at].is("[") { end_of_group(tokens, at) } else { at + 1 };
    }
    at
}

/// The index behind the bracket that closes the one at `at`.
pub(crate) fn end_of_group(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < tokens.len() {
        let token = &tokens[at];
        at += 1;
        if token.is("{") || token.is("(") || token.is("[") {
            depth += 1;
        } else if token.is("}") || token.is(")") || token.is("]") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at;
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::lexer::lex;
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        paths(&lex(source).tokens).iter().map(Path::text).collect()
    }

    #[test]
    fn nested_groups_are_spelled_out() {
        let source = "use crate::{self, wire::{stun as s, demux::*}, r#net::Poller};";
        let wanted = ["crate::self", "crate::wire::stun", "crate::wire::demux::*", "crate::net::Poller"];
        assert_eq!(texts(source).split_first().map(|(_, rest)| rest), Some(&wanted.map(String::from)[..]));
    }

    #[test]
    fn paths_in_expressions_stop_at_generics() {
        assert_eq!(texts("a::b::<c::D>(e)"), ["a::b", "c::D", "e"]);
    }

    #[test]
    fn a_path_knows_its_inline_modules() {
        let found = paths(&lex("mod a { fn f() { x } mod b { y } z } w").tokens);
        let inside = |name: &str| found.iter().find(|p| p.text() == name).map(|p| p.inside.join("/"));
        assert_eq!(inside("x").as_deref(), Some("a"));
        assert_eq!(inside("y").as_deref(), Some("a/b"));
        assert_eq!(inside("z").as_deref(), Some("a"));
        assert_eq!(inside("w").as_deref(), Some(""));
    }

    #[test]
    fn test_items_are_cut_out_and_the_rest_stays() {
        let source = "use a; #[cfg(test)] use b; #[cfg(test)] #[path = \"x\"] pub(crate) mod c; \
            #[cfg(test)] mod d { fn e() {} } #[cfg(all(test, unix))] fn f([g; 2]: [u8; 2]) {} \
            #[cfg(not(test))] fn h() {} i";
        let (kept, files) = without_tests(&lex(source).tokens);
        let words: Vec<_> = paths(&kept).iter().map(Path::text).collect();
        assert_eq!(words, ["use", "a", "cfg", "not", "test", "fn", "h", "i"]);
        assert_eq!(files, ["c"]);
        assert!(without_tests(&lex("#![cfg(test)] use a;").tokens).0.is_empty());
    }
}
