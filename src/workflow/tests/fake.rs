//! Work whose world is a few counters: make a thing, wait while it grows, done. Back: remove it, which is also what retention
//! does, forward.

use super::{Job, RunKind};
use provider_api::{
    Act, Context, DurableWork, ErrorKind, Intent, Poll, ProviderError, Record, Step, Unit, UnitState, Way,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// How long a thing grows.
const GROWTH: Duration = Duration::from_secs(100);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Trouble {
    #[default]
    None,
    /// So many more times.
    Passing(usize),
    Final,
    Lost,
}

#[derive(Debug, Default)]
pub(super) struct World {
    /// How often each thing was made.
    pub(super) made: BTreeMap<String, usize>,
    grown_at: BTreeMap<String, Instant>,
    /// The most things that ever grew at once.
    pub(super) most: usize,
    /// Things made before those that they come after were grown.
    pub(super) out_of_order: usize,
    trouble: BTreeMap<String, Trouble>,
    /// Steps so far.
    pub(super) steps: usize,
    /// Things made and removed so far.
    pub(super) deeds: usize,
}

#[derive(Debug)]
pub(super) struct Fake {
    world: Mutex<World>,
    units: Vec<Unit>,
    slots: usize,
    /// What the runs are called. Retention begins with everything made, and removes it.
    pub(super) kind: RunKind,
    /// Every call is made twice; the second answer counts.
    pub(super) twice: std::sync::atomic::AtomicBool,
    /// The call of this number, counted from one, ends in this.
    pub(super) at_call: Mutex<Option<(usize, Trouble)>>,
    /// Told of every step: its number, and whether it comes before or after the deed.
    pub(super) hook: Mutex<Option<tokio::sync::mpsc::UnboundedSender<usize>>>,
    /// Before a deed, between the fence and the deed: waits for this.
    pub(super) gate: tokio::sync::Semaphore,
    pub(super) gated: std::sync::atomic::AtomicBool,
}

impl Fake {
    /// The last unit comes after the first.
    pub(super) fn new(units: usize, slots: usize) -> Arc<Fake> {
        Fake::of(RunKind::Prepare, units, slots)
    }

    /// The same, for runs of this kind.
    pub(super) fn of(kind: RunKind, units: usize, slots: usize) -> Arc<Fake> {
        let unit = |n: usize| Unit {
            name: format!("u{n:02}"),
            id: format!("id{n}"),
            after: if n > 0 && n + 1 == units { vec!["u00".to_owned()] } else { Vec::new() },
            what: serde_json::Value::Null,
        };
        let units: Vec<Unit> = (0..units).map(unit).collect();
        let mut world = World::default();
        if kind == RunKind::Prune {
            world.made = units.iter().map(|unit| (unit.name.clone(), 1)).collect();
        }
        Arc::new(Fake {
            world: Mutex::new(world),
            units,
            slots,
            kind,
            twice: false.into(),
            at_call: Mutex::default(),
            hook: Mutex::default(),
            gate: tokio::sync::Semaphore::new(0),
            gated: false.into(),
        })
    }

    pub(super) fn job(self: &Arc<Self>) -> Job {
        Job { database: "ledger-tables".to_owned(), work: self.clone(), units: self.units.clone() }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(super) fn trouble(&self, unit: &str, trouble: Trouble) {
        self.world().trouble.insert(unit.to_owned(), trouble);
    }

    fn troubled(&self, unit: &str) -> Result<(), ProviderError> {
        let mut at_call = self.at_call.lock().unwrap();
        let mut now = match at_call.take() {
            Some((1, trouble)) => trouble,
            Some((calls, trouble)) => {
                *at_call = Some((calls - 1, trouble));
                Trouble::None
            }
            None => Trouble::None,
        };
        let mut world = self.world();
        let of_unit = world.trouble.entry(unit.to_owned()).or_default();
        let trouble = if now == Trouble::None { of_unit } else { &mut now };
        let error = |kind| Err(ProviderError::new(kind, format!("{unit} is in trouble"), "mend it"));
        match trouble {
            Trouble::None | Trouble::Passing(0) => Ok(()),
            Trouble::Passing(times) => {
                *times -= 1;
                error(ErrorKind::Unreachable)
            }
            Trouble::Final => error(ErrorKind::PermissionDenied),
            Trouble::Lost => error(ErrorKind::Lost),
        }
    }

    fn make(&self, unit: &Unit) {
        let mut world = self.world();
        let now = Instant::now();
        *world.made.entry(unit.name.clone()).or_insert(0) += 1;
        world.grown_at.insert(unit.name.clone(), now + GROWTH);
        let growing = world.grown_at.values().filter(|at| **at > now).count();
        world.most = world.most.max(growing);
        let early = unit.after.iter().any(|first| world.grown_at.get(first).is_none_or(|at| *at > now));
        world.out_of_order += usize::from(early);
        world.deeds += 1;
    }

    fn remove(&self, unit: &Unit) {
        let mut world = self.world();
        world.made.remove(&unit.name);
        world.grown_at.remove(&unit.name);
        world.deeds += 1;
    }

    fn tell(&self) {
        let step = {
            let mut world = self.world();
            world.steps += 1;
            world.steps
        };
        if let Some(hook) = &*self.hook.lock().unwrap() {
            let _ = hook.send(step);
        }
    }

    async fn act(&self, unit: &Unit, act: Act<'_>) -> Result<Step, ProviderError> {
        let makes = act.intent.what == "make";
        let there = self.world().made.contains_key(&unit.name);
        if makes != there {
            act.fence.pass().await?;
            if self.gated.load(std::sync::atomic::Ordering::SeqCst) {
                self.gate.acquire().await.unwrap().forget();
            }
            self.tell();
            tokio::task::yield_now().await;
            if makes {
                self.make(unit)
            } else {
                self.remove(unit)
            }
            self.tell();
            // Here a process can die with the deed done and nothing recorded.
            tokio::task::yield_now().await;
        }
        let slot = makes.then(|| "growing".to_owned());
        Ok(Step::Did(Record { slot, ..record(if makes { "made" } else { "removed" }) }))
    }
}

fn record(text: &str) -> Record {
    Record { text: text.to_owned(), what: text.into(), slot: None, warning: None }
}

#[async_trait::async_trait]
impl DurableWork for Fake {
    fn slots(&self) -> BTreeMap<String, usize> {
        BTreeMap::from([("growing".to_owned(), self.slots)])
    }

    async fn step(
        &self,
        _: &Context,
        way: Way,
        unit: &Unit,
        state: &UnitState,
        act: Option<Act<'_>>,
    ) -> Result<Step, ProviderError> {
        if self.twice.load(std::sync::atomic::Ordering::SeqCst) {
            self.one_step(way, unit, state, act).await?;
        }
        self.one_step(way, unit, state, act).await
    }
}

impl Fake {
    async fn one_step(
        &self,
        way: Way,
        unit: &Unit,
        state: &UnitState,
        act: Option<Act<'_>>,
    ) -> Result<Step, ProviderError> {
        let way = if self.kind == RunKind::Prune { Way::Back } else { way };
        self.tell();
        tokio::task::yield_now().await;
        self.troubled(&unit.name)?;
        if let Some(act) = act {
            return self.act(unit, act).await;
        }
        let last = state.records.last().map(|record| record.what.clone()).unwrap_or_default();
        let intend = |what: &str, slot: Option<&str>| {
            let text = format!("{what} {}", unit.name);
            Ok(Step::Intend(Intent { text, what: what.into(), slot: slot.map(str::to_owned) }))
        };
        let there = self.world().made.contains_key(&unit.name);
        match (way, last.as_str().unwrap_or_default()) {
            (Way::Back, _) if there => intend("remove", None),
            (Way::Back, _) => Ok(Step::Done(record("undone"))),
            (Way::Forward, "made") => {
                let grown = self.world().grown_at.get(&unit.name).copied();
                let poll = Poll { first: GROWTH, then: Duration::from_secs(2), last: Duration::from_secs(5) };
                match grown {
                    Some(at) if at <= Instant::now() => Ok(Step::Did(record("grown"))),
                    _ => Ok(Step::Wait { poll, progress: "growing".to_owned() }),
                }
            }
            (Way::Forward, "grown") => Ok(Step::Done(record("done"))),
            (Way::Forward, _) => intend("make", Some("growing")),
        }
    }
}
