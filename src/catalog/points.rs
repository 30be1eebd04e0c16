//! Reading and writing restore points.

use super::Catalog;
use super::error::{CatalogError, CatalogErrorKind};
use super::fold::{Phase, fold, may_follow};
use super::id::PointId;
use super::log::{Batch, Log};
use super::point::{PointEvent, json_size};
use crate::point::Point;
use chrono::Utc;
use futures::{StreamExt, stream};

const POINTS: &str = "points";

/// How much goes into one object, as JSON, when several events are appended at once.
const OBJECT_BYTES: usize = 512 * 1024;

/// A restore point as its log says it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Its id.
    pub id: PointId,
    /// The objects of its log, in order.
    pub batches: Vec<Batch<PointEvent>>,
    /// Where the log stands.
    pub phase: Phase,
    /// What the events add up to, with the exit code 0.
    pub point: Point,
}

impl Loaded {
    /// Every event, in order.
    pub fn events(&self) -> impl Iterator<Item = &PointEvent> {
        self.batches.iter().flat_map(|batch| &batch.events)
    }
}

/// An object that could not be read as what it should be, found while listing. Everything else is listed all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedObject {
    /// The object, or the folder when the whole of it makes no sense.
    pub object: String,
    /// What is wrong with it.
    pub reason: String,
    /// What the operator does next.
    pub hint: String,
}

impl DamagedObject {
    /// The object and what is wrong with it, the object named once.
    pub fn told(&self) -> String {
        if self.reason.contains(&self.object) {
            self.reason.clone()
        } else {
            format!("{}: {}", self.object, self.reason)
        }
    }

    /// `None` for errors that are about the store and not about one object.
    pub(super) fn from_error(folder: &str, error: &CatalogError) -> Option<DamagedObject> {
        let object = match &error.kind {
            CatalogErrorKind::Damaged { object } => object.clone(),
            CatalogErrorKind::NewerVersion { .. } | CatalogErrorKind::BadId => folder.to_owned(),
            _ => return None,
        };
        Some(DamagedObject { object, reason: error.message.clone(), hint: error.hint().to_owned() })
    }
}

/// Reads a restore point.
///
/// Fails with `NotFound` when no such point was ever begun, and with `Damaged` or `NewerVersion` naming the object.
pub async fn load(catalog: &Catalog, id: &PointId) -> Result<Loaded, CatalogError> {
    read(catalog, id).await.map(|(_, loaded)| loaded)
}

/// Every restore point, oldest first, and what could not be read. Fails only when the store does.
pub async fn list(catalog: &Catalog) -> Result<(Vec<Loaded>, Vec<DamagedObject>), CatalogError> {
    let folders = catalog.store.folders(POINTS).await?;
    let results: Vec<_> = stream::iter(folders)
        .map(|name| async move {
            let result = match PointId::parse(&name) {
                Ok(id) => load(catalog, &id).await,
                Err(error) => Err(error),
            };
            (format!("{POINTS}/{name}"), result)
        })
        .buffered(8)
        .collect()
        .await;
    let (mut points, mut damaged) = (Vec::new(), Vec::new());
    for (folder, result) in results {
        match result {
            Ok(loaded) => points.push(loaded),
            // A folder that a writer made and died before it wrote: no point was begun.
            Err(CatalogError { kind: CatalogErrorKind::NotFound { .. }, .. }) => {}
            Err(error) => damaged.push(DamagedObject::from_error(&folder, &error).ok_or(error)?),
        }
    }
    points.sort_by_key(|loaded| (loaded.id.time(), loaded.id.clone()));
    Ok((points, damaged))
}

/// Points whose run has neither ended nor recorded a restore time, among the newest so many (`None`: among all), oldest
/// first. What cannot be read is left out: [`list`] tells of it.
pub async fn newest_open(catalog: &Catalog, newest: Option<usize>) -> Result<Vec<Loaded>, CatalogError> {
    let folders = catalog.store.folders(POINTS).await?;
    let mut ids: Vec<PointId> = folders.iter().filter_map(|name| PointId::parse(name).ok()).collect();
    ids.sort_by_key(|id| (id.time(), id.clone()));
    let from = newest.map_or(0, |newest| ids.len().saturating_sub(newest));
    let all: Vec<_> =
        stream::iter(ids.split_off(from)).map(|id| async move { load(catalog, &id).await }).buffered(8).collect().await;
    Ok(all.into_iter().flatten().filter(|loaded| loaded.phase == Phase::Opened).collect())
}

/// The end of a restore point's log, for one writer. A second writer's first append makes ours fail with `Conflict`.
#[derive(Debug)]
pub struct PointLog {
    id: PointId,
    log: Log<PointEvent>,
    phase: Phase,
}

impl PointLog {
    /// Begins a point. `opened` must be [`PointEvent::Opened`] with this id. Fails with `Conflict` when the id is taken.
    pub async fn create(catalog: &Catalog, id: &PointId, opened: PointEvent) -> Result<PointLog, CatalogError> {
        let log = Log::empty(&catalog.store, &prefix(id));
        let mut created = PointLog { id: id.clone(), log, phase: Phase::Empty };
        created.append(opened).await?;
        Ok(created)
    }

