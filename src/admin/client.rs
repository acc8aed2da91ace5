//! The way from a verb to the daemon: HTTP/1.1 over the admin socket.

use super::text::safe;
use crate::base::Exit;
use crate::config;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// How long the head of an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The most that is kept of an answer which is not streamed.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Asks one daemon.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

/// Why a verb got no answer that it can use.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody is there, or we may not speak to who is.
    Unreachable(String),
    /// The daemon refused: its problem document (RFC 9457).
    Refused(Value),
    /// The answer cannot be used, or what it was for cannot be done.
    Broken(String),
    /// A signal came first.
    Interrupted,
    /// What came of it cannot be written to standard output.
    Unsaid(io::Error),
}

impl Client {
    /// For the daemon whose config is at `path`. Says itself what is wrong.
    pub(super) fn of(path: &Path) -> Result<Self, Exit> {
        let socket = config::admin_socket(path, config::environment()).map_err(|errors| {
            eprint!("{}", errors.render(io::stderr().is_terminal()));
            Exit::Usage
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| super::fail(&format!("cannot start: {error}")))?;
        Ok(Self { socket, runtime })
    }

    /// What comes of it.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Lets time go by.
    pub(super) fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// The JSON at `path`.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None)
    }

    /// Sends JSON to `path`.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(body))
    }

    /// Deletes what is at `path`.
    pub(super) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::DELETE, path, None)
    }

    /// The answer as text, whatever it is.
    pub(super) fn text(&self, path: &str) -> Result<String, Failure> {
        let mut text = Vec::new();
        self.stream(path, &mut |chunk| {
            text.extend_from_slice(chunk);
            Ok(())
        })?;
        String::from_utf8(text).map_err(|_| Failure::Broken("the answer is no text".into()))
    }

    /// Hands out what is at `path` as it comes, until it ends, `each` fails, or a signal would end the process: whoever
    /// called has something to put away first.
    pub(super) fn stream(
        &self,
        path: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let watched = |error: io::Error| Failure::Broken(format!("cannot watch signals: {error}"));
            let mut interrupt = signal(SignalKind::interrupt()).map_err(watched)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(watched)?;
            tokio::select! {
                // A stream that always has more must not keep them from being heard.
                biased;
                _ = interrupt.recv() => Err(Failure::Interrupted),
                _ = terminate.recv() => Err(Failure::Interrupted),
                ended = self.receive(path, each) => ended,
            }
        })
    }

    async fn receive(
        &self,
        path: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut response = self.begin(Method::GET, path, None).await?;
        if !response.status().is_success() {
            return Err(refused(whole(response).await?));
        }
        while let Some(frame) = response.frame().await {
            let frame = frame.map_err(cut_off)?;
            if let Some(chunk) = frame.data_ref() {
                each(chunk)?;
            }
        }
        Ok(())
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.runtime.block_on(async {
            let response = self.begin(method, path, body).await?;
            let is_success = response.status().is_success();
            let answer = whole(response).await?;
            if is_success { Ok(answer) } else { Err(refused(answer)) }
        })
    }

    async fn begin(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(cut_off)?;
        // Its errors come by the answer too.
        tokio::spawn(async {
            let _said_by_the_answer = connection.await;
        });
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::Broken(error.to_string()))?;
        match timeout(ANSWER_MAX, sender.send_request(request)).await {
            Ok(response) => response.map_err(cut_off),
            Err(_) => {
                Err(Failure::Broken(format!("the daemon did not answer in {} s", ANSWER_MAX.as_secs())))
            }
        }
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let help = match error.kind() {
            io::ErrorKind::NotFound => "is it running, and is `admin.socket` of this config its socket?",
            io::ErrorKind::ConnectionRefused => "it has ended; its socket is what it left behind",
            io::ErrorKind::PermissionDenied => {
                "ask as root, as its user or as a member of the socket's group"
            }
            _ => "see the error of the system",
        };
        let socket = safe(&self.socket.display().to_string());
        Failure::Unreachable(format!("the daemon cannot be reached at {socket}: {error}; {help}"))
    }
}

fn cut_off(error: hyper::Error) -> Failure {
    Failure::Broken(format!("the daemon broke the connection off: {error}"))
}

/// The JSON of an answer; null for none.
async fn whole(response: Response<Incoming>) -> Result<Value, Failure> {
    let body = http_body_util::Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Failure::Broken(format!("the answer did not come whole: {error}")))?;
    let bytes = body.to_bytes();
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|error| Failure::Broken(format!("the answer is no JSON: {error}")))
}

fn refused(answer: Value) -> Failure {
    Failure::Refused(answer)
}

impl Failure {
    /// Says it in one line on standard error, and what is wrong with a config below. Returns how the process ends.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Unreachable(why) => {
                eprintln!("turnstone: {why}");
                Exit::Unreachable
            }
            Self::Broken(why) => super::fail(&safe(why)),
            Self::Interrupted => super::fail("interrupted"),
            // Who reads has seen enough; a program that knows nothing of this would be ended by SIGPIPE, without a word.
            Self::Unsaid(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Self::Unsaid(error) => super::fail(&format!("standard output: {error}")),
            Self::Refused(problem) => super::fail(&sentence(problem)),
        }
    }
}

/// A problem document as people read it: message, field, hint.
pub(super) fn sentence(problem: &Value) -> String {
    let text = |key: &str| problem.get(key).and_then(Value::as_str).map(safe).unwrap_or_default();
    let (message, field, hint) = (text("message"), text("field"), text("hint"));
    let mut sentence = match (field.is_empty(), message.is_empty()) {
        (_, true) => "the daemon refused and did not say why".to_owned(),
        (true, _) => message,
        (false, _) => format!("{field}: {message}"),
    };
    if !hint.is_empty() {
        _ = write!(sentence, "; {hint}");
    }
    if problem.get("applied") == Some(&Value::Bool(true)) {
        sentence += "; it holds until the daemon ends";
    }
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| error.get(key).and_then(Value::as_str).map(safe).unwrap_or_default();
        _ = write!(sentence, "\n  {}: {} {}", text("at"), text("message"), text("help"));
    }
    sentence
}

/// A path with a query: pairs whose value is there.
pub(super) fn with_query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    let mut text = path.to_owned();
    for (n, (name, value)) in given.enumerate() {
        let mark = if n == 0 { '?' } else { '&' };
        _ = write!(text, "{mark}{name}={}", segment(value));
    }
    text
}

/// A text as one segment of a path, or as the value of a query.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_problem_is_one_line_whatever_is_in_it() {
        let problem =
            json!({ "message": "too\nlong\u{1b}[2J", "field": "subject", "hint": "make it shorter" });
        assert_eq!(sentence(&problem), "subject: too\\nlong\\u{1b}[2J; make it shorter");
        assert_eq!(sentence(&json!({})), "the daemon refused and did not say why");
        assert!(sentence(&json!({ "message": "m", "applied": true })).ends_with("until the daemon ends"));
    }

    #[test]
    fn names_of_any_kind_stay_in_their_part_of_the_path() {
        assert_eq!(segment("a/../b?c=\u{1}"), "a%2F%2E%2E%2Fb%3Fc%3D%01");
        let path = with_query("/v1/x", &[("a", None), ("b", Some("1&c=2")), ("d", Some(""))]);
        assert_eq!(path, "/v1/x?b=1%26c%3D2&d=");
    }
}
