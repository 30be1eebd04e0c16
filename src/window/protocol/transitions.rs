//! What each event does to a window, phase by phase.

use super::super::plan::{Hold, Now, Plan, PodPlan};
use super::super::release::{CheckAnswer, PodIndex, Release, ReleaseCommand, Tuning, UnpauseAnswer};
use super::super::violation::Name;
use super::{Command, Holding, PauseAnswer, Phase, PodsChange, Purpose, Round, RoundInProgress, Violation, Window};
use crate::instant;
use std::time::Duration;

/// CLOCK_BOOTTIME and CLOCK_MONOTONIC may drift apart by this much over a window; more means a suspended machine.
const CLOCKS_AGREE: Duration = Duration::from_millis(10);
/// With that many pods or fewer, every look is at all of them.
const LOOK_AT_ALL: usize = 25;
/// Every pod has its turn this often while holding: within the second that is promised, also when ticks come late.
const LOOK_AT_EACH: Duration = Duration::from_millis(800);

/// Opening: note, guard, the moment of the first Pause.
impl Window {
    pub(super) fn start(&mut self, now: Now) -> Vec<Command> {
        if self.phase != Phase::Idle {
            return Vec::new();
        }
        self.opened = Some(now);
        self.phase = Phase::Noting;
        vec![Command::WriteNote]
    }

    pub(super) fn note_written(&mut self, _now: Now, result: Result<(), String>) -> Vec<Command> {
        if self.phase != Phase::Noting {
            return Vec::new();
        }
        match result {
            Ok(()) => {
                self.phase = Phase::Arming;
                vec![Command::ArmGuard]
            }
            Err(reason) => {
                self.outcome.refused = Some(reason);
                self.finish(None)
            }
        }
    }

    pub(super) fn guard_armed(&mut self, now: Now, result: Result<(), String>) -> Vec<Command> {
        if self.phase != Phase::Arming {
            return Vec::new();
        }
        if let Err(detail) = result {
            return self.void(now, Name::GuardLost, None, detail);
        }
        if let Hold::Auto(auto) = &self.plan.hold {
            let at = instant::best_first_pause(now.mono, &auto.clocks, auto.margin, auto.slack, auto.expected_drain);
            self.phase = Phase::Timing(at);
            return self.tick(now);
        }
        self.pause_all(now)
    }

    fn pause_all(&mut self, now: Now) -> Vec<Command> {
        self.outcome.first_pause = Some(now.mono);
        self.phase = Phase::Pausing;
        self.pods().map(Command::Pause).collect()
    }
}

/// Closed: pausing, the first round, holding, the last round.
impl Window {
    pub(super) fn pause_answered(&mut self, now: Now, pod: PodIndex, answer: PauseAnswer) -> Vec<Command> {
        if !self.keep_answer(now, pod, &answer) {
            return Vec::new();
        }
        match self.phase {
            Phase::Pausing => self.pause_answered_in_time(now, pod, answer),
            Phase::Releasing(_) => self.pause_answered_late(now, pod, answer),
            _ => Vec::new(),
        }
    }

    /// Whether the answer is news: a pod answers a Pause once.
    pub(super) fn keep_answer(&mut self, now: Now, pod: PodIndex, answer: &PauseAnswer) -> bool {
        let Some(slot) = self.answers.get_mut(pod.0).filter(|slot| slot.is_none()) else { return false };
        *slot = Some(answer.clone());
        self.answered_at[pod.0] = Some(now.mono);
        true
    }

    fn pause_answered_in_time(&mut self, now: Now, pod: PodIndex, answer: PauseAnswer) -> Vec<Command> {
        let (name, detail) = match answer {
            PauseAnswer::Paused if self.answers.iter().all(Option::is_some) => {
                self.outcome.last_answer = Some(now.mono);
                return self.confirm(now);
            }
            PauseAnswer::Paused => return Vec::new(),
            PauseAnswer::Refused(detail) | PauseAnswer::PausedByOther(detail) => (Name::PauseRefused, detail),
            PauseAnswer::DrainTimedOut(detail) => (Name::DrainTimedOut, detail),
            PauseAnswer::Unknown(detail) => (Name::PauseUnanswered, detail),
        };
        self.void(now, name, Some(pod), detail)
    }