    /// Goes on with a point's log, e.g. to seal it, or to record as void what its dead owner left open.
    pub async fn resume(catalog: &Catalog, id: &PointId) -> Result<(PointLog, Loaded), CatalogError> {
        let (log, loaded) = read(catalog, id).await?;
        Ok((PointLog { id: id.clone(), log, phase: loaded.phase }, loaded))
    }

    /// The point's id.
    pub fn id(&self) -> &PointId {
        &self.id
    }

    /// Where the log stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// A second view of the same log, for whoever must know what is written there while this one appends.
    pub fn watcher(&self) -> PointWatcher {
        PointWatcher { log: self.log.clone(), known: self.log.known() }
    }

    /// Appends one event. Fails with `NotAllowed` before anything is sent when it may not follow; with `Conflict` when somebody
    /// else wrote in the meantime; with `Unreachable` when it is not known whether it arrived: [`PointLog::resume`] tells.
    pub async fn append(&mut self, event: PointEvent) -> Result<(), CatalogError> {
        self.append_all(vec![event]).await
    }

    /// Appends events in order, as few objects as their size allows. An error leaves those of earlier objects in the log.
    pub async fn append_all(&mut self, events: Vec<PointEvent>) -> Result<(), CatalogError> {
        let mut phase = self.phase;
        for event in &events {
            phase = self.allowed(phase, event)?;
        }
        for object in packed(events) {
            self.log.append(Utc::now(), &object).await?;
            for event in &object {
                self.phase = self.allowed(self.phase, event)?;
            }
        }
        Ok(())
    }

    fn allowed(&self, phase: Phase, event: &PointEvent) -> Result<Phase, CatalogError> {
        let refused = |why: String, hint: &str| {
            CatalogError::new(
                CatalogErrorKind::NotAllowed,
                format!("cannot write to restore point {}: {why}", self.id),
                hint,
            )
        };
        if matches!(event, PointEvent::Opened { id, .. } if *id != self.id) {
            return Err(refused(
                "its first event names another point".to_owned(),
                "this is a defect; please report it",
            ));
        }
        may_follow(phase, event)
            .map_err(|illegal| refused(illegal.to_string(), "look at the point with `stillpoint show`"))
    }
}

/// Reads what others, and we ourselves, have written since.
#[derive(Clone, Debug)]
pub struct PointWatcher {
    log: Log<PointEvent>,
    known: u32,
}

impl PointWatcher {
    /// The events since the last look, oldest first, read now. Nothing new costs one call.
    pub async fn look(&mut self) -> Result<Vec<PointEvent>, CatalogError> {
        let batches = self.log.read_after(self.known).await?;
        self.known = batches.last().map_or(self.known, |batch| batch.number);
        Ok(batches.into_iter().flat_map(|batch| batch.events).collect())
    }
}

/// Groups events into objects of at most [`OBJECT_BYTES`]; one larger event gets an object of its own.
fn packed(events: Vec<PointEvent>) -> Vec<Vec<PointEvent>> {
    let mut objects: Vec<Vec<PointEvent>> = Vec::new();
    let mut size = 0;
    for event in events {
        let bytes = json_size(&event);
        match objects.last_mut() {
            Some(last) if size + bytes <= OBJECT_BYTES => {
                last.push(event);
                size += bytes;
            }
            _ => {
                objects.push(vec![event]);
                size = bytes;
            }
        }
    }
    objects
}

fn prefix(id: &PointId) -> String {
    format!("{POINTS}/{id}")
}

async fn read(catalog: &Catalog, id: &PointId) -> Result<(Log<PointEvent>, Loaded), CatalogError> {
    let (log, batches) = Log::<PointEvent>::read(&catalog.store, &prefix(id)).await?;
    if batches.is_empty() {
        return Err(CatalogError::new(
            CatalogErrorKind::NotFound { id: id.to_string() },
            format!("there is no restore point `{id}` in the catalog {}", catalog.place()),
            "`stillpoint list` shows those there are; check [catalog] url",
        ));
    }
    let (phase, point) = checked(id, &batches)?;
    Ok((log, Loaded { id: id.clone(), batches, phase, point }))
}

fn checked(id: &PointId, batches: &[Batch<PointEvent>]) -> Result<(Phase, Point), CatalogError> {
    let object = |batch: &Batch<PointEvent>| format!("{}/{:08}.json", prefix(id), batch.number);
    let mut phase = Phase::Empty;
    for batch in batches {
        for event in &batch.events {
            phase = may_follow(phase, event).map_err(|illegal| CatalogError::damaged(object(batch), illegal))?;
            if let PointEvent::Opened { id: named, .. } = event
                && named != id
            {
                return Err(CatalogError::damaged(
                    object(batch),
                    format_args!("it belongs to restore point `{named}`"),
                ));
            }
        }
    }
    fold(batches.iter().flat_map(|batch| &batch.events)).map_err(|illegal| CatalogError::damaged(prefix(id), illegal))
}

#[cfg(test)]
impl PointLog {
    /// The same writer with the same knowledge, in another catalog.
    pub(super) fn moved_to(self, catalog: &Catalog) -> PointLog {
        let log = self.log.moved_to(&catalog.store);
        PointLog { log, ..self }
    }
}
