use super::super::plan::{Auto, Hold, PodPlan, Rules};
use super::*;
use crate::instant;
use provider_api::ClockInterval;
use std::time::Duration;

mod table;

const SECOND: Duration = Duration::from_secs(1);
const NO: &str = "the pod's own words";

fn ms(ms: u64) -> Now {
    let mono = Mono(1_000_000_000_000 + ms * 1_000_000);
    Now { mono, boot_ns: 5_000_000_000_000 + ms * 1_000_000 }
}

fn plan(pods: usize) -> Plan {
    Plan {
        pods: vec![PodPlan { can_check: true }; pods],
        hold: Hold::Fixed(10 * SECOND),
        call_deadline: 35 * SECOND,
        tcp_user_timeout: 10 * SECOND,
        max_outage: 60 * SECOND,
        check_interval: Duration::from_millis(200),
        release_wait: 120 * SECOND,
        rules: Rules::SOUND,
    }
}

fn pods(count: usize) -> impl Iterator<Item = PodIndex> {
    (0..count).map(PodIndex)
}

/// A window, and how far a good one takes it.
struct Run {
    window: Window,
    pods: usize,
}

impl Run {
    fn new(plan: Plan) -> Self {
        let pods = plan.pods.len();
        Run { window: Window::new(plan), pods }
    }

    fn at(&mut self, at: u64, event: Event) -> Vec<Command> {
        self.window.handle(ms(at), event)
    }

    fn pausing(plan: Plan) -> Self {
        let mut run = Run::new(plan);
        assert_eq!(run.at(0, Event::Start), [Command::WriteNote]);
        assert_eq!(run.at(10, Event::NoteWritten(Ok(()))), [Command::ArmGuard]);
        let all: Vec<_> = pods(run.pods).map(Command::Pause).collect();
        assert_eq!(run.at(20, Event::GuardArmed(Ok(()))), all);
        run
    }

    /// All answers to Pause at 100 ms; the first round is on its way.
    fn confirming(plan: Plan) -> Self {
        let mut run = Run::pausing(plan);
        let mut asked = Vec::new();
        for pod in pods(run.pods) {
            assert_eq!(asked, []);
            asked = run.at(100, Event::PauseAnswered(pod, PauseAnswer::Paused));
        }
        assert_eq!(asked, pods(run.pods).map(|pod| Command::Check(pod, Purpose::First)).collect::<Vec<_>>());
        run
    }

    fn all_seen_paused(&mut self, at: u64, purpose: Purpose) -> Vec<Command> {
        let mut commands = Vec::new();
        for pod in pods(self.pods) {
            assert_eq!(commands, []);
            commands = self.at(at, Event::Checked(pod, purpose, CheckAnswer::Paused));
        }
        commands
    }

    /// The first round is complete at 120 ms.
    fn holding(plan: Plan) -> Self {
        let mut run = Run::confirming(plan);
        assert_eq!(run.all_seen_paused(120, Purpose::First), []);
        run
    }

    /// The last round is sent at 10,120 ms.
    fn proving(plan: Plan) -> Self {
        let mut run = Run::holding(plan);
        let last: Vec<_> = pods(run.pods).map(|pod| Command::Check(pod, Purpose::Last)).collect();
        assert_eq!(run.at(10_120, Event::Tick), last);
        run
    }

    /// The last round is complete, and Unpause sent, at 10,140 ms.
    fn releasing(plan: Plan) -> Self {
        let mut run = Run::proving(plan);
        let all: Vec<_> = pods(run.pods).map(Command::Unpause).collect();
        assert_eq!(run.all_seen_paused(10_140, Purpose::Last), all);
        run
    }

    fn open(&mut self, at: u64, pod: PodIndex) -> Vec<Command> {
        let mut commands = self.at(at, Event::Unpaused(pod, UnpauseAnswer::Ok));
        assert_eq!(commands, [Command::Check(pod, Purpose::Release)]);
        commands = self.at(at, Event::Checked(pod, Purpose::Release, CheckAnswer::Open));
        commands
    }

    fn over(plan: Plan) -> Self {
        let mut run = Run::releasing(plan);
        for pod in pods(run.pods) {
            let commands = run.open(10_150, pod);
            assert_eq!(commands, if pod.0 + 1 == run.pods { vec![Command::Finish] } else { vec![] });
        }
        run
    }

