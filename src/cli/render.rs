//! Tables for people. Scripts read the JSON.

use super::output::{ConfigReport, Prune, Status};
use super::timeline::{View, count, timeline};
use crate::demo::Story;
use crate::point::{DataSetReport, Database, PodRow, PodSeen, PodState, Point, State, Verdict};
use comfy_table::Table;
use serde_json::Value;

/// Where a database has more data sets than this, only those that stand out are listed.
const MANY: usize = 12;

/// A plain table: columns two spaces apart, no lines, nothing at the ends of rows. An empty header is left out.
pub fn table<const N: usize>(header: &[&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    if header.iter().any(|h| !h.is_empty()) {
        table.set_header(header.iter().map(|h| h.to_uppercase()).collect::<Vec<_>>());
    }
    table.add_rows(rows.into_iter().map(Vec::from));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// A point, or as much of one as there is. Nothing for a point with nothing in it.
pub fn point(point: &Point, view: View) -> String {
    let sections = [
        summary(point, view),
        timeline(point, view),
        violations(point, view),
        pods(point, view),
        before_and_after(point, view),
        databases(&point.databases, view),
    ];
    let told: Vec<String> = sections.into_iter().filter(|s| !s.is_empty()).collect();
    told.join("\n")
}

fn summary(point: &Point, view: View) -> String {
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut row = |what: &str, value: Option<String>| rows.extend(value.map(|v| [what.to_owned(), v]));
    row("Restore point", point.id.clone());
    row("State", point.state.map(|s| state(s).to_owned()));
    row("Verdict", point.verdict.map(|v| verdict(v).to_owned()));
    row("Restore time", point.restore_time.as_deref().map(|t| view.time(t)));
    row("Outage", point.outage_ms.map(|ms| format!("{:.3} s", ms / 1e3)));
    row("Attempts", (!point.attempts.is_empty()).then(|| point.attempts.len().to_string()));
    if rows.is_empty() { String::new() } else { table(&["", ""], rows) }
}

fn violations(point: &Point, view: View) -> String {
    let mut rows = Vec::new();
    for (n, attempt) in point.attempts.iter().enumerate() {
        for violation in &attempt.violations {
            rows.push([
                (n + 1).to_string(),
                view.time(&attempt.started),
                violation.name.clone(),
                violation.subject.clone(),
                violation.detail.clone(),
            ]);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    table(&["attempt", "started", "violation", "subject", "what was seen"], rows)
}

/// All of them, or, of many, a count and those whose gate is not open.
fn pods(point: &Point, view: View) -> String {
    let collapse = point.pods.len() > MANY && !view.all;
    let shown: Vec<_> = point.pods.iter().filter(|p| !collapse || p.state != PodState::Open).collect();
    let mut text = String::new();
    if collapse {
        let open = point.pods.len() - shown.len();
        text.push_str(&format!("{}, {open} open (--all lists them)\n", count(point.pods.len(), "pod")));
    }
    if shown.is_empty() {
        return text;
    }
    let rows =
        shown.into_iter().map(|p| [p.name.clone(), p.target.clone(), p.address.clone(), gate(p.state).to_owned()]);
    text + &table(&["pod", "target", "address", "gate"], rows)
}

/// The pods before and after the window; of many, only those that do not read alike.
fn before_and_after(point: &Point, view: View) -> String {
    let collapse = point.pod_table.len() > MANY && !view.all;
    let shown: Vec<_> = point.pod_table.iter().filter(|row| !collapse || row.before != row.after).collect();
    let mut text = String::new();
    if collapse {
        let alike = point.pod_table.len() - shown.len();
        text.push_str(&format!(
            "{} before and after, {alike} unchanged (--all lists them)\n",
            count(point.pod_table.len(), "pod")
        ));
    }
    if shown.is_empty() {
        return text;
    }
    let status = |seen: &Option<PodSeen>| seen.as_ref().map_or_else(|| "-".to_owned(), |seen| seen.status.clone());
    let restarts = |seen: &Option<PodSeen>| match seen.as_ref().and_then(|seen| seen.restarts) {
        Some(restarts) => restarts.to_string(),
        None => "-".to_owned(),
    };
    let rows = shown.into_iter().map(|row| {
        let PodRow { target, pod, before, after } = row;
        [pod.clone(), target.clone(), status(before), restarts(before), status(after), restarts(after)]
    });
    text + &table(&["pod", "target", "status before", "restarts", "status after", "restarts"], rows)
}

fn databases(databases: &[Database], view: View) -> String {
    let mut out = Vec::new();
    for database in databases {
        let clock = match &database.clock {
            Some(c) => format!("clock {:+.0} to {:+.0} ms against ours", c.offset_low_ms, c.offset_high_ms),
            None => "clock not measured".to_owned(),
        };
        let head = format!("Database {} ({}), {clock}\n", database.name, database.provider);
        out.push(head + &data_sets(&database.data_sets, view));
    }
    out.join("\n")
}

/// All of them, or, of many, a count by state and those that are not as they should be.
fn data_sets(sets: &[DataSetReport], view: View) -> String {
    let ordinary = |s: &&DataSetReport| match s.state.as_deref() {
        // Its reason says which backup.
        Some("prepared") => true,
        state => s.reason.is_none() && matches!(state, None | Some("ok" | "confirmed")),
    };
    let collapse = sets.len() > MANY && !view.all;
    let shown: Vec<&DataSetReport> = sets.iter().filter(|s| !collapse || !ordinary(s)).collect();
    let mut text = String::new();
    if collapse {
        let hidden = sets.len() - shown.len();
        text.push_str(&format!("{}, {hidden} as they should be (--all lists them)\n", count(sets.len(), "data set")));
    }
    if shown.is_empty() {
        return text;
    }
    let time = |t: &Option<String>| t.as_deref().map(|t| view.time(t)).unwrap_or_default();
    let rows = shown.into_iter().map(|s| {
        [
            s.name.clone(),
            s.state.clone().unwrap_or_default(),
            time(&s.restorable_from),
            time(&s.restorable_to),
            s.reason.clone().unwrap_or_default(),
        ]
    });
    text + &table(&["data set", "state", "restorable from", "restorable to", "reason"], rows)
}

/// `demo`: its restore point, every second that it tried, and how the bank's own tables fared.
pub fn demo(story: &Story) -> String {
    let rows = story.audits.iter().map(|a| {
        [
            a.at.clone(),
            if a.is_restore_time { "restore time T" } else { "in full traffic" }.to_owned(),
            a.in_doubt.to_string(),
            a.expected.to_string(),
            a.found.to_string(),
            if a.adds_up { "adds up" } else { "DOES NOT ADD UP" }.to_owned(),
        ]
    });
    let header = ["restored to", "what", "in doubt", "expected", "found", "balances"];
    let seconds = if story.audits.is_empty() { String::new() } else { format!("\n{}", table(&header, rows)) };
    let rows = story.looks.iter().map(|look| {
        [
            format!("after {}", look.after.replace('_', " ")),
            look.expected.to_string(),
            look.found.to_string(),
            look.missing_tables.join(", "),
            if look.adds_up { "adds up" } else { "DOES NOT ADD UP" }.to_owned(),
        ]
    });
    let header = ["the bank's own tables", "expected", "found", "gone", "balances"];
    let looks = if story.looks.is_empty() { String::new() } else { format!("\n{}", table(&header, rows)) };
    format!("{}{seconds}{looks}", point(&story.point, View::default()))
}

/// `list`
pub fn list(points: &[Point]) -> String {
    if points.is_empty() {
        return "no restore points\n".to_owned();
    }
    let view = View::default();
    let rows = points.iter().map(|p| {
        let sets: usize = p.databases.iter().map(|d| d.data_sets.len()).sum();
        [
            p.id.clone().unwrap_or_default(),
            p.state.map(state).unwrap_or_default().to_owned(),
            p.restore_time.as_deref().map(|t| view.time(t)).unwrap_or_default(),
            p.outage_ms.map(|ms| format!("{:.1} s", ms / 1e3)).unwrap_or_default(),
            sets.to_string(),
        ]
    });
    table(&["id", "state", "restore time", "outage", "data sets"], rows)
}

/// `status`
pub fn status(status: &Status) -> String {
    let mut out = Vec::new();
    if status.notes.is_empty() {
        out.push("no open window: no pod is paused by a run that this machine or the catalog knows of\n".to_owned());
    } else {
        let pid = |p: Option<u32>| p.map(|p| p.to_string()).unwrap_or_default();
        let view = View::default();
        let rows = status.notes.iter().map(|n| {
            let pods = n.pods.iter().map(|p| format!("{} ({})", p.name, gate(p.state))).collect::<Vec<_>>().join(", ");
            [n.id.clone(), pid(n.owner_pid), pid(n.guard_pid), view.time(&n.deadline), pods]
        });
        out.push(table(&["open window", "owner", "guard", "deadline", "pods"], rows));
    }
    if !status.locks.is_empty() {
        let view = View::default();
        let rows = status.locks.iter().map(|l| [l.name.clone(), l.holder.clone(), view.time(&l.until)]);
        out.push(table(&["lock", "holder", "until"], rows));
    }
    if !status.runs.is_empty() {
        let view = View::default();
        let rows = status.runs.iter().map(|r| {
            let holder = r.holder.clone().unwrap_or_else(|| "nobody: run it again".to_owned());
            let until = r.until.as_deref().map(|t| view.time(t)).unwrap_or_default();
            [r.id.clone(), r.kind.clone(), format!("{}/{}", r.done, r.total), holder, until]
        });
        out.push(table(&["point", "run", "done", "worker", "until"], rows));
    }
    out.join("\n")
}

/// `prune`
pub fn prune(prune: &Prune) -> String {
    if prune.points.is_empty() {
        return "no restore points that could be removed\n".to_owned();
    }
    let view = View::default();
    let rows = prune.points.iter().map(|p| {
        [
            p.id.clone(),
            p.state.map(state).unwrap_or_default().to_owned(),
            p.restore_time.as_deref().map(|t| view.time(t)).unwrap_or_default(),
            age(p.age_seconds),
            p.backups.to_string(),
            p.action.replace('_', " "),
            p.reason.clone(),
        ]
    });
    let rows = table(&["id", "state", "restore time", "age", "backups", "what", "why"], rows);
    let going: Vec<_> = prune.points.iter().filter(|p| p.action == "would_prune").collect();
    let backups = going.iter().map(|p| p.backups).sum();
    match (prune.dry_run.unwrap_or_default(), going.is_empty()) {
        (false, _) => rows,
        (true, true) => format!("{rows}nothing would be removed\n"),
        (true, false) => format!(
            "{rows}{} with {} would be removed; nothing was: --yes does it\n",
            count(going.len(), "point"),
            count(backups, "backup")
        ),
    }
}

/// In the largest unit that says something.
fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..3_600 => format!("{} min", s / 60),
        s @ 3_600..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// `config show` and `config check`
pub fn config(report: &ConfigReport) -> String {
    if report.settings.is_empty() {
        return String::new();
    }
    let plain = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(|i| i.as_str().unwrap_or_default()).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let rows = report.settings.iter().map(|s| [s.key.clone(), plain(&s.value), s.source.clone()]);
    table(&["key", "value", "source"], rows)
}

/// The state as the JSON has it.
pub fn state(state: State) -> &'static str {
    match state {
        State::Void => "void",
        State::Recorded => "recorded",
        State::Sealed => "sealed",
        State::Preparing => "preparing",
        State::Prepared => "prepared",
        State::Lost => "lost",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good: proven still on every pod",
        Verdict::Void => "void: proves nothing",
    }
}

/// The gate, in words.
pub fn gate(state: PodState) -> &'static str {
    match state {
        PodState::Open => "open",
        PodState::Paused => "paused",
        PodState::MaybePaused => "MAYBE PAUSED",
        PodState::PausedByOther => "paused by another",
        PodState::Gone => "gone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::{Attempt, Clock, ErrorReport, Pod, StillPeriod, Violation};

    fn made() -> Point {
        let pod = |n: u8| Pod {
            name: format!("10.0.0.{n}:60051"),
            target: "ledger".into(),
            address: format!("10.0.0.{n}:60051"),
            state: PodState::Open,
        };
        let set = |name: &str| DataSetReport {
            name: name.into(),
            id: Some("4f2c".into()),
            state: Some("ok".into()),
            restorable_from: Some("2026-11-01T00:00:00Z".into()),
            restorable_to: Some("2026-11-23T03:05:00Z".into()),
            reason: None,
        };
        Point {
            id: Some("manual-20261123T030000Z-ab12".into()),
            state: Some(State::Sealed),
            verdict: Some(Verdict::Good),
            restore_time: Some("2026-11-23T03:00:08Z".into()),
            pause_completed: Some("2026-11-23T03:00:02.345678901Z".into()),
            unpause_started: Some("2026-11-23T03:00:12.5Z".into()),
            still_period: Some(StillPeriod {
                start: "2026-11-23T03:00:02.35Z".into(),
                end: "2026-11-23T03:00:12.4Z".into(),
                start_mono_ns: 1_000_000_000,
                end_mono_ns: 11_050_000_000,
            }),
            outage_ms: Some(10_400.0),
            client_outage_ms: Some(12_800.0),
            attempts: vec![Attempt {
                started: "2026-11-23T03:00:02.1Z".into(),
                verdict: Verdict::Good,
                violations: vec![],
            }],
            pods: vec![pod(4), pod(5)],
            databases: vec![Database {
                name: "ledger-tables".into(),
                provider: "dynamodb".into(),
                clock: Some(Clock { offset_low_ms: -12.2, offset_high_ms: 88.0 }),
                data_sets: vec![set("scalar.asset"), set("coordinator.state")],
            }],
            ..Point::default()
        }
    }

    #[test]
    fn a_point_is_told_with_the_steps_of_the_guide() {
        insta::assert_snapshot!(point(&made(), View::default()));
    }

    #[test]
    fn local_time_stands_beside_utc_never_alone() {
        let view = View { time_zone: Some(chrono_tz::Asia::Tokyo), ..View::default() };
        assert_eq!(
            view.time("2026-11-23T03:00:02.345678901Z"),
            "2026-11-23T03:00:02.345Z (2026-11-23T12:00:02.345+09:00 Asia/Tokyo)"
        );
        assert_eq!(View::default().time("2026-11-23T12:00:02+09:00"), "2026-11-23T03:00:02Z");
    }

    #[test]
    fn a_void_point_tells_every_violation_of_every_attempt() {
        let violation = |name: &str, subject: &str| Violation {
            name: name.into(),
            subject: subject.into(),
            detail: "CheckPaused answered false after 3.2 s".into(),
        };
        let attempt =
            |violations| Attempt { started: "2026-11-23T03:00:02.1Z".into(), verdict: Verdict::Void, violations };
        let mut void = Point {
            state: Some(State::Void),
            verdict: Some(Verdict::Void),
            restore_time: None,
            databases: vec![],
            error: Some(ErrorReport { name: "void".into(), message: "m".into(), hint: "h".into() }),
            ..made()
        };
        void.attempts = vec![
            attempt(vec![violation("OpenedEarly", "10.0.0.4:60051")]),
            attempt(vec![violation("OpenedEarly", "10.0.0.5:60051"), violation("ConnectionLost", "10.0.0.4:60051")]),
        ];
        void.pods[1].state = PodState::MaybePaused;
        insta::assert_snapshot!(point(&void, View::default()));
    }

    #[test]
    fn of_many_data_sets_and_pods_only_those_that_stand_out_are_listed() {
        let mut many = made();
        let set = many.databases[0].data_sets[0].clone();
        many.databases[0].data_sets =
            (0..1000).map(|n| DataSetReport { name: format!("t{n}"), ..set.clone() }).collect();
        many.databases[0].data_sets[7].state = Some("lost".into());
        let pod = many.pods[0].clone();
        many.pods = (0..50).map(|n| Pod { name: format!("pod-{n}"), ..pod.clone() }).collect();
        many.pods[3].state = PodState::Gone;
        let text = point(&many, View::default());
        assert!(text.contains("1000 data sets, 999 as they should be"), "{text}");
        assert!(text.contains("50 pods, 49 open"), "{text}");
        assert!(text.contains("\nt7 ") && !text.contains("\nt8 "), "{text}");
        assert!(text.contains("\npod-3 ") && !text.contains("\npod-4 "), "{text}");
        let text = point(&many, View { all: true, ..View::default() });
        assert!(text.contains("\nt999 ") && text.contains("\npod-49 "), "{text}");
    }

    #[test]
    fn retention_says_what_would_go_and_why_and_that_nothing_went() {
        let point = |id: &str, age_seconds: i64, action: &str, reason: &str| crate::cli::output::PrunePoint {
            id: id.into(),
            state: Some(State::Prepared),
            restore_time: Some("2026-10-01T03:00:08Z".into()),
            age_seconds,
            backups: 6,
            action: action.into(),
            reason: reason.into(),
        };
        let mut told = Prune {
            dry_run: Some(true),
            keep: Some("30days".into()),
            points: vec![
                point("nightly-20261001T030000Z", 4_600_000, "would_prune", "older than 30days"),
                point("nightly-20261122T030000Z", 90_000, "keep", "the newest point that can be restored"),
                point("nightly-20261123T030000Z", 600, "keep", "newer than the newest point that can be restored"),
            ],
            ..Prune::default()
        };
        let dry = prune(&told);
        told.dry_run = Some(false);
        told.points.iter_mut().take(1).for_each(|point| point.action = "pruned".into());
        insta::assert_snapshot!(format!("{dry}\n{}\n{}", prune(&told), prune(&Prune::default())));
    }

    #[test]
    fn a_list_and_an_empty_list_and_nothing_at_all() {
        insta::assert_snapshot!(list(&[made(), Point::default()]));
        assert_eq!(list(&[]), "no restore points\n");
        assert_eq!(point(&Point::default(), View::default()), "");
    }
}
