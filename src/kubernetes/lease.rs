//! Leases over the network: taken by create or by naming the version that was read, so that of two that want one at
//! once one gets it; read again after every doubt, so that a lost answer is neither a loss nor a second try.

use super::{Cluster, Clusters, refusal};
use crate::failure::{Exit, Failure};
use crate::note::lease::{self, Holder, Said};
use crate::note::{Life, OpenWindowNote, Process};
use crate::settings::{ClusterReference, PodSource, Settings};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PostParams;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::Mutex;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a write is tried again whose version somebody else's harmless write made old.
const TRIES: usize = 5;

/// Where the Lease of one target is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Which cluster.
    pub cluster: Cluster,
    /// The target's namespace.
    pub namespace: String,
    /// Derived from the target's release.
    pub name: String,
    /// The target's name in the settings.
    pub target: String,
}

/// Where a Lease is, as a note has it. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Which cluster, and as whom.
    pub cluster: ClusterReference,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Gives back the Leases that hold the note of this id, and no others. A repeat, or another who does the same, changes
/// nothing. Returns what went wrong: such a Lease goes stale.
pub async fn give_back(references: &[Reference], id: &str) -> Vec<String> {
    let clusters = Clusters::default();
    let mut troubles = Vec::new();
    for Reference { cluster, namespace, name } in references {
        let place = match clusters.get(cluster).await {
            Ok(cluster) => Place { cluster, namespace: namespace.clone(), name: name.clone(), target: String::new() },
            Err(failure) => {
                troubles.push(format!("Lease {namespace}/{name} goes stale: {}", failure.report().message));
                continue;
            }
        };
        let told = place.told();
        match place.read().await {
            Ok(Some(held)) if matches!(lease::read(&held).note, Some(Ok(note)) if note.id == id) => {
                // Whoever changed it meanwhile has it now.
                if let Err(NotWritten::Failed(failure)) = place.write(Some(held), lease::free).await {
                    troubles.push(format!("{told} goes stale: {}", failure.report().message));
                }
            }
            Ok(_) => {}
            Err(failure) => troubles.push(format!("{told} goes stale: {}", failure.report().message)),
        }
    }
    troubles
}

/// The Lease of every Kubernetes target, each once, in an order that all runs share; and the clusters that cannot be
/// spoken to.
pub async fn places(settings: &Settings, clusters: &Clusters) -> (Vec<Place>, Vec<Failure>) {
    let (mut places, mut failures) = (Vec::<Place>::new(), Vec::new());
    for target in &settings.targets {
        let PodSource::Kubernetes(release) = &target.pods else { continue };
        match clusters.get(&release.cluster).await {
            Ok(cluster) => places.push(Place {
                cluster,
                namespace: release.namespace.clone(),
                name: lease::name(&release.release),
                target: target.name.clone(),
            }),
            Err(failure) if failures.contains(&failure) => {}
            Err(failure) => failures.push(failure),
        }
    }
    let key = |p: &Place| (p.cluster.server.clone(), p.namespace.clone(), p.name.clone());
    places.sort_by_key(key);
    places.dedup_by_key(|p| key(p));
    (places, failures)
}

/// Why a Lease could not be written.
#[derive(Debug)]
pub enum NotWritten {
    /// Somebody else has written it meanwhile.
    Lost(Option<Box<Said>>),
    /// The server said no, or nothing.
    Failed(Failure),
}

