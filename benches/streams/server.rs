//! The servers, each a process with its doors on loopback and no limit in the way.

use crate::connection::{Connection, Identity};
use crate::daemon::{self, Folder, PATIENCE, eventually, free_port, loopback};
use crate::machine::{self, SERVER_CORE};
use crate::options::{Door, Kind};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const USERNAME: &str = "alice";
pub(crate) const PASSWORD: &str = "alice-password";

/// A door that is not open after so long will not open.
const DOOR_MAX: Duration = Duration::from_secs(1);

/// A running server. It ends with its owner.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    child: Child,
    tcp: SocketAddr,
    tls: SocketAddr,
    _folder: Folder,
}

impl Server {
    /// Starts it on the core of servers and waits until its doors are open.
    ///
    /// # Panics
    /// When it does not start; coturn has to be installed.
    pub(crate) fn start(kind: Kind, identity: &Identity) -> Self {
        let folder = Folder::new();
        identity.write_to(&folder);
        let (tcp, tls) = (loopback(free_port()), loopback(free_port()));
        let mut command = match kind {
            Kind::Turnstone => turnstone(&folder, tcp, tls),
            Kind::Coturn => coturn(&folder, tcp, tls),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        machine::pin(SERVER_CORE);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        machine::pin(machine::load_core());
        let mut server = Self { kind, child, tcp, tls, _folder: folder };
        eventually(PATIENCE, "an open door", || server.try_connect());
        server
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self, door: Door) -> SocketAddr {
        match door {
            Door::Tcp => self.tcp,
            Door::Tls12 | Door::Tls13 => self.tls,
        }
    }

    /// Whether clients can come in at a door, which may open a moment after the first one: coturn 4.6 knows
    /// no TLS 1.3.
    ///
    /// # Panics
    /// When turnstone does not let them in.
    pub(crate) fn speaks(&self, door: Door, identity: &Identity) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < DOOR_MAX {
            if Connection::open(self, door, Ipv4Addr::LOCALHOST, identity).is_ok() {
                return true;
            }
        }
        assert!(self.kind != Kind::Turnstone, "turnstone does not speak {door:?}");
        false
    }

    fn try_connect(&mut self) -> Option<TcpStream> {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("{:?} ended with {status}", self.kind);
        }
        TcpStream::connect(self.tcp).ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// One worker, which is one stream runtime. What it says goes to our standard error.
fn turnstone(folder: &Folder, tcp: SocketAddr, tls: SocketAddr) -> Command {
    let files = folder.path().display();
    let config = format!(
        "[[listen]]\naddress = \"{tcp}\"\ntransports = [\"udp\", \"tcp\"]\n\
         [[listen]]\naddress = \"{tls}\"\ntransports = [\"tls\"]\n\
         [tls]\nmode = \"files\"\ncert = \"{files}/cert.pem\"\nkey = \"{files}/key.pem\"\n\
         [relay]\naddresses = [\"127.0.0.1\"]\nports = \"10000-19999\"\nworkers = 1\nport_quarantine = \"1s\"\n\
         [relay.peers]\nallow = [\"127.0.0.0/8\"]\n\
         [auth.users]\n{USERNAME} = \"{PASSWORD}\"\n\
         [limits]\nallocations_per_user = 10000\n\
         [http]\npublic = \"off\"\nadmin = \"{}\"\n\
         [storage]\npath = \"state\"\n[admin]\nsocket = \"admin.sock\"\n\
         [log]\nlevel = \"warn\"\n",
        loopback(free_port())
    );
    let path = folder.write("turnstone.toml", &config);
    let mut command = Command::new(daemon::BINARY);
    command.args(["run", "--config"]).arg(path);
    command
}

/// One relay thread, no log, and nothing switched on that costs and that we do not have.
fn coturn(folder: &Folder, tcp: SocketAddr, tls: SocketAddr) -> Command {
    let files = folder.path().display();
    let config = format!(
        "listening-ip={ip}\nlistening-port={}\ntls-listening-port={}\nrelay-ip={ip}\n\
         min-port=49152\nmax-port=65535\nrelay-threads=1\n\
         lt-cred-mech\nrealm=turn\nuser={USERNAME}:{PASSWORD}\nuserdb={files}/turndb\n\
         cert={files}/cert.pem\npkey={files}/key.pem\nno-tlsv1\nno-tlsv1_1\nno-dtls\n\
         allow-loopback-peers\nno-tcp-relay\nno-cli\nno-software-attribute\n\
         log-file=/dev/null\nsimple-log\nno-stdout-log\npidfile={files}/pid\n",
        tcp.port(),
        tls.port(),
        ip = tcp.ip(),
    );
    let path = folder.write("turnserver.conf", &config);
    let mut command = Command::new("turnserver");
    command.arg("-c").arg(path).stderr(Stdio::null());
    command
}