    /// Void for this reason alone, and every pod is unpaused at once.
    fn void(self, commands: &[Command], name: Name, pod: Option<PodIndex>) -> Self {
        let violations = &self.window.outcome().violations;
        assert_eq!(violations.iter().map(|v| (v.name, v.pod)).collect::<Vec<_>>(), [(name, pod)]);
        assert_eq!(commands, pods(self.pods).map(Command::Unpause).collect::<Vec<_>>());
        self
    }
}

#[test]
fn a_good_window_is_still_from_the_end_of_the_first_round_to_the_start_of_the_last() {
    let run = Run::over(plan(3));
    let outcome = run.window.outcome();
    assert_eq!(outcome.violations, []);
    assert_eq!(outcome.first_pause, Some(ms(20).mono));
    assert_eq!(outcome.last_answer, Some(ms(100).mono));
    assert_eq!(outcome.first_round, Some(Round { start: ms(100).mono, end: ms(120).mono }));
    assert_eq!(outcome.last_round, Some(Round { start: ms(10_120).mono, end: ms(10_140).mono }));
    assert_eq!(outcome.first_unpause, Some(ms(10_140).mono));
    assert_eq!(outcome.all_open, Some(ms(10_150).mono));
    assert_eq!((outcome.handed_over, &outcome.refused), (false, &None));
    assert!(run.window.is_over());
    assert!(pods(3).all(|pod| run.window.gate(pod) == Gate::Open));
}

#[test]
fn the_last_round_waits_for_the_whole_length() {
    let mut run = Run::holding(plan(1));
    assert_eq!(run.at(10_119, Event::Tick), [Command::Check(PodIndex(0), Purpose::Hold)]);
    assert_eq!(run.at(10_120, Event::Tick), [Command::Check(PodIndex(0), Purpose::Last)]);
}

#[test]
fn nothing_is_paused_before_the_note_is_written_and_the_guard_is_armed() {
    let mut run = Run::new(plan(2));
    run.at(0, Event::Start);
    for early in [Event::Tick, Event::GuardArmed(Ok(())), Event::Start] {
        assert_eq!(run.at(5, early), []);
    }
    run.at(10, Event::NoteWritten(Ok(())));
    assert_eq!(run.at(15, Event::NoteWritten(Ok(()))), []);
    assert_eq!(run.window.outcome().first_pause, None);
    assert_eq!(run.window.gate(PodIndex(0)), Gate::Open);
}

#[test]
fn a_note_that_cannot_be_written_refuses_the_window() {
    let mut run = Run::new(plan(2));
    run.at(0, Event::Start);
    assert_eq!(run.at(10, Event::NoteWritten(Err("disk full".to_owned()))), [Command::Finish]);
    let outcome = run.window.outcome();
    assert_eq!(outcome.refused.as_deref(), Some("disk full"));
    assert_eq!((outcome.first_pause, outcome.violations.len()), (None, 0));
}

#[test]
fn pause_refused_is_a_pods_own_no() {
    let mut run = Run::pausing(plan(2));
    let commands = run.at(50, Event::PauseAnswered(PodIndex(1), PauseAnswer::Refused(NO.to_owned())));
    let run = run.void(&commands, Name::PauseRefused, Some(PodIndex(1)));
    assert_eq!(run.window.outcome().violations[0].detail, NO);
}

#[test]
fn drain_timed_out_is_a_pod_whose_transactions_did_not_end() {
    let mut run = Run::pausing(plan(2));
    let commands = run.at(50, Event::PauseAnswered(PodIndex(1), PauseAnswer::DrainTimedOut(NO.to_owned())));
    run.void(&commands, Name::DrainTimedOut, Some(PodIndex(1)));
}

#[test]
fn pause_unanswered_is_a_pause_whose_end_nobody_knows() {
    let mut run = Run::pausing(plan(2));
    let commands = run.at(50, Event::PauseAnswered(PodIndex(0), PauseAnswer::Unknown(NO.to_owned())));
    run.void(&commands, Name::PauseUnanswered, Some(PodIndex(0)));
}

