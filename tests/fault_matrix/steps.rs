//! Every step of a window at which something can go wrong: the protocol's commands and events, and the named steps
//! around it. The matches are exhaustive on purpose: a new command or event must be given its rows here.

use crate::support::{Setup, Stage, until};
use rustix::process::Signal;
use stillpoint::window::driver::{command_name, event_name};
use stillpoint::window::protocol::{Command, Event, PauseAnswer, Purpose};
use stillpoint::window::release::{CheckAnswer, PodIndex, UnpauseAnswer};
use stillpoint_sandbox::pods::{Action, Fault, Flavor, Method, PodLog, Trigger};

/// Which run comes by a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// `create`.
    Create,
    /// `create`, while another caller's pause holds pod 0 (only servers that name their outcomes tell).
    PausedByOther,
    /// `pause --for 2s`.
    Pause,
}

/// How the gates stand when a command is about to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gates {
    /// Nothing was sent.
    Open,
    /// Pause is being sent.
    Closing,
    /// All are closed and must stay so.
    Closed,
    /// Unpause is being sent.
    Opening,
    /// All are proven open, or left alone.
    Released,
}

/// A command with what its rows need to know.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub name: &'static str,
    pub scene: Scene,
    pub gates: Gates,
    /// The call to a pod that it stands for.
    pub method: Option<Method>,
    /// Which visits of the place are worth a row of their own.
    pub visits: &'static [u32],
}

const ONE: &[u32] = &[1];
const FIRST_AND_LAST_POD: &[u32] = &[1, 3];
const POD: PodIndex = PodIndex(0);

/// Every command. [`step`] is what keeps this list whole.
const COMMANDS: [Command; 11] = [
    Command::WriteNote,
    Command::ArmGuard,
    Command::Pause(POD),
    Command::Check(POD, Purpose::First),
    Command::Check(POD, Purpose::Hold),
    Command::Check(POD, Purpose::Last),
    Command::Check(POD, Purpose::Release),
    Command::Unpause(POD),
    Command::LeaveAlone(POD),
    Command::HandOver,
    Command::Finish,
];

/// All steps that are commands.
pub fn steps() -> Vec<Step> {
    COMMANDS.iter().map(|command| step(command).1).collect()
}

/// The command's place in the list, and its step.
fn step(command: &Command) -> (usize, Step) {
    use Gates::{Closed, Closing, Open, Opening, Released};
    let create = Scene::Create;
    let (place, scene, gates, method, visits) = match command {
        Command::WriteNote => (0, create, Open, None, ONE),
        Command::ArmGuard => (1, create, Open, None, ONE),
        Command::Pause(_) => (2, create, Closing, Some(Method::Pause), FIRST_AND_LAST_POD),
        Command::Check(_, purpose) => {
            let (place, gates) = match purpose {
                Purpose::First => (3, Closed),
                Purpose::Hold => (4, Closed),
                Purpose::Last => (5, Closed),
                Purpose::Release => (6, Opening),
            };
            (place, create, gates, Some(Method::CheckPaused), FIRST_AND_LAST_POD)
        }
        Command::Unpause(_) => (7, create, Opening, Some(Method::Unpause), FIRST_AND_LAST_POD),
        Command::LeaveAlone(_) => (8, Scene::PausedByOther, Opening, None, ONE),
        Command::HandOver => (9, Scene::Pause, Closed, None, ONE),
        Command::Finish => (10, create, Released, None, ONE),
    };
    (place, Step { name: command_name(command), scene, gates, method, visits })
}

/// What it takes, besides the scene, to come by an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provoked {
    /// It comes by itself.
    Nothing,
    /// A pod restarts while all gates are closed.
    Restart,
    /// The guard is killed while all gates are closed.
    DeathOfGuard,
    /// SIGINT while all gates are closed.
    Interrupt,
}

/// An event with what its rows need to know.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub name: &'static str,
    pub scene: Scene,
    pub provoked: Provoked,
    pub visits: &'static [u32],
}

/// All events. [`arrival`] keeps this list whole.
pub fn arrivals() -> Vec<Arrival> {
    let checked = |purpose| Event::Checked(POD, purpose, CheckAnswer::Paused);
    let events = [
        Event::Start,
        Event::NoteWritten(Ok(())),
        Event::GuardArmed(Ok(())),
        Event::PauseAnswered(POD, PauseAnswer::Paused),
        checked(Purpose::First),
        checked(Purpose::Hold),
        checked(Purpose::Last),
        checked(Purpose::Release),
        Event::Unpaused(POD, UnpauseAnswer::Ok),
        Event::ConnectionBroke(POD, String::new()),
        Event::GuardLost(String::new()),
        Event::HandedOver(Ok(())),
        Event::Cancelled(String::new()),
        Event::Tick,
    ];
    let placed: Vec<(usize, Arrival)> = events.iter().map(arrival).collect();
    assert!(placed.iter().enumerate().all(|(n, (place, _))| n == *place));
    placed.into_iter().map(|(_, arrival)| arrival).collect()
}

