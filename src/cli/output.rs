//! What a command prints: one object to stdout, as JSON or as tables, and everything else to stderr.

use super::args::{LogFormat, Output};
use super::failures::Failures;
use super::{render, timeline::View, verified};
use crate::demo::{Audited, Look, Story};
use crate::point::{ErrorReport, Pod, Point, State};
use crate::restore_point::drill::{DrillReport, page};
use crate::restore_point::prepare::RunReport;
use crate::restore_point::verify::VerifyReport;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Write;

/// The outcome of a command: what it found, and what went wrong. The exit code follows from the failures.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is printed to stdout.
    pub body: Body,
    /// What went wrong; empty = exit 0.
    pub failures: Failures,
}

/// The object on stdout. Failures keep its shape.
#[derive(Clone, Debug)]
pub enum Body {
    /// `check`, `create`, `show`, `seal`, `prepare`, `pause`, `unpause`, `recover`, `demo`: a point, or as much of one as there is.
    Point(Box<Point>, View),
    /// `verify`: a point, and what was found, unless nothing could be.
    Verified(Box<Point>, Option<Box<VerifyReport>>, View),
    /// `drill`: a point, and what was shown, if it came to an end; whether the page went to a file.
    Drilled(Box<Point>, Option<Box<DrillReport>>, bool, View),
    /// `demo`: its point, and every second it tried.
    Demo(Box<Story>),
    /// Nothing more: all was printed while the command ran.
    Nothing,
    /// `list`
    List(List),
    /// `status`
    Status(Status),
    /// `prune`
    Prune(Prune),
    /// `config show`, `config check`
    Config(ConfigReport),
    /// Text for another program: under a key in JSON, bare otherwise.
    Text(Text),
}

/// A point with the seconds that the demo tried.
#[derive(Serialize)]
struct DemoReport<'a> {
    #[serde(flatten)]
    point: &'a Point,
    seconds: &'a [Audited],
    looks: &'a [Look],
    transfers_after: u64,
}

/// A point with what a drill has shown.
#[derive(Serialize)]
struct DrilledPoint<'a> {
    #[serde(flatten)]
    point: &'a Point,
    drill: Option<&'a DrillReport>,
}

/// A point with what verification found.
#[derive(Serialize)]
struct VerifiedPoint<'a> {
    #[serde(flatten)]
    point: &'a Point,
    verify: Option<&'a VerifyReport>,
}

/// `list`: every readable point, oldest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct List {
    /// Points.
    pub points: Vec<Point>,
    /// The command's exit code; set when it is printed.
    pub exit_code: u8,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why the command failed.
    pub error: Option<ErrorReport>,
}

/// `status`: what is open, held and running.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Open window notes.
    pub notes: Vec<NoteReport>,
    /// Locks that are held.
    pub locks: Vec<LockReport>,
    /// Durable work that goes on, or was left and can be gone on with.
    pub runs: Vec<RunReport>,
    /// The command's exit code; set when it is printed.
    pub exit_code: u8,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why the command failed.
    pub error: Option<ErrorReport>,
}

/// `prune`: what retention would remove, or has.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Prune {
    /// Nothing was removed: it was only asked what would be. `None` where the command failed before it looked.
    pub dry_run: Option<bool>,
    /// As it would be written; points that are younger are kept.
    pub keep: Option<String>,
    /// So many of the newest points that can be restored are kept at least.
    pub keep_last: Option<u32>,
    /// Every point that could be removed, oldest first.
    pub points: Vec<PrunePoint>,
    /// The command's exit code; set when it is printed.
    pub exit_code: u8,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why the command failed.
    pub error: Option<ErrorReport>,
}

/// One point that retention has looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrunePoint {
    /// The point's id.
    pub id: String,
    /// Where it stands now.
    pub state: Option<State>,
    /// T, RFC 3339.
    pub restore_time: Option<String>,
    /// Since T: on the databases' clocks where ages decide.
    pub age_seconds: i64,
    /// Backups that `prepare` made for it and that are recorded as being there.
    pub backups: usize,
    /// `keep`, `would_prune`, `pruned`, `failed`.
    pub action: String,
    /// Why, for people.
    pub reason: String,
}

/// One open window note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoteReport {
    /// The id of the point that the window is for.
    pub id: String,
    /// The process that paused.
    pub owner_pid: Option<u32>,
    /// The process that unpauses when that one cannot.
    pub guard_pid: Option<u32>,
    /// RFC 3339.
    pub deadline: String,
    /// The pods that may be paused.
    pub pods: Vec<Pod>,
}

