//! Which points retention removes. Pure: times, and what was found out about each point, come in as values.

use crate::catalog::{PointId, RunKind};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// How long points are kept. A point goes only when each rule that is set lets it go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Younger points are kept.
    pub keep: Option<Duration>,
    /// So many of the newest points that can be restored are kept, whatever their age; one at least.
    pub keep_last: Option<u32>,
}

impl Retention {
    /// Whether any rule is set. None: nothing is ever removed.
    pub fn is_set(&self) -> bool {
        self.keep.is_some() || self.keep_last.is_some()
    }

    /// How many points that can be restored are kept at least.
    pub fn least(&self) -> usize {
        usize::try_from(self.keep_last.unwrap_or(1).max(1)).unwrap_or(usize::MAX)
    }
}

/// What is known of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was looked at, and could be restored now.
    Restorable,
    /// It was looked at, and could not be, for this reason.
    NotRestorable(String),
    /// It was not looked at: enough newer ones can be restored.
    NotAsked,
    /// A run goes on, or was left: it must end first.
    Busy(RunKind),
    /// Retention has begun to remove it.
    Begun,
    /// Nobody can say, for this reason: it is kept.
    Unknown(String),
}

/// One point to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Which.
    pub id: PointId,
    /// T.
    pub at: DateTime<Utc>,
    /// What is known of it.
    pub standing: Standing,
    /// It has backups of its own, and needs neither the tables nor their history.
    pub prepared: bool,
}

/// What becomes of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, for this reason.
    Keep(String),
    /// It goes, for this reason.
    Prune(String),
}

/// The fate of each point, in the order given.
///
/// A point is never removed while it is among the newest that can be restored, or newer than the newest of them, or busy; without
/// any that can be restored nothing goes, whatever the rules say. Prepared points are counted once more among themselves: one
/// that is only sealed ends with its tables, and must not be the reason for which the last backups go.
pub fn fates(points: &[Judged], retention: &Retention, now: DateTime<Utc>) -> Vec<Fate> {
    let all = Newest::of(points.iter(), retention);
    let prepared = Newest::of(points.iter().filter(|point| point.prepared), retention);
    points.iter().map(|point| fate(point, retention, now, &all, &prepared)).collect()
}

/// The newest points that can be restored, as many as must stay; the newest first.
struct Newest<'a>(Vec<&'a Judged>);

impl<'a> Newest<'a> {
    fn of(points: impl Iterator<Item = &'a Judged>, retention: &Retention) -> Self {
        let mut newest: Vec<_> = points.filter(|point| point.standing == Standing::Restorable).collect();
        newest.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        newest.truncate(retention.least());
        Newest(newest)
    }

    /// Why the point stays for their sake.
    fn keep(&self, point: &Judged, what: &str) -> Option<String> {
        let Some(first) = self.0.first() else { return Some(format!("no {what} is known that could be restored")) };
        match self.0.iter().position(|one| one.id == point.id) {
            Some(0) => Some(format!("the newest {what} that can be restored")),
            Some(_) => Some(format!("one of the {} newest {what}s that can be restored", self.0.len())),
            None if point.at >= first.at => Some(format!("newer than the newest {what} that can be restored")),
            None => None,
        }
    }
}

fn fate(point: &Judged, retention: &Retention, now: DateTime<Utc>, all: &Newest<'_>, prepared: &Newest<'_>) -> Fate {
    match &point.standing {
        Standing::Begun => return Fate::Prune("was begun before".to_owned()),
        Standing::Busy(kind) => return Fate::Keep(format!("{} has not ended", kind.verb())),
        Standing::Unknown(why) => return Fate::Keep(why.clone()),
        Standing::Restorable | Standing::NotRestorable(_) | Standing::NotAsked => {}
    }
    if !retention.is_set() {
        return Fate::Keep("no retention is set".to_owned());
    }
    let for_backups = || prepared.keep(point, "prepared point").filter(|_| point.prepared);
    if let Some(why) = all.keep(point, "point").or_else(for_backups) {
        return Fate::Keep(why);
    }
    let age = (now - point.at).to_std().unwrap_or_default();
    match retention.keep {
        Some(keep) if age < keep => Fate::Keep(format!("younger than {}", text(keep))),
        Some(keep) => Fate::Prune(format!("older than {}", text(keep))),
        None => Fate::Prune(format!("not one of the {} newest that can be restored", retention.least())),
    }
}

