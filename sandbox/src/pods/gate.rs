//! The gate: open or closed, the transactions that passed it, and the pauses that wait for them to end.
//!
//! Two generations of servers differ in who may undo what. ScalarDB Server up to 3.13 keeps no record of who closed the
//! gate: a Pause whose drain times out opens it under everybody, and a Pause that drained says OK whatever the gate does
//! by then. ScalarDL 3.14 runs one Pause at a time, undoes only its own closing, and names what happened.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::fault::{Action, Fault, Planted};
use super::log::{Entry, Event, Method, Mover, Outcome, PodLog, mono_ns};

/// How a Pause ended at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paused {
    /// As far as the server says: closed and, if asked, drained.
    Ok,
    TimedOut,
    KeptByEarlier,
    GateOpen,
    InProgress,
}

/// A call at one life of the process. What it does to the gate of a later life is nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) number: u64,
    life: u64,
}

/// Why a transaction did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The gate is closed: UNAVAILABLE, as clients see it.
    #[error("UNAVAILABLE: the server is paused")]
    Paused,
    /// The process is down.
    #[error("UNAVAILABLE: connection refused")]
    Down,
}

#[derive(Debug)]
struct State {
    up: bool,
    /// Counts the lives of the process.
    life: u64,
    open: bool,
    /// Only the newer generation looks at this.
    pause_in_progress: bool,
    outstanding: BTreeSet<u64>,
    next_transaction: u64,
    next_call: u64,
    planted: Planted,
    log: Vec<Entry>,
}

/// Shared by the servers, the workload and the fault handles of one pod.
#[derive(Debug)]
pub(super) struct Gate {
    pod: usize,
    state: Mutex<State>,
    changed: Notify,
}

impl State {
    fn note(&mut self, pod: usize, event: Event) {
        self.log.push(Entry { pod, mono_ns: mono_ns(), event });
    }

    fn close(&mut self, pod: usize, mover: Mover) -> bool {
        let was_open = std::mem::replace(&mut self.open, false);
        if was_open {
            self.note(pod, Event::GateClosed { mover });
        }
        was_open
    }

    fn open(&mut self, pod: usize, mover: Mover) {
        if !std::mem::replace(&mut self.open, true) {
            self.note(pod, Event::GateOpened { mover });
        }
    }
}

