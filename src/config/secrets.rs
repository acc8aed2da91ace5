//! The file of shared secrets: one per line, newest first, `#` comments and blank lines ignored.

use super::files;
use super::report::Report;
use super::source::Place;
use super::text::{Refusal, TextSetting};
use crate::auth::{Secret, Settings};
use std::path::{Path, PathBuf};

/// `auth.secrets_file`: the path as written, and what the file held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsFile {
    /// The path; a relative one starts at the folder of the configuration file.
    pub path: PathBuf,
    /// The secrets, newest first, at most [`Settings::SECRETS_MAX`].
    pub secrets: Vec<Secret>,
}

impl TextSetting for SecretsFile {
    const WHAT: &'static str = "a path";
    const EXAMPLE: &'static str = "/etc/turnstone/secret";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        PathBuf::from_text(text).map(|path| Self { path, secrets: Vec::new() })
    }

    fn to_text(&self) -> String {
        self.path.to_text()
    }
}

impl SecretsFile {
    /// Reads the file. Errors go to `report`, with the place in the secrets file where it has one.
    ///
    /// `folder`: where a relative path starts.
    pub(super) fn read_secrets(&mut self, folder: &Path, report: &mut Report) {
        let path = folder.join(&self.path);
        let text = match files::read(&path) {
            Ok(text) => text,
            Err(unreadable) => {
                return report.error_at(KEY, format!("`{KEY}`: {}", unreadable.message), unreadable.help);
            }
        };
        if files::is_world_readable(&path) {
            let help = format!("chmod o-r {}", path.display());
            report.warn_at(KEY, format!("every user of this machine can read {}", path.display()), help);
        }
        let source = report.add_source(path.display().to_string(), text.clone());
        report.hide(Place { source, start: 0, end: text.len() });
        for (place, secret) in lines(&text, source) {
            check_length(secret, place, KEY, report);
            self.secrets.push(Secret::new(secret));
        }
        if self.secrets.is_empty() {
            let message = format!("{} holds no secret", path.display());
            report.error_at(KEY, message, "write one secret per line: openssl rand -base64 48");
        }
        check_count(self.secrets.len(), report, KEY);
    }
}

/// Refuses a shared secret that can be guessed from one captured message.
pub(super) fn check_length(secret: &str, place: Place, key: &str, report: &mut Report) {
    let length = secret.chars().count();
    let help = "make a good one with: openssl rand -base64 48";
    if length < LENGTH_MIN {
        let message = format!("the secret can be guessed: its length is {length}, the least is {LENGTH_MIN}");
        report.error(place, key, message, help);
    } else if length < LENGTH_GOOD {
        let message = format!("the secret is short: its length is {length}, good is {LENGTH_GOOD} or more");
        report.warn_place(place, key, message, help);
    }
}

/// Refuses more secrets than a wrong password may cost computations.
pub(super) fn check_count(count: usize, report: &mut Report, key: &str) {
    let max = Settings::SECRETS_MAX;
    if count > max {
        let message = format!("`{key}` holds {count} secrets, at most {max} can be active");
        report.error_at(key, message, "delete the oldest, which are last");
    }
}

fn lines(text: &str, source: usize) -> impl Iterator<Item = (Place, &str)> {
    let mut start = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let at = start + line.len() - line.trim_start().len();
        start += line.len();
        let secret = line.trim();
        let place = Place { source, start: at, end: at + secret.len() };
        (!secret.is_empty() && !secret.starts_with('#')).then_some((place, secret))
    })
}

const KEY: &str = "auth.secrets_file";

/// Below this an HMAC key falls to a dictionary run over one sniffed challenge.
const LENGTH_MIN: usize = 16;

/// From this on the key is as strong as the HMAC.
const LENGTH_GOOD: usize = 32;
