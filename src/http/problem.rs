//! Error answers (RFC 9457).

use super::api::Fault;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::borrow::Cow;

/// Text of ours, which repeats nothing that a client sent but the names of fields.
type Text = Cow<'static, str>;

/// An error answer: what is wrong for machines, for people, and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    status: StatusCode,
    code: &'static str,
    message: Text,
    hint: Text,
    field: Option<Text>,
    retry_after_s: Option<u64>,
    applied: Option<bool>,
    /// What is wrong in detail.
    errors: Option<Value>,
}

impl Problem {
    /// `code`: a word for machines. `message`: what is wrong. `hint`: what to do.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Text>,
        hint: impl Into<Text>,
    ) -> Self {
        let (message, hint) = (message.into(), hint.into());
        let (field, retry_after_s, applied, errors) = (None, None, None, None);
        Self(Box::new(Facts { status, code, message, hint, field, retry_after_s, applied, errors }))
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// A field of the body or of the query that cannot be used. `message` says the allowed range.
    pub(crate) fn field(field: impl Into<Text>, message: impl Into<Text>) -> Self {
        let hint = "see /openapi.json for every field and its range";
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "bad_field", message, hint);
        problem.0.field = Some(field.into());
        problem
    }

    /// A config that is not taken over.
    pub(crate) fn bad_config(faults: &[Fault]) -> Self {
        let message = "the config was not taken over; the one before it stays in force";
        let mut problem =
            Self::new(StatusCode::CONFLICT, "bad_config", message, "mend the file, and reload again");
        problem.0.errors = Some(json!(faults));
        problem
    }

    pub(crate) fn bad_host() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_host", "the request needs one Host header", "send Host once")
    }

    pub(crate) fn foreign_host() -> Self {
        let hint = "use an IP address, localhost or server.name";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", "this host name is not ours", hint)
    }

    /// `hint`: what there is.
    pub(crate) fn not_found(hint: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here", hint)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "this path does not take that method";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
            "the header Allow says which",
        )
    }

    pub(crate) fn internal() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "internal", "the answer could not be made", "see the log")
    }

    pub(crate) fn unauthorized() -> Self {
        let message = "the request carries no credential that is good here";
        let hint =
            "send `Authorization: Bearer` with an API key (`turnstone api-key new`) or a token of signaling";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message, hint)
    }

    pub(crate) fn forbidden(message: impl Into<Text>, hint: impl Into<Text>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message, hint)
    }

    /// The token of a user is not good. `code`: that of signaling.
    pub(crate) fn token_refused(code: &'static str, why: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, why, "ask the server that logs users in for a fresh token")
    }

    /// It is durable, and not everywhere in force yet.
    pub(crate) fn worker_busy() -> Self {
        let message = "it is durable, and a relay worker could not be told within a second";
        let hint = "it holds there once the worker moves again; `turnstone status` says how it is";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "worker_busy", message, hint).applied(false)
    }

    /// A relay worker that was asked is silent; what it was asked to do, it may still do.
    pub(crate) fn worker_silent() -> Self {
        let message = "the relay worker of this session did not answer within a second";
        let hint = "ask again; `turnstone status` says how the worker is";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "worker_busy", message, hint).retry_after(1)
    }

    /// It cannot be done beside what is there.
    pub(crate) fn conflict(code: &'static str, message: impl Into<Text>, hint: impl Into<Text>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message, hint)
    }

    /// It is about this field.
    pub(crate) fn at(mut self, field: &'static str) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// The word for machines.
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// The field that it is about.
    #[cfg(test)]
    pub(crate) fn named_field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// In how many seconds to come back.
    #[cfg(test)]
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.0.retry_after_s
    }

    /// Come back after so many seconds.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds.max(1));
        self
    }

    /// It holds now, although it could not be made durable; or it does not.
    pub(crate) fn applied(mut self, applied: bool) -> Self {
        self.0.applied = Some(applied);
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let facts = *self.0;
        let mut body = json!({
            "title": facts.status.canonical_reason(), "status": facts.status.as_u16(), "code": facts.code,
            "message": facts.message, "hint": facts.hint,
        });
        if let Some(field) = facts.field {
            body["field"] = json!(field);
        }
        if let Some(errors) = facts.errors {
            body["errors"] = errors;
        }
        if let Some(applied) = facts.applied {
            body["applied"] = json!(applied);
        }
        if let Some(seconds) = facts.retry_after_s {
            body["retry_after_ms"] = json!(seconds * 1000);
        }
        let mut response =
            (facts.status, [(header::CONTENT_TYPE, "application/problem+json")], format!("{body}\n"))
                .into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = facts.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if facts.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<crate::storage::StoreError> for Problem {
    fn from(error: crate::storage::StoreError) -> Self {
        let hint = "relaying and signaling go on; `turnstone status` says more";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), error.to_string(), hint)
    }
}