#[test]
fn connection_lost_is_a_connection_that_breaks_while_the_pods_must_be_closed() {
    let broke = || Event::ConnectionBroke(PodIndex(1), NO.to_owned());
    for mut run in [Run::pausing(plan(2)), Run::confirming(plan(2)), Run::holding(plan(2))] {
        let commands = run.at(200, broke());
        run.void(&commands, Name::ConnectionLost, Some(PodIndex(1)));
    }
    let mut run = Run::proving(plan(2));
    let commands = run.at(10_130, broke());
    run.void(&commands, Name::ConnectionLost, Some(PodIndex(1)));
}

#[test]
fn connection_lost_is_also_a_look_without_a_usable_answer() {
    for answer in [CheckAnswer::Unimplemented, CheckAnswer::ConnectionRefused, CheckAnswer::Failed(NO.to_owned())] {
        let mut run = Run::proving(plan(2));
        let commands = run.at(10_130, Event::Checked(PodIndex(0), Purpose::Last, answer));
        run.void(&commands, Name::ConnectionLost, Some(PodIndex(0)));
    }
}

#[test]
fn opened_early_is_a_pod_seen_open_in_any_look() {
    let open = |purpose| Event::Checked(PodIndex(1), purpose, CheckAnswer::Open);
    let mut run = Run::confirming(plan(2));
    let commands = run.at(110, open(Purpose::First));
    run.void(&commands, Name::OpenedEarly, Some(PodIndex(1)));
    let mut run = Run::holding(plan(2));
    run.at(320, Event::Tick);
    let commands = run.at(330, open(Purpose::Hold));
    run.void(&commands, Name::OpenedEarly, Some(PodIndex(1)));
    let mut run = Run::proving(plan(2));
    let commands = run.at(10_130, open(Purpose::Last));
    run.void(&commands, Name::OpenedEarly, Some(PodIndex(1)));
}

#[test]
fn a_look_of_the_hold_that_is_answered_late_still_counts() {
    let mut run = Run::holding(plan(2));
    assert_eq!(run.at(10_119, Event::Tick).len(), 2);
    run.at(10_120, Event::Tick);
    let commands = run.at(10_130, Event::Checked(PodIndex(0), Purpose::Hold, CheckAnswer::Open));
    run.void(&commands, Name::OpenedEarly, Some(PodIndex(0)));
}

#[test]
fn clock_unsure_is_a_machine_that_was_suspended_in_between() {
    let mut run = Run::proving(plan(1));
    let mut now = ms(10_140);
    now.boot_ns += 10_000_001;
    let commands = run.window.handle(now, Event::Checked(PodIndex(0), Purpose::Last, CheckAnswer::Paused));
    run.void(&commands, Name::ClockUnsure, None);

    let mut run = Run::proving(plan(1));
    let mut now = ms(10_140);
    now.boot_ns += 10_000_000;
    run.window.handle(now, Event::Checked(PodIndex(0), Purpose::Last, CheckAnswer::Paused));
    assert_eq!(run.window.outcome().violations, []);
}

#[test]
fn deadline_passed_comes_ten_seconds_before_the_guard_fires() {
    let mut run = Run::pausing(plan(2));
    assert_eq!(run.at(49_999, Event::Tick), []);
    let commands = run.at(50_000, Event::Tick);
    run.void(&commands, Name::DeadlinePassed, None);
}

#[test]
fn the_deadline_is_found_passed_by_whatever_event_comes_first_after_a_suspension() {
    let mut run = Run::proving(plan(2));
    let mut now = ms(10_130);
    now.boot_ns += 3_600_000_000_000;
    let commands = run.window.handle(now, Event::Checked(PodIndex(0), Purpose::Last, CheckAnswer::Paused));
    assert_eq!(commands, [Command::Unpause(PodIndex(0)), Command::Unpause(PodIndex(1))]);
    let names: Vec<_> = run.window.outcome().violations.iter().map(|v| v.name).collect();
    assert_eq!(names, [Name::DeadlinePassed, Name::ClockUnsure]);
}

#[test]
fn a_window_past_its_deadline_before_the_first_pause_has_nothing_to_release() {
    let mut run = Run::new(plan(2));
    run.at(0, Event::Start);
    assert_eq!(run.at(50_000, Event::NoteWritten(Ok(()))), [Command::Finish]);
    assert_eq!(run.window.outcome().violations[0].name, Name::DeadlinePassed);
    assert_eq!(run.window.outcome().all_open, None);
}