impl Place {
    /// For people.
    pub fn told(&self) -> String {
        format!("Lease {}/{}", self.namespace, self.name)
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    fn failed(&self, verb: &str, error: &kube::Error) -> Failure {
        refusal(&self.cluster.server, &format!("{verb} {}", self.told()), error)
    }

    fn silent(&self, verb: &str) -> Failure {
        let message = format!("{} did not answer within 5 s when asked to {verb} {}", self.cluster.server, self.told());
        let hint = "Check that the API server can be reached from here: `kubectl cluster-info`.";
        Failure::new(Exit::Refused, "kubernetes_unreachable", message, hint)
    }

    /// `None`: there is none.
    pub async fn read(&self) -> Result<Option<Lease>, Failure> {
        match tokio::time::timeout(PATIENCE, self.api().get_opt(&self.name)).await {
            Ok(answer) => answer.map_err(|error| self.failed("get", &error)),
            Err(_) => Err(self.silent("get")),
        }
    }

    /// Writes a Lease that was read, changed, or the first one. Success means that it says so now. What others write into
    /// it, beside holder and note, is kept.
    pub async fn write(&self, read: Option<Lease>, change: impl Fn(&mut Lease)) -> Result<Lease, NotWritten> {
        let mut current = read;
        let mut failure = self.silent("update");
        for _ in 0..TRIES {
            let mut next = current.clone().unwrap_or_default();
            change(&mut next);
            match self.send(&next).await {
                Ok(written) => return Ok(written),
                Err(why) => failure = why,
            }
            let now = self.read().await.map_err(NotWritten::Failed)?;
            if now.as_ref().is_some_and(|now| is_written(now, &next)) {
                return now.ok_or(NotWritten::Lost(None));
            }
            if now.as_ref().map(meaning) != current.as_ref().map(meaning) {
                return Err(NotWritten::Lost(now.map(|now| Box::new(lease::read(&now)))));
            }
            if failure.name == "kubernetes_forbidden" {
                break;
            }
            current = now;
        }
        Err(NotWritten::Failed(failure))
    }

    async fn send(&self, next: &Lease) -> Result<Lease, Failure> {
        let (api, how) = (self.api(), PostParams::default());
        let mut next = next.clone();
        next.metadata.name = Some(self.name.clone());
        let (verb, answer) = if next.metadata.resource_version.is_some() {
            ("update", tokio::time::timeout(PATIENCE, api.replace(&self.name, &how, &next)).await)
        } else {
            ("create", tokio::time::timeout(PATIENCE, api.create(&how, &next)).await)
        };
        match answer {
            Ok(answer) => answer.map_err(|error| self.failed(verb, &error)),
            Err(_) => Err(self.silent(verb)),
        }
    }
}

/// Whether a Lease says what was sent, by an answer that was lost. The first one has its UID from the server alone; its holder,
/// which no other run has, tells whose it is.
fn is_written(now: &Lease, sent: &Lease) -> bool {
    let ((uid, ..), mut wanted) = (meaning(now), meaning(sent));
    if sent.metadata.resource_version.is_none() {
        wanted.0 = uid;
    }
    meaning(now) == wanted
}

/// What counts of a Lease: which one, who holds it, since which transition, with which note.
fn meaning(lease: &Lease) -> (Option<&str>, Option<&str>, Option<i32>, Option<&str>) {
    let spec = lease.spec.as_ref();
    let note = lease.metadata.annotations.as_ref().and_then(|all| all.get(lease::NOTE));
    let uid = lease.metadata.uid.as_deref().filter(|_| lease.metadata.resource_version.is_some());
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).filter(|holder| !holder.is_empty());
    (uid, holder, spec.and_then(|spec| spec.lease_transitions), note.map(String::as_str))
}

/// The Leases of a run's targets, held. None, where no target is Kubernetes'. Dropping them gives nothing back: a Lease
/// goes stale.
#[derive(Debug)]
pub struct HeldLeases {
    references: Vec<Reference>,
    held: Mutex<Vec<(Place, Lease)>>,
}

impl HeldLeases {
    /// Takes every target's Lease, or none: those taken are given back when one is refused.
    pub async fn take(settings: &Settings, nonce: &str) -> Result<Self, Failure> {
        let (places, mut failures) = places(settings, &Clusters::default()).await;
        if let Some(failure) = failures.pop() {
            return Err(failure);
        }
        let reference = |place: &Place| Reference {
            cluster: place.cluster.reference.clone(),
            namespace: place.namespace.clone(),
            name: place.name.clone(),
        };
        let held = HeldLeases { references: places.iter().map(reference).collect(), held: Mutex::default() };
        if places.is_empty() {
            return Ok(held);
        }
        let this =
            Process::this().map_err(|e| Failure::new(Exit::Refused, "no_proc", e.to_string(), "Mount /proc."))?;
        let holder = Holder::new(this, nonce);
        let duration = settings.window.max_outage + settings.window.release_wait;
        for place in places {
            match take(&place, &holder, duration).await {
                Ok(lease) => held.held.lock().await.push((place, lease)),
                Err(failure) => {
                    // What is not given back goes stale.
                    let _ = held.release().await;
                    return Err(failure);
                }
            }
        }
        Ok(held)
    }

    /// Where they are.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Lays the note into every Lease.
    pub async fn write_note(&self, note: &OpenWindowNote) -> Result<(), String> {
        for (place, held) in self.held.lock().await.iter_mut() {
            let text = lease::text(note, &place.target)?;
            *held = write(place, held, |lease| lease::note(lease, text.clone())).await?;
        }
        Ok(())
    }

