//! One window, read from the pods' own logs and from what the program printed.

use crate::{
    Outcome,
    memory::mb,
    numbers::{greatest, median, ms},
    program::Ran,
    round::Yardstick,
};
use serde::Serialize;
use stillpoint_sandbox::pods::{Event, Method, PodLog};

/// One `create`. Times are milliseconds, memory is millions of bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// `outage_ms` as printed minus the still period: first Pause sent to last gate proven open, without the hold.
    pub extra_ms: f64,
    /// The same by the pods' logs: first Pause received to last gate opened, minus the still period.
    pub extra_by_pods_ms: f64,
    /// `extra_ms` in round trips to a single pod.
    pub extra_round_trips: f64,
    /// `extra_ms` in rounds of calls to all pods, which is what this machine can do at best.
    pub extra_rounds: f64,
    /// First to last Pause received.
    pub spread_ms: f64,
    /// First to last gate closed.
    pub gates_spread_ms: f64,
    /// The longest that any pod was not looked at while its gate was closed.
    pub longest_unseen_ms: f64,
    /// Spawn to exit of the whole command.
    pub command_ms: f64,
    /// Resident memory of the guard while the window holds, median.
    pub guard_idle_mb: Option<f64>,
    /// Resident memory of `create` while the window holds, median.
    pub create_idle_mb: Option<f64>,
    /// Greatest resident memory of the guard.
    pub guard_peak_mb: f64,
    /// Greatest resident memory of `create`.
    pub create_peak_mb: f64,
}

impl Window {
    /// Puts one run and the pods' logs together. An error if they do not show one good window.
    pub fn of(ran: &Ran, logs: &[PodLog], yardstick: &Yardstick) -> Outcome<Self> {
        let still = &ran.printed["still_period"];
        let (start, end) = (still["start_mono_ns"].as_u64(), still["end_mono_ns"].as_u64());
        let (Some(start), Some(end), Some(outage_ms)) = (start, end, ran.printed["outage_ms"].as_f64()) else {
            return Err(format!("`create` printed no still period: {}", ran.printed).into());
        };
        let held_ms = ms(end.saturating_sub(start));
        let paused = Moments::of(logs, ran.spawned_ns, is_pause)?;
        let closed = Moments::of(logs, ran.spawned_ns, |event| matches!(event, Event::GateClosed { .. }))?;
        let opened = Moments::of(logs, ran.spawned_ns, |event| matches!(event, Event::GateOpened { .. }))?;
        let extra_ms = outage_ms - held_ms;
        Ok(Self {
            extra_ms,
            extra_by_pods_ms: ms(opened.last.saturating_sub(paused.first)) - held_ms,
            extra_round_trips: extra_ms / yardstick.round_trip_ms,
            extra_rounds: extra_ms / yardstick.round_ms,
            spread_ms: paused.spread_ms(),
            gates_spread_ms: closed.spread_ms(),
            longest_unseen_ms: greatest(logs.iter().map(|log| longest_unseen_ms(log, ran.spawned_ns))).unwrap_or(0.0),
            command_ms: ms(ran.took_ns),
            guard_idle_mb: median(ran.guard.rss_mb_within(start, end)),
            create_idle_mb: median(ran.own.rss_mb_within(start, end)),
            guard_peak_mb: mb(ran.guard.peak_kib),
            create_peak_mb: mb(ran.own.peak_kib),
        })
    }
}

/// When something first and last happened, over all pods. CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moments {
    /// At the first pod.
    pub first: u64,
    /// At the last pod.
    pub last: u64,
}

impl Moments {
    /// An error if it did not happen exactly once at each pod since `since_ns`.
    pub fn of(logs: &[PodLog], since_ns: u64, wanted: impl Fn(&Event) -> bool) -> Outcome<Self> {
        let mut moments = Vec::with_capacity(logs.len());
        for log in logs {
            let mut found = log.entries.iter().filter(|entry| entry.mono_ns >= since_ns && wanted(&entry.event));
            match (found.next(), found.next()) {
                (Some(entry), None) => moments.push(entry.mono_ns),
                _ => return Err(format!("the log of pod {} does not show one window", log.pod).into()),
            }
        }
        let (first, last) = (moments.iter().min().copied(), moments.iter().max().copied());
        first.zip(last).map(|(first, last)| Self { first, last }).ok_or_else(|| "there are no pods".into())
    }

    fn spread_ms(self) -> f64 {
        ms(self.last.saturating_sub(self.first))
    }
}

/// A Pause arrived.
pub fn is_pause(event: &Event) -> bool {
    matches!(event, Event::Received { method: Method::Pause, .. })
}

/// The longest time without a CheckPaused received, from the gate's closing to its opening.
fn longest_unseen_ms(log: &PodLog, since_ns: u64) -> f64 {
    let mut longest = 0;
    for (closed, opened) in log.gate_closed_intervals() {
        let Some(opened) = opened.filter(|_| closed >= since_ns) else { continue };
        let looks = log.received_at(Method::CheckPaused).into_iter().filter(|at| (closed..opened).contains(at));
        let mut before = closed;
        for at in looks.chain([opened]) {
            longest = longest.max(at.saturating_sub(before));
            before = at;
        }
    }
    ms(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillpoint_sandbox::pods::{Entry, Mover};

    fn log(pod: usize, events: Vec<(u64, Event)>) -> PodLog {
        let entry = |(at, event)| Entry { pod, mono_ns: at * 1_000_000, event };
        PodLog { pod, entries: events.into_iter().map(entry).collect() }
    }

    fn received(method: Method) -> Event {
        Event::Received { call: 1, method, detail: String::new() }
    }

    fn window(pod: usize, from: u64) -> PodLog {
        let mover = Mover::Call { call: 1 };
        let events = vec![
            (from, received(Method::Pause)),
            (from, Event::GateClosed { mover }),
            (from + 10, received(Method::CheckPaused)),
            (from + 700, received(Method::CheckPaused)),
            (from + 900, Event::GateOpened { mover }),
        ];
        log(pod, events)
    }

    #[test]
    fn moments_are_the_first_and_the_last_of_all_pods() {
        let logs = [window(0, 1_000), window(1, 1_005)];
        let paused = Moments::of(&logs, 0, is_pause).unwrap();
        assert_eq!(paused, Moments { first: 1_000_000_000, last: 1_005_000_000 });
        assert_eq!(paused.spread_ms(), 5.0);
        assert!(Moments::of(&logs, 1_001_000_000, is_pause).is_err(), "a pod without a Pause is no window");
    }

    #[test]
    fn the_longest_time_unseen_is_between_two_looks_or_at_an_end() {
        assert_eq!(longest_unseen_ms(&window(0, 1_000), 0), 690.0);
        assert_eq!(longest_unseen_ms(&log(0, Vec::new()), 0), 0.0);
    }
}
