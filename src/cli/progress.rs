//! What is going on, while it goes on: one live line on a terminal, plain lines elsewhere, nothing where logs are JSON.

use super::args::LogFormat;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Between two plain lines of one phase.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows phases, pods and seconds. Made for one command; dropping it takes the live line away.
pub struct Progress {
    show: Show,
    phase: String,
    pods: Option<(usize, usize)>,
    elapsed: Duration,
    /// Elapsed time at the last plain line.
    told_at: Duration,
}

enum Show {
    Live(ProgressBar),
    Lines(Box<dyn Write + Send>),
    Silent,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("phase", &self.phase).field("pods", &self.pods).finish_non_exhaustive()
    }
}

impl Progress {
    /// On stderr, as fits what stderr is.
    pub fn on_stderr(format: LogFormat) -> Self {
        let show = match format {
            LogFormat::Json => Show::Silent,
            LogFormat::Text if std::io::stderr().is_terminal() => Show::Live(live_line()),
            LogFormat::Text => Show::Lines(Box::new(std::io::stderr())),
        };
        Progress::showing(show)
    }

    /// Plain lines to any writer.
    pub fn in_lines(writer: impl Write + Send + 'static) -> Self {
        Progress::showing(Show::Lines(Box::new(writer)))
    }

    fn showing(show: Show) -> Self {
        Progress { show, phase: String::new(), pods: None, elapsed: Duration::ZERO, told_at: Duration::ZERO }
    }

    /// A new phase begins; its name reads as a sentence: `pausing`, `holding still`, `unpausing`.
    pub fn phase(&mut self, name: &str) {
        if self.phase != name {
            name.clone_into(&mut self.phase);
            self.tell(true);
        }
    }

    /// How many pods are proven paused, of how many.
    pub fn pods(&mut self, paused: usize, total: usize) {
        if self.pods != Some((paused, total)) {
            self.pods = Some((paused, total));
            self.tell(false);
        }
    }

    /// Time since the phase's clock began: in a window, since the first Pause.
    pub fn tick(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
        let due = elapsed.saturating_sub(self.told_at) >= LINE_EVERY;
        self.tell(due);
    }

    /// A line that stays: a finding, a warning, the start of another attempt.
    pub fn note(&mut self, line: &str) {
        match &mut self.show {
            Show::Live(bar) => bar.suspend(|| eprintln!("{line}")),
            Show::Lines(writer) => {
                let _ = writeln!(writer, "{line}");
            }
            Show::Silent => {}
        }
    }

    /// The end: the live line goes away; what follows is the result.
    pub fn done(&mut self) {
        if let Show::Live(bar) = &self.show {
            bar.finish_and_clear();
        }
    }

    /// A plain line is written only when `due`; a live one is drawn anew each time. Progress that cannot be shown must
    /// not stop a window, so a closed stderr is passed over.
    fn tell(&mut self, due: bool) {
        let line = self.line();
        match &mut self.show {
            Show::Live(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            Show::Lines(writer) if due => {
                self.told_at = self.elapsed;
                let _ = writeln!(writer, "{line}");
            }
            Show::Lines(_) | Show::Silent => {}
        }
    }

    fn line(&self) -> String {
        let mut line = self.phase.clone();
        if let Some((paused, total)) = self.pods {
            line.push_str(&format!("  pods paused {paused}/{total}"));
        }
        if !self.elapsed.is_zero() {
            line.push_str(&format!("  {:.1} s", self.elapsed.as_secs_f64()));
        }
        line
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}

fn live_line() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kept::Kept;

    #[test]
    fn where_there_is_no_terminal_a_phase_is_a_line_and_a_long_one_says_that_it_lives() {
        let kept = Kept::default();
        let mut progress = Progress::in_lines(kept.clone());
        progress.phase("pausing");
        progress.pods(0, 3);
        progress.pods(3, 3);
        progress.phase("holding still");
        for tenths in 0..=105 {
            progress.tick(Duration::from_millis(100 * tenths));
        }
        progress.phase("holding still");
        progress.note("attempt 1 is void: OpenedEarly on a:1");
        progress.done();
        let text = String::from_utf8(kept.bytes()).unwrap();
        let expected = "pausing\nholding still  pods paused 3/3\nholding still  pods paused 3/3  10.0 s\n\
                        attempt 1 is void: OpenedEarly on a:1\n";
        assert_eq!(text, expected);
    }
}
