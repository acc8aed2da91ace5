//! Lines on their way from the threads that log to the thread that writes.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait; some hundred bytes each, a few tens of KiB at most.
const LINES_MAX: usize = 1024;
/// How long the end of the process may wait for a reader that does not read.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

enum Item {
    Line(Vec<u8>),
    /// Answered once everything before it is written.
    Flush(Sender<()>),
}

/// The entrance of the queue.
#[derive(Clone)]
pub(super) struct Lines {
    queue: Sender<Item>,
    dropped: Arc<AtomicU64>,
}

/// Writes out what is queued when it is dropped; keep it until the end of the process.
#[must_use = "without it the last lines are lost"]
pub struct LogGuard {
    queue: Sender<Item>,
}

/// Starts the thread that writes to `out` until the process ends.
pub(super) fn start(out: impl Write + Send + 'static) -> (Lines, LogGuard) {
    start_bounded(out, LINES_MAX)
}

fn start_bounded(out: impl Write + Send + 'static, lines_max: usize) -> (Lines, LogGuard) {
    let (queue, items) = bounded(lines_max);
    let dropped = Arc::new(AtomicU64::new(0));
    let lines = Lines { queue: queue.clone(), dropped: dropped.clone() };
    let spawned =
        std::thread::Builder::new().name("log".into()).spawn(move || write_all(out, &items, &dropped));
    if let Err(error) = spawned {
        // Without the thread the queue has no exit and drops all; that much can still be said.
        eprintln!("no thread for the log: {error}");
    }
    (lines, LogGuard { queue })
}

/// Errors of stderr have nowhere to go.
fn write_all(mut out: impl Write, items: &Receiver<Item>, dropped: &AtomicU64) {
    for item in items {
        match item {
            Item::Line(line) => {
                let _ = out.write_all(&line);
            }
            Item::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        let count = dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            let _ = writeln!(out, "<4>{count} log lines dropped: stderr is read too slowly");
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let (done, written) = bounded(1);
        if self.queue.send_timeout(Item::Flush(done), FLUSH_WAIT).is_ok() {
            // Late is no worse than never: the process ends either way.
            let _ = written.recv_timeout(FLUSH_WAIT);
        }
    }
}

impl Write for &Lines {
    /// Takes one whole line, as the formatting layer hands it over, and never waits.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Item::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A reader that reads only while the test lets it, and tells when it is held up.
    struct Slow {
        entered: Sender<()>,
        gate: Receiver<()>,
        text: Arc<Mutex<String>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.entered.try_send(());
            // A test that is over lets everything through.
            let _ = self.gate.recv();
            self.text.lock().expect("free").push_str(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_holds_up_no_thread_that_logs_and_the_loss_is_told() {
        let (entered, inside) = bounded(1);
        let (open, gate) = bounded(0);
        let text = Arc::new(Mutex::new(String::new()));
        let (lines, guard) = start_bounded(Slow { entered, gate, text: text.clone() }, 2);
        let (logged, returned) = bounded(1);
        std::thread::spawn(move || {
            let log = |line: &str| (&lines).write(line.as_bytes()).expect("never fails");
            log("1\n");
            inside.recv().expect("the first line is being written");
            for line in ["2\n", "3\n", "4\n", "5\n", "6\n"] {
                log(line);
            }
            logged.send(()).expect("the test waits");
        });
        // Two fit into the queue behind the first; all calls return although nobody reads.
        returned.recv_timeout(Duration::from_secs(10)).expect("a thread that logs never waits");
        drop(open);
        drop(guard);
        let text = text.lock().expect("free").clone();
        assert!(text.starts_with("1\n<4>3 log lines dropped"), "{text}");
        assert!(text.ends_with("2\n3\n"), "{text}");
    }

    #[test]
    fn dropping_the_guard_writes_out_what_is_queued_in_order() {
        let text = Arc::new(Mutex::new(String::new()));
        let (entered, _inside) = bounded(1);
        let (open, gate) = bounded(0);
        drop(open);
        let (lines, guard) = start(Slow { entered, gate, text: text.clone() });
        let wanted: String = (0..100).map(|n| format!("{n}\n")).collect();
        for line in wanted.split_inclusive('\n') {
            (&lines).write_all(line.as_bytes()).expect("never fails");
        }
        drop(guard);
        assert_eq!(*text.lock().expect("free"), wanted);
    }
}
