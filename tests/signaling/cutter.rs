//! A TCP proxy that breaks connections where a test says.

use rustix::event::{PollFd, PollFlags, poll};
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How a connection is broken, for both sides alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The orderly way: FIN.
    Fin,
    /// As when a network goes: RST, and what is on its way is lost.
    Reset,
}

/// Looks at what the server has sent over one connection up to now, and at which byte of it the latest part begins.
/// Gives the byte in front of which the connection is broken.
pub(crate) type Rule = dyn FnMut(&[u8], usize) -> Option<usize> + Send;

/// Listens at a loopback port of its own.
#[derive(Debug)]
pub(crate) struct Cutter {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    how: Cut,
    rule: Mutex<Box<Rule>>,
    cuts: AtomicUsize,
    is_shut: AtomicBool,
    is_over: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "to {}, {:?}, {:?} cuts", self.to, self.how, self.cuts)
    }
}

impl Cutter {
    pub(crate) fn start(
        to: SocketAddr,
        how: Cut,
        rule: impl FnMut(&[u8], usize) -> Option<usize> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            to,
            how,
            rule: Mutex::new(Box::new(rule)),
            cuts: AtomicUsize::new(0),
            is_shut: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if of_thread.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || shared.carry(client));
            }
        });
        Self { address, shared }
    }

    /// One that breaks nothing by itself.
    pub(crate) fn patient(to: SocketAddr) -> Self {
        Self::start(to, Cut::Fin, |_, _| None)
    }

    /// How many connections were broken by the rule.
    pub(crate) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// Breaks all connections and lets none through until [`Cutter::open`].
    pub(crate) fn shut(&self) {
        self.shared.is_shut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.shared.is_shut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ended_already = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// One connection, until either side or the rule ends it. One thread has both sockets, so that they close at once.
    fn carry(&self, mut client: TcpStream) {
        if self.is_shut.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut server) = TcpStream::connect(self.to) else { return };
        let (mut heard, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        while !self.is_shut.load(Ordering::SeqCst) && !self.is_over.load(Ordering::SeqCst) {
            let mut both = [PollFd::new(&client, PollFlags::IN), PollFd::new(&server, PollFlags::IN)];
            let tick = rustix::event::Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            if poll(&mut both, Some(&tick)).is_err() {
                return;
            }
            let [from_client, from_server] = both.map(|one| !one.revents().is_empty());
            if from_client {
                match client.read(&mut buffer) {
                    Ok(length @ 1..) if server.write_all(&buffer[..length]).is_ok() => {}
                    _ => return,
                }
            }
            if from_server {
                let Ok(length @ 1..) = server.read(&mut buffer) else { return };
                let begin = heard.len();
                heard.extend_from_slice(&buffer[..length]);
                let end = (self.rule.lock().expect("no rule panics"))(&heard, begin);
                let fresh = &heard[begin..end.map_or(heard.len(), |end| end.clamp(begin, heard.len()))];
                let sent = client.write_all(fresh);
                if end.is_some() {
                    self.cuts.fetch_add(1, Ordering::SeqCst);
                    return self.cut([client, server]);
                }
                if sent.is_err() {
                    return;
                }
            }
        }
    }

    fn cut(&self, both: [TcpStream; 2]) {
        for stream in both {
            if self.how == Cut::Reset {
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket option");
            } else {
                let _gone_already = stream.shutdown(std::net::Shutdown::Write);
            }
        }
    }
}
