//! `pause` and `unpause`: break glass. They need pods and the local state folder, no database and no catalog; where the
//! pods are Kubernetes', also their Leases, in which runs on other machines meet.

use crate::catalog::{self, Catalog};
use crate::failure::{Exit, Failure};
use crate::kubernetes::{HeldLeases, srv_names};
use crate::note::{Kind, LocalNotes, NotedPod};
use crate::point::Pod;
use crate::recovery::{self, Found, Leases, Opened, Opening, Recovered, Standing};
use crate::restore_point::attempt::{Attempt, Attempted};
use crate::restore_point::create::{Seen, state_failure};
use crate::restore_point::report;
use crate::settings::Settings;
use crate::target::{self, Prepared};
use crate::wall;
use crate::window::plan::Hold;
use crate::window::protocol::Outcome;
use chrono::Utc;
use futures::future::join_all;
use provider_api::Mono;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a command left behind.
#[derive(Debug, Default)]
pub struct Left {
    /// Every pod concerned.
    pub pods: Vec<Pod>,
    /// The pause's window, if one was tried.
    pub attempt: Option<crate::point::Attempt>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why it is not done.
    pub failures: Vec<Failure>,
}

/// Pauses every pod of the targets and makes the guard their owner, which releases them after `length`.
/// Ok only when all are proven paused; on anything else all are released again.
pub async fn pause(settings: &Settings, length: Duration, cancel: &CancellationToken, seen: &mut Seen<'_>) -> Left {
    let mut left = Left::default();
    let notes = match LocalNotes::open(&settings.state_dir) {
        Ok(notes) => notes,
        Err(error) => return Left { failures: vec![state_failure(&error)], ..left },
    };
    // Notes first, here and in Leases: they say more than a lock that is held, or a pod that is paused.
    let (found, damaged) = recovery::find(Some(&notes), None).await;
    left.failures.extend(damaged);
    left.failures.extend(found.iter().map(recovery::refusal));
    left.failures.extend(Leases::look(settings).await.refusals(&found));
    let _owner = match notes.own() {
        Ok(owner) => owner,
        Err(error) if left.failures.is_empty() => return Left { failures: vec![state_failure(&error)], ..left },
        Err(_) => return left,
    };
    if !left.failures.is_empty() {
        return left;
    }
    let Prepared { ready, pods, watched: _, warnings, failures } = target::prepare(settings).await;
    left.pods = pods;
    left.warnings = warnings;
    left.failures = failures;
    srv_names::advise(settings, &mut left.failures).await;
    if !left.failures.is_empty() {
        return left;
    }
    let leases = match HeldLeases::take(settings, &catalog::nonce()).await {
        Ok(leases) => leases,
        Err(failure) => return Left { failures: vec![failure], ..left },
    };
    let id = format!("pause-{}", crate::catalog::PointId::manual(Utc::now()).as_str().trim_start_matches("manual-"));
    let started = Mono::now();
    let attempt = Attempt {
        settings,
        id: &id,
        kind: Kind::Pause,
        hold: Hold::HandOver,
        pause_for: Some(length),
        started,
        pods: &ready,
        // Nothing is claimed of a pause but that the pods are closed.
        watched: &[],
        notes: &notes,
        catalog: None,
        leases: Some(&leases),
        max_outage: settings.window.max_outage,
    };
    let Attempted { outcome, pods, watching: _, failures } = attempt.run(seen, cancel).await;
    left.pods = pods;
    left.failures = failures;
    if outcome.handed_over {
        // The guard gives the Leases back when it has released.
        return left;
    }
    left.attempt = Some(report::attempt(&outcome, &ready, started, Vec::new()));
    if left.failures.is_empty() {
        left.failures.push(not_together(&outcome));
        left.warnings.extend(attempt.close().await.err());
    }
    // One that still has its note is kept: a guard goes on.
    if let Err(error) = leases.release().await {
        left.warnings.push(format!("a Lease could not be given back and goes stale: {error}"));
    }
    left
}

fn not_together(outcome: &Outcome) -> Failure {
    let reasons: Vec<String> = outcome.violations.iter().map(|v| format!("{}: {}", v.name, v.detail)).collect();
    let message = format!("the pods could not be paused together: {}", reasons.join("; "));
    let hint = "All pods were released again. docs/runbook.md says what each violation means.";
    Failure::new(Exit::Void, "void", message, hint)
}

