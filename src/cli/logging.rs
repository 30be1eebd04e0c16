//! Logs go to stderr. `STILLPOINT_LOG` sets the level (`debug`, `stillpoint::window=trace`, ...).

use super::args::LogFormat;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Each command and event of a window is logged under this target at `info`, with `event`, `pod` and `mono_ns`.
pub const WINDOW: &str = "stillpoint::window";

/// How many lines may wait for a stderr that nobody reads. Later ones are lost: pods wait for no log.
const WAITING: usize = 16_384;
/// How long the last lines may take before the command goes on without them.
const LAST_LINES: Duration = Duration::from_secs(2);

static LINES: OnceLock<SyncSender<Waiting>> = OnceLock::new();

enum Waiting {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Hands lines to a thread that writes them. Never waits.
struct Lines(SyncSender<Waiting>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(Waiting::Line(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(lines: &Receiver<Waiting>, mut to: impl Write) {
    for waiting in lines {
        match waiting {
            // A closed stderr is passed over.
            Waiting::Line(line) => drop(to.write_all(&line)),
            Waiting::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Waits, for a while, until every line so far is written: before anything else is written to stderr.
pub fn flush() {
    let (done, written) = sync_channel(1);
    if LINES.get().is_some_and(|lines| lines.try_send(Waiting::Flush(done)).is_ok()) {
        let _ = written.recv_timeout(LAST_LINES);
    }
}

fn lines_to_stderr() -> SyncSender<Waiting> {
    let (lines, inbox) = sync_channel(WAITING);
    std::thread::spawn(move || write_all(&inbox, io::stderr()));
    lines
}

/// Starts logging for this process; a second call changes nothing.
pub fn start(format: LogFormat, wanted: Option<&str>) {
    let (filter, refused) = filter(format, wanted);
    // Not stderr itself: whoever logs in the middle of a window would wait for a terminal that is held.
    let lines = LINES.get_or_init(lines_to_stderr);
    let layer = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Lines(lines.clone()));
    let started = match format {
        LogFormat::Text => layer.with_ansi(false).try_init(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    if let (Ok(()), Some(refused)) = (started, refused) {
        tracing::warn!("STILLPOINT_LOG is not understood and not used: {refused}");
    }
}

/// The filter, and why `wanted` was not used, if it was not.
fn filter(format: LogFormat, wanted: Option<&str>) -> (EnvFilter, Option<String>) {
    let (base, refused) = match wanted.map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(cause)) => (EnvFilter::new("warn"), Some(cause.to_string())),
        None => (EnvFilter::new("warn"), None),
    };
    let asked_for = wanted.is_some_and(|w| w.contains(WINDOW));
    if format == LogFormat::Text || asked_for {
        return (base, refused);
    }
    match format!("{WINDOW}=info").parse() {
        Ok(directive) => (base.add_directive(directive), refused),
        Err(_) => (base, refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kept::Kept;

    #[test]
    fn events_of_a_window_are_json_lines_with_their_fields_on_top() {
        let kept = Kept::default();
        let writer = kept.clone();
        let (filter, _) = filter(LogFormat::Json, None);
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || writer.clone())
            .json()
            .flatten_event(true)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: WINDOW, event = "pause_sent", pod = "a:1", mono_ns = 7_u64);
            tracing::info!(target: "stillpoint::other", "not shown");
        });
        let text = String::from_utf8(kept.bytes()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert_eq!(
            (&lines[0]["event"], &lines[0]["pod"], &lines[0]["mono_ns"]),
            (&"pause_sent".into(), &"a:1".into(), &7.into())
        );
    }

    #[test]
    fn a_stderr_that_nobody_reads_holds_up_nobody_who_logs() {
        let (sender, inbox) = sync_channel(2);
        let mut lines = Lines(sender);
        for line in 0..5 {
            lines.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        drop(lines);
        let kept = Kept::default();
        write_all(&inbox, kept.clone());
        assert_eq!(kept.bytes(), b"0\n1\n");
    }

    #[test]
    fn a_level_that_makes_no_sense_is_said_and_the_default_stands() {
        let (filter, refused) = filter(LogFormat::Text, Some("stillpoint=loud"));
        assert!(refused.is_some());
        assert_eq!(filter.to_string(), "warn");
    }
}