/// The length as it is written in the settings.
pub fn text(length: Duration) -> String {
    crate::settings::duration_text(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    /// A point of so many days ago.
    fn point(days: i64, standing: Standing) -> Judged {
        let at = now() - TimeDelta::days(days);
        let id = PointId::parse(&format!("nightly-{}", at.format("%Y%m%dT%H%M%SZ"))).unwrap();
        Judged { id, at, standing, prepared: false }
    }

    fn prepared(days: i64, standing: Standing) -> Judged {
        Judged { prepared: true, ..point(days, standing) }
    }

    fn days(days: u64) -> Option<Duration> {
        Some(Duration::from_secs(days * 86_400))
    }

    fn pruned(points: &[Judged], keep: Option<Duration>, keep_last: Option<u32>) -> Vec<i64> {
        let fates = fates(points, &Retention { keep, keep_last }, now());
        let gone = points.iter().zip(fates).filter(|(_, fate)| matches!(fate, Fate::Prune(_)));
        gone.map(|(point, _)| (now() - point.at).num_days()).collect()
    }

    fn restorable(ages: &[i64]) -> Vec<Judged> {
        ages.iter().map(|days| point(*days, Standing::Restorable)).collect()
    }

    #[test]
    fn a_point_goes_when_it_is_old_enough_and_not_among_the_last() {
        let points = restorable(&[100, 40, 31, 29, 1]);
        assert_eq!(pruned(&points, days(30), None), [100, 40, 31]);
        assert_eq!(pruned(&points, days(30), Some(3)), [100, 40]);
        assert_eq!(pruned(&points, days(30), Some(9)), [0_i64; 0]);
        assert_eq!(pruned(&points, None, Some(2)), [100, 40, 31]);
        assert_eq!(pruned(&points, None, None), [0_i64; 0]);
    }

    #[test]
    fn the_newest_that_can_be_restored_stays_however_old_and_what_cannot_be_protects_nothing() {
        assert_eq!(pruned(&restorable(&[400, 300]), days(1), None), [400]);
        let gone = Standing::NotRestorable("its backup is gone".into());
        let points = [point(400, Standing::Restorable), point(300, gone.clone()), point(200, gone.clone())];
        assert_eq!(pruned(&points, days(1), None), [0_i64; 0], "what is newer than the last good point stays too");
        let points = [point(400, gone.clone()), point(300, Standing::Restorable), point(500, Standing::NotAsked)];
        assert_eq!(pruned(&points, days(1), None), [400, 500]);
        assert_eq!(pruned(&[point(400, gone)], days(1), None), [0_i64; 0], "without a good point nothing goes");
    }

    #[test]
    fn a_point_that_is_only_sealed_lets_no_backups_go() {
        let gone = Standing::NotRestorable("its backup is gone".into());
        let sealed = || point(1, Standing::Restorable);
        let points = [prepared(400, Standing::Restorable), prepared(300, Standing::Restorable), sealed()];
        assert_eq!(pruned(&points, days(7), None), [400]);
        assert_eq!(pruned(&points, None, Some(1)), [400]);
        assert_eq!(pruned(&points, None, Some(2)), [0_i64; 0]);
        let points =
            [prepared(400, Standing::Restorable), prepared(300, gone.clone()), point(200, gone.clone()), sealed()];
        assert_eq!(pruned(&points, days(7), None), [200], "what is newer than the last whole backups stays too");
        assert_eq!(pruned(&[prepared(300, gone), sealed()], days(7), None), [0_i64; 0]);
    }

    #[test]
    fn a_busy_point_stays_one_that_was_begun_goes_on_and_a_point_of_the_future_is_young() {
        let points = [
            point(400, Standing::Busy(RunKind::Restore)),
            point(390, Standing::Unknown("its database is not in the settings".into())),
            point(380, Standing::Begun),
            point(2, Standing::Restorable),
            point(-5, Standing::NotAsked),
        ];
        assert_eq!(pruned(&points, days(30), None), [380]);
        assert_eq!(pruned(&points, None, None), [380], "what was begun is finished");
    }

    fn standings() -> impl Strategy<Value = Standing> {
        prop_oneof![
            3 => Just(Standing::Restorable),
            1 => Just(Standing::NotRestorable(String::new())),
            1 => Just(Standing::NotAsked),
            1 => Just(Standing::Busy(RunKind::Prepare)),
            1 => Just(Standing::Unknown(String::new())),
        ]
    }

    proptest! {
        #[test]
        fn whatever_the_rules_enough_good_points_stay_and_the_newest_of_all_is_among_them(
            found in proptest::collection::btree_map(0_i64..1000, (standings(), any::<bool>()), 0..20),
            keep in proptest::option::of(1_u64..500),
            keep_last in proptest::option::of(0_u32..6),
        ) {
            let points: Vec<_> = found
                .into_iter()
                .map(|(days, (standing, prepared))| Judged { prepared, ..point(days, standing) })
                .collect();
            let retention = Retention { keep: keep.and_then(days), keep_last };
            let fates = fates(&points, &retention, now());
            let stay = |at: usize| matches!(fates[at], Fate::Keep(_));
            let good: Vec<usize> = (0..points.len()).filter(|at| points[*at].standing == Standing::Restorable).collect();
            // The map is in the order of age: the youngest first.
            let whole: Vec<usize> = good.iter().copied().filter(|at| points[*at].prepared).collect();
            for at in good.iter().take(retention.least()).chain(whole.iter().take(retention.least())) {
                prop_assert!(stay(*at));
            }
            let young = |point: &Judged| keep.is_some_and(|keep| now() - point.at < TimeDelta::days(keep.cast_signed()));
            for (at, point) in points.iter().enumerate() {
                let free = matches!(point.standing, Standing::Restorable | Standing::NotRestorable(_) | Standing::NotAsked);
                let before_the_newest = good.first().is_some_and(|newest| at >= *newest);
                prop_assert!(stay(at) || (free && before_the_newest && !young(point) && retention.is_set()));
            }
        }
    }
}
