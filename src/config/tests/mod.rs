//! What a configuration is refused for, where, and with which suggestion.

mod certificates;
mod credentials;
mod mutations;
mod operator;
mod refusals;
mod sessions;
mod shipped;
mod tokens;
mod whole;

use super::*;
use std::path::PathBuf;

const LOOPBACK: &str = include_str!("../../../tests/vectors/loopback.toml");
const SHIPPED: &str = include_str!("../../../config/turnstone.toml");
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A file with these lines and somebody who can log in.
fn with_auth(lines: &str) -> String {
    format!("{lines}\n[auth]\nsecrets = [\"{SECRET}\"]\n")
}

fn accept(text: &str) -> Loaded {
    parse("t.toml", text, []).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refuse(text: &str) -> Vec<Finding> {
    match parse("t.toml", text, []) {
        Err(errors) => errors.errors,
        Ok(_) => panic!("accepted:\n{text}"),
    }
}

fn refuse_env(text: &str, name: &str, value: &str) -> Vec<Finding> {
    match parse("t.toml", text, [(name.to_owned(), value.to_owned())]) {
        Err(errors) => errors.errors,
        Ok(_) => panic!("accepted: {name}={value}"),
    }
}

/// Asserts that `lines` have exactly one error: its place, a part of its message, its whole suggestion.
#[track_caller]
fn refused(lines: &str, at: (usize, usize), message: &str, help: &str) {
    refused_as_is(&with_auth(lines), at, message, help);
}

#[track_caller]
fn refused_as_is(text: &str, at: (usize, usize), message: &str, help: &str) {
    let errors = refuse(text);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    let error = &errors[0];
    let place = error.at.map(|at| (at.line, at.column));
    assert_eq!(place, Some(at), "{}", error.render(false));
    assert!(error.message.contains(message), "{}", error.message);
    assert_eq!(error.help.as_deref().unwrap_or_default(), help);
    // The rendered form carries the same three things and a caret.
    let rendered = error.render(false);
    let shown = [format!("[t.toml:{}:{}]", at.0, at.1), "^".to_owned(), help.to_owned()];
    assert!(shown.iter().all(|part| rendered.contains(part.as_str())), "{rendered}");
}

/// A file in the folder for temporary files that goes away with the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("turnstone-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("the folder for temporary files is writable");
        Self(path)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}
