//! Carries out a window's commands over the network and feeds the answers back. Decides nothing.

use super::calls;
use super::fault;
use super::plan::{Now, Plan};
use super::protocol::{Command, Event, Gate, PodsChange, Purpose, Window};
use super::release::{PodIndex, UnpauseAnswer};
use crate::admin::AdminClient;
use crate::guard::GuardLink;
use crate::kubernetes::PodIdentity;
use crate::window::existence::Existence;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The longest time between two looks at the boot clock.
const LOOK: Duration = Duration::from_millis(100);

/// One pod with its connection.
#[derive(Clone, Debug)]
pub struct DrivenPod {
    /// Name for people and logs.
    pub name: String,
    /// Connected in the preflight.
    pub client: AdminClient,
    /// Which pod it is, where Kubernetes knows.
    pub identity: Option<PodIdentity>,
}

/// What a window needs from around it, besides pods.
#[async_trait::async_trait]
pub trait Edges: Send {
    /// Writes the open window note to every place it lives.
    async fn write_note(&mut self) -> Result<(), String>;
    /// Starts a guard and waits until it is armed.
    async fn arm_guard(&mut self) -> Result<GuardLink, String>;
    /// When the guard is to release pods that were handed over, on CLOCK_BOOTTIME.
    fn hand_over_until(&self) -> u64;
    /// Something happened: for progress and logs. Must be quick.
    fn seen(&mut self, window: &Window, happened: &Happened<'_>);
}

/// One line of a window's story.
#[derive(Debug)]
pub enum Happened<'a> {
    /// This is about to be carried out.
    Command(&'a Command),
    /// This came back.
    Event(&'a Event),
    /// Time passes.
    Tick,
}

/// How a driven window ended.
#[derive(Debug)]
pub struct Driven {
    /// The window, over.
    pub window: Window,
    /// The guard, unless it was never armed, died, or goes on without us.
    pub guard: Option<GuardLink>,
}

/// Runs a window from its first command to its last. `changes` tells what becomes of the pods; what is left in it
/// afterwards came too late for the window.
pub async fn run(
    plan: Plan,
    pods: &[DrivenPod],
    pausing: Pausing,
    changes: &mut mpsc::UnboundedReceiver<PodsChange>,
    edges: &mut dyn Edges,
    cancel: &CancellationToken,
) -> Driven {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let connections = pods.iter().map(|p| p.client.connections_made()).collect();
    let mut driver = Driver {
        window: Window::new(plan),
        pods,
        pausing,
        events,
        unpause_tries: vec![0; pods.len()],
        connections,
        may_pause: Arc::new(AtomicBool::new(true)),
        told_releasing: false,
        existence: Existence::default(),
        guard: None,
        cancel,
        cancelled: false,
    };
    driver.feed(Event::Start, edges).await;
    while !driver.window.is_over() {
        let wait = driver.window.next_tick().map_or(LOOK, |at| at.since(provider_api::Mono::now()).min(LOOK));
        let event = tokio::select! {
            biased;
            // Feeding any event notices it.
            () = cancel.cancelled(), if !driver.cancelled => Event::Tick,
            Some(change) = changes.recv() => Event::PodsChanged(change),
            Some(event) = inbox.recv() => event,
            died = guard_death(&mut driver.guard) => {
                driver.guard = None;
                Event::GuardLost(died)
            }
            () = tokio::time::sleep(wait) => Event::Tick,
        };
        if let Event::Checked(pod, ..) | Event::PauseAnswered(pod, _) = &event {
            driver.look_at_connection(*pod, edges).await;
        }
        if let Event::Unpaused(pod, answer) = &event {
            driver.ask_for(*pod, answer);
        }
        driver.feed(event, edges).await;
    }
    Driven { window: driver.window, guard: driver.guard }
}

/// How Pause is sent.
#[derive(Clone, Copy, Debug)]
pub struct Pausing {
    /// `max_pause_wait_time`, sent only when configured.
    pub max_wait: Option<Duration>,
    /// The call's deadline.
    pub deadline: Duration,
}

struct Driver<'a> {
    window: Window,
    pods: &'a [DrivenPod],
    pausing: Pausing,
    events: mpsc::UnboundedSender<Event>,
    unpause_tries: Vec<u32>,
    connections: Vec<u64>,
    /// Cleared with the first Unpause: a Pause that has not been sent by then never is.
    may_pause: Arc<AtomicBool>,
    told_releasing: bool,
    existence: Existence,
    guard: Option<GuardLink>,
    cancel: &'a CancellationToken,
    cancelled: bool,
}

async fn guard_death(guard: &mut Option<GuardLink>) -> String {
    match guard {
        Some(guard) => guard.died().await,
        None => std::future::pending().await,
    }
}

impl Driver<'_> {
    async fn feed(&mut self, event: Event, edges: &mut dyn Edges) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            // Looked at before each step: writing the note and arming the guard take time, and lead to the first Pause.
            if !self.cancelled && self.cancel.is_cancelled() {
                self.cancelled = true;
                let cancelled = self.handle(Event::Cancelled("asked to stop".to_owned()), edges).await;
                events.extend(cancelled);
            }
            let answers = self.handle(event, edges).await;
            events.extend(answers);
        }
        self.tell_releasing().await;
    }

    async fn handle(&mut self, event: Event, edges: &mut dyn Edges) -> Vec<Event> {
        fault::point(&format!("on:{}", event_name(&event)));
        let happened = if event == Event::Tick { Happened::Tick } else { Happened::Event(&event) };
        edges.seen(&self.window, &happened);
        let mut answers = Vec::new();
        for command in self.window.handle(Now::read(), event) {
            let name = command_name(&command);
            edges.seen(&self.window, &Happened::Command(&command));
            fault::point(&format!("before:{name}"));
            answers.extend(self.carry_out(command, edges).await);
            fault::point(&format!("after:{name}"));
        }
        answers
    }

    /// Once every Unpause of the first round is on its way, so that nothing holds one up.
    async fn tell_releasing(&mut self) {
        if self.told_releasing || self.may_pause.load(Ordering::SeqCst) {
            return;
        }
        self.told_releasing = true;
        if let Some(guard) = &mut self.guard {
            guard.releasing().await;
        }
    }

    /// Calls to pods are started and answer later; the rest answers at once.
    async fn carry_out(&mut self, command: Command, edges: &mut dyn Edges) -> Option<Event> {
        match command {
            Command::WriteNote => Some(Event::NoteWritten(edges.write_note().await)),
            Command::ArmGuard => {
                let armed = edges.arm_guard().await;
                Some(Event::GuardArmed(armed.map(|guard| self.guard = Some(guard))))
            }
            Command::Pause(pod) => self.pause(pod),
            Command::Check(pod, purpose) => self.check(pod, purpose),
            Command::Unpause(pod) => self.unpause(pod),
            Command::LeaveAlone(pod) => {
                if let Some(guard) = &mut self.guard {
                    guard.leave_alone(pod.0).await;
                }
                None
            }
            Command::HandOver => {
                let result = match &mut self.guard {
                    Some(guard) => guard.hand_over(edges.hand_over_until()).await,
                    None => Err("there is no guard".to_owned()),
                };
                Some(Event::HandedOver(result))
            }
            Command::Finish => None,
        }
    }

    fn pause(&self, pod: PodIndex) -> Option<Event> {
        let (client, events) = (self.pods.get(pod.0)?.client.clone(), self.events.clone());
        let (pausing, may_pause) = (self.pausing, self.may_pause.clone());
        tokio::spawn(async move {
            if may_pause.load(Ordering::SeqCst) {
                let answer = calls::pause(&client, pausing.max_wait, pausing.deadline).await;
                let _ = events.send(Event::PauseAnswered(pod, answer));
            }
        });
        None
    }

    fn check(&self, pod: PodIndex, purpose: Purpose) -> Option<Event> {
        let (client, events) = (self.pods.get(pod.0)?.client.clone(), self.events.clone());
        tokio::spawn(async move {
            let answer = calls::check(&client).await;
            let _ = events.send(Event::Checked(pod, purpose, answer));
        });
        None
    }

    fn unpause(&mut self, pod: PodIndex) -> Option<Event> {
        self.may_pause.store(false, Ordering::SeqCst);
        let (client, events) = (self.pods.get(pod.0)?.client.clone(), self.events.clone());
        let tries = self.unpause_tries.get_mut(pod.0)?;
        let earlier = *tries;
        *tries += 1;
        tokio::spawn(async move {
            let answer = calls::unpause(&client, earlier).await;
            let _ = events.send(Event::Unpaused(pod, answer));
        });
        None
    }

    /// A pod that does not answer may be gone for good.
    fn ask_for(&mut self, pod: PodIndex, answer: &UnpauseAnswer) {
        let identity = self.pods.get(pod.0).and_then(|pod| pod.identity.as_ref());
        let events = self.events.clone();
        self.existence.heard(pod, identity, answer, move || drop(events.send(Event::NoLongerExists(pod))));
    }

    /// A connection that was made anew since the preflight may lead to a restarted server.
    async fn look_at_connection(&mut self, pod: PodIndex, edges: &mut dyn Edges) {
        let Some(made) = self.pods.get(pod.0).map(|p| p.client.connections_made()) else { return };
        if std::mem::replace(&mut self.connections[pod.0], made) != made {
            let detail = "the connection broke and was made again; the server may have restarted".to_owned();
            self.feed(Event::ConnectionBroke(pod, detail), edges).await;
        }
    }
}

