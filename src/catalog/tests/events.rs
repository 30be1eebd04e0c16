use super::*;
use crate::point::State;

fn alphabet() -> Vec<PointEvent> {
    vec![
        opened(&id("nightly")),
        attempt_void(),
        recorded(),
        recorded_with(vec![void_attempt()]),
        void(),
        captured(),
        capture_completed(),
        sealed(),
        lost(),
        prepare_started(),
        run_started(RunKind::Restore),
        run_started(RunKind::Drill),
        run_started(RunKind::Prune),
        work_held(),
        unit_intent(),
        unit_record(),
        PointEvent::WorkReleased { run: "r".to_owned() },
        PointEvent::RunAborting { run: "r".to_owned(), at: moment() },
        PointEvent::RunForward { run: "r".to_owned(), at: moment() },
        PointEvent::RunDone { run: "r".to_owned(), at: moment() },
        PointEvent::RunAborted { run: "r".to_owned(), at: moment() },
    ]
}

/// Every sequence of up to seven events that is accepted, with its phase.
fn accepted(mut visit: impl FnMut(&[PointEvent], Phase)) {
    let alphabet = alphabet();
    let mut frontier = vec![(Vec::new(), Phase::Empty)];
    for _ in 0..8 {
        let mut next = Vec::new();
        for (sequence, phase) in frontier {
            visit(&sequence, phase);
            for event in &alphabet {
                if let Ok(after) = may_follow(phase, event) {
                    let mut longer = sequence.clone();
                    longer.push(event.clone());
                    next.push((longer, after));
                }
            }
        }
        frontier = next;
    }
}

/// Whether a run that prepares has ended well.
fn prepared(events: &[PointEvent]) -> bool {
    let mut last = None;
    events.iter().any(|event| match event {
        PointEvent::RunStarted { kind, .. } => {
            last = Some(*kind);
            false
        }
        PointEvent::RunDone { .. } => last == Some(RunKind::Prepare),
        _ => false,
    })
}

#[test]
fn every_log_that_is_accepted_tells_a_true_story() {
    let mut count = 0;
    accepted(|events, phase| {
        count += 1;
        let names: Vec<_> = events.iter().map(PointEvent::name).collect();
        let at = |name: &str| names.iter().position(|n| *n == name);
        let times = |name: &str| names.iter().filter(|n| **n == name).count();
        assert!(names.is_empty() || at("opened") == Some(0), "{names:?}");
        for once in ["opened", "recorded", "void", "capture_completed", "sealed", "lost"] {
            assert!(times(once) <= 1, "{names:?}");
        }
        // Never a false good: a restore time needs `opened` before it and no verdict of void, and sealing needs the settings.
        assert!(at("void").is_none() || at("recorded").is_none(), "{names:?}");
        assert!(at("recorded").is_none() || events[at("recorded").unwrap()] == recorded(), "{names:?}");
        assert!(at("sealed").is_none() || at("capture_completed") < at("sealed"), "{names:?}");
        assert!(
            at("capture_completed").is_none() || at("recorded").is_some() && at("recorded") < at("capture_completed")
        );
        for end in ["void", "lost"] {
            assert!(at(end).is_none_or(|n| n == names.len() - 1), "{names:?}");
        }
        let (folded, point) = fold(events).unwrap();
        assert_eq!(folded, phase);
        assert_eq!(point.restore_time.is_some(), at("recorded").is_some());
        assert_eq!(point.restore_time.is_some(), phase.has_restore_time());
        let state = match names.last().copied() {
            Some("void") => Some(State::Void),
            Some("lost") => Some(State::Lost),
            _ if matches!(phase, Phase::Preparing | Phase::Aborting) => Some(State::Preparing),
            _ if phase == Phase::Pruned => Some(State::Lost),
            _ if prepared(events) => Some(State::Prepared),
            _ if at("sealed").is_some() => Some(State::Sealed),
            _ if at("recorded").is_some() => Some(State::Recorded),
            _ => None,
        };
        assert_eq!(point.state, state, "{names:?}");
    });
    assert!(count > 20, "{count}");
}

/// The events of a log in which work goes on.
fn at_work(more: &[PointEvent]) -> Result<(Phase, crate::point::Point), Illegal> {
    let before = [opened(&id("nightly")), recorded(), capture_completed(), sealed(), prepare_started(), work_held()];
    fold(before.iter().chain(more))
}

#[test]
fn a_point_is_preparing_until_every_data_set_is_prepared() {
    let (phase, point) = at_work(&[unit_intent()]).unwrap();
    assert_eq!((phase, point.state), (Phase::Preparing, Some(State::Preparing)));
    assert_eq!(point.databases[0].data_sets[0].state.as_deref(), Some("preparing"));
    assert!(point.warnings.contains(&"twice the capacity".to_owned()));
    let done = PointEvent::RunDone { run: "r".to_owned(), at: moment() };
    let (phase, point) = at_work(&[unit_intent(), unit_record(), done]).unwrap();
    assert_eq!((phase, point.state), (Phase::Prepared, Some(State::Prepared)));
    let set = &point.databases[0].data_sets[0];
    assert_eq!((set.state.as_deref(), set.reason.as_deref()), (Some("prepared"), Some("prepared: arn")));
    assert!(point.warnings.contains(&"look at rp-x".to_owned()));
}

