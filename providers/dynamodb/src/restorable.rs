//! Can each table be restored to T: now, later, never again?

use crate::client::Cloud;
use crate::table::{self, Pitr, Seen};
use crate::together;
use aws_sdk_dynamodb::types::TableStatus;
use aws_smithy_types::date_time::Format;
use provider_api::{
    Context, ErrorKind, ProviderError, RecordedSet, Restorability, RestoreTime, SetRestorability, UnixNanos,
};
use std::time::Duration;

/// How far LatestRestorableDateTime is behind now: "typically 5 minutes" says the API Reference, and it was measured
/// as exactly that.
pub(crate) const LAG_SECONDS: f64 = 300.0;
/// Between two looks for a table that is not found.
const AGAIN: Duration = Duration::from_secs(3);
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

pub(crate) async fn restorable(
    cloud: &Cloud,
    context: &Context,
    time_scale: f64,
    at: RestoreTime,
    sets: &[RecordedSet],
) -> Result<Vec<SetRestorability>, ProviderError> {
    let work: Vec<_> = sets.iter().map(|set| ask(cloud, context, time_scale, at, set)).collect();
    together(work).await
}

async fn ask(
    cloud: &Cloud,
    context: &Context,
    time_scale: f64,
    at: RestoreTime,
    set: &RecordedSet,
) -> Result<SetRestorability, ProviderError> {
    // A point that is lost stays lost: one "not found" does not make it so, since answers may lag.
    let seen = loop {
        match table::look(cloud, context, &set.name).await {
            Ok(seen) => {
                cloud.absences.found(&set.name);
                break Some(seen);
            }
            Err(fault) if fault.error.kind != ErrorKind::NotFound => return Err(fault.error),
            Err(_) if cloud.absences.believed(&set.name, time_scale) => break None,
            Err(_) => context.sleep("looking for a table", AGAIN.div_f64(time_scale)).await?,
        }
    };
    Ok(answer(set, seen.as_ref(), at, time_scale))
}

fn answer(set: &RecordedSet, seen: Option<&Seen>, at: RestoreTime, time_scale: f64) -> SetRestorability {
    let (restorable_from, restorable_to) = match seen.map(|seen| seen.pitr) {
        Some(Pitr::On { from, to, .. }) => (from, to),
        _ => (None, None),
    };
    let restorability = judge(set, seen, at, time_scale);
    SetRestorability { name: set.name.clone(), restorability, restorable_from, restorable_to }
}

/// Pure: from what was seen of a table to the answer.
pub(crate) fn judge(set: &RecordedSet, seen: Option<&Seen>, at: RestoreTime, time_scale: f64) -> Restorability {
    let lost = |reason: String| Restorability::Lost { reason };
    let Some(seen) = seen else { return lost("the table no longer exists".to_owned()) };
    if seen.id != set.id {
        let reason = format!("the table was re-created: its id is {} now, {} was recorded", seen.id, set.id);
        return lost(reason);
    }
    if seen.status == TableStatus::Deleting {
        return lost("the table is being deleted".to_owned());
    }
    if matches!(seen.status, TableStatus::Archiving | TableStatus::Archived) {
        return lost("the table is archived, because its KMS key was unusable".to_owned());
    }
    let Pitr::On { from, to, days } = seen.pitr else {
        return lost("point-in-time recovery is off, which drops the history".to_owned());
    };
    let wanted = at.0.saturating_mul(SECOND);
    if let Some(from) = from.filter(|from| from.0 > wanted) {
        return lost(too_old(wanted, from, to, days));
    }
    if to.is_some_and(|to| to.0 >= wanted) && from.is_some() {
        return Restorability::Ok;
    }
    Restorability::NotYet { expected_at: UnixNanos(wanted.saturating_add(lag(time_scale))) }
}

/// The table has history, but none as old as the restore time: by its age, or because the history began anew?
fn too_old(wanted: i64, from: UnixNanos, to: Option<UnixNanos>, days: Option<u32>) -> String {
    let earliest = aws_smithy_types::DateTime::from_secs(from.0.div_euclid(SECOND));
    // RFC 3339; a year beyond its range, which no service gives, falls back to seconds since 1970.
    let earliest = earliest.fmt(Format::DateTime).unwrap_or_else(|_| format!("{} s", earliest.secs()));
    let reaches = format!("the earliest restorable second is {earliest}");
    let oldest = days.zip(to).map(|(days, to)| to.0.saturating_sub(i64::from(days) * DAY));
    match (days, oldest) {
        (Some(days), Some(oldest)) if wanted < oldest => {
            format!("the recovery period of {days} days is over: {reaches}")
        }
        _ => format!("point-in-time recovery was turned off and on since: {reaches}"),
    }
}

fn lag(time_scale: f64) -> i64 {
    (LAG_SECONDS / time_scale * 1e9) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn set() -> RecordedSet {
        RecordedSet { name: "a".to_owned(), id: "id".to_owned() }
    }

    fn seen(from: i64, to: i64) -> Seen {
        let time = |seconds| Some(UnixNanos(seconds * SECOND));
        let pitr = Pitr::On { from: time(from), to: time(to), days: Some(35) };
        Seen { id: "id".to_owned(), status: TableStatus::Active, replicas: 0, pitr }
    }

    fn reason(seen: Option<&Seen>, at: i64) -> String {
        match judge(&set(), seen, RestoreTime(at), 1.0) {
            Restorability::Lost { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn in_range_is_ok_both_ends_included() {
        let seen = seen(NOW - 1000, NOW - 300);
        for at in [NOW - 1000, NOW - 600, NOW - 300] {
            assert_eq!(judge(&set(), Some(&seen), RestoreTime(at), 1.0), Restorability::Ok, "{at}");
        }
    }

    #[test]
    fn too_new_is_expected_when_the_lag_has_passed() {
        let seen = seen(NOW - 1000, NOW - 300);
        for (scale, lag) in [(1.0, 300 * SECOND), (60.0, 5 * SECOND)] {
            let expected_at = UnixNanos(NOW * SECOND + lag);
            assert_eq!(judge(&set(), Some(&seen), RestoreTime(NOW), scale), Restorability::NotYet { expected_at });
        }
    }

    #[test]
    fn a_table_that_had_pitr_turned_on_later_is_lost_and_an_old_one_by_its_period() {
        assert!(reason(Some(&seen(NOW - 100, NOW - 100)), NOW - 600).contains("off and on"));
        let month = seen(NOW - 35 * 86_400 - 300, NOW - 300);
        assert!(reason(Some(&month), NOW - 36 * 86_400).contains("period of 35 days"));
    }

    #[test]
    fn gone_re_created_deleting_archived_and_off_are_lost() {
        let good = seen(NOW - 1000, NOW - 300);
        assert!(reason(None, NOW - 600).contains("no longer exists"));
        assert!(reason(Some(&Seen { id: "other".to_owned(), ..good.clone() }), NOW - 600).contains("re-created"));
        assert!(reason(Some(&Seen { status: TableStatus::Deleting, ..good.clone() }), NOW - 600).contains("deleted"));
        assert!(reason(Some(&Seen { status: TableStatus::Archived, ..good.clone() }), NOW - 600).contains("archived"));
        assert!(reason(Some(&Seen { pitr: Pitr::Off, ..good }), NOW - 600).contains("off"));
    }
}
