//! The judge's log: what truly happened at a pod, in order, by CLOCK_MONOTONIC. It is written where the state changes,
//! under the same lock, so that no reader can see an order that did not happen.

use serde::{Deserialize, Serialize};

use super::fault::Action;

/// Reads CLOCK_MONOTONIC, nanoseconds: the time base of every log of the sandbox.
pub fn mono_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // CLOCK_MONOTONIC counts up from boot: neither part is ever negative.
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

/// A method that pods serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// `rpc.Admin/Pause`
    Pause,
    /// `rpc.Admin/Unpause`
    Unpause,
    /// `rpc.Admin/CheckPaused`
    CheckPaused,
    /// `grpc.health.v1.Health/Check` (and the start of a `Watch`)
    Health,
}

/// Who moved the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Mover {
    /// The Pause or Unpause with this call number.
    Call {
        /// Number of the call at this pod.
        call: u64,
    },
    /// The Pause with this call number ran out of its drain time and opened the gate.
    DrainTimedOut {
        /// Number of the call at this pod.
        call: u64,
    },
    /// Somebody outside: a planted foreign Unpause or Pause.
    Foreign,
    /// A process that ended: its gate is forgotten.
    Restart,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The client asked to commit, and it did.
    Committed,
    /// Rolled back, by the client's wish or for a conflict.
    Aborted,
    /// The client went away in the middle.
    ClientGone,
    /// The pod's process ended under it.
    PodGone,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The process is up and listens; its gate is open.
    Started {
        /// `ip:port`.
        address: String,
    },
    /// The process ended: connections cut, gate and transactions forgotten.
    Stopped {
        /// True: it never comes back.
        for_good: bool,
    },
    /// A call arrived.
    Received {
        /// Counts the calls of this pod, from 1.
        call: u64,
        /// Which method.
        method: Method,
        /// The request, for people.
        detail: String,
    },
    /// The server begins to act on the call.
    Handling {
        /// Number of the call.
        call: u64,
    },
    /// The server has an outcome for the call.
    Handled {
        /// Number of the call.
        call: u64,
        /// gRPC code by name, `Ok` included.
        code: String,
    },
    /// The answer was given to the connection.
    Answered {
        /// Number of the call.
        call: u64,
    },
    /// There was an outcome, but nobody to tell it to: the caller gave up, or the answer was lost by a fault.
    AnswerLost {
        /// Number of the call.
        call: u64,
    },
    /// The gate went from open to closed.
    GateClosed {
        /// Who did it.
        #[serde(flatten)]
        mover: Mover,
    },
    /// The gate went from closed to open.
    GateOpened {
        /// Who did it.
        #[serde(flatten)]
        mover: Mover,
    },
    /// A transaction passed the gate.
    TransactionBegan {
        /// Number of the transaction at this pod.
        transaction: u64,
    },
    /// A transaction ended.
    TransactionEnded {
        /// Number of the transaction at this pod.
        transaction: u64,
        /// How.
        outcome: Outcome,
    },
    /// A transaction was refused at the closed gate.
    TransactionRefused,
    /// A fault took effect.
    Fault {
        /// What was done.
        action: Action,
    },
    /// A fault could not take effect.
    FaultIdle {
        /// What was to be done.
        action: Action,
        /// Why it was not.
        reason: String,
    },
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Index of the pod.
    pub pod: usize,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub mono_ns: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// A snapshot of one pod's log, in the order in which things happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodLog {
    /// Index of the pod.
    pub pod: usize,
    /// All entries so far.
    pub entries: Vec<Entry>,
}

/// From when to when a transaction was open at a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionSpan {
    /// Number of the transaction at its pod.
    pub transaction: u64,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub began_ns: u64,
    /// CLOCK_MONOTONIC, nanoseconds; `None` while open.
    pub ended_ns: Option<u64>,
}

impl PodLog {
    /// When the gate was closed: start and end, the end missing while it still is.
    pub fn gate_closed_intervals(&self) -> Vec<(u64, Option<u64>)> {
        let mut intervals: Vec<(u64, Option<u64>)> = Vec::new();
        for entry in &self.entries {
            match entry.event {
                Event::GateClosed { .. } => intervals.push((entry.mono_ns, None)),
                Event::GateOpened { .. } => {
                    if let Some(last) = intervals.last_mut() {
                        last.1.get_or_insert(entry.mono_ns);
                    }
                }
                _ => {}
            }
        }
        intervals
    }

    /// Is the gate open by the end of this log? A pod that is down has no gate: true.
    pub fn is_open(&self) -> bool {
        self.gate_closed_intervals().last().is_none_or(|(_, end)| end.is_some())
    }

    /// When the gate last went from closed to open; `None` while it is closed, or when it was never closed.
    pub fn opened_at(&self) -> Option<u64> {
        self.gate_closed_intervals().last().and_then(|(_, end)| *end)
    }

    /// Was the gate closed at this instant?
    pub fn closed_at(&self, mono_ns: u64) -> bool {
        self.gate_closed_intervals().iter().any(|&(start, end)| start <= mono_ns && end.is_none_or(|end| mono_ns < end))
    }

    /// Every transaction that passed the gate.
    pub fn transactions(&self) -> Vec<TransactionSpan> {
        let mut spans: Vec<TransactionSpan> = Vec::new();
        let mut place = std::collections::HashMap::new();
        for entry in &self.entries {
            match entry.event {
                Event::TransactionBegan { transaction } => {
                    place.insert(transaction, spans.len());
                    spans.push(TransactionSpan { transaction, began_ns: entry.mono_ns, ended_ns: None });
                }
                Event::TransactionEnded { transaction, .. } => {
                    if let Some(span) = place.get(&transaction).and_then(|&at| spans.get_mut(at)) {
                        span.ended_ns = Some(entry.mono_ns);
                    }
                }
                _ => {}
            }
        }
        spans
    }

    /// The transactions that were open at this instant, both ends included.
    pub fn open_transactions_at(&self, mono_ns: u64) -> Vec<u64> {
        self.transactions_within(mono_ns, mono_ns).into_iter().map(|span| span.transaction).collect()
    }

    /// The transactions that were open at some instant of this interval, both ends included.
    pub fn transactions_within(&self, from_ns: u64, to_ns: u64) -> Vec<TransactionSpan> {
        let mut spans = self.transactions();
        spans.retain(|span| span.began_ns <= to_ns && span.ended_ns.is_none_or(|ended| ended >= from_ns));
        spans
    }

    /// Is the process up by the end of this log?
    pub fn is_up(&self) -> bool {
        let last = self.entries.iter().rev().find_map(|entry| match entry.event {
            Event::Started { .. } => Some(true),
            Event::Stopped { .. } => Some(false),
            _ => None,
        });
        last.unwrap_or(false)
    }

    /// How often the method was received.
    pub fn calls(&self, wanted: Method) -> usize {
        self.entries
            .iter()
            .filter(|entry| matches!(entry.event, Event::Received { method, .. } if method == wanted))
            .count()
    }

    /// When the method was received.
    pub fn received_at(&self, wanted: Method) -> Vec<u64> {
        let received = |entry: &&Entry| matches!(entry.event, Event::Received { method, .. } if method == wanted);
        self.entries.iter().filter(received).map(|entry| entry.mono_ns).collect()
    }

    /// The log as JSON lines, one entry each.
    pub fn to_json_lines(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            // An entry holds strings, numbers and booleans only: it always has a JSON form.
            text.push_str(&serde_json::to_string(entry).unwrap_or_default());
            text.push('\n');
        }
        text
    }
}
