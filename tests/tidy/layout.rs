//! Folders and files: each folder holds code, each file is compiled, each test target is declared.

use super::lexer::Kind;
use super::ranks::rank;
use super::{Finding, Source};
use std::collections::BTreeSet;

/// Findings over the listing: `folders` and `files` are paths from the root of the repository.
pub(crate) fn check(folders: &[String], files: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in folders {
        if !files.iter().any(|file| file.starts_with(&format!("{folder}/"))) {
            findings.push(Finding::new(folder, 0, "an empty folder: a folder comes with its code"));
        }
        let is_rank = folder.strip_prefix("src/").is_some_and(|name| rank(name).is_some());
        if is_rank && !files.contains(&format!("{folder}/mod.rs")) {
            findings.push(Finding::new(folder, 0, "no mod.rs: the contract of a module stands there"));
        }
    }
    findings
}

/// Files under `src/` that no `mod` names: they compile nowhere and rot.
pub(crate) fn orphans(sources: &[Source]) -> Vec<Finding> {
    let declared: BTreeSet<Vec<String>> = sources.iter().flat_map(declared_modules).collect();
    sources
        .iter()
        .filter(|source| source.module().is_some() && !declared.contains(&source.module_path()))
        .map(|source| source.finding(1, "no `mod` names this file".into()))
        .collect()
}

fn declared_modules(source: &Source) -> Vec<Vec<String>> {
    let child = |name: &str| source.module_path().into_iter().chain([name.to_owned()]).collect();
    source
        .lexed
        .tokens
        .windows(3)
        .filter(|w| w[0].is("mod") && w[1].kind == Kind::Word && w[2].is(";"))
        .map(|w| child(&w[1].text))
        .collect()
}

/// Test and bench targets that the manifest does not declare. Automatic discovery is off, so such a
/// file would pass by never running.
pub(crate) fn undeclared_targets(manifest: &str, files: &[String]) -> Vec<Finding> {
    let is_target = |file: &&String| {
        let parts: Vec<_> = file.split('/').collect();
        match parts[..] {
            ["tests" | "benches", name] => name.ends_with(".rs"),
            ["tests" | "benches", folder, "main.rs"] => folder != "fuzz",
            _ => false,
        }
    };
    files
        .iter()
        .filter(is_target)
        .filter(|file| !manifest.contains(&format!("path = \"{file}\"")) && !is_bench_by_name(manifest, file))
        .map(|file| Finding::new(file, 1, "no target in Cargo.toml has this path, so nothing runs it"))
        .collect()
}

/// A `[[bench]]` may leave out its path when its name says it.
fn is_bench_by_name(manifest: &str, file: &str) -> bool {
    let Some(name) = file.strip_prefix("benches/").and_then(|f| f.strip_suffix(".rs")) else { return false };
    manifest
        .split("[[")
        .any(|part| part.starts_with("bench]]") && part.contains(&format!("name = \"{name}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn an_empty_folder_and_a_rank_without_mod_file_are_refused() {
        let folders = strings(&["src/turn", "src/turn/later", "src/net", "src/net/udp"]);
        let files = strings(&["src/turn/server.rs", "src/net/mod.rs", "src/net/udp/sys.rs"]);
        let found: Vec<_> = check(&folders, &files).into_iter().map(|f| f.path).collect();
        assert_eq!(found, ["src/turn", "src/turn/later"]);
    }

    #[test]
    fn a_file_that_no_mod_names_is_refused() {
        let sources = [
            Source::new("src/lib.rs", "pub mod net; pub mod turn { }"),
            Source::new("src/net/mod.rs", "mod udp; // mod poll;"),
            Source::new("src/net/poll.rs", ""),
            Source::new("src/net/udp/mod.rs", "mod sys;"),
            Source::new("src/net/udp/sys.rs", ""),
            Source::new("src/net/sys.rs", ""),
        ];
        let found: Vec<_> = orphans(&sources).into_iter().map(|f| f.path).collect();
        assert_eq!(found, ["src/net/poll.rs", "src/net/sys.rs"]);
    }

    #[test]
    fn a_target_that_the_manifest_does_not_declare_is_refused() {
        let manifest =
            "[[test]]\nname = \"a\"\npath = \"tests/a.rs\"\n[[bench]]\nname = \"wire\"\nharness = false\n";
        let files = strings(&[
            "tests/a.rs",
            "tests/b.rs",
            "tests/c/main.rs",
            "tests/c/x.rs",
            "benches/wire.rs",
            "benches/a.rs",
        ]);
        let found: Vec<_> = undeclared_targets(manifest, &files).into_iter().map(|f| f.path).collect();
        assert_eq!(found, ["tests/b.rs", "tests/c/main.rs", "benches/a.rs"]);
    }
}