#[test]
fn an_aborted_point_is_sealed_again_and_can_be_prepared_anew() {
    let aborting = PointEvent::RunAborting { run: "r".to_owned(), at: moment() };
    let aborted = PointEvent::RunAborted { run: "r".to_owned(), at: moment() };
    let (phase, point) = at_work(&[aborting.clone(), aborted.clone()]).unwrap();
    assert_eq!((phase, point.state), (Phase::Sealed, Some(State::Sealed)));
    assert_eq!(point.databases[0].data_sets[0].state.as_deref(), Some("ok"));
    assert_eq!(at_work(&[aborting, aborted, prepare_started()]).unwrap().0, Phase::Preparing);
}

#[test]
fn a_restore_that_was_undone_leaves_both_backups_of_each_data_set_to_be_read() {
    let done = PointEvent::RunDone { run: "r".to_owned(), at: moment() };
    let prepared = [unit_record(), done];
    let (_, before) = at_work(&prepared).unwrap();
    let PointEvent::UnitRecord { run, database, unit, record, .. } = unit_record() else { panic!("no record") };
    let record = provider_api::Record { text: "was left as it is; a backup of it: arn-2".to_owned(), ..record };
    let left = PointEvent::UnitRecord { run, database, unit, record, done: true };
    let undone = [
        run_started(RunKind::Restore),
        work_held(),
        PointEvent::RunAborting { run: "r".to_owned(), at: moment() },
        left,
        PointEvent::RunAborted { run: "r".to_owned(), at: moment() },
    ];
    let (phase, point) = at_work(&[&prepared[..], &undone[..]].concat()).unwrap();
    assert_eq!((phase, point.state), (Phase::Prepared, Some(State::Prepared)));
    let set = &point.databases[0].data_sets[0];
    let said = "prepared: arn; a restore was undone: was left as it is; a backup of it: arn-2";
    assert_eq!((set.state.as_deref(), set.reason.as_deref()), (Some("prepared"), Some(said)));
    let others = |point: &crate::point::Point| point.databases[0].data_sets[1..].to_vec();
    for (now, then) in others(&point).iter().zip(others(&before)) {
        assert_eq!(now.reason, then.reason);
    }
}

#[test]
fn a_restore_that_is_being_undone_can_go_forward_again_and_nothing_else_can() {
    let forward = PointEvent::RunForward { run: "r".to_owned(), at: moment() };
    for phase in [Phase::Aborting, Phase::Drilling { prepared: true, aborting: true }, Phase::Prepared] {
        assert!(may_follow(phase, &forward).is_err(), "{phase:?}");
    }
    let again = may_follow(Phase::Restoring { aborting: true }, &forward).unwrap();
    assert_eq!(again, Phase::Restoring { aborting: false });
    assert!(may_follow(again, &forward).is_err());
    let done = PointEvent::RunDone { run: "r".to_owned(), at: moment() };
    assert_eq!(may_follow(again, &done).unwrap(), Phase::Prepared);
}

#[test]
fn a_point_with_work_going_on_cannot_be_lost_behind_its_back() {
    let error = at_work(&[lost()]).unwrap_err();
    assert!(error.to_string().contains("aborted first"), "{error}");
}

#[test]
fn an_ended_log_takes_nothing_more() {
    for phase in [Phase::Void, Phase::Lost, Phase::Pruned] {
        assert!(phase.ended());
        assert!(alphabet().iter().all(|event| may_follow(phase, event).is_err()));
    }
}

#[test]
fn a_recorded_point_needs_a_still_period() {
    let mut event = recorded();
    if let PointEvent::Recorded { still_period, .. } = &mut event {
        still_period.end_mono_ns = still_period.start_mono_ns;
    }
    let error = may_follow(Phase::Opened, &event).unwrap_err();
    assert!(error.to_string().contains("still period is empty"), "{error}");
}

#[test]
fn the_events_keep_their_shape() {
    let shape: Vec<_> = alphabet()
        .iter()
        .map(|event| {
            let json = serde_json::to_value(event).unwrap();
            assert_eq!(json["event"], event.name());
            assert_eq!(&serde_json::from_value::<PointEvent>(json.clone()).unwrap(), event);
            json.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>()
        })
        .map(|keys| keys.into_iter().collect::<Vec<_>>().join(" "))
        .collect();
    // What a log of today holds must be read for ever: a change here needs a new format version.
    insta::assert_snapshot!(shape.join("\n"), @r"
    at by databases event id settings targets
    attempt event
    attempts client_outage_ms clocks event evidence outage_ms pause_completed pods restore_time still_period unpause_started warnings
    attempts client_outage_ms clocks event evidence outage_ms pause_completed pods restore_time still_period unpause_started warnings
    attempts error event pods warnings
    capsules database event metadata
    event warnings
    at databases event
    at data_sets event reason
    at event kind run warnings
    at event kind run warnings
    at event kind run warnings
    at event kind run warnings
    event hold run
    database event intent run unit
    database done event record run unit
    event run
    at event run
    at event run
    at event run
    at event run
    ");
}
