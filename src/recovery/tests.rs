//! Who is dead, who lives, and what is left of either.

use super::*;
use crate::admin::test_pods::TestPod;
use crate::catalog::{By, OpenedSettings, Options, Phase, PointEvent, PointId, PointLog};
use crate::note::{NotedPod, Process};
use crate::point::Verdict;
use crate::window::plan::boot_ns;
use chrono::{TimeDelta, Utc};
use std::process::{Child, Command};
use std::sync::atomic::Ordering;

const LONG: Duration = Duration::from_secs(60);

/// A process that stands for an owner, and is gone at the end of its test.
struct Owner(Child);

impl Owner {
    fn new() -> Self {
        Owner(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn process(&self) -> Process {
        Process::of(self.0.id()).unwrap()
    }

    fn stopped(self) -> Self {
        self.process().hold().unwrap().signal(Signal::STOP).unwrap();
        while !self.process().is_stopped() {
            std::thread::yield_now();
        }
        self
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn dead() -> Process {
    let this = Process::this().unwrap();
    Process { start_ticks: this.start_ticks + 1, ..this }
}

fn note(owner: Process, pods: &[&TestPod]) -> OpenWindowNote {
    let noted = |pod: &&TestPod| NotedPod {
        name: pod.address.clone(),
        target: "t".into(),
        can_check: true,
        endpoint: pod.endpoint(),
        identity: None,
    };
    OpenWindowNote {
        version: VERSION,
        id: PointId::manual(Utc::now()).to_string(),
        kind: Kind::Window,
        owner,
        opened: Utc::now(),
        deadline: Utc::now() + TimeDelta::hours(1),
        deadline_boot_ns: boot_ns() + 3_600_000_000_000,
        call_deadline_ms: 100,
        pods: pods.iter().map(noted).collect(),
        catalog: None,
        leases: Vec::new(),
    }
}

fn past_deadline(note: OpenWindowNote) -> OpenWindowNote {
    OpenWindowNote { deadline: Utc::now() - TimeDelta::hours(1), deadline_boot_ns: boot_ns(), ..note }
}

fn said(note: &OpenWindowNote, status: GuardStatus) -> GuardReport {
    GuardReport {
        process: dead(),
        note_opened: note.opened,
        status,
        reason: Some("the hard deadline passed".into()),
        at: Utc::now(),
        until: None,
        unproven: Vec::new(),
        left_alone: Vec::new(),
    }
}

fn stands(note: &OpenWindowNote, status: GuardStatus) -> Standing {
    standing(note, Some(&said(note, status)))
}

#[test]
fn an_owner_that_compares_and_records_is_respected_however_long_it_takes() {
    let owner = Owner::new();
    let late = past_deadline(note(owner.process(), &[]));
    assert_eq!(stands(&late, GuardStatus::StoodDown), Standing::Living);
    assert_eq!(stands(&late, GuardStatus::Released), Standing::Living);
    // Its pods may be paused: the deadline counts.
    assert_eq!(stands(&late, GuardStatus::Armed), Standing::Dead);
    assert_eq!(standing(&late, None), Standing::Dead);
    let in_time = note(owner.process(), &[]);
    assert_eq!(stands(&in_time, GuardStatus::Armed), Standing::Living);
}

#[test]
fn an_owner_that_is_stopped_past_its_deadline_is_waited_for_by_nobody() {
    let owner = Owner::new().stopped();
    let late = past_deadline(note(owner.process(), &[]));
    assert_eq!(stands(&late, GuardStatus::Armed), Standing::Dead);
    assert_eq!(stands(&late, GuardStatus::StoodDown), Standing::Released);
    assert_eq!(stands(&note(owner.process(), &[]), GuardStatus::StoodDown), Standing::Living);
}

#[test]
fn what_cannot_be_known_of_an_owner_counts_as_life_until_the_deadline() {
    let elsewhere = || Process { boot_id: "another".into(), ..dead() };
    assert_eq!(standing(&note(elsewhere(), &[]), None), Standing::Living);
    assert_eq!(stands(&note(elsewhere(), &[]), GuardStatus::StoodDown), Standing::Living);
    assert_eq!(standing(&past_deadline(note(elsewhere(), &[])), None), Standing::Dead);
    assert_eq!(standing(&note(dead(), &[]), None), Standing::Dead);
    assert_eq!(stands(&note(dead(), &[]), GuardStatus::StoodDown), Standing::Released);
}

/// The quiet time of a pod that is only maybe paused is real time: these notes say that every Pause was answered.
async fn find_local(notes: &LocalNotes, note: &OpenWindowNote) -> Found {
    notes.write(note).unwrap();
    notes.write_guard(&note.id, &said(note, GuardStatus::Owner)).unwrap();
    let (mut found, failures) = find(Some(notes), None).await;
    assert!(failures.is_empty(), "{failures:?}");
    found.pop().unwrap()
}

#[tokio::test]
async fn pods_open_though_the_note_s_catalog_cannot_be_reached_and_the_note_stays_for_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let notes = LocalNotes::open(folder.path()).unwrap();
    let pod = TestPod::plain().await;
    pod.gate.closed.store(true, Ordering::SeqCst);
    // A file where the catalog's folder should be.
    std::fs::write(folder.path().join("catalog"), b"").unwrap();
    let catalog = Some(format!("file://{}/catalog", folder.path().display()));
    let found = find_local(&notes, &OpenWindowNote { catalog, ..note(dead(), &[&pod]) }).await;
    let recovered = release_all(&notes, None, &[&found], LONG).await;
    assert!(!pod.gate.is_closed());
    assert_eq!(recovered.failures, []);
    assert_eq!(recovered.pods[0].state, PodState::Open);
    assert!(recovered.warnings[0].contains("could not be recorded"), "{:?}", recovered.warnings);
    assert!(notes.has(&found.note.id).unwrap());
}

#[tokio::test]
async fn an_owner_past_its_deadline_is_ended_before_its_pods_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let notes = LocalNotes::open(folder.path()).unwrap();
    let (owner, pod) = (Owner::new().stopped(), TestPod::plain().await);
    pod.gate.closed.store(true, Ordering::SeqCst);
    let found = find_local(&notes, &past_deadline(note(owner.process(), &[&pod]))).await;
    assert_eq!(found.standing, Standing::Dead);
    let recovered = release_all(&notes, None, &[&found], LONG).await;
    assert_eq!(owner.process_ended(), Life::Dead);
    assert!(!pod.gate.is_closed() && recovered.failures.is_empty());
    assert!(!notes.has(&found.note.id).unwrap());
}

impl Owner {
    fn process_ended(&self) -> Life {
        // A zombie until its test ends: an id that means nobody else.
        Process::of(self.0.id()).map_or(Life::Dead, |process| process.life())
    }
}

#[tokio::test]
async fn the_void_of_a_dead_owner_is_recorded_where_its_note_says_after_the_attempts_before() {
    let folder = tempfile::tempdir().unwrap();
    let notes = LocalNotes::open(folder.path()).unwrap();
    let url = format!("file://{}/another-catalog", folder.path().display());
    let catalog = Catalog::open(&url, Options::write()).await.unwrap();
    let note = OpenWindowNote { catalog: Some(url), ..note(dead(), &[]) };
    let id = PointId::parse(&note.id).unwrap();
    let mut log = PointLog::create(&catalog, &id, opened(&id)).await.unwrap();
    let first = crate::point::Attempt {
        started: wall::rfc3339(note.opened - TimeDelta::minutes(1)),
        verdict: Verdict::Void,
        violations: vec![crate::restore_point::after::violation(
            crate::window::violation::Name::DrainTimedOut,
            "a:1",
            "slow",
        )],
    };
    log.append(PointEvent::AttemptVoid { attempt: first.clone() }).await.unwrap();
    catalog::notes::put(&catalog, &note.id, "n", &serde_json::to_value(&note).unwrap()).await.unwrap();
    notes.write(&note).unwrap();
    notes.write_guard(&note.id, &said(&note, GuardStatus::Released)).unwrap();
    let (found, _) = find(Some(&notes), None).await;
    let recovered = release_all(&notes, None, &found.iter().collect::<Vec<_>>(), LONG).await;
    assert_eq!((recovered.warnings.len(), recovered.failures.len()), (0, 0), "{recovered:?}");
    let loaded = catalog::load(&catalog, &id).await.unwrap();
    assert_eq!(loaded.phase, Phase::Void);
    assert_eq!(loaded.point.attempts[0], first);
    assert_eq!(loaded.point.attempts[1].violations[0].name, "GuardFired");
    assert!(!notes.has(&note.id).unwrap());
    assert_eq!(catalog::notes::get(&catalog, &note.id).await.unwrap(), None);
}

pub(super) fn opened(id: &PointId) -> PointEvent {
    PointEvent::Opened {
        id: id.clone(),
        at: Utc::now(),
        by: By { host: "h".into(), pid: 1, version: "0".into(), process: None },
        until: None,
        targets: Vec::new(),
        databases: Vec::new(),
        settings: OpenedSettings {
            hold: "10s".into(),
            margin_ms: 2_000,
            pod_clock_bound_ms: 5_000,
            require_proof: true,
            max_outage_ms: 60_000,
            max_pause_wait_time_ms: None,
            check_interval_ms: 200,
            auto_slack_ms: 100,
            ignore: Vec::new(),
        },
    }
}
