//! Requests that the daemon makes itself, to addresses that the operator named.

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Header bytes of an answer.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// How long a connection waits for another request.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// HTTP/1.1 over TCP or, for `https`, over TLS with aws-lc-rs. It follows no redirect, asks no proxy, and keeps no cookie.
#[derive(Clone)]
pub struct WebClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl WebClient {
    /// One that trusts the certificate authorities of the system, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    ///
    /// Reads files. Authorities that cannot be read are left out; a server of theirs then fails with its reason.
    ///
    /// # Errors
    /// aws-lc-rs has no version of TLS to offer.
    pub fn new() -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::trusting(roots)
    }

    /// One that trusts these authorities alone.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn trusting(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let mut builder = Client::builder(TokioExecutor::new());
        builder.http1_max_buf_size(HEADER_BYTES_MAX).timer(TokioTimer::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_MAX).pool_max_idle_per_host(4);
        Ok(Self(builder.build(connector)))
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// `timeout`: for all of it, from the name look-up to the last byte. `bytes_max`: of the answer's body.
    ///
    /// # Errors
    /// No answer, or none within the bounds.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
        timeout: Duration,
    ) -> Result<Response<Bytes>, WebError> {
        let answer = tokio::time::timeout(timeout, self.whole(request, bytes_max)).await;
        answer.unwrap_or(Err(WebError::TimedOut(timeout)))
    }

    async fn whole(
        &self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<Response<Bytes>, WebError> {
        let failed = |error: &(dyn Error + 'static)| WebError::Failed(chain(error));
        let (head, body) = self.0.request(request).await.map_err(|error| failed(&error))?.into_parts();
        match Limited::new(body, bytes_max).collect().await {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(WebError::TooLarge(bytes_max)),
            Err(error) => Err(failed(&*error)),
        }
    }
}

impl fmt::Debug for WebClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebClient(..)")
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebError {
    /// Not within this time.
    TimedOut(Duration),
    /// The body is longer than this.
    TooLarge(usize),
    /// No connection, no TLS, or no HTTP, with the reason.
    Failed(String),
}

impl fmt::Display for WebError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(timeout) => write!(f, "no whole answer within {timeout:?}"),
            Self::TooLarge(bytes_max) => write!(f, "the answer is longer than {bytes_max} bytes"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl Error for WebError {}

/// An error with what caused it: the outermost one says only "client error".
fn chain(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
