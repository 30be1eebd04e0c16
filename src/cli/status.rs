//! `status`: open windows, locks and runs.

use super::args::Context;
use super::failures::Failures;
use super::output::{Body, LockReport, NoteReport, Report, Status};
use crate::catalog::{self, Catalog, LockStatus, Options, lock_status};
use crate::note::{GuardReport, GuardStatus, LocalNotes, NotedPod};
use crate::point::{Pod, PodState};
use crate::recovery::{self, Found, Leases, Standing};
use crate::restore_point::create::state_failure;
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::prepare::run_report;
use crate::restore_point::report::chain;
use crate::settings::Needs;
use crate::wall;
use chrono::Utc;

/// `status`
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Looks at local notes first; a configuration that is wrong does not hide them.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let Args {} = args;
    let loaded = context.load(Needs::NOTHING, |_| {});
    let mut status = Status::default();
    status.warnings.extend(loaded.problems.iter().map(|p| p.to_string()).chain(loaded.warnings));
    let mut failures = Failures::none();
    let catalog = match Catalog::open(loaded.settings.catalog_url.as_str(), Options::default()).await {
        Ok(catalog) => Some(catalog),
        Err(error) => {
            status.warnings.push(format!("the catalog is not looked at: {}", chain(&error)));
            None
        }
    };
    match LocalNotes::open(&loaded.settings.state_dir) {
        Ok(notes) => {
            let (found, unread) = recovery::find(Some(&notes), catalog.as_ref()).await;
            status.notes = found.iter().map(note).collect();
            unread.into_iter().for_each(|failure| failures.push(failure));
        }
        Err(error) => failures.push(state_failure(&error)),
    }
    let leases = Leases::look(&loaded.settings).await;
    let (elsewhere, damaged) = leases.found();
    let new = elsewhere.iter().filter(|found| status.notes.iter().all(|known| known.id != found.note.id)).map(note);
    status.notes.extend(new.collect::<Vec<_>>());
    damaged.into_iter().for_each(|failure| failures.push(failure));
    status.warnings.extend(leases.unread.iter().map(|failure| failure.report().message));
    status.locks.extend(leases.holders().map(|(name, holder, until)| LockReport {
        name,
        holder,
        until: wall::rfc3339(until),
    }));
    if let Some(catalog) = &catalog {
        match lock_status(catalog).await {
            Ok(lock) => status.locks.extend(lock.filter(|l| !l.expired(Utc::now())).map(lock_report)),
            Err(error) => failures.push(catalog_failure(&error)),
        }
        match catalog::list(catalog).await {
            Ok((points, _)) => status.runs = points.iter().filter_map(run_report).collect(),
            Err(error) => status.warnings.push(format!("the points are not looked at: {}", chain(&error))),
        }
    }
    Ok(Report { body: Body::Status(status), failures })
}

fn note(found: &Found) -> NoteReport {
    let proven = |guard: &GuardReport| matches!(guard.status, GuardStatus::Released | GuardStatus::StoodDown);
    let open = found.guard.as_ref().is_some_and(proven);
    let pod = |pod: &NotedPod| Pod {
        name: pod.name.clone(),
        target: pod.target.clone(),
        address: pod.endpoint.address.clone(),
        state: match found.standing {
            _ if open => PodState::Open,
            Standing::Guarded => PodState::Paused,
            _ => PodState::MaybePaused,
        },
    };
    NoteReport {
        id: found.note.id.clone(),
        owner_pid: Some(found.note.owner.pid),
        guard_pid: found.guard.as_ref().map(|g| g.process.pid),
        deadline: wall::rfc3339(found.guard.as_ref().and_then(|g| g.until).unwrap_or(found.note.deadline)),
        pods: found.note.pods.iter().map(pod).collect(),
    }
}

fn lock_report(lock: LockStatus) -> LockReport {
    LockReport {
        name: "pause".to_owned(),
        holder: format!("process {} on {}", lock.owner.pid, lock.owner.host),
        until: wall::rfc3339(lock.until),
    }
}
