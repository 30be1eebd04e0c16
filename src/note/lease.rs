//! What a Lease in the target's namespace says: who holds the pause lock of a release, and the open window note.
//!
//! Its name derives from the release alone and it lies in the release's namespace, so that runs with different catalogs
//! meet. `renewTime` is its holder's clock and only for people: a Lease whose holder cannot be judged from here is stale
//! when *we* have seen it unchanged for its bound, on our own monotonic clock. Nothing here asks a server.

use super::{Life, OpenWindowNote, Process, VERSION};
use chrono::{DateTime, Utc};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use provider_api::Mono;
use std::time::Duration;

/// The annotation that holds the open window note.
pub const NOTE: &str = "stillpoint/open-window-note";
/// The annotation that says which process holds the Lease.
pub const HOLDER: &str = "stillpoint/holder";
/// Kubernetes keeps at most 256 KiB of annotations on an object; the rest is for what others write there.
pub const ROOM: usize = 240 * 1024;
/// A Lease that says no duration was not written by us, or was edited: nothing short is taken from it.
const UNSAID: Duration = Duration::from_secs(3600);

/// The Lease's name for a release.
pub fn name(release: &str) -> String {
    format!("stillpoint-{release}")
}

/// Who holds a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Differs between any two holders, even of one process.
    pub identity: String,
    /// The process; `None` where the Lease does not say it in a way that can be read.
    pub process: Option<Process>,
}

impl Holder {
    /// This process, under a nonce.
    pub fn new(process: Process, nonce: &str) -> Self {
        let identity = format!("{}/{}/{nonce}", process.host, process.pid);
        Holder { identity, process: Some(process) }
    }

    /// Whether it lives, as far as can be said from here.
    pub fn life(&self) -> Life {
        self.process.as_ref().map_or(Life::Unknown, Process::life)
    }

    /// For people.
    pub fn told(&self) -> String {
        match &self.process {
            Some(process) => format!("process {} on {}", process.pid, process.host),
            None => self.identity.clone(),
        }
    }
}

/// A Lease, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// What a replacement must name.
    pub version: String,
    /// Who holds it; `None`: it is free.
    pub holder: Option<Holder>,
    /// For how long it is held.
    pub duration: Duration,
    /// Until when it is held by the holder's clock: for people, never judged by.
    pub until: DateTime<Utc>,
    /// The note, or why it cannot be read.
    pub note: Option<Result<OpenWindowNote, String>>,
}

/// Reads a Lease.
pub fn read(lease: &Lease) -> Said {
    let annotation = |key| lease.metadata.annotations.as_ref().and_then(|all| all.get(key));
    let spec = lease.spec.clone().unwrap_or_default();
    let process = annotation(HOLDER).and_then(|text| serde_json::from_str(text).ok());
    let holder = spec.holder_identity.filter(|identity| !identity.is_empty());
    let duration = seconds(spec.lease_duration_seconds).unwrap_or(UNSAID);
    let taken = spec.acquire_time.and_then(|at| DateTime::from_timestamp_millis(at.0.as_millisecond()));
    Said {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: holder.map(|identity| Holder { identity, process }),
        duration,
        until: taken.unwrap_or_default() + duration,
        note: annotation(NOTE).map(String::as_str).map(readable),
    }
}

