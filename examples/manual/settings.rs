//! `turnstone.toml(5)`, made from the shipped config: its comments are the text, its defaults the headings.
//!
//! The file keeps to three forms of a comment: `# key = value` and `# [section]` show a default, `#   ` begins an
//! example, and everything else is prose about what follows it in the same paragraph.

use super::pages::{Page, marked, named};
use clap_mangen::roff::{Roff, bold, roman};

/// The documented default.
pub(crate) const SHIPPED: &str = include_str!("../../config/turnstone.toml");

/// Where it lies on a machine.
const FILE: &str = "/etc/turnstone/turnstone.toml";

/// Stands for a line with nothing but `#`.
const PARAGRAPH: &str = "";

/// The page of the config file.
pub(crate) fn page() -> Page {
    let mut body = named("turnstone.toml", "configuration of turnstone");
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text([bold(FILE)]).control("SH", ["DESCRIPTION"]);
    for block in SHIPPED.split("\n\n").map(Block::read) {
        block.write(&mut roff);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("turnstone"), roman("(8), "), bold("turnstone-check-config"), roman("(1)")]);
    body += &roff.to_roff();
    Page::new("turnstone.toml", 5, "File Formats", &body)
}

/// One paragraph of the file.
#[derive(Debug, Default)]
struct Block<'a> {
    /// `[section]`, when one begins here.
    section: Option<&'a str>,
    /// Keys with their defaults, and tables that are not there by default.
    settings: Vec<&'a str>,
    prose: Vec<&'a str>,
    examples: Vec<&'a str>,
}

impl<'a> Block<'a> {
    fn read(text: &'a str) -> Self {
        let mut block = Self::default();
        for line in text.lines() {
            let comment = line.strip_prefix("# ");
            match comment {
                _ if line.starts_with('[') => block.section = Some(line),
                // Sections that repeat are there by default, whole: heading and example in one.
                Some(section) if section.starts_with("[[") => {
                    block.section = Some(section);
                    block.examples.push(section);
                }
                Some(setting) if block.repeats() && is_setting(setting) => block.examples.push(setting),
                // The title of the file says no more than the page's own.
                Some(title) if title.starts_with("turnstone.toml: ") => {}
                Some(example) if example.starts_with("  ") => block.examples.push(example.trim_start()),
                Some(setting) if is_setting(setting) => block.settings.push(setting),
                Some(prose) => block.prose.push(prose),
                None if is_setting(line) => block.settings.push(line),
                None => block.prose.push(PARAGRAPH),
            }
        }
        block
    }

    /// Whether its section may be there several times.
    fn repeats(&self) -> bool {
        self.section.is_some_and(|section| section.starts_with("[["))
    }

    fn write(&self, roff: &mut Roff) {
        if let Some(section) = self.section {
            // The paragraph in front of a section is about it, and stands there already.
            roff.control("SH", [section]);
        }
        let headings = self.headings();
        for (at, heading) in headings.iter().enumerate() {
            roff.control(if at == 0 { "TP" } else { "TQ" }, []).text([bold(*heading)]);
        }
        for (at, paragraph) in self.prose.split(|line| *line == PARAGRAPH).enumerate() {
            if paragraph.is_empty() {
                continue;
            }
            if headings.is_empty() || at > 0 {
                roff.control(if headings.is_empty() { "PP" } else { "IP" }, []);
            }
            roff.text(marked(&paragraph.join("\n")));
        }
        self.write_examples(roff, !headings.is_empty());
    }

    /// The keys with their defaults; where there are none, the key of the first example.
    fn headings(&self) -> Vec<&'a str> {
        if self.section.is_some() {
            return Vec::new();
        }
        let key_of = |example: &&'a str| example.split_once(" = ").map(|(key, _)| key);
        match self.settings.is_empty() {
            true => self.examples.first().and_then(key_of).into_iter().collect(),
            false => self.settings.clone(),
        }
    }

    fn write_examples(&self, roff: &mut Roff, below_heading: bool) {
        if self.examples.is_empty() {
            return;
        }
        roff.control("RS", [if below_heading { "7" } else { "4" }]).control("PP", []).control("EX", []);
        for example in &self.examples {
            roff.text([roman(*example)]);
        }
        roff.control("EE", []).control("RE", []);
    }
}

/// `key = value`, `[section]` or `[[section]]`; prose has spaces before its first equals sign.
pub(crate) fn is_setting(line: &str) -> bool {
    let is_key =
        |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c));
    let table = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    table.map_or_else(
        || line.split_once(" = ").is_some_and(|(key, _)| is_key(key)),
        |table| is_key(table.trim_matches(['[', ']'])),
    )
}
