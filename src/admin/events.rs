//! `turnstone events`: what happens, while it happens.

use super::client::{Client, Failure, with_query};
use super::field;
use super::text::say;
use crate::base::Exit;
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use std::io;

/// The longest line of a stream; a longer one is not ours.
const LINE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on until it is interrupted. There is no other way: nothing that happened before is kept.
    #[arg(long, short)]
    follow: bool,
    /// Only these kinds, separated by commas, such as `session.ended,call.ended`.
    #[arg(long, value_name = "KINDS")]
    types: Option<String>,
    /// Print a JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Carries the verb out.
pub(super) fn events(client: &Client, args: &EventsArgs) -> Result<Exit, Failure> {
    if !args.follow {
        return Ok(super::misuse("events are shown as they happen: add --follow, and end it with Ctrl-C"));
    }
    let path = with_query("/v1/events", &[("types", args.types.as_deref())]);
    let mut reader = Reader::default();
    let ended = client.stream(&path, &mut |chunk| {
        reader.take(chunk, &mut |kind, data| say(&line(kind, data, args.json)))?;
        // A chunk may be a sign of life only; it is the time to see that nobody reads.
        if is_unread() { Err(Failure::Unsaid(io::ErrorKind::BrokenPipe.into())) } else { Ok(()) }
    });
    match ended {
        // There is no other way to have seen enough.
        Err(Failure::Interrupted) => Ok(Exit::Ok),
        ended => ended.and(Err(Failure::Broken("the daemon ended the stream".into()))),
    }
}

/// Whether standard output is a pipe whose reader has gone.
fn is_unread() -> bool {
    let out = io::stdout();
    let mut asked = [PollFd::new(&out, PollFlags::empty())];
    poll(&mut asked, Some(&Timespec::default())).is_ok() && asked[0].revents().contains(PollFlags::ERR)
}

fn line(kind: &str, data: &Value, json: bool) -> String {
    if json {
        let mut data = data.clone();
        data["event"] = kind.into();
        return format!("{data}\n");
    }
    let about = match (data.get("session"), data.get("call")) {
        (Some(session), _) => {
            format!(
                "{} of {} from {}",
                field(session, "id"),
                field(session, "subject"),
                field(session, "client")
            )
        }
        (_, Some(call)) => format!("{} of {}", field(call, "id"), field(&call["caller"], "user")),
        _ => {
            let mut rest = data.clone();
            if let Some(object) = rest.as_object_mut() {
                object.remove("at");
            }
            super::text::safe(&rest.to_string())
        }
    };
    let reason = match field(data, "reason") {
        reason if reason.is_empty() => field(&data["call"], "reason"),
        reason => reason,
    };
    let line = format!("{}  {}  {about}  {reason}", field(data, "at"), super::text::safe(kind));
    format!("{}\n", line.trim_end())
}

/// Puts the events of a `text/event-stream` together, however it is cut.
#[derive(Debug, Default)]
struct Reader {
    line: Vec<u8>,
    kind: String,
}

impl Reader {
    fn take(
        &mut self,
        chunk: &[u8],
        each: &mut dyn FnMut(&str, &Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for byte in chunk {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.on_line(&String::from_utf8_lossy(&line), each)?;
                }
                byte if self.line.len() < LINE_BYTES_MAX => self.line.push(*byte),
                _ => {}
            }
        }
        Ok(())
    }

    fn on_line(
        &mut self,
        line: &str,
        each: &mut dyn FnMut(&str, &Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Some(kind) = line.strip_prefix("event: ") {
            kind.clone_into(&mut self.kind);
        } else if let Some(data) = line.strip_prefix("data: ")
            && let Ok(data) = serde_json::from_str(data)
        {
            each(&self.kind, &data)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_whole_however_the_stream_is_cut() {
        let stream = b":\n\nevent: drain\ndata: {\"at\":\"t\",\"draining\":true}\n\nevent: lagged\ndata: {\"missed\":3}\n\n";
        for size in 1..stream.len() {
            let (mut reader, mut seen) = (Reader::default(), Vec::new());
            for chunk in stream.chunks(size) {
                let mut each = |kind: &str, data: &Value| {
                    seen.push(line(kind, data, false));
                    Ok(())
                };
                reader.take(chunk, &mut each).expect("nothing fails");
            }
            assert_eq!(seen, ["t  drain  {\"draining\":true}\n", "  lagged  {\"missed\":3}\n"]);
        }
    }

    #[test]
    fn a_subject_cannot_move_the_cursor() {
        let session = json!({ "id": "0-1-1", "subject": "a\u{1b}[2J\n", "client": "192.0.2.1:5" });
        let data = json!({ "at": "t", "session": session, "reason": "expired" });
        let text = line("session.ended", &data, false);
        assert_eq!(text, "t  session.ended  0-1-1 of a\\u{1b}[2J\\n from 192.0.2.1:5  expired\n");
        assert_eq!(line("x", &data, true).lines().count(), 1);
    }
}
