//! Resource policies of tables and of their streams.

use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    names,
};

#[derive(Debug, Clone)]
pub(crate) struct Policy {
    text: String,
    revision: String,
}

impl Api<'_> {
    pub(crate) fn get_policy(&mut self, body: &Value) -> Result<Value> {
        let now = self.now;
        let arn = names::required(body, "ResourceArn")?;
        let name = self.policy_table(arn)?;
        match self.settled_table(&name)?.policy.read(now) {
            Some(policy) => Ok(json!({ "Policy": policy.text, "RevisionId": policy.revision })),
            None => Err(no_policy(arn)),
        }
    }

    pub(crate) fn put_policy(&mut self, body: &Value) -> Result<Value> {
        let arn = names::required(body, "ResourceArn")?;
        let policy = self.new_policy(names::required(body, "Policy")?)?;
        let revision = policy.revision.clone();
        self.change_policy(arn, body, Some(policy))?;
        Ok(json!({ "RevisionId": revision }))
    }

    pub(crate) fn delete_policy(&mut self, body: &Value) -> Result<Value> {
        let arn = names::required(body, "ResourceArn")?;
        let before = self.change_policy(arn, body, None)?;
        Ok(before.map_or_else(|| json!({}), |policy| json!({ "RevisionId": policy.revision })))
    }

    pub(crate) fn new_policy(&mut self, text: &str) -> Result<Policy> {
        let document: Option<Value> = serde_json::from_str(text).ok();
        if document.is_none_or(|document| document.get("Statement").is_none()) {
            return Err(ServiceError::validation("Resource policy is not a valid policy document"));
        }
        let revision = format!("{}", self.now.div_euclid(1_000_000));
        Ok(Policy { text: text.to_owned(), revision })
    }

    fn change_policy(&mut self, arn: &str, body: &Value, policy: Option<Policy>) -> Result<Option<Policy>> {
        let expected = names::optional(body, "ExpectedRevisionId")?;
        let name = self.policy_table(arn)?;
        let (now, cooldown) = (self.now, self.scaled(self.config.lags.policy_cooldown));
        let visible_at = self.after(self.config.lags.policy);
        let table = self.settled_table(&name)?;
        if table.policy_changed_at.is_some_and(|at| now < at.saturating_add(cooldown)) {
            return Err(ServiceError::limit(format!(
                "Too many changes of the resource policy of {arn}; wait 15 seconds"
            )));
        }
        let before = table.policy.newest().clone();
        let fits = match (expected, &before) {
            (None, _) | (Some("NO_POLICY"), None) => true,
            (Some(expected), Some(policy)) => policy.revision == expected,
            (Some(_), None) => false,
        };
        if !fits {
            return Err(no_policy(arn));
        }
        if policy.is_some() || before.is_some() {
            table.policy.write(policy, now, visible_at);
            table.policy_changed_at = Some(now);
        }
        Ok(before)
    }

    /// Policies hang on tables here; a stream's own policy is not kept.
    fn policy_table(&self, arn: &str) -> Result<String> {
        let name = self.table_by_arn(arn)?.to_owned();
        match names::parse(arn) {
            Some(parts) if parts.rest.is_empty() => Ok(name),
            _ => Err(no_policy(arn)),
        }
    }
}

fn no_policy(arn: &str) -> ServiceError {
    ServiceError::new(
        "PolicyNotFoundException",
        format!("Resource-based policy not found for the provided ResourceArn: {arn}"),
    )
}
