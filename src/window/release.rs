//! Bringing pods back: pure, shared by the window and the guard.
//!
//! A pod is *proven open* when an Unpause that was sent at or after `safe_after` was answered OK and the CheckPaused
//! sent after that answer said open. `safe_after` is the moment from which no earlier Pause can still arrive: the
//! time of its answer where there was one; otherwise call deadline + TCP user timeout + 1 s after it could last have
//! been sent, because a server may handle a request whose caller is long dead.
//!
//! A pod without CheckPaused needs two OK answers to Unpause that far apart. A pod that nobody listens for any more
//! (connection refused for [`Tuning::gone_after`]) is gone: a process that comes back starts with an open gate. So is a
//! pod that Kubernetes no longer has and that does not answer; one that still answers is released like any other.

use provider_api::Mono;
use std::time::Duration;

/// A pod by its place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodIndex(pub usize);

/// First pause between two tries on one pod.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// Longest pause between two tries on one pod.
const LAST_BACKOFF: Duration = Duration::from_secs(1);

/// The times that release works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// From the last moment a Pause can have been sent until it can no longer arrive.
    pub quiet: Duration,
    /// Connection refused for so long: the pod is gone.
    pub gone_after: Duration,
    /// How often a pod whose Pause may still arrive is unpaused and looked at.
    pub watch_interval: Duration,
    /// `false` only in deliberately broken variants: then one CheckPaused = false releases any pod.
    pub wait_for_late_pauses: bool,
}

impl Tuning {
    /// The times for `pods` pods whose Pause calls had the given deadline and TCP user timeout.
    pub fn new(pods: usize, call_deadline: Duration, tcp_user_timeout: Duration) -> Self {
        // A thousand pods are watched once a second, so that release does not become a load of its own.
        let watch = Duration::from_millis(pods as u64).clamp(Duration::from_millis(200), LAST_BACKOFF);
        Tuning {
            quiet: call_deadline + tcp_user_timeout + Duration::from_secs(1),
            gone_after: Duration::from_secs(30),
            watch_interval: watch,
            wait_for_late_pauses: true,
        }
    }
}

/// How an Unpause call ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnpauseAnswer {
    /// The pod said OK.
    Ok,
    /// Nothing listens at the address.
    ConnectionRefused,
    /// Anything else; it may or may not have worked.
    Failed,
}

/// How a CheckPaused call ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CheckAnswer {
    /// The gate is closed.
    Paused,
    /// The gate is open.
    Open,
    /// The pod does not know the call.
    Unimplemented,
    /// Nothing listens at the address.
    ConnectionRefused,
    /// No usable answer, for people.
    Failed(String),
}

/// What release wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseCommand {
    /// Send Unpause.
    Unpause(PodIndex),
    /// Send CheckPaused.
    Check(PodIndex),
}

/// How a pod's release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Proven open.
    Open,
    /// Nobody is there any more.
    Gone,
    /// Another caller's pause holds it; left alone.
    PausedByOther,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// The next Unpause is due at this moment.
    Due(Mono),
    /// An Unpause is on its way since.
    Unpausing(Mono),
    /// Its answer was OK; a CheckPaused is on its way. Holds when that Unpause was sent.
    Checking(Mono),
    Ended(End),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PodRelease {
    safe_after: Mono,
    can_check: bool,
    step: Step,
    backoff: Duration,
    first_ok: Option<Mono>,
    refused_since: Option<Mono>,
    /// Its UID no longer exists.
    gone_for_good: bool,
}

/// The release of a set of pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Release {
    pods: Vec<PodRelease>,
    tuning: Tuning,
}

impl Release {
    /// Starts with every pod *maybe paused* by a Pause that can last have been sent at `last_sent`.
    /// `can_check[i]`: pod i knows CheckPaused. All Unpause commands are due at `now`.
    pub fn maybe_paused(now: Mono, last_sent: Mono, can_check: &[bool], tuning: Tuning) -> Self {
        let pods = can_check
            .iter()
            .map(|can_check| PodRelease {
                safe_after: last_sent + tuning.quiet,
                can_check: *can_check,
                step: Step::Due(now),
                backoff: FIRST_BACKOFF,
                first_ok: None,
                refused_since: None,
                gone_for_good: false,
            })
            .collect();
        Release { pods, tuning }
    }

