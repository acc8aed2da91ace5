//! `turnstone top`: what is relayed now, and by whom, on a terminal.

mod screen;
mod state;

use super::client::{Client, Failure, segment, sentence};
use super::sessions::Sort;
use crate::base::Exit;
use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use serde_json::Value;
use state::{Deed, State};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// Between two looks at the daemon.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Sessions that are asked for: no terminal has more lines, and a filter looks at no more.
const SESSIONS_MAX: usize = 1000;

#[derive(Debug, Args)]
pub struct TopArgs {
    /// Which sessions come first.
    #[arg(long, value_enum, default_value_t = Sort::Rate)]
    sort: Sort,
}

/// Carries the verb out.
pub(super) fn top(client: &Client, args: &TopArgs) -> Result<Exit, Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let why = "top needs a terminal; `turnstone sessions` and `turnstone status --json` do not";
        return Err(Failure::Broken(why.into()));
    }
    let mut state = State::new(args.sort);
    // Who cannot be reached is told before the screen is taken.
    look(client, &mut state)?;
    let mut terminal = ratatui::try_init().map_err(|error| Failure::Broken(error.to_string()))?;
    let result = run(&mut terminal, client, &mut state);
    ratatui::restore();
    result.map(|()| Exit::Ok)
}

fn run(terminal: &mut DefaultTerminal, client: &Client, state: &mut State) -> Result<(), Failure> {
    let broken = |error: io::Error| Failure::Broken(error.to_string());
    let mut looked = Instant::now();
    loop {
        terminal.draw(|frame| screen::draw(frame, state)).map_err(broken)?;
        let wait = LOOK_EVERY.saturating_sub(looked.elapsed());
        let mut is_due = !event::poll(wait).map_err(broken)?;
        if !is_due && let Event::Key(key) = event::read().map_err(broken)? {
            match state.press(key).filter(|_| key.kind != KeyEventKind::Release) {
                Some(Deed::Quit) => return Ok(()),
                Some(Deed::Kill(id)) => {
                    kill(client, state, &id)?;
                    is_due = true;
                }
                Some(Deed::Look) => is_due = true,
                None => {}
            }
        }
        if is_due || looked.elapsed() >= LOOK_EVERY {
            look(client, state)?;
            looked = Instant::now();
        }
    }
}

/// Asks how it is. A daemon that is gone ends the verb.
fn look(client: &Client, state: &mut State) -> Result<(), Failure> {
    let status = client.get("/v1/status")?;
    let path = format!("/v1/sessions?limit={SESSIONS_MAX}&sort={}", state.sort().name());
    state.seen(status, client.get(&path)?);
    Ok(())
}

fn kill(client: &Client, state: &mut State, id: &str) -> Result<(), Failure> {
    let answer = client.delete(&format!("/v1/sessions/{}", segment(id)));
    state.say(came_of_it(id, answer)?);
    Ok(())
}

/// What came of the order to end a session, in one line.
fn came_of_it(id: &str, answer: Result<Value, Failure>) -> Result<String, Failure> {
    match answer {
        Ok(_) => Ok(format!("{id} was ended")),
        Err(Failure::Refused(problem)) if problem["status"] == 404 => Ok(format!("{id} had ended already")),
        // It may live: a worker is busy.
        Err(Failure::Refused(problem)) => Ok(format!("{id}: {}", sentence(&problem))),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_not_there_had_ended_already() {
        let refused = |problem| came_of_it("0-1-1", Err(Failure::Refused(problem))).expect("goes on");
        assert_eq!(came_of_it("0-1-1", Ok(Value::Null)).expect("goes on"), "0-1-1 was ended");
        let not_found = json!({ "status": 404, "code": "not_found", "message": "there is no such session" });
        assert_eq!(refused(not_found), "0-1-1 had ended already");
        let busy =
            json!({ "status": 503, "code": "worker_busy", "message": "no answer", "hint": "ask again" });
        assert_eq!(refused(busy), "0-1-1: no answer; ask again");
        let gone = came_of_it("0-1-1", Err(Failure::Broken("gone".into())));
        assert!(matches!(gone, Err(Failure::Broken(_))), "it ends the verb");
    }
}
