//! Every metric that a page names is one that the daemon shows.

use super::lexer::Kind;
use super::{Finding, Source};
use std::collections::BTreeSet;

const PREFIX: &str = "turnstone_";

/// Series that the text format derives from a histogram.
const DERIVED: &[&str] = &["_bucket", "_sum", "_count"];

/// Findings over the pages: `(path, text)`. Families are the string literals of `src/metrics` and of
/// `src/http`, which computes a few at the scrape.
pub(crate) fn check(pages: &[(String, String)], sources: &[Source]) -> Vec<Finding> {
    let shown = families(sources);
    let mut findings = Vec::new();
    for (path, text) in pages {
        for (number, line) in text.lines().enumerate() {
            for name in mentions(line) {
                let plain = DERIVED.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                if !shown.contains(name) && !shown.contains(plain) {
                    let problem = format!("`{name}` is no metric of src/metrics or src/http");
                    findings.push(Finding::new(path, number + 1, &problem));
                }
            }
        }
    }
    findings
}

fn families(sources: &[Source]) -> BTreeSet<&str> {
    let of_metrics = |source: &&Source| matches!(source.module(), Some("metrics" | "http"));
    let tokens = sources.iter().filter(of_metrics).flat_map(|source| &source.lexed.tokens);
    tokens.filter(|t| t.kind == Kind::Text && t.text.starts_with(PREFIX)).map(|t| t.text.as_str()).collect()
}

/// Words of a line that start with the prefix; `turnstone_*` and the like name no single metric.
fn mentions(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
    words.filter(|word| word.starts_with(PREFIX) && word.len() > PREFIX.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_nothing_shows_is_refused_in_a_page() {
        let sources = [
            Source::new("src/metrics/family.rs", "const A: &str = \"turnstone_a_total\"; // \"turnstone_c\""),
            Source::new("src/http/exposition.rs", "f(\"turnstone_b_seconds\")"),
            Source::new("src/turn/mod.rs", "f(\"turnstone_d\")"),
        ];
        let page = "`turnstone_a_total{x=\"y\"}` turnstone_* TURNSTONE_CONFIG\nturnstone_b_seconds_bucket\n\
            turnstone_c, turnstone_d\n";
        let found = check(&[("README.md".into(), page.into())], &sources);
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [3, 3]);
    }
}
