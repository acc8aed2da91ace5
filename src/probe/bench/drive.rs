//! One round: a warm-up, the time that counts, and the wait for what is still under way.

use super::crowd::Crowd;
use super::pace::Pace;
use super::process::{Process, Usage};
use super::round::{Outcome, Round, Ways, Window};
use super::{BenchFailed, RelayOptions, Way};
use std::time::Duration;

/// Lost packets are looked for so often.
const LOOK_EVERY_NS: u64 = 25_000_000;

/// After the last packet the line is quiet for so long before what is missing is lost.
const QUIET_NS: u64 = 1_000_000_000;

/// Bursts that leave before others are received.
const BURSTS_IN_A_ROW: usize = 64;

/// How long a wait for packets is when nothing may be sent before.
const PATIENCE: Duration = Duration::from_millis(1);

/// A round as it was, and what the server used for it.
pub(super) struct Driven {
    pub(super) outcome: Outcome,
    pub(super) usage: Option<(Usage, Usage)>,
}

/// When packets leave.
enum Speed {
    /// When it is time; the number of the next flow among those that are active.
    Paced(Pace, usize),
    /// When others have arrived; when lost ones were looked for last.
    Full { looked_ns: u64 },
}

impl Crowd {
    /// Sends and receives as `options` say. `id`: of this round alone, in all runs of the last minutes.
    pub(super) fn drive(
        &mut self,
        id: u32,
        options: &RelayOptions,
        process: Option<Process>,
    ) -> Result<Driven, BenchFailed> {
        let begin_ns = self.now_ns();
        let warm_ns = begin_ns + options.warm_up.as_nanos() as u64;
        self.round = self.new_round(id, options);
        let mut speed = match options.rate {
            Some(rate) => Speed::Paced(Pace::new(f64::from(rate) / f64::from(options.burst), begin_ns), 0),
            None => Speed::Full { looked_ns: begin_ns },
        };
        let usage = || process.map(Process::usage).transpose();
        self.send_until(warm_ns, &mut speed)?;
        let before = usage()?;
        let begun_ns = self.now_ns();
        self.round.begin_counting(begun_ns);
        self.send_until(begun_ns + options.seconds.as_nanos() as u64, &mut speed)?;
        self.round.stop_counting(self.now_ns());
        let after = usage()?;
        self.await_the_rest()?;
        let outcome = std::mem::replace(&mut self.round, Round::idle()).over();
        Ok(Driven { outcome, usage: before.zip(after) })
    }

    fn new_round(&self, id: u32, options: &RelayOptions) -> Round {
        let ways = Ways { up: options.way != Way::Down, down: options.way != Way::Up };
        let under_way_max = options.rate.is_none().then_some(options.window);
        let window = Window { burst: options.burst, under_way_max };
        Round::new(id, self.clients.len(), ways, options.payload_bytes, window)
    }

    fn send_until(&mut self, over_ns: u64, speed: &mut Speed) -> Result<(), BenchFailed> {
        loop {
            let now_ns = self.now_ns();
            if now_ns >= over_ns {
                return Ok(());
            }
            let patience = match speed {
                Speed::Paced(pace, next) => self.send_due(pace, next, now_ns),
                Speed::Full { looked_ns } => self.send_ready(looked_ns, now_ns),
            };
            patience.and_then(|patience| self.pump(patience)).map_err(|error| self.lost(&error))?;
        }
    }

    /// Sends what is due by the clock. Returns how long to wait for what arrives.
    fn send_due(&mut self, pace: &mut Pace, next: &mut usize, now_ns: u64) -> std::io::Result<Duration> {
        for _ in 0..pace.due(now_ns) {
            let active = self.round.active();
            let flow = active[*next % active.len()];
            *next += 1;
            self.send_burst(flow)?;
        }
        Ok(pace.patience(now_ns))
    }

    /// Sends for those who have room. Each has one turn before others have their second, so that bursts stay apart.
    fn send_ready(&mut self, looked_ns: &mut u64, now_ns: u64) -> std::io::Result<Duration> {
        if now_ns - *looked_ns > LOOK_EVERY_NS {
            *looked_ns = now_ns;
            self.round.give_up_lost(now_ns);
        }
        for _ in 0..BURSTS_IN_A_ROW {
            let Some(flow) = self.round.next_ready() else { return Ok(PATIENCE) };
            self.send_burst(flow)?;
        }
        Ok(Duration::ZERO)
    }

    fn await_the_rest(&mut self) -> Result<(), BenchFailed> {
        let (mut arrived, mut moved_ns) = (self.round.arrived(), self.now_ns());
        while !self.round.is_whole() && self.now_ns() < moved_ns + QUIET_NS {
            self.pump(PATIENCE).map_err(|error| self.lost(&error))?;
            if self.round.arrived() > arrived {
                (arrived, moved_ns) = (self.round.arrived(), self.now_ns());
            }
        }
        Ok(())
    }
}
