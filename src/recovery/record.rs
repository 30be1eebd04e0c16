//! Closing what a dead owner left open: its window is recorded as void, and its note removed.

use super::Found;
use crate::catalog::{self, Catalog, CatalogError, CatalogErrorKind, Phase, PointEvent, PointId, PointLog};
use crate::kubernetes;
use crate::note::{GuardReport, GuardStatus, Kind, LocalNotes, OpenWindowNote};
use crate::point::{Attempt, ErrorReport, Pod, Verdict, Violation};
use crate::restore_point::after::violation;
use crate::restore_point::report;
use crate::wall;
use crate::window::violation::Name;

/// Records the window of a note whose pods are proven open as void, and removes every copy of the note. Returns what a
/// person should know; where the catalog cannot be reached, the note stays for the next try.
pub async fn close(notes: &LocalNotes, found: &Found, catalog: Option<&Catalog>, pods: &[Pod]) -> Vec<String> {
    let note = &found.note;
    let opened = match catalog {
        Some(catalog) => Some(Ok(catalog.clone())),
        None => match &note.catalog {
            Some(url) => Some(Catalog::open(url, catalog::Options::default()).await),
            None => None,
        },
    };
    let mut warnings = Vec::new();
    // A pause has no verdict that would have to come first. That of a guard elsewhere is the guard's to give back.
    if note.kind == Kind::Pause && (found.local || found.is_dead()) {
        warnings.extend(kubernetes::give_back(&note.leases, &note.id).await);
    }
    if let Some(opened) = opened {
        let guard = notes.guard(note).or_else(|| found.guard.clone());
        let recorded = match opened {
            Ok(catalog) => record_in(&catalog, note, guard.as_ref(), pods).await,
            Err(error) => Err(error),
        };
        if let Err(error) = recorded {
            let stays = is_passing(&error);
            let then = if stays { "the note stays, `stillpoint recover` tries again" } else { "the note is removed" };
            warnings.push(format!(
                "the pods of note {} are open, but its window could not be recorded as void ({then}): {}",
                note.id,
                report::chain(&error)
            ));
            if stays {
                return warnings;
            }
        }
    }
    warnings.extend(notes.remove(&note.id).err().map(|error| report::chain(&error)));
    warnings
}

async fn record_in(
    catalog: &Catalog,
    note: &OpenWindowNote,
    guard: Option<&GuardReport>,
    pods: &[Pod],
) -> Result<(), CatalogError> {
    let recorded = match record_void(catalog, note, guard, pods).await {
        // Somebody else has just recorded it, and it is looked at again.
        Err(error) if error.kind == CatalogErrorKind::Conflict => record_void(catalog, note, guard, pods).await,
        other => other,
    };
    // The copy goes first: the local one says, with its guard's report, that nothing is left to release.
    if recorded.as_ref().err().is_none_or(|error| !is_passing(error)) {
        catalog::notes::delete(catalog, &note.id).await?;
    }
    recorded
}

/// Whether a later try can help. A log that is damaged, or of a newer version, stays so: it is not good either way.
fn is_passing(error: &CatalogError) -> bool {
    use CatalogErrorKind as K;
    !matches!(error.kind, K::Damaged { .. } | K::NewerVersion { .. } | K::NotAllowed | K::BadId | K::BadUrl)
}

/// Ends the log of a point whose owner died before it could. A log that has a verdict already stays as it is.
async fn record_void(
    catalog: &Catalog,
    note: &OpenWindowNote,
    guard: Option<&GuardReport>,
    pods: &[Pod],
) -> Result<(), CatalogError> {
    if note.kind == Kind::Pause {
        return Ok(());
    }
    let id = PointId::parse(&note.id)?;
    let (mut log, loaded) = match PointLog::resume(catalog, &id).await {
        Err(CatalogError { kind: CatalogErrorKind::NotFound { .. }, .. }) => return Ok(()),
        other => other?,
    };
    if log.phase() != Phase::Opened {
        return Ok(());
    }
    let mut attempts = loaded.point.attempts;
    let started = wall::rfc3339(note.opened);
    // The owner may have died between storing that its window was void and removing the note.
    if attempts.iter().all(|attempt| attempt.started != started) {
        attempts.push(Attempt { started, verdict: Verdict::Void, violations: vec![why_void(guard)] });
    }
    let error = ErrorReport {
        name: "void".to_owned(),
        message: "the process that made the window died".to_owned(),
        hint: "Make a new restore point: `stillpoint create`.".to_owned(),
    };
    log.append(PointEvent::Void { attempts, pods: pods.to_vec(), warnings: Vec::new(), error: Some(error) }).await
}

fn why_void(guard: Option<&GuardReport>) -> Violation {
    let fired = |guard: &&GuardReport| matches!(guard.status, GuardStatus::Releasing | GuardStatus::Released);
    match guard.filter(fired) {
        Some(guard) => violation(Name::GuardFired, "-", guard.reason.clone().unwrap_or_default()),
        None => violation(Name::Cancelled, "-", "the process that made the window died before it stored a verdict"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_pass_keeps_a_note_whose_pods_are_open() {
        let error = |kind| CatalogError::new(kind, "m", "h");
        assert!(is_passing(&error(CatalogErrorKind::Unreachable)));
        assert!(is_passing(&error(CatalogErrorKind::Full)));
        assert!(!is_passing(&error(CatalogErrorKind::Damaged { object: "points/x/00000001.json".into() })));
    }
}