    fn pause_answered_late(&mut self, now: Now, pod: PodIndex, answer: PauseAnswer) -> Vec<Command> {
        let Phase::Releasing(release) = &mut self.phase else { return Vec::new() };
        match answer {
            PauseAnswer::Unknown(_) => Vec::new(),
            PauseAnswer::PausedByOther(detail) => {
                release.leave_alone(pod);
                self.outcome.violations.push(Violation::of(Name::PauseRefused, Some(pod), detail));
                let mut commands = vec![Command::LeaveAlone(pod)];
                commands.extend(self.release_on(now, Vec::new()));
                commands
            }
            PauseAnswer::Paused | PauseAnswer::Refused(_) | PauseAnswer::DrainTimedOut(_) => {
                // An Unpause with the very same stamp was sent before this answer was heard, and proves nothing.
                release.pause_was_answered(pod, now.mono + Duration::from_nanos(1));
                Vec::new()
            }
        }
    }

    fn confirm(&mut self, now: Now) -> Vec<Command> {
        if !self.plan.rules.first_round {
            return self.confirmed(now, Round { start: now.mono, end: now.mono });
        }
        self.begin_round(now, Purpose::First)
    }

    fn begin_round(&mut self, now: Now, purpose: Purpose) -> Vec<Command> {
        let missing: Vec<bool> = self.plan.pods.iter().map(|p| p.can_check).collect();
        let asked: Vec<PodIndex> = self.pods().filter(|p| missing[p.0]).collect();
        let round = RoundInProgress { start: now.mono, missing };
        self.phase = if purpose == Purpose::First { Phase::Confirming(round) } else { Phase::Proving(round) };
        if asked.is_empty() {
            return self.round_complete(now);
        }
        asked.into_iter().map(|pod| Command::Check(pod, purpose)).collect()
    }

    pub(super) fn checked(&mut self, now: Now, pod: PodIndex, purpose: Purpose, answer: CheckAnswer) -> Vec<Command> {
        let detail = match answer {
            CheckAnswer::Paused => return self.seen_paused(now, pod, purpose),
            CheckAnswer::Open => {
                let detail = "CheckPaused answered false while the window held the pod paused".to_owned();
                return self.while_closed(now, Name::OpenedEarly, Some(pod), detail);
            }
            CheckAnswer::Unimplemented => "the pod no longer knows CheckPaused".to_owned(),
            CheckAnswer::ConnectionRefused => "connection refused".to_owned(),
            CheckAnswer::Failed(detail) => detail,
        };
        self.while_closed(now, Name::ConnectionLost, Some(pod), detail)
    }