/// One lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockReport {
    /// Which lock.
    pub name: String,
    /// Who holds it, for people: process and host.
    pub holder: String,
    /// RFC 3339.
    pub until: String,
}

/// `config show` and `config check`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConfigReport {
    /// What is true, value by value.
    pub settings: Vec<SettingReport>,
    /// What must be put right.
    pub problems: Vec<ProblemReport>,
    /// For people, instead of the table of settings.
    #[serde(skip)]
    pub summary: Option<String>,
    /// The command's exit code; set when it is printed.
    pub exit_code: u8,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why the command failed.
    pub error: Option<ErrorReport>,
}

/// One value and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingReport {
    /// Dotted path.
    pub key: String,
    /// As it would be written; null where there is none.
    pub value: Value,
    /// `default`, `<file>:<line>`, `env <NAME>`, `flag <--name>`.
    pub source: String,
}

/// One thing to put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProblemReport {
    /// Stable name.
    pub name: String,
    /// Dotted path.
    pub key: Option<String>,
    /// Where it was written.
    pub source: Option<String>,
    /// What, on which object, why.
    pub message: String,
    /// What next.
    pub hint: String,
}

/// Text for another program: a completion script, a help page.
#[derive(Clone, Debug)]
pub struct Text {
    /// The key in JSON.
    pub key: &'static str,
    /// `None` where the command failed.
    pub text: Option<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

impl Report {
    /// A success.
    pub fn of(body: Body) -> Self {
        Report { body, failures: Failures::none() }
    }

    /// A failure with nothing found, in the shape of `verb`'s success.
    pub fn failed(verb: Option<&str>, failures: impl Into<Failures>) -> Self {
        Report { body: Body::empty(verb), failures: failures.into() }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        self.failures.exit_code()
    }

    /// Prints everything. A closed stdout or stderr is passed over: the exit code still tells.
    pub fn print(&self, output: Output, format: LogFormat, stdout: &mut dyn Write, stderr: &mut dyn Write) {
        let text = match output {
            Output::Json if matches!(self.body, Body::Nothing) => String::new(),
            Output::Json => format!("{}\n", self.json()),
            Output::Table => self.table(),
            // Whoever reads the other tool's output takes any line for a success.
            Output::Sak if matches!(self.body, Body::Text(_)) => self.table(),
            Output::Sak => String::new(),
        };
        let _ = stdout.write_all(text.as_bytes());
        let _ = stdout.flush();
        let _ = stderr.write_all(self.remarks(format).as_bytes());
    }

    /// The object on one line, with exit code and error filled in.
    pub fn json(&self) -> String {
        let (exit_code, error) = (self.exit_code(), self.failures.report());
        let text = match &self.body {
            Body::Point(point, _) => serde_json::to_string(&Point { exit_code, error, ..Point::clone(point) }),
            Body::Verified(point, found, _) => {
                let point = Point { exit_code, error, ..Point::clone(point) };
                serde_json::to_string(&VerifiedPoint { point: &point, verify: found.as_deref() })
            }
            Body::Drilled(point, found, ..) => {
                let point = Point { exit_code, error, ..Point::clone(point) };
                serde_json::to_string(&DrilledPoint { point: &point, drill: found.as_deref() })
            }
            Body::Demo(story) => {
                let point = Point { exit_code, error, ..story.point.clone() };
                serde_json::to_string(&DemoReport {
                    point: &point,
                    seconds: &story.audits,
                    looks: &story.looks,
                    transfers_after: story.transfers_after,
                })
            }
            Body::Nothing => return String::new(),
            Body::List(list) => serde_json::to_string(&List { exit_code, error, ..list.clone() }),
            Body::Status(status) => serde_json::to_string(&Status { exit_code, error, ..status.clone() }),
            Body::Prune(prune) => serde_json::to_string(&Prune { exit_code, error, ..prune.clone() }),
            Body::Config(config) => serde_json::to_string(&ConfigReport { exit_code, error, ..config.clone() }),
            Body::Text(Text { key, text, warnings }) => {
                let object = json!({ *key: text, "exit_code": exit_code, "warnings": warnings, "error": error });
                return object.to_string();
            }
        };
        // These types hold nothing that JSON cannot: were it so after all, the object is still one, and says so.
        text.unwrap_or_else(|cause| {
            json!({ "exit_code": exit_code, "error": {"name": "output", "message": cause.to_string(), "hint": ""} })
                .to_string()
        })
    }

