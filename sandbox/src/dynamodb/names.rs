//! Names, ARNs and members of requests.

use serde_json::Value;

use super::error::ServiceError;

type Result<T> = std::result::Result<T, ServiceError>;

pub(crate) fn arn(region: &str, account: &str, table: &str) -> String {
    format!("arn:aws:dynamodb:{region}:{account}:table/{table}")
}

/// What an ARN of this service names.
#[derive(Debug, PartialEq)]
pub(crate) struct Parts<'a> {
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) table: &'a str,
    /// `backup/...`, `stream/...`, `index/...`, or empty.
    pub(crate) rest: &'a str,
}

pub(crate) fn parse(arn: &str) -> Option<Parts<'_>> {
    let mut fields = arn.splitn(6, ':');
    let (prefix, _partition, service) = (fields.next()?, fields.next()?, fields.next()?);
    let (region, account, resource) = (fields.next()?, fields.next()?, fields.next()?);
    let resource = (prefix == "arn" && service == "dynamodb").then(|| resource.strip_prefix("table/"))??;
    let (table, rest) = resource.split_once('/').unwrap_or((resource, ""));
    Some(Parts { region, account, table, rest })
}

/// The table that a `TableName` member means, which may also be an ARN.
pub(crate) fn table_of(name_or_arn: &str) -> &str {
    parse(name_or_arn).map_or(name_or_arn, |parts| parts.table)
}

/// Is it 3..255 of `A-Z a-z 0-9 _ . -`?
pub(crate) fn check_name(member: &str, name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let broken = if name.len() < 3 {
        "Member must have length greater than or equal to 3"
    } else if name.len() > 255 {
        "Member must have length less than or equal to 255"
    } else if !name.chars().all(allowed) {
        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
    } else {
        return Ok(());
    };
    Err(constraint(name, member, broken))
}

/// The service's text for a member that breaks its shape.
pub(crate) fn constraint(value: &str, member: &str, broken: &str) -> ServiceError {
    ServiceError::validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {broken}"
    ))
}

/// A string member that must be there.
pub(crate) fn required<'a>(body: &'a Value, member: &str) -> Result<&'a str> {
    optional(body, member)?.ok_or_else(|| missing(member))
}

pub(crate) fn missing(member: &str) -> ServiceError {
    let mut letters = member.chars();
    let camel: String = letters.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(letters).collect();
    ServiceError::validation(format!(
        "1 validation error detected: Value null at '{camel}' failed to satisfy constraint: Member must not be null"
    ))
}

/// A string member that may be absent.
pub(crate) fn optional<'a>(body: &'a Value, member: &str) -> Result<Option<&'a str>> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(mistyped(member, "String")),
    }
}

pub(crate) fn optional_bool(body: &Value, member: &str) -> Result<Option<bool>> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(mistyped(member, "Boolean")),
    }
}

pub(crate) fn optional_int(body: &Value, member: &str) -> Result<Option<i64>> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => number.as_i64().map(Some).ok_or_else(|| mistyped(member, "Integer")),
    }
}

/// A page size within `1..=max`.
pub(crate) fn page_size(body: &Value, member: &str, max: i64) -> Result<usize> {
    let size = optional_int(body, member)?.unwrap_or(max);
    if size < 1 {
        return Err(constraint(&size.to_string(), member, "Member must have value greater than or equal to 1"));
    }
    if size > max {
        let broken = format!("Member must have value less than or equal to {max}");
        return Err(constraint(&size.to_string(), member, &broken));
    }
    Ok(usize::try_from(size).unwrap_or(1))
}

/// One of a list of words.
pub(crate) fn one_of<'a>(body: &'a Value, member: &str, words: &[&str]) -> Result<Option<&'a str>> {
    let Some(word) = optional(body, member)? else { return Ok(None) };
    if words.contains(&word) {
        return Ok(Some(word));
    }
    let broken = format!("Member must satisfy enum value set: [{}]", words.join(", "));
    Err(constraint(word, member, &broken))
}

pub(crate) fn mistyped(member: &str, kind: &str) -> ServiceError {
    ServiceError::new("SerializationException", format!("{member} cannot be converted to {kind}"))
}

/// A timestamp member in epoch seconds, as nanoseconds.
pub(crate) fn optional_time(body: &Value, member: &str) -> Result<Option<i64>> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(match number.as_i64() {
            Some(seconds) => seconds.saturating_mul(1_000_000_000),
            // The wire carries at most milliseconds; a double holds those exactly enough.
            None => round_ms(number.as_f64().unwrap_or_default()),
        })),
        Some(_) => Err(mistyped(member, "Timestamp")),
    }
}

#[allow(clippy::cast_possible_truncation)]
fn round_ms(seconds: f64) -> i64 {
    ((seconds * 1000.0).round() as i64).saturating_mul(1_000_000)
}

/// A timestamp as the service writes it: epoch seconds with milliseconds.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn seconds(ns: i64) -> Value {
    Value::from(ns.div_euclid(1_000_000) as f64 / 1000.0)
}

/// Does `name` fit `pattern`, in which `*` stands for any text?
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_name_tables_and_what_hangs_on_them() {
        let table = arn("eu-west-1", "123456789012", "ns.t");
        let parts = parse(&table).expect("an ARN of our own");
        assert_eq!((parts.region, parts.account, parts.table, parts.rest), ("eu-west-1", "123456789012", "ns.t", ""));
        let backup = format!("{table}/backup/01-ab");
        assert_eq!(parse(&backup).expect("a backup").rest, "backup/01-ab");
        assert_eq!(table_of("ns.t"), "ns.t");
        assert_eq!(parse("arn:aws:s3:::bucket"), None);
    }

    #[test]
    fn patterns_match_with_stars_anywhere() {
        assert!(
            matches("*", "PutItem") && matches("Describe*", "DescribeTable") && matches("*.accounts", "a.accounts")
        );
        assert!(!matches("Describe*", "ListTables") && !matches("Put", "PutItem"));
    }

    #[test]
    fn times_keep_their_milliseconds() {
        let body = serde_json::json!({ "whole": 1_700_000_000, "part": 1_700_000_000.123 });
        assert_eq!(optional_time(&body, "whole"), Ok(Some(1_700_000_000_000_000_000)));
        assert_eq!(optional_time(&body, "part"), Ok(Some(1_700_000_000_123_000_000)));
        assert_eq!(seconds(1_700_000_000_123_999_999).to_string(), "1700000000.123");
    }
}