/// Releases what notes say may be paused: a pause's guard is asked, a dead owner's pods are released, a living window is
/// respected unless `force`. Without any note, releases the pods of the settings' targets.
/// With `addresses_only` the targets are what a person named: exactly these pods are released, whatever notes say.
pub async fn unpause(settings: &Settings, addresses_only: bool, force: bool) -> Left {
    let notes = match LocalNotes::open(&settings.state_dir) {
        Ok(notes) => notes,
        Err(error) => {
            // Nothing may keep pods from being opened.
            let mut left = unpause_targets(settings, true).await;
            left.warnings.push(report::chain(&error));
            return left;
        }
    };
    let (mut found, mut damaged) = recovery::find(Some(&notes), None).await;
    let leases = Leases::look(settings).await;
    let (elsewhere, unreadable) = leases.found();
    found.extend(
        elsewhere.into_iter().filter(|f| found.iter().all(|known| known.note.id != f.note.id)).collect::<Vec<_>>(),
    );
    damaged.extend(unreadable.into_iter().chain(leases.unread.iter().cloned()));
    let mut left = Left { warnings: damaged.into_iter().map(|f| f.message).collect(), ..Left::default() };
    let named = if addresses_only { named(settings).await } else { Vec::new() };
    let concerned: Vec<&Found> = found.iter().filter(|f| !addresses_only || concerns(f, &named)).collect();
    let living: Vec<&Found> = concerned.iter().copied().filter(|f| f.standing == Standing::Living).collect();
    if !living.is_empty() && !force {
        left.failures.extend(living.into_iter().map(living_refusal));
        return left;
    }
    for one in living {
        stop_living(one, &mut left.warnings);
    }
    if addresses_only {
        let settled = concerned.iter().all(|f| f.standing == Standing::Released);
        left.take(unpause_targets(settings, settled).await);
    } else if found.is_empty() {
        left.take(unpause_targets(settings, true).await);
    } else {
        release_found(settings, &notes, &found, &mut left).await;
        // That of a living window is its owner's to give back, and that of a pause elsewhere its guard's.
        let ended = found.iter().filter(|f| f.local && f.standing == Standing::Guarded).map(|f| f.note.id.clone());
        let all_open = left.failures.iter().all(|failure| failure.exit != Exit::MaybePaused);
        for id in recovery::opened(&found, &left.failures).into_iter().chain(ended.filter(|_| all_open)) {
            left.warnings.extend(leases.free(&id).await);
        }
    }
    left
}

/// Where the targets' pods are, as written and as resolved.
async fn named(settings: &Settings) -> Vec<String> {
    let written = settings.targets.iter().flat_map(|target| target.addresses().iter().cloned());
    let resolved = target::resolve_settings(settings).await.unwrap_or_default();
    written.chain(resolved.into_iter().map(|pod| pod.address)).collect()
}

/// Whether a note is about a pod that was named.
fn concerns(found: &Found, named: &[String]) -> bool {
    found.note.pods.iter().any(|pod| named.contains(&pod.name) || named.contains(&pod.endpoint.address))
}

fn living_refusal(found: &Found) -> Failure {
    let mut failure = recovery::refusal(found);
    failure.hint = "Wait until it is done, or void it with `stillpoint unpause --force`.".to_owned();
    failure
}

/// An Unpause alone would not void a window: one that comes before the Pause that it is to undo leaves no trace.
fn stop_living(found: &Found, warnings: &mut Vec<String>) {
    if !recovery::ask_owner(found) {
        let owner = &found.note.owner;
        warnings.push(format!(
            "process {} on {} cannot be told from here; it finds its pods open, or pauses them again if it has only begun",
            owner.pid, owner.host
        ));
    }
}

/// Follows every note. That of a living window is its owner's to close; the pods are opened all the same.
async fn release_found(settings: &Settings, notes: &LocalNotes, found: &[Found], left: &mut Left) {
    let patience = settings.window.release_wait;
    let (living, others): (Vec<&Found>, Vec<&Found>) = found.iter().partition(|f| f.standing == Standing::Living);
    for one in others.iter().filter(|f| f.standing == Standing::Guarded) {
        if !recovery::ask_guard(one) && !one.local {
            left.warnings.push(format!(
                "the guard of note {}, on {}, cannot be told from here: it unpauses once more by {}, and keeps its Lease until then",
                one.note.id,
                one.note.owner.host,
                wall::rfc3339(one.note.deadline)
            ));
        }
    }
    let (forced, recovered) = tokio::join!(
        join_all(living.iter().map(|one| recovery::release(notes, one, patience))),
        recovery::release_all(notes, None, &others, patience)
    );
    left.absorb(recovered);
    for opened in forced {
        left.open(opened);
    }
}

