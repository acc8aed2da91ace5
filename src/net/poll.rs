//! Readiness of many sockets, and a way to interrupt the wait for it from another thread.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::thread::nanosleep;

/// Token of the poller's own eventfd. Callers cannot register it.
const WAKER_TOKEN: u64 = u64::MAX;

/// How many events one wait can return. More stay ready in the kernel and come with the next wait.
const EVENTS_MAX: usize = 256;

/// Longest single wait in milliseconds: what every kernel takes (`c_int`), about 24 days.
const WAIT_MS_MAX: u128 = i32::MAX as u128;

/// What a stream is watched for that is reported once for each arrival.
const EDGE: epoll::EventFlags =
    epoll::EventFlags::IN.union(epoll::EventFlags::RDHUP).union(epoll::EventFlags::ET);

/// Watches nothing for so long, or until a signal comes.
pub fn look_away(pause: Duration) {
    let tv_sec = i64::try_from(pause.as_secs()).unwrap_or(i64::MAX);
    let _over_or_interrupted = nanosleep(&Timespec { tv_sec, tv_nsec: i64::from(pause.subsec_nanos()) });
}

/// One epoll set, level-triggered unless said otherwise, with its waker.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
    wakeups: Arc<OwnedFd>,
}

/// What [`Poller::wait`] found out about one file descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The token given to [`Poller::add`].
    pub token: u64,
    /// A receive would return something: data, end of stream or an error.
    pub readable: bool,
    /// A send would take something. Told only while [`Poller::rearm`] asks for it.
    pub writable: bool,
    /// An error is pending. It is reported by every wait until the socket's error queue is drained and
    /// its `SO_ERROR` was read, so a caller that ignores it spins.
    pub error: bool,
    /// The peer of a stream sends no more, which a read finds out behind the last data. Told only after
    /// [`Poller::add_edge`].
    pub ended: bool,
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// The process or the system is out of file descriptors (`EMFILE`, `ENFILE`) or memory.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wakeups = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &wakeups, epoll::EventData::new_u64(WAKER_TOKEN), epoll::EventFlags::IN)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS_MAX), wakeups })
    }

    /// Reports `fd` under `token` from now on, whenever it is readable or has an error.
    ///
    /// Closing the last copy of `fd` takes it out of the set; [`Self::remove`] is for one that lives on.
    ///
    /// # Errors
    /// `InvalidInput` for the token `u64::MAX`, which is the waker's; `AlreadyExists` when `fd` is in
    /// the set; `ENOSPC` at the system's limit of watches.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        if token == WAKER_TOKEN {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?)
    }

    /// Reports `fd`, a stream, under `token` once for each time that something comes, which spares the kernel a second
    /// look at every one that was read.
    ///
    /// So whoever reads less than there is has it reported again by [`Self::rearm`]. There is no more than was read
    /// when a read returned less than it had room for and [`Event::ended`] is not set.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub fn add_edge(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        if token == WAKER_TOKEN {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), EDGE)?)
    }

    /// Reports `fd`, added by [`Self::add_edge`], once more if there is something left; `writable`: also when it can
    /// be written to.
    ///
    /// # Errors
    /// `NotFound` when `fd` is not in the set.
    pub fn rearm(&self, fd: BorrowedFd<'_>, token: u64, writable: bool) -> io::Result<()> {
        let flags = if writable { EDGE | epoll::EventFlags::OUT } else { EDGE };
        Ok(epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(token), flags)?)
    }

    /// Stops reporting `fd`. Events already returned by the last wait stay in [`Self::events`].
    ///
    /// # Errors
    /// `NotFound` when `fd` is not in the set.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits until something is ready, the waker was used, or `timeout` is over; `None` waits for ever.
    ///
    /// The timeout is rounded up to whole milliseconds, so that a deadline it was computed from has
    /// passed on return; beyond 24 days it is cut. A signal ends the wait with no events.
    ///
    /// # Errors
    /// None that a caller could provoke with a live poller; out of memory in the kernel.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(whole_milliseconds);
        self.events.clear();
        let mut room = [const { MaybeUninit::uninit() }; EVENTS_MAX];
        let ready = match epoll::wait(&self.epoll, &mut room[..], timeout.as_ref()) {
            Ok((ready, _)) => &*ready,
            Err(rustix::io::Errno::INTR) => &[],
            Err(error) => return Err(error.into()),
        };
        let mut woken = false;
        for event in ready {
            match token_of(event) {
                WAKER_TOKEN => woken = true,
                token => self.events.push(Event {
                    token,
                    readable: { event.flags }.contains(epoll::EventFlags::IN),
                    writable: { event.flags }.contains(epoll::EventFlags::OUT),
                    error: { event.flags }.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP),
                    ended: { event.flags }.contains(epoll::EventFlags::RDHUP),
                }),
            }
        }
        if woken {
            self.consume_wakeups();
        }
        Ok(())
    }

    /// What the last [`Self::wait`] returned, without the waker's own event.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.events.iter().copied()
    }

    /// A handle that ends a wait of this poller from any thread.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wakeups))
    }

    /// Takes the eventfd back to zero. A wake that comes later counts for the next wait.
    fn consume_wakeups(&self) {
        let mut count = [0_u8; 8];
        // The only error is "already zero", which is what this is for.
        let _ = rustix::io::read(&*self.wakeups, &mut count);
    }
}

