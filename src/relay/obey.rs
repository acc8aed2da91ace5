//! What the driver of a core does when it is told something, for whoever drives one.

use super::mailbox::Command;
use super::ports::{Driver, RelayPorts};
use super::question::Question;
use crate::base::Now;
use crate::metrics::session_events_lost;
use crate::turn::{Server, SessionEvent};
use crossbeam_channel::Receiver;
use tokio::sync::oneshot;

/// Commands taken from the mailbox in one turn.
const COMMANDS_PER_TURN: usize = 64;

/// Pages among them: each takes as long as some dozens of packets.
const PAGES_PER_TURN: usize = 4;

/// Those who wait until all sessions were looked at, at most; who comes later is told nothing.
const REVOKERS_MAX: usize = 64;

/// What a mailbox was emptied for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Read {
    /// More may wait, and its wake-up is spent.
    pub(super) more: bool,
    /// The thread shall end.
    pub(super) stop: bool,
}

/// Who waits for the end of a walk over all sessions.
#[derive(Debug, Default)]
pub(super) struct Revokers(Vec<oneshot::Sender<usize>>);

impl<S> RelayPorts<S> {
    /// Does what a mailbox says, as much as one turn allows, and goes on with what was begun.
    pub(super) fn obey_mailbox(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        mailbox: &Receiver<Command>,
    ) -> Read {
        let (mut read, mut pages) = (Read::default(), 0);
        for _ in 0..COMMANDS_PER_TURN {
            let Ok(command) = mailbox.try_recv() else { break };
            read.stop |= matches!(command, Command::Stop);
            pages += usize::from(matches!(&command, Command::Ask(question) if question.is_page()));
            self.obey(now, server, driver, command);
            self.drain_effects(now, server, driver);
            if pages == PAGES_PER_TURN {
                break;
            }
        }
        if server.is_revoking() {
            self.revoke_some(now, server);
            self.drain_effects(now, server, driver);
        }
        self.give_up_waiting(now, server, driver);
        read.more = !mailbox.is_empty() || server.is_revoking();
        read
    }

    fn obey(
        &mut self,
        now: Now,
        server: &mut Server,
        driver: &mut impl Driver<Socket = S>,
        command: Command,
    ) {
        match command {
            Command::Reload(update) => {
                server.reload(update.settings, update.authenticator, update.policy);
                server.set_revocations(update.revocations);
            }
            Command::Authenticate(authenticator) => server.set_authenticator(authenticator),
            Command::Drain(draining) => server.set_draining(draining),
            Command::EvictIdle { subject, credential, asker, allocation } => {
                self.on_evict_idle(now, server, driver, (&subject, credential), (asker, allocation));
            }
            Command::EvictionTried { allocation } => self.on_eviction_tried(now, server, driver, allocation),
            Command::EndCall { call_id, grace, until } => {
                let _sessions = server.end_call(now, &call_id, grace, until);
            }
            Command::Ask(question) => self.answer(now, server, question),
            Command::Stop => {}
        }
    }

    /// An answer that nobody waits for any more is dropped, but for accounts.
    fn answer(&mut self, now: Now, server: &mut Server, question: Question) {
        match question {
            Question::Sessions { from, answer } => _ = answer.send(server.sessions(from)),
            Question::Session { allocation, answer } => _ = answer.send(server.session(now, allocation)),
            Question::End { allocation, reason, answer } => {
                _ = answer.send(server.end(now, allocation, reason));
            }
            Question::Revoke { orders, answer } => {
                server.set_revocations(orders);
                self.revokers.wait(answer);
            }
            Question::Accounts { from, answer } => {
                if let Err(page) = answer.send(server.take_accounts(now, from)) {
                    server.return_accounts(page.accounts);
                }
            }
        }
    }

    fn revoke_some(&mut self, now: Now, server: &mut Server) {
        if let Some(ended) = server.revoke_some(now) {
            self.revokers.tell(ended);
        }
    }

    /// Tells those who follow sessions, if somebody does.
    pub(super) fn tell(&self, server: &mut Server, event: impl FnOnce(&Server) -> Option<SessionEvent>) {
        let Some(followers) = self.registry().followers() else { return };
        let Some(event) = event(server) else { return };
        if followers.try_send((self.index(), event)).is_err() {
            server.counters().increment(session_events_lost());
        }
    }
}

impl Revokers {
    fn wait(&mut self, answer: oneshot::Sender<usize>) {
        self.0.retain(|waiting| !waiting.is_closed());
        if self.0.len() < REVOKERS_MAX {
            self.0.push(answer);
        }
    }

    fn tell(&mut self, ended: usize) {
        for answer in self.0.drain(..) {
            _ = answer.send(ended);
        }
    }
}
