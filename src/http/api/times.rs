//! Ranges of time in queries.

use super::Fields;
use crate::base::UnixTime;
use crate::http::problem::Problem;
use std::time::{Duration, SystemTime};

/// The last second that RFC 3339 can write.
const LAST: u64 = 253_402_300_799;

/// The longest time that `since` may look back: a hundred years.
const SINCE_MAX: Duration = Duration::from_secs(36_500 * 86_400);

/// What `from`, `to` and `since` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: UnixTime,
    /// The first second behind it.
    pub(super) to: UnixTime,
}

/// Takes `from`, `to` and `since`. Without an end the range goes up to `now`, without a beginning it begins `since`
/// before that.
pub(super) fn range(fields: &mut Fields, now: UnixTime, since: Duration) -> Result<Range, Problem> {
    let (from, to) = (time(fields, "from")?, time(fields, "to")?);
    let given = span(fields, "since")?;
    if from.is_some() && given.is_some() {
        return Err(Problem::field("since", "give `from` or `since`, not both"));
    }
    let to = to.unwrap_or(UnixTime(now.0 + 1));
    let since = given.unwrap_or(since).as_secs();
    let from = from.unwrap_or(UnixTime(to.0.saturating_sub(since)));
    if from >= to {
        return Err(Problem::field("from", "`from` must be before `to`, which is now unless it is given"));
    }
    Ok(Range { from, to })
}

/// A time: RFC 3339, a date (its first second in UTC), or whole seconds since 1970.
fn time(fields: &mut Fields, name: &'static str) -> Result<Option<UnixTime>, Problem> {
    let Some(text) = fields.text(name, 0..=64)? else { return Ok(None) };
    let of_date = || humantime::parse_rfc3339(&format!("{text}T00:00:00Z"));
    let unix =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs());
    let time = match text.parse::<u64>() {
        Ok(seconds) => Some(seconds),
        Err(_) => humantime::parse_rfc3339(&text).or_else(|_| of_date()).ok().and_then(unix),
    };
    match time.filter(|seconds| *seconds <= LAST) {
        Some(seconds) => Ok(Some(UnixTime(seconds))),
        None => Err(Problem::field(
            name,
            format!(
                "`{name}` must be a time in UTC from 1970 to 9999: \"2026-11-21T01:00:00Z\", \"2026-11-21\" \
                 or seconds since 1970"
            ),
        )),
    }
}

/// A length of time with a unit.
fn span(fields: &mut Fields, name: &'static str) -> Result<Option<Duration>, Problem> {
    let Some(text) = fields.text(name, 0..=64)? else { return Ok(None) };
    let span = humantime::parse_duration(&text).ok();
    match span.filter(|span| (Duration::from_secs(1)..=SINCE_MAX).contains(span)) {
        Some(span) => Ok(Some(span)),
        None => {
            let message =
                format!("`{name}` must be a time with a unit from \"1s\" to \"36500d\", such as \"30d\"");
            Err(Problem::field(name, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_795_222_800);

    fn read(query: &str) -> Result<Range, Problem> {
        range(&mut Fields::query(query.as_bytes()).expect("a query"), NOW, Duration::from_secs(60))
    }

    #[test]
    fn times_come_in_three_forms_and_ranges_have_defaults() {
        let range = |from, to| Range { from: UnixTime(from), to: UnixTime(to) };
        assert_eq!(read("").expect("good"), range(NOW.0 - 59, NOW.0 + 1));
        let full = read("from=2026-11-21T01:00:00Z&to=2026-11-22").expect("good");
        assert_eq!(full, range(NOW.0, NOW.0 + 23 * 3600));
        assert_eq!(read("since=30d&to=1795222800").expect("good"), range(NOW.0 - 30 * 86_400, NOW.0));
        assert_eq!(read("since=36500d").expect("good").from, UnixTime(0));
    }

    #[test]
    fn bad_ranges_name_the_field() {
        for (query, field) in [
            ("from=yesterday", "from"),
            ("from=-1", "from"),
            ("from=1969-12-31T23:59:59Z", "from"),
            ("to=2026-13-01", "to"),
            ("to=", "to"),
            ("to=99999999999999999999", "to"),
            ("to=253402300800", "to"),
            ("since=30", "since"),
            ("since=0s", "since"),
            ("since=40000d", "since"),
            ("since=1d&from=0", "since"),
            ("from=2027-01-01", "from"),
            ("from=2026-01-01&to=2026-01-01", "from"),
        ] {
            let problem = read(query).expect_err(query);
            assert_eq!(problem.named_field(), Some(field), "{query}");
        }
    }
}
