//! The steps of a drill: the provider's for every copy, held back until all are whole and verified; and the verification itself.

use super::{DrillPlan, VERIFY};
use crate::catalog::Loaded;
use crate::databases::Database;
use crate::failure::{Exit, Failure};
use crate::restore_point::verify::{self, VerifiedDatabase};
use crate::workflow::Run;
use provider_api::{
    Act, Context, Driller, DurableWork, Limits, PointSet, Poll, ProviderError, Record, Step, Unit, UnitState, Verifier,
    VerifyRequest, Way,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Copies take minutes; what waits for them need not look often.
const OTHERS: Poll =
    Poll { first: Duration::from_secs(2), then: Duration::from_secs(5), last: Duration::from_secs(15) };

/// Violations that are kept in the log: the rest is counted.
const KEPT: usize = 100;

/// One database's part of a drill.
#[derive(Debug)]
pub(super) struct DrillWork {
    name: String,
    driller: Driller,
    verifier: Verifier,
    sets: Vec<PointSet>,
    metadata: BTreeMap<String, Value>,
    limits: Limits,
    plan: DrillPlan,
    /// Units of copies; those of them that are whole.
    copies: usize,
    whole: Mutex<BTreeSet<String>>,
    verified: AtomicBool,
}

impl DrillWork {
    pub(super) fn new(
        loaded: &Loaded,
        databases: &[Database],
        name: &str,
        driller: Driller,
        units: &[Unit],
        plan: &DrillPlan,
    ) -> Result<Self, Failure> {
        let database = databases.iter().find(|database| database.name == name);
        let Some(verifier) = database.and_then(|database| Arc::clone(&database.provider).verifier()) else {
            let message = format!("database `{name}` cannot be verified");
            return Err(Failure::new(Exit::Refused, "no_verify", message, "Read the tables through ScalarDB instead."));
        };
        // A drill that was taken up may have been verified before; its copies are only to be removed then.
        let run = Run::of(loaded.events()).filter(|run| !run.ended);
        let verified = run.is_some_and(|run| {
            run.units.iter().any(|(key, unit)| is_verification(&key.unit) && key.database == name && unit.done)
        });
        Ok(DrillWork {
            name: name.to_owned(),
            driller,
            verifier,
            sets: verify::sets(loaded, name),
            metadata: verify::metadata(loaded, name),
            limits: verify::limits(loaded)?,
            plan: plan.clone(),
            copies: units.len(),
            whole: Mutex::default(),
            verified: AtomicBool::new(verified),
        })
    }

    /// The unit that verifies.
    pub(super) fn unit(&self) -> Unit {
        Unit { name: VERIFY.to_owned(), id: String::new(), after: Vec::new(), what: Value::Null }
    }

    fn note(&self, unit: &Unit) -> usize {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_verification(&unit.name) {
            whole.insert(unit.name.clone());
        }
        whole.len()
    }

    async fn verify(&self, context: &Context, unit: &Unit) -> Result<Step, ProviderError> {
        let whole = self.note(unit);
        if whole < self.copies {
            return Ok(Step::Wait {
                poll: OTHERS,
                progress: format!("waiting until every copy is whole ({whole} of {})", self.copies),
            });
        }
        let request = VerifyRequest {
            sets: &self.sets,
            metadata: &self.metadata,
            prefix: &self.plan.prefix,
            limits: self.limits,
            budget: self.plan.budget,
            segments: self.plan.segments,
        };
        let begun = std::time::Instant::now();
        let found = self.verifier.verify(context, &request, &|_| {}).await?;
        let mut found = verify::reported(&self.name, found);
        found.violations.truncate(KEPT);
        let text = if found.broken.is_empty() { "verified: sound" } else { "verified: NOT SOUND" };
        let what = json!({ "elapsed_ms": begun.elapsed().as_secs_f64() * 1e3, "found": found });
        self.verified.store(true, Ordering::SeqCst);
        Ok(Step::Done(Record { text: text.to_owned(), what, slot: None, warning: None }))
    }
}

/// Whether the unit of this name verifies, rather than copies.
pub(super) fn is_verification(name: &str) -> bool {
    name == VERIFY
}

/// What a verification's record holds.
pub(super) fn found_in(record: &Record) -> Option<(f64, VerifiedDatabase)> {
    let found = serde_json::from_value(record.what["found"].clone()).ok()?;
    Some((record.what["elapsed_ms"].as_f64()?, found))
}

#[async_trait::async_trait]
impl DurableWork for DrillWork {
    fn slots(&self) -> BTreeMap<String, usize> {
        self.driller.slots()
    }

    async fn step(
        &self,
        context: &Context,
        way: Way,
        unit: &Unit,
        state: &UnitState,
        act: Option<Act<'_>>,
    ) -> Result<Step, ProviderError> {
        if is_verification(&unit.name) {
            return match way {
                Way::Forward => self.verify(context, unit).await,
                Way::Back => Ok(Step::Done(Record {
                    text: "not verified".to_owned(),
                    what: Value::Null,
                    slot: None,
                    warning: None,
                })),
            };
        }
        if way == Way::Forward && act.is_none() && self.driller.is_ready(state) {
            self.note(unit);
            if !self.verified.load(Ordering::SeqCst) {
                return Ok(Step::Wait { poll: OTHERS, progress: "restored; waiting for the verification".to_owned() });
            }
        }
        self.driller.step(context, way, unit, state, act).await
    }
}
