//! Struck inside every call to the service: the process dies before it is sent, or after it was carried out; its answer is
//! lost, or is an error that passes, or one that does not. Prepare, restore, drill and prune, forward and back.

use crate::prepare::lagging;
use crate::restore::world::{A, DIED, Run, World};
use crate::support::{Account, Strike, error};
use provider_api::conformance::{Left, WorkWorld, World as _};
use provider_api::{Act, BackupProvider, Context, DurableWork, ProviderError, Step, Unit, UnitState, Way};
use provider_dynamodb::DynamoDbProvider;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stillpoint_sandbox::dynamodb::Effect;

/// What is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Prepare,
    /// Of copies that are made by point-in-time recovery.
    Drill,
    /// Of copies that are made of backups.
    DrillOfBackups,
    Restore,
    Prune,
}

/// A point of one table on which a verb is about to work.
struct Scene {
    verb: Verb,
    world: World,
    /// What is there before: the tables, their settings, backups and anything else.
    before: (String, Value, Left),
}

impl Scene {
    async fn new(verb: Verb) -> Scene {
        let world = match verb {
            Verb::Prepare | Verb::Drill => World::sealed().await,
            Verb::DrillOfBackups | Verb::Restore => World::plain().await,
            Verb::Prune => {
                let account = lagging();
                account.scalardb(1).await;
                account.put(A, 1, 100).await;
                World::of(account, &[A]).await
            }
        };
        let account = &world.account;
        match verb {
            Verb::Restore => account.put(A, 1, 999).await,
            Verb::Prune => {
                // The worst day: the table is gone, with its history, and a backup of it is all that there is beside the
                // prepared one, which is to go.
                account.ok("CreateBackup", json!({ "TableName": A, "BackupName": "safety" })).await;
                account.pitr(A, false).await;
                account.pass(Duration::from_secs(1)).await;
                Account::delete(account, A).await;
            }
            _ => {}
        }
        let before = (account.data_sets().await, world.settings().await, account.left().await);
        Scene { verb, world, before }
    }

    /// Whoever works next, with nothing in mind.
    async fn worker(&self) -> (Arc<dyn DurableWork>, Vec<Unit>) {
        let provider: Arc<DynamoDbProvider> = Arc::new(self.world.account.provider().await);
        match self.verb {
            Verb::Prepare => {
                let preparer = provider.preparer().unwrap();
                let units = self.world.prepare_units(&*preparer);
                (preparer, units)
            }
            Verb::Drill | Verb::DrillOfBackups => {
                let driller = provider.driller().unwrap();
                let units = self.world.drill_units(&*driller);
                (driller, units)
            }
            Verb::Restore => {
                let restorer = provider.restorer().unwrap();
                let units = self.world.restore_units(&*restorer);
                (restorer, units)
            }
            Verb::Prune => {
                let pruner = provider.pruner().unwrap();
                let units = pruner.units(&self.world.made).unwrap();
                (pruner, units)
            }
        }
    }

    async fn run(&self) -> Run {
        let (work, units) = self.worker().await;
        assert_eq!(units.len(), 1);
        Run::new(Arc::clone(&self.world.account), work, units)
    }

    /// Far enough that there is something to undo: everything that the verb makes.
    async fn before_the_end(&self, run: &mut Run) {
        let moment = match self.verb {
            Verb::Prepare | Verb::Drill | Verb::DrillOfBackups => "drop",
            Verb::Restore => "active",
            Verb::Prune => return,
        };
        run.until(A, moment).await.unwrap();
        run.turn();
    }

    /// What every run ends with that is not undone.
    async fn is_done(&self, run: &Run, how: &str) {
        let account = &self.world.account;
        let (tables, _, left) = &self.before;
        match self.verb {
            Verb::Restore => {
                self.world.is_as_at_t(run, how).await;
                assert_eq!(account.safety_backups().await, 1, "{how}");
                return;
            }
            Verb::Prepare => {
                let backups = Left { backups: vec![A.to_owned()], others: Vec::new() };
                assert_eq!(account.left().await, backups, "{how}");
            }
            Verb::Drill | Verb::DrillOfBackups => assert_eq!(account.left().await, *left, "{how}"),
            Verb::Prune => {
                let names = account.backups().await.into_iter().map(|backup| backup["BackupName"].clone());
                assert_eq!(names.collect::<Vec<_>>(), ["safety"], "{how}");
            }
        }
        assert_eq!(account.data_sets().await, *tables, "{how}");
        account.nothing_lost();
    }

