//! Durable work: it ends the same, whatever dies and whatever is lost on the way, and undoes itself from anywhere.

use super::{Broken, Verdict, World, discovered, ensure, recorded, works};
use crate::{
    Act, BackupProvider, Context, DrillRequest, DurableWork, Fence, Intent, PrepareRequest, ProviderError, RestoreTime,
    Step, Unit, UnitState, Way,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is at the service besides the data sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The data set of each backup that could be restored now.
    pub backups: Vec<String>,
    /// Everything else that nobody had before: staging tables, backups that are not finished.
    pub others: Vec<String>,
}

/// A service in which work can be disturbed.
#[async_trait::async_trait]
pub trait WorkWorld: World {
    /// What a run left there.
    async fn left(&self) -> Left;

    /// The data sets themselves, with their items, in any stable form.
    async fn data_sets(&self) -> String;

    /// From now on one call goes wrong, in the way of this number: its answer is lost, it never arrives, it is refused for
    /// now. `None` when there is no such way any more.
    async fn disturb(&self, way: usize) -> Option<String>;
}

/// No call of the suite's acts against anybody.
struct Free;

#[async_trait::async_trait]
impl Fence for Free {
    async fn pass(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}

/// A journal in memory.
#[derive(Clone, Debug, Default)]
struct Journal(BTreeMap<String, Entry>);

#[derive(Clone, Debug, Default)]
struct Entry {
    state: UnitState,
    intent: Option<Intent>,
    done: bool,
}

/// More calls than any run of the suite needs.
const ENDLESS: usize = 5_000;

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// A backup of each set.
    Backups,
    /// A copy of each set, and none any more.
    Copies,
}

/// A plan under test.
struct Bench {
    goal: Goal,
    work: Arc<dyn DurableWork>,
    units: Vec<Unit>,
    /// Every call is made twice; the second answer counts.
    twice: bool,
}

impl Bench {
    /// Two sets, one of which is the first of the users' own, at a T that is restorable.
    async fn new<P: BackupProvider + 'static>(
        goal: Goal,
        provider: Arc<P>,
        world: &dyn WorkWorld,
    ) -> Result<Bench, Broken> {
        let (sets, users) = discovered(&*provider).await?;
        let sets: Vec<_> = sets.into_iter().filter(|set| users[..2].contains(&set.name)).collect();
        let ids = recorded(&*provider, &sets).await?;
        let capsules = works("capture", provider.capture(&Context::default(), &sets).await)?;
        let at = RestoreTime(world.now().await.0 / 1_000_000_000);
        world.pass(world.lag() + Duration::from_secs(2)).await;
        let context = Context::default();
        let (work, units): (Arc<dyn DurableWork>, _) = match goal {
            Goal::Backups => {
                let Some(work) = provider.preparer() else { return Err(Broken("it cannot prepare".to_owned())) };
                let request = PrepareRequest { label: "conformance", at, sets: &ids, capsules: &capsules };
                let units = works("the plan", work.units(&request))?;
                ensure!(units == works("the plan", work.units(&request))?, "the same request gave two plans");
                works("preflight", work.preflight(&context, &units).await)?;
                (work, units)
            }
            Goal::Copies => {
                let Some(work) = provider.driller() else { return Err(Broken("it cannot drill".to_owned())) };
                let (label, prefix, backups) = ("conformance", "drill-n0nce-", &BTreeMap::new());
                let request = DrillRequest { label, at, sets: &ids, capsules: &capsules, prefix, backups, keep: false };
                let units = works("the plan", work.copies(&request))?;
                ensure!(units == works("the plan", work.copies(&request))?, "the same request gave two plans");
                works("preflight", work.may_copy(&context, &units).await)?;
                (work, units)
            }
        };
        ensure!(units.len() == 2, "two sets, but {} units", units.len());
        Ok(Bench { goal, work, units, twice: false })
    }

    /// Drives until the end, or until this many calls were made: the last one's answer is not stored. Says whether it ended.
    async fn drive(
        &self,
        way: Way,
        journal: &mut Journal,
        calls: usize,
        world: &dyn WorkWorld,
    ) -> Result<bool, Broken> {
        let mut made = 0;
        loop {
            let mut all_done = true;
            for unit in &self.units {
                let entry = journal.0.entry(unit.name.clone()).or_default();
                if entry.done {
                    continue;
                }
                all_done = false;
                let mut outcome = self.call(way, unit, entry).await;
                if self.twice {
                    outcome = self.call(way, unit, entry).await;
                }
                made += 1;
                ensure!(made < ENDLESS, "still not done after {made} calls: {journal:?}");
                if made >= calls {
                    return Ok(false);
                }
                store(entry, outcome)?;
            }
            if all_done {
                return Ok(true);
            }
            world.pass(Duration::from_millis(700)).await;
        }
    }

    async fn call(&self, way: Way, unit: &Unit, entry: &Entry) -> Result<Step, ProviderError> {
        let act = entry.intent.as_ref().map(|intent| Act { intent, fence: &Free });
        self.work.step(&Context::default(), way, unit, &entry.state, act).await
    }
}

fn store(entry: &mut Entry, outcome: Result<Step, ProviderError>) -> Verdict {
    match outcome {
        Ok(Step::Intend(intent)) => entry.intent = Some(intent),
        Ok(Step::Did(record)) => {
            entry.intent = None;
            entry.state.records.push(record);
        }
        Ok(Step::Done(record)) => {
            entry.intent = None;
            entry.state.records.push(record);
            entry.done = true;
        }
        Ok(Step::Wait { .. }) => {}
        Ok(Step::Failed(record, error)) => return Err(Broken(format!("failed at {record:?}: {error:?}"))),
        Err(error) if error.retryable => {}
        Err(error) => return Err(Broken(format!("a step should have worked: {error:?}"))),
    }
    Ok(())
}

