//! What is wrong with a configuration, in a form for people and for programs.

use super::source::{Position, Snippet};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode, ThemeCharacters,
    ThemeStyles,
};
use std::fmt;

/// One error or warning: which file, which line, what, and what to write instead.
///
/// It holds no secret: the source line has them as stars.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The file's path, or the words "environment variable NAME".
    pub file: String,
    /// Where in it; `None` when the file itself could not be read.
    pub at: Option<Position>,
    /// Full key, such as `auth.secrets[1]`, when one is at fault.
    pub key: Option<String>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    pub(super) is_error: bool,
    pub(super) snippet: Option<Snippet>,
}

impl Finding {
    /// `file:line:col`, or the file alone.
    pub fn location(&self) -> String {
        match self.at {
            Some(at) => format!("{}:{}:{}", self.file, at.line, at.column),
            None => self.file.clone(),
        }
    }

    /// The finding with its source line, a caret and the suggestion, in plain ASCII.
    ///
    /// ASCII because it also goes to the journal and over serial consoles; `color` adds ANSI colours.
    pub fn render(&self, color: bool) -> String {
        let characters =
            ThemeCharacters { underbar: '^', error: "error:".into(), ..ThemeCharacters::ascii() };
        let characters = ThemeCharacters { warning: "warning:".into(), ..characters };
        let styles = if color { ThemeStyles::ansi() } else { ThemeStyles::none() };
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
            .with_links(false)
            .with_wrap_lines(false)
            .with_context_lines(Snippet::CONTEXT_LINES);
        let mut text = String::new();
        match handler.render_report(&mut text, self) {
            Ok(()) => text,
            Err(fmt::Error) => self.to_string(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Finding {}

impl Diagnostic for Finding {
    fn severity(&self) -> Option<Severity> {
        Some(if self.is_error { Severity::Error } else { Severity::Warning })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.snippet.as_ref().map(|snippet| snippet as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.snippet.as_ref()?.span();
        Some(Box::new(std::iter::once(LabeledSpan::underline(span))))
    }
}

/// Every error of one configuration, in the order of the file. Never empty.
#[derive(Debug)]
pub struct ConfigErrors {
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

impl ConfigErrors {
    /// The errors, in the order of the file.
    pub fn errors(&self) -> &[Finding] {
        &self.errors
    }

    /// Warnings that were found beside them.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// All errors, each with its line, caret and suggestion.
    pub fn render(&self, color: bool) -> String {
        self.errors.iter().map(|error| error.render(color)).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigErrors {}
