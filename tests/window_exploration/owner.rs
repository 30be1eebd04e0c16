//! Whoever is in charge of the pods: the window, and after it the guard. Both are the production types; this only
//! turns answers into their events.

use provider_api::Mono;
use stillpoint::window::plan::Now;
use stillpoint::window::protocol::{Command, Event, PauseAnswer, Purpose, Window};
use stillpoint::window::release::{CheckAnswer, PodIndex, Release, ReleaseCommand, UnpauseAnswer};

use crate::pods::PauseReply;

/// A call to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    Pause,
    Unpause,
    Check(Purpose),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    Pause(PauseReply),
    Unpaused,
    Closed(bool),
    /// The call's deadline passed, or the connection broke under it.
    Nothing,
    /// Nobody listens at the address.
    NobodyThere,
}

/// Who is in charge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    Window(Box<Window>),
    /// The process in charge is dead; nobody has taken over yet.
    Nobody {
        died: Mono,
    },
    /// The guard owns paused pods, to release them at this moment (`pause --for`).
    Keeper {
        until: Mono,
    },
    /// The guard, or whoever found the note.
    Guard(Release),
    Done,
}

impl Owner {
    /// An event for the window; a guard hears of nothing but its own calls.
    pub fn event(&mut self, now: Now, event: Event) -> Vec<Command> {
        match self {
            Owner::Window(window) => window.handle(now, event),
            _ => Vec::new(),
        }
    }

    pub fn tick(&mut self, now: Now) -> Vec<Command> {
        match self {
            Owner::Window(window) => window.handle(now, Event::Tick),
            Owner::Guard(release) => commands(release.due(now.mono)),
            _ => Vec::new(),
        }
    }

    pub fn answered(&mut self, now: Now, pod: PodIndex, what: What, answer: Answer) -> Vec<Command> {
        match self {
            Owner::Window(window) => window.handle(now, event_of(pod, what, answer)),
            Owner::Guard(release) => {
                let mut next = Vec::new();
                match what {
                    What::Unpause => next.extend(release.unpaused(now.mono, pod, &unpause_answer(answer))),
                    What::Check(Purpose::Release) => release.checked(now.mono, pod, &check_answer(answer)),
                    _ => {}
                }
                next.extend(release.due(now.mono));
                commands(next)
            }
            _ => Vec::new(),
        }
    }

    /// When it wants to be woken.
    pub fn next_tick(&self) -> Option<Mono> {
        match self {
            Owner::Window(window) => window.next_tick(),
            Owner::Guard(release) => release.next_due(),
            _ => None,
        }
    }
}

fn commands(release: Vec<ReleaseCommand>) -> Vec<Command> {
    release
        .into_iter()
        .map(|command| match command {
            ReleaseCommand::Unpause(pod) => Command::Unpause(pod),
            ReleaseCommand::Check(pod) => Command::Check(pod, Purpose::Release),
        })
        .collect()
}

fn event_of(pod: PodIndex, what: What, answer: Answer) -> Event {
    match what {
        What::Pause => Event::PauseAnswered(pod, pause_answer(answer)),
        What::Unpause => Event::Unpaused(pod, unpause_answer(answer)),
        What::Check(purpose) => Event::Checked(pod, purpose, check_answer(answer)),
    }
}

fn pause_answer(answer: Answer) -> PauseAnswer {
    match answer {
        Answer::Pause(PauseReply::Ok) => PauseAnswer::Paused,
        Answer::Pause(PauseReply::Refused) => PauseAnswer::Refused(String::new()),
        Answer::Pause(PauseReply::DrainTimedOut) => PauseAnswer::DrainTimedOut(String::new()),
        Answer::Pause(PauseReply::PausedByOther) => PauseAnswer::PausedByOther(String::new()),
        _ => PauseAnswer::Unknown(String::new()),
    }
}

fn unpause_answer(answer: Answer) -> UnpauseAnswer {
    match answer {
        Answer::Unpaused => UnpauseAnswer::Ok,
        Answer::NobodyThere => UnpauseAnswer::ConnectionRefused,
        _ => UnpauseAnswer::Failed,
    }
}

fn check_answer(answer: Answer) -> CheckAnswer {
    match answer {
        Answer::Closed(true) => CheckAnswer::Paused,
        Answer::Closed(false) => CheckAnswer::Open,
        Answer::NobodyThere => CheckAnswer::ConnectionRefused,
        _ => CheckAnswer::Failed(String::new()),
    }
}
