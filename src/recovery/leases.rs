//! Notes and locks in the targets' Leases: what runs on other machines left, seen through the cluster.
//!
//! A holder that cannot be judged from here is watched. It has written its Lease meanwhile: it lives. The Lease stayed
//! the same for its bound, on our own clock: nobody can be at work under it any more.

use super::{Found, Gone, Recovered, Standing, damaged_note, refusal, release_all, standing};
use crate::failure::Failure;
use crate::kubernetes::{Clusters, LeasePlace, held_by, places};
use crate::note::lease::{self, Look, Said, Unchanged};
use crate::note::{Kind, Life, LocalNotes, OpenWindowNote};
use crate::settings::Settings;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use provider_api::Mono;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks at a Lease.
const LOOK: Duration = Duration::from_secs(1);
/// How long a cluster may be away before watching is given up.
const AWAY: Duration = Duration::from_secs(60);

/// The Leases of the settings' Kubernetes targets, as they were read.
#[derive(Debug, Default)]
pub struct Leases {
    read: Vec<Read>,
    /// Leases that could not be read.
    pub unread: Vec<Failure>,
}

#[derive(Clone, Debug)]
struct Read {
    place: LeasePlace,
    lease: Lease,
    said: Said,
    /// Seen unchanged for its bound.
    stale: bool,
}

/// What became of the Leases that somebody held.
#[derive(Debug, Default)]
pub struct Settled {
    /// What was released.
    pub recovered: Recovered,
    /// Who lives, each a refusal.
    pub living: Vec<Failure>,
    /// Leases that could not be read.
    pub unread: Vec<Failure>,
    /// Whose Leases were seen unchanged for their bound.
    pub gone: Gone,
}

/// What a note means that is known from a Lease alone. A pause's owner is its guard, of which a Lease knows nothing: that
/// the process is dead that began it says nothing. Its guard ends it by its deadline.
fn standing_of(note: &OpenWindowNote) -> Standing {
    match standing(note, None) {
        _ if note.kind == Kind::Pause && !note.deadline_has_passed() => Standing::Guarded,
        other => other,
    }
}

impl Leases {
    /// Reads them all. Nothing, where no target is Kubernetes'.
    pub async fn look(settings: &Settings) -> Leases {
        let (places, unread) = places(settings, &Clusters::default()).await;
        let mut leases = Leases { read: Vec::new(), unread };
        // All at once: a cluster that is away must not hold up opening pods for longer than one answer may take.
        let answers = join_all(places.iter().map(LeasePlace::read)).await;
        for (place, answer) in places.iter().zip(answers) {
            match answer {
                Ok(Some(lease)) => {
                    let (place, said) = (place.clone(), lease::read(&lease));
                    leases.read.push(Read { place, lease, said, stale: false });
                }
                Ok(None) => {}
                Err(failure) => leases.unread.push(failure),
            }
        }
        leases
    }

    /// Every note, each once, and those that cannot be read.
    pub fn found(&self) -> (Vec<Found>, Vec<Failure>) {
        let (mut found, mut failures) = (Vec::<Found>::new(), Vec::new());
        for read in &self.read {
            match &read.said.note {
                None => {}
                Some(Err(why)) => failures.push(damaged_note(&format!("the note in {}: {why}", read.place.told()))),
                Some(Ok(note)) => {
                    let standing = if read.stale { Standing::Dead } else { standing_of(note) };
                    match found.iter_mut().find(|known| known.note.id == note.id) {
                        // A note too long for one Lease is spread over those of its targets.
                        Some(known) => {
                            let more = note.pods.iter().filter(|pod| !known.note.pods.contains(pod)).cloned();
                            let more: Vec<_> = more.collect();
                            known.note.pods.extend(more);
                        }
                        None => found.push(Found { note: note.clone(), guard: None, local: false, standing }),
                    }
                }
            }
        }
        (found, failures)
    }

    /// Why no window may be opened now: notes of others, beside those that are told of already, and locks that cannot be
    /// taken.
    pub fn refusals(&self, told: &[Found]) -> Vec<Failure> {
        let (found, damaged) = self.found();
        let untold = |found: &&Found| told.iter().all(|told| told.note.id != found.note.id);
        let notes = found.iter().filter(|found| !found.is_own()).filter(untold).map(refusal);
        let locks = self.read.iter().filter(|read| read.said.note.is_none() && !read.said.is_free());
        let locks = locks.map(|read| held_by(&read.place, &read.said));
        notes.chain(damaged).chain(locks).collect()
    }

