//! A client's connection: TCP, or TLS in it.

use crate::daemon::Folder;
use crate::options::Door;
use crate::server::Server;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use turnstone::wire::channel_data::{self, Frame};

/// How long a handshake or an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Room for what is read at once, and for the start of a message before it.
const READ_BYTES: usize = 128 << 10;

/// The certificate of both servers, ECDSA P-256, and what a client needs to believe it.
pub(crate) struct Identity {
    certificate_pem: String,
    key_pem: String,
    clients: [Arc<ClientConfig>; 2],
}

impl Identity {
    pub(crate) fn generate() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec())).expect("our own certificate");
        let client = |version| {
            let config = ClientConfig::builder_with_provider(Arc::new(aes_128()))
                .with_protocol_versions(&[version])
                .expect("there is a suite of each version")
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            Arc::new(config)
        };
        Self {
            clients: [client(&rustls::version::TLS12), client(&rustls::version::TLS13)],
            certificate_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
        }
    }

    /// What a client needs for a door, if that is one of TLS.
    fn client(&self, door: Door) -> Option<Arc<ClientConfig>> {
        match door {
            Door::Tcp => None,
            Door::Tls12 => Some(Arc::clone(&self.clients[0])),
            Door::Tls13 => Some(Arc::clone(&self.clients[1])),
        }
    }

    /// Leaves `cert.pem` and `key.pem` in a folder.
    pub(crate) fn write_to(&self, folder: &Folder) {
        folder.write("cert.pem", &self.certificate_pem);
        folder.write("key.pem", &self.key_pem);
    }
}

/// The same cipher on all servers, whatever they prefer: AES-128-GCM, one suite for each version.
fn aes_128() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| {
        matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256 | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        )
    });
    provider
}

pub(crate) struct Connection {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// What the kernel did not take yet, when there is no TLS.
    unsent: Vec<u8>,
    /// What came and is no whole message yet, in its first `filled` bytes.
    incoming: Box<[u8]>,
    filled: usize,
}

impl Connection {
    /// Connects, and shakes hands at a door of TLS. It blocks until [`Self::set_nonblocking`].
    ///
    /// `source`: where from, so that many connections find ports.
    pub(crate) fn open(
        server: &Server,
        door: Door,
        source: Ipv4Addr,
        identity: &Identity,
    ) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        socket.connect_timeout(&server.address(door).into(), ANSWER_MAX)?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let tls = match identity.client(door) {
            None => None,
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("a name");
                let mut tls = ClientConnection::new(config, name).expect("a config");
                tls.set_buffer_limit(None);
                while tls.is_handshaking() {
                    tls.complete_io(&mut stream)?;
                }
                Some(Box::new(tls))
            }
        };
        Ok(Self { stream, tls, unsent: Vec::new(), incoming: vec![0; READ_BYTES].into(), filled: 0 })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn set_nonblocking(&self) {
        self.stream.set_nonblocking(true).expect("a socket");
    }

    /// Sends one STUN message and waits for the next one.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.queue(request);
        self.flush()?;
        let mut answer = None;
        while answer.is_none() {
            if self.read(|message| answer = Some(message.to_vec()))? == 0 {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(answer.expect("just now"))
    }

    /// Puts one message behind what waits; under TLS it is a record of its own, as clients do it.
    pub(crate) fn queue(&mut self, message: &[u8]) {
        match &mut self.tls {
            None => self.unsent.extend_from_slice(message),
            Some(tls) => tls.writer().write_all(message).expect("no limit is set"),
        }
    }

    /// Writes what the kernel takes. Returns whether that was all.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match &mut self.tls {
            None if self.unsent.is_empty() => Ok(true),
            None => {
                let Some(count) = unless_blocked(self.stream.write(&self.unsent))? else { return Ok(false) };
                self.unsent.drain(..count);
                Ok(self.unsent.is_empty())
            }
            Some(tls) => {
                while tls.wants_write() {
                    if unless_blocked(tls.write_tls(&mut self.stream))?.is_none() {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// Reads once and hands over each whole message. Returns how many bytes came, 0 when none were there.
    pub(crate) fn read(&mut self, mut on_message: impl FnMut(&[u8])) -> io::Result<usize> {
        let room = &mut self.incoming[self.filled..];
        let count = match &mut self.tls {
            None => unless_blocked(self.stream.read(room))?,
            Some(tls) => unless_blocked(tls.read_tls(&mut self.stream))?,
        };
        match (count, &mut self.tls) {
            (None, _) => return Ok(0),
            (Some(0), _) => return Err(ErrorKind::UnexpectedEof.into()),
            (Some(count), None) => self.filled += count,
            (Some(_), Some(tls)) => {
                tls.process_new_packets().map_err(io::Error::other)?;
                while let Some(count) = unless_blocked(tls.reader().read(&mut self.incoming[self.filled..]))?
                    && count > 0
                {
                    self.filled += count;
                }
            }
        }
        self.take_messages(&mut on_message);
        Ok(count.unwrap_or_default())
    }

    fn take_messages(&mut self, on_message: &mut impl FnMut(&[u8])) {
        let (mut at, filled) = (0, &mut self.incoming[..self.filled]);
        while let Frame::Stun { total } | Frame::ChannelData { total, .. } =
            channel_data::frame(&filled[at..], 4096).expect("a server sends whole messages")
        {
            on_message(&filled[at..at + total]);
            at += total;
        }
        filled.copy_within(at.., 0);
        self.filled -= at;
    }
}

fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
