//! `GET /v1/events`: what happens, while it happens (`text/event-stream`).
//!
//! A reader who is slower than the news is told how many it missed and goes on with those that are left. Nobody waits
//! for a reader, and one who takes nothing at all loses its place.

use super::feed::{EventKind, News, READERS_MAX, Reader, block};
use super::{Caller, Fields, Shared};
use crate::auth::Scope;
use crate::http::problem::Problem;
use crate::http::server::Endless;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Frame;
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often a line comes that says nothing, so that both ends notice when the other is gone; how soon a stream ends
/// whose API key was taken away; and how long a reader may take nothing when it was sent more than its connection holds.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Parts of the stream that may wait for the connection.
const PARTS_MAX: usize = 16;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v1/events", get(events))
}

async fn events(
    State(services): State<Shared>,
    caller: Caller,
    mut fields: Fields,
) -> Result<Response, Problem> {
    caller.must(Scope::Read)?;
    let wanted = wanted(fields.text("types", 1..=256)?)?;
    fields.done()?;
    let Some(reader) = services.desk.events.listen() else {
        let message = format!("{READERS_MAX} readers listen already, which is the most");
        let hint = "end another one, or come back later";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "full", message, hint).retry_after(5));
    };
    let (parts, body) = mpsc::channel(PARTS_MAX);
    let is_good = move || caller.is_good(&services);
    let (endless, goes_on) = Endless::begin();
    tokio::spawn(async move {
        read_to(reader, wanted, parts, HEARTBEAT, is_good).await;
        drop(goes_on);
    });
    let head = [(header::CONTENT_TYPE, "text/event-stream")];
    let mut response = (head, Body::new(Parts(body))).into_response();
    response.extensions_mut().insert(endless);
    Ok(response)
}

/// The kinds that `types` names, separated by commas; all without it.
fn wanted(types: Option<String>) -> Result<Vec<EventKind>, Problem> {
    let Some(types) = types else { return Ok(EventKind::ALL.to_vec()) };
    let known = |name: &str| EventKind::ALL.into_iter().find(|kind| kind.name() == name);
    types.split(',').map(known).collect::<Option<_>>().ok_or_else(|| {
        let names = EventKind::ALL.map(EventKind::name).join(", ");
        Problem::field("types", format!("`types` must be some of these, separated by commas: {names}"))
    })
}

