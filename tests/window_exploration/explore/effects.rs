//! What each thing does to the state.

use super::*;

impl State {
    pub(super) fn now(&self) -> Now {
        let mono = ORIGIN + Duration::from_secs(self.tick);
        Now { mono, boot_ns: mono.0 }
    }

    pub(super) fn advance(&mut self, setup: &Setup) -> Vec<Command> {
        self.tick += 1;
        let tick = self.tick;
        self.calls.retain(|c| !c.orphan || tick <= c.arrives_until(setup));
        self.tick_due = !self.is_releasing();
        if self.tick_due { Vec::new() } else { self.owner.tick(self.now()) }
    }

    pub(super) fn hear(&mut self, call: &Call, answer: Answer) -> Vec<Command> {
        self.known_held[call.pod] |= answer == Answer::Pause(PauseReply::PausedByOther);
        self.owner.answered(self.now(), PodIndex(call.pod), call.what, answer)
    }

    pub(super) fn hear_of_break(&mut self, pod: usize) -> Vec<Command> {
        self.unseen_break[pod] = false;
        self.owner.event(self.now(), Event::ConnectionBroke(PodIndex(pod), String::new()))
    }

    pub(super) fn handle(&mut self, setup: &Setup, i: usize) {
        let call = self.calls[i];
        let pod = &mut self.pods[call.pod];
        match call.what {
            What::Check(_) => {
                let closed = pod.closed;
                self.looked[call.pod] = true;
                self.answer(i, Answer::Closed(closed));
            }
            What::Unpause => {
                let replies = pod.unpause();
                self.answer(i, Answer::Unpaused);
                self.reply(call.pod, replies);
            }
            What::Pause => {
                self.calls[i].stage = Stage::AtPod;
                let replies = pod.pause(Caller::Us, self.tick + setup.drain);
                self.reply(call.pod, replies);
            }
        }
    }

    pub(super) fn answer(&mut self, i: usize, answer: Answer) {
        let call = &mut self.calls[i];
        (call.stage, call.since, call.held) = (Stage::Answered(answer), self.tick, false);
    }

    /// Hands the answers that a pod gave to those of our calls that wait for them.
    pub(super) fn reply(&mut self, pod: usize, replies: Replies) {
        for (_, reply) in replies.into_iter().filter(|(caller, _)| *caller == Caller::Us) {
            let waiting = |c: &Call| c.pod == pod && c.what == What::Pause && c.stage == Stage::AtPod;
            if let Some(i) = self.calls.iter().position(waiting) {
                self.answer(i, Answer::Pause(reply));
            }
        }
    }

    /// Calls fail; a Pause on its way may still reach the new process through whatever stands in between.
    pub(super) fn restart(&mut self, pod: usize) -> Vec<Command> {
        self.pods[pod].restart();
        self.restarted[pod] = true;
        self.unseen_break[pod] = matches!(self.owner, Owner::Window(_));
        let mut orphans = Vec::new();
        for i in 0..self.calls.len() {
            let call = self.calls[i];
            if call.pod != pod || call.orphan || matches!(call.stage, Stage::Answered(_)) {
                continue;
            }
            if call.stage == Stage::Sent && call.what == What::Pause {
                orphans.push(Call { orphan: true, held: true, ..call });
            }
            self.answer(i, Answer::Nothing);
        }
        self.calls.extend(orphans);
        Vec::new()
    }

    pub(super) fn others_pause(&mut self, pod: usize, busy: bool) -> Vec<Command> {
        self.others_paused = true;
        self.pods[pod].outstanding = u32::from(busy);
        let replies = self.pods[pod].others_pause(self.tick + 1);
        self.reply(pod, replies);
        Vec::new()
    }

    pub(super) fn die(&mut self) {
        self.crashes = self.crashes.saturating_sub(1);
        self.leave();
    }

    /// The process in charge is no more; what it sent may still arrive.
    pub(super) fn leave(&mut self) {
        let armed = !matches!(self.local, Some(Local::Note | Local::Guard));
        self.local = None;
        self.tick_due = false;
        self.owner = if armed { Owner::Nobody { died: self.now().mono } } else { Owner::Done };
        self.calls.retain(|c| c.what == What::Pause && c.stage == Stage::Sent);
        for call in &mut self.calls {
            (call.orphan, call.held) = (true, true);
        }
        self.unseen_break.fill(false);
        self.still = Still::Void;
    }

    pub(super) fn take_over(&mut self, setup: &Setup, died: Mono) -> Vec<Command> {
        let died = self.rebase(died);
        let plan = &setup.plan;
        let can_check: Vec<bool> = plan.pods.iter().map(|p| p.can_check).collect();
        let mut tuning = Tuning::new(can_check.len(), plan.call_deadline, plan.tcp_user_timeout);
        tuning.wait_for_late_pauses = plan.rules.wait_for_late_pauses;
        let now = self.now();
        let mut release = Release::maybe_paused(now.mono, died, &can_check, tuning);
        for (pod, _) in self.left_alone.iter().enumerate().filter(|(_, left_alone)| **left_alone) {
            release.leave_alone(PodIndex(pod));
        }
        self.owner = Owner::Guard(release);
        self.owner.tick(now)
    }

    /// Counts ticks from the death on, so that releases that differ only in when they begin are explored once.
    pub(super) fn rebase(&mut self, died: Mono) -> Mono {
        let back = died.since(ORIGIN).as_secs();
        let shift = |tick: u64| tick + BEFORE_DEATH - back;
        self.tick = shift(self.tick);
        for waiting in self.pods.iter_mut().flat_map(|p| &mut p.waiting) {
            waiting.until = shift(waiting.until);
        }
        for call in &mut self.calls {
            (call.sent, call.since) = (shift(call.sent), shift(call.since));
        }
        ORIGIN + Duration::from_secs(BEFORE_DEATH)
    }
}

impl Call {
    pub(super) fn gives_up_at(&self, setup: &Setup) -> u64 {
        self.sent + if self.what == What::Pause { setup.plan.call_deadline.as_secs() } else { SHORT_CALL }
    }

    /// The last tick at which a server may still handle the request.
    pub(super) fn arrives_until(&self, setup: &Setup) -> u64 {
        self.sent + (setup.plan.call_deadline + setup.plan.tcp_user_timeout).as_secs()
    }
}