fn arrival(event: &Event) -> (usize, Arrival) {
    use Provoked::{DeathOfGuard, Interrupt, Nothing, Restart};
    let create = Scene::Create;
    let (place, scene, provoked, visits) = match event {
        Event::Start => (0, create, Nothing, ONE),
        Event::NoteWritten(_) => (1, create, Nothing, ONE),
        Event::GuardArmed(_) => (2, create, Nothing, ONE),
        Event::PauseAnswered(..) => (3, create, Nothing, FIRST_AND_LAST_POD),
        Event::Checked(_, purpose, _) => {
            let place = match purpose {
                Purpose::First => 4,
                Purpose::Hold => 5,
                Purpose::Last => 6,
                Purpose::Release => 7,
            };
            (place, create, Nothing, FIRST_AND_LAST_POD)
        }
        Event::Unpaused(..) => (8, create, Nothing, FIRST_AND_LAST_POD),
        Event::ConnectionBroke(..) => (9, create, Restart, ONE),
        Event::GuardLost(_) => (10, create, DeathOfGuard, ONE),
        Event::HandedOver(_) => (11, Scene::Pause, Nothing, ONE),
        Event::Cancelled(_) => (12, create, Interrupt, ONE),
        Event::PodsChanged(_) | Event::NoLongerExists(_) => {
            unreachable!("no address tells of it; tests/kubernetes provokes it by a cluster")
        }
        Event::Tick => (13, create, Nothing, ONE),
    };
    (place, Arrival { name: event_name(event), scene, provoked, visits })
}

/// The named steps around a window: between the beginning of the point's log and the window, and between the window's end
/// and that of `create`.
pub const AROUND: [&str; 4] = ["after:OpenPoint", "before:StandDown", "before:StoreVerdict", "after:StoreVerdict"];

impl Scene {
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Scene::Create | Scene::PausedByOther => &["create"],
            Scene::Pause => &["pause", "--for", "2s"],
        }
    }

    pub fn setup(self, seed: u64) -> Setup {
        match self {
            Scene::Create | Scene::Pause => Setup::new(seed),
            // A caller waits at such a server's gate, as long as the other's pause takes.
            Scene::PausedByOther => Setup::new(seed).flavor(Flavor::ScalarDl314).quiet(),
        }
    }

    pub async fn stage(self, setup: Setup) -> Stage {
        let stage = Stage::start(setup).await;
        if self == Scene::PausedByOther {
            paused_by_other(&stage);
        }
        stage
    }
}

/// When our Pause comes to pod 0, a transaction is open there and another caller has paused: TIMED_OUT_STILL_PAUSED.
pub fn paused_by_other(stage: &Stage) {
    let actions = [
        Action::OpenTransaction { for_ms: Some(3_000) },
        Action::ForeignPause { after_ms: 0 },
        Action::HoldBack { ms: 300 },
    ];
    for action in actions {
        stage.plant(0, Fault::on(Trigger::nth(Method::Pause, 1), action));
    }
}

/// Brings an event about, once all gates are closed.
pub async fn provoke(provoked: Provoked, stage: &Stage, running: &crate::support::Running) {
    if provoked == Provoked::Nothing {
        return;
    }
    held(stage).await;
    match provoked {
        Provoked::Nothing => {}
        Provoked::Restart => stage.plant(0, Fault::now(Action::Restart { down_ms: 0 })),
        Provoked::DeathOfGuard => {
            let guard = running.guard().await;
            crate::support::proc::signal(guard, Signal::KILL);
        }
        Provoked::Interrupt => running.signal(Signal::INT),
    }
}

/// Waits until the window holds: every gate is closed, every Pause answered, and every pod looked at since.
pub async fn held(stage: &Stage) {
    all_closed(stage).await;
    let looked_at = |log: PodLog| {
        let since = log.gate_closed_intervals().last().map_or(u64::MAX, |(from, _)| *from);
        log.received_at(Method::CheckPaused).into_iter().filter(|at| *at > since).count() >= 2
    };
    until("every pod is looked at", || stage.sandbox.logs().into_iter().all(looked_at)).await;
}

/// Waits until every gate is closed.
pub async fn all_closed(stage: &Stage) {
    until("all gates are closed", || stage.pods().iter().all(|pod| !pod.is_open())).await;
}

#[test]
fn every_command_of_the_protocol_has_its_step() {
    let placed: Vec<(usize, Step)> = COMMANDS.iter().map(step).collect();
    assert!(placed.iter().enumerate().all(|(n, (place, _))| n == *place));
    let names: std::collections::BTreeSet<_> = placed.iter().map(|(_, step)| step.name).collect();
    assert_eq!(names.len(), COMMANDS.len(), "two commands share a name, and so their rows");
    let names: std::collections::BTreeSet<_> = arrivals().iter().map(|arrival| arrival.name).collect();
    assert_eq!(names.len(), arrivals().len(), "two events share a name, and so their rows");
}
