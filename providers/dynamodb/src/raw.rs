//! Answers as the service sent them.
//!
//! A capsule must hold every setting, those that this version of the SDK has no field for included. So settings are
//! kept from the body of the answer, not from the SDK's types.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::{Map, Number, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps the body of the last answer of the call it is attached to.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeepBody(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    body: Vec<u8>,
    cbor: bool,
}

impl Intercept for KeepBody {
    fn name(&self) -> &'static str {
        "KeepBody"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _runtime_components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.body = response.body().bytes().unwrap_or_default().to_vec();
        kept.cbor = response.headers().get("content-type").is_some_and(|kind| kind.contains("cbor"));
        Ok(())
    }
}

impl KeepBody {
    /// The answer as JSON.
    pub(crate) fn json(&self) -> Result<Value, String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.cbor {
            let value: ciborium::Value = ciborium::from_reader(kept.body.as_slice())
                .map_err(|error| format!("the answer is no CBOR: {error}"))?;
            return Ok(from_cbor(value));
        }
        serde_json::from_slice(&kept.body).map_err(|error| format!("the answer is no JSON: {error}"))
    }
}

/// CBOR as AWS uses it: maps with text keys, times as tagged numbers.
fn from_cbor(value: ciborium::Value) -> Value {
    use ciborium::Value as Cbor;
    match value {
        Cbor::Integer(number) => match i64::try_from(number) {
            Ok(number) => Value::from(number),
            Err(_) => Value::String(format!("{}", i128::from(number))),
        },
        Cbor::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        Cbor::Text(text) => Value::String(text),
        Cbor::Bool(truth) => Value::Bool(truth),
        Cbor::Array(items) => Value::Array(items.into_iter().map(from_cbor).collect()),
        Cbor::Map(entries) => Value::Object(
            entries
                .into_iter()
                .filter_map(|(key, value)| Some((key.into_text().ok()?, from_cbor(value))))
                .collect::<Map<_, _>>(),
        ),
        Cbor::Tag(_, inner) => from_cbor(*inner),
        // CloudWatch's alarms hold no bytes; anything else has no form in JSON.
        _ => Value::Null,
    }
}

/// Takes `field` out of an object, or null.
pub(crate) fn take(json: &mut Value, field: &str) -> Value {
    json.get_mut(field).map(Value::take).unwrap_or_default()
}

/// Takes the list `field` out of an object; absent = empty.
pub(crate) fn take_list(json: &mut Value, field: &str) -> Vec<Value> {
    match take(json, field) {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// Removes these fields at every depth.
pub(crate) fn without(json: &mut Value, fields: &[&str]) {
    match json {
        Value::Object(map) => {
            map.retain(|key, _| !fields.contains(&key.as_str()));
            map.values_mut().for_each(|value| without(value, fields));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| without(item, fields)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cbor_answers_become_the_same_json() {
        let sent =
            json!({ "MetricAlarms": [{ "AlarmName": "a", "Threshold": 42.5, "Period": 60, "ActionsEnabled": true }] });
        let mut body = Vec::new();
        ciborium::into_writer(&sent, &mut body).unwrap();
        let keep = KeepBody(Arc::new(Mutex::new(Kept { body, cbor: true })));
        assert_eq!(keep.json().unwrap(), sent);
    }

    #[test]
    fn volatile_fields_go_at_every_depth() {
        let mut json =
            json!({ "ItemCount": 3, "Indexes": [{ "Name": "i", "ItemCount": 2 }], "Nested": { "ItemCount": 1 } });
        without(&mut json, &["ItemCount"]);
        assert_eq!(json, json!({ "Indexes": [{ "Name": "i" }], "Nested": {} }));
    }
}
