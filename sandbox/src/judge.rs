//! The judge: says from the sandbox's own logs whether a restore time is good and whether a pod was left paused.
//!
//! It knows what truly happened, on true clocks, and knows nothing of how a restore time was found.

use serde::{Deserialize, Serialize};

use crate::pods::PodLog;

const SECOND_NS: i64 = 1_000_000_000;

/// A write that is in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// Table name.
    pub table: String,
    /// When it was committed: CLOCK_MONOTONIC, nanoseconds.
    pub mono_ns: i64,
    /// Its stamp on the table's own history clock: nanoseconds since 1970.
    pub history_ns: i64,
}

/// Why a restore time is not good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "offence")]
pub enum Offence {
    /// A transaction was open.
    TransactionOpen {
        /// Index of the pod.
        pod: usize,
        /// Number of the transaction at the pod.
        transaction: u64,
        /// CLOCK_MONOTONIC, nanoseconds.
        began_ns: u64,
        /// CLOCK_MONOTONIC, nanoseconds; `None`: still open.
        ended_ns: Option<u64>,
    },
    /// A write was committed, by the service's clock.
    Write {
        /// The write.
        #[serde(flatten)]
        write: Write,
    },
    /// A write's stamp in its table's history falls into the second, though the service's clock says otherwise.
    Stamped {
        /// The write.
        #[serde(flatten)]
        write: Write,
    },
}

/// Everything that speaks against the restore time: transactions open, or writes committed, at `restore_time` (whole
/// seconds since 1970 on the database's clock) or in the second after it, both ends included.
///
/// `service_minus_mono_ns`: the true reading of the database's clock (since 1970) minus CLOCK_MONOTONIC.
pub fn offences(pods: &[PodLog], writes: &[Write], service_minus_mono_ns: i64, restore_time: i64) -> Vec<Offence> {
    let from = restore_time.saturating_mul(SECOND_NS);
    let to = from.saturating_add(SECOND_NS);
    let mono = |service_ns: i64| u64::try_from(service_ns.saturating_sub(service_minus_mono_ns)).unwrap_or(0);
    let mut offences = Vec::new();
    for log in pods {
        for span in log.transactions_within(mono(from), mono(to)) {
            offences.push(Offence::TransactionOpen {
                pod: log.pod,
                transaction: span.transaction,
                began_ns: span.began_ns,
                ended_ns: span.ended_ns,
            });
        }
    }
    for write in writes {
        let committed = write.mono_ns.saturating_add(service_minus_mono_ns);
        if (from..=to).contains(&committed) {
            offences.push(Offence::Write { write: write.clone() });
        } else if (from..=to).contains(&write.history_ns) {
            offences.push(Offence::Stamped { write: write.clone() });
        }
    }
    offences
}

/// The pods whose gate is closed by the end of their logs.
pub fn still_closed(pods: &[PodLog]) -> Vec<usize> {
    pods.iter().filter(|log| !log.is_open()).map(|log| log.pod).collect()
}

/// Is every gate open? A pod that is down has none.
pub fn all_open(pods: &[PodLog]) -> bool {
    pods.iter().all(PodLog::is_open)
}

/// Since when every gate has been open: CLOCK_MONOTONIC, nanoseconds. `None` while one is closed; 0 when none ever was.
pub fn open_since(pods: &[PodLog]) -> Option<u64> {
    pods.iter().try_fold(0, |latest, log| log.is_open().then(|| latest.max(log.opened_at().unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::{Entry, Event, Mover, Outcome};

    /// The database's clock is this far ahead of CLOCK_MONOTONIC.
    const AHEAD: i64 = 1_000 * SECOND_NS;

    fn log(pod: usize, events: Vec<(u64, Event)>) -> PodLog {
        let entries = events.into_iter().map(|(ms, event)| Entry { pod, mono_ns: ms * 1_000_000, event });
        PodLog { pod, entries: entries.collect() }
    }

    fn transaction(id: u64, began_ms: u64, ended_ms: Option<u64>) -> Vec<(u64, Event)> {
        let mut events = vec![(began_ms, Event::TransactionBegan { transaction: id })];
        if let Some(ended) = ended_ms {
            events.push((ended, Event::TransactionEnded { transaction: id, outcome: Outcome::Committed }));
        }
        events
    }

    fn write(mono_ms: i64, skew_ms: i64) -> Write {
        let mono_ns = mono_ms * 1_000_000;
        Write { table: "bank.accounts_0".to_owned(), mono_ns, history_ns: mono_ns + AHEAD + skew_ms * 1_000_000 }
    }

    #[test]
    fn a_quiet_second_is_good() {
        let mut events = transaction(1, 500, Some(4_999));
        events.extend(transaction(2, 6_001, None));
        let writes = [write(4_500, 300), write(6_400, -300)];
        assert_eq!(offences(&[log(0, events)], &writes, AHEAD, 1_005), []);
    }

    #[test]
    fn a_transaction_open_at_any_moment_of_the_second_is_caught() {
        for (began, ended) in
            [(4_000, Some(5_000)), (5_500, Some(5_501)), (4_000, Some(7_000)), (6_000, None), (0, None)]
        {
            let found = offences(&[log(3, transaction(1, began, ended))], &[], AHEAD, 1_005);
            assert!(
                matches!(found[..], [Offence::TransactionOpen { pod: 3, transaction: 1, .. }]),
                "{began} to {ended:?}"
            );
        }
    }

    #[test]
    fn a_write_in_the_second_is_caught_by_the_services_clock_and_by_its_tables() {
        let found = offences(&[], &[write(5_500, 0), write(4_800, 300), write(4_600, 300)], AHEAD, 1_005);
        assert_eq!(found, [Offence::Write { write: write(5_500, 0) }, Offence::Stamped { write: write(4_800, 300) }]);
    }

    #[test]
    fn a_closed_gate_is_found_and_an_open_one_dated() {
        let by = Mover::Foreign;
        let open = log(0, vec![(1, Event::GateClosed { mover: by }), (7, Event::GateOpened { mover: by })]);
        let never = log(1, Vec::new());
        let closed = log(2, vec![(2, Event::GateClosed { mover: by })]);
        assert_eq!(open_since(&[open.clone(), never.clone()]), Some(7_000_000));
        assert!(all_open(&[open.clone(), never.clone()]));
        let all = [open, never, closed];
        assert_eq!((open_since(&all), still_closed(&all)), (None, vec![2]));
    }
}
