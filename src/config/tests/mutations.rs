//! Whatever stands in the file or in a variable: an answer, never a panic.

use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in the file: an answer, never a panic, and every error has a line of the file.
    #[test]
    fn a_mutated_file_never_panics(
        base in prop_oneof![Just(LOOPBACK), Just(SHIPPED)],
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..24_usize, mutation()), 1..6),
    ) {
        let mut text: Vec<char> = base.chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, inserted.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(errors) = parse("t.toml", &text, []) {
            prop_assert!(!errors.errors().is_empty());
            prop_assert!(!errors.render(false).is_empty());
            let lines = text.split('\n').count();
            for error in errors.errors() {
                let line = error.at.map_or(0, |at| at.line);
                prop_assert!((1..=lines).contains(&line), "{error:?}");
                prop_assert!(error.render(false).contains('^'), "{error:?}");
            }
        }
    }

    #[test]
    fn a_random_variable_never_panics(name in "[A-Z_]{0,24}", value in ".{0,24}") {
        let name = format!("TURNSTONE_{name}");
        if let Err(errors) = parse("t.toml", LOOPBACK, [(name.clone(), value)]) {
            prop_assert!(errors.render(false).contains(&name));
        }
    }
}

fn mutation() -> impl Strategy<Value = String> {
    let pieces = [
        "",
        "[",
        "]",
        "[[",
        "\"",
        "'",
        "\"\"\"",
        "{",
        "}",
        "=",
        ".",
        ",",
        "#",
        "\n",
        "\r\n",
        "\0",
        "\u{1b}[2J",
        "-1",
        "1e999",
        "99999999999999999999",
        "0x",
        "true",
        "1979-05-27",
        "a.b.c = 1\n",
        "ü\u{301}",
        "\u{10ffff}",
        "[auth]\n",
        "[[listen]]\n",
        "listen = 5\n",
        "\"none\"",
        "0/0",
        "::/0",
        ":0",
        "off",
        "\\u0000",
        "s",
    ];
    prop_oneof![prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), "\\PC{0,8}"]
}
