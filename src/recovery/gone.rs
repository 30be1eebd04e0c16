//! What runs left in the catalog that are proven gone, and that no note tells of: the pause lock, which would keep the next
//! run waiting until its time is over, and points that were begun and never came to a window.

use crate::catalog::{
    self, By, Catalog, CatalogError, CatalogErrorKind, Loaded, LockStatus, Owner, PointEvent, PointLog,
};
use crate::note::{Life, LocalNotes, Process};
use crate::point::ErrorReport;
use crate::restore_point::attempt::{lock_owner, process};
use crate::restore_point::report;
use crate::settings::Settings;
use chrono::{DateTime, Utc};

/// Processes that are proven to do nothing more, though their ids may mean nothing here: they lived in another container
/// or on another machine.
#[derive(Clone, Debug, Default)]
pub struct Gone(Vec<Owner>);

impl Gone {
    /// Adds more of them. Of this process itself nothing is believed.
    pub fn add<'a>(&mut self, processes: impl IntoIterator<Item = &'a Process>) {
        let this = Process::this().ok();
        self.0.extend(processes.into_iter().filter(|one| Some(*one) != this.as_ref()).map(lock_owner));
    }

    fn has(&self, owner: &Owner) -> bool {
        match process(owner).life() {
            Life::Dead => true,
            // What can be seen counts more than what was concluded.
            Life::Alive => false,
            Life::Unknown => self.0.contains(owner),
        }
    }
}

/// Gives back the pause lock of a run that is gone, and ends as void the points that such a run began and left, among the
/// newest so many. A living run's are never touched; a repeat, and another who does the same, change nothing. Returns what
/// a person should know; a catalog that cannot be used says so elsewhere.
pub async fn settle_catalog(
    settings: &Settings,
    notes: &LocalNotes,
    gone: &Gone,
    newest: Option<usize>,
) -> Vec<String> {
    match Catalog::open(settings.catalog_url.as_str(), catalog::Options::default()).await {
        Ok(catalog) => settle(&catalog, notes, gone, newest).await,
        Err(_) => Vec::new(),
    }
}

async fn settle(catalog: &Catalog, notes: &LocalNotes, gone: &Gone, newest: Option<usize>) -> Vec<String> {
    let mut told = Vec::new();
    match catalog::release_of_gone(catalog, |owner| gone.has(owner)).await {
        Ok(Some(LockStatus { owner, .. })) => {
            told.push(format!(
                "the pause lock of process {} on {}, which is gone, is given back",
                owner.pid, owner.host
            ));
        }
        Ok(None) => {}
        // Whoever wants the lock, or lists notes, says what is wrong with the catalog.
        Err(_) => return told,
    }
    for loaded in catalog::newest_open(catalog, newest).await.unwrap_or_default() {
        told.extend(end_left(catalog, notes, gone, &loaded).await);
    }
    told
}

/// Ends a point that nobody goes on with. One that a note tells of is left to who releases by the note.
async fn end_left(catalog: &Catalog, notes: &LocalNotes, gone: &Gone, loaded: &Loaded) -> Option<String> {
    let id = &loaded.id;
    let Some(PointEvent::Opened { by, until, .. }) = loaded.events().next() else { return None };
    if !is_left(by, *until, gone, Utc::now()) || has_note(catalog, notes, id.as_str()).await {
        return None;
    }
    match end(catalog, loaded, by).await {
        Ok(true) => Some(format!("restore point {id} was begun by a run that is gone; it is recorded as void")),
        Ok(false) => None,
        Err(error) => {
            Some(format!("restore point {id}, begun by a run that is gone, is not ended: {}", report::chain(&error)))
        }
    }
}

/// Whether the run that began a log writes to it no more: its process is gone, or cannot be judged and has let the time
/// pass after which it writes no more by its own rule.
fn is_left(by: &By, until: Option<DateTime<Utc>>, gone: &Gone, now: DateTime<Utc>) -> bool {
    let Some(owner) = &by.process else { return false };
    let over = || until.is_some_and(|until| now > until + LockStatus::TOLERANCE);
    gone.has(owner) || process(owner).life() == Life::Unknown && over()
}

/// In doubt there is one.
async fn has_note(catalog: &Catalog, notes: &LocalNotes, id: &str) -> bool {
    notes.has(id).unwrap_or(true) || catalog::notes::get(catalog, id).await.map_or(true, |note| note.is_some())
}

