//! The window of a point as a timeline that a person can check against the vendor guide's steps of a backup by hand.

use super::args::ViewFlags;
use super::render::table;
use crate::point::{Attempt, Pod, PodState, Point, StillPeriod, Verdict};
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

/// How a point is shown to people.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// Every data set, however many.
    pub all: bool,
    /// Local times beside UTC.
    pub time_zone: Option<Tz>,
}

impl From<ViewFlags> for View {
    fn from(flags: ViewFlags) -> Self {
        View { all: flags.all, time_zone: flags.time_zone }
    }
}

impl View {
    /// An RFC 3339 time in UTC, to the millisecond where there are any, with the local time beside it if one was asked
    /// for. What is no time is given back as it is.
    pub fn time(self, text: &str) -> String {
        let Ok(time) = DateTime::parse_from_rfc3339(text) else { return text.to_owned() };
        let precision = if time.timestamp_subsec_nanos() == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
        let utc = time.with_timezone(&Utc).to_rfc3339_opts(precision, true);
        match self.time_zone {
            None => utc,
            Some(zone) => {
                format!("{utc} ({} {zone})", time.with_timezone(&zone).to_rfc3339_opts(precision, false))
            }
        }
    }
}

/// One line for each step that the point knows of; empty where no window was opened.
pub fn timeline(point: &Point, view: View) -> String {
    let Some(last) = point.attempts.last() else { return String::new() };
    let mut rows: Vec<[String; 4]> = Vec::new();
    let mut row = |step: &str, what: &str, when: String, remark: String| {
        rows.push([step.to_owned(), what.to_owned(), when, remark]);
    };
    row("1", "pods noted", String::new(), targets(point));
    row(
        "2",
        "window opened",
        view.time(&last.started),
        "note written, guard armed; then Pause to every pod".to_owned(),
    );
    if let Some(time) = &point.pause_completed {
        row("3", "pause completed", view.time(time), "every pod answered; running transactions have ended".to_owned());
    }
    if let Some(still) = &point.still_period {
        row("4", "kept still from", view.time(&still.start), "CheckPaused true on every pod".to_owned());
        row(
            "",
            "kept still to",
            view.time(&still.end),
            format!("{:.3} s, true on every pod to the end", seconds(still)),
        );
    }
    row("5", "unpaused", String::new(), unpaused(point));
    if let Some(time) = &point.unpause_started {
        row("6", "unpause time", view.time(time), "the first Unpause is sent".to_owned());
    }
    row("7", "pods compared", String::new(), compared(last));
    match &point.restore_time {
        Some(time) => row("8", "restore time T", view.time(time), "the time for point-in-time recovery".to_owned()),
        None => row("8", "restore time T", "none".to_owned(), "nothing is proven".to_owned()),
    }
    format!("Timeline (the numbers are the steps of a backup by hand)\n{}", table(&["", "step", "time", ""], rows))
}

fn targets(point: &Point) -> String {
    let mut names: Vec<&str> = point.pods.iter().map(|p| p.target.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let pods = count(point.pods.len(), "pod");
    if names.is_empty() { pods } else { format!("{pods} of {}", names.join(", ")) }
}

fn seconds(still: &StillPeriod) -> f64 {
    still.end_mono_ns.saturating_sub(still.start_mono_ns) as f64 / 1e9
}

fn unpaused(point: &Point) -> String {
    let unproven = |p: &&Pod| matches!(p.state, PodState::Paused | PodState::MaybePaused);
    let names: Vec<&str> = point.pods.iter().filter(unproven).map(|p| p.name.as_str()).collect();
    if !names.is_empty() {
        return format!("NOT PROVEN OPEN: {}", names.join(", "));
    }
    match (point.outage_ms, point.client_outage_ms) {
        (None, _) => String::new(),
        (Some(ours), None) => format!("every gate proven open {:.3} s after the first Pause", ours / 1e3),
        (Some(ours), Some(theirs)) => format!(
            "every gate proven open {:.3} s after the first Pause (about {:.1} s for ScalarDB's clients)",
            ours / 1e3,
            theirs / 1e3
        ),
    }
}

fn compared(last: &Attempt) -> String {
    match last.verdict {
        Verdict::Good => "the same pods, none restarted".to_owned(),
        Verdict::Void => {
            let names: Vec<_> = last.violations.iter().map(|v| format!("{} ({})", v.name, v.subject)).collect();
            format!("void: {}", names.join(", "))
        }
    }
}

/// `1 pod`, `3 pods`.
pub fn count(n: usize, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}
