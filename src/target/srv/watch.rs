//! Looking at DNS again each second while a window is open, and once more when its pods are.

use super::{LookError, Record, Records, SrvResolver, changes};
use crate::point::{PodRow, PodSeen};
use crate::target::{PodWatch, Settled, Watched};
use crate::window::protocol::PodsChange;
use crate::window::violation::Name;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// From the start of one look to the start of the next.
const EACH: Duration = Duration::from_secs(1);
/// How long a look may take while pods are paused. A slower one leaves a gap in what is seen.
const LOOK: Duration = Duration::from_secs(2);
/// How long the look after the window may take: nobody waits for it with closed gates.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// A target's records as the preflight saw them.
#[derive(Clone, Debug)]
pub struct SrvWatched(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    target: String,
    srv: String,
    resolver: SrvResolver,
    before: Records,
}

impl SrvWatched {
    pub(super) fn new(target: String, srv: String, resolver: SrvResolver, before: Records) -> Self {
        SrvWatched(Arc::new(Seen { target, srv, resolver, before }))
    }
}

impl Watched for SrvWatched {
    fn start(&self, changes: UnboundedSender<PodsChange>) -> Box<dyn PodWatch> {
        let (seen, told) = (Arc::clone(&self.0), Arc::new(Mutex::new(Vec::new())));
        let looking = tokio::spawn(look_each_second(Arc::clone(&seen), changes, Arc::clone(&told)));
        Box::new(SrvWatch { seen, told, looking })
    }
}

struct SrvWatch {
    seen: Arc<Seen>,
    /// What has been told.
    told: Arc<Mutex<Vec<PodsChange>>>,
    looking: JoinHandle<()>,
}

impl Drop for SrvWatch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

/// Runs beside the window, which hears of changes and never waits for a look. One finding is enough: the window is void.
async fn look_each_second(seen: Arc<Seen>, changes: UnboundedSender<PodsChange>, told: Arc<Mutex<Vec<PodsChange>>>) {
    let mut next = Instant::now();
    loop {
        sleep_until(next).await;
        next = Instant::now() + EACH;
        let found = seen.judge(seen.resolver.look(&seen.srv, LOOK).await).1;
        if found.is_empty() {
            continue;
        }
        told.lock().unwrap_or_else(PoisonError::into_inner).extend(found.iter().cloned());
        for change in found {
            // Nobody listens any more: the window is over.
            let _ = changes.send(change);
        }
        return;
    }
}

#[async_trait::async_trait]
impl PodWatch for SrvWatch {
    async fn settle(&mut self, patience: Duration) -> Settled {
        self.looking.abort();
        let look = self.seen.resolver.look(&self.seen.srv, LAST_LOOK.min(patience)).await;
        let (after, mut changes) = self.seen.judge(look);
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        changes.retain(|change| !told.contains(change));
        // A look that failed says of no pod that it was gone.
        let table = after.map(|after| table(&self.seen.target, &self.seen.before, &after)).unwrap_or_default();
        Settled { changes, table }
    }
}

impl Seen {
    /// What a look found, if it found anything, and what is to be said about it.
    fn judge(&self, look: Result<Records, LookError>) -> (Option<Records>, Vec<PodsChange>) {
        let now = match look {
            Ok(now) => now,
            // That no pod is listed is an answer like any other.
            Err(LookError::NoSuchName) => Records::default(),
            Err(LookError::Failed(why)) => {
                let detail = format!("{} could not be looked up: {why}", self.srv);
                let gap = PodsChange { name: Name::WatchGap, subject: self.target.clone(), detail };
                return (None, vec![gap]);
            }
        };
        let changes = changes(&self.before, &now);
        (Some(now), changes)
    }
}

/// Every pod of both looks.
fn table(target: &str, before: &Records, after: &Records) -> Vec<PodRow> {
    let (before, after) = (before.pods(), after.pods());
    let all: BTreeSet<SocketAddr> = before.keys().chain(after.keys()).copied().collect();
    let seen = |at: SocketAddr, record: &Record| PodSeen {
        uid: None,
        address: Some(at.to_string()),
        status: format!("listed as {record}"),
        restarts: None,
        started: None,
    };
    let row = |at: SocketAddr| PodRow {
        target: target.to_owned(),
        pod: at.to_string(),
        before: before.get(&at).map(|record| seen(at, record)),
        after: after.get(&at).map(|record| seen(at, record)),
    };
    all.into_iter().map(row).collect()
}