fn seconds(seconds: Option<i32>) -> Option<Duration> {
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn readable(text: &str) -> Result<OpenWindowNote, String> {
    let note: OpenWindowNote = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match note.version {
        VERSION => Ok(note),
        other => Err(format!("it has version {other}, this stillpoint knows {VERSION}")),
    }
}

impl Said {
    /// How long it must be seen unchanged before nobody can be at work under it: a window ends at its hard deadline,
    /// which the guard keeps; a lock without a note ends with its time.
    pub fn bound(&self) -> Duration {
        match &self.note {
            Some(Ok(note)) => (note.deadline - note.opened).to_std().unwrap_or(self.duration).min(self.duration),
            _ => self.duration,
        }
    }
}

/// The Lease made one that this holder has, with whatever else is in it.
pub fn take(lease: &mut Lease, holder: &Holder, duration: Duration) {
    let spec = lease.spec.get_or_insert_default();
    let now = MicroTime(Timestamp::now());
    spec.holder_identity = Some(holder.identity.clone());
    spec.lease_duration_seconds = Some(i32::try_from(duration.as_secs_f64().ceil() as u64).unwrap_or(i32::MAX));
    spec.acquire_time = Some(now.clone());
    spec.renew_time = Some(now);
    spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |times| times.saturating_add(1)));
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.remove(NOTE);
    if let Some(text) = holder.process.as_ref().and_then(|process| serde_json::to_string(process).ok()) {
        annotations.insert(HOLDER.to_owned(), text);
    }
}

/// Lays the note into the Lease.
pub fn note(lease: &mut Lease, text: String) {
    lease.metadata.annotations.get_or_insert_default().insert(NOTE.to_owned(), text);
}

/// Takes the note away.
pub fn remove_note(lease: &mut Lease) {
    lease.metadata.annotations.get_or_insert_default().remove(NOTE);
}

/// Gives the Lease back, note and all.
pub fn free(lease: &mut Lease) {
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.remove(NOTE);
    annotations.remove(HOLDER);
    let LeaseSpec { holder_identity, acquire_time, renew_time, .. } = lease.spec.get_or_insert_default();
    (*holder_identity, *acquire_time, *renew_time) = (None, None, None);
}

/// The note for the Lease of one target: all of it, where there is room; else with that target's pods alone. Together the
/// Leases of a window still name every pod of a release.
pub fn text(note: &OpenWindowNote, target: &str) -> Result<String, String> {
    let write = |note: &OpenWindowNote| serde_json::to_string(note).map_err(|error| error.to_string());
    let whole = write(note)?;
    if whole.len() <= ROOM {
        return Ok(whole);
    }
    let pods = note.pods.iter().filter(|pod| pod.target == target).cloned().collect();
    let part = write(&OpenWindowNote { pods, ..note.clone() })?;
    if part.len() <= ROOM {
        return Ok(part);
    }
    Err(format!("target `{target}` has more pods than a Lease's annotation has room for ({} bytes)", part.len()))
}

/// How long a Lease has been seen unchanged.
#[derive(Clone, Debug)]
pub struct Unchanged {
    version: String,
    bound: Duration,
    since: Mono,
}

/// What a look at it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Somebody wrote it: its holder lives, or lived.
    Changed,
    /// Unchanged; stale after this long.
    Waiting(Duration),
    /// Unchanged for its bound.
    Stale,
}

impl Unchanged {
    /// Seen now for the first time.
    pub fn new(said: &Said, now: Mono) -> Self {
        Unchanged { version: said.version.clone(), bound: said.bound(), since: now }
    }

