//! Looking up what the coordinator decided of records that wait, many at a time, strongly consistent.

use super::items::{self, PARTITION_KEY, ROW, text_key};
use super::{Paid, Run};
use crate::limits::{BATCH_GET_ITEM, BATCH_KEYS};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};
use provider_api::verify::{Decision, Waiting, fate, lookups};
use provider_api::{ErrorKind, ProviderError};
use std::collections::{BTreeSet, HashMap};

impl Run<'_> {
    /// Tells the judge the fate of each. Without a coordinator's table nothing is known of any.
    pub(super) async fn look_up(&self, waiting: Vec<Waiting>) -> Result<(), ProviderError> {
        if waiting.is_empty() || self.coordinator().is_none() {
            return Ok(());
        }
        // A batch must not name a key twice; records of one transaction, and children of one group, share theirs.
        let ids: BTreeSet<&str> = waiting.iter().flat_map(|record| lookups(&record.tx_id)).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let mut rows = HashMap::new();
        for ids in ids.chunks(BATCH_KEYS) {
            rows.extend(self.rows_of(ids).await?);
        }
        let mut judge = self.judge();
        for record in waiting {
            let fate = fate(&record.tx_id, |id| rows.get(id));
            judge.decided(record, fate);
        }
        Ok(())
    }

    async fn rows_of(&self, ids: &[&str]) -> Result<HashMap<String, Decision>, ProviderError> {
        let Some(target) = self.coordinator() else { return Ok(HashMap::new()) };
        let mut keys: Vec<HashMap<String, AttributeValue>> =
            ids.iter().map(|id| HashMap::from([(PARTITION_KEY.to_owned(), text_key(id))])).collect();
        let mut rows = HashMap::new();
        while !keys.is_empty() {
            let asked = keys_and_attributes(&keys)?;
            // One unit each: rows are small.
            let guess = f64::from(u32::try_from(keys.len()).unwrap_or(u32::MAX));
            let turn = Paid { pace: &target.pace, guess, table: &target.table };
            let answer = self
                .cloud
                .call_in_turn(self.context, &BATCH_GET_ITEM, &target.table, &turn, || {
                    let call = self.cloud.dynamodb.batch_get_item().request_items(&target.table, asked.clone());
                    call.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
                })
                .await?;
            let cost = answer.consumed_capacity().iter().filter_map(|consumed| consumed.capacity_units).sum::<f64>();
            target.pace.settle(guess, cost);
            self.paid(cost);
            let unprocessed = answer.unprocessed_keys.unwrap_or_default();
            for item in answer.responses.unwrap_or_default().into_values().flatten() {
                let row = items::decision(&item);
                rows.insert(row.id.clone(), row);
            }
            // What was left out for now is asked for again; the pace has been told what was paid.
            keys = unprocessed.into_values().flat_map(|left| left.keys).collect();
        }
        Ok(rows)
    }
}

fn keys_and_attributes(keys: &[HashMap<String, AttributeValue>]) -> Result<KeysAndAttributes, ProviderError> {
    let slots: Vec<String> = (0..ROW.len()).map(|n| format!("#a{n}")).collect();
    let names = slots.iter().cloned().zip(ROW.map(str::to_owned)).collect();
    KeysAndAttributes::builder()
        .set_keys(Some(keys.to_vec()))
        .projection_expression(slots.join(", "))
        .set_expression_attribute_names(Some(names))
        .consistent_read(true)
        .build()
        .map_err(|cause| {
            ProviderError::new(ErrorKind::Invalid, "the coordinator's rows cannot be asked for", "report this defect")
                .caused_by(cause)
        })
}
