//! The daemon's log: one event, one line on stderr, whatever a remote party puts into a value.
//!
//! A thread that logs never waits for whoever reads stderr (payload never waits for the
//! log): lines go through a bounded queue to a thread of their own, and a full queue drops and
//! counts them.

mod format;
mod limit;
mod queue;

pub use limit::RateLimited;
pub use queue::LogGuard;

use crate::config;
use format::{Fields, Json, Plain};
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

/// Checked settings of the log (`[log]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// Least severe level that is written; other crates are held to warnings.
    pub level: LevelFilter,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: LevelFilter::INFO }
    }
}

impl From<&config::Log> for LogSettings {
    fn from(log: &config::Log) -> Self {
        let format = match log.format {
            config::LogFormat::Auto => LogFormat::Auto,
            config::LogFormat::Text => LogFormat::Text,
            config::LogFormat::Json => LogFormat::Json,
        };
        let level = match log.level {
            config::LogLevel::Error => LevelFilter::ERROR,
            config::LogLevel::Warn => LevelFilter::WARN,
            config::LogLevel::Info => LevelFilter::INFO,
            config::LogLevel::Debug => LevelFilter::DEBUG,
            config::LogLevel::Trace => LevelFilter::TRACE,
        };
        Self { format, level }
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Journald when stderr is the journal, text otherwise.
    #[default]
    Auto,
    /// For people: time, level, target, message, fields; coloured on a terminal without `NO_COLOR`.
    Text,
    /// One JSON object a line.
    Json,
    /// `<N>` priority prefix (sd-daemon(3)) and no time, since journald keeps its own.
    Journald,
}

/// Makes this process log to stderr; call once, and keep what it returns until the end: dropping it
/// writes out what is queued.
///
/// # Errors
/// When this process logs already.
pub fn init(settings: &LogSettings) -> Result<LogGuard, SetGlobalDefaultError> {
    let style = Style::choose(settings.format, &Surroundings::look());
    let (lines, guard) = queue::start(io::stderr());
    tracing::subscriber::set_global_default(subscriber(style, settings.level, lines))?;
    Ok(guard)
}

/// What a line looks like, decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Text { colour: bool },
    Json,
    Journald,
}

/// What `Auto` and colours depend on.
#[derive(Clone, Debug, Default)]
struct Surroundings {
    journal_stream: Option<String>,
    /// Device and inode of stderr.
    stderr: Option<(u64, u64)>,
    terminal: bool,
    no_color: bool,
}

impl Surroundings {
    fn look() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            journal_stream: std::env::var("JOURNAL_STREAM").ok(),
            stderr: std::fs::metadata("/proc/self/fd/2").ok().map(|meta| (meta.dev(), meta.ino())),
            terminal: io::stderr().is_terminal(),
            no_color,
        }
    }

    /// systemd.exec(5): the variable is inherited by children whose stderr goes elsewhere, so it
    /// counts only when it names the stream that stderr is.
    fn is_journal(&self) -> bool {
        let named = self.journal_stream.as_deref().and_then(|text| text.split_once(':'));
        let parsed = named.and_then(|(dev, ino)| Some((dev.parse().ok()?, ino.parse().ok()?)));
        parsed.is_some() && parsed == self.stderr
    }
}

impl Style {
    fn choose(format: LogFormat, around: &Surroundings) -> Self {
        match format {
            LogFormat::Journald => Self::Journald,
            LogFormat::Json => Self::Json,
            LogFormat::Auto if around.is_journal() => Self::Journald,
            LogFormat::Auto | LogFormat::Text => Self::Text { colour: around.terminal && !around.no_color },
        }
    }
}