impl Gate {
    pub(super) fn new(pod: usize) -> Arc<Self> {
        let state = State {
            up: false,
            life: 0,
            open: true,
            pause_in_progress: false,
            outstanding: BTreeSet::new(),
            next_transaction: 0,
            next_call: 0,
            planted: Planted::default(),
            log: Vec::new(),
        };
        Arc::new(Self { pod, state: Mutex::new(state), changed: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log(&self) -> PodLog {
        PodLog { pod: self.pod, entries: self.lock().log.clone() }
    }

    pub(super) fn note(&self, event: Event) {
        self.lock().note(self.pod, event);
    }

    pub(super) fn plant(&self, fault: Fault) {
        self.lock().planted.add(fault);
    }

    pub(super) fn clear_faults(&self) {
        self.lock().planted.clear();
    }

    /// A call arrived: its number, and what strikes it.
    pub(super) fn receive(&self, method: Method, detail: String) -> (Call, Vec<Action>) {
        let mut state = self.lock();
        state.next_call += 1;
        let call = Call { number: state.next_call, life: state.life };
        state.note(self.pod, Event::Received { call: call.number, method, detail });
        (call, state.planted.strike(method))
    }

    /// The process comes up: a new life, the gate open.
    pub(super) fn start(&self, address: String) {
        let mut state = self.lock();
        state.up = true;
        state.note(self.pod, Event::Started { address });
    }

    /// The process ends: everything in its memory is forgotten.
    pub(super) fn stop(&self, for_good: bool) {
        let mut state = self.lock();
        if !state.up {
            return;
        }
        state.up = false;
        state.life += 1;
        state.pause_in_progress = false;
        state.note(self.pod, Event::Stopped { for_good });
        for transaction in std::mem::take(&mut state.outstanding) {
            state.note(self.pod, Event::TransactionEnded { transaction, outcome: Outcome::PodGone });
        }
        state.open(self.pod, Mover::Restart);
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        !self.lock().open
    }

    pub(super) fn is_up(&self) -> bool {
        self.lock().up
    }

    pub(super) fn outstanding(&self) -> usize {
        self.lock().outstanding.len()
    }

    /// Opens the gate for a call of the process that still runs.
    pub(super) fn unpause(&self, call: Call, mover: Mover) {
        let mut state = self.lock();
        if state.up && state.life == call.life {
            state.open(self.pod, mover);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn close(&self, call: Call) {
        let mut state = self.lock();
        if state.up && state.life == call.life {
            state.close(self.pod, Mover::Call { call: call.number });
        }
    }

    /// Somebody outside moves the gate; false: the process is down.
    pub(super) fn foreign(&self, close: bool) -> bool {
        let mut state = self.lock();
        match (state.up, close) {
            (false, _) => return false,
            (true, true) => _ = state.close(self.pod, Mover::Foreign),
            (true, false) => state.open(self.pod, Mover::Foreign),
        }
        drop(state);
        self.changed.notify_waiters();
        true
    }

    /// Waits until `done` gives a value under the lock, or the time is over.
    async fn wait_until<T>(
        &self,
        deadline: Option<Instant>,
        mut done: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Listening starts before the look, so that no change is missed between the two.
            changed.as_mut().enable();
            if let Some(value) = done(&mut self.lock()) {
                return Some(value);
            }
            match deadline {
                None => changed.await,
                Some(deadline) if deadline <= Instant::now() => return None,
                Some(deadline) => {
                    if tokio::time::timeout_at(deadline, changed).await.is_err() {
                        return done(&mut self.lock());
                    }
                }
            }
        }
    }

    /// Pause of ScalarDB Server up to 3.13. `wait`: for how long the drain may take; `None` does not wait.
    pub(super) async fn pause_without_owner(&self, call: Call, wait: Option<Duration>) -> Paused {
        self.close(call);
        let Some(limit) = wait else { return Paused::Ok };
        let deadline = Instant::now() + limit;
        let drained = self.wait_until(Some(deadline), |state| state.outstanding.is_empty().then_some(())).await;
        if drained.is_some() {
            return Paused::Ok;
        }
        self.unpause(call, Mover::DrainTimedOut { call: call.number });
        Paused::TimedOut
    }

    /// Pause of ScalarDL 3.14 and ScalarDB Cluster 3.19: one at a time, and each undoes only its own closing.
    pub(super) async fn pause_with_owner(&self, call: Call, wait: Option<Duration>) -> Paused {
        let Some(limit) = wait else {
            let mut state = self.lock();
            if state.pause_in_progress {
                return Paused::InProgress;
            }
            state.close(self.pod, Mover::Call { call: call.number });
            return Paused::Ok;
        };
        let deadline = Instant::now() + limit;
        let turn = self.wait_until(Some(deadline), |state| {
            (!std::mem::replace(&mut state.pause_in_progress, true))
                .then(|| state.close(self.pod, Mover::Call { call: call.number }))
        });
        let Some(closed_here) = turn.await else { return Paused::InProgress };
        let drained = self.wait_until(Some(deadline), |state| match (state.open, state.outstanding.is_empty()) {
            (true, _) => Some(Paused::GateOpen),
            (false, true) => Some(Paused::Ok),
            (false, false) => None,
        });
        let ended = drained.await;
        let mut state = self.lock();
        let result = match ended {
            Some(result) => result,
            None if closed_here => {
                state.open(self.pod, Mover::DrainTimedOut { call: call.number });
                Paused::TimedOut
            }
            None => Paused::KeptByEarlier,
        };
        state.pause_in_progress = false;
        drop(state);
        self.changed.notify_waiters();
        result
    }

    /// A transaction asks to pass. `blocks`: a closed gate makes it wait instead of refusing it.
    pub(super) async fn begin(self: &Arc<Self>, blocks: bool) -> Result<Transaction, Refused> {
        let passed = self.wait_until(None, |state| match self.pass(state) {
            Err(Refused::Paused) if blocks => None,
            Err(Refused::Paused) => {
                state.note(self.pod, Event::TransactionRefused);
                Some(Err(Refused::Paused))
            }
            passed => Some(passed),
        });
        let (id, life) = passed.await.unwrap_or(Err(Refused::Down))?;
        Ok(Transaction { gate: Arc::clone(self), id, life })
    }

    /// As `begin`, at once.
    pub(super) fn try_begin(self: &Arc<Self>) -> Result<Transaction, Refused> {
        let (id, life) = self.pass(&mut self.lock())?;
        Ok(Transaction { gate: Arc::clone(self), id, life })
    }

    fn pass(&self, state: &mut State) -> Result<(u64, u64), Refused> {
        if !state.up {
            return Err(Refused::Down);
        }
        if !state.open {
            return Err(Refused::Paused);
        }
        state.next_transaction += 1;
        let id = state.next_transaction;
        state.outstanding.insert(id);
        state.note(self.pod, Event::TransactionBegan { transaction: id });
        Ok((id, state.life))
    }

    fn end(&self, id: u64, outcome: Outcome) {
        let mut state = self.lock();
        // Absent after a restart: the new process never knew it.
        if state.outstanding.remove(&id) {
            state.note(self.pod, Event::TransactionEnded { transaction: id, outcome });
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

/// A transaction that passed a pod's gate and counts as outstanding until it ends. Dropping it is the client going away:
/// the server notices and ends it.
#[derive(Debug)]
pub struct Transaction {
    gate: Arc<Gate>,
    id: u64,
    life: u64,
}

impl Transaction {
    /// Number of the transaction at its pod.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Is the process that began it still the one that runs?
    pub fn is_alive(&self) -> bool {
        let state = self.gate.lock();
        state.up && state.life == self.life
    }

    /// Waits until the process that began it has ended.
    pub(super) async fn outlived(&self) {
        let ended = |state: &mut State| (!state.up || state.life != self.life).then_some(());
        self.gate.wait_until(None, ended).await;
    }

    /// Ends it.
    pub fn end(self, outcome: Outcome) {
        self.gate.end(self.id, outcome);
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.gate.end(self.id, Outcome::ClientGone);
    }
}