    /// The pod's own answer to Pause, whatever it was, came at `at`: nothing of ours can arrive later.
    pub fn pause_was_answered(&mut self, pod: PodIndex, at: Mono) {
        if let Some(p) = self.pods.get_mut(pod.0).filter(|p| p.can_check) {
            p.safe_after = at;
        }
    }

    /// The pod was never sent a Pause: nothing to release.
    pub fn never_paused(&mut self, pod: PodIndex) {
        self.end(pod, End::Open);
    }

    /// Another caller's pause holds the pod; an Unpause would revoke it.
    pub fn leave_alone(&mut self, pod: PodIndex) {
        self.end(pod, End::PausedByOther);
    }

    /// Kubernetes no longer has the pod. It ends as gone with the next Unpause that it does not answer: deleted by force,
    /// its server may run on for a while.
    pub fn no_longer_exists(&mut self, pod: PodIndex) {
        if let Some(p) = self.pods.get_mut(pod.0) {
            p.gone_for_good = true;
        }
    }

    fn end(&mut self, pod: PodIndex, end: End) {
        if let Some(p) = self.pods.get_mut(pod.0) {
            p.step = Step::Ended(end);
        }
    }

    /// Everything that is due now.
    pub fn due(&mut self, now: Mono) -> Vec<ReleaseCommand> {
        let mut commands = Vec::new();
        for (i, pod) in self.pods.iter_mut().enumerate() {
            if matches!(pod.step, Step::Due(at) if at <= now) {
                pod.step = Step::Unpausing(now);
                commands.push(ReleaseCommand::Unpause(PodIndex(i)));
            }
        }
        commands
    }

    /// When something is due next; `None` while only answers are awaited, or at the end.
    pub fn next_due(&self) -> Option<Mono> {
        let due = |p: &PodRelease| if let Step::Due(at) = p.step { Some(at) } else { None };
        self.pods.iter().filter_map(due).min()
    }

    /// An Unpause ended.
    pub fn unpaused(&mut self, now: Mono, pod: PodIndex, answer: &UnpauseAnswer) -> Option<ReleaseCommand> {
        let tuning = self.tuning;
        let p = self.pods.get_mut(pod.0)?;
        let Step::Unpausing(sent) = p.step else { return None };
        match answer {
            UnpauseAnswer::Ok => {
                p.refused_since = None;
                p.backoff = FIRST_BACKOFF;
                if p.can_check {
                    p.step = Step::Checking(sent);
                    return Some(ReleaseCommand::Check(pod));
                }
                p.count_blind_ok(now, sent, &tuning);
            }
            UnpauseAnswer::ConnectionRefused | UnpauseAnswer::Failed if p.gone_for_good => {
                p.step = Step::Ended(End::Gone)
            }
            UnpauseAnswer::ConnectionRefused => p.refused(now, &tuning),
            UnpauseAnswer::Failed => {
                p.refused_since = None;
                p.try_again(now);
            }
        }
        None
    }

    /// A CheckPaused of the release ended.
    pub fn checked(&mut self, now: Mono, pod: PodIndex, answer: &CheckAnswer) {
        let tuning = self.tuning;
        let Some(p) = self.pods.get_mut(pod.0) else { return };
        let Step::Checking(unpause_sent) = p.step else { return };
        match answer {
            CheckAnswer::Open if unpause_sent >= p.safe_after || !tuning.wait_for_late_pauses => {
                p.step = Step::Ended(End::Open)
            }
            CheckAnswer::Open => p.step = Step::Due(p.watch_again(now, &tuning)),
            CheckAnswer::Unimplemented => {
                p.can_check = false;
                p.safe_after = p.safe_after.max(now + tuning.quiet);
                p.count_blind_ok(now, unpause_sent, &tuning);
            }
            CheckAnswer::ConnectionRefused => p.refused(now, &tuning),
            CheckAnswer::Paused | CheckAnswer::Failed(_) => p.try_again(now),
        }
    }