/// Ends the current or next wait of its [`Poller`]. Cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Wakes the poller. Never blocks; any number of calls before the poller looks are one wakeup.
    ///
    /// Whatever the poller shall find after waking must be visible before this call.
    pub fn wake(&self) {
        // The only error is a full counter, and then the poller is about to wake anyway.
        let _ = rustix::io::write(self.0.as_fd(), &1_u64.to_ne_bytes());
    }
}

/// Reads the token out of the packed kernel structure.
fn token_of(event: &epoll::Event) -> u64 {
    let data = event.data;
    data.u64()
}

/// `timeout` in whole milliseconds, rounded up and cut at [`WAIT_MS_MAX`].
fn whole_milliseconds(timeout: Duration) -> Timespec {
    let ms = timeout.as_nanos().div_ceil(1_000_000).min(WAIT_MS_MAX);
    let ms = i64::try_from(ms).expect("at most i32::MAX");
    Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(20));

    #[test]
    fn a_wake_from_another_thread_ends_the_wait_without_an_event() {
        let mut poller = Poller::new().unwrap();
        let waker = poller.waker();
        let (start, started) = mpsc::sync_channel::<()>(1);
        let other = thread::spawn(move || {
            started.recv().unwrap();
            waker.wake();
        });
        let before = Instant::now();
        start.send(()).unwrap();
        poller.wait(LONG).unwrap();
        assert!(before.elapsed() < Duration::from_secs(10));
        assert_eq!(poller.events().count(), 0);
        other.join().unwrap();
    }

    #[test]
    fn many_wakes_before_the_wait_are_one_wakeup() {
        let mut poller = Poller::new().unwrap();
        let waker = poller.waker();
        (0..1000).for_each(|_| waker.clone().wake());
        poller.wait(LONG).unwrap();
        let before = Instant::now();
        poller.wait(Some(Duration::from_millis(20))).unwrap();
        assert!(before.elapsed() >= Duration::from_millis(20), "the second wait had nothing to wake it");
    }

    #[test]
    fn what_was_left_unread_is_reported_again() {
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poller.add(socket.as_fd(), 7).unwrap();
        socket.send_to(b"a", socket.local_addr().unwrap()).unwrap();
        socket.send_to(b"b", socket.local_addr().unwrap()).unwrap();
        let ready = [Event { token: 7, readable: true, writable: false, error: false, ended: false }];
        for _ in 0..2 {
            poller.wait(LONG).unwrap();
            assert_eq!(poller.events().collect::<Vec<_>>(), ready);
            socket.recv(&mut [0; 8]).unwrap();
        }
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.events().count(), 0);
    }

    #[test]
    fn a_removed_socket_is_silent_and_cannot_be_removed_twice() {
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poller.add(socket.as_fd(), 1).unwrap();
        poller.remove(socket.as_fd()).unwrap();
        socket.send_to(b"a", socket.local_addr().unwrap()).unwrap();
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.events().count(), 0);
        assert_eq!(poller.remove(socket.as_fd()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_socket_is_reported_writable_only_while_that_is_asked_for() {
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poller.add_edge(socket.as_fd(), 5).unwrap();
        for (wanted, events) in [(true, 1), (false, 0), (true, 1)] {
            poller.rearm(socket.as_fd(), 5, wanted).unwrap();
            poller.wait(Some(Duration::ZERO)).unwrap();
            assert_eq!(poller.events().filter(|event| event.writable && !event.readable).count(), events);
        }
    }

    #[test]
    fn the_token_of_the_waker_is_refused() {
        let poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for result in [poller.add(socket.as_fd(), u64::MAX), poller.add_edge(socket.as_fd(), u64::MAX)] {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn an_edge_is_reported_once_unless_somebody_asks_again() {
        let mut poller = Poller::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"ab").unwrap();
        poller.add_edge(server.as_fd(), 3).unwrap();
        let flags = |poller: &mut Poller, wait| {
            poller.wait(wait).unwrap();
            poller.events().map(|event| (event.readable, event.writable, event.ended)).collect::<Vec<_>>()
        };
        let none = Some(Duration::from_millis(20));
        assert_eq!(flags(&mut poller, LONG), [(true, false, false)], "what was there before");
        assert_eq!(flags(&mut poller, none), []);
        poller.rearm(server.as_fd(), 3, false).unwrap();
        assert_eq!(flags(&mut poller, LONG), [(true, false, false)]);
        server.read_exact(&mut [0; 2]).unwrap();
        poller.rearm(server.as_fd(), 3, true).unwrap();
        assert_eq!(flags(&mut poller, LONG), [(false, true, false)]);
        drop(client);
        assert_eq!(flags(&mut poller, LONG), [(true, true, true)], "the end is an arrival too");
    }

    #[test]
    fn a_timeout_below_a_millisecond_is_rounded_up_and_a_huge_one_is_cut() {
        let one_ns = whole_milliseconds(Duration::from_nanos(1));
        assert_eq!((one_ns.tv_sec, one_ns.tv_nsec), (0, 1_000_000));
        assert_eq!(whole_milliseconds(Duration::ZERO).tv_nsec, 0);
        let cut = whole_milliseconds(Duration::MAX);
        assert_eq!((cut.tv_sec, cut.tv_nsec), (2_147_483, 647_000_000));
    }
}
