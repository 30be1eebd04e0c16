//! Between CBOR on the wire and JSON inside.

use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value};

/// A request body; `None` if it is no CBOR or holds something that JSON cannot.
pub(crate) fn read(body: &[u8]) -> Option<Value> {
    if body.is_empty() {
        return Some(Value::Object(Map::new()));
    }
    to_json(ciborium::from_reader(body).ok()?)
}

fn to_json(value: Cbor) -> Option<Value> {
    Some(match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(flag) => flag.into(),
        Cbor::Text(text) => text.into(),
        Cbor::Integer(number) => i64::try_from(number).ok()?.into(),
        Cbor::Float(number) => Number::from_f64(number)?.into(),
        // A tag marks timestamps; inside they are epoch seconds.
        Cbor::Tag(_, inner) => to_json(*inner)?,
        Cbor::Array(list) => list.into_iter().map(to_json).collect::<Option<_>>()?,
        Cbor::Map(members) => {
            let member = |(key, value): (Cbor, Cbor)| Some((key.into_text().ok()?, to_json(value)?));
            Value::Object(members.into_iter().map(member).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// An answer's body. Members whose name ends in `Timestamp` become timestamps.
pub(crate) fn write(value: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    // Writing plain values to a vector cannot fail.
    let _ = ciborium::into_writer(&to_cbor("", value), &mut body);
    body
}

fn to_cbor(name: &str, value: &Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(*flag),
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Number(number) if name.ends_with("Timestamp") => {
            Cbor::Tag(1, Box::new(Cbor::Float(number.as_f64().unwrap_or_default())))
        }
        Value::Number(number) => match number.as_i64() {
            Some(whole) if name != "Threshold" => Cbor::Integer(whole.into()),
            _ => Cbor::Float(number.as_f64().unwrap_or_default()),
        },
        Value::Array(list) => Cbor::Array(list.iter().map(|one| to_cbor("", one)).collect()),
        Value::Object(members) => {
            Cbor::Map(members.iter().map(|(name, value)| (Cbor::Text(name.clone()), to_cbor(name, value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_survive_the_trip_and_timestamps_are_tagged() {
        let alarm = serde_json::json!({
            "AlarmName": "a", "Threshold": 42, "Period": 60, "ActionsEnabled": true, "AlarmActions": ["x"],
            "StateUpdatedTimestamp": 1_700_000_000.5,
        });
        let bytes = write(&alarm);
        let raw: Cbor = ciborium::from_reader(bytes.as_slice()).expect("CBOR");
        let raw = raw.into_map().expect("a map");
        let stamp = raw.iter().find(|(key, _)| key.as_text() == Some("StateUpdatedTimestamp")).expect("there");
        assert!(matches!(&stamp.1, Cbor::Tag(1, _)));
        let back = read(&bytes).expect("JSON");
        assert_eq!(back["StateUpdatedTimestamp"], alarm["StateUpdatedTimestamp"]);
        assert_eq!(back["Threshold"], 42.0);
        assert_eq!(read(&[]), Some(serde_json::json!({})));
        assert_eq!(read(&[0xff]), None);
        let endless_map = [0xbf, 0x61, b'a', 0x01, 0xff];
        assert_eq!(read(&endless_map), Some(serde_json::json!({ "a": 1 })));
    }
}
