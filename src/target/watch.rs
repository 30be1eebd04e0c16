//! The seam between a window and whatever can tell what becomes of its pods: the Kubernetes API, or DNS.
//!
//! The preflight looks at the pods and leaves a [`Watched`] for each way of looking. The window starts them before it
//! writes its note, and hears of changes at once. When its pods are open again each [`PodWatch`] settles: it takes a
//! look of its own, and says what it had not said before. Nothing slow happens while pods are paused.

use crate::point::PodRow;
use crate::window::protocol::PodsChange;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Pods as the preflight saw them, and a way to see what becomes of them.
pub trait Watched: std::fmt::Debug + Send + Sync {
    /// Starts watching from exactly what the preflight saw; what makes a window prove nothing goes to `changes`, at
    /// once. Several can be started, one after the other. Stops when the watch is dropped.
    fn start(&self, changes: UnboundedSender<PodsChange>) -> Box<dyn PodWatch>;
}

/// A watch that runs.
#[async_trait::async_trait]
pub trait PodWatch: Send {
    /// The pods are open again: looks once more, waits until everything up to that look has been judged, and compares
    /// it with what the preflight saw. Gives up after `patience`, which is a change (WatchGap) as well. Called once.
    async fn settle(&mut self, patience: Duration) -> Settled;
}

/// What a watch is worth in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// What makes the window prove nothing, and was not told before.
    pub changes: Vec<PodsChange>,
    /// Every pod, before and after.
    pub table: Vec<PodRow>,
}

/// All watches of one window.
pub struct Watching {
    /// What they say, in the order heard.
    pub changes: UnboundedReceiver<PodsChange>,
    watches: Vec<Box<dyn PodWatch>>,
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watching").field("watches", &self.watches.len()).finish_non_exhaustive()
    }
}

impl Default for Watching {
    /// Nothing is watched.
    fn default() -> Self {
        Watching::start(&[])
    }
}

impl Watching {
    /// Starts all of them.
    pub fn start(watched: &[Arc<dyn Watched>]) -> Self {
        let (sender, changes) = unbounded_channel();
        let watches = watched.iter().map(|one| one.start(sender.clone())).collect();
        Watching { changes, watches }
    }

    /// After the window: everything that it has not heard, and every pod before and after.
    pub async fn settle(mut self, patience: Duration) -> Settled {
        let settled = join_all(self.watches.iter_mut().map(|watch| watch.settle(patience))).await;
        let mut all = Settled::default();
        while let Ok(change) = self.changes.try_recv() {
            all.changes.push(change);
        }
        for one in settled {
            all.changes.extend(one.changes);
            all.table.extend(one.table);
        }
        all
    }
}