#[test]
fn an_answer_that_arrives_at_the_deadline_still_protects_another_callers_pause() {
    let mut run = Run::pausing(plan(2));
    let answer = PauseAnswer::PausedByOther(NO.to_owned());
    let commands = run.at(50_000, Event::PauseAnswered(PodIndex(1), answer));
    assert_eq!(commands, [Command::LeaveAlone(PodIndex(1)), Command::Unpause(PodIndex(0))]);
    assert_eq!(run.window.gate(PodIndex(1)), Gate::PausedByOther);
}

#[test]
fn guard_lost_is_a_guard_that_cannot_be_armed() {
    let mut run = Run::new(plan(2));
    run.at(0, Event::Start);
    run.at(10, Event::NoteWritten(Ok(())));
    assert_eq!(run.at(20, Event::GuardArmed(Err(NO.to_owned()))), [Command::Finish]);
    assert_eq!(run.window.outcome().violations[0].name, Name::GuardLost);
    assert_eq!(run.window.outcome().first_pause, None);
}

#[test]
fn guard_lost_is_a_guard_that_dies_in_the_window() {
    for mut run in [Run::pausing(plan(2)), Run::confirming(plan(2)), Run::holding(plan(2))] {
        let commands = run.at(200, Event::GuardLost(NO.to_owned()));
        run.void(&commands, Name::GuardLost, None);
    }
}

#[test]
fn cancelled_is_a_person_who_stops_the_window_whether_it_still_holds_or_not() {
    let stop = || Event::Cancelled("SIGINT".to_owned());
    for mut run in [Run::pausing(plan(2)), Run::confirming(plan(2)), Run::holding(plan(2))] {
        let commands = run.at(200, stop());
        run.void(&commands, Name::Cancelled, None);
    }
    let mut run = Run::releasing(plan(2));
    assert_eq!(run.at(10_141, stop()), []);
    assert_eq!(run.window.outcome().violations[0].name, Name::Cancelled);
    let mut run = Run::new(plan(2));
    run.at(0, Event::Start);
    assert_eq!(run.at(5, stop()), [Command::Finish]);
}

#[test]
fn automatic_hold_waits_for_its_moment_and_keeps_still_for_one_safe_second() {
    let clocks = vec![ClockInterval { lo_ns: 40_000_000, hi_ns: 140_000_000 }];
    let (margin, slack) = (2 * SECOND, Duration::from_millis(100));
    let expected_drain = Duration::from_millis(300);
    let auto = Auto { clocks: clocks.clone(), margin, slack, expected_drain };
    let mut run = Run::new(Plan { hold: Hold::Auto(auto), ..plan(1) });
    run.at(0, Event::Start);
    run.at(10, Event::NoteWritten(Ok(())));
    assert_eq!(run.at(20, Event::GuardArmed(Ok(()))), []);
    let moment = instant::best_first_pause(ms(20).mono, &clocks, margin, slack, expected_drain);
    assert_eq!(run.window.next_tick(), Some(moment));
    let at = moment.since(ms(0).mono).as_millis() as u64 + 1;
    assert!(at > 20);
    assert_eq!(run.at(at - 2, Event::Tick), []);
    assert_eq!(run.at(at, Event::Tick), [Command::Pause(PodIndex(0))]);

    run.at(at + 300, Event::PauseAnswered(PodIndex(0), PauseAnswer::Paused));
    run.at(at + 310, Event::Checked(PodIndex(0), Purpose::First, CheckAnswer::Paused));
    let widened = [instant::widened_for_auto(clocks[0], slack)];
    let until = instant::earliest_end(ms(at + 310).mono, &widened, margin).since(ms(0).mono).as_millis() as u64;
    run.at(until - 1, Event::Tick);
    assert_eq!(run.window.outcome().last_round, None);
    assert_eq!(run.at(until + 1, Event::Tick), [Command::Check(PodIndex(0), Purpose::Last)]);
    run.at(until + 2, Event::Checked(PodIndex(0), Purpose::Last, CheckAnswer::Paused));
    let outcome = run.window.outcome();
    let still = instant::StillPeriod {
        start: outcome.first_round.expect("complete").end,
        end: outcome.last_round.expect("complete").start,
    };
    instant::choose(still, &widened, margin).expect("a safe second, also with clocks as wide as allowed for");
}