/// False: somebody else has written to the log meanwhile.
async fn end(catalog: &Catalog, seen: &Loaded, by: &By) -> Result<bool, CatalogError> {
    let (mut log, loaded) = PointLog::resume(catalog, &seen.id).await?;
    if loaded.batches.len() != seen.batches.len() {
        return Ok(false);
    }
    let error = ErrorReport {
        name: "void".to_owned(),
        message: format!(
            "process {} on {} died before its first window or between two: no pod was left paused",
            by.pid, by.host
        ),
        hint: "Make a new restore point: `stillpoint create`.".to_owned(),
    };
    let (attempts, pods) = (loaded.point.attempts, Vec::new());
    match log.append(PointEvent::Void { attempts, pods, warnings: Vec::new(), error: Some(error) }).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind == CatalogErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Options, Phase, PointId};
    use crate::recovery::tests::opened;
    use chrono::TimeDelta;

    fn by(process: &Process) -> By {
        By { host: "h".into(), pid: process.pid, version: "0".into(), process: Some(lock_owner(process)) }
    }

    fn dead() -> Process {
        let this = Process::this().unwrap();
        Process { start_ticks: this.start_ticks + 1, ..this }
    }

    fn elsewhere() -> Process {
        Process { pid_namespace: "pid:[1]".into(), ..Process::this().unwrap() }
    }

    #[test]
    fn only_a_run_that_is_gone_or_let_its_time_pass_has_left_its_log() {
        let (now, nobody) = (Utc::now(), Gone::default());
        let (passed, to_come) = (Some(now - TimeDelta::hours(1)), Some(now + TimeDelta::hours(1)));
        assert!(is_left(&by(&dead()), to_come, &nobody, now));
        let this = Process::this().unwrap();
        let mut gone = Gone::default();
        gone.add([&this, &elsewhere()]);
        // Whoever lives goes on, whatever is concluded and however late it is.
        assert!(!is_left(&by(&this), passed, &gone, now));
        assert!(is_left(&by(&elsewhere()), to_come, &gone, now));
        assert!(!is_left(&by(&elsewhere()), to_come, &nobody, now));
        assert!(is_left(&by(&elsewhere()), passed, &nobody, now));
        assert!(!is_left(&by(&elsewhere()), Some(now - TimeDelta::seconds(1)), &nobody, now), "clocks differ");
        assert!(!is_left(&by(&elsewhere()), None, &nobody, now));
        assert!(!is_left(&By { process: None, ..by(&dead()) }, passed, &gone, now));
    }

    #[tokio::test]
    async fn a_point_that_was_left_ends_once_and_one_with_a_note_waits_for_who_releases_by_it() {
        let folder = tempfile::tempdir().unwrap();
        let notes = LocalNotes::open(folder.path()).unwrap();
        let url = format!("file://{}/catalog", folder.path().display());
        let catalog = Catalog::open(&url, Options::write()).await.unwrap();
        let mut ids = Vec::new();
        for (n, process) in [dead(), dead(), Process::this().unwrap()].iter().enumerate() {
            let id = PointId::parse(&format!("manual-20261123T0{n}0000Z-4k2f")).unwrap();
            let PointEvent::Opened { at, targets, databases, settings, .. } = opened(&id) else { panic!("opened") };
            let by = by(process);
            let event = PointEvent::Opened { id: id.clone(), at, by, until: None, targets, databases, settings };
            PointLog::create(&catalog, &id, event).await.unwrap();
            ids.push(id);
        }
        catalog::notes::put(&catalog, ids[1].as_str(), "n", &serde_json::json!({})).await.unwrap();
        let phase = async |n: usize| catalog::load(&catalog, &ids[n]).await.unwrap().phase;
        assert_eq!(settle(&catalog, &notes, &Gone::default(), Some(1)).await.len(), 0, "not among the newest");
        let told = settle(&catalog, &notes, &Gone::default(), None).await;
        assert!(told.len() == 1 && told[0].contains(ids[0].as_str()), "{told:?}");
        assert_eq!((phase(0).await, phase(1).await, phase(2).await), (Phase::Void, Phase::Opened, Phase::Opened));
        assert_eq!(settle(&catalog, &notes, &Gone::default(), None).await.len(), 0);
        catalog::notes::delete(&catalog, ids[1].as_str()).await.unwrap();
        assert_eq!(settle(&catalog, &notes, &Gone::default(), None).await.len(), 1);
        let void = catalog::load(&catalog, &ids[1]).await.unwrap().point;
        assert!(void.error.unwrap().message.contains("no pod was left paused"));
    }
}
