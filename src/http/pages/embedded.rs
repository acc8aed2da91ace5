//! One file of the binary, as HTTP has it (RFC 9110).

use super::Headers;
use crate::http::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{Embed, EmbeddedFile};
use std::borrow::Cow;
use std::fmt::Write;

/// The files, as they were when the binary was built.
#[derive(Embed)]
#[folder = "web/dist"]
struct Dist;

/// A file with what is told of it.
#[derive(Clone, Debug)]
pub(super) struct Embedded {
    bytes: &'static [u8],
    content_type: HeaderValue,
    /// A strong one (RFC 9110 section 8.8.3): equal tags, equal bytes.
    tag: HeaderValue,
}

impl Embedded {
    /// `path` from `web/dist`; `None` when nothing was built there.
    pub(super) fn find(path: &str) -> Option<Self> {
        let file = Dist::get(path)?;
        let tag = tag(&file)?;
        let Cow::Borrowed(bytes) = file.data else { return None };
        Some(Self { bytes, content_type: content_type(path), tag })
    }

    /// 200 with the bytes, or 304 for who has them.
    pub(super) fn answer(&self, asked: &HeaderMap, headers: Headers) -> Response {
        let has_it = asked.get_all(header::IF_NONE_MATCH).iter().any(|tags| self.is_among(tags));
        let mut response = match has_it {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => Body::from(self.bytes).into_response(),
        };
        let told = response.headers_mut();
        for (name, value) in SHARED.iter().chain(headers) {
            told.insert(*name, HeaderValue::from_static(value));
        }
        told.insert(header::ETAG, self.tag.clone());
        if !has_it {
            told.insert(header::CONTENT_TYPE, self.content_type.clone());
        }
        response
    }

    /// Whether a field of `If-None-Match` names this file (RFC 9110 section 13.1.2: by weak comparison).
    fn is_among(&self, tags: &HeaderValue) -> bool {
        let ours = self.tag.as_bytes();
        let mut each = tags.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        each.any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == ours)
    }
}

/// The answer where a file is not in the binary.
pub(super) fn missing() -> Response {
    Problem::internal().into_response()
}

const SHARED: Headers = &[
    // Kept, and asked for again before each use.
    ("cache-control", "no-cache"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// The hash of the bytes, made when the binary was built.
fn tag(file: &EmbeddedFile) -> Option<HeaderValue> {
    let mut tag = String::from("\"");
    for byte in &file.metadata.sha256_hash()[..16] {
        write!(tag, "{byte:02x}").ok()?;
    }
    HeaderValue::try_from(tag + "\"").ok()
}

fn content_type(path: &str) -> HeaderValue {
    HeaderValue::from_static(match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "ts" => "application/typescript; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}