#[test]
fn the_paused_pods_are_handed_over_to_the_guard() {
    let mut run = Run::confirming(Plan { hold: Hold::HandOver, ..plan(2) });
    assert_eq!(run.all_seen_paused(120, Purpose::First), [Command::HandOver]);
    assert_eq!(run.at(130, Event::HandedOver(Ok(()))), [Command::Finish]);
    let outcome = run.window.outcome();
    assert!(outcome.handed_over && outcome.violations.is_empty());
    assert_eq!((outcome.last_round, outcome.all_open), (None, None));
    assert_eq!(run.window.gate(PodIndex(0)), Gate::Paused);
}

#[test]
fn pods_that_cannot_be_handed_over_are_released() {
    let mut run = Run::confirming(Plan { hold: Hold::HandOver, ..plan(2) });
    run.all_seen_paused(120, Purpose::First);
    let commands = run.at(130, Event::HandedOver(Err(NO.to_owned())));
    run.void(&commands, Name::GuardLost, None);
}

#[test]
fn a_pod_paused_by_another_is_never_unpaused() {
    let mut run = Run::pausing(plan(2));
    let answer = PauseAnswer::PausedByOther(NO.to_owned());
    let mut commands = run.at(50, Event::PauseAnswered(PodIndex(0), answer));
    assert_eq!(commands, [Command::LeaveAlone(PodIndex(0)), Command::Unpause(PodIndex(1))]);
    assert_eq!(run.window.outcome().violations[0].name, Name::PauseRefused);
    assert_eq!(run.window.gate(PodIndex(0)), Gate::PausedByOther);
    // The other pod's Pause is unanswered, so its release takes a while, and all the while the first is left alone.
    let mut at = 60;
    while !run.window.is_over() {
        commands = run.at(at, Event::Tick);
        if commands.contains(&Command::Unpause(PodIndex(1))) || at == 60 {
            commands = run.open(at, PodIndex(1));
        }
        assert!(!commands.contains(&Command::Unpause(PodIndex(0))));
        at += 50;
    }
    assert!(run.window.outcome().all_open.is_some());
    assert_eq!(run.window.gate(PodIndex(0)), Gate::PausedByOther);
}

#[test]
fn a_pod_found_paused_by_another_during_release_is_left_alone_from_then_on() {
    let mut run = Run::pausing(plan(2));
    run.at(50, Event::PauseAnswered(PodIndex(0), PauseAnswer::Refused(NO.to_owned())));
    run.at(60, Event::Unpaused(PodIndex(1), UnpauseAnswer::Failed));
    let answer = PauseAnswer::PausedByOther(NO.to_owned());
    assert_eq!(run.at(70, Event::PauseAnswered(PodIndex(1), answer)), [Command::LeaveAlone(PodIndex(1))]);
    assert_eq!(run.open(80, PodIndex(0)), [Command::Finish]);
    assert_eq!(run.at(5_000, Event::Tick), []);
}

#[test]
fn a_large_set_is_looked_at_a_few_at_a_time_and_each_pod_once_a_second() {
    for count in [1, 25, 26, 100, 1_000] {
        let mut run = Run::holding(plan(count));
        let mut last_look = vec![120; count];
        let mut at = 120;
        while let Some(next) = run.window.next_tick().filter(|_| run.window.outcome().last_round.is_none()) {
            // Ticks come late; that must not add up to more than a second.
            at = next.since(ms(0).mono).as_millis() as u64 + 30;
            let commands = run.at(at, Event::Tick);
            assert!(count <= 25 || at >= 10_120 || commands.len() < count, "{count} pods at once");
            for command in commands {
                let Command::Check(pod, purpose) = command else { panic!("{command:?}") };
                assert!(
                    at - last_look[pod.0] <= 1_000,
                    "{count} pods: {pod:?} not looked at since {}",
                    last_look[pod.0]
                );
                last_look[pod.0] = at;
                run.at(at, Event::Checked(pod, purpose, CheckAnswer::Paused));
            }
        }
        assert_eq!(at, 10_150);
        assert_eq!(run.window.outcome().looks, 43);
    }
}

