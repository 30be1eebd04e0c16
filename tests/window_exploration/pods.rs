//! Pods as they were observed to behave when paused, as plain values. Time is a number: ticks or nanoseconds.
//!
//! A Pause closes the gate when it is handled and then waits until no transaction is outstanding. The gate is a flag
//! without an owner: any Unpause opens it, and so does any Pause that times out, whoever closed it. An Unpause under
//! a waiting Pause lets that Pause answer OK later, with the gate open. CheckPaused shows the gate, not the drain.

/// How a pod's gate works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// ScalarDB Server 3.13 as observed, ScalarDL before 3.14, and for all we know ScalarDB Cluster.
    WithoutReasons,
    /// ScalarDL from 3.14: one Pause at a time, and a Pause that fails says why.
    WithReasons,
}

/// Who sent a Pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    Us,
    Other,
}

/// How a pod answers a Pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PauseReply {
    Ok,
    /// Another Pause is waiting, or an Unpause came in between.
    Refused,
    /// Transactions did not end in time; the gate is open.
    DrainTimedOut,
    /// Transactions did not end in time; the gate stays closed, for another caller.
    PausedByOther,
}

/// A Pause that waits for transactions to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiting {
    pub caller: Caller,
    /// When the pod stops waiting.
    pub until: u64,
    found_closed: bool,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    kind: Kind,
    pub closed: bool,
    /// A Pause of ours has taken effect since the gate was last opened.
    pub closed_by_us: bool,
    /// Transactions in progress.
    pub outstanding: u32,
    pub waiting: Vec<Waiting>,
}

/// The answers that a change at a pod sets free.
pub type Replies = Vec<(Caller, PauseReply)>;

impl Pod {
    pub fn new(kind: Kind) -> Self {
        Pod { kind, closed: false, closed_by_us: false, outstanding: 0, waiting: Vec::new() }
    }

    /// Nothing can be read half done: no transaction is in progress and none can begin.
    pub fn is_still(&self) -> bool {
        self.closed && self.outstanding == 0
    }

    /// Handles a Pause that waits for transactions in progress until `until`.
    pub fn pause(&mut self, caller: Caller, until: u64) -> Replies {
        if self.kind == Kind::WithReasons && !self.waiting.is_empty() {
            return vec![(caller, PauseReply::Refused)];
        }
        let found_closed = self.closed;
        self.closed = true;
        // Where reasons are given, a Pause that waits behind a closed gate holds nothing until it is answered.
        if caller == Caller::Us && (self.kind == Kind::WithoutReasons || !found_closed || self.outstanding == 0) {
            self.closed_by_us = true;
        }
        self.waiting.push(Waiting { caller, until, found_closed });
        self.waiting.sort();
        if self.outstanding == 0 { self.drained() } else { Vec::new() }
    }

    /// Handles another caller's Pause: one that waits where waiting Pauses get in each other's way, one that does not
    /// wait where only such a one leaves a closed gate with transactions behind it.
    pub fn others_pause(&mut self, until: u64) -> Replies {
        if self.kind == Kind::WithoutReasons {
            return self.pause(Caller::Other, until);
        }
        self.closed = true;
        Vec::new()
    }

    /// Handles an Unpause.
    pub fn unpause(&mut self) -> Replies {
        self.open();
        match self.kind {
            Kind::WithoutReasons => Vec::new(),
            Kind::WithReasons => self.waiting.drain(..).map(|w| (w.caller, PauseReply::Refused)).collect(),
        }
    }

    /// The last transaction in progress ended: everybody who waited is told OK, whatever the gate has become.
    pub fn drained(&mut self) -> Replies {
        self.outstanding = 0;
        let waited: Vec<Waiting> = self.waiting.drain(..).collect();
        if self.kind == Kind::WithReasons {
            self.closed_by_us |= waited.iter().any(|w| w.caller == Caller::Us);
        }
        waited.into_iter().map(|w| (w.caller, PauseReply::Ok)).collect()
    }

    /// The Pause of `caller` has waited long enough.
    pub fn stop_waiting(&mut self, caller: Caller) -> Replies {
        let Some(place) = self.waiting.iter().position(|w| w.caller == caller) else { return Vec::new() };
        let waited = self.waiting.remove(place);
        if self.kind == Kind::WithReasons && waited.found_closed {
            return vec![(caller, PauseReply::PausedByOther)];
        }
        self.open();
        vec![(caller, PauseReply::DrainTimedOut)]
    }

    /// The process starts again: it remembers nothing, and whoever waited gets no answer.
    pub fn restart(&mut self) {
        *self = Pod::new(self.kind);
    }

    fn open(&mut self) {
        self.closed = false;
        self.closed_by_us = false;
    }
}
