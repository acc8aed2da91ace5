//! The floor: pairs of connections in the order in which they come, and each byte of one goes to the other.
//! One epoll_wait, one read and one write, and nothing in between.
//!
//! `forwarder PORT`

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// Events of one epoll_wait.
const BATCH: usize = 256;

/// More than a client can have under way, so that one read takes all there is.
const READ_BYTES: usize = 64 * 1024;

/// Where the listener stands; connections count from 0.
const LISTENER: u64 = u64::MAX;

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).ok_or("forwarder PORT")?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections: Vec<TcpStream> = Vec::new();
    let mut events = Vec::with_capacity(BATCH);
    let mut bytes = vec![0; READ_BYTES];
    loop {
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            if event.data.u64() == LISTENER {
                let (connection, _) = listener.accept()?;
                connection.set_nodelay(true)?;
                connection.set_nonblocking(true)?;
                let data = EventData::new_u64(connections.len() as u64);
                epoll::add(&epoll, &connection, data, EventFlags::IN | EventFlags::ET)?;
                connections.push(connection);
            } else {
                forward(&connections, event.data.u64() as usize, &mut bytes)?;
            }
        }
    }
}

/// Reads once: what fits the buffer is all there is, and what comes later is another edge.
fn forward(connections: &[TcpStream], from: usize, bytes: &mut [u8]) -> Result<(), Box<dyn Error>> {
    let len = match (&connections[from]).read(bytes) {
        Ok(len) if len < bytes.len() => len,
        Ok(_) => return Err("a client is ahead of the forwarder".into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
        Err(error) => return Err(error.into()),
    };
    if len == 0 {
        // The clients leave together, so a peer that is gone too is no loss.
        return Ok(());
    }
    let peer = connections.get(from ^ 1).ok_or("a connection without a partner sends")?;
    match (&*peer).write(&bytes[..len]) {
        Ok(written) if written == len => Ok(()),
        Ok(_) => Err("a send buffer is full".into()),
        Err(error) => Err(error.into()),
    }
}
