//! What other people's checkers say about the package and the scripts.

use crate::deb::{is_there, package, run};
use crate::skip::skip;
use std::path::Path;
use std::process::Command;

#[test]
fn lintian_finds_no_error_and_no_warning() {
    let test = "checks::lintian_finds_no_error_and_no_warning";
    let Some(package) = package(test) else { return };
    if !is_there("lintian") {
        return skip(test, "no lintian: apt-get install lintian");
    }
    run(Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning"]).arg(&package));
    let tags = Command::new("lintian").args(["--allow-root", "--display-info"]).arg(&package).output();
    let tags = String::from_utf8_lossy(&tags.expect("lintian runs").stdout).into_owned();
    // Of no consequence to lintian, and promised by us.
    assert!(!tags.contains("hardening-no-bindnow") && !tags.contains("hardening-no-pie"), "{tags}");
}

#[test]
fn shellcheck_finds_nothing_in_our_scripts() {
    if !is_there("shellcheck") {
        return skip(
            "checks::shellcheck_finds_nothing_in_our_scripts",
            "no shellcheck: apt-get install shellcheck",
        );
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let maintainers = std::fs::read_dir(root.join("packaging/debian")).expect("a folder");
    let maintainers: Vec<_> = maintainers.map(|entry| entry.expect("a file").path()).collect();
    assert!(maintainers.len() >= 3, "{maintainers:?}");
    let ours = ["packaging/build", "packaging/certbot-hook", "tests/run", ".ci/run"];
    // What a script reads at run time cannot be followed from here.
    run(Command::new("shellcheck")
        .arg("--exclude=SC1091")
        .args(maintainers)
        .args(ours.map(|file| root.join(file))));
}

#[test]
fn the_package_is_for_debian_12_and_small() {
    let Some(package) = package("checks::the_package_is_for_debian_12_and_small") else { return };
    let field = |name: &str| run(Command::new("dpkg-deb").arg("-f").arg(&package).arg(name));
    let size_kib: u64 = field("Installed-Size").trim().parse().expect("a number");
    println!("installed: {:.1} MB (goal: 25)", size_kib as f64 * 1024.0 / 1e6);
    assert!(size_kib * 1024 <= 25_000_000);
    let depends = field("Depends");
    let libc = depends.split(", ").find_map(|one| one.strip_prefix("libc6 (>= 2.")?.strip_suffix(')'));
    let minor: u32 = libc.and_then(|minor| minor.trim().parse().ok()).expect("a version of glibc");
    assert!(minor <= 36, "Debian 12 has glibc 2.36: {depends}");
}