    async fn is_undone(&self, how: &str) {
        let account = &self.world.account;
        let (tables, settings, left) = &self.before;
        assert_eq!(self.world.settings().await, *settings, "{how}");
        if self.verb == Verb::Restore {
            // Another table of that name, with the same items.
            let items = |text: &str| -> Vec<Value> {
                let all: Vec<Value> = serde_json::from_str(text).unwrap();
                all.into_iter().map(|table| json!([table[0], table[2]])).collect()
            };
            assert_eq!(items(&account.data_sets().await), items(tables), "{how}");
            assert!(account.safety_backups().await <= 1, "{how}");
            self.world.nothing_left(how).await;
        } else {
            assert_eq!(account.data_sets().await, *tables, "{how}");
            assert_eq!(account.left().await, *left, "{how}");
        }
        account.nothing_lost();
    }

    async fn ended(&self, way: Way, run: &Run, how: &str) {
        match way {
            Way::Forward => self.is_done(run, how).await,
            Way::Back => self.is_undone(how).await,
        }
    }
}

/// The verb goes this way and the call of this number is struck. Operations of the calls that were made.
async fn struck(verb: Verb, way: Way, call: usize, strike: Strike) -> Vec<String> {
    let scene = Scene::new(verb).await;
    let mut run = scene.run().await;
    if way == Way::Back {
        scene.before_the_end(&mut run).await;
    }
    let (work, _) = scene.worker().await;
    run.heir(work);
    let below = &scene.world.account.below;
    below.strike(call, strike.clone());
    let outcome = run.finish(way).await;
    let (seen, came_to_it) = below.calm();
    let operation = if came_to_it { seen[call].as_str() } else { "none" };
    let how = format!("{verb:?} {way:?}, call {call} ({operation}): {strike:?}");
    assert!(came_to_it || call == NEVER, "{how}: there is no such call");
    match (&strike, outcome) {
        (Strike::DiesBefore | Strike::DiesAfter, outcome) if came_to_it => {
            assert_eq!(outcome.unwrap_err().message, DIED, "{how}");
            let (work, _) = scene.worker().await;
            run.heir(work);
            run.finish(way).await.unwrap_or_else(|error| panic!("{how}: {error:?}"));
        }
        // Nothing of it is to be seen at the end.
        (_, Ok(())) => {}
        (_, Err(refused)) => {
            assert!(!refused.retryable && refused.hint.contains(operation), "{how}: {refused:?}");
            // From here it is undone; or the same command goes on, where nothing can be undone.
            let on = if verb == Verb::Prune { Way::Forward } else { Way::Back };
            if way != on {
                run.turn();
            }
            run.finish(on).await.unwrap_or_else(|error| panic!("{how}: {error:?}"));
            scene.ended(on, &run, &how).await;
            return seen;
        }
    }
    scene.ended(way, &run, &how).await;
    seen
}

/// No run makes so many calls.
const NEVER: usize = usize::MAX;

/// Whether the call changes nothing.
fn is_look(operation: &str) -> bool {
    ["Describe", "List", "Get"].iter().any(|verb| operation.starts_with(verb))
}

/// Every call of an undisturbed run, in turn. A look that repeats the one before it is left out, since nothing can have become
/// true in between that the one before did not find; and whether a process dies before or after a look is the same.
async fn every_call(verb: Verb, way: Way, strike: impl Fn(usize) -> Strike) {
    let calls = struck(verb, way, NEVER, Strike::DiesBefore).await;
    let (mut rows, mut changes) = (0, 0);
    for (call, operation) in calls.iter().enumerate() {
        let (look, strike) = (is_look(operation), strike(call));
        let repeats = call > 0 && calls[call - 1] == *operation;
        if look && (repeats || matches!(strike, Strike::DiesAfter)) {
            continue;
        }
        struck(verb, way, call, strike).await;
        (rows, changes) = (rows + 1, changes + usize::from(!look));
    }
    assert!(changes > 0 && rows >= changes, "{verb:?} {way:?}: {calls:?}");
}

