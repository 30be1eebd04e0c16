//! What can happen next.

use super::*;

pub(super) type Successors = Vec<(Step, State)>;

impl State {
    pub(super) fn begin(setup: &Setup) -> State {
        let pods = setup.plan.pods.len();
        let mut state = State {
            tick: 0,
            owner: Owner::Window(Box::new(Window::new(setup.plan.clone()))),
            local: None,
            tick_due: false,
            pods: vec![Pod::new(setup.kind); pods],
            calls: Vec::new(),
            left_alone: vec![false; pods],
            known_held: vec![false; pods],
            unseen_break: vec![false; pods],
            reopened: vec![false; pods],
            restarted: vec![false; pods],
            looked: vec![false; pods],
            pausing: false,
            others_paused: false,
            faults: setup.faults,
            crashes: setup.crashes,
            still: Still::Before,
            good: false,
            broken: None,
        };
        let now = state.now();
        let commands = state.owner.event(now, Event::Start);
        state.carry_all(setup, commands);
        state
    }

    pub(super) fn successors(&self, setup: &Setup) -> Successors {
        let mut out = Vec::new();
        self.local_steps(setup, &mut out);
        self.call_steps(setup, &mut out);
        self.pod_steps(setup, &mut out);
        self.fault_steps(setup, &mut out);
        self.owner_steps(setup, &mut out);
        if !self.is_anything_urgent(setup) {
            let mut next = self.clone();
            let commands = next.advance(setup);
            next.settle(setup, Action::Advance, commands, &mut out);
        }
        out
    }

    pub(super) fn local_steps(&self, setup: &Setup, out: &mut Successors) {
        let Some(local) = self.local else { return };
        for went_well in [true, false] {
            let result = if went_well { Ok(()) } else { Err(String::new()) };
            let (action, event) = match local {
                Local::Note => (Action::NoteWritten(went_well), Event::NoteWritten(result)),
                Local::Guard => (Action::GuardArmed(went_well), Event::GuardArmed(result)),
                Local::HandOver => (Action::HandedOver(went_well), Event::HandedOver(result)),
            };
            let mut next = self.clone();
            next.local = None;
            let commands = next.owner.event(next.now(), event);
            next.settle(setup, action, commands, out);
        }
    }

    pub(super) fn is_releasing(&self) -> bool {
        match &self.owner {
            Owner::Window(window) => window.outcome().first_unpause.is_some(),
            _ => true,
        }
    }

    /// Whose turn it is: while pods are released, one after the other as long as there is anything urgent.
    pub(super) fn turn(&self, setup: &Setup) -> impl Fn(usize) -> bool + use<> {
        let releasing = self.is_releasing();
        let only = (0..self.pods.len()).find(|i| releasing && self.is_pod_urgent(setup, *i));
        move |pod| only.is_none_or(|only| only == pod)
    }

    pub(super) fn call_steps(&self, setup: &Setup, out: &mut Successors) {
        let turn = self.turn(setup);
        for (i, call) in self.calls.iter().enumerate().filter(|(_, call)| turn(call.pod)) {
            let may_arrive = !call.held || self.tick > call.since;
            match call.stage {
                Stage::Sent if may_arrive => self.handle_steps(setup, i, out),
                // An answer after a break comes over a new connection: the break is heard of first.
                Stage::Answered(answer) if may_arrive && !self.unseen_break[call.pod] => {
                    let mut next = self.clone();
                    next.calls.remove(i);
                    let commands = next.hear(call, answer);
                    next.settle(setup, Action::Deliver(call.pod, call.what), commands, out);
                }
                _ => {}
            }
            if !call.orphan && self.tick >= call.gives_up_at(setup) {
                let mut next = self.clone();
                if call.stage == Stage::Sent && call.what == What::Pause {
                    next.calls[i].orphan = true;
                } else {
                    next.calls.remove(i);
                }
                let commands = next.hear(call, Answer::Nothing);
                next.settle(setup, Action::GiveUp(call.pod, call.what), commands, out);
            }
        }
    }

    pub(super) fn handle_steps(&self, setup: &Setup, i: usize, out: &mut Successors) {
        let call = self.calls[i];
        // Whether transactions were in progress at an open gate is decided when it matters: when it is closed.
        let busy: &[bool] =
            if call.what == What::Pause && !self.pods[call.pod].closed { &[false, true] } else { &[false] };
        for busy in busy {
            let mut next = self.clone();
            next.pods[call.pod].outstanding += u32::from(*busy);
            next.handle(setup, i);
            next.settle(setup, Action::Handle(call.pod, call.what, *busy), Vec::new(), out);
        }
    }

    pub(super) fn pod_steps(&self, setup: &Setup, out: &mut Successors) {
        let turn = self.turn(setup);
        for (i, pod) in self.pods.iter().enumerate().filter(|(i, _)| turn(*i)) {
            if pod.outstanding > 0 || (!pod.closed && !pod.waiting.is_empty()) {
                let mut next = self.clone();
                let replies = next.pods[i].drained();
                next.reply(i, replies);
                next.settle(setup, Action::TransactionsEnd(i), Vec::new(), out);
            }
            for waiting in pod.waiting.iter().filter(|w| w.until <= self.tick) {
                let mut next = self.clone();
                let replies = next.pods[i].stop_waiting(waiting.caller);
                next.reply(i, replies);
                next.settle(setup, Action::StopWaiting(i, waiting.caller), Vec::new(), out);
            }
            if self.unseen_break[i] && matches!(self.owner, Owner::Window(_)) {
                let mut next = self.clone();
                let commands = next.hear_of_break(i);
                next.settle(setup, Action::BreakNoticed(i), commands, out);
            }
        }
    }

