//! The documented default configuration says what is true.

use super::*;

/// The shipped file with its secrets file at a place that this test may write.
fn shipped(secrets: &TempFile) -> String {
    let text = SHIPPED.replace("/etc/turnstone/secret\"", &format!("{}\"", secrets.path()));
    assert!(text.contains(&secrets.path()), "the shipped file names /etc/turnstone/secret");
    text
}

/// The shipped file with every default uncommented; examples are indented and stay comments.
fn uncommented(text: &str) -> String {
    let is_setting = |line: &str| {
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| tree::quoted_key(key) == key)
    };
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_setting(rest) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn without_auth(mut config: Config) -> Config {
    config.auth.secrets_file = None;
    config
}

#[test]
fn the_shipped_file_passes_without_a_warning_and_is_the_default() {
    let secrets = TempFile::new("shipped", SECRET);
    std::fs::set_permissions(&secrets.0, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("the file is ours");
    let loaded = accept(&shipped(&secrets));
    let unbuilt: Vec<_> = loaded.warnings.iter().map(|warning| &warning.message).collect();
    assert!(unbuilt.is_empty(), "{unbuilt:?}");
    assert_eq!(without_auth(loaded.config), Config::default());
}

#[test]
fn the_shipped_file_shows_the_default_of_every_key() {
    let secrets = TempFile::new("uncommented", SECRET);
    let text = uncommented(&shipped(&secrets));
    assert!(text.lines().count() > 100 && text.contains("\nmin_port = 1\n"), "{text}");
    assert_eq!(without_auth(accept(&text).config), Config::default());
    for (section, key) in every_key() {
        let shown = SHIPPED.contains(&format!("{key} = ")) || SHIPPED.contains(&format!("{key}]"));
        assert!(shown, "{section}.{key} is not in config/turnstone.toml");
    }
}

#[test]
fn the_examples_of_the_shipped_file_pass_one_by_one() {
    let secrets = TempFile::new("examples", SECRET);
    let key = rcgen::KeyPair::generate().expect("a key");
    let key = TempFile::new("examples.pem", &key.public_key_pem());
    let text = shipped(&secrets).replace("/etc/turnstone/jwt.pem", &key.path());
    let examples = text.lines().filter(|line| line.starts_with("#   ")).count();
    assert!(examples > 20, "only {examples} examples");
    for example in
        (0..text.lines().count()).filter(|i| text.lines().nth(*i).is_some_and(|l| l.starts_with("#   ")))
    {
        // The rest of the shipped file is commented out, so only its section headers matter.
        let header = text.lines().take(example).filter_map(|line| line.strip_prefix("# ").or(Some(line)));
        let header = header.filter(|line| line.trim_start().starts_with('[')).last().unwrap_or_default();
        let line = text.lines().nth(example).unwrap_or_default().trim_start_matches("#   ");
        if line.starts_with("[[tls.extra]]") || header.trim_start().starts_with("[[tls.extra]]") {
            continue;
        }
        let start = if header.starts_with("[[listen]]") { "address = \"203.0.113.4:3478\"\n" } else { "" };
        let auth = if header == "[auth]" { "" } else { "\n[auth.users]\nbob = \"p\"\n" };
        let auth = if header == "[auth.users]" { "" } else { auth };
        accept(&format!("{header}\n{start}{line}\n{auth}"));
    }
}
