//! `turnstone reload`: the daemon reads its config again.

use super::client::{Client, Failure};
use super::print_json;
use super::status::list;
use super::text::{safe, say};
use crate::base::Exit;
use clap::Args;
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Carries the verb out.
pub(super) fn reload(client: &Client, args: &ReloadArgs) -> Result<Exit, Failure> {
    let answer = client.post("/v1/reload", &json!({}))?;
    if args.json {
        print_json(&answer)?;
    } else {
        say(&told(&answer))?;
    }
    Ok(if answer["complete"] == false { Exit::Failure } else { Exit::Ok })
}

/// What changed and what needs a restart.
fn told(answer: &Value) -> String {
    let keys = |name: &str| list(&answer[name]).filter_map(Value::as_str).map(safe).collect::<Vec<_>>();
    let (changed, needs_restart) = (keys("changed"), keys("needs_restart"));
    let mut out = String::new();
    for key in &changed {
        out += &format!("changed:         {key}\n");
    }
    for key in &needs_restart {
        out += &format!("needs a restart: {key}\n");
    }
    if changed.is_empty() && needs_restart.is_empty() {
        out += "nothing has changed\n";
    }
    if answer["complete"] == false {
        out += "not every thread could be told; reload again\n";
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_says_what_changed_and_what_needs_a_restart() {
        let answer = json!({ "changed": ["auth.ttl"], "needs_restart": ["listen"], "complete": true });
        assert_eq!(told(&answer), "changed:         auth.ttl\nneeds a restart: listen\n");
        let answer = json!({ "changed": [], "needs_restart": [], "complete": true });
        assert_eq!(told(&answer), "nothing has changed\n");
    }
}
