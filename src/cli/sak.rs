//! `--output sak`: the line that scalar-admin-for-kubernetes prints when it is done, for scripts that read it.

use crate::point::Point;
use crate::settings::{PodSource, Settings};
use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;
use serde::Serialize;

/// Its keys. What a target by SRV name or address has no word for is null.
#[derive(Serialize)]
struct Line<'a> {
    namespace: Option<&'a str>,
    helm_release_name: Option<&'a str>,
    pause_start_timestamp_ms: i64,
    pause_end_timestamp_ms: i64,
    pause_start_date_time: String,
    pause_end_date_time: String,
    timezone: &'a str,
}

/// The line for a good window, in this zone (`Etc/UTC` unless one is given); `None` where there is none.
/// The two times are whole milliseconds within the time for which every pod was paused.
pub fn line(point: &Point, settings: &Settings, zone: Option<Tz>) -> Option<String> {
    let zone = zone.unwrap_or(chrono_tz::Etc::UTC);
    let time =
        |text: &Option<String>| DateTime::parse_from_rfc3339(text.as_deref()?).ok().map(|t| t.with_timezone(&Utc));
    let (start, end) = (time(&point.pause_completed)?, time(&point.unpause_started)?);
    let start_ms = start.timestamp_millis() + i64::from(start.nanosecond() % 1_000_000 > 0);
    let end_ms = end.timestamp_millis();
    let release = match settings.targets.as_slice() {
        [only] => match &only.pods {
            PodSource::Kubernetes(target) => Some(target),
            PodSource::Addresses(_) | PodSource::Srv(_) => None,
        },
        _ => None,
    };
    let line = Line {
        namespace: release.map(|target| target.namespace.as_str()),
        helm_release_name: release.map(|target| target.release.as_str()),
        pause_start_timestamp_ms: start_ms,
        pause_end_timestamp_ms: end_ms,
        pause_start_date_time: local(start_ms, zone)?,
        pause_end_date_time: local(end_ms, zone)?,
        timezone: zone.name(),
    };
    Some(serde_json::to_string(&line).ok()? + "\n")
}

/// A local date-time as Java writes one: no offset, and what is zero at the end is left out.
fn local(at_ms: i64, zone: Tz) -> Option<String> {
    let local = DateTime::from_timestamp_millis(at_ms)?.with_timezone(&zone).naive_local();
    let form = match (local.second(), local.nanosecond()) {
        (0, 0) => "%Y-%m-%dT%H:%M",
        (_, 0) => "%Y-%m-%dT%H:%M:%S",
        _ => "%Y-%m-%dT%H:%M:%S%.3f",
    };
    Some(local.format(form).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Environment, Flags, Needs, load};

    fn settings(flags: Flags) -> Settings {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap().to_owned();
        load(&flags, &Environment::of(dir.path(), [("HOME", home.as_str())]), Needs::PODS).checked().unwrap().0
    }

    fn release() -> Settings {
        let text = |text: &str| Some(text.to_owned());
        settings(Flags { release: text("scalardl-ledger"), namespace: text("ns-scalar"), ..Flags::default() })
    }

    fn point(start: &str, end: &str) -> Point {
        Point { pause_completed: Some(start.into()), unpause_started: Some(end.into()), ..Point::default() }
    }

    #[test]
    fn the_line_has_the_other_tool_s_keys_and_forms() {
        let point = point("2026-11-23T03:00:00.000000001Z", "2026-11-23T03:00:10.250999999Z");
        let told = line(&point, &release(), Some(chrono_tz::Asia::Tokyo)).unwrap();
        assert_eq!(
            told,
            "{\"namespace\":\"ns-scalar\",\"helm_release_name\":\"scalardl-ledger\",\
             \"pause_start_timestamp_ms\":1795402800001,\"pause_end_timestamp_ms\":1795402810250,\
             \"pause_start_date_time\":\"2026-11-23T12:00:00.001\",\"pause_end_date_time\":\"2026-11-23T12:00:10.250\",\
             \"timezone\":\"Asia/Tokyo\"}\n"
        );
    }

    #[test]
    fn date_times_leave_out_what_is_zero_as_java_does() {
        let cases = [
            (0, "1970-01-01T00:00"),
            (1_000, "1970-01-01T00:00:01"),
            (1, "1970-01-01T00:00:00.001"),
            (61_120, "1970-01-01T00:01:01.120"),
            (-1, "1969-12-31T23:59:59.999"),
        ];
        for (ms, text) in cases {
            assert_eq!(local(ms, chrono_tz::Etc::UTC).unwrap(), text);
        }
        // The hour that comes twice, and the one that never does.
        assert_eq!(local(1_793_509_200_000, chrono_tz::America::New_York).unwrap(), "2026-11-01T01:00");
        assert_eq!(local(1_793_512_800_000, chrono_tz::America::New_York).unwrap(), "2026-11-01T01:00");
    }

    #[test]
    fn the_zone_is_etc_utc_unless_given_and_other_targets_have_no_release() {
        let point = point("2026-11-23T03:00:00Z", "2026-11-23T03:00:05Z");
        let other = settings(Flags { addresses: vec!["10.0.0.4:60051".into()], ..Flags::default() });
        let told: serde_json::Value = serde_json::from_str(&line(&point, &other, None).unwrap()).unwrap();
        assert_eq!((&told["timezone"], &told["namespace"]), (&"Etc/UTC".into(), &serde_json::Value::Null));
        assert_eq!(told["pause_start_date_time"], "2026-11-23T03:00");
        assert_eq!(line(&Point::default(), &other, None), None);
    }
}
