//! Writes what people and shells read about the program: `cargo run --example manual -- OUT` makes
//! `OUT/man` (`turnstone.8`, a page of section 1 for each verb, `turnstone.toml.5`), `OUT/completions` (bash, zsh,
//! fish) and `OUT/openapi.json`. All of it comes from the command line, the shipped config and the API themselves,
//! and the same sources give the same bytes.

#[path = "manual/pages.rs"]
pub(crate) mod pages;
#[path = "manual/settings.rs"]
pub(crate) mod settings;

use clap::CommandFactory;
use clap_complete::Shell;
use std::io;
use std::path::Path;
use turnstone::admin::Cli;

/// The API in the words of OpenAPI, as the daemon serves it.
const OPENAPI: &str = include_str!("../src/http/api/openapi.json");

/// Shells with the file name that each of them looks for.
const COMPLETIONS: [(Shell, &str); 3] =
    [(Shell::Bash, "turnstone.bash"), (Shell::Zsh, "_turnstone"), (Shell::Fish, "turnstone.fish")];

#[allow(dead_code, reason = "the tests write into a folder of their own")]
fn main() -> io::Result<()> {
    let Some(out) = std::env::args_os().nth(1) else {
        return Err(io::Error::other("say where to: cargo run --example manual -- OUT"));
    };
    write(Path::new(&out))
}

/// Writes everything below `out`, which is made where it is missing; what is there is replaced.
///
/// # Errors
/// Those of making folders and writing files.
pub(crate) fn write(out: &Path) -> io::Result<()> {
    let (man, completions) = (out.join("man"), out.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    for page in pages::all(&Cli::command()).into_iter().chain([settings::page()]) {
        std::fs::write(man.join(&page.file), page.text)?;
    }
    for (shell, file) in COMPLETIONS {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "turnstone", &mut script);
        std::fs::write(completions.join(file), script)?;
    }
    std::fs::write(out.join("openapi.json"), OPENAPI)
}
