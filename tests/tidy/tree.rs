//! The files of the repository, without what tools build into it.

use super::Source;
use super::paths::without_tests;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that tools fill.
const BUILT: &[&str] = &["target", "node_modules", "artifacts", "coverage"];

/// Listing of the working tree; paths use `/` and start at its root.
pub(crate) struct Tree {
    root: PathBuf,
    /// All folders below `src`, `tests` and `benches`.
    pub(crate) folders: Vec<String>,
    /// All files there and in the root, and below `config`.
    pub(crate) files: Vec<String>,
}

impl Tree {
    /// Lists the tree of this package. Panics when it has no sources: then the checks would pass
    /// without having read anything.
    pub(crate) fn read() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut tree = Self { root: root.clone(), folders: Vec::new(), files: Vec::new() };
        for top in ["src", "tests", "benches", "config"].iter().filter(|top| root.join(top).is_dir()) {
            tree.list(&root.join(top));
        }
        for file in entries(&root).iter().filter(|path| path.is_file()) {
            tree.files.push(tree.relative(file));
        }
        assert!(tree.files.iter().any(|file| file == "src/lib.rs"), "no sources below {}", root.display());
        tree
    }

    fn list(&mut self, folder: &Path) {
        for entry in entries(folder) {
            if !entry.is_dir() {
                self.files.push(self.relative(&entry));
            } else if !BUILT.iter().any(|name| entry.ends_with(name)) {
                self.folders.push(self.relative(&entry));
                self.list(&entry);
            }
        }
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).expect("listed below the root").display().to_string()
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// All files whose name ends with `end`.
    pub(crate) fn files_ending_with<'a>(&'a self, end: &'a str) -> impl Iterator<Item = &'a String> {
        self.files.iter().filter(move |file| file.ends_with(end))
    }

    /// The Rust files below `folder`.
    pub(crate) fn sources(&self, folder: &str) -> Vec<Source> {
        let files = self.files_ending_with(".rs").filter(|file| file.starts_with(folder));
        let mut sources: Vec<_> = files.map(|file| Source::new(file, &self.text(file))).collect();
        follow_path_attributes(&mut sources);
        sources
    }
}

/// Gives each file that a sibling takes in by `#[path = "name.rs"] mod x;` its real module path.
pub(crate) fn follow_path_attributes(sources: &mut [Source]) {
    let mut moves = Vec::new();
    for source in sources.iter() {
        let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for window in source.lexed.tokens.windows(8) {
            let is_attribute = ["#", "[", "path", "="].iter().zip(window).all(|(text, token)| token.is(text));
            if is_attribute && window[5].is("]") && window[6].is("mod") {
                let module = source.module_path().into_iter().chain([window[7].text.clone()]).collect();
                moves.push((format!("{folder}/{}", window[4].text), module));
            }
        }
    }
    for (path, module) in moves {
        if let Some(source) = sources.iter_mut().find(|source| source.path == path) {
            source.moved_to = Some(module);
        }
    }
}

/// Module paths that `source` declares under `#[cfg(test)]`.
pub(crate) fn test_only_modules(source: &Source) -> Vec<Vec<String>> {
    let child = |name| source.module_path().into_iter().chain([name]).collect();
    without_tests(&source.lexed.tokens).1.into_iter().map(child).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = listing.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::super::{layout, purity, ranks};
    use super::*;

    #[test]
    fn a_test_file_beside_its_parent_is_judged_by_its_real_place() {
        let parent = "#[cfg(test)]\n#[path = \"nonce_tests.rs\"]\nmod tests;";
        let tests = "use super::super::mint; use super::super::super::net; use std::fs;";
        let mut sources = [
            Source::new("src/auth/mod.rs", "mod nonce;"),
            Source::new("src/auth/nonce.rs", parent),
            Source::new("src/auth/nonce_tests.rs", tests),
            Source::new("src/lib.rs", "mod auth;"),
        ];
        follow_path_attributes(&mut sources);
        assert_eq!(sources[2].module_path(), ["auth", "nonce", "tests"]);
        assert_eq!(test_only_modules(&sources[1]), [sources[2].module_path()]);
        assert_eq!(layout::orphans(&sources).len(), 0);
        assert_eq!(ranks::check(&sources[1]).len(), 0);
        assert_eq!(ranks::check(&sources[2]).len(), 1, "only net is out of reach");
        assert_eq!(purity::check(&sources[2], true).len(), 0);
    }
}
