//! TLS for streams, by `rustls`: a session is a value without I/O, so that one thread decrypts and encrypts for all
//! its connections in memory that they share.

mod session;
mod stream;

pub use session::{Received, TlsError, TlsSession};
pub use stream::{HandedOver, TlsStream};