    /// True when every pod's release has ended.
    pub fn is_done(&self) -> bool {
        self.pods.iter().all(|p| matches!(p.step, Step::Ended(_)))
    }

    /// How the pod's release ended, or `None` while it is unproven.
    pub fn ended(&self, pod: PodIndex) -> Option<End> {
        match self.pods.get(pod.0)?.step {
            Step::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// The pods that are not proven open.
    pub fn unproven(&self) -> Vec<PodIndex> {
        (0..self.pods.len()).map(PodIndex).filter(|p| self.ended(*p).is_none()).collect()
    }
}

impl PodRelease {
    fn try_again(&mut self, now: Mono) {
        self.step = Step::Due(now + self.backoff);
        self.backoff = (self.backoff * 2).min(LAST_BACKOFF);
    }

    fn refused(&mut self, now: Mono, tuning: &Tuning) {
        let since = *self.refused_since.get_or_insert(now);
        if now.since(since) >= tuning.gone_after {
            self.step = Step::Ended(End::Gone);
        } else {
            self.try_again(now);
        }
    }

    /// Looks again soon, and certainly at the moment from which a look counts.
    fn watch_again(&self, now: Mono, tuning: &Tuning) -> Mono {
        let next = now + tuning.watch_interval;
        if now < self.safe_after { next.min(self.safe_after) } else { next }
    }

    /// An OK to Unpause from a pod that cannot be looked at.
    fn count_blind_ok(&mut self, now: Mono, sent: Mono, tuning: &Tuning) {
        let first = *self.first_ok.get_or_insert(sent);
        let far_apart = sent.since(first) >= tuning.quiet && sent >= self.safe_after;
        if far_apart || !tuning.wait_for_late_pauses {
            self.step = Step::Ended(End::Open);
        } else {
            let enough = self.safe_after.max(first + tuning.quiet);
            self.step = Step::Due((now + tuning.watch_interval).min(enough.max(now)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: PodIndex = PodIndex(0);

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn tuning() -> Tuning {
        Tuning::new(1, Duration::from_secs(3), Duration::from_secs(1))
    }

    fn unpause_and_look(release: &mut Release, now: Mono, look: CheckAnswer) {
        assert_eq!(release.due(now), [ReleaseCommand::Unpause(POD)]);
        assert_eq!(release.unpaused(now, POD, &UnpauseAnswer::Ok), Some(ReleaseCommand::Check(POD)));
        release.checked(now, POD, &look);
    }

    #[test]
    fn a_pod_whose_pause_was_answered_is_open_after_one_look() {
        let mut release = Release::maybe_paused(at(100), at(0), &[true], tuning());
        release.pause_was_answered(POD, at(50));
        unpause_and_look(&mut release, at(100), CheckAnswer::Open);
        assert_eq!(release.ended(POD), Some(End::Open));
    }

    #[test]
    fn an_unpause_sent_before_the_answer_to_pause_proves_nothing() {
        let mut release = Release::maybe_paused(at(100), at(0), &[true], tuning());
        assert_eq!(release.due(at(100)), [ReleaseCommand::Unpause(POD)]);
        release.pause_was_answered(POD, at(120));
        release.unpaused(at(130), POD, &UnpauseAnswer::Ok);
        release.checked(at(140), POD, &CheckAnswer::Open);
        assert_eq!(release.ended(POD), None);
        unpause_and_look(&mut release, at(340), CheckAnswer::Open);
        assert!(release.is_done());
    }

    #[test]
    fn a_maybe_paused_pod_is_watched_until_no_pause_can_arrive() {
        let mut release = Release::maybe_paused(at(0), at(0), &[true], tuning());
        let mut now = at(0);
        let mut looks = 0;
        while !release.is_done() {
            unpause_and_look(&mut release, now, CheckAnswer::Open);
            looks += 1;
            if let Some(next) = release.next_due() {
                now = next;
            }
        }
        assert_eq!(now, at(5_000));
        assert_eq!(looks, 26);
    }

    #[test]
    fn a_late_pause_is_opened_again_and_the_pod_stays_unproven() {
        let mut release = Release::maybe_paused(at(0), at(0), &[true], tuning());
        unpause_and_look(&mut release, at(0), CheckAnswer::Open);
        unpause_and_look(&mut release, at(4_999), CheckAnswer::Paused);
        assert_eq!(release.next_due(), Some(at(5_049)));
        unpause_and_look(&mut release, at(5_049), CheckAnswer::Open);
        assert!(release.is_done());
    }

    #[test]
    fn a_pod_without_check_paused_needs_two_answers_far_apart() {
        let mut release = Release::maybe_paused(at(0), at(0), &[false], tuning());
        release.pause_was_answered(POD, at(0));
        let mut sent = Vec::new();
        let mut now = at(0);
        while !release.is_done() {
            assert_eq!(release.due(now), [ReleaseCommand::Unpause(POD)]);
            sent.push(now);
            release.unpaused(now, POD, &UnpauseAnswer::Ok);
            now = release.next_due().unwrap_or(now);
        }
        assert_eq!(sent.last().copied(), Some(at(5_000)));
    }

    #[test]
    fn failing_unpauses_are_repeated_without_limit_ever_slower() {
        let mut release = Release::maybe_paused(at(0), at(0), &[true], tuning());
        let mut gaps = Vec::new();
        let mut now = at(0);
        for _ in 0..20 {
            assert_eq!(release.due(now), [ReleaseCommand::Unpause(POD)]);
            release.unpaused(now, POD, &UnpauseAnswer::Failed);
            let next = release.next_due().expect("another try");
            gaps.push(next.since(now).as_millis());
            now = next;
        }
        assert_eq!(gaps[..7], [50, 100, 200, 400, 800, 1000, 1000]);
        assert!(!release.is_done());
    }

    #[test]
    fn a_pod_is_gone_after_thirty_seconds_of_refused_connections_without_a_break() {
        let mut release = Release::maybe_paused(at(0), at(0), &[true], tuning());
        release.due(at(0));
        release.unpaused(at(0), POD, &UnpauseAnswer::ConnectionRefused);
        release.due(at(20_000));
        release.unpaused(at(20_000), POD, &UnpauseAnswer::Failed);
        release.due(at(31_000));
        release.unpaused(at(31_000), POD, &UnpauseAnswer::ConnectionRefused);
        assert_eq!(release.ended(POD), None);
        release.due(at(61_000));
        release.unpaused(at(61_000), POD, &UnpauseAnswer::ConnectionRefused);
        assert_eq!(release.ended(POD), Some(End::Gone));
    }

    #[test]
    fn a_pod_that_kubernetes_no_longer_has_is_gone_once_it_does_not_answer() {
        for answer in [UnpauseAnswer::Failed, UnpauseAnswer::ConnectionRefused] {
            let mut release = Release::maybe_paused(at(0), at(0), &[true], tuning());
            release.due(at(0));
            release.no_longer_exists(POD);
            assert_eq!(release.ended(POD), None);
            release.unpaused(at(10), POD, &answer);
            assert_eq!(release.ended(POD), Some(End::Gone));
        }
        // Its server runs on: then it is opened like any other.
        let mut release = Release::maybe_paused(at(100), at(0), &[true], tuning());
        release.pause_was_answered(POD, at(50));
        release.no_longer_exists(POD);
        unpause_and_look(&mut release, at(100), CheckAnswer::Open);
        assert_eq!(release.ended(POD), Some(End::Open));
    }

    #[test]
    fn a_pod_paused_by_another_is_never_sent_an_unpause() {
        let mut release = Release::maybe_paused(at(0), at(0), &[true, true], tuning());
        release.leave_alone(PodIndex(1));
        assert_eq!(release.due(at(0)), [ReleaseCommand::Unpause(POD)]);
    }
}
