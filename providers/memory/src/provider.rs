//! The provider over a [`MemoryWorld`].

use crate::MemoryWorld;
use crate::state::{Set, State};
use provider_api::{
    BackupProvider, Capsule, ClockInterval, Confirmed, Context, DataSet, Discovery, Driller, ErrorKind, Preparer,
    ProviderError, Pruner, RecordedSet, RestoreTime, Restorer, Role, SetRestorability, UnixNanos, Unread, Verifier,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The narrowest interval that any provider claims.
const CLOCK_WIDTH: Duration = Duration::from_millis(100);

/// A database in memory.
#[derive(Clone, Debug)]
pub struct MemoryProvider {
    name: String,
    world: Arc<MemoryWorld>,
}

impl MemoryProvider {
    /// A provider with this database name over this service.
    pub fn new(name: impl Into<String>, world: Arc<MemoryWorld>) -> Self {
        Self { name: name.into(), world }
    }

    /// The service behind it.
    pub fn world(&self) -> &Arc<MemoryWorld> {
        &self.world
    }

    /// Waits until the service answers, then lets `answer` look at it.
    async fn call<T: Send>(
        &self,
        what: &str,
        context: &Context,
        answer: impl FnOnce(&State, UnixNanos) -> Result<T, ProviderError> + Send,
    ) -> Result<T, ProviderError> {
        context
            .run(format!("{what} of {self}"), async {
                self.world.answers().await;
                let now = self.world.clock();
                let state = self.world.state();
                if state.denied {
                    return Err(ProviderError::new(
                        ErrorKind::PermissionDenied,
                        format!("{self} refused {what}"),
                        "allow it in the in-memory service",
                    ));
                }
                answer(&state, now)
            })
            .await
    }
}

impl std::fmt::Display for MemoryProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "database `{}` (memory)", self.name)
    }
}

fn missing(what: &str, names: Vec<String>) -> ProviderError {
    let message = format!("cannot {what}: no data set named {}", names.join(", "));
    ProviderError::new(ErrorKind::NotFound, message, "discover again; the set was dropped or renamed").about(names)
}

fn capsule(name: &str, set: &Set) -> Capsule {
    let readable = set.settings.iter().filter(|(setting, _)| !set.denied.contains(*setting));
    Capsule {
        name: name.to_owned(),
        id: set.id.clone(),
        settings: Value::Object(readable.map(|(setting, value)| (setting.clone(), value.clone())).collect()),
        unread: set
            .denied
            .iter()
            .map(|setting| Unread {
                setting: setting.clone(),
                reason: "denied".to_owned(),
                hint: format!("allow reading {setting} in the in-memory service"),
            })
            .collect(),
    }
}

#[async_trait::async_trait]
impl BackupProvider for MemoryProvider {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn discover(&self, context: &Context) -> Result<Discovery, ProviderError> {
        self.call("discover", context, |state, _| {
            let described = state.sets.iter().filter(|(_, set)| set.role != Role::Metadata);
            Ok(Discovery {
                data_sets: state
                    .sets
                    .iter()
                    .map(|(name, set)| DataSet { name: name.clone(), role: set.role })
                    .collect(),
                metadata: described.map(|(name, set)| (name.clone(), set.metadata.clone())).collect(),
                warnings: Vec::new(),
            })
        })
        .await
    }

    async fn confirm(&self, context: &Context, sets: &[DataSet]) -> Result<Vec<Confirmed>, ProviderError> {
        self.call("confirm", context, |state, now| {
            let (gone, off) = state.unfit(sets);
            if !gone.is_empty() {
                return Err(missing("confirm", gone));
            }
            if !off.is_empty() {
                let message = format!("PITR is off on {}", off.join(", "));
                return Err(
                    ProviderError::new(ErrorKind::PitrOff, message, "turn it on in the in-memory service").about(off)
                );
            }
            Ok(sets
                .iter()
                .filter_map(|asked| Some(state.confirmed(&asked.name, state.sets.get(&asked.name)?, now)))
                .collect())
        })
        .await
    }

    async fn clock(&self, context: &Context) -> Result<ClockInterval, ProviderError> {
        self.call("clock", context, |_, _| {
            let offset = *self.world.offset();
            Ok(ClockInterval { lo_ns: offset, hi_ns: offset }.at_least(CLOCK_WIDTH))
        })
        .await
    }

    async fn capture(&self, context: &Context, sets: &[DataSet]) -> Result<Vec<Capsule>, ProviderError> {
        self.call("capture", context, |state, _| {
            let (gone, _) = state.unfit(sets);
            if !gone.is_empty() {
                return Err(missing("capture", gone));
            }
            Ok(sets.iter().filter_map(|asked| Some(capsule(&asked.name, state.sets.get(&asked.name)?))).collect())
        })
        .await
    }

    async fn restorable(
        &self,
        context: &Context,
        at: RestoreTime,
        sets: &[RecordedSet],
    ) -> Result<Vec<SetRestorability>, ProviderError> {
        self.call("restorable", context, |state, now| {
            Ok(sets.iter().map(|recorded| state.restorable(at, recorded, now)).collect())
        })
        .await
    }

    fn preparer(self: Arc<Self>) -> Option<Preparer> {
        None
    }

    fn pruner(self: Arc<Self>) -> Option<Pruner> {
        None
    }

    fn restorer(self: Arc<Self>) -> Option<Restorer> {
        None
    }

    fn driller(self: Arc<Self>) -> Option<Driller> {
        None
    }

    fn verifier(self: Arc<Self>) -> Option<Verifier> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fresh() -> (MemoryProvider, Arc<MemoryWorld>) {
        let world = Arc::new(MemoryWorld::with_scalardb(4));
        (MemoryProvider::new("bank", Arc::clone(&world)), world)
    }

    /// Lets the suite take `&*provider`.
    async fn boxed() -> (Box<dyn BackupProvider>, Arc<MemoryWorld>) {
        let (provider, world) = fresh().await;
        (Box::new(provider), world)
    }

    provider_api::conformance_suite!(boxed);

    #[tokio::test]
    async fn a_schema_change_changes_the_discovery() {
        let (provider, world) = fresh().await;
        let context = Context::default();
        let before = provider.discover(&context).await.unwrap();
        world.set_metadata("bank.account001", serde_json::json!({ "columns": { "note": "text" } }));
        assert_ne!(before, provider.discover(&context).await.unwrap());
    }

    #[tokio::test]
    async fn a_stalled_service_answers_again_when_it_is_let() {
        let (provider, world) = fresh().await;
        world.set_stalled(true);
        let context = Context::default();
        let (answer, ()) = tokio::join!(provider.discover(&context), async { world.set_stalled(false) });
        assert_eq!(answer.unwrap().data_sets.len(), 6);
    }
}