impl Left {
    fn take(&mut self, more: Left) {
        self.pods.extend(more.pods);
        self.warnings.extend(more.warnings);
        self.failures.extend(more.failures);
    }

    fn absorb(&mut self, recovered: Recovered) {
        let Recovered { pods, warnings, failures } = recovered;
        self.take(Left { pods, warnings, failures, attempt: None });
    }

    fn open(&mut self, opened: Opened) {
        self.failures.extend(opened.failure());
        self.warnings.extend(opened.troubles);
        self.pods.extend(opened.pods);
    }
}

/// Releases what dead runs left paused, of every note that can be found. Living windows stay untouched.
/// The catalog is looked at where it can be reached; releasing does not wait for it.
/// A Lease whose holder cannot be judged is watched until it is stale, or `cancel` is.
pub async fn recover(settings: &Settings, cancel: &CancellationToken) -> Left {
    let mut left = Left::default();
    let patience = settings.window.release_wait;
    let (notes, mut unread) = match LocalNotes::open(&settings.state_dir) {
        Ok(notes) => (notes, Vec::new()),
        Err(error) => (LocalNotes::at(&settings.state_dir), vec![state_failure(&error)]),
    };
    let local = if unread.is_empty() {
        let (found, damaged) = recovery::find(Some(&notes), None).await;
        left.failures.extend(damaged);
        found
    } else {
        Vec::new()
    };
    left.absorb(recovery::release_all(&notes, None, &dead(&local), patience).await);
    let opened = recovery::opened(&local, &left.failures);
    let settled = recovery::settle_leases(settings, &notes, &local, &opened, cancel).await;
    left.absorb(settled.recovered);
    let mut gone = settled.gone;
    let not_done = settled.living.into_iter().chain(settled.unread);
    left.warnings.extend(not_done.map(|failure| failure.report().message));
    match Catalog::open(settings.catalog_url.as_str(), catalog::Options::default()).await {
        Ok(catalog) => {
            let (mut found, damaged) = recovery::find(None, Some(&catalog)).await;
            unread.extend(damaged);
            // A note that was local is done with, whatever became of its copy.
            found.retain(|f| local.iter().all(|known| known.note.id != f.note.id));
            left.absorb(recovery::release_all(&notes, Some(&catalog), &dead(&found), patience).await);
            // Whoever has the folder now works; those who had it before are gone.
            if let Ok(free) = notes.lock() {
                gone.add(free.former());
            }
            left.warnings.extend(recovery::settle_catalog(settings, &notes, &gone, None).await);
        }
        Err(error) => left.warnings.push(format!("the catalog is not looked at: {}", report::chain(&error))),
    }
    if left.pods.is_empty() {
        left.failures.extend(unread);
    } else {
        // Something was released: "refused before anything was touched" would not be true.
        left.warnings.extend(unread.into_iter().map(|failure| failure.message));
    }
    left
}

fn dead(found: &[Found]) -> Vec<&Found> {
    found.iter().filter(|f| f.is_dead()).collect()
}

async fn unpause_targets(settings: &Settings, settled: bool) -> Left {
    let mut left = Left::default();
    let pods = match target::resolve_settings(settings).await {
        Ok(pods) => pods,
        Err(failures) => return Left { failures, ..left },
    };
    let noted = |pod: target::Pod| {
        let target::Pod { name, target, address: _, endpoint, identity } = pod;
        NotedPod { name, target, can_check: true, endpoint, identity }
    };
    let pods: Vec<NotedPod> = pods.into_iter().map(noted).collect();
    let window = &settings.window;
    left.open(
        recovery::open(&Opening {
            pods: &pods,
            call_deadline: window.call_deadline(),
            tcp_user_timeout: window.tcp_user_timeout,
            settled,
            left_alone: &[],
            patience: window.release_wait,
        })
        .await,
    );
    left
}
