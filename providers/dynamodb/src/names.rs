//! Names of tables that stand for others for a while: a prefix, and the name of the table.

use crate::limits::LONGEST_NAME;
use provider_api::{ErrorKind, ProviderError};

/// The longest prefix: it must leave room for enough of a name to be known by.
const LONGEST_PREFIX: usize = 100;

/// The name under a prefix. The prefix is in front, because ScalarDB takes every table whose name *begins* with a
/// namespace for its own. A name that would be too long is cut, and ends in a hash of the whole.
pub(crate) fn prefixed(prefix: &str, table: &str) -> String {
    let whole = format!("{prefix}{table}");
    if whole.len() <= LONGEST_NAME {
        return whole;
    }
    // Table names are ASCII, so any byte is a place to cut.
    let hash = format!("-{:016x}", fnv1a(table));
    format!("{}{hash}", whole.get(..LONGEST_NAME - hash.len()).unwrap_or_default())
}

/// Refuses a prefix that no table's name can begin with.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), ProviderError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let what = match prefix.chars().find(|c| !allowed(*c)) {
        Some(wrong) => format!("has `{wrong}` in it"),
        None if prefix.len() > LONGEST_PREFIX => format!("is longer than {LONGEST_PREFIX} characters"),
        None => return Ok(()),
    };
    let hint = "use letters, digits, `_`, `.` and `-`, for example drill-1-";
    Err(ProviderError::new(ErrorKind::Invalid, format!("the prefix `{prefix}` {what}"), hint))
}

/// FNV-1a, 64 bits: only to tell long names apart, not to withstand anybody.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefixed_name_is_whole_where_it_fits_and_told_apart_where_it_does_not() {
        assert_eq!(prefixed("drill-1-", "bank.account"), "drill-1-bank.account");
        assert_eq!(prefixed("", "bank.account"), "bank.account");
        let (a, b) = (format!("{}a", "x".repeat(254)), format!("{}b", "x".repeat(254)));
        let (a, b) = (prefixed("drill-1-", &a), prefixed("drill-1-", &b));
        assert!(a.len() == 255 && b.len() == 255 && a != b && a.starts_with("drill-1-xxx"));
    }

    #[test]
    fn prefixes_that_no_table_can_have_are_refused() {
        for good in ["", "drill-1-", "a.b_c"] {
            check_prefix(good).unwrap();
        }
        for (bad, what) in [("a b", "` `"), ("ä", "`ä`"), (&*"x".repeat(101), "100")] {
            let error = check_prefix(bad).unwrap_err();
            assert!(error.kind == ErrorKind::Invalid && error.message.contains(what), "{error:?}");
        }
    }
}