    pub(super) fn fault_steps(&self, setup: &Setup, out: &mut Successors) {
        if self.faults == 0 || self.calls.is_empty() && self.pods.iter().all(|p| !p.closed) {
            return;
        }
        let mut fault = |action: Action, change: &dyn Fn(&mut State) -> Vec<Command>| {
            let mut next = self.clone();
            next.faults -= 1;
            let commands = change(&mut next);
            next.settle(setup, action, commands, out);
        };
        let turn = self.turn(setup);
        for (i, call) in self.calls.iter().enumerate().filter(|(_, c)| !c.held && !c.orphan && turn(c.pod)) {
            let hold = |next: &mut State| {
                next.calls[i].held = true;
                Vec::new()
            };
            match call.stage {
                Stage::Sent => fault(Action::HoldBackRequest(call.pod, call.what), &hold),
                Stage::AtPod => {}
                Stage::Answered(_) => fault(Action::HoldBackAnswer(call.pod, call.what), &hold),
            }
            if call.stage == Stage::Sent && call.what == What::Pause {
                fault(Action::RefusePause(call.pod), &|next| {
                    next.answer(i, Answer::Pause(PauseReply::Refused));
                    Vec::new()
                });
            }
        }
        for (i, pod) in self.pods.iter().enumerate().filter(|(i, _)| turn(*i)) {
            if pod.closed || self.calls.iter().any(|c| c.pod == i) {
                fault(Action::Restart(i), &|next| next.restart(i));
            }
            if pod.closed {
                fault(Action::OthersUnpause(i), &|next| {
                    let replies = next.pods[i].unpause();
                    next.reply(i, replies);
                    Vec::new()
                });
            }
            for busy in self.others_may_pause(setup, i) {
                fault(Action::OthersPause(i, busy), &|next| next.others_pause(i, busy));
            }
        }
        if setup.ends && matches!(self.owner, Owner::Window(_)) {
            fault(Action::Cancel, &|next| next.owner.event(next.now(), Event::Cancelled(String::new())));
            fault(Action::GuardDies, &|next| next.owner.event(next.now(), Event::GuardLost(String::new())));
        }
    }

    /// With which transactions in progress another caller's Pause may come; see [`Others`].
    pub(super) fn others_may_pause(&self, setup: &Setup, i: usize) -> Vec<bool> {
        let pod = &self.pods[i];
        if self.others_paused
            || self.still == Still::Void
            || (setup.kind == Kind::WithReasons && !pod.waiting.is_empty())
        {
            return Vec::new();
        }
        match (setup.others, pod.closed, self.reopened[i]) {
            (_, true, _) => vec![pod.outstanding > 0],
            (Others::Unlimited, false, _) | (_, false, false) => vec![false, true],
            (Others::WithinLimits, false, true) if !self.looked[i] => vec![false],
            (Others::WithinLimits, false, true) => Vec::new(),
        }
    }

    pub(super) fn owner_steps(&self, setup: &Setup, out: &mut Successors) {
        match &self.owner {
            Owner::Nobody { died } => {
                let mut next = self.clone();
                let commands = next.take_over(setup, *died);
                next.settle(setup, Action::TakeOver, commands, out);
            }
            Owner::Keeper { until } if self.now().mono >= *until => {
                let mut next = self.clone();
                // The guard cannot know when the last Pause was sent, only that its sender is gone.
                let commands = next.take_over(setup, *until);
                next.settle(setup, Action::TakeOver, commands, out);
            }
            _ => {}
        }
        if self.tick_due {
            let mut next = self.clone();
            next.tick_due = false;
            let commands = next.owner.tick(next.now());
            next.settle(setup, Action::Tick, commands, out);
        }
        if self.crashes > 0 && matches!(self.owner, Owner::Window(_) | Owner::Guard(_)) {
            let mut next = self.clone();
            next.die();
            next.settle(setup, Action::Crash, Vec::new(), out);
        }
    }

    /// Whether something has to happen before time can go on.
    pub(super) fn is_anything_urgent(&self, setup: &Setup) -> bool {
        let owner = match self.owner {
            Owner::Nobody { died } => self.now().mono > died,
            Owner::Keeper { until } => self.now().mono >= until,
            _ => false,
        };
        owner || self.tick_due || self.local.is_some() || (0..self.pods.len()).any(|i| self.is_pod_urgent(setup, i))
    }

    pub(super) fn is_pod_urgent(&self, setup: &Setup, pod: usize) -> bool {
        let waited = self.pods[pod].waiting.iter().any(|w| w.until <= self.tick);
        waited
            || self.calls.iter().filter(|c| c.pod == pod).any(|c| {
                let on_its_way = !c.held && c.stage != Stage::AtPod;
                on_its_way || (!c.orphan && self.tick >= c.gives_up_at(setup))
            })
    }
}