/// A command's name, as in logs and fault places.
pub fn command_name(command: &Command) -> &'static str {
    match command {
        Command::WriteNote => "WriteNote",
        Command::ArmGuard => "ArmGuard",
        Command::Pause(_) => "Pause",
        Command::Check(_, Purpose::First) => "CheckFirst",
        Command::Check(_, Purpose::Hold) => "CheckHold",
        Command::Check(_, Purpose::Last) => "CheckLast",
        Command::Check(_, Purpose::Release) => "CheckRelease",
        Command::Unpause(_) => "Unpause",
        Command::LeaveAlone(_) => "LeaveAlone",
        Command::HandOver => "HandOver",
        Command::Finish => "Finish",
    }
}

/// An event's name, as in logs and fault places.
pub fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Start => "Start",
        Event::NoteWritten(_) => "NoteWritten",
        Event::GuardArmed(_) => "GuardArmed",
        Event::PauseAnswered(..) => "PauseAnswered",
        Event::Checked(_, Purpose::First, _) => "CheckedFirst",
        Event::Checked(_, Purpose::Hold, _) => "CheckedHold",
        Event::Checked(_, Purpose::Last, _) => "CheckedLast",
        Event::Checked(_, Purpose::Release, _) => "CheckedRelease",
        Event::Unpaused(..) => "Unpaused",
        Event::ConnectionBroke(..) => "ConnectionBroke",
        Event::PodsChanged(_) => "PodsChanged",
        Event::NoLongerExists(_) => "NoLongerExists",
        Event::GuardLost(_) => "GuardLost",
        Event::HandedOver(_) => "HandedOver",
        Event::Cancelled(_) => "Cancelled",
        Event::Tick => "Tick",
    }
}

/// The pod that a command or event is about.
pub fn pod_of(happened: &Happened<'_>) -> Option<PodIndex> {
    match happened {
        Happened::Command(
            Command::Pause(pod) | Command::Check(pod, _) | Command::Unpause(pod) | Command::LeaveAlone(pod),
        )
        | Happened::Event(
            Event::PauseAnswered(pod, _)
            | Event::Checked(pod, ..)
            | Event::Unpaused(pod, _)
            | Event::NoLongerExists(pod)
            | Event::ConnectionBroke(pod, _),
        ) => Some(*pod),
        _ => None,
    }
}

/// How many pods are known to be paused.
pub fn paused_count(window: &Window, pods: usize) -> usize {
    (0..pods).filter(|i| window.gate(PodIndex(*i)) == Gate::Paused).count()
}
