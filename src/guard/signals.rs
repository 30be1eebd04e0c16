//! Signals that a guard does not die of.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGUSR1 ask an owner to release; SIGINT and SIGHUP are for its parent.
pub struct Signals {
    interrupt: Signal,
    hangup: Signal,
    terminate: Signal,
    user: Signal,
}

impl Signals {
    /// From now on they end this process no more.
    pub fn new() -> std::io::Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next of them, and whether it asks to release.
    pub async fn asked_to_release(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => false,
            _ = self.hangup.recv() => false,
            _ = self.terminate.recv() => true,
            _ = self.user.recv() => true,
        }
    }
}
