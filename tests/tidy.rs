//! Reads the sources and fails where the house is not in order: imports against the ranks, impure or
//! unsafe code where it has no place, unfinished code, files that nothing compiles or runs.
//!
//! One test per rule here; beside each rule, in `tests/tidy/`, tests that it catches what it should.
//! No dependency: this target builds in a second, also while the rest does not compile.

#[path = "tidy/hygiene.rs"]
mod hygiene;
#[path = "tidy/layout.rs"]
mod layout;
#[path = "tidy/lexer.rs"]
mod lexer;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/protocol.rs"]
mod protocol;
#[path = "tidy/purity.rs"]
mod purity;
#[path = "tidy/ranks.rs"]
mod ranks;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/unsafety.rs"]
mod unsafety;

use std::collections::BTreeSet;
use std::fmt;
use tree::Tree;

#[test]
fn imports_point_to_a_lower_rank() {
    expect_none(Tree::read().sources("src/").iter().flat_map(ranks::check));
}

#[test]
fn pure_ranks_touch_no_socket_file_thread_clock_or_global() {
    let sources = Tree::read().sources("src/");
    let test_files: BTreeSet<Vec<String>> = sources.iter().flat_map(tree::test_only_modules).collect();
    let is_test = |source: &Source| {
        let path = source.module_path();
        (1..=path.len()).any(|len| test_files.contains(&path[..len]))
    };
    expect_none(sources.iter().flat_map(|source| purity::check(source, is_test(source))));
}

#[test]
fn unsafe_code_stays_in_net_under_its_proof() {
    expect_none(Tree::read().sources("src/").iter().flat_map(unsafety::check));
}

#[test]
fn no_file_is_unfinished_oversized_or_uses_fast_random_numbers() {
    let tree = Tree::read();
    let folders = ["src/", "tests/", "benches/"];
    expect_none(folders.iter().flat_map(|folder| tree.sources(folder)).flat_map(|s| hygiene::check(&s)));
}

#[test]
fn every_folder_holds_code_and_every_rank_its_contract() {
    let tree = Tree::read();
    expect_none(layout::check(&tree.folders, &tree.files));
}

#[test]
fn every_source_file_is_compiled_and_every_test_target_runs() {
    let tree = Tree::read();
    let targets = layout::undeclared_targets(&tree.text("Cargo.toml"), &tree.files);
    expect_none(layout::orphans(&tree.sources("src/")).into_iter().chain(targets));
}

#[test]
fn metrics_named_in_pages_exist() {
    let tree = Tree::read();
    let pages: Vec<_> = tree.files_ending_with(".md").map(|path| (path.clone(), tree.text(path))).collect();
    assert!(!pages.is_empty(), "no page found");
    expect_none(names::check(&pages, &tree.sources("src/")));
}

#[test]
fn the_page_of_the_protocol_names_all_that_clients_say_and_hear() {
    let tree = Tree::read();
    expect_none(protocol::check(&tree.text("src/signaling/PROTOCOL.md"), &tree.sources("src/")));
}

/// One source file with its lexed text.
#[derive(Debug)]
pub(crate) struct Source {
    path: String,
    lexed: lexer::Lexed,
    lines: usize,
    /// Where a `#[path]` of its parent puts it, when it is not where its name says.
    moved_to: Option<Vec<String>>,
}

impl Source {
    /// A file at `path`, with `/`, from the root of the repository.
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), lexed: lexer::lex(text), lines: text.lines().count(), moved_to: None }
    }

    /// Its module from the crate root: `src/wire/stun/mod.rs` is `wire`, `stun`. Empty for the roots.
    fn module_path(&self) -> Vec<String> {
        if let Some(moved_to) = &self.moved_to {
            return moved_to.clone();
        }
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let mut parts: Vec<_> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(parts.as_slice(), [root] if root == "lib" || root == "main") {
            return Vec::new();
        }
        parts.pop_if(|last| last == "mod");
        parts
    }

    /// Its top-level module; none for `lib.rs`, `main.rs` and files outside of `src/`.
    fn module(&self) -> Option<&str> {
        let path = self.path.strip_prefix("src/")?;
        let name = path.split('/').next()?.trim_end_matches(".rs");
        (!matches!(path, "lib.rs" | "main.rs")).then_some(name)
    }

    fn finding(&self, line: usize, problem: String) -> Finding {
        Finding { path: self.path.clone(), line, problem }
    }
}

/// One thing that is not in order.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    problem: String,
}

impl Finding {
    fn new(path: &str, line: usize, problem: &str) -> Self {
        Self { path: path.to_owned(), line, problem: problem.to_owned() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.problem)
    }
}

/// Fails with all findings, one a line.
fn expect_none(findings: impl IntoIterator<Item = Finding>) {
    let lines: Vec<_> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(lines.is_empty(), "{} findings\n{}", lines.len(), lines.join("\n"));
}
