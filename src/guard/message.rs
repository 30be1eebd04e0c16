//! What passes between a process and its guard: one JSON object a line, down the guard's standard input and up its
//! standard output.

use crate::note::OpenWindowNote;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// From the process that pauses to its guard.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ToGuard {
    /// Be ready to release these pods. Answered.
    Arm {
        /// Which pods, and until when.
        note: Box<OpenWindowNote>,
        /// The state folder.
        state_folder: PathBuf,
        /// As after [`ToGuard::Releasing`]: the first guard is lost, and nothing is sent any more but Unpause.
        releasing: bool,
    },
    /// Another caller's pause holds this pod: never unpause it. Not answered.
    LeaveAlone {
        /// Its place in the note.
        pod: usize,
    },
    /// The first Unpause is sent, and no Pause will be from now on: at the hard deadline release as well, and let this
    /// process go on. Not answered: nothing may wait for it.
    Releasing,
    /// Every pod is proven paused and nothing more will be sent: own them until the deadline. Answered.
    HandOver {
        /// When to release, on CLOCK_BOOTTIME.
        until_boot_ns: u64,
    },
    /// The window gave up waiting and will send nothing more: go on releasing. Answered.
    CarryOn,
    /// Every pod is proven open. Answered.
    Released,
}

/// From the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum FromGuard {
    /// Ready.
    Armed,
    /// The last message is understood and acted on.
    Understood,
    /// It will not guard that.
    Refused,
}
