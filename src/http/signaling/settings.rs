//! Checked settings of the driver.

use super::retention::Retention;
use crate::signaling::engine;
use std::time::Duration;

/// How clients are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverSettings {
    /// How often a client is asked whether it is there.
    pub ping_interval: Duration,
    /// How long it may take to answer.
    pub ping_timeout: Duration,
    /// How long a change from long polling to WebSocket may take.
    pub upgrade_timeout: Duration,
    /// How long a client may take to connect to its first namespace, or to say hello.
    pub hello_timeout: Duration,
    /// How long the attachments of an event may take.
    pub attachments_timeout: Duration,
    /// Longest message in bytes, its attachments included.
    pub message_bytes_max: u32,
    /// The namespaces of Socket.IO that there are; the first is the one of plain clients. They are the same as long as
    /// the thread runs.
    pub namespaces: Vec<Namespace>,
    /// Namespaces of one connection.
    pub namespaces_per_connection: usize,
    /// Connections at once, long-polling clients included.
    pub connections_max: usize,
    /// How long stored messages are kept.
    pub retention: Retention,
    /// Answers each Engine.IO message with itself and knows no Socket.IO: what the public test suite of Engine.IO
    /// expects of a server.
    pub echo: bool,
}

/// A namespace of Socket.IO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name, with the slash that it begins with.
    pub name: Box<str>,
    /// Its clients get a private id, and an offset with each event, by which they recover. Handlers of events then see
    /// that offset as one more argument, which not every application is ready for. On the plain wire it is a member of
    /// its own and stays.
    pub recovers: bool,
}

impl From<&str> for Namespace {
    /// One that recovers.
    fn from(name: &str) -> Self {
        Self { name: name.into(), recovers: true }
    }
}

impl Default for DriverSettings {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(15),
            attachments_timeout: Duration::from_secs(10),
            message_bytes_max: 64 << 10,
            namespaces: vec!["/".into()],
            namespaces_per_connection: 16,
            connections_max: 65_536,
            retention: Retention::default(),
            echo: false,
        }
    }
}

impl DriverSettings {
    /// What Engine.IO needs of it.
    pub(super) fn engine(&self) -> engine::Settings {
        engine::Settings {
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            upgrade_timeout: self.upgrade_timeout,
            max_payload: self.message_bytes_max as usize,
        }
    }

    /// The number of a namespace, if there is such a one.
    pub(super) fn namespace(&self, name: &str) -> Option<u16> {
        let at = self.namespaces.iter().position(|known| *known.name == *name)?;
        u16::try_from(at).ok()
    }
}
