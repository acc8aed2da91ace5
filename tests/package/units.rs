//! What the sandbox of the units leaves open, as systemd counts it.

use crate::deb::is_there;
use crate::skip::skip;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");

#[test]
fn the_service_exposes_no_more_than_1_5() {
    let Some(rated) = exposure("units::the_service_exposes_no_more_than_1_5", &[], 15) else { return };
    assert!(rated.0, "{}", rated.1);
}

#[test]
fn the_service_behind_its_socket_exposes_no_more_than_1_2() {
    let test = "units::the_service_behind_its_socket_exposes_no_more_than_1_2";
    let Some(rated) = exposure(test, &["socket-activation.conf"], 12) else { return };
    assert!(rated.0, "{}", rated.1);
}

#[test]
fn a_service_that_keeps_its_capabilities_is_told_apart() {
    // The rating is no formality: what the drop-in takes away makes the difference.
    let Some(rated) = exposure("units::a_service_that_keeps_its_capabilities_is_told_apart", &[], 12) else {
        return;
    };
    assert!(!rated.0, "{}", rated.1);
}

/// Whether the service with these drop-ins is rated at `tenths` or less, and what systemd says about it.
fn exposure(test: &str, drop_ins: &[&str], tenths: u32) -> Option<(bool, String)> {
    if !is_there("systemd-analyze") {
        skip(test, "no systemd-analyze: apt-get install systemd");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let unit = copy("turnstone.service", folder.path());
    let more = folder.path().join("turnstone.service.d");
    fs::create_dir(&more).expect("a folder for drop-ins");
    copy("turnstone.socket", folder.path());
    drop_ins.iter().for_each(|name| drop(copy(name, &more)));
    let threshold = format!("--threshold={tenths}");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &threshold])
        .arg(&unit)
        .output()
        .expect("systemd-analyze runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("Overall exposure level"), "no rating: {said}");
    Some((output.status.success(), said))
}

fn copy(name: &str, folder: &Path) -> PathBuf {
    let to = folder.join(name);
    fs::copy(Path::new(UNITS).join(name), &to).expect("a unit file");
    to
}
