//! What to do, from `--name value` pairs.

use crate::dialect::Dialect;
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

pub(crate) struct Options {
    pub(crate) server: SocketAddr,
    /// The server's process.
    pub(crate) pid: u32,
    pub(crate) dialect: Dialect,
    /// One for each session.
    pub(crate) users: Vec<User>,
    /// Bytes of a candidate's JSON.
    pub(crate) payload: usize,
    /// Events a second over all sessions, when they are paced.
    pub(crate) rate: u32,
    /// How long the connected sessions are silent before memory is read.
    pub(crate) idle: Duration,
    /// How long a load lasts before it is measured.
    pub(crate) warm_up: Duration,
    /// How long the paced load is measured; 0 leaves it out.
    pub(crate) paced: Duration,
    /// The same for the load at full speed.
    pub(crate) full: Duration,
}

pub(crate) struct User {
    /// The subject of its token.
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut given = Given(HashMap::new());
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            given.0.insert(name, value);
        }
        let options = Self {
            server: given.take("--server")?,
            pid: given.take("--pid")?,
            dialect: given.take("--dialect")?,
            users: read_users(&given.take::<String>("--users")?)?,
            payload: given.take("--payload")?,
            rate: given.take("--rate")?,
            idle: given.seconds("--idle")?,
            warm_up: given.seconds("--warm-up")?,
            paced: given.seconds("--paced")?,
            full: given.seconds("--full")?,
        };
        match given.0.keys().next() {
            Some(unknown) => Err(format!("no such option: {unknown}").into()),
            None => Ok(options),
        }
    }
}

struct Given(HashMap<String, String>);

impl Given {
    fn take<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<T, Box<dyn Error>> {
        let value = self.0.remove(name).ok_or_else(|| format!("{name} is missing"))?;
        value.parse().map_err(|error| format!("{name} {value}: {error}").into())
    }

    fn seconds(&mut self, name: &str) -> Result<Duration, Box<dyn Error>> {
        Ok(Duration::try_from_secs_f64(self.take(name)?)?)
    }
}

/// Lines of `ID TOKEN`; the first and second are a pair, and so on.
fn read_users(path: &str) -> Result<Vec<User>, Box<dyn Error>> {
    let user = |line: &str| {
        let (id, token) = line.split_once(' ')?;
        Some(User { id: id.to_owned(), token: token.to_owned() })
    };
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let users: Option<Vec<_>> = text.lines().map(user).collect();
    let users = users.ok_or_else(|| format!("{path}: not `ID TOKEN` in each line"))?;
    if users.is_empty() || users.len() % 2 == 1 {
        return Err(format!("{path}: {} users are no pairs", users.len()).into());
    }
    Ok(users)
}
