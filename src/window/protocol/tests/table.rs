use super::*;

/// What each event does in each phase; a new event or phase does not compile until it has its rows.
#[test]
fn every_event_in_every_phase() {
    let mut table = String::new();
    let mut phases = Vec::new();
    for run in a_run_in_each_phase() {
        phases.push(name_of_phase(&run().window.phase));
        for event in events() {
            let mut run = run();
            let before = run.window.outcome().violations.len();
            let phase = name_of_phase(&run.window.phase);
            let commands: Vec<_> = run.at(10_140, event.clone()).iter().map(without_names).collect();
            let violations: Vec<_> = run.window.outcome().violations[before..].iter().map(|v| v.name).collect();
            if !commands.is_empty() || !violations.is_empty() {
                let then = name_of_phase(&run.window.phase);
                table += &format!("{phase}: {} -> {} {violations:?}, {then}\n", word(&event), commands.join(" "));
            }
        }
    }
    phases.dedup();
    assert_eq!(phases.len(), 11);
    insta::assert_snapshot!(table);
}

fn a_run_in_each_phase() -> [fn() -> Run; 11] {
    fn noting(plan: Plan) -> Run {
        let mut run = Run::new(plan);
        run.at(0, Event::Start);
        run
    }
    fn arming(plan: Plan) -> Run {
        let mut run = noting(plan);
        run.at(10, Event::NoteWritten(Ok(())));
        run
    }
    [
        || Run::new(plan(2)),
        || noting(plan(2)),
        || arming(plan(2)),
        || {
            let (margin, slack, expected_drain) = (2 * SECOND, SECOND / 10, SECOND);
            let clocks = vec![ClockInterval { lo_ns: 0, hi_ns: 100_000_000 }];
            let mut run = arming(Plan { hold: Hold::Auto(Auto { clocks, margin, slack, expected_drain }), ..plan(2) });
            run.at(10_000, Event::GuardArmed(Ok(())));
            run
        },
        || Run::pausing(plan(2)),
        || Run::confirming(plan(2)),
        || Run::holding(plan(2)),
        || Run::proving(plan(2)),
        || {
            let mut run = Run::confirming(Plan { hold: Hold::HandOver, ..plan(2) });
            run.all_seen_paused(120, Purpose::First);
            run
        },
        || Run::releasing(plan(2)),
        || Run::over(plan(2)),
    ]
}

fn name_of_phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Noting => "noting",
        Phase::Arming => "arming",
        Phase::Timing(_) => "timing",
        Phase::Pausing => "pausing",
        Phase::Confirming(_) => "confirming",
        Phase::Holding(_) => "holding",
        Phase::Proving(_) => "proving",
        Phase::HandingOver => "handing over",
        Phase::Releasing(_) => "releasing",
        Phase::Over(_) => "over",
    }
}

fn events() -> Vec<Event> {
    let pod = PodIndex(0);
    let said = || NO.to_owned();
    let mut events = vec![
        Event::Start,
        Event::NoteWritten(Ok(())),
        Event::NoteWritten(Err(said())),
        Event::GuardArmed(Ok(())),
        Event::GuardArmed(Err(said())),
        Event::PauseAnswered(pod, PauseAnswer::Paused),
        Event::PauseAnswered(pod, PauseAnswer::Refused(said())),
        Event::PauseAnswered(pod, PauseAnswer::DrainTimedOut(said())),
        Event::PauseAnswered(pod, PauseAnswer::PausedByOther(said())),
        Event::PauseAnswered(pod, PauseAnswer::Unknown(said())),
        Event::Unpaused(pod, UnpauseAnswer::Ok),
        Event::Unpaused(pod, UnpauseAnswer::Failed),
        Event::ConnectionBroke(pod, said()),
        Event::PodsChanged(PodsChange { name: Name::PodRestarted, subject: said(), detail: said() }),
        Event::NoLongerExists(pod),
        Event::GuardLost(said()),
        Event::HandedOver(Ok(())),
        Event::HandedOver(Err(said())),
        Event::Cancelled(said()),
        Event::Tick,
    ];
    for purpose in [Purpose::First, Purpose::Hold, Purpose::Last, Purpose::Release] {
        for answer in [CheckAnswer::Paused, CheckAnswer::Open, CheckAnswer::Failed(said())] {
            events.push(Event::Checked(pod, purpose, answer));
        }
    }
    events
}

/// An event without its pod and its words for people.
fn word(event: &Event) -> String {
    match event {
        Event::Start => "start".to_owned(),
        Event::NoteWritten(result) => format!("note written {}", result.is_ok()),
        Event::GuardArmed(result) => format!("guard armed {}", result.is_ok()),
        Event::PauseAnswered(_, answer) => format!("pause answered {}", without_names(answer)),
        Event::Checked(_, purpose, answer) => format!("{purpose:?} look {}", without_names(answer)),
        Event::Unpaused(_, answer) => format!("unpaused {answer:?}"),
        Event::ConnectionBroke(..) => "connection broke".to_owned(),
        Event::PodsChanged(_) => "pods changed".to_owned(),
        Event::NoLongerExists(_) => "no longer exists".to_owned(),
        Event::GuardLost(_) => "guard lost".to_owned(),
        Event::HandedOver(result) => format!("handed over {}", result.is_ok()),
        Event::Cancelled(_) => "cancelled".to_owned(),
        Event::Tick => "tick".to_owned(),
    }
}

fn without_names(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").replace("PodIndex(0)", "0").replace("PodIndex(1)", "1").replace(&format!("({NO:?})"), "")
}
