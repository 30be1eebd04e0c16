//! What follows from everything that happens: commands are carried out, the two sentences are judged.

use super::next::Successors;
use super::*;

impl State {
    /// Carries out what an action led to, also with a death after each send but the last.
    pub(super) fn settle(mut self, setup: &Setup, action: Action, commands: Vec<Command>, out: &mut Successors) {
        self.watch();
        let sends = |c: &Command| matches!(c, Command::Pause(_) | Command::Unpause(_));
        if self.crashes > 0 && commands.iter().filter(|c| sends(c)).count() > 1 {
            for count in 1..commands.len() {
                let mut next = self.clone();
                next.carry_all(setup, commands[..count].to_vec());
                next.die();
                next.tidy(setup);
                out.push((Step { action, died_after: Some(count) }, next));
            }
        }
        self.carry_all(setup, commands);
        self.tidy(setup);
        out.push((Step { action, died_after: None }, self));
    }

    pub(super) fn carry_all(&mut self, setup: &Setup, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::WriteNote => self.local = Some(Local::Note),
                Command::ArmGuard => self.local = Some(Local::Guard),
                Command::HandOver => self.local = Some(Local::HandOver),
                Command::Pause(pod) => self.send(pod, What::Pause),
                Command::Unpause(pod) => {
                    if self.known_held[pod.0] {
                        self.broken = Some(Broken::UnpausedAnother);
                    }
                    self.send(pod, What::Unpause);
                }
                Command::Check(pod, purpose) => {
                    if let (Purpose::Last, Still::Inside { from, broken }) = (purpose, self.still) {
                        self.still = Still::After { from, to: self.tick, broken };
                    }
                    self.send(pod, What::Check(purpose));
                }
                Command::LeaveAlone(pod) => self.left_alone[pod.0] = true,
                Command::Finish => self.finish(setup),
            }
        }
    }

    pub(super) fn send(&mut self, pod: PodIndex, what: What) {
        self.pausing |= what == What::Pause;
        let (sent, since) = (self.tick, self.tick);
        self.calls.push(Call { pod: pod.0, what, stage: Stage::Sent, sent, since, held: false, orphan: false });
    }

    pub(super) fn finish(&mut self, setup: &Setup) {
        self.watch();
        let Owner::Window(window) = &self.owner else { return };
        let outcome = window.outcome().clone();
        let nothing_was_paused = outcome.first_pause.is_none();
        if outcome.violations.is_empty() && !outcome.handed_over && !nothing_was_paused {
            self.good = true;
            self.judge(setup, outcome.first_round.map(|r| r.end), outcome.last_round.map(|r| r.start));
        }
        self.leave();
        if outcome.handed_over {
            // The guard keeps them for the shortest time that makes a difference.
            self.owner = Owner::Keeper { until: self.now().mono + setup.plan.tcp_user_timeout };
        } else if nothing_was_paused || outcome.all_open.is_some() {
            self.owner = Owner::Done;
        }
    }

    /// A window without violations says that it was still from `start` to `end`.
    pub(super) fn judge(&mut self, setup: &Setup, start: Option<Mono>, end: Option<Mono>) {
        if setup.plan.pods.iter().any(|p| !p.can_check) {
            // The point of such a window says that nothing was proven.
            return;
        }
        let at = |tick: u64| Some(ORIGIN + Duration::from_secs(tick));
        match self.still {
            Still::After { from, to, broken } if start == at(from) && end == at(to) => {
                if broken {
                    self.broken = Some(Broken::FalseGood);
                }
            }
            _ => self.broken = Some(Broken::FalseGood),
        }
    }

    /// Follows the still period at the pods themselves.
    pub(super) fn watch(&mut self) {
        let Owner::Window(window) = &self.owner else { return };
        let outcome = window.outcome();
        if !outcome.violations.is_empty() {
            self.still = Still::Void;
        }
        if self.still == Still::Before && outcome.first_round.is_some() {
            self.still = Still::Inside { from: self.tick, broken: false };
        }
        if let Still::Inside { from, broken } = self.still {
            let broken = broken || self.pods.iter().any(|p| !p.is_still());
            self.still = Still::Inside { from, broken };
            if outcome.last_round.is_some() {
                self.still = Still::After { from, to: self.tick, broken };
            }
        }
    }

    /// Brings the state into one form of many equal ones, and looks whether an end is one.
    pub(super) fn tidy(&mut self, setup: &Setup) {
        self.watch();
        for (i, pod) in self.pods.iter_mut().enumerate().filter(|(_, pod)| !pod.closed) {
            pod.outstanding = 0;
            let ours_is_to_come =
                self.calls.iter().any(|c| c.pod == i && c.what == What::Pause && c.stage == Stage::Sent);
            self.reopened[i] = self.pausing && !ours_is_to_come && !self.restarted[i];
        }
        if matches!(self.still, Still::Void) {
            self.reopened.fill(false);
            self.restarted.fill(false);
            self.looked.fill(false);
        }
        self.calls.retain(|c| !c.orphan || c.stage == Stage::Sent);
        self.calls.sort();
        if matches!(&self.owner, Owner::Guard(release) if release.is_done()) {
            self.leave();
            self.owner = Owner::Done;
        }
        let tick = self.tick;
        let can_arrive = self.calls.iter().any(|c| c.what == What::Pause && tick <= c.arrives_until(setup));
        if self.owner == Owner::Done && (can_arrive || self.pods.iter().any(|p| p.closed_by_us)) {
            self.broken.get_or_insert(Broken::LeftPaused);
        }
    }
}
