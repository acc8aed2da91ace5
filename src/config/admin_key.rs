//! The file with the API key of the first operator.

use super::files;
use super::report::Report;
use super::text::{Refusal, TextSetting};
use crate::auth::{API_KEY_PREFIX, ApiKeyHash};
use std::path::{Path, PathBuf};

/// `admin.key_file`: the path as written, and the hash of what the file held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminKeyFile {
    /// The path; a relative one starts at the folder of the configuration file.
    pub path: PathBuf,
    /// Of its key; none without a file.
    pub hash: Option<ApiKeyHash>,
}

impl Default for AdminKeyFile {
    fn default() -> Self {
        Self { path: DEFAULT.into(), hash: None }
    }
}

impl TextSetting for AdminKeyFile {
    const WHAT: &'static str = "a path";
    const EXAMPLE: &'static str = DEFAULT;

    fn from_text(text: &str) -> Result<Self, Refusal> {
        PathBuf::from_text(text).map(|path| Self { path, hash: None })
    }

    fn to_text(&self) -> String {
        self.path.to_text()
    }
}

impl AdminKeyFile {
    /// Reads the file. Only the one of the default path may be missing, or be closed to who runs this.
    ///
    /// `folder`: where a relative path starts.
    pub(super) fn read_key(&mut self, folder: &Path, report: &mut Report) {
        let path = folder.join(&self.path);
        let is_optional = self.path == Path::new(DEFAULT);
        if is_optional && !path.exists() {
            return;
        }
        match files::read(&path) {
            Ok(text) => self.take(&path, text.trim(), report),
            Err(unreadable) => {
                let message = format!("`{KEY}`: {}", unreadable.message);
                match is_optional {
                    true => report.warn_at(KEY, message + "; nobody gets in by it", unreadable.help),
                    false => report.error_at(KEY, message, unreadable.help),
                }
            }
        }
    }

    fn take(&mut self, path: &Path, key: &str, report: &mut Report) {
        let file = path.display();
        if files::is_world_readable(path) {
            let help = format!("chmod o-r {file}");
            report.warn_at(KEY, format!("every user of this machine can read {file}"), help);
        }
        if is_good(key) {
            self.hash = Some(ApiKeyHash::of(key));
        } else {
            let rule = format!("one line, {API_KEY_PREFIX} and {RANDOM_CHARS_MIN} characters or more");
            let message = format!("{file} holds no API key: {rule}");
            report.error_at(KEY, message, format!("make one with: {MAKE} > {file}"));
        }
    }
}

/// Whether requests can present it, and nobody can guess it.
fn is_good(key: &str) -> bool {
    let random = key.strip_prefix(API_KEY_PREFIX).unwrap_or_default();
    random.len() >= RANDOM_CHARS_MIN && random.bytes().all(|byte| byte.is_ascii_graphic())
}

const KEY: &str = "admin.key_file";

const DEFAULT: &str = "/etc/turnstone/admin-key";

const RANDOM_CHARS_MIN: usize = 32;

const MAKE: &str = "echo tsk_$(openssl rand -hex 32)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_prefix_and_enough_that_nobody_guesses_on_one_line() {
        let random = "0123456789abcdef0123456789abcdef";
        assert!(is_good(&format!("tsk_{random}")));
        assert!(is_good(&format!("tsk_{random}+/==")), "as base64 writes it");
        for bad in [
            "",
            "tsk_",
            random,
            &format!("tsk_{}", &random[1..]),
            &format!("tsk_{random}\nmore"),
            "tsk_ \u{e4}",
        ] {
            assert!(!is_good(bad), "{bad:?}");
        }
    }
}