fn subscriber<W>(style: Style, level: LevelFilter, lines: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().fmt_fields(Fields).with_writer(lines).with_ansi(false);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match style {
        Style::Text { colour } => Box::new(layer.event_format(Plain::Text { colour })),
        Style::Journald => Box::new(layer.event_format(Plain::Journald)),
        Style::Json => Box::new(layer.event_format(Json)),
    };
    let others = level.min(LevelFilter::WARN);
    let filter = Targets::new().with_default(others).with_target(env!("CARGO_PKG_NAME"), level);
    Registry::default().with(layer.with_filter(filter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A writer that tests can read.
    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("free").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(style: Style, level: LevelFilter, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        tracing::subscriber::with_default(subscriber(style, level, move || writer.clone()), log);
        let bytes = buffer.0.lock().expect("free").clone();
        String::from_utf8(bytes).expect("text")
    }

    const STYLES: [Style; 4] =
        [Style::Text { colour: false }, Style::Text { colour: true }, Style::Json, Style::Journald];

    /// Line ends of every kind, terminal sequences in 7 and 8 bits, text that turns direction.
    const HOSTILE: &str =
        "eve\n<0>forged\r\n\u{b}\u{c}\u{85}\u{2028}\u{2029}\u{1b}[2J\u{9b}31m\u{7f}\0\u{202e}\" a=b \\";

    #[test]
    fn a_hostile_value_never_makes_a_second_line_nor_reaches_a_terminal_raw() {
        for style in STYLES {
            let text = logged(style, LevelFilter::INFO, || {
                let _span = tracing::info_span!("session", user = HOSTILE, debug = ?HOSTILE).entered();
                tracing::warn!(user = HOSTILE, shown = %HOSTILE, debug = ?HOSTILE, "hello {HOSTILE}");
            });
            let line = text.strip_suffix('\n').expect("ends its line");
            let ours = line.replace("\u{1b}[33m", "").replace("\u{1b}[2m", "").replace("\u{1b}[0m", "");
            let bad = |c: &char| c.is_control() || ['\u{2028}', '\u{2029}', '\u{202e}'].contains(c);
            assert_eq!(ours.chars().find(bad), None, "{style:?}: {line:?}");
            assert!(ours.contains("forged"), "{style:?} shows the value: {line}");
        }
    }

    #[test]
    fn a_value_cannot_pretend_to_be_another_field() {
        let text = logged(Style::Journald, LevelFilter::INFO, || {
            tracing::info!(user = "eve level=admin \"", port = 3478, idle = true, "hello");
        });
        let target = module_path!();
        let wanted = format!("<6>{target}: hello user=\"eve level=admin \\\"\" port=3478 idle=true\n");
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_value_of_any_length_gives_a_line_that_journald_does_not_split() {
        let huge = "x".repeat(200_000);
        for style in STYLES {
            let text = logged(style, LevelFilter::INFO, || tracing::info!(user = huge, "{huge}"));
            assert!(text.len() < 48 * 1024, "{style:?}: {} bytes", text.len());
            assert_eq!(text.lines().count(), 1);
        }
    }

    #[test]
    fn journald_gets_the_priority_of_each_level_and_no_time() {
        let text = logged(Style::Journald, LevelFilter::TRACE, || {
            tracing::error!("a");
            tracing::warn!("b");
            tracing::info!("c");
            tracing::debug!("d");
            tracing::trace!("e");
        });
        let prefixes: Vec<_> = text.lines().map(|line| &line[..3]).collect();
        assert_eq!(prefixes, ["<3>", "<4>", "<6>", "<7>", "<7>"]);
        assert!(text.starts_with(&format!("<3>{}: a\n", module_path!())), "{text}");
    }

    #[test]
    fn text_carries_time_level_and_spans_and_colours_only_when_told() {
        let log = || {
            let _span = tracing::info_span!("reload", file = "a.toml").entered();
            tracing::info!(listeners = 2, "ready");
        };
        let plain = logged(Style::Text { colour: false }, LevelFilter::INFO, log);
        let (time, rest) = plain.split_once(' ').expect("a time");
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        assert_eq!(rest, format!(" INFO {}: reload{{file=a.toml}}: ready listeners=2\n", module_path!()));
        let coloured = logged(Style::Text { colour: true }, LevelFilter::INFO, log);
        assert!(coloured.contains("\u{1b}[32m INFO\u{1b}[0m"), "{coloured:?}");
    }

    #[test]
    fn json_is_one_object_a_line_with_typed_fields() {
        let text = logged(Style::Json, LevelFilter::INFO, || {
            let _span = tracing::info_span!("reload", file = "a.toml").entered();
            tracing::info!(listeners = 2, delta = -1, ratio = 0.5, ok = true, user = HOSTILE, "ready");
        });
        let value: serde_json::Value = serde_json::from_str(text.trim_end()).expect("JSON");
        assert_eq!(value["level"], "info");
        assert_eq!(value["message"], "ready");
        assert_eq!(value["target"], module_path!());
        assert_eq!(value["spans"][0], "reload{file=a.toml}");
        let fields = &value["fields"];
        assert_eq!((&fields["listeners"], &fields["delta"]), (&2.into(), &(-1).into()));
        assert_eq!((&fields["ratio"], &fields["ok"]), (&0.5.into(), &true.into()));
        assert_eq!(fields["user"], HOSTILE, "escaped in the text, whole once parsed");
        assert!(value["timestamp"].as_str().expect("text").ends_with('Z'));
    }

    #[test]
    fn the_level_holds_for_us_and_other_crates_are_held_to_warnings() {
        let text = logged(Style::Journald, LevelFilter::DEBUG, || {
            tracing::debug!("ours");
            tracing::trace!("too fine");
            tracing::info!(target: "hyper", "foreign");
            tracing::warn!(target: "hyper", "grave");
        });
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("ours") && text.contains("grave"), "{text}");
        let text = logged(Style::Journald, LevelFilter::ERROR, || tracing::warn!(target: "hyper", "x"));
        assert_eq!(text, "");
    }

    #[test]
    fn auto_means_journald_only_when_stderr_is_the_journal_that_the_variable_names() {
        let mut around = Surroundings { stderr: Some((8, 99)), ..Surroundings::default() };
        let auto = |around: &Surroundings| Style::choose(LogFormat::Auto, around);
        assert_eq!(auto(&around), Style::Text { colour: false });
        for (stream, style) in [
            ("8:99", Style::Journald),
            ("8:98", Style::Text { colour: false }),
            ("nonsense", Style::Text { colour: false }),
        ] {
            around.journal_stream = Some(stream.into());
            assert_eq!(auto(&around), style, "{stream}");
        }
        around.terminal = true;
        assert_eq!(auto(&around), Style::Text { colour: true });
        around.no_color = true;
        assert_eq!(auto(&around), Style::Text { colour: false });
        assert_eq!(Style::choose(LogFormat::Json, &around), Style::Json);
        assert_eq!(Style::choose(LogFormat::Journald, &around), Style::Journald);
    }
}
