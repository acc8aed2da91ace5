//! How an event becomes one line.
//!
//! Our own formatting rather than that of `tracing-subscriber`, which lets line ends in values
//! through. All text of an event passes [`Escaped`]; only prefixes and colours of ours do not.

use serde_json::{Map, Value};
use std::error::Error;
use std::fmt::{self, Debug, Display, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Longest value or message in characters. journald splits lines at 48 KiB, and the second half
/// would be a line that somebody else wrote.
const VALUE_CHARS_MAX: usize = 1024;

/// One line for people or for journald.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plain {
    Text { colour: bool },
    Journald,
}

/// One JSON object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json;

/// The fields of a span, ` name=value` each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        match self {
            Self::Journald => write!(to, "<{}>", priority(level))?,
            Self::Text { colour } => {
                SystemTime.format_time(&mut to)?;
                let (on, off) = if *colour { (colour_of(level), "\u{1b}[0m") } else { ("", "") };
                write!(to, " {on}{level:>5}{off} ")?;
            }
        }
        write!(to, "{}: ", event.metadata().target())?;
        for span in spans_of(ctx) {
            write!(to, "{}: ", Escaped(&span))?;
        }
        let mut text = PlainText::default();
        event.record(&mut text);
        writeln!(to, "{}{}", Escaped(&text.message), Escaped(&text.fields))
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut object = JsonObject::default();
        event.record(&mut object);
        let line = serde_json::json!({
            "timestamp": time,
            "level": event.metadata().level().as_str().to_ascii_lowercase(),
            "target": event.metadata().target(),
            "message": object.message,
            "fields": object.fields,
            "spans": spans_of(ctx),
        });
        // What JSON itself leaves raw (DEL, C1, U+2028) stands inside strings only, where \u is the same.
        for c in line.to_string().chars() {
            if needs_escape(c) { write!(to, "\\u{:04x}", u32::from(c))? } else { to.write_char(c)? }
        }
        to.write_char('\n')
    }
}

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut to: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = PlainText::default();
        fields.record(&mut text);
        to.write_str(text.fields.trim_start())
    }
}

/// The spans around an event, outermost first, as `name{fields}`.
fn spans_of<S, N>(ctx: &FmtContext<'_, S, N>) -> Vec<String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    let Some(scope) = ctx.event_scope() else { return Vec::new() };
    let text = |extensions: &tracing_subscriber::registry::Extensions<'_>| match extensions
        .get::<FormattedFields<N>>()
    {
        Some(fields) if !fields.is_empty() => format!("{{{fields}}}"),
        _ => String::new(),
    };
    scope.from_root().map(|span| format!("{}{}", span.name(), text(&span.extensions()))).collect()
}

/// syslog(3) numbers.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn colour_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

/// An event's fields in the manner of logfmt.
#[derive(Default)]
struct PlainText {
    message: String,
    fields: String,
}

impl PlainText {
    fn put(&mut self, field: &Field, value: &dyn Display) {
        let value = capped(value);
        if field.name() == "message" {
            self.message = value;
            return;
        }
        let plain = !value.is_empty() && !value.contains(|c: char| needs_quotes(c));
        // Writing to a String cannot fail.
        let _ = match plain {
            true => write!(self.fields, " {}={value}", field.name()),
            false => write!(self.fields, " {}={}", field.name(), Quoted(&value)),
        };
    }
}

impl Visit for PlainText {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, &format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, &value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, &Chain(value));
    }
}

/// An event's fields with their types.
#[derive(Default)]
struct JsonObject {
    message: String,
    fields: Map<String, Value>,
}

impl JsonObject {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.fields.insert(name.into(), value);
            }
        }
    }
}

impl Visit for JsonObject {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, capped(&format_args!("{value:?}")).into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, capped(&value).into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, capped(&Chain(value)).into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// An error with its causes.
struct Chain<'a>(&'a (dyn Error + 'static));

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The first [`VALUE_CHARS_MAX`] characters of a value; what lies behind them is not even formatted.
fn capped(value: &dyn Display) -> String {
    let mut capped = Capped { text: String::new(), room: VALUE_CHARS_MAX };
    if write!(capped, "{value}").is_err() {
        capped.text.push('…');
    }
    capped.text
}

struct Capped {
    text: String,
    room: usize,
}

impl Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.room = self.room.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}

fn needs_quotes(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\\' | '=' | '{' | '}') || needs_escape(c)
}

/// Control characters, line and paragraph separators, and marks that turn the direction of text.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// In double quotes, with quotes and backslashes of its own marked.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

/// `\n`, `\r`, `\t`, and `\u{..}` for the rest of [`needs_escape`].
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if needs_escape(c) { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}
