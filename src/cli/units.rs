//! Long work on many data sets, while it goes on: a bar on a terminal, lines elsewhere, JSON lines where logs are JSON.

use super::args::LogFormat;
use crate::settings::duration_text;
use crate::workflow::{Moved, Snapshot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Between two plain lines about all of it.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Shows data sets, phases, time passed and time left. Made for one command; dropping it takes the bar away.
pub struct Units {
    what: &'static str,
    show: Show,
    /// When a line about all of it was last written.
    told_at: Duration,
}

enum Show {
    Bar(ProgressBar),
    Lines(Box<dyn Write + Send>),
    Json(Box<dyn Write + Send>),
}

impl Units {
    /// On stderr, as fits what stderr is. `what` is the deed: `preparing`.
    pub fn on_stderr(format: LogFormat, what: &'static str) -> Self {
        let show = match format {
            LogFormat::Json => Show::Json(Box::new(std::io::stderr())),
            LogFormat::Text if std::io::stderr().is_terminal() => Show::Bar(bar()),
            LogFormat::Text => Show::Lines(Box::new(std::io::stderr())),
        };
        Units { what, show, told_at: Duration::ZERO }
    }

    /// Told by the engine. Progress that cannot be shown stops nothing: a closed stderr is passed over.
    pub fn seen(&mut self, snapshot: &Snapshot) {
        let due = snapshot.elapsed.saturating_sub(self.told_at) >= LINE_EVERY;
        if due {
            self.told_at = snapshot.elapsed;
        }
        let summary = self.summary(snapshot);
        match &mut self.show {
            Show::Bar(bar) => {
                bar.set_length(u64::try_from(snapshot.total).unwrap_or(u64::MAX));
                bar.set_position(u64::try_from(snapshot.done).unwrap_or(u64::MAX));
                bar.set_message(summary);
                bar.tick();
            }
            Show::Lines(writer) => {
                for moved in &snapshot.moved {
                    let _ = writeln!(writer, "{}", line(moved));
                }
                if due {
                    let _ = writeln!(writer, "{summary}");
                }
            }
            Show::Json(writer) => {
                for moved in &snapshot.moved {
                    let _ = writeln!(writer, "{}", json(self.what, moved, snapshot));
                }
            }
        }
    }

    fn summary(&self, snapshot: &Snapshot) -> String {
        let phases = snapshot.phases.iter().filter(|(phase, _)| !phase.is_empty());
        let phases: Vec<String> = match snapshot.phases.len() {
            // Many different ones say nothing in one line.
            0..=4 => phases.map(|(phase, count)| format!("{count} {phase}")).collect(),
            _ => Vec::new(),
        };
        let left = snapshot.left.map(|left| format!("about {} left", rounded(left)));
        let head = format!("{} {}/{}", self.what, snapshot.done, snapshot.total);
        let time = format!("{} passed", rounded(snapshot.elapsed));
        std::iter::once(head).chain(phases).chain([time]).chain(left).collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
    }
}

fn line(moved: &Moved) -> String {
    format!("{}  {}  {}", moved.unit.unit, moved.text, rounded(moved.elapsed))
}

fn json(what: &str, moved: &Moved, snapshot: &Snapshot) -> serde_json::Value {
    let ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    serde_json::json!({
        "level": "INFO",
        "event": what,
        "database": moved.unit.database,
        "data_set": moved.unit.unit,
        "phase": moved.text,
        "elapsed_ms": ms(moved.elapsed),
        "done": snapshot.done,
        "total": snapshot.total,
        "left_ms": snapshot.left.map(ms),
    })
}

/// Whole seconds.
fn rounded(length: Duration) -> String {
    duration_text(Duration::from_secs(length.as_secs()))
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kept::Kept;
    use crate::workflow::UnitKey;

    fn told(show: impl FnOnce(Box<dyn Write + Send>) -> Show) -> String {
        let kept = Kept::default();
        let mut units = Units { what: "preparing", show: show(Box::new(kept.clone())), told_at: Duration::ZERO };
        let unit = UnitKey { database: "bank".into(), unit: "bank.account".into() };
        let moved = Moved { unit, text: "restoring".into(), elapsed: Duration::from_millis(2_500) };
        let phases = [("restoring".to_owned(), 3)].into();
        let mut snapshot = Snapshot { total: 4, done: 1, phases, moved: vec![moved], ..Snapshot::default() };
        units.seen(&snapshot);
        snapshot.moved.clear();
        snapshot.elapsed = Duration::from_secs(31);
        snapshot.left = Some(Duration::from_secs(125));
        units.seen(&snapshot);
        String::from_utf8(kept.bytes()).unwrap()
    }

    #[test]
    fn lines_tell_each_step_of_each_data_set_and_now_and_then_all_of_it() {
        let text = told(Show::Lines);
        assert_eq!(text.lines().next(), Some("bank.account  restoring  2s"));
        let all = text.lines().nth(1).unwrap();
        assert!(all.starts_with("preparing 1/4, 3 restoring, 31s passed, about "), "{all}");
    }

    #[test]
    fn json_lines_have_table_phase_time_and_estimate() {
        let text = told(Show::Json);
        let value: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((value["data_set"].as_str(), value["phase"].as_str()), (Some("bank.account"), Some("restoring")));
        assert_eq!((value["elapsed_ms"].as_u64(), value["total"].as_u64()), (Some(2500), Some(4)));
        assert!(value["left_ms"].is_null());
    }
}
