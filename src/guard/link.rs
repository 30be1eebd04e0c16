//! The parent's end of the pipe.

use super::init::{self, Pipes};
use super::message::{FromGuard, ToGuard};
use crate::note::OpenWindowNote;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, Command};

/// How long a guard may take to answer. It connects to nobody before it does.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a message without an answer may take. A pipe that is full for longer has nobody at its other end.
const TELL: Duration = Duration::from_millis(50);

/// A guard that watches this process.
pub struct GuardLink {
    guard: Guard,
    input: Box<dyn AsyncWrite + Send + Unpin>,
    output: Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
    /// A message could not be written in time: no further one is tried that nobody waits for.
    deaf: bool,
}

/// Which process it is.
#[derive(Debug)]
enum Guard {
    /// One that was started for this window.
    Child(Child),
    /// The container's first process: it outlives this one, and while it lives it is the guard of every window.
    First,
}

impl std::fmt::Debug for GuardLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardLink").field("guard", &self.guard).field("deaf", &self.deaf).finish_non_exhaustive()
    }
}

impl GuardLink {
    /// Starts a guard, or takes the container's first process where it is one, and waits until it is armed. The error says why there is none; then nothing may be paused.
    pub async fn arm(note: &OpenWindowNote, state_folder: &Path) -> Result<Self, String> {
        match init::pipes() {
            Some(pipes) => Self::first(pipes).armed(note, state_folder, false).await,
            None => Self::child()?.armed(note, state_folder, false).await,
        }
    }

    /// Starts a guard in place of a lost one, for a process that sends nothing any more, and lets it go on releasing.
    pub async fn carry_on_anew(note: &OpenWindowNote, state_folder: &Path) -> Result<(), String> {
        Self::child()?.armed(note, state_folder, true).await?.carry_on().await
    }

    fn new(
        guard: Guard,
        input: impl AsyncWrite + Send + Unpin + 'static,
        output: impl AsyncRead + Send + Unpin + 'static,
    ) -> Self {
        let output: Box<dyn AsyncRead + Send + Unpin> = Box::new(output);
        GuardLink { guard, input: Box::new(input), output: BufReader::new(output).lines(), deaf: false }
    }

    fn first(Pipes { messages, answers }: Pipes) -> Self {
        Self::new(Guard::First, messages, answers)
    }

    fn child() -> Result<Self, String> {
        // The running program, also when its file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg(super::ARGUMENT).env_remove("STILLPOINT_FAULT").env_remove(init::PIPES);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|e| format!("the guard did not start: {e}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the guard has no pipes".to_owned());
        };
        Ok(Self::new(Guard::Child(child), input, output))
    }

    async fn armed(mut self, note: &OpenWindowNote, state_folder: &Path, releasing: bool) -> Result<Self, String> {
        let arm = ToGuard::Arm { note: Box::new(note.clone()), state_folder: state_folder.to_owned(), releasing };
        if let Err(error) = self.ask(&arm, FromGuard::Armed).await {
            if let Guard::Child(child) = &mut self.guard {
                // Were it armed after all, it would find its pipe closed and end this process.
                let _ = child.start_kill();
            }
            return Err(error);
        }
        Ok(self)
    }

    /// The guard's process id.
    pub fn pid(&self) -> Option<u32> {
        match &self.guard {
            Guard::Child(child) => child.id(),
            Guard::First => Some(init::FIRST),
        }
    }

    /// Returns when the guard has died, with how. Safe to drop and call again.
    pub async fn died(&mut self) -> String {
        let child = match &mut self.guard {
            Guard::Child(child) => child,
            // All processes of the container end with it.
            Guard::First => return std::future::pending().await,
        };
        match child.wait().await {
            Ok(status) => format!("the guard ended by itself: {status}"),
            Err(error) => format!("the guard cannot be waited for: {error}"),
        }
    }

    /// Another caller's pause holds this pod. Waits for nobody.
    pub async fn leave_alone(&mut self, pod: usize) {
        self.tell(&ToGuard::LeaveAlone { pod }).await;
    }

    /// No Pause is sent any more. Waits for nobody; a guard that does not hear it ends this process at the deadline.
    pub async fn releasing(&mut self) {
        self.tell(&ToGuard::Releasing).await;
    }

    /// Makes the guard the owner until the given boot time. After Ok this process may end.
    pub async fn hand_over(&mut self, until_boot_ns: u64) -> Result<(), String> {
        self.ask(&ToGuard::HandOver { until_boot_ns }, FromGuard::Understood).await
    }

    /// Lets the guard go on releasing when this process ends.
    pub async fn carry_on(&mut self) -> Result<(), String> {
        self.ask(&ToGuard::CarryOn, FromGuard::Understood).await
    }

    /// Every pod is proven open: ends the guard.
    pub async fn released(mut self) -> Result<(), String> {
        self.ask(&ToGuard::Released, FromGuard::Understood).await?;
        drop(self.input);
        let Guard::Child(mut child) = self.guard else { return Ok(()) };
        match tokio::time::timeout(ANSWER, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("the guard ended with {status}")),
            Ok(Err(error)) => Err(format!("the guard cannot be waited for: {error}")),
            Err(_) => Err("the guard does not end".to_owned()),
        }
    }

    /// A line this short is written whole or not at all.
    async fn tell(&mut self, message: &ToGuard) {
        let Ok(line) = line(message) else { return };
        if !self.deaf {
            let written = tokio::time::timeout(TELL, self.input.write_all(&line)).await;
            self.deaf = !matches!(written, Ok(Ok(())));
        }
    }

    async fn ask(&mut self, message: &ToGuard, expected: FromGuard) -> Result<(), String> {
        let exchange = async {
            let line = line(message)?;
            self.input.write_all(&line).await.map_err(|e| format!("the guard does not listen: {e}"))?;
            self.input.flush().await.map_err(|e| format!("the guard does not listen: {e}"))?;
            match self.output.next_line().await {
                Ok(Some(line)) if serde_json::from_str::<FromGuard>(&line).is_ok_and(|m| m == expected) => Ok(()),
                Ok(Some(line)) => Err(format!("the guard answered `{line}`")),
                Ok(None) => Err("the guard ended before it answered".to_owned()),
                Err(error) => Err(format!("the guard's answer cannot be read: {error}")),
            }
        };
        tokio::time::timeout(ANSWER, exchange).await.unwrap_or_else(|_| Err("the guard does not answer".to_owned()))
    }
}

fn line(message: &ToGuard) -> Result<Vec<u8>, String> {
    let mut line = serde_json::to_vec(message).map_err(|e| e.to_string())?;
    line.push(b'\n');
    Ok(line)
}
