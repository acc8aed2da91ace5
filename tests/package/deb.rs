//! The .deb under test, and others like it with another version or another config.

use crate::skip::skip;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The package that `packaging/build` left, or nothing, and then the test has said that it was skipped.
pub(crate) fn package(test: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/package");
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut packages: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|end| end == "deb")).collect();
    if packages.is_empty() {
        skip(test, "no package: packaging/build, or packaging/build --no-build after cargo build --release");
    }
    assert!(packages.len() <= 1, "more than one package: {packages:?}");
    packages.pop()
}

/// The same files as another version, for upgrades; `line` is added to its config.
#[derive(Debug)]
pub(crate) struct Other {
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

impl Other {
    pub(crate) fn of(package: &Path, version: &str, line: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = folder.path().join("tree");
        run(Command::new("dpkg-deb").arg("--raw-extract").args([package, &tree]));
        edit(&tree.join("DEBIAN/control"), |text| {
            let lines = text.lines().map(|line| match line.starts_with("Version: ") {
                true => format!("Version: {version}\n"),
                false => format!("{line}\n"),
            });
            lines.collect()
        });
        edit(&tree.join("etc/turnstone/turnstone.toml"), |text| format!("{text}{line}"));
        let path = folder.path().join("other.deb");
        let build = ["--build", "--root-owner-group", "-Zgzip", "-z1"];
        run(Command::new("dpkg-deb").args(build).args([&tree, &path]));
        Self { path, _folder: folder }
    }
}

fn edit(file: &Path, change: impl Fn(&str) -> String) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let changed = change(&text);
    assert!(changed != text, "{} is as it was", file.display());
    fs::write(file, changed).expect("it can be written");
}

/// Runs a command that has to succeed, and returns its standard output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Whether a command of this name can be called.
pub(crate) fn is_there(command: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(command).exists())
}
