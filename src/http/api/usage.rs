//! `GET /v1/usage`: who relayed how much, with the minute that is open.

use super::clock::{now, rfc3339};
use super::times::{Range, range};
use super::{Caller, Fields, Shared, answer};
use crate::auth::Scope;
use crate::base::{Traffic, UnixTime};
use crate::http::problem::Problem;
use crate::storage::records::{DayPage, GapRow, HourPage, MinutePage, usage_range};
use crate::storage::{Record, Store, StoreError};
use crate::usage::{By, Gap, Line, Page, PageKey, Period, Report, TooManyLines, spans};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long minutes are kept.
pub const MINUTES_KEPT: Duration = Duration::from_secs(48 * 3600);

/// How long hours are kept. Days are kept as `usage.retention` says.
pub const HOURS_KEPT: Duration = Duration::from_secs(60 * 86_400);

/// Lines of one answer.
const LINES_MAX: usize = 50_000;

/// Lines that are added up for the largest of them: some 20 MB.
const ADDED_UP_MAX: usize = 200_000;

/// Pages that are read in one go, so that writers do not wait for long.
const PAGES_AT_ONCE: usize = 128;

/// Gaps that are looked at: the latest.
const GAPS_MAX: usize = 1000;

/// What is asked for when no range is given.
const SINCE: Duration = Duration::from_secs(86_400);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/usage", get(usage))
}

/// A query whose fields are good.
struct Asked {
    range: Range,
    by: By,
    /// A line for each of these; `None` for one over the whole range.
    period: Option<Period>,
    /// The shortest periods that are added up.
    finest: Period,
    /// Lines of an answer over the whole range.
    limit: usize,
    csv: bool,
}

async fn usage(State(services): State<Shared>, caller: Caller, fields: Fields) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let asked = Asked::read(fields, now())?;
    // In this order: what is written meanwhile is met twice, as pages of one name, and nothing is missed.
    let (live, lost) = {
        let books = services.desk.books();
        (books.live(), books.lost())
    };
    let report = asked.add_up(&services.store, live).await?;
    let gaps = services.store.page::<GapRow>(GapRow::latest(GAPS_MAX)).await?;
    let mut gaps: Vec<_> = gaps.into_iter().map(|GapRow(gap)| gap).collect();
    gaps.extend(lost.filter(|lost| !gaps.contains(lost)));
    let Range { from, to } = asked.range;
    gaps.retain(|gap| gap.touches(from, to));
    let (total, mut lines) = (report.total(), report.lines());
    let more = lines.len().saturating_sub(asked.limit);
    lines.truncate(asked.limit);
    let told = Told { total, lines, more, gaps, asked };
    Ok(if told.asked.csv { told.csv() } else { answer::json(StatusCode::OK, &told.json()) })
}

impl Asked {
    fn read(mut fields: Fields, now: UnixTime) -> Result<Self, Problem> {
        let range = range(&mut fields, now, SINCE)?;
        let by = word(&mut fields, "by", &By::ALL.map(|by| (by.name(), by)))?.unwrap_or(By::Subject);
        let [minute, hour, day] = Period::ALL.map(|period| (period.name(), Some(period)));
        let period = word(&mut fields, "period", &[("total", None), minute, hour, day])?.flatten();
        let csv = word(&mut fields, "format", &[("json", false), ("csv", true)])?.unwrap_or(false);
        let limit = fields.whole("limit", 1..=LINES_MAX as u64, " rows")?;
        fields.done()?;
        if limit.is_some() && period.is_some() {
            return Err(Problem::field("limit", "`limit` is for a whole range: leave `period` away"));
        }
        let limit = limit.map_or(LINES_MAX, |limit| limit as usize);
        let is_kept = |period: &Period| {
            let kept = match period {
                Period::Minute => MINUTES_KEPT,
                Period::Hour => HOURS_KEPT,
                Period::Day => Duration::MAX,
            };
            now.secs_since(range.from) <= kept.as_secs()
        };
        if let Some(period) = period.filter(|period| !is_kept(period)) {
            let (name, hours) = (period.name(), MINUTES_KEPT.as_secs() / 3600);
            let days = HOURS_KEPT.as_secs() / 86_400;
            let message = format!(
                "a {name} is not kept for so long: minutes are for {hours} hours, hours for {days} days; \
                 take a later `from` or a longer `period`"
            );
            return Err(Problem::field("period", message));
        }
        let finest =
            period.or_else(|| Period::ALL.into_iter().find(|period| is_kept(period))).unwrap_or(Period::Day);
        let range = Range { from: finest.start(range.from), to: finest.ceil(range.to) };
        Ok(Self { range, by, period, finest, limit, csv })
    }

    /// `live`: what may not be on the disk yet.
    async fn add_up(&self, store: &Store, mut live: BTreeMap<PageKey, Page>) -> Result<Report, Problem> {
        let too_many = |_: TooManyLines| self.too_many();
        let mut report = Report::new(self.by, self.period, self.added_up_max());
        let Range { from, to } = self.range;
        let spans = match self.period {
            Some(period) => vec![crate::usage::Span { period, from, to }],
            None => spans(self.finest, from, to),
        };
        for span in spans {
            let mut after = None;
            loop {
                let pages = read(store, span.period, span.from, span.to, after).await?;
                for page in &pages {
                    let newer = live.remove(&page.key).filter(|live| live.is_beyond(page));
                    report.add(newer.as_ref().unwrap_or(page)).map_err(too_many)?;
                }
                after = pages.last().map(|page| page.key);
                if pages.is_empty() {
                    break;
                }
            }
            let is_in =
                |key: &PageKey| key.period == span.period && span.from <= key.start && key.start < span.to;
            for (_, page) in live.iter().filter(|(key, _)| is_in(key)) {
                report.add(page).map_err(too_many)?;
            }
        }
        Ok(report)
    }

