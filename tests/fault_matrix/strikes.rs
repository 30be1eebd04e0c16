//! Every fault of a pod, at every command that calls one, with the exit codes that are right. The match is exhaustive on
//! purpose: a new fault must be given its rows here.

use crate::steps::{Gates, Step};
use stillpoint_sandbox::pods::{Action, Method};

/// One fault for rows.
#[derive(Clone, Debug)]
pub struct Strike {
    pub action: Action,
    /// How many calls in a row.
    pub times: u64,
    /// The exit codes of which one must come.
    pub exits: &'static [i32],
}

const GOOD: &[i32] = &[0];
const VOID: &[i32] = &[1];
/// It is a matter of microseconds which came first; the judge looks at every good point all the same.
const EITHER: &[i32] = &[0, 1];
const UNPROVEN: &[i32] = &[3];

/// A caller's patience is over before this: 2 s for Pause (1 s of drain and 1 s of grace) and for CheckPaused.
const TOO_LONG_MS: u64 = 2_900;

/// All strikes at a command that calls a pod.
pub fn strikes(step: &Step) -> Vec<Strike> {
    actions().into_iter().map(|action| strike(step, action)).collect()
}

fn actions() -> Vec<Action> {
    let table = "bank.accounts_1".to_owned();
    let all = vec![
        Action::Hang,
        Action::AnswerLate { ms: 700 },
        Action::AnswerLate { ms: TOO_LONG_MS },
        Action::LoseAnswer,
        Action::Refuse,
        Action::HoldBack { ms: 700 },
        Action::HoldBack { ms: TOO_LONG_MS },
        Action::Restart { down_ms: 300 },
        Action::RestartAfter { down_ms: 300 },
        Action::Die,
        Action::ForeignUnpause { after_ms: 0 },
        Action::ForeignUnpause { after_ms: 150 },
        Action::ForeignPause { after_ms: 0 },
        Action::OpenTransaction { for_ms: None },
        Action::CreateTable { table: "bank.new".to_owned() },
        Action::DropTable { table },
    ];
    let kinds: std::collections::BTreeSet<u8> = all.iter().map(kind).collect();
    assert_eq!(kinds.len(), 13, "every kind of fault is struck");
    all
}

fn kind(action: &Action) -> u8 {
    match action {
        Action::Hang => 0,
        Action::AnswerLate { .. } => 1,
        Action::LoseAnswer => 2,
        Action::Refuse => 3,
        Action::HoldBack { .. } => 4,
        Action::Restart { .. } => 5,
        Action::RestartAfter { .. } => 6,
        Action::Die => 7,
        Action::ForeignUnpause { .. } => 8,
        Action::ForeignPause { .. } => 9,
        Action::OpenTransaction { .. } => 10,
        Action::CreateTable { .. } => 11,
        Action::DropTable { .. } => 12,
    }
}

fn strike(step: &Step, action: Action) -> Strike {
    let releasing = step.gates == Gates::Opening;
    let pausing = step.method == Some(Method::Pause);
    let last = step.name == "CheckLast";
    let void_before_release = if releasing { GOOD } else { VOID };
    let exits = match &action {
        Action::Hang | Action::LoseAnswer | Action::Refuse | Action::Restart { .. } | Action::RestartAfter { .. } => {
            void_before_release
        }
        Action::AnswerLate { ms } | Action::HoldBack { ms } => {
            if *ms < TOO_LONG_MS {
                GOOD
            } else {
                void_before_release
            }
        }
        Action::Die => UNPROVEN,
        // Before the gate is closed, or after it was looked at for the last time, it changes nothing.
        Action::ForeignUnpause { after_ms: 0 } if pausing => EITHER,
        Action::ForeignUnpause { .. } if last => EITHER,
        Action::ForeignUnpause { .. } => void_before_release,
        // One more Pause on a closed gate changes nothing; release undoes it like its own.
        Action::ForeignPause { .. } => GOOD,
        Action::OpenTransaction { .. } => {
            if pausing {
                VOID
            } else {
                GOOD
            }
        }
        // They pass every gate, and are seen afterwards, whenever they come.
        Action::CreateTable { .. } | Action::DropTable { .. } => VOID,
    };
    let times = if releasing && action == Action::Refuse { 10 } else { 1 };
    Strike { action, times, exits }
}
