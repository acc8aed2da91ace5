//! An import points to a lower rank only, never sideways.

use super::paths::{Path, paths};
use super::{Finding, Source};

/// Each top-level module with its rank. A module that is not here is refused.
pub(crate) const RANKS: &[(&str, u8)] = &[
    ("base", 0),
    ("wire", 1),
    ("metrics", 1),
    ("auth", 2),
    ("turn", 3),
    ("signaling", 3),
    ("usage", 3),
    ("net", 4),
    ("storage", 4),
    ("relay", 5),
    ("http", 5),
    ("probe", 5),
    ("config", 6),
    ("daemon", 7),
    ("admin", 7),
];

/// Modules up to this rank compute only: values in, values out.
pub(crate) const PURE_UP_TO: u8 = 3;

/// Rank of a top-level module.
pub(crate) fn rank(module: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

/// Findings of one file. `main.rs` and `lib.rs` may use every module.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let Some(module) = source.module() else { return Vec::new() };
    let Some(own) = rank(module) else {
        return vec![source.finding(1, format!("module `{module}` has no rank: give it one in tests/tidy"))];
    };
    let mut findings = tricks(source);
    for path in paths(&source.lexed.tokens) {
        let problem = match target(&path, &source.module_path()) {
            Target::Local => continue,
            Target::Root => {
                format!("`{}` names the crate root, which hides the rank of what is used", path.text())
            }
            Target::Module(name) if name == module => continue,
            Target::Module(name) => match rank(&name) {
                None => format!("`{}` leads to `{name}`, which is no module with a rank", path.text()),
                Some(other) if other < own => continue,
                Some(other) => {
                    format!("`{module}` (rank {own}) uses `{}`: `{name}` has rank {other}", path.text())
                }
            },
        };
        findings.push(source.finding(path.line, problem));
    }
    findings
}

/// Where a path leads to.
enum Target {
    /// Outside of this crate, or inside its own module.
    Local,
    /// The crate root itself, by glob, `self` or a new name.
    Root,
    /// A top-level module (or another item of the root).
    Module(String),
}

fn target(path: &Path, module_path: &[String]) -> Target {
    let mut here: Vec<&String> = module_path.iter().chain(&path.inside).collect();
    let mut parts = path.parts.iter().peekable();
    match parts.peek().map(|p| p.as_str()) {
        Some("crate") => here.clear(),
        // The crate by its own name: the first word of a longer path, or renamed.
        Some("turnstone") if path.parts.len() > 1 || path.renamed => here.clear(),
        Some("super" | "self") if path.parts.len() > 1 || path.renamed => {}
        _ => return Target::Local,
    }
    if matches!(path.parts[0].as_str(), "crate" | "turnstone") {
        parts.next();
        if parts.peek().is_none() && !path.renamed {
            return Target::Local; // `pub(crate)`
        }
    }
    while let Some(part) = parts.next_if(|p| matches!(p.as_str(), "super" | "self")) {
        if part == "super" {
            here.pop();
        }
    }
    match parts.next() {
        _ if !here.is_empty() => Target::Local,
        None => Target::Root,
        Some(glob) if glob == "*" => Target::Root,
        Some(name) => Target::Module(name.clone()),
    }
}

/// Ways to move code past its folder, after which a path no longer says where it leads.
fn tricks(source: &Source) -> Vec<Finding> {
    let tokens = &source.lexed.tokens;
    let followed = |i: usize, texts: &[&str]| {
        texts.iter().enumerate().all(|(n, text)| tokens.get(i + n).is_some_and(|t| t.is(text)))
    };
    let leaves_folder = |i: usize| tokens.get(i).is_some_and(|file| file.text.contains('/'));
    (0..tokens.len())
        .filter_map(|i| {
            let problem = if followed(i, &["#", "[", "path", "="]) && leaves_folder(i + 4) {
                "`#[path]` puts a file of another folder under this module"
            } else if followed(i, &["include", "!"]) {
                "`include!` puts code under another module"
            } else if followed(i, &["extern", "crate", "self"]) {
                "`extern crate self` gives the crate another name"
            } else {
                return None;
            };
            Some(source.finding(tokens[i].line, problem.into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn lower_ranks_and_the_own_module_may_be_used() {
        let text = "use crate::base::Now; use crate::wire::{stun, demux}; use super::permission; pub(crate) fn f() {}
            pub(in crate::turn) fn g() { crate::auth::x(); self::h(); super::super::turn::y() }
            mod tests { use super::*; use super::super::permission as p; }";
        assert_eq!(problems("src/turn/allocate.rs", text), 0);
    }

    #[test]
    fn higher_and_equal_ranks_are_refused_in_every_spelling() {
        for text in [
            "use crate::net::Poller;",
            "use crate::signaling::Hub;",
            "use crate::{base::Now, net};",
            "use crate::{base::{Now, Random}, relay::{shard::{Shard}}};",
            "fn f() { crate::net::g() }",
            "fn f(x: &crate::net::Poller) {}",
            "use super::super::net;",
            "use super::{super::net::Poller, permission};",
            "use self::super::super::net;",
            "mod inner { use super::super::super::net; }",
            "use turnstone::net::Poller;",
            "use ::turnstone::net::Poller;",
            "pub use crate::r#net::Poller as P;",
            "macro_rules! m { () => { $crate::net::f() } }",
            "#[cfg(test)] mod tests { use crate::net::Poller; }",
            "pub(in crate::net) fn f() {}",
        ] {
            assert_eq!(problems("src/turn/allocate.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn paths_that_hide_their_rank_are_refused() {
        for text in [
            "use crate::*;",
            "use crate as root;",
            "use crate::{self as root};",
            "use super::super as root;",
            "use super::super::*;",
            "use turnstone as t;",
            "extern crate self as t;",
            "#[path = \"../net/poll.rs\"] mod poll;",
            "include!(\"../net/poll.rs\");",
            "use crate::Helper;",
        ] {
            assert_eq!(problems("src/turn/allocate.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn super_counts_from_the_folder_for_a_mod_file() {
        assert_eq!(problems("src/turn/mod.rs", "use super::net;"), 1);
        assert_eq!(problems("src/wire/stun/mod.rs", "use super::net;"), 0);
        assert_eq!(problems("src/wire/stun/mod.rs", "use super::super::net;"), 1);
        assert_eq!(problems("src/wire/stun/header.rs", "use super::super::net;"), 0);
    }

    #[test]
    fn a_module_without_a_rank_is_refused_and_the_roots_are_free() {
        assert_eq!(problems("src/helpers/mod.rs", "fn f() {}"), 1);
        assert_eq!(problems("src/helpers.rs", "fn f() {}"), 1);
        assert_eq!(problems("src/main.rs", "use turnstone::admin; use crate::x;"), 0);
        assert_eq!(problems("src/lib.rs", "pub mod base; use crate::admin;"), 0);
    }

    #[test]
    fn words_in_comments_and_strings_do_not_count() {
        assert_eq!(
            problems("src/turn/mod.rs", "//! See crate::net::Poller.\nconst X: &str = \"crate::net\";"),
            0
        );
    }
}
