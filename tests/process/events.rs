//! What the daemon tells of itself on `/v1/events`.

use crate::caller::Caller;
use crate::daemon::{Config, Daemon, PATIENCE};
use crate::verbs::ask;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// An open stream of events.
struct Events(BufReader<UnixStream>);

impl Events {
    #[track_caller]
    fn follow(daemon: &Daemon, types: &str) -> Self {
        let mut stream = UnixStream::connect(daemon.socket_path()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET /v1/events?types={types} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut events = Self(BufReader::new(stream));
        // The first line that says nothing: from here on nothing is missed.
        events.line(":");
        events
    }

    /// Kind and data of the next one.
    #[track_caller]
    fn next(&mut self) -> (String, Value) {
        let kind = self.line("event: ");
        (kind, serde_json::from_str(&self.line("data: ")).unwrap())
    }

    /// What follows `beginning` on the next line that has it.
    #[track_caller]
    fn line(&mut self, beginning: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended before {beginning:?}");
            if let Some(rest) = line.trim_end().strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }
}

#[test]
fn drains_are_told_whoever_orders_them() {
    let mut daemon = Daemon::start(&Config::default().server("drain_timeout = \"60s\""));
    let mut caller = Caller::new(daemon.server);
    caller.allocate();
    let mut events = Events::follow(&daemon, "drain,reload");
    assert_eq!(ask(&daemon, &["drain"]).code, 0);
    let (kind, said) = events.next();
    assert_eq!((kind.as_str(), &said["draining"], &said["ends"]), ("drain", &json!(true), &json!(false)));
    assert_eq!((&said["sessions"], &said["complete"]), (&json!(1), &json!(true)));
    assert_eq!(ask(&daemon, &["undrain"]).code, 0);
    let (kind, said) = events.next();
    assert_eq!((kind.as_str(), &said["draining"]), ("drain", &json!(false)));
    daemon.signal(libc::SIGTERM);
    let (kind, said) = events.next();
    assert_eq!((kind.as_str(), &said["draining"], &said["ends"]), ("drain", &json!(true), &json!(true)));
    assert_eq!(caller.refresh(0).code, 0);
    assert_eq!(daemon.exit_code(PATIENCE), 0);
}

#[test]
fn reloads_are_told_with_what_came_of_them() {
    let daemon = Daemon::start(&Config::default());
    let mut events = Events::follow(&daemon, "drain,reload");
    daemon.write_config(&Config::default().limits("allocations_per_user = 7").text());
    daemon.signal(libc::SIGHUP);
    let (kind, said) = events.next();
    assert_eq!(
        (kind.as_str(), &said["successful"], &said["complete"]),
        ("reload", &json!(true), &json!(true))
    );
    assert_eq!(said["changed"], json!(["limits.allocations_per_user"]));
    assert!(said["needs_restart"].is_array(), "{said}");
    daemon.write_config(&Config::default().limits("allocations_per_usr = 7").text());
    assert_eq!(ask(&daemon, &["reload"]).code, 1);
    let (kind, said) = events.next();
    assert_eq!((kind.as_str(), &said["successful"]), ("reload", &json!(false)));
    assert!(said["faults"][0]["message"].as_str().unwrap().contains("allocations_per_usr"), "{said}");
}
