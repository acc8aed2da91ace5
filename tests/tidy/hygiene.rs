//! Words that no finished file carries, fast random numbers where strong ones are needed, and size.

use super::lexer::Kind;
use super::paths::{paths, without_tests};
use super::{Finding, Source};

/// A file of more lines holds more than one idea.
pub(crate) const LINES_MAX: usize = 600;

/// Macros of unfinished or debugged code.
const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];

/// Marks of unfinished code in comments.
const MARKS: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// Generators that can be predicted, or whose strength is not said at the place of use.
const FAST_RNGS: &[&str] = &["rand::random", "rand::rng", "rand::thread_rng", "fastrand", "oorandom"];
/// The same as bare names, however they were imported.
const FAST_RNG_NAMES: &[&str] = &["thread_rng", "ThreadRng", "SmallRng", "fastrand"];

/// Where a guess of the next number is an attack: nonces and tokens, ports, shards.
const STRONG_ONLY: &[&str] = &["src/auth/", "src/turn/", "src/relay/"];

/// Findings of one file under `src/`, `tests/` or `benches/`.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = unfinished(source);
    if STRONG_ONLY.iter().any(|folder| source.path.starts_with(folder)) {
        findings.extend(fast_rngs(source));
    }
    if source.path.starts_with("src/") && source.lines > LINES_MAX {
        findings.push(
            source.finding(source.lines, format!("more than {LINES_MAX} lines: two ideas share a roof")),
        );
    }
    findings
}

fn unfinished(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pair in source.lexed.tokens.windows(2) {
        if pair[0].kind == Kind::Word && pair[1].is("!") && UNFINISHED.contains(&pair[0].text.as_str()) {
            findings.push(source.finding(pair[0].line, format!("`{}!` in finished code", pair[0].text)));
        }
    }
    for comment in &source.lexed.comments {
        let mut words = comment.text.split(|c: char| c != '_' && !c.is_alphanumeric());
        if let Some(mark) = words.find(|word| MARKS.contains(word)) {
            findings.push(source.finding(comment.line, format!("`{mark}` in a comment")));
        }
    }
    findings
}

fn fast_rngs(source: &Source) -> Vec<Finding> {
    let (tokens, _) = without_tests(&source.lexed.tokens);
    paths(&tokens)
        .iter()
        .filter(|path| {
            FAST_RNGS.iter().any(|name| path.starts_with(name))
                || path.parts.iter().any(|part| FAST_RNG_NAMES.contains(&part.as_str()))
        })
        .map(|path| source.finding(path.line, format!("`{}`: take `base::Random` here", path.text())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn unfinished_code_is_refused_everywhere() {
        for text in [
            "fn f() { todo!() }",
            "fn f() { unimplemented!(\"later\") }",
            "fn f() { dbg!(x); }",
            "// TODO: more",
            "/// FIXME",
            "/* a\n XXX */",
        ] {
            for path in ["src/turn/mod.rs", "tests/scenario/main.rs", "benches/wire.rs"] {
                assert_eq!(problems(path, text), 1, "{text}");
            }
        }
        let text = "// mastodons, 0xXXXX\nfn todo(x: &str) { todo(\"TODO: dbg!\"); x != y }";
        assert_eq!(problems("src/turn/mod.rs", text), 0);
    }

    #[test]
    fn fast_random_numbers_are_refused_where_a_guess_is_an_attack() {
        for text in [
            "use rand::rngs::SmallRng;",
            "fn f() { rand::thread_rng() }",
            "use rand::{random, Rng};",
            "fn f() { rand::random::<u64>() }",
            "fn f() { fastrand::u16(..) }",
        ] {
            for folder in ["src/auth", "src/turn", "src/relay"] {
                assert_eq!(problems(&format!("{folder}/ports.rs"), text), 1, "{text}");
            }
            assert_eq!(problems("src/http/ports.rs", text), 0);
        }
        let text = "use crate::base::Random; #[cfg(test)] mod tests { use rand::rngs::SmallRng; }";
        assert_eq!(problems("src/turn/ports.rs", text), 0);
    }

    #[test]
    fn a_file_is_at_most_six_hundred_lines() {
        assert_eq!(problems("src/turn/ports.rs", &"fn f() {}\n".repeat(LINES_MAX)), 0);
        assert_eq!(problems("src/turn/ports.rs", &"fn f() {}\n".repeat(LINES_MAX + 1)), 1);
    }
}
