//! "Did you mean": guesses what a wrong word should have been.

/// The candidate that a typist most likely meant, when one is near enough.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // A third of the letters may be wrong; more than that is another word.
    let distance_max = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to write instead of a word that must be one of `words`.
pub(super) fn one_of(word: &str, words: &[&str]) -> String {
    match closest(word, words.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("one of {}", list(words, '"')),
    }
}

/// Words in quotes of one kind, separated by commas.
pub(super) fn list(words: &[&str], quote: char) -> String {
    words.iter().map(|word| format!("{quote}{word}{quote}")).collect::<Vec<_>>().join(", ")
}

/// What may have gone wrong on the line of a TOML syntax error at byte `at`.
///
/// The help repeats nothing of the line: it may be a secret.
pub(super) fn for_syntax(text: &str, at: usize) -> String {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default().trim();
    match line.split_once('=') {
        Some((_, value)) if needs_quotes(value) => "text needs quotes: key = \"text\"".to_owned(),
        Some((_, value)) if value.matches('"').count() % 2 == 1 => "a closing \" is missing".to_owned(),
        None if line.starts_with('[') && !line.ends_with(']') => "a closing ] is missing".to_owned(),
        None if line.contains(':') => "TOML wants `key = value`, not `key: value`".to_owned(),
        _ => String::new(),
    }
}

/// Whether a value is a bare word such as `30m` or `auto`.
fn needs_quotes(value: &str) -> bool {
    let value = value.split('#').next().unwrap_or_default().trim();
    !value.is_empty() && !value.starts_with(['"', '\'', '[', '{']) && value != "true" && value != "false"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_pair_of_letters_is_understood() {
        assert_eq!(closest("secrtes", ["secrets", "ttl"]), Some("secrets"));
        assert_eq!(closest("REALM", ["realm", "name"]), Some("realm"));
    }

    #[test]
    fn another_word_is_not_guessed_at() {
        assert_eq!(closest("colour", ["secrets", "ttl"]), None);
        assert_eq!(one_of("colour", &["on", "off"]), "one of \"on\", \"off\"");
    }

    #[test]
    fn a_bare_duration_is_told_to_wear_quotes() {
        assert_eq!(for_syntax("[auth]\nttl = 30m\n", 13), "text needs quotes: key = \"text\"");
        assert_eq!(for_syntax("realm = \"turn\n", 13), "a closing \" is missing");
        assert_eq!(for_syntax("[auth\n", 5), "a closing ] is missing");
    }
}