/// An answer that does not come, or says that there is trouble which passes.
fn passes(call: usize) -> Strike {
    let effects =
        [Effect::DropAnswer, error("InternalServerError", 500), Effect::DropRequest, error("ThrottlingException", 400)];
    Strike::Has(effects[call % effects.len()].clone())
}

/// The call is not allowed.
fn refused(_: usize) -> Strike {
    Strike::Has(error("AccessDeniedException", 400))
}

macro_rules! every_call {
    ($($name:ident: $verb:ident $way:ident),* $(,)?) => {
        $(mod $name {
            use super::*;

            #[tokio::test]
            async fn a_process_that_dies_before_any_call_is_followed_by_one_that_ends_the_same() {
                every_call(Verb::$verb, Way::$way, |_| Strike::DiesBefore).await;
            }

            #[tokio::test]
            async fn a_process_that_dies_after_any_call_is_followed_by_one_that_ends_the_same() {
                every_call(Verb::$verb, Way::$way, |_| Strike::DiesAfter).await;
            }

            #[tokio::test]
            async fn trouble_at_any_call_that_passes_is_not_seen_at_the_end() {
                every_call(Verb::$verb, Way::$way, passes).await;
            }

            #[tokio::test]
            async fn a_refusal_of_any_call_is_a_clear_error_from_which_a_way_leads_on() {
                every_call(Verb::$verb, Way::$way, refused).await;
            }
        })*
    };
}

every_call! {
    prepare: Prepare Forward,
    prepare_undone: Prepare Back,
    drill: Drill Forward,
    drill_of_backups: DrillOfBackups Forward,
    drill_undone: Drill Back,
    restore: Restore Forward,
    restore_undone: Restore Back,
    prune: Prune Forward,
}

/// A worker that does what none may, once, as it is about to do this.
#[derive(Debug)]
struct Culprit {
    work: Arc<dyn DurableWork>,
    account: Arc<Account>,
    at: &'static str,
    deeds: Mutex<Vec<(&'static str, Value)>>,
}

#[async_trait::async_trait]
impl DurableWork for Culprit {
    fn slots(&self) -> BTreeMap<String, usize> {
        self.work.slots()
    }

    async fn step(
        &self,
        context: &Context,
        way: Way,
        unit: &Unit,
        state: &UnitState,
        act: Option<Act<'_>>,
    ) -> Result<Step, ProviderError> {
        if act.is_some_and(|act| act.intent.what["do"] == self.at) {
            let deeds = std::mem::take(&mut *self.deeds.lock().unwrap());
            for (operation, body) in deeds {
                self.account.ok(operation, body).await;
            }
        }
        self.work.step(context, way, unit, state, act).await
    }
}

/// The control: a watch that could see nothing would let every row above pass.
#[tokio::test]
async fn a_run_that_destroys_the_only_place_of_a_table_is_seen() {
    for (verb, at, deed) in [(Verb::Drill, "drop", "DeleteTable"), (Verb::Prune, "delete_backup", "DeleteBackup")] {
        let scene = Scene::new(verb).await;
        let account = Arc::clone(&scene.world.account);
        let body = match verb {
            Verb::Prune => {
                let backups = account.backups().await;
                let safety = backups.iter().find(|backup| backup["BackupName"] == "safety").unwrap();
                json!({ "BackupArn": safety["BackupArn"] })
            }
            _ => json!({ "TableName": A }),
        };
        let mut run = scene.run().await;
        run.until(A, at).await.unwrap();
        if verb == Verb::Drill {
            // Or its SYSTEM backup would be left.
            account.pitr(A, false).await;
            account.pass(Duration::from_secs(1)).await;
        }
        account.nothing_lost();
        let (work, _) = scene.worker().await;
        let deeds = Mutex::new(vec![(deed, body)]);
        run.heir(Arc::new(Culprit { work, account: Arc::clone(&account), at, deeds }));
        run.finish(Way::Forward).await.unwrap();
        let seen = account.db.violations();
        let told: Vec<_> = seen.iter().map(|lost| (lost.table.as_str(), lost.call.operation.as_str())).collect();
        assert_eq!(told, [(A, deed)], "{verb:?}");
    }
}