/// Passes news on until the reader is gone or takes nothing, or may not listen any more, or the daemon stops.
async fn read_to(
    mut reader: Reader,
    wanted: Vec<EventKind>,
    parts: mpsc::Sender<Bytes>,
    beat: Duration,
    is_good: impl Fn() -> bool,
) {
    let mut heartbeat = interval(beat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let part = tokio::select! {
            () = parts.closed() => return,
            // The first one comes at once: the client sees that the stream is open.
            _ = heartbeat.tick() => match is_good() {
                true => Bytes::from_static(b":\n\n"),
                false => return,
            },
            news = reader.ring.recv() => match news {
                Ok(News::Event(kind, text)) if wanted.contains(&kind) => Bytes::from_owner(Text(text)),
                Ok(News::Event(..)) => continue,
                Ok(News::End) | Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(missed)) => {
                    Bytes::from_owner(Text(block("lagged", &json!({ "missed": missed }))))
                }
            },
        };
        if !matches!(timeout(beat, parts.send(part)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Shared text as bytes.
struct Text(std::sync::Arc<str>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A body of the parts that come.
struct Parts(mpsc::Receiver<Bytes>);

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Api, ask, bearer};
    use super::*;
    use std::net::SocketAddr;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpStream;

    /// An open stream of events.
    struct Stream(BufReader<TcpStream>);

    impl Stream {
        async fn open(server: SocketAddr, path: &str, key: &str) -> Self {
            let mut stream = TcpStream::connect(server).await.expect("listens");
            let head = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n{}\r\n\r\n", bearer(key));
            stream.write_all(head.as_bytes()).await.expect("sent");
            let mut stream = Self(BufReader::new(stream));
            stream.next(":").await;
            stream
        }

        /// The next line that begins so.
        async fn next(&mut self, beginning: &str) -> String {
            loop {
                let mut line = String::new();
                let read = self.0.read_line(&mut line).await.expect("readable");
                assert!(read > 0, "the stream ended before {beginning:?}");
                if line.starts_with(beginning) {
                    return line.trim_end().to_owned();
                }
            }
        }
    }

    #[tokio::test]
    async fn a_reader_gets_the_kinds_it_asked_for_and_nothing_of_before() {
        let api = Api::start();
        let key = api.key(&[Scope::Read]);
        let events = &api.services.desk.events;
        events.tell(EventKind::Drain, || json!({ "draining": true }));
        let mut stream = Stream::open(api.admin, "/v1/events?types=drain,call.ended", &key).await;
        events.tell(EventKind::Reload, || json!({}));
        events.tell(EventKind::Drain, || json!({ "draining": false, "text": "a\nb" }));
        assert_eq!(stream.next("event:").await, "event: drain");
        let data = stream.next("data:").await;
        let data: serde_json::Value = serde_json::from_str(&data["data:".len()..]).expect("JSON");
        assert_eq!((&data["draining"], &data["text"]), (&json!(false), &json!("a\nb")));
        assert!(data["at"].is_string());
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed_and_goes_on() {
        let api = Api::start();
        let reader = api.services.desk.events.listen().expect("room");
        for number in 0..1100 {
            api.services.desk.events.tell(EventKind::Reload, || json!({ "number": number }));
        }
        let (parts, mut body) = mpsc::channel(PARTS_MAX);
        tokio::spawn(read_to(reader, EventKind::ALL.to_vec(), parts, HEARTBEAT, || true));
        let mut texts = Vec::new();
        while texts.len() < 2 {
            let part = body.recv().await.expect("open");
            if part[0] != b':' {
                texts.push(String::from_utf8(part.to_vec()).expect("text"));
            }
        }
        assert_eq!(texts[0], "event: lagged\ndata: {\"missed\":76}\n\n");
        assert!(texts[1].contains("\"number\":76"), "{}", texts[1]);
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_key_is_taken_away() {
        let api = Api::start();
        let text = api.key(&[Scope::Read]);
        let key = api.services.keys.load().find(&text).cloned().expect("made");
        let caller = Caller::Key(key.clone());
        let reader = api.services.desk.events.listen().expect("room");
        let (parts, mut body) = mpsc::channel(PARTS_MAX);
        let services = api.services.clone();
        let is_good = move || caller.is_good(&services);
        let beat = Duration::from_millis(1);
        tokio::spawn(read_to(reader, EventKind::ALL.to_vec(), parts, beat, is_good));
        for _ in 0..3 {
            assert!(body.recv().await.is_some(), "it goes on while its key is good");
        }
        assert_eq!(api.local("DELETE", &format!("/v1/api-keys/{}", key.id), "").await.status, 204);
        let end = async { while body.recv().await.is_some() {} };
        timeout(Duration::from_secs(10), end).await.expect("it ends");
    }

    #[tokio::test]
    async fn a_reader_who_takes_nothing_loses_its_place() {
        let api = Api::start();
        let events = &api.services.desk.events;
        let reader = events.listen().expect("room");
        let (parts, untaken) = mpsc::channel(PARTS_MAX);
        let beat = Duration::from_millis(1);
        let reading = read_to(reader, EventKind::ALL.to_vec(), parts, beat, || true);
        timeout(Duration::from_secs(10), reading).await.expect("it ends");
        assert_eq!(untaken.len(), PARTS_MAX, "what it was sent before is left to it");
    }

    #[tokio::test]
    async fn readers_are_bounded_give_their_place_back_and_end_with_the_daemon() {
        let api = Api::start();
        let key = api.key(&[Scope::Read]);
        let mut streams = Vec::new();
        for _ in 0..READERS_MAX {
            streams.push(Stream::open(api.admin, "/v1/events", &key).await);
        }
        let refused = api.operator(&key, "GET", "/v1/events", "").await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (503, json!("full")));
        streams.pop();
        let again = async {
            while api.services.desk.events.listen().is_none() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), again).await.expect("its place is free again");
        api.services.desk.events.end();
        for mut stream in streams {
            let mut rest = String::new();
            while stream.0.read_line(&mut rest).await.expect("readable") > 0 && !rest.ends_with("0\r\n") {}
            assert!(rest.ends_with("0\r\n"), "the last chunk: {rest:?}");
        }
    }

    #[tokio::test]
    async fn unknown_types_are_refused_with_those_that_there_are() {
        let api = Api::start();
        let key = api.key(&[Scope::Read]);
        for query in ["types=drains", "types=drain,", "types=", "kinds=drain"] {
            let refused = api.operator(&key, "GET", &format!("/v1/events?{query}"), "").await;
            assert_eq!(refused.status, 400, "{query}");
            assert_eq!(refused.json()["field"], query.split_once('=').expect("a pair").0, "{query}");
        }
        assert_eq!(ask(api.admin, "GET", "/v1/events", &[], "").await.status, 401);
        let minter = api.key(&[Scope::Mint]);
        assert_eq!(api.operator(&minter, "GET", "/v1/events", "").await.status, 403);
    }
}