    /// Every Lease that somebody holds: its name, who, and until when by the holder's own clock.
    pub fn holders(&self) -> impl Iterator<Item = (String, String, DateTime<Utc>)> + '_ {
        let told = |read: &Read| {
            let holder = read.said.holder.as_ref()?;
            Some((read.place.told(), holder.told(), read.said.until))
        };
        self.read.iter().filter_map(told)
    }

    /// Gives back the Leases with this note, whose pods are open. One that was written since is left alone.
    pub async fn free(&self, id: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        let has = |read: &&Read| matches!(&read.said.note, Some(Ok(note)) if note.id == id);
        for read in self.read.iter().filter(has) {
            if let Err(error) = read.place.write(Some(read.lease.clone()), lease::free).await {
                warnings.push(format!("{} could not be given back and goes stale: {error:?}", read.place.told()));
            }
        }
        warnings
    }

    /// Watches the Leases whose holders cannot be judged from here, until each has changed or is stale. Of `known` notes
    /// more is known than their Leases say.
    async fn watch(&mut self, known: &[String], cancel: &CancellationToken) -> Vec<Failure> {
        let mut living = Vec::new();
        let unjudged = |read: &&mut Read| match &read.said.note {
            Some(Ok(note)) if known.contains(&note.id) => false,
            Some(Ok(note)) => {
                matches!(standing_of(note), Standing::Living | Standing::Guarded) && note.owner.life() == Life::Unknown
            }
            Some(Err(_)) => false,
            None => read.said.holder.as_ref().is_some_and(|holder| holder.life() == Life::Unknown),
        };
        for read in self.read.iter_mut().filter(unjudged) {
            let started = Mono::now();
            let seen = Unchanged::new(&read.said, started);
            let who = read.said.holder.as_ref().map_or_else(|| "somebody".to_owned(), |holder| holder.told());
            tracing::warn!(
                "{} is held by {who}, who cannot be judged from here: watching it for up to {} s",
                read.place.told(),
                read.said.bound().as_secs()
            );
            loop {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = cancel.cancelled() => return living,
                }
                let now = match read.place.read().await {
                    Ok(now) => now,
                    Err(failure) if Mono::now().since(started) > read.said.bound() + AWAY => {
                        living.push(failure);
                        break;
                    }
                    Err(_) => continue,
                };
                match seen.look(now.as_ref().map(lease::read).as_ref(), Mono::now()) {
                    Look::Waiting(_) => {}
                    Look::Stale => {
                        read.stale = true;
                        break;
                    }
                    Look::Changed => {
                        living.push(held_by(&read.place, &read.said));
                        break;
                    }
                }
            }
        }
        living
    }
}

/// Releases what dead runs left, by the notes in the targets' Leases, and gives those Leases back. `local` are the notes
/// that lie here and were judged already; the pods of those in `opened` are open. Holders that cannot be judged are
/// watched first.
pub async fn settle(
    settings: &Settings,
    notes: &LocalNotes,
    local: &[Found],
    opened: &[String],
    cancel: &CancellationToken,
) -> Settled {
    let mut leases = Leases::look(settings).await;
    let known: Vec<String> = local.iter().map(|found| found.note.id.clone()).chain(opened.to_vec()).collect();
    let mut settled = Settled { living: leases.watch(&known, cancel).await, ..Settled::default() };
    settled.unread.append(&mut leases.unread);
    for read in leases.read.iter().filter(|read| read.stale) {
        let noted = read.said.note.iter().flatten().map(|note| &note.owner);
        settled.gone.add(read.said.holder.iter().filter_map(|holder| holder.process.as_ref()).chain(noted));
    }
    let (found, damaged) = leases.found();
    settled.recovered.failures.extend(damaged);
    for one in &found {
        let opened = if known.contains(&one.note.id) {
            opened.contains(&one.note.id)
        } else if one.is_dead() {
            let mut recovered = release_all(notes, None, &[one], settings.window.release_wait).await;
            let opened = recovered.failures.is_empty();
            settled.recovered.pods.append(&mut recovered.pods);
            settled.recovered.warnings.append(&mut recovered.warnings);
            settled.recovered.failures.append(&mut recovered.failures);
            opened
        } else {
            if !one.is_own() && settled.living.is_empty() {
                settled.living.push(refusal(one));
            }
            false
        };
        if opened {
            settled.recovered.warnings.extend(leases.free(&one.note.id).await);
        }
    }
    // A lock alone leaves nothing paused: it is only given back.
    let left = |read: &&Read| {
        let dead = read.said.holder.as_ref().is_some_and(|holder| holder.life() == Life::Dead);
        read.said.note.is_none() && (read.stale || dead)
    };
    for read in leases.read.iter().filter(left) {
        // Whoever took it meanwhile has it now.
        let _ = read.place.write(Some(read.lease.clone()), lease::free).await;
    }
    settled
}