    fn seen_paused(&mut self, now: Now, pod: PodIndex, purpose: Purpose) -> Vec<Command> {
        match (&mut self.phase, purpose) {
            (Phase::Confirming(round), Purpose::First) | (Phase::Proving(round), Purpose::Last) => {
                if let Some(missing) = round.missing.get_mut(pod.0) {
                    *missing = false;
                }
                if round.missing.iter().any(|m| *m) { Vec::new() } else { self.round_complete(now) }
            }
            (Phase::Holding(holding), Purpose::Hold) => {
                if let Some(asked) = holding.asked.get_mut(pod.0) {
                    *asked = false;
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn round_complete(&mut self, now: Now) -> Vec<Command> {
        match &self.phase {
            Phase::Confirming(round) => {
                let round = Round { start: round.start, end: now.mono };
                self.confirmed(now, round)
            }
            Phase::Proving(round) => {
                self.outcome.last_round = Some(Round { start: round.start, end: now.mono });
                self.release(now)
            }
            _ => Vec::new(),
        }
    }

    fn confirmed(&mut self, now: Now, round: Round) -> Vec<Command> {
        self.outcome.first_round = Some(round);
        let until = match &self.plan.hold {
            Hold::Fixed(length) => round.end + *length,
            Hold::Auto(auto) => {
                let widened: Vec<_> = auto.clocks.iter().map(|c| instant::widened_for_auto(*c, auto.slack)).collect();
                instant::earliest_end(round.end, &widened, auto.margin)
            }
            Hold::HandOver => {
                self.phase = Phase::HandingOver;
                return vec![Command::HandOver];
            }
        };
        let asked = vec![false; self.plan.pods.len()];
        self.phase =
            Phase::Holding(Holding { until, next_look: now.mono + self.plan.check_interval, next_pod: 0, asked });
        self.tick(now)
    }

    fn hold(&mut self, now: Now) -> Vec<Command> {
        let Phase::Holding(holding) = &mut self.phase else { return Vec::new() };
        if now.mono >= holding.until {
            return self.prove(now);
        }
        if now.mono < holding.next_look {
            return Vec::new();
        }
        holding.next_look = now.mono + self.plan.check_interval;
        let pods = looked_at(holding, &self.plan);
        self.outcome.looks = self.outcome.looks.saturating_add(1);
        pods.into_iter().map(|pod| Command::Check(pod, Purpose::Hold)).collect()
    }

    fn prove(&mut self, now: Now) -> Vec<Command> {
        if !self.plan.rules.last_round {
            self.outcome.last_round = Some(Round { start: now.mono, end: now.mono });
            return self.release(now);
        }
        self.begin_round(now, Purpose::Last)
    }

    pub(super) fn handed_over(&mut self, now: Now, result: Result<(), String>) -> Vec<Command> {
        if self.phase != Phase::HandingOver {
            return Vec::new();
        }
        match result {
            Ok(()) => {
                self.outcome.handed_over = true;
                self.finish(None)
            }
            Err(detail) => self.void(now, Name::GuardLost, None, detail),
        }
    }
}

/// The pods to look at now: all of a small set; of a large one as many as let every pod have its turn in time.
fn looked_at(holding: &mut Holding, plan: &Plan) -> Vec<PodIndex> {
    let pods = plan.pods.len();
    let turns = (LOOK_AT_EACH.as_nanos() / plan.check_interval.as_nanos().max(1)).max(1);
    let batch = if pods <= LOOK_AT_ALL { pods } else { pods.div_ceil(usize::try_from(turns).unwrap_or(1)) };
    let mut looked = Vec::with_capacity(batch);
    for _ in 0..batch {
        let pod = holding.next_pod;
        holding.next_pod = (pod + 1) % pods;
        let can_check = plan.pods.get(pod).is_some_and(|p: &PodPlan| p.can_check);
        if can_check && !holding.asked[pod] {
            holding.asked[pod] = true;
            looked.push(PodIndex(pod));
        }
    }
    looked
}

/// Releasing, and what leads there.
impl Window {
    /// A violation while the pods must be closed; later than that it says nothing about the still period.
    pub(super) fn while_closed(&mut self, now: Now, name: Name, pod: Option<PodIndex>, detail: String) -> Vec<Command> {
        match self.phase {
            Phase::Pausing | Phase::Confirming(_) | Phase::Holding(_) | Phase::Proving(_) | Phase::HandingOver => {
                self.void(now, name, pod, detail)
            }
            _ => Vec::new(),
        }
    }

    /// A violation at any time between the beginning and the end of a window.
    pub(super) fn while_open(&mut self, now: Now, name: Name, detail: String) -> Vec<Command> {
        match self.phase {
            Phase::Over(_) => Vec::new(),
            Phase::Releasing(_) if name == Name::Cancelled => {
                self.outcome.violations.push(Violation::of(name, None, detail));
                Vec::new()
            }
            Phase::Releasing(_) => Vec::new(),
            _ => self.void(now, name, None, detail),
        }
    }

    /// Counts from the preflight on, and while pods are released too: an event tells when it was heard, not when the
    /// thing happened.
    pub(super) fn pods_changed(&mut self, now: Now, change: PodsChange) -> Vec<Command> {
        let PodsChange { name, subject, detail } = change;
        let violation = Violation { name, pod: None, subject: Some(subject), detail };
        match self.phase {
            Phase::Over(_) => Vec::new(),
            Phase::Releasing(_) => {
                self.outcome.violations.push(violation);
                Vec::new()
            }
            _ => self.void_by(now, violation),
        }
    }

    /// The window releases by itself before the guard would: why it has to, if it has to.
    pub(super) fn past_deadline(&self, now: Now) -> Option<String> {
        let opened = self.opened?;
        if matches!(self.phase, Phase::Releasing(_) | Phase::Over(_)) {
            return None;
        }
        let open_for = Duration::from_nanos(now.boot_ns.saturating_sub(opened.boot_ns));
        if open_for < self.plan.max_outage.saturating_sub(Plan::RESERVE) {
            return None;
        }
        Some(format!("not finished {open_for:.1?} after it was opened; max_outage is {:?}", self.plan.max_outage))
    }

    pub(super) fn void(&mut self, now: Now, name: Name, pod: Option<PodIndex>, detail: String) -> Vec<Command> {
        self.void_by(now, Violation::of(name, pod, detail))
    }

    fn void_by(&mut self, now: Now, violation: Violation) -> Vec<Command> {
        self.outcome.violations.push(violation);
        if self.outcome.first_pause.is_none() {
            return self.finish(None);
        }
        self.release(now)
    }

    fn release(&mut self, now: Now) -> Vec<Command> {
        self.compare_clocks(now);
        self.outcome.first_unpause = Some(now.mono);
        let can_check: Vec<bool> = self.plan.pods.iter().map(|p| p.can_check).collect();
        let mut tuning = Tuning::new(can_check.len(), self.plan.call_deadline, self.plan.tcp_user_timeout);
        tuning.wait_for_late_pauses = self.plan.rules.wait_for_late_pauses;
        let mut release = Release::maybe_paused(now.mono, now.mono, &can_check, tuning);
        let mut commands = Vec::new();
        for pod in self.pods() {
            match (&self.answers[pod.0], self.answered_at[pod.0]) {
                (Some(PauseAnswer::PausedByOther(_)), _) => {
                    release.leave_alone(pod);
                    commands.push(Command::LeaveAlone(pod));
                }
                (Some(PauseAnswer::Unknown(_)) | None, _) | (_, None) => {}
                (Some(_), Some(at)) => release.pause_was_answered(pod, at),
            }
        }
        self.phase = Phase::Releasing(release);
        self.release_on(now, commands)
    }

    fn compare_clocks(&mut self, now: Now) {
        let Some(opened) = self.opened else { return };
        let on_boot = Duration::from_nanos(now.boot_ns.saturating_sub(opened.boot_ns));
        let on_mono = now.mono.since(opened.mono);
        if on_boot.abs_diff(on_mono) > CLOCKS_AGREE {
            let detail = format!(
                "the window took {on_mono:?} by one clock of this machine and {on_boot:?} by another; was it suspended?"
            );
            self.outcome.violations.push(Violation::of(Name::ClockUnsure, None, detail));
        }
    }

    pub(super) fn unpaused(&mut self, now: Now, pod: PodIndex, answer: &UnpauseAnswer) -> Vec<Command> {
        let Phase::Releasing(release) = &mut self.phase else { return Vec::new() };
        let check = release.unpaused(now.mono, pod, answer);
        self.release_on(now, check.into_iter().map(command).collect())
    }

    /// Asked only while releasing; a watch tells of it earlier.
    pub(super) fn no_longer_exists(&mut self, pod: PodIndex) -> Vec<Command> {
        if let Phase::Releasing(release) = &mut self.phase {
            release.no_longer_exists(pod);
        }
        Vec::new()
    }

    pub(super) fn release_checked(&mut self, now: Now, pod: PodIndex, answer: &CheckAnswer) -> Vec<Command> {
        let Phase::Releasing(release) = &mut self.phase else { return Vec::new() };
        release.checked(now.mono, pod, answer);
        self.release_on(now, Vec::new())
    }

    fn release_on(&mut self, now: Now, mut commands: Vec<Command>) -> Vec<Command> {
        let Phase::Releasing(release) = &mut self.phase else { return commands };
        commands.extend(release.due(now.mono).into_iter().map(command));
        let gave_up = self.outcome.first_unpause.is_some_and(|at| now.mono.since(at) >= self.plan.release_wait);
        if release.is_done() {
            self.outcome.all_open = Some(now.mono);
        } else if !gave_up {
            return commands;
        }
        let release = release.clone();
        commands.extend(self.finish(Some(release)));
        commands
    }

    pub(super) fn tick(&mut self, now: Now) -> Vec<Command> {
        match self.phase {
            Phase::Timing(at) if now.mono >= at => self.pause_all(now),
            Phase::Holding(_) => self.hold(now),
            Phase::Releasing(_) => self.release_on(now, Vec::new()),
            _ => Vec::new(),
        }
    }

    fn finish(&mut self, release: Option<Release>) -> Vec<Command> {
        self.phase = Phase::Over(release);
        vec![Command::Finish]
    }

    fn pods(&self) -> impl Iterator<Item = PodIndex> + use<> {
        (0..self.plan.pods.len()).map(PodIndex)
    }
}

impl Violation {
    fn of(name: Name, pod: Option<PodIndex>, detail: String) -> Self {
        Violation { name, pod, subject: None, detail }
    }
}

fn command(release: ReleaseCommand) -> Command {
    match release {
        ReleaseCommand::Unpause(pod) => Command::Unpause(pod),
        ReleaseCommand::Check(pod) => Command::Check(pod, Purpose::Release),
    }
}
