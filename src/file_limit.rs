//! The limit of file sizes (`ulimit -f`, RLIMIT_FSIZE): a write beyond it ends a process by SIGXFSZ unless the signal is
//! handled. Then the write fails like one on a full disk, and is told; a guard must not die of its own report.

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// From now on such a write is an error. Needs a runtime; a repeat changes nothing.
pub fn survive() {
    // The handler stays when the stream of signals is dropped.
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        tracing::debug!("SIGXFSZ cannot be handled: {error}");
    }
}
