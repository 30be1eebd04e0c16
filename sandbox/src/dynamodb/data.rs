//! Reads and writes of items; every write is stamped and remembered before anything else can happen.

use std::{collections::HashMap, sync::Arc};

use dynoxide::actions::{batch_write_item::BatchWriteItemRequest, transact_write_items::TransactWriteItemsRequest};
use serde_json::Value;

use super::{
    api::{Api, Result},
    error::ServiceError,
    history::Item,
    names,
    plane::{self, key_of, parse, render},
    state::WriteRecord,
    table::{IndexStatus, Status},
};

/// How long a transaction's token counts.
const TOKEN_NS: i64 = 600 * 1_000_000_000;

impl Api<'_> {
    pub(crate) fn read(&mut self, operation: &str, mut body: Value) -> Result<Value> {
        self.name_tables(operation, &mut body)?;
        let engine = self.plane.engine();
        match operation {
            "GetItem" => render(&engine.get_item(parse(body)?)?),
            "Query" => render(&engine.query(parse(body)?)?),
            "Scan" => render(&engine.scan(parse(body)?)?),
            "BatchGetItem" => render(&engine.batch_get_item(parse(body)?)?),
            _ => render(&engine.transact_get_items(parse(body)?)?),
        }
    }

    pub(crate) fn write(&mut self, operation: &str, mut body: Value) -> Result<Value> {
        self.name_tables(operation, &mut body)?;
        let engine = self.plane.engine();
        let table = body.get("TableName").and_then(Value::as_str).unwrap_or_default().to_owned();
        match operation {
            "PutItem" => {
                let request: dynoxide::actions::put_item::PutItemRequest = parse(body)?;
                let item = request.item.clone();
                let answer = render(&engine.put_item(request)?)?;
                self.commit(vec![(table, item)])?;
                Ok(answer)
            }
            "UpdateItem" => {
                let request: dynoxide::actions::update_item::UpdateItemRequest = parse(body)?;
                let key = request.key.clone();
                let answer = render(&engine.update_item(request)?)?;
                self.commit(vec![(table, key)])?;
                Ok(answer)
            }
            "DeleteItem" => {
                let request: dynoxide::actions::delete_item::DeleteItemRequest = parse(body)?;
                let key = request.key.clone();
                let answer = render(&engine.delete_item(request)?)?;
                self.commit(vec![(table, key)])?;
                Ok(answer)
            }
            "BatchWriteItem" => self.batch_write(body),
            _ => self.transact_write(body),
        }
    }

    fn batch_write(&mut self, body: Value) -> Result<Value> {
        let request: BatchWriteItemRequest = parse(body)?;
        let mut touched = Vec::new();
        for (table, writes) in &request.request_items {
            for write in writes {
                let put = write.put_request.as_ref().map(|put| &put.item);
                let item = put.or(write.delete_request.as_ref().map(|delete| &delete.key));
                touched.extend(item.map(|item| (table.clone(), item.clone())));
            }
        }
        let answer = self.plane.engine().batch_write_item(request)?;
        let unprocessed = !answer.unprocessed_items.is_empty();
        if unprocessed {
            return Err(ServiceError::internal("the engine left writes of a batch undone"));
        }
        self.commit(touched)?;
        render(&answer)
    }

    fn transact_write(&mut self, body: Value) -> Result<Value> {
        let request: TransactWriteItemsRequest = parse(body)?;
        let mut touched = Vec::new();
        for write in &request.transact_items {
            let put = write.put.as_ref().map(|put| (put.table_name.clone(), put.item.clone()));
            let update = || write.update.as_ref().map(|update| (update.table_name.clone(), update.key.clone()));
            let delete = || write.delete.as_ref().map(|delete| (delete.table_name.clone(), delete.key.clone()));
            touched.extend(put.or_else(update).or_else(delete));
        }
        let token = request.client_request_token.clone();
        let answer = self.plane.engine().transact_write_items(request)?;
        let now = self.now;
        self.state.tokens.retain(|_, at| now.saturating_sub(*at) < TOKEN_NS);
        let repeated = token.is_some_and(|token| self.state.tokens.insert(token, now).is_some());
        if !repeated {
            self.commit(touched)?;
        }
        render(&answer)
    }

    /// Stamps the items just written with their tables' history clocks. The lock on the account is held from the
    /// engine's commit to here, so stamps are in commit order.
    fn commit(&mut self, touched: Vec<(String, Item)>) -> Result<()> {
        let mono_ns = self.clock.mono_ns();
        let service = self.clock.unix_ns().saturating_add(self.config.service_offset_ns);
        for (name, item) in touched {
            let Some(table) = self.state.tables.get_mut(&name) else { continue };
            let Some((key, text)) = key_of(&item, &table.key_names) else { continue };
            let image = self.plane.get(&name, &key)?.map(Arc::new);
            let history_ns = service.saturating_add(table.skew_ns);
            self.state.writes.push(WriteRecord {
                table: name,
                table_id: table.id.clone(),
                key: render(&key)?,
                deleted: image.is_none(),
                mono_ns,
                history_ns,
            });
            if let Some(pitr) = &mut table.pitr {
                pitr.history.record(text, history_ns, image);
            }
        }
        Ok(())
    }

    /// Replaces ARNs by names and checks that every table (and index) of the request can be used now.
    fn name_tables(&self, operation: &str, body: &mut Value) -> Result<()> {
        match operation {
            "BatchGetItem" | "BatchWriteItem" => {
                let Some(requests) = body.get_mut("RequestItems").and_then(Value::as_object_mut) else { return Ok(()) };
                let named: HashMap<String, String> =
                    requests.keys().map(|key| (key.clone(), names::table_of(key).to_owned())).collect();
                for (given, name) in named {
                    self.usable(&name)?;
                    if given != name
                        && let Some(request) = requests.remove(&given)
                    {
                        requests.insert(name, request);
                    }
                }
            }
            "TransactGetItems" | "TransactWriteItems" => {
                let items = body.get_mut("TransactItems").and_then(Value::as_array_mut);
                for action in items.into_iter().flatten().filter_map(Value::as_object_mut) {
                    for one in action.values_mut() {
                        self.name_table(one)?;
                    }
                }
            }
            _ => {
                self.name_table(body)?;
                self.index_usable(body)?;
            }
        }
        Ok(())
    }

    fn name_table(&self, request: &mut Value) -> Result<()> {
        let Some(Value::String(given)) = request.get_mut("TableName") else { return Ok(()) };
        let name = names::table_of(given).to_owned();
        // A name that breaks the rules is the engine's to complain about.
        if names::check_name("tableName", &name).is_ok() {
            self.usable(&name)?;
        }
        *given = name;
        Ok(())
    }

    fn usable(&self, name: &str) -> Result<()> {
        match self.state.tables.get(name).map(|table| table.status(self.now)) {
            None | Some(Status::Creating | Status::Deleting) => Err(ServiceError::data_not_found()),
            Some(Status::Forced) => {
                Err(ServiceError::new("ResourceNotFoundException", format!("Table {name} is not accessible")))
            }
            Some(Status::Active | Status::Updating) => Ok(()),
        }
    }

    fn index_usable(&self, body: &Value) -> Result<()> {
        let (Some(table), Some(index)) = (names::optional(body, "TableName")?, names::optional(body, "IndexName")?)
        else {
            return Ok(());
        };
        let found = self.state.tables.get(table).and_then(|table| table.spec.index(index));
        match found.map(|index| index.status(self.now)) {
            Some(IndexStatus::Creating) => {
                Err(ServiceError::validation(format!("Cannot read from backfilling global secondary index: {index}")))
            }
            _ => Ok(()),
        }
    }

    /// Items and bytes as DescribeTable shows them: by statistics that lag.
    pub(crate) fn statistics(&mut self, name: &str) -> Result<(i64, i64)> {
        let max_age = self.scaled(self.config.lags.statistics);
        let now = self.now;
        let Some(table) = self.state.tables.get_mut(name) else { return Ok((0, 0)) };
        if now < table.active_at {
            return Ok((0, 0));
        }
        let (at, seen) = table.statistics;
        if now.saturating_sub(at) < max_age {
            return Ok(seen);
        }
        let seen = self.plane.size(name)?;
        table.statistics = (now, seen);
        Ok(seen)
    }
}

/// Items of a table with their keys, for the start of a history.
pub(crate) fn keyed(items: Vec<Item>, key_names: &[String]) -> Vec<(super::history::ItemKey, Item)> {
    items.into_iter().filter_map(|item| plane::key_of(&item, key_names).map(|(_, key)| (key, item))).collect()
}
