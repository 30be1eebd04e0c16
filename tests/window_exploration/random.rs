//! Random runs in nanoseconds: up to 50 pods under traffic, many faults, deaths of whoever is in charge.
//!
//! A run is decided by its [`Scenario`] alone, so a failing one can be repeated and shrunk.

use provider_api::Mono;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;
use stillpoint::window::plan::{Hold, Now, Plan, PodPlan, Rules};
use stillpoint::window::protocol::{Command, Event, Window};
use stillpoint::window::release::{PodIndex, Release, Tuning};

use crate::explore::Broken;
use crate::owner::{Answer, Owner, What};
use crate::pods::{Caller, Kind, PauseReply, Pod, Replies};

mod charge;
mod peers;
pub mod scenario;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const ORIGIN: u64 = 1_000 * SECOND;
/// A CheckPaused or Unpause waits so long for its answer.
const SHORT_CALL: u64 = 2 * SECOND;
/// The traffic has begun before the window does.
const WARM_UP: u64 = SECOND;
/// A run that takes longer is stuck.
const STUCK: u64 = ORIGIN + 600 * SECOND;

/// All that decides a run.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub pods: usize,
    pub hold: Hold,
    pub drain: u64,
    pub rules: Rules,
    /// Requests and answers of a thousand that are lost or late.
    pub unreliable: u32,
    /// When the window's process dies, and how much later the guard does.
    pub crash: Option<(u64, Option<u64>)>,
    pub mishaps: Vec<Mishap>,
}

/// One fault.
#[derive(Clone, Copy, Debug)]
pub struct Mishap {
    /// Nanoseconds after the window began.
    pub at: u64,
    /// Counted round.
    pub pod: usize,
    pub kind: MishapKind,
}

#[derive(Clone, Copy, Debug)]
pub enum MishapKind {
    Restart {
        down: u64,
    },
    Die,
    Hang {
        time: u64,
    },
    LongTransaction {
        time: u64,
    },
    RefuseUnpause {
        times: u32,
    },
    OthersUnpause,
    OthersPause,
    /// The window's process is stopped.
    Stop {
        time: u64,
    },
    Cancel,
    GuardDies,
}

/// How a run ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No violation: proven still.
    Good,
    /// Void, handed over or never paused.
    Void,
    /// The process died, or the guard ended it.
    Died,
}

