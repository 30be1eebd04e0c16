//! The window's protocol as a pure state machine: events in, commands out, time as a value.
//!
//! Order of a good window: note written → guard armed → Pause to all → all answered OK → first round of CheckPaused
//! all true (its end starts the still period) → hold, looking at every pod at least once a second → last round all
//! true (its start ends the still period) → Unpause until every pod is proven open.
//! Anything else is a violation: the window is void and goes to release at once.

use super::plan::{Now, Plan};
use super::release::{CheckAnswer, End, PodIndex, Release, UnpauseAnswer};
use super::violation::Name;
use provider_api::Mono;

#[cfg(test)]
mod tests;
mod transitions;

/// Why a CheckPaused is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The round after the last answer to Pause.
    First,
    /// Looking while holding.
    Hold,
    /// The round before the first Unpause.
    Last,
    /// Proving that a pod is open again.
    Release,
}

/// What the driver is to do. Answers come back as [`Event`]s.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Write the open window note to every place it lives.
    WriteNote,
    /// Start the guard and wait until it is armed.
    ArmGuard,
    /// Send Pause, waiting for transactions in progress.
    Pause(PodIndex),
    /// Send CheckPaused.
    Check(PodIndex, Purpose),
    /// Send Unpause.
    Unpause(PodIndex),
    /// Tell the guard that another caller's pause holds this pod.
    LeaveAlone(PodIndex),
    /// Make the guard the owner of the paused pods.
    HandOver,
    /// The window is over; see [`Window::outcome`].
    Finish,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Begin.
    Start,
    /// The note is in every place, or the reason why not.
    NoteWritten(Result<(), String>),
    /// The guard is armed, or the reason why not.
    GuardArmed(Result<(), String>),
    /// A Pause ended.
    PauseAnswered(PodIndex, PauseAnswer),
    /// A CheckPaused ended.
    Checked(PodIndex, Purpose, CheckAnswer),
    /// An Unpause ended.
    Unpaused(PodIndex, UnpauseAnswer),
    /// The pod's connection broke, whether or not it came back.
    ConnectionBroke(PodIndex, String),
    /// The pods are no longer those that the preflight saw, or cannot be seen to be.
    PodsChanged(PodsChange),
    /// Kubernetes no longer has the pod.
    NoLongerExists(PodIndex),
    /// The guard died.
    GuardLost(String),
    /// The guard owns the pods now, or the reason why not.
    HandedOver(Result<(), String>),
    /// Somebody asked to stop.
    Cancelled(String),
    /// Time has passed.
    Tick,
}

/// How a Pause ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PauseAnswer {
    /// OK: drained and closed.
    Paused,
    /// The pod's own no, for people. Its gate is as it was, or open.
    Refused(String),
    /// The pod's own no: transactions did not end in time.
    DrainTimedOut(String),
    /// The pod's own no: another caller's pause holds it.
    PausedByOther(String),
    /// No answer of the pod's own: it may be paused, or may still be going to be.
    Unknown(String),
}

/// What a watch of the pods saw that makes a window prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodsChange {
    /// One of PodAdded, PodRemoved, PodRestarted, PodNotRunning, PodReplaced, SetsDisagree, WatchGap.
    pub name: Name,
    /// The pod's name; where no single pod is concerned, the target's.
    pub subject: String,
    /// What was seen, for people.
    pub detail: String,
}

/// A violation of one window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// Which.
    pub name: Name,
    /// On which pod of the plan; `None`: none of them, or the window as a whole.
    pub pod: Option<PodIndex>,
    /// What else it is about: a pod that need not be one of the plan's.
    pub subject: Option<String>,
    /// What was seen, for people.
    pub detail: String,
}

/// What we know of a pod's gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// Open: never paused by us, or proven open again.
    Open,
    /// Answered OK to Pause, no Unpause sent yet.
    Paused,
    /// A Pause was sent, and nothing is proven.
    MaybePaused,
    /// Held by another caller.
    PausedByOther,
    /// Nobody is there any more.
    Gone,
}

/// A round of CheckPaused that was true on every pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Round {
    /// Before its first call was sent.
    pub start: Mono,
    /// After its last answer.
    pub end: Mono,
}