#[test]
fn a_pod_whose_look_is_unanswered_is_not_asked_twice() {
    let mut run = Run::holding(plan(1));
    assert_eq!(run.at(320, Event::Tick).len(), 1);
    assert_eq!(run.at(520, Event::Tick), []);
    run.at(530, Event::Checked(PodIndex(0), Purpose::Hold, CheckAnswer::Paused));
    assert_eq!(run.at(720, Event::Tick).len(), 1);
}

#[test]
fn a_pause_answered_during_release_counts_from_its_answer_on() {
    let mut run = Run::pausing(plan(2));
    run.at(50, Event::PauseAnswered(PodIndex(0), PauseAnswer::Refused(NO.to_owned())));
    // Sent before the Pause was answered: proves nothing, even with the same stamp.
    run.at(50, Event::PauseAnswered(PodIndex(1), PauseAnswer::Paused));
    assert_eq!(run.open(60, PodIndex(1)), []);
    assert_eq!(run.window.gate(PodIndex(1)), Gate::MaybePaused);
    assert_eq!(run.open(70, PodIndex(0)), []);
    assert_eq!(run.at(260, Event::Tick), [Command::Unpause(PodIndex(1))]);
    assert_eq!(run.open(270, PodIndex(1)), [Command::Finish]);
}

#[test]
fn an_unanswered_pause_keeps_its_pod_unproven_until_it_can_no_longer_arrive() {
    let mut run = Run::pausing(plan(1));
    run.at(35_020, Event::PauseAnswered(PodIndex(0), PauseAnswer::Unknown(NO.to_owned())));
    let mut at = 35_020;
    while run.open(at, PodIndex(0)) != [Command::Finish] {
        at = run.window.next_tick().expect("another try").since(ms(0).mono).as_millis() as u64;
        assert_eq!(run.at(at, Event::Tick), [Command::Unpause(PodIndex(0))]);
    }
    assert_eq!(at, 35_020 + 35_000 + 10_000 + 1_000);
}

#[test]
fn a_second_answer_to_the_same_pause_changes_nothing() {
    let mut run = Run::confirming(plan(2));
    assert_eq!(run.at(110, Event::PauseAnswered(PodIndex(0), PauseAnswer::Refused(NO.to_owned()))), []);
    assert_eq!(run.at(110, Event::PauseAnswered(PodIndex(7), PauseAnswer::Paused)), []);
    assert_eq!(run.window.outcome().violations, []);
}

#[test]
fn waiting_for_release_ends_and_names_the_unproven_pods() {
    let mut run = Run::releasing(plan(2));
    assert_eq!(run.open(10_150, PodIndex(0)), []);
    run.at(10_160, Event::Unpaused(PodIndex(1), UnpauseAnswer::Failed));
    let before = run.at(130_139, Event::Tick);
    assert_eq!(before, [Command::Unpause(PodIndex(1))]);
    assert_eq!(run.window.next_tick(), Some(ms(130_140).mono));
    assert_eq!(run.at(130_140, Event::Tick), [Command::Finish]);
    assert_eq!(run.window.outcome().all_open, None);
    assert_eq!((run.window.gate(PodIndex(0)), run.window.gate(PodIndex(1))), (Gate::Open, Gate::MaybePaused));
}

#[test]
fn pods_that_cannot_be_looked_at_are_not_asked() {
    let mut plan = plan(2);
    plan.pods[1].can_check = false;
    let mut run = Run::pausing(plan);
    run.at(100, Event::PauseAnswered(PodIndex(0), PauseAnswer::Paused));
    let commands = run.at(100, Event::PauseAnswered(PodIndex(1), PauseAnswer::Paused));
    assert_eq!(commands, [Command::Check(PodIndex(0), Purpose::First)]);
    run.at(120, Event::Checked(PodIndex(0), Purpose::First, CheckAnswer::Paused));
    assert_eq!(run.at(320, Event::Tick), [Command::Check(PodIndex(0), Purpose::Hold)]);
    assert_eq!(run.at(10_120, Event::Tick), [Command::Check(PodIndex(0), Purpose::Last)]);
}
