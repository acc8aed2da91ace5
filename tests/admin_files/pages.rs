//! Manual pages and the document of the API.

use crate::daemon::{Config, Daemon, Folder};
use crate::manual::{self, pages, settings};
use crate::tool::{clean, tool};
use clap::{Command, CommandFactory};
use std::collections::BTreeSet;
use std::path::PathBuf;
use turnstone::admin::Cli;

fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    program
}

/// All pages, in a folder that goes with the first value.
fn written() -> (Folder, Vec<PathBuf>) {
    let folder = Folder::new();
    manual::write(folder.path()).unwrap();
    let man = std::fs::read_dir(folder.path().join("man")).unwrap();
    let mut pages: Vec<_> = man.map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    (folder, pages)
}

#[test]
fn every_verb_has_a_page_and_no_two_pages_share_a_title() {
    let pages = pages::all(&program());
    let titles: BTreeSet<_> = pages.iter().map(|page| page.file.to_lowercase()).collect();
    assert_eq!(titles.len(), pages.len(), "{titles:?}");
    let program = program();
    let mut wanted: BTreeSet<_> =
        pages::verbs(&program).map(|verb| format!("turnstone-{}.1", verb.get_name())).collect();
    assert!(wanted.len() > 20, "{wanted:?}");
    wanted.insert("turnstone.8".into());
    assert_eq!(titles, wanted);
    for page in &pages {
        let (name, section) = page.file.rsplit_once('.').unwrap();
        let title = format!(".TH {} {section} ", name.to_uppercase());
        assert!(page.text.contains(&title), "{title}");
    }
}

#[test]
fn a_page_has_each_command_option_and_argument_of_its_verb() {
    let program = program();
    let pages = pages::all(&program);
    let mut options = 0;
    for verb in pages::verbs(&program) {
        let file = format!("turnstone-{}.1", verb.get_name());
        let text = plain(&pages.iter().find(|page| page.file == file).unwrap().text);
        for command in pages::verbs(verb).chain([verb]) {
            let called = command.get_bin_name().unwrap();
            let above = pages::verbs(command).next().is_some();
            assert!(
                above || text.contains(&format!("{called} ")) || text.contains(called),
                "{file}: {called}"
            );
            for argument in command.get_arguments() {
                let value = argument.get_value_names().unwrap_or_default().concat();
                let name = argument.get_long().map_or(value, |long| format!("--{long}"));
                assert!(text.contains(&name), "{file}: {called} {name}");
                options += 1;
            }
        }
    }
    assert!(options > 100, "only {options}");
}

#[test]
fn the_overview_names_every_verb_twice() {
    let program = program();
    let pages = pages::all(&program);
    let overview = plain(&pages.iter().find(|page| page.file == "turnstone.8").unwrap().text);
    let (_, see_also) = overview.split_once("SEE ALSO").unwrap();
    for verb in pages::verbs(&program) {
        let page = format!("turnstone-{}(1)", verb.get_name());
        assert!(overview.contains(&format!("{page}\n")) && see_also.contains(&page), "{page}");
    }
    assert!(see_also.contains("turnstone.toml(5)"), "{see_also}");
}

#[test]
fn the_page_of_the_config_has_every_section_key_default_and_example_of_the_file() {
    let text = plain(&settings::page().text);
    let mut count = 0;
    for line in settings::SHIPPED.lines() {
        let shown = line.trim_start_matches("#").trim_start();
        if line.starts_with("#   ") || settings::is_setting(shown) {
            assert!(text.contains(shown), "{line}");
            count += 1;
        }
    }
    assert!(count > 100, "only {count}");
    assert!(!text.contains("# "), "a comment sign is left over");
}

#[test]
fn man_formats_every_page_without_a_warning() {
    let test = "admin_files::pages::man_formats_every_page_without_a_warning";
    let (_folder, pages) = written();
    for page in &pages {
        let Some(mut man) = tool(test, "man", "man-db") else { return };
        // As lintian asks: every warning that groff has, at a width at which lines can be filled.
        man.env("MANROFFSEQ", "").env("MANWIDTH", "80");
        let shown = clean(man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(page));
        assert!(shown.stdout.len() > 1000, "{}", page.display());
    }
}

#[test]
fn the_index_of_pages_reads_the_name_of_each() {
    let test = "admin_files::pages::the_index_of_pages_reads_the_name_of_each";
    let (_folder, pages) = written();
    for page in &pages {
        let Some(mut lexgrog) = tool(test, "lexgrog", "man-db") else { return };
        let name = page.file_stem().unwrap().to_str().unwrap();
        let said = clean(lexgrog.arg(page)).stdout;
        assert!(said.contains(&format!(": \"{name} - ")), "{said}");
    }
}

#[test]
fn the_document_of_the_api_is_what_the_daemon_serves() {
    let (folder, _) = written();
    let daemon = Daemon::start(&Config::default());
    let (status, served) = daemon.get("/openapi.json");
    assert_eq!(status, 200);
    assert_eq!(std::fs::read_to_string(folder.path().join("openapi.json")).unwrap(), served);
}

/// What a reader sees, nearly: without fonts and with the dashes that they stand for.
fn plain(roff: &str) -> String {
    ["\\fB", "\\fI", "\\fR"].iter().fold(roff.replace("\\-", "-"), |text, font| text.replace(font, ""))
}