    /// Seen again; `None`: it is gone.
    pub fn look(&self, said: Option<&Said>, now: Mono) -> Look {
        if said.is_none_or(|said| said.version != self.version) {
            return Look::Changed;
        }
        match self.bound.saturating_sub(now.since(self.since)) {
            Duration::ZERO => Look::Stale,
            left => Look::Waiting(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::AdminEndpoint;
    use crate::note::{Kind, NotedPod};
    use chrono::TimeDelta;

    fn open_window(pods: &[(&str, usize)]) -> OpenWindowNote {
        let endpoint = AdminEndpoint {
            address: "10.0.0.1:60051".into(),
            tls: None,
            authority: None,
            tcp_user_timeout: Duration::from_secs(10),
        };
        let pod = |target: &str, n| NotedPod {
            name: format!("{target}-{n}-{}", "x".repeat(200)),
            target: target.to_owned(),
            can_check: true,
            endpoint: endpoint.clone(),
            identity: None,
        };
        OpenWindowNote {
            version: VERSION,
            id: "manual-x".into(),
            kind: Kind::Window,
            owner: Process::this().unwrap(),
            opened: Utc::now(),
            deadline: Utc::now() + TimeDelta::seconds(60),
            deadline_boot_ns: 1,
            call_deadline_ms: 35_000,
            pods: pods.iter().flat_map(|(target, count)| (0..*count).map(move |n| pod(target, n))).collect(),
            catalog: None,
            leases: Vec::new(),
        }
    }

    fn held() -> Lease {
        let mut lease = Lease::default();
        lease.metadata.resource_version = Some("7".into());
        take(&mut lease, &Holder::new(Process::this().unwrap(), "n"), Duration::from_millis(179_500));
        lease
    }

    #[test]
    fn what_is_laid_into_a_lease_is_read_back_and_gone_when_it_is_given_back() {
        let mut lease = held();
        let window = open_window(&[("a", 2)]);
        note(&mut lease, text(&window, "a").unwrap());
        let said = read(&lease);
        assert_eq!(said.duration, Duration::from_secs(180));
        assert_eq!(said.holder.as_ref().unwrap().life(), Life::Alive);
        assert_eq!(said.note, Some(Ok(window)));
        free(&mut lease);
        let said = read(&lease);
        assert_eq!((said.holder, said.note), (None, None));
        take(&mut lease, &Holder::new(Process::this().unwrap(), "m"), Duration::from_secs(1));
        assert_eq!(lease.spec.unwrap().lease_transitions, Some(1));
    }

    #[test]
    fn staleness_is_what_we_saw_and_never_what_the_lease_says_of_time() {
        let mut lease = held();
        note(&mut lease, text(&open_window(&[("a", 1)]), "a").unwrap());
        let long_ago = MicroTime("2001-01-01T00:00:00Z".parse().unwrap());
        lease.spec.as_mut().unwrap().renew_time = Some(long_ago);
        let (said, start) = (read(&lease), Mono::now());
        let seen = Unchanged::new(&said, start);
        assert!(matches!(seen.look(Some(&said), start), Look::Waiting(left) if left > Duration::from_secs(59)));
        assert_eq!(seen.look(Some(&said), start + Duration::from_secs(61)), Look::Stale);
        lease.metadata.resource_version = Some("8".into());
        assert_eq!(seen.look(Some(&read(&lease)), start + Duration::from_secs(61)), Look::Changed);
        assert_eq!(seen.look(None, start + Duration::from_secs(61)), Look::Changed);
    }

    #[test]
    fn a_lock_without_a_note_is_waited_for_as_long_as_it_is_held() {
        assert_eq!(read(&held()).bound(), Duration::from_secs(180));
        let mut odd = held();
        odd.spec.as_mut().unwrap().lease_duration_seconds = None;
        assert_eq!(read(&odd).bound(), UNSAID);
    }

    #[test]
    fn a_note_too_long_for_an_annotation_is_cut_to_the_target_and_never_in_the_middle() {
        let window = open_window(&[("a", 200), ("b", 700)]);
        assert!(serde_json::to_string(&window).unwrap().len() > ROOM);
        let part: OpenWindowNote = serde_json::from_str(&text(&window, "a").unwrap()).unwrap();
        assert!(part.pods.len() == 200 && part.pods.iter().all(|pod| pod.target == "a"));
        assert!(text(&open_window(&[("a", 900)]), "a").unwrap_err().contains("target `a`"));
    }

    #[test]
    fn a_damaged_note_is_told_and_hides_not_who_holds_the_lease() {
        let mut lease = held();
        note(&mut lease, "{".into());
        let said = read(&lease);
        assert!(matches!(said.note, Some(Err(_))) && said.holder.is_some());
        assert_eq!(said.bound(), Duration::from_secs(180));
    }
}