    /// Takes the note out of every Lease. A Lease that is not ours any more is left alone.
    pub async fn remove_note(&self) -> Result<(), String> {
        for (place, held) in self.held.lock().await.iter_mut() {
            if lease::read(held).note.is_some() {
                *held = write(place, held, lease::remove_note).await?;
            }
        }
        Ok(())
    }

    /// Gives every Lease back that holds no note.
    pub async fn release(&self) -> Result<(), String> {
        for (place, held) in self.held.lock().await.drain(..) {
            if lease::read(&held).note.is_none() {
                write(&place, &held, lease::free).await?;
            }
        }
        Ok(())
    }

    /// Reads every Lease again, after a window: which is not ours any more, and why. Each voids the window (LockLost).
    pub async fn lost(&self) -> Vec<(String, String)> {
        let mut lost = Vec::new();
        for (place, held) in self.held.lock().await.iter() {
            let why = match place.read().await {
                Ok(Some(now)) if meaning(&now) == meaning(held) => continue,
                Ok(Some(now)) => taken(&lease::read(&now)),
                Ok(None) => "it was deleted".to_owned(),
                Err(failure) => format!("it could not be read again: {}", failure.report().message),
            };
            lost.push((place.told(), why));
        }
        lost
    }
}

async fn write(place: &Place, held: &Lease, change: impl Fn(&mut Lease)) -> Result<Lease, String> {
    place.write(Some(held.clone()), change).await.map_err(|error| match error {
        NotWritten::Lost(Some(now)) => format!("{} is lost: {}", place.told(), taken(&now)),
        NotWritten::Lost(None) => format!("{} is lost: it was deleted", place.told()),
        NotWritten::Failed(failure) => failure.report().message,
    })
}

fn taken(now: &Said) -> String {
    match &now.holder {
        Some(holder) => format!("{} took it, or changed it", holder.told()),
        None => "it was given back by somebody else".to_owned(),
    }
}

async fn take(place: &Place, holder: &Holder, duration: Duration) -> Result<Lease, Failure> {
    let read = place.read().await?;
    if let Some(said) = read.as_ref().map(lease::read)
        && !is_free(&said)
    {
        return Err(held_by(place, &said));
    }
    let taken = place.write(read, |lease| lease::take(lease, holder, duration)).await;
    taken.map_err(|error| match error {
        NotWritten::Lost(Some(now)) => held_by(place, &now),
        NotWritten::Lost(None) => place.silent("create"),
        NotWritten::Failed(failure) => failure,
    })
}

/// Nobody holds it, or this process or a dead one does, without a note.
fn is_free(said: &Said) -> bool {
    let own = |holder: &Holder| holder.process.is_some() && holder.process == Process::this().ok();
    let free = |holder: &Holder| own(holder) || holder.life() == Life::Dead;
    said.holder.as_ref().is_none_or(free) && (said.note.is_none() || said.holder.as_ref().is_some_and(own))
}

impl Said {
    /// Whether a run may take it at once, or has it already.
    pub fn is_free(&self) -> bool {
        is_free(self)
    }
}

/// Why the Lease cannot be taken now.
pub fn held_by(place: &Place, said: &Said) -> Failure {
    let who = said.holder.as_ref().map_or_else(|| "nobody who can be named".to_owned(), Holder::told);
    let seconds = said.bound().as_secs();
    let message = format!("{} is held by {who}: another run is at work on that release", place.told());
    let hint = format!(
        "Wait for it; `stillpoint status` shows it. If it is dead, `stillpoint recover` releases its pods once the Lease has been seen unchanged for {seconds} s."
    );
    Failure::new(Exit::Refused, "lock_held", message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn lease(metadata: Value, holder: &str) -> Lease {
        let spec = json!({ "holderIdentity": holder, "leaseTransitions": 1 });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
    }

    #[test]
    fn the_first_lease_whose_answer_was_lost_is_known_by_its_holder_and_later_ones_also_by_their_uid() {
        let there = |uid: &str, holder: &str| lease(json!({ "uid": uid, "resourceVersion": "7" }), holder);
        let first = lease(json!({ "name": "stillpoint-bank" }), "us");
        assert!(is_written(&there("a", "us"), &first));
        assert!(!is_written(&there("a", "them"), &first));
        let later = there("a", "us");
        assert!(is_written(&there("a", "us"), &later));
        assert!(!is_written(&there("b", "us"), &later), "somebody deleted it and it was made anew");
    }
}