/// Runs one scenario to its end.
pub fn run(scenario: &Scenario) -> Result<Ended, Broken> {
    let mut world = World::new(scenario);
    while let Some(Reverse((at, _, what))) = world.queue.pop() {
        world.now = at;
        if world.owner != Owner::Done && at > STUCK {
            return Err(Broken::Stuck);
        }
        world.happens(what);
        if let Some(broken) = world.broken {
            return Err(broken);
        }
    }
    if world.owner != Owner::Done {
        return Err(Broken::Stuck);
    }
    let left = world.peers.iter().any(|p| p.up && p.pod.closed_by_us);
    if left { Err(Broken::LeftPaused) } else { Ok(world.ended) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Begin,
    LocalDone(Local),
    Arrive(usize),
    Answered(usize, Answer),
    GiveUp(usize),
    Tick,
    BreakNoticed(usize),
    Transaction(usize),
    TransactionEnds(usize, u32),
    StopWaiting(usize, Caller, u64),
    Up(usize),
    Mishap(usize),
    Crash,
    GuardFires,
    TakeOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Local {
    Note,
    Guard,
    HandOver,
}

struct Call {
    pod: usize,
    what: What,
    sent: u64,
    /// Which process sent it; answers to a dead one reach nobody.
    sender: u32,
    over: bool,
}

/// A pod and what the judge remembers of it.
struct Peer {
    pod: Pod,
    up: bool,
    incarnation: u32,
    hangs_until: u64,
    refuses_unpause: u32,
    break_unseen: bool,
    left_alone: bool,
    pause_at_pod: Option<usize>,
    handled_pause: bool,
    /// By anything but a restart, which our connection would tell of.
    reopened: bool,
    looked: bool,
    moving_since: Option<u64>,
    moving: Vec<(u64, u64)>,
}

struct World<'a> {
    scenario: &'a Scenario,
    plan: Plan,
    rng: ChaCha8Rng,
    now: u64,
    sequence: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    owner: Owner,
    sender: u32,
    armed: bool,
    stopped_until: u64,
    tick_at: Option<u64>,
    peers: Vec<Peer>,
    calls: Vec<Call>,
    ended: Ended,
    broken: Option<Broken>,
}

fn plan(scenario: &Scenario) -> Plan {
    Plan {
        pods: vec![PodPlan { can_check: true }; scenario.pods],
        hold: scenario.hold.clone(),
        call_deadline: Duration::from_nanos(scenario.drain + 2 * SECOND),
        tcp_user_timeout: Duration::from_secs(5),
        max_outage: Duration::from_secs(35),
        check_interval: Duration::from_millis(200),
        release_wait: Duration::from_secs(25),
        rules: scenario.rules,
    }
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(scenario.seed);
        let peers = (0..scenario.pods)
            .map(|_| {
                let kind = if rng.random_bool(0.5) { Kind::WithReasons } else { Kind::WithoutReasons };
                Peer::new(kind)
            })
            .collect();
        let plan = plan(scenario);
        let mut world = World {
            scenario,
            owner: Owner::Window(Box::new(Window::new(plan.clone()))),
            plan,
            rng,
            now: ORIGIN,
            sequence: 0,
            queue: BinaryHeap::new(),
            sender: 0,
            armed: false,
            stopped_until: 0,
            tick_at: None,
            peers,
            calls: Vec::new(),
            ended: Ended::Void,
            broken: None,
        };
        for pod in 0..scenario.pods {
            world.within(WARM_UP, Happening::Transaction(pod));
        }
        world.after(WARM_UP, Happening::Begin);
        for (i, mishap) in scenario.mishaps.iter().enumerate() {
            world.after(WARM_UP + mishap.at, Happening::Mishap(i));
        }
        if let Some((at, second)) = scenario.crash {
            world.after(WARM_UP + at, Happening::Crash);
            if let Some(later) = second {
                world.after(WARM_UP + at + later, Happening::Crash);
            }
        }
        world
    }

    fn after(&mut self, time: u64, what: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + time, self.sequence, what)));
    }

    fn within(&mut self, time: u64, what: Happening) {
        let time = self.rng.random_range(0..=time);
        self.after(time, what);
    }

    /// After the time a message takes.
    fn soon(&mut self, what: Happening) {
        let time = self.rng.random_range(100_000..20 * MS);
        self.after(time, what);
    }

    fn is_unreliable(&mut self) -> bool {
        self.rng.random_ratio(self.scenario.unreliable, 1_000)
    }

    fn clocks(&self) -> Now {
        Now { mono: Mono(self.now), boot_ns: self.now }
    }

    fn happens(&mut self, what: Happening) {
        let heard_by_owner = matches!(
            what,
            Happening::LocalDone(_)
                | Happening::Answered(..)
                | Happening::GiveUp(_)
                | Happening::Tick
                | Happening::BreakNoticed(_)
        );
        if heard_by_owner && self.now < self.stopped_until && matches!(self.owner, Owner::Window(_)) {
            return self.after(self.stopped_until - self.now, what);
        }
        match what {
            Happening::Begin => self.event(Event::Start),
            Happening::LocalDone(local) => self.local_done(local),
            Happening::Arrive(call) => self.arrive(call),
            Happening::Answered(call, answer) => self.answered(call, answer),
            Happening::GiveUp(call) => self.answered(call, Answer::Nothing),
            Happening::Tick => self.tick(),
            Happening::BreakNoticed(pod) => self.break_noticed(pod),
            Happening::Transaction(pod) => self.transaction(pod),
            Happening::TransactionEnds(pod, incarnation) => self.transaction_ends(pod, incarnation),
            Happening::StopWaiting(pod, caller, until) => self.stop_waiting(pod, caller, until),
            Happening::Up(pod) => self.peers[pod].up = true,
            Happening::Mishap(i) => self.mishap(self.scenario.mishaps[i]),
            Happening::Crash | Happening::GuardFires => self.die(what),
            Happening::TakeOver => self.take_over(),
        }
    }
}
