//! The restored table gets its protection and its settings; then it is compared.

use super::Table;
use super::journal::{Deed, Fact, Occupant, View, did, intend, record};
use crate::reapply::{self, Reapply};
use crate::table;
use provider_api::{Capsule, Fence, ProviderError, Step, Way};

impl Table<'_> {
    /// The next thing until a table that this run restored is as the capsule says.
    pub(super) async fn complete(&self, view: &View, table_id: &str, capsule: &Capsule) -> Result<Step, ProviderError> {
        if !view.active {
            return self.await_active(table_id, capsule).await;
        }
        let (name, id) = (&self.unit.name, table_id.to_owned());
        if !view.protected {
            return Ok(intend(format!("protect {name} until it is done"), &Deed::Protect { table_id: id }, None));
        }
        Ok(self.intend_settings(table_id))
    }

    pub(super) fn intend_settings(&self, table_id: &str) -> Step {
        let deed = Deed::Apply { table_id: table_id.to_owned() };
        intend(format!("put settings of {} back", self.unit.name), &deed, None)
    }

    /// One setting, or the end.
    pub(super) async fn apply(
        &self,
        way: Way,
        view: &View,
        table_id: &str,
        fence: &dyn Fence,
    ) -> Result<Step, ProviderError> {
        let Some(found) = self.look().await?.0 else {
            return Ok(self.unsure().unwrap_or_else(|| self.went(view, table_id)));
        };
        if table::identity(&found) != table_id {
            return Err(self.taken(table_id, &found));
        }
        let capsule = match &view.occupant {
            // Settings of T are not put on a table that is to go.
            Occupant::Ours { back: false, .. } if way == Way::Back => return Ok(did("stays so", &Fact::Nothing)),
            Occupant::Ours { back: false, .. } => &self.plan.capsule,
            // Nor those of before on one that is to be replaced after all; and that one is not what was to be restored.
            _ if way == Way::Forward => return Ok(did("stays so", &Fact::Nothing)),
            _ => match view.old_settings.as_deref() {
                Some(capsule) => capsule,
                None => return Ok(did("nothing to put back", &Fact::Nothing)),
            },
        };
        let name = &self.unit.name;
        match reapply::next_step(self.cloud, self.context, fence, name, capsule, &view.applied).await? {
            Reapply::Did(setting) => Ok(did(format!("settled {setting}"), &Fact::Applied { setting })),
            Reapply::Wait(poll, progress) => Ok(self.wait(poll, progress)),
            Reapply::Report(differences) => {
                let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
                Ok(self.done(way, view, table_id, &differences))
            }
        }
    }

    fn done(&self, way: Way, view: &View, table_id: &str, differences: &[String]) -> Step {
        let safety = view.safety_arn();
        let name = &self.unit.name;
        let kept = safety.as_ref().map(|arn| format!("; before: {arn}")).unwrap_or_default();
        let mut done = match way {
            Way::Forward => {
                let arn = self.plan.arn.clone();
                let fact = Fact::Restored { table_id: table_id.to_owned(), arn: arn.clone(), safety };
                record(format!("restored from {arn}{kept}"), &fact)
            }
            Way::Back => {
                let fact = Fact::PutBack { table_id: Some(table_id.to_owned()), safety };
                record(format!("as it was before{kept}"), &fact)
            }
        };
        if !differences.is_empty() {
            done.warning = Some(format!("`{name}` differs from what was recorded: {}", differences.join("; ")));
        }
        Step::Done(done)
    }
}