    /// Rows that are added up, of which the largest are told.
    fn added_up_max(&self) -> usize {
        if self.limit < LINES_MAX { ADDED_UP_MAX } else { LINES_MAX }
    }

    fn too_many(&self) -> Problem {
        let rows = self.added_up_max();
        match self.limit < LINES_MAX {
            true => Problem::field("from", format!("there are more than {rows} rows: take a shorter range")),
            false => Problem::field(
                "period",
                format!(
                    "the answer would have more than {rows} rows: take a shorter range or a longer `period`"
                ),
            ),
        }
    }
}

/// The next pages of a range. A short answer says nothing of the end: damaged pages are left out of it.
async fn read(
    store: &Store,
    period: Period,
    from: UnixTime,
    to: UnixTime,
    after: Option<PageKey>,
) -> Result<Vec<Page>, StoreError> {
    async fn of<R: Record + Into<Page>>(
        store: &Store,
        range: crate::storage::Page,
    ) -> Result<Vec<Page>, StoreError> {
        Ok(store.page::<R>(range).await?.into_iter().map(Into::into).collect())
    }
    let range = usage_range(period, from, to, after, PAGES_AT_ONCE);
    match period {
        Period::Minute => of::<MinutePage>(store, range).await,
        Period::Hour => of::<HourPage>(store, range).await,
        Period::Day => of::<DayPage>(store, range).await,
    }
}

/// One of some words.
pub(super) fn word<T: Copy>(
    fields: &mut Fields,
    name: &str,
    all: &[(&str, T)],
) -> Result<Option<T>, Problem> {
    let Some(given) = fields.text(name, 0..=32)? else { return Ok(None) };
    let found = all.iter().find(|(word, _)| *word == given).map(|(_, value)| Some(*value));
    found.ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|(word, _)| *word).collect();
        Problem::field(name.to_owned(), format!("`{name}` must be one of: {}", words.join(", ")))
    })
}

/// What is answered.
struct Told {
    asked: Asked,
    lines: Vec<Line>,
    /// Lines behind those.
    more: usize,
    total: Traffic,
    gaps: Vec<Gap>,
}

impl Told {
    /// Whether something of this line's time may be missing.
    fn is_partial(&self, line: &Line) -> bool {
        let Range { from, to } = self.asked.range;
        let (from, to) = match (line.start, self.asked.period) {
            (Some(start), Some(period)) => (start, UnixTime(start.0 + period.seconds())),
            _ => (from, to),
        };
        self.gaps.iter().any(|gap| gap.touches(from, to))
    }

    fn json(&self) -> Value {
        let Range { from, to } = self.asked.range;
        let gap = |gap: &Gap| json!({ "from": rfc3339(gap.from), "to": rfc3339(gap.to) });
        json!({
            "from": rfc3339(from),
            "to": rfc3339(to),
            "by": self.asked.by.name(),
            "period": self.asked.period.map_or("total", Period::name),
            "partial": !self.gaps.is_empty(),
            "gaps": self.gaps.iter().map(gap).collect::<Vec<_>>(),
            "total": figures(&self.total),
            "more": self.more,
            "usage": self.lines.iter().map(|line| self.line(line)).collect::<Vec<_>>(),
        })
    }

    fn line(&self, line: &Line) -> Value {
        let mut told = figures(&line.traffic);
        told[self.asked.by.name()] = json!(line.name);
        told["overflow"] = json!(line.overflow);
        told["partial"] = json!(self.is_partial(line));
        if let Some(start) = line.start {
            told["start"] = json!(rfc3339(start));
        }
        told
    }

    /// RFC 4180: a line for each, with a head.
    fn csv(&self) -> Response {
        let name = self.asked.by.name();
        let mut text = format!(
            "start,{name},bytes_from_client,bytes_from_peer,packets_from_client,packets_from_peer,overflow,partial\r\n"
        );
        for line in &self.lines {
            let start = rfc3339(line.start.unwrap_or(self.asked.range.from));
            let (name, traffic) = (quoted(line.name.as_deref().unwrap_or_default()), line.traffic);
            text += &format!(
                "{start},{name},{},{},{},{},{},{}\r\n",
                traffic.bytes_from_client,
                traffic.bytes_from_peer,
                traffic.packets_from_client,
                traffic.packets_from_peer,
                line.overflow,
                self.is_partial(line),
            );
        }
        ([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], text).into_response()
    }
}

/// The figures of traffic, in their own names.
pub(super) fn figures(traffic: &Traffic) -> Value {
    json!({
        "bytes_from_client": traffic.bytes_from_client,
        "bytes_from_peer": traffic.bytes_from_peer,
        "packets_from_client": traffic.packets_from_client,
        "packets_from_peer": traffic.packets_from_peer,
    })
}

/// A field in quotes where it needs them. A name that a spreadsheet would take for a formula is text there with a `'` in
/// front, for names come from apps.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    let needs_quotes = text.contains([',', '"', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ');
    match needs_quotes {
        true => format!("\"{guard}{}\"", text.replace('"', "\"\"")),
        false => format!("{guard}{text}"),
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
