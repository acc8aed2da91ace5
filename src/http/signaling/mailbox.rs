//! How the rest of the daemon talks to the signaling thread: a bounded queue and a wake-up.

use super::arrival::Request;
use super::driver::Key;
use super::settings::DriverSettings;
use crate::auth::MintTimes;
use crate::auth::token::TokenRefused;
use crate::net::Waker;
use crate::signaling::{self, BackEndEvent, Identity, Outcome, Refusal, Unstored, Whose};
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel};
use tokio::sync::oneshot;

/// Letters that may wait. Who comes with one more is told to come back.
const LETTERS_MAX: usize = 1024;

/// What the thread is told.
pub(crate) enum Letter {
    /// A client came by HTTP.
    Request(Box<Request>),
    /// A poll was broken off; the session of this transport id may have ended with it.
    PollLost(Box<str>),
    /// What a newer key set says of a token.
    Judged(Ticket, Result<Identity, TokenRefused>),
    /// Settings that may change while sessions live.
    Reload(Box<DriverSettings>, Box<signaling::Settings>),
    /// When credentials for calls may say that they were minted.
    MintTimes(MintTimes),
    /// The application's back end says or asks something.
    Question(Question),
    /// What became of a deed that the hub asked storage for, by its number.
    Stored(u64, Result<Outcome, Unstored>),
    /// Show that the loop turns: this is the number of the question.
    Beat(u64),
    /// Calls end, sessions are told, then the thread ends.
    Stop,
}

/// What the application's back end says or asks, and where the answer goes.
pub(crate) enum Question {
    /// An event; the answer: how many sessions it is for.
    Publish(BackEndEvent, oneshot::Sender<Result<usize, Refusal>>),
    /// Who is online: the object of `presence:get`.
    Presence(Whose, oneshot::Sender<Result<Box<str>, Refusal>>),
}

/// Names a question to a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Who asked.
    pub(super) connection: Key,
    /// Which of its questions.
    pub(super) number: u32,
}

/// The sending end, for any thread.
#[derive(Clone, Debug)]
pub struct Door {
    sender: Sender<Letter>,
    waker: Waker,
}

/// The thread's end.
pub(crate) type Inbox = Receiver<Letter>;

/// The thread has no time, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

impl Door {
    /// A door and the inbox behind it; `waker` ends the wait of the thread.
    pub(super) fn new(waker: Waker) -> (Self, Inbox) {
        Self::with_room(LETTERS_MAX, waker)
    }

    pub(crate) fn with_room(letters_max: usize, waker: Waker) -> (Self, Inbox) {
        let (sender, inbox) = channel(letters_max);
        (Self { sender, waker }, inbox)
    }

    /// Hands a client over.
    ///
    /// # Errors
    /// The client should be told to come back.
    pub(crate) fn try_send(&self, request: Request) -> Result<(), Busy> {
        self.post(Letter::Request(Box::new(request)))
    }

    /// Takes a place for a client that cannot be sent away later.
    ///
    /// # Errors
    /// As for [`Self::try_send`].
    pub(crate) fn try_reserve(&self) -> Result<Place, Busy> {
        let permit = self.sender.clone().try_reserve_owned().map_err(|_| Busy)?;
        Ok(Place { permit, waker: self.waker.clone() })
    }

    /// Hands over what the application's back end wants.
    ///
    /// # Errors
    /// It should come back.
    pub(crate) fn ask(&self, question: Question) -> Result<(), Busy> {
        self.post(Letter::Question(question))
    }

    /// Says that the client of a long poll has gone away.
    pub(crate) fn poll_lost(&self, sid: &str) {
        // Too busy: it finds out by itself when it answers the poll.
        let _busy = self.post(Letter::PollLost(sid.into()));
    }

    /// From now on credentials for calls are minted by these. Over once there was room to say so.
    pub(crate) async fn mint_by(&self, times: MintTimes) {
        self.deliver(Letter::MintTimes(times)).await;
    }

    /// Posts a letter once there is a place.
    pub(super) async fn deliver(&self, letter: Letter) {
        if self.sender.send(letter).await.is_ok() {
            self.waker.wake();
        }
    }

    pub(super) fn post(&self, letter: Letter) -> Result<(), Busy> {
        self.sender.try_send(letter).map_err(|_| Busy)?;
        self.waker.wake();
        Ok(())
    }
}

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Place {
    permit: OwnedPermit<Letter>,
    waker: Waker,
}

impl Place {
    /// Hands a client over.
    pub(crate) fn send(self, request: Request) {
        self.post(Letter::Request(Box::new(request)));
    }

    pub(super) fn post(self, letter: Letter) {
        self.permit.send(letter);
        self.waker.wake();
    }
}
