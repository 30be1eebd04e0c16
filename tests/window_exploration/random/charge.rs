//! Whoever is in charge, and the judgement of what it claims.

use super::*;

impl World<'_> {
    pub(super) fn event(&mut self, event: Event) {
        let now = self.clocks();
        let commands = self.owner.event(now, event);
        self.carry_out(commands);
    }

    pub(super) fn tick(&mut self) {
        if self.tick_at.is_some_and(|at| at <= self.now) {
            self.tick_at = None;
        }
        let now = self.clocks();
        let commands = self.owner.tick(now);
        self.carry_out(commands);
    }

    pub(super) fn answered(&mut self, call: usize, answer: Answer) {
        let Call { pod, what, sender, over, .. } = self.calls[call];
        if over || sender != self.sender {
            return;
        }
        self.calls[call].over = true;
        self.break_noticed(pod);
        let now = self.clocks();
        let commands = self.owner.answered(now, PodIndex(pod), what, answer);
        self.carry_out(commands);
    }

    pub(super) fn break_noticed(&mut self, pod: usize) {
        if std::mem::take(&mut self.peers[pod].break_unseen) {
            self.event(Event::ConnectionBroke(PodIndex(pod), String::new()));
        }
    }

    pub(super) fn local_done(&mut self, local: Local) {
        match local {
            Local::Note => self.event(Event::NoteWritten(Ok(()))),
            Local::Guard => {
                self.armed = true;
                self.after(self.plan.max_outage.as_nanos() as u64, Happening::GuardFires);
                self.event(Event::GuardArmed(Ok(())));
            }
            Local::HandOver => self.event(Event::HandedOver(Ok(()))),
        }
    }

    pub(super) fn carry_out(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::WriteNote => self.soon(Happening::LocalDone(Local::Note)),
                Command::ArmGuard => self.soon(Happening::LocalDone(Local::Guard)),
                Command::HandOver => self.soon(Happening::LocalDone(Local::HandOver)),
                Command::Pause(pod) => self.send(pod.0, What::Pause),
                Command::Check(pod, purpose) => self.send(pod.0, What::Check(purpose)),
                Command::Unpause(pod) => {
                    if self.peers[pod.0].left_alone {
                        self.broken = Some(Broken::UnpausedAnother);
                    }
                    self.send(pod.0, What::Unpause);
                }
                Command::LeaveAlone(pod) => self.peers[pod.0].left_alone = true,
                Command::Finish => self.finish(),
            }
        }
        if matches!(&self.owner, Owner::Guard(release) if release.is_done()) {
            self.owner = Owner::Done;
            self.sender += 1;
        }
        let wanted = self.owner.next_tick().map_or(u64::MAX, |at| at.0).clamp(self.now + 1, self.now + 100 * MS);
        if self.owner != Owner::Done && self.tick_at.is_none_or(|at| at > wanted) {
            self.tick_at = Some(wanted);
            self.after(wanted - self.now, Happening::Tick);
        }
    }

    pub(super) fn send(&mut self, pod: usize, what: What) {
        let call = self.calls.len();
        self.calls.push(Call { pod, what, sent: self.now, sender: self.sender, over: false });
        let deadline = if what == What::Pause { self.plan.call_deadline.as_nanos() as u64 } else { SHORT_CALL };
        self.after(deadline, Happening::GiveUp(call));
        // A try lost on its way to a dead pod would only begin the count of refused ones again.
        if !self.peers[pod].up || !self.is_unreliable() {
            self.soon(Happening::Arrive(call));
        } else if self.rng.random_bool(0.7) {
            let bound = (self.plan.call_deadline + self.plan.tcp_user_timeout).as_nanos() as u64;
            self.within(bound, Happening::Arrive(call));
        }
    }

    pub(super) fn finish(&mut self) {
        let Owner::Window(window) = &self.owner else { return };
        let outcome = window.outcome().clone();
        self.sender += 1;
        let died = Mono(self.now);
        if outcome.violations.is_empty() && !outcome.handed_over && outcome.first_pause.is_some() {
            self.ended = Ended::Good;
            match (outcome.first_round, outcome.last_round) {
                (Some(first), Some(last)) if self.was_still(first.end.0, last.start.0) => {}
                _ => self.broken = Some(Broken::FalseGood),
            }
        }
        self.owner = if outcome.handed_over {
            self.after(3 * SECOND, Happening::TakeOver);
            Owner::Keeper { until: died + Duration::from_secs(3) }
        } else if outcome.first_pause.is_none() || outcome.all_open.is_some() {
            Owner::Done
        } else {
            self.soon(Happening::TakeOver);
            Owner::Nobody { died }
        };
    }

    pub(super) fn was_still(&self, start: u64, end: u64) -> bool {
        self.peers.iter().all(|p| {
            let now_moving = p.moving_since.map(|since| (since, u64::MAX));
            p.moving.iter().copied().chain(now_moving).all(|(from, to)| from > end || to <= start)
        })
    }

    pub(super) fn die(&mut self, how: Happening) {
        let dies = match self.owner {
            Owner::Window(_) => true,
            Owner::Guard(_) | Owner::Keeper { .. } => how == Happening::Crash,
            _ => false,
        };
        if !dies {
            return;
        }
        self.ended = Ended::Died;
        self.sender += 1;
        self.stopped_until = 0;
        if self.armed {
            self.owner = Owner::Nobody { died: Mono(self.now) };
            self.within(2 * SECOND, Happening::TakeOver);
        } else {
            self.owner = Owner::Done;
        }
    }

    pub(super) fn take_over(&mut self) {
        let died = match self.owner {
            Owner::Nobody { died } => died,
            Owner::Keeper { .. } => Mono(self.now),
            _ => return,
        };
        let can_check = vec![true; self.peers.len()];
        let mut tuning = Tuning::new(can_check.len(), self.plan.call_deadline, self.plan.tcp_user_timeout);
        tuning.wait_for_late_pauses = self.scenario.rules.wait_for_late_pauses;
        let mut release = Release::maybe_paused(Mono(self.now), died, &can_check, tuning);
        for (i, _) in self.peers.iter().enumerate().filter(|(_, p)| p.left_alone) {
            release.leave_alone(PodIndex(i));
        }
        self.owner = Owner::Guard(release);
        self.tick();
    }
}
