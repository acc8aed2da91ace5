//! The page of the signaling protocol names every event, error code and end of a call that there is.

use super::lexer::{Kind, Token};
use super::{Finding, Source};
use std::collections::BTreeSet;

const FAMILIES: &[&str] = &[
    "auth:",
    "call:",
    "connection:",
    "event:",
    "heartbeat:",
    "message:",
    "presence:",
    "room:",
    "server:",
    "webrtc:",
];

/// The labels whose values clients read.
const LABELS: &[&str] = &["SignalingError", "EndReason"];

/// Findings over the sources and `page`. Events are the string literals of `src/signaling` before its tests that look
/// like one; codes and reasons are the values of their labels in `src/metrics`.
pub(crate) fn check(page: &str, sources: &[Source]) -> Vec<Finding> {
    let named: BTreeSet<&str> = page.split('`').collect();
    let of = |module: &'static str| sources.iter().filter(move |source| source.module() == Some(module));
    let events = of("signaling")
        .flat_map(|source| before_tests(source).filter(|t| is_event(t)).map(move |t| (source, t)));
    let labels =
        of("metrics").flat_map(|source| label_values(&source.lexed.tokens).map(move |t| (source, t)));
    let missing = events.chain(labels).filter(|(_, token)| !named.contains(token.text.as_str()));
    missing
        .map(|(source, token)| {
            source.finding(token.line, format!("`{}` is not in src/signaling/PROTOCOL.md", token.text))
        })
        .collect()
}

fn before_tests(source: &Source) -> impl Iterator<Item = &Token> {
    source.lexed.tokens.iter().take_while(|token| !token.is("tests"))
}

fn is_event(token: &Token) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || "_-".contains(c);
    let in_family = |family: &&str| {
        token.text.strip_prefix(*family).is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_plain))
    };
    token.kind == Kind::Text && FAMILIES.iter().any(in_family)
}

/// The values in the braces behind `NAME as ".."`.
fn label_values(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    let starts = tokens
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| LABELS.iter().any(|label| pair[0].is(label)) && pair[1].is("as"));
    starts.flat_map(|(at, _)| {
        let body = tokens[at..].iter().skip_while(|token| !token.is("{")).take_while(|token| !token.is("}"));
        body.filter(|token| token.kind == Kind::Text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_a_code_and_a_reason_that_the_page_does_not_name_are_refused() {
        let sources = [
            Source::new(
                "src/signaling/x.rs",
                "f(\"call:start\", \"call:new\", \"call:\", \"call: x\", \"x:y\")\nmod tests { f(\"room:x\") }",
            ),
            Source::new("src/http/x.rs", "f(\"call:other\")"),
            Source::new(
                "src/metrics/labels.rs",
                "label! { SignalingError as \"reason\" { A = \"known\",\nB = \"fresh\", } }\nlabel! { Door as \"d\" { C = \"c\" } }",
            ),
        ];
        let found = check("`call:start` and `known`, call:new", &sources);
        let found: Vec<_> = found.iter().map(|finding| finding.to_string()).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("`call:new`") && found[1].contains("`fresh`"), "{found:?}");
    }
}