/// What happened in a window, all on our monotonic clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Why the window proves nothing; empty: it is proven still from `first_round.end` to `last_round.start`.
    pub violations: Vec<Violation>,
    /// The first Pause is about to be sent.
    pub first_pause: Option<Mono>,
    /// The last answer to Pause came.
    pub last_answer: Option<Mono>,
    /// The first complete round.
    pub first_round: Option<Round>,
    /// The last complete round.
    pub last_round: Option<Round>,
    /// Looks while holding.
    pub looks: u32,
    /// The first Unpause is about to be sent.
    pub first_unpause: Option<Mono>,
    /// Every pod is proven open, gone or not ours.
    pub all_open: Option<Mono>,
    /// The guard owns the pods now.
    pub handed_over: bool,
    /// Nothing was paused, and why: the note could not be written.
    pub refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    Noting,
    Arming,
    /// Waiting for a good moment within the second.
    Timing(Mono),
    Pausing,
    Confirming(RoundInProgress),
    Holding(Holding),
    Proving(RoundInProgress),
    HandingOver,
    Releasing(Release),
    /// With the release as it stood; `None` if nothing had been paused.
    Over(Option<Release>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RoundInProgress {
    start: Mono,
    missing: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holding {
    until: Mono,
    next_look: Mono,
    next_pod: usize,
    asked: Vec<bool>,
}

/// One window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    plan: Plan,
    opened: Option<Now>,
    phase: Phase,
    answers: Vec<Option<PauseAnswer>>,
    answered_at: Vec<Option<Mono>>,
    outcome: Outcome,
}

impl Window {
    /// A window that has not begun.
    pub fn new(plan: Plan) -> Self {
        let pods = plan.pods.len();
        Window {
            plan,
            opened: None,
            phase: Phase::Idle,
            answers: vec![None; pods],
            answered_at: vec![None; pods],
            outcome: Outcome::default(),
        }
    }

    /// Takes an event and says what to do about it. Events that come too late for their phase change nothing.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Command> {
        if let Some(detail) = self.past_deadline(now) {
            // What a pod answered says whether it may be unpaused at all, so it counts even now.
            if let Event::PauseAnswered(pod, answer) = &event {
                self.keep_answer(now, *pod, answer);
            }
            return self.void(now, Name::DeadlinePassed, None, detail);
        }
        match event {
            Event::Start => self.start(now),
            Event::NoteWritten(result) => self.note_written(now, result),
            Event::GuardArmed(result) => self.guard_armed(now, result),
            Event::PauseAnswered(pod, answer) => self.pause_answered(now, pod, answer),
            Event::Checked(pod, Purpose::Release, answer) => self.release_checked(now, pod, &answer),
            Event::Checked(pod, purpose, answer) => self.checked(now, pod, purpose, answer),
            Event::Unpaused(pod, answer) => self.unpaused(now, pod, &answer),
            Event::ConnectionBroke(pod, detail) => self.while_closed(now, Name::ConnectionLost, Some(pod), detail),
            Event::NoLongerExists(pod) => self.no_longer_exists(pod),
            Event::PodsChanged(change) => self.pods_changed(now, change),
            Event::GuardLost(detail) => self.while_open(now, Name::GuardLost, detail),
            Event::HandedOver(result) => self.handed_over(now, result),
            Event::Cancelled(detail) => self.while_open(now, Name::Cancelled, detail),
            Event::Tick => self.tick(now),
        }
    }

    /// When a [`Event::Tick`] is wanted, at the latest. The hard deadline is on the boot clock, so the driver ticks
    /// more often than this asks.
    pub fn next_tick(&self) -> Option<Mono> {
        match &self.phase {
            Phase::Timing(at) => Some(*at),
            Phase::Holding(holding) => Some(holding.next_look.min(holding.until)),
            Phase::Releasing(release) => {
                let give_up = self.outcome.first_unpause.map(|at| at + self.plan.release_wait);
                [release.next_due(), give_up].into_iter().flatten().min()
            }
            _ => None,
        }
    }

    /// What happened so far; final after [`Command::Finish`].
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// True after [`Command::Finish`].
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// What we know of a pod's gate.
    pub fn gate(&self, pod: PodIndex) -> Gate {
        if let Phase::Releasing(release) | Phase::Over(Some(release)) = &self.phase {
            return match release.ended(pod) {
                Some(End::Open) => Gate::Open,
                Some(End::Gone) => Gate::Gone,
                Some(End::PausedByOther) => Gate::PausedByOther,
                None => Gate::MaybePaused,
            };
        }
        match self.answers.get(pod.0) {
            _ if self.outcome.first_pause.is_none() => Gate::Open,
            Some(Some(PauseAnswer::Paused)) => Gate::Paused,
            _ => Gate::MaybePaused,
        }
    }
}
