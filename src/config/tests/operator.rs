//! The API key of the first operator, and what the unit of the package gives a stop.

use super::*;
use crate::auth::ApiKeyHash;
use std::os::unix::fs::PermissionsExt;

const KEY: &str = "tsk_0123456789abcdef0123456789abcdef";

fn with_key_file(path: &str) -> String {
    with_auth(&format!("[admin]\nkey_file = \"{path}\""))
}

#[test]
fn the_key_of_the_file_is_known_by_its_hash_and_who_may_read_it_is_looked_at() {
    let file = TempFile::new("admin-key", &format!("{KEY}\n"));
    for (mode, warnings) in [(0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(&file.0, PermissionsExt::from_mode(mode)).expect("ours");
        let loaded = accept(&with_key_file(&file.path()));
        assert_eq!(loaded.config.admin.key_file.hash, Some(ApiKeyHash::of(KEY)));
        assert!(!loaded.config.effective().contains(KEY));
        assert_eq!(loaded.warnings.len(), warnings, "{:?}", loaded.warnings);
        assert!(loaded.warnings.iter().all(|warning| warning.message.contains("every user")));
    }
}

#[test]
fn a_key_file_that_is_missing_or_holds_no_key_is_refused_without_showing_it() {
    let missing = refuse(&with_key_file("/nonexistent/admin-key"));
    let [error] = &missing[..] else { panic!("{missing:?}") };
    assert!(error.message.contains("admin.key_file") && error.message.contains("/nonexistent/admin-key"));
    for bad in ["", "tsk_short", "a-password-that-is-none-of-our-keys-0001"] {
        let file = TempFile::new("bad-admin-key", bad);
        let errors = refuse(&with_key_file(&file.path()));
        let [error] = &errors[..] else { panic!("{errors:?}") };
        assert!(error.message.contains("holds no API key"), "{}", error.message);
        assert!(error.help.as_ref().is_some_and(|help| help.contains(&file.path())), "{error:?}");
        assert!(bad.is_empty() || !error.render(false).contains(bad), "{}", error.render(false));
    }
}

#[test]
fn a_drain_that_outlives_the_unit_is_warned_of() {
    let warnings = |timeout: &str| {
        let loaded = accept(&with_auth(&format!("[server]\ndrain_timeout = \"{timeout}\"")));
        loaded.warnings.iter().map(|warning| warning.render(false)).collect::<Vec<_>>()
    };
    assert!(warnings("300s").is_empty());
    let told = warnings("1h");
    assert!(told.len() == 1 && told[0].contains("TimeoutStopSec") && told[0].contains("3630"), "{told:?}");
}

#[test]
fn the_unit_of_the_package_gives_a_stop_what_the_warning_says() {
    let unit = include_str!("../../../systemd/turnstone.service");
    let line = format!("TimeoutStopSec={}", rules::UNIT_STOP_TIMEOUT.as_secs());
    assert!(unit.lines().any(|found| found == line), "{line} is not in the unit");
}
