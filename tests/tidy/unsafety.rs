//! Unsafe code lives in leaf files of `src/net`, and each use of it stands under its proof.

use super::lexer::Token;
use super::{Finding, Source};

/// Findings of one file under `src/`.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let tokens = &source.lexed.tokens;
    let leaf = source.path.starts_with("src/net/") && !source.path.ends_with("/mod.rs");
    let mut findings = Vec::new();
    for (i, token) in tokens.iter().enumerate().filter(|(_, t)| t.is("unsafe")) {
        let problem = if !leaf {
            "unsafe code outside of the leaf files of src/net"
        } else if needs_proof(tokens, i) && !has_proof(source, i) {
            "no `// SAFETY:` comment directly above"
        } else {
            continue;
        };
        findings.push(source.finding(token.line, problem.into()));
    }
    findings
}

/// A block and an `impl` claim something; an `unsafe fn` asks its caller instead.
fn needs_proof(tokens: &[Token], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(|t| t.is("{") || t.is("impl"))
}

/// The proof stands above the line of the word, or above the statement that it is part of.
fn has_proof(source: &Source, at: usize) -> bool {
    let tokens = &source.lexed.tokens;
    let ends = |t: &Token| t.is(";") || t.is("{") || t.is("}") || t.is(",");
    let start = (0..at).rev().find(|i| ends(&tokens[*i])).map_or(0, |i| i + 1);
    proof_above(source, at) || proof_above(source, start)
}

/// Walks the unbroken run of comments that ends on the line above the token, or right before it.
fn proof_above(source: &Source, at: usize) -> bool {
    let mut next = source.lexed.tokens[at].line;
    for comment in source.lexed.comments.iter().rev().filter(|c| c.tokens_before <= at) {
        if comment.last_line + 1 < next {
            return false;
        }
        let body = comment.text.trim_start_matches(['/', '*', ' ']);
        if body.starts_with("SAFETY:") {
            return true;
        }
        next = comment.line;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn unsafe_code_outside_of_net_is_refused_with_and_without_proof() {
        let text = "// SAFETY: none\nunsafe { f() }";
        assert_eq!(problems("src/relay/shard.rs", text), 1);
        assert_eq!(problems("src/main.rs", text), 1);
        assert_eq!(problems("src/net/mod.rs", text), 1);
        assert_eq!(problems("src/network/udp.rs", text), 1);
        assert_eq!(problems("src/net/udp/sys.rs", text), 0);
    }

    #[test]
    fn a_block_in_net_stands_under_its_proof() {
        for text in [
            "fn f() {\n    // SAFETY: a\n    // and b.\n    let x = unsafe { g() };\n}",
            "fn f() {\n    // SAFETY: a\n    let x =\n        unsafe { g() };\n}",
            "fn f() {\n    h(\n        // SAFETY: a\n        unsafe { g() },\n    );\n}",
            "// SAFETY: a\nunsafe impl Send for X {}",
            "unsafe fn f() {}",
            "unsafe extern \"C\" {}",
            "/* SAFETY: a */ unsafe { g() }",
        ] {
            assert_eq!(problems("src/net/udp/sys.rs", text), 0, "{text}");
        }
        for text in [
            "fn f() {\n    let x = unsafe { g() };\n}",
            "// SAFETY: a\n\nunsafe { g() }",
            "// SAFETY: a\nlet y = 1;\nunsafe { g() }",
            "// SAFETY: a\nunsafe { g() }\nunsafe { h() }",
            "// SAFETY: a\nlet y = 1;\n// other\nunsafe { g() }",
            "// see SAFETY: above\nunsafe { g() }",
            "unsafe impl Send for X {}",
            "unsafe { g() } // SAFETY: too late\n",
        ] {
            let found = problems("src/net/udp/sys.rs", text);
            assert!(found == 1, "{found} findings in {text}");
        }
    }
}
