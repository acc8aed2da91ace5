//! TLS for streams, by `rustls`: a session is a value without I/O, so that one thread decrypts and encrypts for all
//! its connections in memory that they share.

mod certificate;
mod config;
mod resolver;
mod session;
mod stream;
#[cfg(test)]
pub(crate) mod testing;

pub use certificate::{BadPair, Certificate};
pub use config::server_config;
pub use resolver::Certificates;
pub use session::{INCOMING_BYTES_MAX, Received, TlsError, TlsSession};
pub use stream::{HandedOver, TlsStream};
