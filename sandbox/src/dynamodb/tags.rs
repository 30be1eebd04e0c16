//! Tags of tables.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    names,
};

const MAX_TAGS: usize = 50;
/// The real page size is not documented; this one makes a full set take more than one page.
const PAGE: usize = 25;

impl Api<'_> {
    pub(crate) fn tag_resource(&mut self, body: &Value) -> Result<Value> {
        let arn = names::required(body, "ResourceArn")?;
        let added = given(body)?;
        if added.is_empty() {
            return Err(ServiceError::validation("Atleast one Tag needs to be provided as Input."));
        }
        self.change_tags(arn, |tags| tags.extend(added))
    }

    pub(crate) fn untag_resource(&mut self, body: &Value) -> Result<Value> {
        let arn = names::required(body, "ResourceArn")?;
        let keys = body.get("TagKeys").and_then(Value::as_array).ok_or_else(|| names::missing("TagKeys"))?;
        let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
        self.change_tags(arn, |tags| tags.retain(|key, _| !keys.contains(&key.as_str())))
    }

    fn change_tags(&mut self, arn: &str, change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<Value> {
        let name = self.table_by_arn(arn)?;
        let now = self.now;
        let visible_at = self.after(self.config.lags.tags);
        let lock = self.scaled(self.config.lags.tag_lock);
        let table = self.settled_table(name)?;
        if now < table.tags_locked_until {
            return Err(ServiceError::limit(format!(
                "Subscriber limit exceeded: There is another tag operation in progress for table {name}"
            )));
        }
        let mut tags = table.tags.newest().clone();
        change(&mut tags);
        if tags.len() > MAX_TAGS {
            return Err(ServiceError::validation(format!("Too many tags: a resource can have {MAX_TAGS}")));
        }
        table.tags.write(tags, now, visible_at);
        table.tags_locked_until = now.saturating_add(lock);
        Ok(json!({}))
    }

    pub(crate) fn list_tags(&mut self, body: &Value) -> Result<Value> {
        let name = self.table_by_arn(names::required(body, "ResourceArn")?)?;
        let start = names::optional(body, "NextToken")?.unwrap_or_default();
        let now = self.now;
        let table = self.settled_table(name)?;
        let mut rest = table.tags.read(now).iter().filter(|(key, _)| key.as_str() > start).peekable();
        let mut page = Vec::new();
        let mut last = "";
        while let Some((key, value)) = rest.next_if(|_| page.len() < PAGE) {
            page.push(json!({ "Key": key, "Value": value }));
            last = key;
        }
        let mut answer = json!({ "Tags": page });
        if rest.peek().is_some() {
            answer["NextToken"] = last.into();
        }
        Ok(answer)
    }
}

/// The tags in a request.
pub(crate) fn given(body: &Value) -> Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for tag in body.get("Tags").and_then(Value::as_array).into_iter().flatten() {
        let (key, value) = (names::required(tag, "Key")?, names::required(tag, "Value")?);
        if key.is_empty() || key.len() > 128 || value.len() > 256 {
            return Err(ServiceError::validation(format!("Tag key or value has a wrong length: {key}")));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ServiceError::validation(format!(
                "One or more parameter values were invalid: Tag keys starting with 'aws:' are reserved: {key}"
            )));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    if tags.len() > MAX_TAGS {
        return Err(ServiceError::validation(format!("Too many tags: a resource can have {MAX_TAGS}")));
    }
    Ok(tags)
}