/// Turns a journal round, as an abort does.
fn turn(journal: &mut Journal) {
    journal.0.values_mut().for_each(|entry| entry.done = false);
}

/// Where the way forward leads.
async fn reached(bench: &Bench, world: &dyn WorkWorld, before: &str, how: &str) -> Verdict {
    let names: Vec<_> = match bench.goal {
        Goal::Backups => bench.units.iter().map(|unit| unit.name.clone()).collect(),
        Goal::Copies => Vec::new(),
    };
    let left = world.left().await;
    ensure!(left == Left { backups: names, others: Vec::new() }, "{how}: {left:?} is left");
    ensure!(world.data_sets().await == before, "{how}: the data sets have changed");
    Ok(())
}

async fn undone(world: &dyn WorkWorld, before: &str, how: &str) -> Verdict {
    let left = world.left().await;
    ensure!(left == Left::default(), "{how}: {left:?} is left");
    ensure!(world.data_sets().await == before, "{how}: the data sets have changed");
    Ok(())
}

/// One backup of each set, nothing else, and the sets as they were. No step without a stored intent changes anything.
pub async fn prepare_leaves_one_backup_each_and_nothing_else<P, W>(fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    undisturbed(Goal::Backups, fresh).await
}

/// A copy of each set, and in the end none; every step twice as well.
pub async fn drill_leaves_nothing_behind<P, W>(fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    undisturbed(Goal::Copies, fresh).await
}

/// Killed after each call in turn, its answer not stored; the rest from the journal.
pub async fn prepare_goes_on_after_a_kill_at_every_call<P, W>(fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    killed(Goal::Backups, fresh).await
}

/// Killed after each call in turn.
pub async fn drill_goes_on_after_a_kill_at_every_call<P, W>(fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    killed(Goal::Copies, fresh).await
}

/// Undone after a kill at each call in turn, and from the very end.
pub async fn prepare_is_undone_from_every_call<P, W>(fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    turned(Goal::Backups, fresh).await
}

/// Undone after a kill at each call in turn.
pub async fn drill_is_undone_from_every_call<P, W>(fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    turned(Goal::Copies, fresh).await
}

/// One call goes wrong, in each way that the world knows; forward and back.
pub async fn prepare_survives_every_disturbance<P, W>(fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    disturbed(Goal::Backups, fresh).await
}

/// One call goes wrong, in each way that the world knows.
pub async fn drill_survives_every_disturbance<P, W>(fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    disturbed(Goal::Copies, fresh).await
}

async fn undisturbed<P, W>(goal: Goal, fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    for twice in [false, true] {
        let (provider, world) = fresh().await;
        let bench = Bench { twice, ..Bench::new(goal, provider, &world).await? };
        let before = world.data_sets().await;
        bench.drive(Way::Forward, &mut Journal::default(), ENDLESS, &world).await?;
        reached(&bench, &world, &before, if twice { "every step twice" } else { "undisturbed" }).await?;
    }
    Ok(())
}

async fn killed<P, W>(goal: Goal, fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    for calls in 1.. {
        let (provider, world) = fresh().await;
        let bench = Bench::new(goal, provider, &world).await?;
        let (before, mut journal) = (world.data_sets().await, Journal::default());
        let ended = bench.drive(Way::Forward, &mut journal, calls, &world).await?;
        bench.drive(Way::Forward, &mut journal, ENDLESS, &world).await?;
        reached(&bench, &world, &before, &format!("killed at call {calls}")).await?;
        if ended {
            break;
        }
    }
    Ok(())
}

async fn turned<P, W>(goal: Goal, fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    for calls in 1.. {
        let (provider, world) = fresh().await;
        let bench = Bench { twice: calls % 2 == 0, ..Bench::new(goal, provider, &world).await? };
        let (before, mut journal) = (world.data_sets().await, Journal::default());
        let ended = bench.drive(Way::Forward, &mut journal, calls, &world).await?;
        turn(&mut journal);
        // The way back is killed as well, somewhere.
        bench.drive(Way::Back, &mut journal, 1 + calls % 7, &world).await?;
        bench.drive(Way::Back, &mut journal, ENDLESS, &world).await?;
        undone(&world, &before, &format!("undone from call {calls}")).await?;
        if ended {
            break;
        }
    }
    Ok(())
}

async fn disturbed<P, W>(goal: Goal, fresh: impl AsyncFn() -> (Arc<P>, W)) -> Verdict
where
    P: BackupProvider + 'static,
    W: WorkWorld,
{
    for way in 0.. {
        let (provider, world) = fresh().await;
        let bench = Bench::new(goal, provider, &world).await?;
        let (before, mut journal) = (world.data_sets().await, Journal::default());
        let Some(how) = world.disturb(way).await else { break };
        bench.drive(Way::Forward, &mut journal, ENDLESS, &world).await?;
        reached(&bench, &world, &before, &how).await?;
        turn(&mut journal);
        world.disturb(way).await;
        bench.drive(Way::Back, &mut journal, ENDLESS, &world).await?;
        undone(&world, &before, &format!("back: {how}")).await?;
    }
    Ok(())
}
