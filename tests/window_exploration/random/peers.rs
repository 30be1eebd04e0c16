//! The pods, their traffic and what befalls them.

use super::*;

impl World<'_> {
    pub(super) fn arrive(&mut self, i: usize) {
        let Call { pod, what, sent, sender, .. } = self.calls[i];
        let peer = &mut self.peers[pod];
        if !peer.up {
            return self.soon(Happening::Answered(i, Answer::NobodyThere));
        }
        if self.now < peer.hangs_until {
            let bound = sent + (self.plan.call_deadline + self.plan.tcp_user_timeout).as_nanos() as u64;
            if peer.hangs_until <= bound {
                let wait = peer.hangs_until - self.now;
                self.after(wait, Happening::Arrive(i));
            }
            return;
        }
        match what {
            What::Check(_) => {
                let closed = peer.pod.closed;
                peer.looked |= peer.handled_pause;
                self.answer(i, Answer::Closed(closed));
            }
            What::Unpause if peer.refuses_unpause > 0 => {
                peer.refuses_unpause -= 1;
                self.answer(i, Answer::Nothing);
            }
            What::Unpause => {
                let replies = peer.pod.unpause();
                self.answer(i, Answer::Unpaused);
                self.changed(pod, replies);
            }
            What::Pause => {
                let until = self.now + self.scenario.drain;
                peer.pause_at_pod = (sender == self.sender).then_some(i);
                peer.handled_pause = true;
                let replies = peer.pod.pause(Caller::Us, until);
                self.after(self.scenario.drain, Happening::StopWaiting(pod, Caller::Us, until));
                self.changed(pod, replies);
            }
        }
    }

    pub(super) fn answer(&mut self, call: usize, answer: Answer) {
        if !self.is_unreliable() {
            self.soon(Happening::Answered(call, answer));
        } else if self.rng.random_bool(0.5) {
            self.within(self.scenario.drain, Happening::Answered(call, answer));
        }
    }

    /// After every change at a pod: hands out its answers and follows whether it is still.
    pub(super) fn changed(&mut self, pod: usize, replies: Replies) {
        for (_, reply) in replies.into_iter().filter(|(caller, _)| *caller == Caller::Us) {
            if let Some(call) = self.peers[pod].pause_at_pod.take() {
                self.answer(call, Answer::Pause(reply));
            }
        }
        let now = self.now;
        let peer = &mut self.peers[pod];
        peer.reopened |= peer.handled_pause && !peer.pod.closed && peer.incarnation == 0;
        match (peer.pod.is_still(), peer.moving_since) {
            (true, Some(since)) => {
                peer.moving.push((since, now));
                peer.moving_since = None;
            }
            (false, None) => peer.moving_since = Some(now),
            _ => {}
        }
    }

    pub(super) fn transaction(&mut self, pod: usize) {
        let peer = &mut self.peers[pod];
        if peer.up && !peer.pod.closed {
            peer.pod.outstanding += 1;
            let incarnation = peer.incarnation;
            let long = self.rng.random_ratio(1, 50);
            let time = if long { 300 * MS..4 * SECOND } else { MS..80 * MS };
            let time = self.rng.random_range(time);
            self.after(time, Happening::TransactionEnds(pod, incarnation));
        }
        if self.owner != Owner::Done {
            self.within(400 * MS, Happening::Transaction(pod));
        }
    }

    pub(super) fn transaction_ends(&mut self, pod: usize, incarnation: u32) {
        let peer = &mut self.peers[pod];
        if peer.incarnation != incarnation || peer.pod.outstanding == 0 {
            return;
        }
        peer.pod.outstanding -= 1;
        let replies = if peer.pod.outstanding == 0 { peer.pod.drained() } else { Vec::new() };
        self.changed(pod, replies);
    }

    pub(super) fn stop_waiting(&mut self, pod: usize, caller: Caller, until: u64) {
        let peer = &mut self.peers[pod];
        if peer.pod.waiting.iter().any(|w| w.caller == caller && w.until == until) {
            let replies = peer.pod.stop_waiting(caller);
            self.changed(pod, replies);
        }
    }

    pub(super) fn restart(&mut self, pod: usize, down: Option<u64>) {
        let peer = &mut self.peers[pod];
        if !peer.up {
            return;
        }
        peer.pod.restart();
        peer.incarnation += 1;
        peer.up = false;
        peer.break_unseen = true;
        if let Some(call) = peer.pause_at_pod.take() {
            self.soon(Happening::Answered(call, Answer::Nothing));
        }
        self.within(50 * MS, Happening::BreakNoticed(pod));
        if let Some(down) = down {
            self.after(down, Happening::Up(pod));
        }
        self.changed(pod, Vec::new());
    }

    pub(super) fn mishap(&mut self, mishap: Mishap) {
        let pod = mishap.pod % self.peers.len();
        let now = self.now;
        let peer = &mut self.peers[pod];
        match mishap.kind {
            MishapKind::Restart { down } => self.restart(pod, Some(down)),
            MishapKind::Die => self.restart(pod, None),
            MishapKind::Hang { time } => peer.hangs_until = now + time,
            MishapKind::RefuseUnpause { times } => peer.refuses_unpause += times,
            MishapKind::LongTransaction { time } => {
                if peer.up && !peer.pod.closed {
                    peer.pod.outstanding += 1;
                    let incarnation = peer.incarnation;
                    self.after(time, Happening::TransactionEnds(pod, incarnation));
                }
            }
            MishapKind::OthersUnpause => {
                let replies = peer.pod.unpause();
                self.changed(pod, replies);
            }
            MishapKind::OthersPause => self.others_pause(pod),
            MishapKind::Stop { time } => self.stopped_until = now + time,
            MishapKind::Cancel => self.event(Event::Cancelled(String::new())),
            MishapKind::GuardDies => self.event(Event::GuardLost(String::new())),
        }
    }

    /// Within the same limits as in the exhaustive runs.
    pub(super) fn others_pause(&mut self, pod: usize) {
        let peer = &mut self.peers[pod];
        let closes_again = peer.reopened && !peer.pod.closed;
        let unseen = !peer.looked && peer.pod.outstanding == 0;
        if !peer.up || (closes_again && !unseen) || peer.pod.waiting.iter().any(|w| w.caller == Caller::Other) {
            return;
        }
        let until = self.now + self.scenario.drain / 2;
        let replies = peer.pod.others_pause(until);
        debug_assert!(replies.iter().all(|(_, reply)| *reply != PauseReply::PausedByOther));
        self.after(self.scenario.drain / 2, Happening::StopWaiting(pod, Caller::Other, until));
        self.changed(pod, replies);
    }
}

impl Peer {
    pub(super) fn new(kind: Kind) -> Self {
        Peer {
            pod: Pod::new(kind),
            up: true,
            incarnation: 0,
            hangs_until: 0,
            refuses_unpause: 0,
            break_unseen: false,
            left_alone: false,
            pause_at_pod: None,
            handled_pause: false,
            reopened: false,
            looked: false,
            moving_since: Some(0),
            moving: Vec::new(),
        }
    }
}
