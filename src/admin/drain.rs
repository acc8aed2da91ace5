//! `turnstone drain` and `undrain`: no new sessions, or welcome again.

use super::client::{Client, Failure};
use super::print_json;
use super::progress::Progress;
use super::status::number;
use super::text::say;
use crate::base::Exit;
use clap::Args;
use serde_json::json;
use std::time::{Duration, Instant};

/// Between two looks at how many are left.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Wait until the last session has ended.
    #[arg(long)]
    wait: bool,
    /// Wait, but no longer than that; sessions that are left then make it a failure.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct UndrainArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Refuses new sessions; those that live go on.
pub(super) fn drain(client: &Client, args: &DrainArgs) -> Result<Exit, Failure> {
    let mut answer = client.post("/v1/drain", &json!({}))?;
    let mut left = number(&answer["sessions"]);
    if args.wait || args.timeout.is_some() {
        left = wait(client, left, args.timeout)?;
        answer["sessions"] = left.into();
    }
    if args.json {
        print_json(&answer)?;
    } else {
        say(&format!("draining: new sessions are refused, {left} are left\n"))?;
    }
    let late = args.timeout.is_some() && left > 0;
    Ok(if late || answer["complete"] == false { Exit::Failure } else { Exit::Ok })
}

/// Takes new sessions again.
pub(super) fn undrain(client: &Client, args: &UndrainArgs) -> Result<Exit, Failure> {
    let answer = client.post("/v1/undrain", &json!({}))?;
    if args.json {
        print_json(&answer)?;
    } else {
        say("not draining: new sessions are welcome\n")?;
    }
    Ok(if answer["complete"] == false { Exit::Failure } else { Exit::Ok })
}

/// Returns how many are left when all have ended, or the time is over.
fn wait(client: &Client, mut left: u64, timeout: Option<Duration>) -> Result<u64, Failure> {
    let begin = Instant::now();
    let mut progress = Progress::new();
    while left > 0 && timeout.is_none_or(|timeout| begin.elapsed() < timeout) {
        progress.show(&format!("{left} sessions are left"));
        client.pause(LOOK_EVERY);
        left = number(&client.get("/v1/status")?["sessions"]);
    }
    Ok(left)
}
