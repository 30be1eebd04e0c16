//! What can be made to go wrong at a pod, and when. Faults are set while the pod runs; their JSON form is what the
//! control address takes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::log::Method;

/// What goes wrong. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Action {
    /// The call is neither handled nor answered.
    Hang,
    /// The call is handled at once and answered later.
    AnswerLate {
        /// Delay of the answer.
        ms: u64,
    },
    /// The call is handled, then its connection is cut instead of an answer.
    LoseAnswer,
    /// The call is not handled; the answer is UNAVAILABLE.
    Refuse,
    /// The call is handled only after this time, even when its caller is dead by then.
    HoldBack {
        /// Delay of the handling.
        ms: u64,
    },
    /// The process ends before the call is handled and is up again, on the same address, after this time.
    Restart {
        /// How long the address refuses connections.
        down_ms: u64,
    },
    /// The call is handled, then the process restarts; the answer is lost.
    RestartAfter {
        /// How long the address refuses connections.
        down_ms: u64,
    },
    /// The process ends and never comes back.
    Die,
    /// Somebody else unpauses after this time; the call itself goes on as usual.
    ForeignUnpause {
        /// Delay of the foreign call.
        after_ms: u64,
    },
    /// Somebody else pauses (without waiting for a drain) after this time; the call itself goes on as usual.
    ForeignPause {
        /// Delay of the foreign call.
        after_ms: u64,
    },
    /// A transaction begins and stays open: the drain does not end before it.
    OpenTransaction {
        /// How long it stays open; missing: until the process ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_ms: Option<u64>,
    },
    /// ScalarDB creates a transactional table, with metadata and point-in-time recovery: no gate stops it. Needs a
    /// database behind the pod.
    CreateTable {
        /// Full name, `namespace.table`.
        table: String,
    },
    /// ScalarDB drops a table and its metadata: no gate stops it. Needs a database behind the pod.
    DropTable {
        /// Full name, `namespace.table`.
        table: String,
    },
}

/// A schema operation through a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaOperation {
    /// Creates the table of this full name.
    Create(String),
    /// Drops the table of this full name.
    Drop(String),
}

/// Which calls a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The method; missing: any.
    #[serde(default)]
    pub method: Option<Method>,
    /// The first call that is struck, counted from 1 and from when the fault was set.
    #[serde(default = "first")]
    pub nth: u64,
    /// How many calls in a row are struck; missing: all from the first one on.
    #[serde(default)]
    pub times: Option<u64>,
}

fn first() -> u64 {
    1
}

impl Trigger {
    /// Every call of the method.
    pub fn every(method: Method) -> Self {
        Self { method: Some(method), nth: 1, times: None }
    }

    /// The n-th call of the method from now, and only it.
    pub fn nth(method: Method, nth: u64) -> Self {
        Self { method: Some(method), nth, times: Some(1) }
    }

    /// The next `times` calls of the method.
    pub fn next(method: Method, times: u64) -> Self {
        Self { method: Some(method), nth: 1, times: Some(times) }
    }
}

/// A fault as it is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    #[serde(rename = "do")]
    pub action: Action,
    /// Which calls are struck. Missing: restarts, deaths, foreign calls, transactions and schema operations happen now;
    /// the others strike every call of every method.
    #[serde(default)]
    pub on: Option<Trigger>,
}

impl Fault {
    /// Strikes as the trigger says.
    pub fn on(trigger: Trigger, action: Action) -> Self {
        Self { action, on: Some(trigger) }
    }

    /// Happens now, or strikes every call.
    pub fn now(action: Action) -> Self {
        Self { action, on: None }
    }

    /// Does it need no call to happen?
    pub(super) fn is_immediate(&self) -> bool {
        self.on.is_none()
            && !matches!(
                self.action,
                Action::Hang
                    | Action::AnswerLate { .. }
                    | Action::LoseAnswer
                    | Action::Refuse
                    | Action::HoldBack { .. }
            )
    }
}

/// The faults that wait for calls.
#[derive(Debug, Default)]
pub(super) struct Planted(Vec<(Fault, u64)>);

impl Planted {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts the call and tells what strikes it, in the order in which the faults were set.
    pub(super) fn strike(&mut self, method: Method) -> Vec<Action> {
        let mut struck = Vec::new();
        for (fault, seen) in &mut self.0 {
            let trigger = fault.on.unwrap_or(Trigger { method: None, nth: 1, times: None });
            if trigger.method.is_some_and(|wanted| wanted != method) {
                continue;
            }
            *seen += 1;
            let past = seen.checked_sub(trigger.nth.max(1));
            if past.is_some_and(|past| trigger.times.is_none_or(|times| past < times)) {
                struck.push(fault.action.clone());
            }
        }
        struck
    }
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_the_calls_it_names_and_no_others() {
        let mut planted = Planted::default();
        planted.add(Fault::on(Trigger { method: Some(Method::Unpause), nth: 2, times: Some(2) }, Action::Refuse));
        assert!(planted.strike(Method::Pause).is_empty());
        let struck: Vec<bool> = (0..5).map(|_| !planted.strike(Method::Unpause).is_empty()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
    }

    #[test]
    fn faults_have_a_json_form_that_people_can_write() {
        let text = r#"{"do":{"kind":"hold_back","ms":500},"on":{"method":"pause"}}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        let every_pause = Trigger { method: Some(Method::Pause), nth: 1, times: None };
        assert_eq!(fault, Fault::on(every_pause, Action::HoldBack { ms: 500 }));
        let fault: Fault = serde_json::from_str(r#"{"do":{"kind":"create_table","table":"bank.x"}}"#).unwrap();
        assert!(fault.is_immediate());
        for wrong in [r#"{"do":{"kind":"hang"},"when":1}"#, r#"{"do":{"kind":"restart","down_ms":1,"up_ms":2}}"#] {
            assert!(serde_json::from_str::<Fault>(wrong).is_err());
        }
    }
}
