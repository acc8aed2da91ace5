//! What the file format knows and this build does not do yet. Building a part deletes its rows.

use super::checked::{Config, TlsMode};
use super::report::Report;

/// A part of the format without a part of the daemon behind it.
struct Row {
    /// What is not there, for people.
    what: &'static str,
    /// The key to point at, when the configuration asks for it.
    asked_at: fn(&Config) -> Option<String>,
}

/// The table. A row counts only when the user wrote its key; defaults say nothing.
static ROWS: &[Row] = &[
    Row {
        what: "certificates by ACME (`tls.mode`)",
        asked_at: |config| when(config.tls.mode == TlsMode::Acme, "tls.mode"),
    },
    Row { what: "hooks (`[hooks]`)", asked_at: |_| when(true, "hooks") },
    Row { what: "clusters (`[cluster]`)", asked_at: |_| when(true, "cluster") },
];

/// One warning for each part that the user asked for and that is not built.
pub(super) fn warn(config: &Config, report: &mut Report) {
    for row in ROWS {
        if let Some(key) = (row.asked_at)(config).filter(|key| report.is_given(key)) {
            let message = format!("not built yet, so without effect: {}", row.what);
            report.warn_at(&key, message, "");
        }
    }
}

fn when(asked: bool, key: &str) -> Option<String> {
    asked.then(|| key.to_owned())
}