    /// The outcome in one line, for a container's last words: exit code, then the verdict or what went wrong.
    pub fn verdict_line(&self) -> String {
        let code = self.exit_code();
        if let Some(ErrorReport { name, message, hint }) = self.failures.report() {
            return format!("exit {code}: {name}: {message} (hint: {hint})").replace('\n', "; ");
        }
        let point = match &self.body {
            Body::Point(point, _) => Some(&**point),
            Body::Demo(story) => Some(&story.point),
            _ => None,
        };
        let verdict = point.and_then(|point| Some((point.id.as_ref()?, point.restore_time.as_ref()?)));
        match verdict {
            Some((id, restore_time)) => format!("exit {code}: good: {id}, restore time {restore_time}"),
            None => format!("exit {code}: done"),
        }
    }

    fn table(&self) -> String {
        match &self.body {
            Body::Point(point, view) => match render::point(point, *view) {
                nothing if nothing.is_empty() && self.failures.is_empty() => "nothing to do\n".to_owned(),
                told => told,
            },
            Body::Verified(point, found, view) => verified::verified(point, found.as_deref(), *view),
            Body::Drilled(point, Some(found), false, _) => page(point, found),
            Body::Drilled(point, _, _, view) => render::point(point, *view),
            Body::Demo(story) => render::demo(story),
            Body::Nothing => String::new(),
            Body::List(list) if list.points.is_empty() && !self.failures.is_empty() => String::new(),
            Body::List(list) => render::list(&list.points),
            // Beside a failure, what was found is shown; that there is nothing more is not claimed.
            Body::Status(Status { notes, locks, .. })
                if notes.is_empty() && locks.is_empty() && !self.failures.is_empty() =>
            {
                String::new()
            }
            Body::Status(status) => render::status(status),
            Body::Prune(prune) if prune.points.is_empty() && !self.failures.is_empty() => String::new(),
            Body::Prune(prune) => render::prune(prune),
            Body::Config(ConfigReport { summary: Some(summary), .. }) => summary.clone(),
            Body::Config(config) => render::config(config),
            Body::Text(text) => text.text.clone().unwrap_or_default(),
        }
    }

    /// Warnings and failures, for stderr.
    fn remarks(&self, format: LogFormat) -> String {
        let warnings = self.body.warnings();
        match format {
            LogFormat::Text => {
                let warnings: String = warnings.iter().map(|w| format!("warning: {w}\n")).collect();
                format!("{warnings}{}", self.failures)
            }
            LogFormat::Json => {
                let warnings = warnings.iter().map(|w| json!({"level": "WARN", "event": "warning", "message": w}));
                let failures = self.failures.iter().map(|f| {
                    let ErrorReport { name, message, hint } = f.report();
                    json!({"level": "ERROR", "event": "failure", "name": name, "message": message, "hint": hint})
                });
                warnings.chain(failures).map(|line| format!("{line}\n")).collect()
            }
        }
    }
}

impl Body {
    /// The shape of a verb's object with nothing in it.
    pub fn empty(verb: Option<&str>) -> Self {
        match verb {
            Some("list") => Body::List(List::default()),
            Some("status") => Body::Status(Status::default()),
            Some("prune") => Body::Prune(Prune::default()),
            Some("config") => Body::Config(ConfigReport::default()),
            Some("completions") => Body::Text(Text { key: "script", text: None, warnings: Vec::new() }),
            Some("sandbox") => Body::Text(Text { key: "config", text: None, warnings: Vec::new() }),
            Some("drill") => Body::Drilled(Box::default(), None, false, View::default()),
            Some("verify") => Body::Verified(Box::default(), None, View::default()),
            _ => Body::Point(Box::default(), View::default()),
        }
    }

    fn warnings(&self) -> &[String] {
        match self {
            Body::Point(point, _) | Body::Verified(point, ..) | Body::Drilled(point, ..) => &point.warnings,
            Body::Demo(story) => &story.point.warnings,
            Body::Nothing => &[],
            Body::List(list) => &list.warnings,
            Body::Status(status) => &status.warnings,
            Body::Prune(prune) => &prune.warnings,
            Body::Config(config) => &config.warnings,
            Body::Text(text) => &text.warnings,
        }
    }
}
