//! Seeing what becomes of the pods of one namespace: a watch from the preflight's version while they are paused, and a
//! list of its own once they are open.

use super::api::{Look, Pods, has_expired};
use super::facts::PodFacts;
use super::judge::{Known, Standing, changes};
use super::services::{Served, differences};
use crate::failure::Failure;
use crate::kubernetes::refusal;
use crate::point::PodRow;
use crate::target::{PodWatch, Settled, Watched};
use crate::window::protocol::PodsChange;
use crate::window::violation::Name;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long one watch is asked to last; the server ends it then, and it goes on from the last version.
const LAST: u32 = 290;
/// How long a watch may be away. From its last version on nothing is missed, but a window has no time to wait.
const AWAY: Duration = Duration::from_secs(5);
/// Between two tries to watch again.
const AGAIN: Duration = Duration::from_millis(200);
/// A watch of three seconds is told after one second how far it has come.
const CATCH_UP: u32 = 3;

/// Which target a pod belongs to, and whose events count.
pub type Belongs = dyn Fn(&PodFacts) -> Option<String> + Send + Sync;

/// The pods of one namespace as the preflight saw them.
pub struct NamespaceWatch {
    /// Which pods.
    pub pods: Pods,
    /// As the preflight saw them.
    pub look: Look,
    /// The name of a pod's target; for a pod that could write and is in none, the namespace; `None`: it does not count.
    pub belongs: Arc<Belongs>,
    /// The headless Services that lead to them.
    pub served: Vec<Served>,
}

impl std::fmt::Debug for NamespaceWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pods = self.look.pods.len();
        f.debug_struct("NamespaceWatch").field("pods", &self.pods).field("seen", &pods).finish_non_exhaustive()
    }
}

impl NamespaceWatch {
    fn standing(&self, pod: &PodFacts) -> Standing {
        if (self.belongs)(pod).is_some() { Standing::Counts } else { Standing::Ignored }
    }

    /// What the whole watch is about, where no single pod is.
    fn subject(&self) -> String {
        format!("namespace {}", self.pods.namespace)
    }

    fn gap(&self, detail: String) -> PodsChange {
        PodsChange { name: Name::WatchGap, subject: self.subject(), detail }
    }

    fn said(&self, what: &str, error: &kube::Error) -> String {
        let what = format!("{what} pods in namespace {}", self.pods.namespace);
        said(&refusal(&self.pods.cluster.server, &what, error))
    }
}

fn said(failure: &Failure) -> String {
    failure.report().message
}

/// What [`Watched`] is implemented for: a watch outlives the preflight that began it.
#[derive(Clone, Debug)]
pub struct SharedWatch(pub Arc<NamespaceWatch>);

impl Watched for SharedWatch {
    fn start(&self, changes: UnboundedSender<PodsChange>) -> Box<dyn PodWatch> {
        let watch = self.0.clone();
        let stop = CancellationToken::new();
        let known = Known::new(watch.look.version.clone(), &watch.look.pods);
        let task = tokio::spawn(follow(watch.clone(), known, changes, stop.clone()));
        Box::new(Following { watch, task: Some(task), stop })
    }
}

