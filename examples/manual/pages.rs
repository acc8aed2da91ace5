//! Manual pages of the command line: one for the program, one for each verb with what is below it.

use clap::{Command, builder::StyledStr};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

/// What `turnstone(8)` says beside the verbs; the marks are lines of their own.
const OVERVIEW: &str = include_str!("overview.roff");
const VERBS_MARK: &str = ".\\\" VERBS\n";
const SEE_ALSO_MARK: &str = ".\\\" SEE ALSO\n";

/// Options that every verb has.
const COMMON: [&str; 2] = ["config", "help"];

/// What the texts of clap_mangen write for an apostrophe, so that it is one on paper too.
const APOSTROPHE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// Names of commands and keys stay whole, and lines end where they end.
const NEITHER_CUT_NOR_STRETCHED: &str = ".nh\n.ad l\n";

/// One manual page.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its file, such as `turnstone-status.1`.
    pub(crate) file: String,
    /// In the language of man(7).
    pub(crate) text: String,
}

impl Page {
    /// A page of `section`, whose `body` begins with its first heading.
    pub(crate) fn new(name: &str, section: u8, manual: &str, body: &str) -> Self {
        let version = format!("turnstone {}", env!("CARGO_PKG_VERSION"));
        // Without a date: the same sources give the same bytes.
        let title = format!(
            "{APOSTROPHE}.TH {} {section} \"\" \"{version}\" \"{manual}\"\n{NEITHER_CUT_NOR_STRETCHED}",
            name.to_uppercase()
        );
        Self { file: format!("{name}.{section}"), text: title + body }
    }
}

/// The page of the program and those of its verbs.
pub(crate) fn all(program: &Command) -> Vec<Page> {
    let mut program = program.clone();
    program.build();
    let verbs: Vec<&Command> = verbs(&program).collect();
    let mut pages = vec![overview(&verbs)];
    pages.extend(verbs.iter().map(|verb| of_verb(verb)));
    pages
}

/// What can be typed behind `command`; nothing hidden, and no `help` that clap adds.
pub(crate) fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
}

/// The name of a verb's page.
pub(crate) fn name_of(verb: &Command) -> String {
    format!("turnstone-{}", verb.get_name())
}

fn overview(verbs: &[&Command]) -> Page {
    let mut list = Roff::new();
    let mut see_also = Vec::new();
    for verb in verbs {
        list.control("TP", []).text([bold(name_of(verb)), roman("(1)")]).text(marked(&about(verb)));
        see_also.extend([bold(name_of(verb)), roman("(1), ")]);
    }
    see_also.extend([bold("turnstone.toml"), roman("(5)")]);
    let mut last = Roff::new();
    last.text(see_also);
    let body = OVERVIEW.replace(VERBS_MARK, &list.to_roff()).replace(SEE_ALSO_MARK, &last.to_roff());
    Page::new("turnstone", 8, "System Administration", &body)
}

fn of_verb(verb: &Command) -> Page {
    let nested: Vec<Command> = verbs(verb).map(without_common).collect();
    let mut body = named(&name_of(verb), &about(verb));
    body += ".SH SYNOPSIS\n";
    if nested.is_empty() {
        body += &synopsis(verb);
    } else {
        body += &nested.iter().map(synopsis).collect::<Vec<_>>().join(".br\n");
    }
    body += ".SH DESCRIPTION\n";
    body += &description(verb);
    if !nested.is_empty() {
        body += ".SH COMMANDS\n";
        body += &nested.iter().map(command).collect::<String>();
    }
    body += ".SH OPTIONS\n";
    body += &options(verb);
    body += SEE_ALSO;
    Page::new(&name_of(verb), 1, "Turnstone Manual", &body)
}

/// The end of every page of a verb.
const SEE_ALSO: &str = "\
.SH \"EXIT STATUS\"
0 done, 1 failed, 2 wrong arguments or a config that is refused, 3 no daemon answers.
.SH \"SEE ALSO\"
\\fBturnstone\\fR(8), \\fBturnstone.toml\\fR(5)
";

/// One command of a verb that has several.
fn command(nested: &Command) -> String {
    let path = nested.get_bin_name().unwrap_or_else(|| nested.get_name());
    let mut heading = Roff::new();
    heading.control("SS", [path]);
    heading.to_roff() + &description(nested) + &options(nested)
}

/// What `--help` says in front of the options, paragraph by paragraph.
fn description(command: &Command) -> String {
    let text = command.get_long_about().map_or_else(|| about(command), StyledStr::to_string);
    let mut roff = Roff::new();
    for (at, paragraph) in text.split("\n\n").enumerate() {
        if at > 0 {
            roff.control("PP", []);
        }
        roff.text(marked(&sentence(paragraph)));
    }
    roff.to_roff()
}

/// The heading that every page begins with, as lexgrog(1) wants it: one line, the name, a dash, what it is.
pub(crate) fn named(name: &str, what: &str) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["NAME"]).text([roman(format!("{name} - {}", lowercase(what)))]);
    roff.to_roff()
}

/// How it is called, with `bin_name` in front.
fn synopsis(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let path = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut roff = Roff::new();
    roff.text([bold(path), roman(usage.strip_prefix(path).unwrap_or(usage))]);
    roff.to_roff()
}

/// Options and arguments without the heading; nothing when there are none.
fn options(command: &Command) -> String {
    let mut text = Vec::new();
    Man::new(command.clone()).render_options_section(&mut text).expect("memory takes all");
    let text = String::from_utf8(text).expect("roff is text");
    let (_, list) = text.split_once(".SH OPTIONS\n").unwrap_or_default();
    marked_roff(list)
}

fn without_common(command: &Command) -> Command {
    let has = |name: &&&str| command.get_arguments().any(|argument| *argument.get_id() == ***name);
    COMMON
        .iter()
        .filter(has)
        .fold(command.clone(), |command, name| command.mut_arg(*name, |arg| arg.hide(true)))
}

fn about(command: &Command) -> String {
    command.get_about().map(StyledStr::to_string).unwrap_or_default()
}

/// Help texts come without the dot at their end.
fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

/// As behind a dash; a word of capitals keeps them.
fn lowercase(text: &str) -> String {
    let shouts = text.chars().take(2).all(char::is_uppercase);
    match text.chars().next() {
        Some(first) if !shouts => first.to_lowercase().chain(text.chars().skip(1)).collect(),
        _ => text.to_owned(),
    }
}

/// Text with what is between backticks in bold.
pub(crate) fn marked(text: &str) -> Vec<Inline> {
    let part = |(at, part): (usize, &str)| if at % 2 == 0 { roman(part) } else { bold(part) };
    text.split('`').enumerate().map(part).collect()
}

/// The same in text that is roff already.
fn marked_roff(text: &str) -> String {
    let part = |(at, part): (usize, &str)| match at % 2 {
        0 => part.to_owned(),
        _ => format!("\\fB{part}\\fR"),
    };
    let line = |line: &str| line.split('`').enumerate().map(part).collect::<String>() + "\n";
    text.lines().map(line).collect()
}
