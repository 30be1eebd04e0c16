//! Every interleaving, breadth first, in whole ticks of one second.
//!
//! Requests and answers arrive within the tick in which they were sent, in any order, unless a fault holds them back:
//! then a request arrives at any later tick up to its bound or never, an answer at any later tick before its caller
//! gives up or never. A crash can come between any two steps and between any two sends; requests already sent then
//! arrive up to their bound or never, without being counted as a fault.
//!
//! What cannot make a difference is left out: an Unpause or CheckPaused that arrives after its caller has given up;
//! another caller's Pause after the window is void; and, once pods are being released, the order in which different
//! pods get on, because each pod's release is its own and pods change places in other runs.

use provider_api::Mono;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;
use stillpoint::window::plan::{Now, Plan};
use stillpoint::window::protocol::{Command, Event, Purpose, Window};
use stillpoint::window::release::{PodIndex, Release, Tuning};

use crate::owner::{Answer, Owner, What};
use crate::pods::{Caller, Kind, PauseReply, Pod, Replies};

mod effects;
mod next;
mod settle;

/// Ticks count from here, so that nothing is near the zero of the clock.
const ORIGIN: Mono = Mono(1_000_000_000_000);
/// Ticks that a CheckPaused or Unpause waits for its answer.
const SHORT_CALL: u64 = 1;
/// The tick at which every process dies, once somebody takes over.
const BEFORE_DEATH: u64 = 30;
/// No run takes as many ticks: one that does is stuck.
const STUCK: u64 = 90;

/// What is explored.
#[derive(Clone, Debug)]
pub struct Setup {
    pub plan: Plan,
    pub kind: Kind,
    /// Ticks that a pod waits for its transactions to end.
    pub drain: u64,
    /// Faults per run, besides crashes.
    pub faults: u8,
    /// How often the process in charge dies per run.
    pub crashes: u8,
    pub others: Others,
    /// Whether cancelling and the guard's death are among the faults.
    pub ends: bool,
}

/// What other callers may do to the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Unpause at any time, and send one Pause, whose time-out may open the gate under ours.
    ///
    /// A gate that was opened under our Pause may be closed again only as far as a look can tell: before our first
    /// one, if nothing is in progress, and after a restart, of which the broken connection tells.
    WithinLimits,
    /// The limit that the design admits: a gate opened under us may be closed again at any time.
    Unlimited,
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// The release is said to be done, and a pod is or can still be paused by us.
    LeftPaused,
    /// A release that does not end.
    Stuck,
    /// A window without violations whose still period was not still.
    FalseGood,
    /// An Unpause to a pod that another caller is known to hold.
    UnpausedAnother,
}

/// What an exploration found.
#[derive(Debug)]
pub struct Found {
    pub states: usize,
    pub ends: usize,
    /// Windows that ended without a violation.
    pub good: usize,
    pub longest: u64,
    pub broken: Option<(Broken, Vec<Step>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    Sent,
    AtPod,
    Answered(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Call {
    pod: usize,
    what: What,
    stage: Stage,
    sent: u64,
    /// Since when it is in this stage.
    since: u64,
    held: bool,
    /// Nobody waits for the answer any more.
    orphan: bool,
}

/// Work of the process in charge that involves no pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Local {
    Note,
    Guard,
    HandOver,
}

/// How still it was in the still period, watched at the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Still {
    Before,
    Inside {
        from: u64,
        broken: bool,
    },
    After {
        from: u64,
        to: u64,
        broken: bool,
    },
    /// The window claims nothing.
    Void,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    tick: u64,
    owner: Owner,
    local: Option<Local>,
    /// The process in charge has not noticed yet that time has passed.
    tick_due: bool,
    pods: Vec<Pod>,
    calls: Vec<Call>,
    /// What the guard was told.
    left_alone: Vec<bool>,
    /// The pod's answer that another caller holds it was heard.
    known_held: Vec<bool>,
    /// The pod's connection broke and the window does not know yet.
    unseen_break: Vec<bool>,
    /// The gate was opened after our Pause, and not by a restart, which our connection would tell of.
    reopened: Vec<bool>,
    restarted: Vec<bool>,
    /// We have looked.
    looked: Vec<bool>,
    pausing: bool,
    others_paused: bool,
    faults: u8,
    crashes: u8,
    still: Still,
    good: bool,
    broken: Option<Broken>,
}

/// One thing that happens; `(pod, call)` names a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Begin,
    NoteWritten(bool),
    GuardArmed(bool),
    HandedOver(bool),
    /// The pod handles a request, with or without transactions in progress.
    Handle(usize, What, bool),
    Deliver(usize, What),
    GiveUp(usize, What),
    TransactionsEnd(usize),
    StopWaiting(usize, Caller),
    HoldBackRequest(usize, What),
    HoldBackAnswer(usize, What),
    RefusePause(usize),
    Restart(usize),
    BreakNoticed(usize),
    OthersUnpause(usize),
    OthersPause(usize, bool),
    Cancel,
    GuardDies,
    Crash,
    TakeOver,
    Advance,
    /// The process in charge notices that time has passed.
    Tick,
}

/// An action, and after how many of the sends it led to the sender died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub action: Action,
    pub died_after: Option<usize>,
}

/// Explores everything that `setup` allows, until something is broken.
pub fn explore(setup: &Setup) -> Found {
    let mut seen: HashMap<u64, (u64, Step)> = HashMap::new();
    let mut queue = VecDeque::new();
    let mut found = Found { states: 0, ends: 0, good: 0, longest: 0, broken: None };
    let begin = Step { action: Action::Begin, died_after: None };
    let first = State::begin(setup);
    let key = digest(&first);
    seen.insert(key, (key, begin));
    queue.push_back((key, first));
    while let Some((key, state)) = queue.pop_front() {
        found.states += 1;
        found.longest = found.longest.max(state.tick);
        if state.owner == Owner::Done {
            found.ends += 1;
            found.good += usize::from(state.good);
            continue;
        }
        let next = state.successors(setup);
        if next.is_empty() || state.tick > STUCK {
            found.broken = Some((Broken::Stuck, trace(&seen, key)));
            return found;
        }
        for (step, state) in next {
            let next_key = digest(&state);
            let Entry::Vacant(slot) = seen.entry(next_key) else { continue };
            slot.insert((key, step));
            if let Some(broken) = state.broken {
                found.broken = Some((broken, trace(&seen, next_key)));
                return found;
            }
            queue.push_back((next_key, state));
        }
    }
    found
}

/// 64 bits stand for a state: among a million states two are mistaken for one with a chance of one in ten million.
fn digest(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

fn trace(seen: &HashMap<u64, (u64, Step)>, mut key: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some((parent, step)) = seen.get(&key) {
        steps.push(*step);
        if *parent == key {
            break;
        }
        key = *parent;
    }
    steps.reverse();
    steps
}