/// Follows the pods until told to stop, or until there is a gap. Returns what it knows; `None`: there was a gap.
async fn follow(
    watch: Arc<NamespaceWatch>,
    mut known: Known,
    changes: UnboundedSender<PodsChange>,
    stop: CancellationToken,
) -> Option<Known> {
    // Nobody may listen any more: then nothing is lost by not being heard.
    let tell = |change: PodsChange| drop(changes.send(change));
    let mut away_since = Instant::now();
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => return Some(known),
            opened = watch.pods.watch(known.version(), LAST) => opened,
        };
        let error = match opened {
            Ok(mut events) => loop {
                let event = tokio::select! {
                    () = stop.cancelled() => return Some(known),
                    event = events.next() => event,
                };
                away_since = Instant::now();
                match event {
                    Some(Ok(event)) => known.take(event, |pod| watch.standing(pod)).into_iter().for_each(tell),
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            },
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            let text = watch.said("watch", &error);
            if has_expired(&error) {
                tell(watch.gap(format!("the API server no longer knows what happened since the preflight: {text}")));
                return None;
            }
            if away_since.elapsed() >= AWAY {
                tell(watch.gap(format!("not watched for {:.0?}: {text}", away_since.elapsed())));
                return None;
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// A watch that runs.
struct Following {
    watch: Arc<NamespaceWatch>,
    task: Option<JoinHandle<Option<Known>>>,
    stop: CancellationToken,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait::async_trait]
impl PodWatch for Following {
    async fn settle(&mut self, patience: Duration) -> Settled {
        self.stop.cancel();
        let known = match self.task.take() {
            Some(task) => task.await.ok().flatten(),
            None => None,
        };
        // A gap has been told already.
        let Some(known) = known else { return Settled::default() };
        let deadline = Instant::now() + patience;
        match self.look_again(known, deadline).await {
            Ok(settled) => settled,
            Err(gap) => Settled { changes: vec![gap], table: Vec::new() },
        }
    }
}

impl Following {
    async fn look_again(&self, mut known: Known, deadline: Instant) -> Result<Settled, PodsChange> {
        let watch = &self.watch;
        let after = retried(deadline, || watch.pods.list()).await;
        let after = after.map_err(|error| {
            watch.gap(format!("the pods could not be listed afterwards: {}", watch.said("list", &error)))
        })?;
        let mut told = Vec::new();
        self.catch_up(&mut known, &after.version, deadline, &mut told).await?;
        let (more, table) = compare(watch, &after);
        let known_already = |change: &PodsChange| told.iter().any(|t| same(t, change));
        let more: Vec<_> = more.into_iter().filter(|change| !known_already(change)).collect();
        told.extend(more);
        for served in &watch.served {
            told.extend(self.served_change(served, &after, deadline).await);
        }
        Ok(Settled { changes: told, table })
    }

    /// Judges everything up to the list's version.
    async fn catch_up(
        &self,
        known: &mut Known,
        version: &str,
        deadline: Instant,
        told: &mut Vec<PodsChange>,
    ) -> Result<(), PodsChange> {
        let watch = &self.watch;
        let mut last = "its bookmarks stay behind".to_owned();
        while !known.has_reached(version) {
            if Instant::now() >= deadline {
                let at = known.version();
                return Err(
                    watch.gap(format!("the watch has come to version {at}, and the list is of {version}: {last}"))
                );
            }
            match watch.pods.watch(known.version(), CATCH_UP).await {
                Ok(mut events) => {
                    // A connection that is lost without a word must not be waited for.
                    let patience = Duration::from_secs(u64::from(CATCH_UP) + 5);
                    while let Ok(Some(event)) = tokio::time::timeout(patience, events.next()).await {
                        match event {
                            Ok(event) => told.extend(known.take(event, |pod| watch.standing(pod))),
                            Err(error) if has_expired(&error) => return Err(watch.gap(watch.said("watch", &error))),
                            Err(error) => last = watch.said("watch", &error),
                        }
                        if known.has_reached(version) {
                            break;
                        }
                    }
                }
                Err(error) if has_expired(&error) => return Err(watch.gap(watch.said("watch", &error))),
                Err(error) => {
                    last = watch.said("watch", &error);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        Ok(())
    }

    /// The Service leads to the same pods as before. Its slices follow the pods, a little later.
    async fn served_change(&self, served: &Served, after: &Look, deadline: Instant) -> Option<PodsChange> {
        let watch = &self.watch;
        let mine: Vec<&PodFacts> = after.pods.iter().filter(|pod| served.is_for(pod)).collect();
        let patience = deadline.min(Instant::now() + Duration::from_secs(3));
        loop {
            let seen = served.look(&watch.pods.cluster, &watch.pods.namespace).await;
            let difference = match &seen {
                Ok(seen) => differences(&served.service, seen, &mine)?,
                Err(failure) => said(failure),
            };
            if Instant::now() >= patience {
                return Some(PodsChange {
                    name: Name::SetsDisagree,
                    subject: served.service.clone(),
                    detail: difference,
                });
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// The guide's four points, pod by pod: how many, their names, their states, their restarts.
fn compare(watch: &NamespaceWatch, after: &Look) -> (Vec<PodsChange>, Vec<PodRow>) {
    type Pair<'a> = (String, Option<&'a PodFacts>, Option<&'a PodFacts>);
    let mut pairs: BTreeMap<&str, Pair<'_>> = BTreeMap::new();
    for pod in watch.look.pods.iter().filter(|pod| !pod.has_ended()) {
        if let Some(target) = (watch.belongs)(pod) {
            pairs.insert(&pod.uid, (target, Some(pod), None));
        }
    }
    for pod in &after.pods {
        if let Some(pair) = pairs.get_mut(pod.uid.as_str()) {
            pair.2 = Some(pod);
        } else if let Some(target) = (watch.belongs)(pod).filter(|_| !pod.has_ended()) {
            pairs.insert(&pod.uid, (target, None, Some(pod)));
        }
    }
    let (mut found, mut table) = (Vec::new(), Vec::new());
    for (target, before, after) in pairs.into_values() {
        match (before, after) {
            (Some(before), Some(after)) => found.extend(changes(before, after)),
            (Some(pod), None) => found.push(simple(Name::PodRemoved, pod, "it is not in the list after the window")),
            (None, Some(pod)) => found.push(simple(Name::PodAdded, pod, "it was not there at the preflight")),
            (None, None) => {}
        }
        let name = before.or(after).map(|pod| pod.name.clone()).unwrap_or_default();
        table.push(PodRow { target, pod: name, before: before.map(PodFacts::seen), after: after.map(PodFacts::seen) });
    }
    table.sort_by(|a, b| (&a.target, &a.pod).cmp(&(&b.target, &b.pod)));
    (found, table)
}

fn simple(name: Name, pod: &PodFacts, detail: &str) -> PodsChange {
    PodsChange { name, subject: pod.name.clone(), detail: detail.to_owned() }
}

fn same(a: &PodsChange, b: &PodsChange) -> bool {
    a.name == b.name && a.subject == b.subject
}

/// Calls again until it works, or until the deadline.
async fn retried<T, F: Future<Output = Result<T, kube::Error>>>(
    deadline: Instant,
    call: impl Fn() -> F,
) -> Result<T, kube::Error> {
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
