//! What an event on a pod means for a window: pure. A version, a label or an annotation that changed means nothing; that
//! the pod is not the same running server any more does.

use super::facts::{ContainerFacts, PodFacts};
use crate::window::protocol::PodsChange;
use crate::window::violation::Name;
use std::collections::{HashMap, HashSet};

/// One event of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodEvent {
    /// The pod is there, new or changed.
    Is(PodFacts),
    /// The pod is no longer there, or no longer carries the labels that are watched.
    Gone(PodFacts),
    /// Nothing happened up to this version.
    Version(String),
}

/// Whose pods these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A target's, or nobody's: either may write.
    Counts,
    /// Of a release that is ignored, or watched elsewhere.
    Ignored,
}

/// The pods of a watch as the events so far leave them.
#[derive(Clone, Debug)]
pub struct Known {
    pods: HashMap<String, PodFacts>,
    /// Pods that went: name and address, which another may take.
    left: Vec<PodFacts>,
    /// Pods that were not there at the preflight.
    came: HashSet<String>,
    /// Everything up to this version has been judged.
    version: String,
}

impl Known {
    /// The pods of one consistent list.
    pub fn new(version: String, pods: &[PodFacts]) -> Self {
        let pods = pods.iter().map(|pod| (pod.uid.clone(), pod.clone())).collect();
        Known { pods, left: Vec::new(), came: HashSet::new(), version }
    }

    /// The version to go on from.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether everything up to a list's version has been judged.
    pub fn has_reached(&self, version: &str) -> bool {
        match (self.version.parse::<u64>(), version.parse::<u64>()) {
            (Ok(reached), Ok(wanted)) => reached >= wanted,
            // Versions that are no numbers cannot be compared, only found equal.
            _ => self.version == version,
        }
    }

    /// Judges one event and remembers it. What an event says again is not told twice.
    pub fn take(&mut self, event: PodEvent, standing: impl Fn(&PodFacts) -> Standing) -> Vec<PodsChange> {
        match event {
            PodEvent::Version(version) => {
                self.version = version;
                Vec::new()
            }
            PodEvent::Is(pod) => {
                self.version.clone_from(&pod.version);
                let counts = standing(&pod) == Standing::Counts;
                match self.pods.insert(pod.uid.clone(), pod.clone()) {
                    // It belonged to a target, and its labels say that it does not any more.
                    Some(before) if !counts && standing(&before) == Standing::Counts => vec![gone(&before)],
                    _ if !counts => Vec::new(),
                    // That it came has been told; whose address it gets has not.
                    Some(before) if self.came.contains(&pod.uid) => {
                        let other = self.place_of(&pod).filter(|_| before.address != pod.address);
                        other.map(|other| replaced(&pod, &other)).into_iter().collect()
                    }
                    Some(before) => changes(&before, &pod),
                    None => {
                        self.came.insert(pod.uid.clone());
                        vec![self.new_pod(&pod)]
                    }
                }
            }
            PodEvent::Gone(pod) => {
                self.version.clone_from(&pod.version);
                let Some(before) = self.pods.remove(&pod.uid) else { return Vec::new() };
                let told = before.deleting.is_some() || before.has_ended() || self.came.contains(&before.uid);
                let told = told || standing(&before) == Standing::Ignored;
                let change = (!told).then(|| gone(&before));
                self.left.push(before);
                change.into_iter().collect()
            }
        }
    }

    fn new_pod(&self, pod: &PodFacts) -> PodsChange {
        match self.place_of(pod) {
            Some(other) => replaced(pod, &other),
            None => change(Name::PodAdded, pod, format!("it was not there at the preflight; it is {}", pod.status())),
        }
    }

    /// Whose name or address this pod has taken.
    fn place_of(&self, pod: &PodFacts) -> Option<PodFacts> {
        let same = |other: &&PodFacts| {
            other.uid != pod.uid
                && (other.name == pod.name || (other.address.is_some() && other.address == pod.address))
                && !other.has_ended()
        };
        self.left.iter().chain(self.pods.values()).find(same).cloned()
    }
}

/// What became of one pod; empty: it is still the same running server.
pub fn changes(before: &PodFacts, now: &PodFacts) -> Vec<PodsChange> {
    // Its end has been told; what follows belongs to it.
    if before.deleting.is_some() || before.has_ended() {
        return Vec::new();
    }
    if let Some(reason) = &now.deleting {
        let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        return vec![change(Name::PodRemoved, now, format!("it is being deleted{why}"))];
    }
    let mut found = Vec::new();
    if now.phase != "Running" {
        let was = if before.phase == now.phase { String::new() } else { format!(" and was {}", before.phase) };
        let detail = format!("it is {}{was}", now.status());
        found.extend((before.phase != now.phase).then(|| change(Name::PodNotRunning, now, detail)));
    }
    let (restarts, stops) = container_changes(before, now);
    if !restarts.is_empty() {
        found.push(change(Name::PodRestarted, now, restarts.join("; ")));
    } else if before.started != now.started {
        found.push(change(Name::PodRestarted, now, "it was started anew".to_owned()));
    }
    if !stops.is_empty() {
        found.push(change(Name::PodNotRunning, now, stops.join("; ")));
    } else if before.ready && !now.ready && found.is_empty() {
        found.push(change(Name::PodNotRunning, now, "it is no longer Ready".to_owned()));
    }
    if before.address != now.address {
        let text = |pod: &PodFacts| pod.address.map_or_else(|| "none".to_owned(), |address| address.to_string());
        let detail = format!("its address was {} and is {}", text(before), text(now));
        found.push(change(Name::PodReplaced, now, detail));
    }
    found
}

/// What tells of a new start, and of a stop.
fn container_changes(before: &PodFacts, now: &PodFacts) -> (Vec<String>, Vec<String>) {
    let (mut restarts, mut stops) = (Vec::new(), Vec::new());
    for container in &now.containers {
        let Some(old) = before.containers.iter().find(|old| old.name == container.name) else {
            continue;
        };
        let name = &container.name;
        if container.restarts != old.restarts {
            restarts.push(format!("container {name} has {} restarts and had {}", container.restarts, old.restarts));
        } else if is_another_start(old, container) {
            restarts.push(format!("container {name} was started anew"));
        }
        if let (None, Some(why)) = (&old.stopped, &container.stopped) {
            stops.push(format!("container {name} does not run: {why}"));
        }
    }
    (restarts, stops)
}

fn is_another_start(old: &ContainerFacts, now: &ContainerFacts) -> bool {
    let differ = |old: &Option<String>, now: &Option<String>| old.is_some() && now.is_some() && old != now;
    differ(&old.id, &now.id) || differ(&old.running_since, &now.running_since)
}

fn gone(pod: &PodFacts) -> PodsChange {
    change(Name::PodRemoved, pod, "it is gone, or no longer carries its labels".to_owned())
}

fn replaced(pod: &PodFacts, other: &PodFacts) -> PodsChange {
    let what = if other.name == pod.name { "name" } else { "address" };
    let at = pod.address.map(|address| format!(" {address}")).filter(|_| what == "address").unwrap_or_default();
    change(Name::PodReplaced, pod, format!("another pod stands at the {what}{at} of {}", other.name))
}

fn change(name: Name, pod: &PodFacts, detail: String) -> PodsChange {
    PodsChange { name, subject: pod.name.clone(), detail }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{APP, INSTANCE};
    use super::*;

    fn pod(name: &str, uid: &str) -> PodFacts {
        let container = ContainerFacts {
            name: "server".into(),
            id: Some(format!("c://{uid}/0")),
            restarts: 0,
            running_since: Some("2026-11-23T03:00:00Z".into()),
            stopped: None,
        };
        PodFacts {
            name: name.into(),
            uid: uid.into(),
            version: "10".into(),
            labels: [(INSTANCE.to_owned(), "r".to_owned()), (APP.to_owned(), "ledger".to_owned())].into(),
            address: Some("10.244.0.7".parse().unwrap()),
            phase: "Running".into(),
            ready: true,
            started: Some("2026-11-23T03:00:00Z".into()),
            containers: vec![container.clone(), ContainerFacts { name: "proxy".into(), ..container }],
            ..PodFacts::default()
        }
    }

    fn all(_: &PodFacts) -> Standing {
        Standing::Counts
    }

    /// What is told when `ledger-0` becomes this.
    fn told(change: impl FnOnce(&mut PodFacts)) -> Vec<(Name, String)> {
        let mut known = Known::new("10".into(), &[pod("ledger-0", "a")]);
        let mut now = pod("ledger-0", "a");
        now.version = "11".into();
        change(&mut now);
        let changes = known.take(PodEvent::Is(now.clone()), all);
        assert_eq!(known.take(PodEvent::Is(now), all), [], "told twice");
        assert!(changes.iter().all(|change| change.subject == "ledger-0"));
        changes.into_iter().map(|change| (change.name, change.detail)).collect()
    }

    fn names(told: &[(Name, String)]) -> Vec<Name> {
        told.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn a_version_a_label_or_a_port_is_no_violation() {
        assert_eq!(told(|_| ()), []);
        assert_eq!(told(|pod| drop(pod.labels.insert("team".into(), "x".into()))), []);
        assert_eq!(told(|pod| pod.ports.push(("debug".into(), 1))), []);
    }

    #[test]
    fn a_restarted_container_is_told_by_its_count_its_id_or_its_start() {
        let counted = told(|pod| pod.containers[0].restarts = 1);
        assert_eq!(counted, [(Name::PodRestarted, "container server has 1 restarts and had 0".to_owned())]);
        assert_eq!(names(&told(|pod| pod.containers[1].id = Some("c://other".into()))), [Name::PodRestarted]);
        assert_eq!(names(&told(|pod| pod.containers[0].running_since = Some("later".into()))), [Name::PodRestarted]);
        assert_eq!(names(&told(|pod| pod.started = Some("later".into()))), [Name::PodRestarted]);
    }

    #[test]
    fn a_pod_that_stops_serving_is_not_running() {
        let failed = told(|pod| {
            pod.phase = "Failed".into();
            pod.reason = Some("Evicted".into());
            pod.ready = false;
        });
        assert_eq!(failed, [(Name::PodNotRunning, "it is Evicted and was Running".to_owned())]);
        assert_eq!(told(|pod| pod.ready = false), [(Name::PodNotRunning, "it is no longer Ready".to_owned())]);
        let killed = told(|pod| {
            pod.ready = false;
            pod.containers[0].stopped = Some("OOMKilled".into());
            pod.containers[0].running_since = None;
        });
        assert_eq!(killed, [(Name::PodNotRunning, "container server does not run: OOMKilled".to_owned())]);
    }

    #[test]
    fn a_pod_that_is_being_deleted_is_removed_and_its_end_is_not_told_again() {
        let mut known = Known::new("10".into(), &[pod("ledger-0", "a")]);
        let mut now = pod("ledger-0", "a");
        now.deleting = Some("EvictionByEvictionAPI".into());
        let changes = known.take(PodEvent::Is(now.clone()), all);
        assert_eq!(changes[0].name, Name::PodRemoved);
        assert_eq!(changes[0].detail, "it is being deleted (EvictionByEvictionAPI)");
        now.ready = false;
        now.phase = "Failed".into();
        assert_eq!(known.take(PodEvent::Is(now.clone()), all), []);
        assert_eq!(known.take(PodEvent::Gone(now), all), []);
    }

    #[test]
    fn a_pod_that_goes_without_a_word_is_removed() {
        let mut known = Known::new("10".into(), &[pod("ledger-0", "a")]);
        let changes = known.take(PodEvent::Gone(pod("ledger-0", "a")), all);
        assert_eq!(changes.iter().map(|change| change.name).collect::<Vec<_>>(), [Name::PodRemoved]);
    }

    #[test]
    fn a_pod_that_comes_and_goes_is_told_once() {
        let mut known = Known::new("10".into(), &[pod("ledger-0", "a")]);
        let mut new = PodFacts { phase: "Pending".into(), address: None, ready: false, ..pod("ledger-1", "b") };
        new.containers.clear();
        new.started = None;
        let changes = known.take(PodEvent::Is(new.clone()), all);
        assert_eq!((changes[0].name, changes[0].subject.as_str()), (Name::PodAdded, "ledger-1"));
        let running = PodFacts { address: Some("10.244.0.8".parse().unwrap()), ..pod("ledger-1", "b") };
        assert_eq!(known.take(PodEvent::Is(running.clone()), all), []);
        assert_eq!(known.take(PodEvent::Gone(running), all), []);
    }

    #[test]
    fn a_pod_at_anothers_name_or_address_has_replaced_it() {
        let mut known = Known::new("10".into(), &[pod("ledger-0", "a")]);
        known.take(PodEvent::Gone(pod("ledger-0", "a")), all);
        let changes = known.clone().take(PodEvent::Is(pod("ledger-0", "b")), all);
        assert_eq!(changes[0].name, Name::PodReplaced);
        let mut new = PodFacts { address: None, phase: "Pending".into(), ..pod("ledger-9", "c") };
        assert_eq!(known.take(PodEvent::Is(new.clone()), all)[0].name, Name::PodAdded);
        new.address = pod("", "").address;
        let changes = known.take(PodEvent::Is(new), all);
        assert_eq!(changes[0].name, Name::PodReplaced);
        assert!(changes[0].detail.contains("10.244.0.7 of ledger-0"), "{}", changes[0].detail);
        let moved = told(|pod| pod.address = Some("10.244.0.9".parse().unwrap()));
        assert_eq!(names(&moved), [Name::PodReplaced]);
    }

    #[test]
    fn what_had_ended_before_and_what_is_ignored_says_nothing() {
        let ended = PodFacts { phase: "Succeeded".into(), ready: false, ..pod("old", "e") };
        let mut known = Known::new("10".into(), &[ended.clone(), pod("other", "o")]);
        assert_eq!(known.take(PodEvent::Is(ended.clone()), all), []);
        assert_eq!(known.take(PodEvent::Gone(ended), all), []);
        let ignored = |pod: &PodFacts| if pod.release() == "r" { Standing::Ignored } else { Standing::Counts };
        let restarted = PodFacts { started: Some("later".into()), ..pod("other", "o") };
        assert_eq!(known.take(PodEvent::Is(restarted), ignored), []);
        assert_eq!(known.take(PodEvent::Is(pod("another", "n")), ignored), []);
    }

    #[test]
    fn a_pod_that_leaves_its_target_by_its_labels_is_removed() {
        let mut known = Known::new("10".into(), &[pod("ledger-0", "a")]);
        let by_release = |pod: &PodFacts| if pod.release() == "r" { Standing::Counts } else { Standing::Ignored };
        let mut now = pod("ledger-0", "a");
        now.labels.insert(INSTANCE.into(), "elsewhere".into());
        let changes = known.take(PodEvent::Is(now), by_release);
        assert_eq!(changes.iter().map(|change| change.name).collect::<Vec<_>>(), [Name::PodRemoved]);
    }

    #[test]
    fn a_list_is_reached_when_everything_up_to_its_version_is_judged() {
        let mut known = Known::new("99".into(), &[]);
        assert!(known.has_reached("99") && !known.has_reached("100"));
        known.take(PodEvent::Version("101".into()), all);
        assert!(known.has_reached("100"));
        known.take(PodEvent::Version("odd".into()), all);
        assert!(known.has_reached("odd") && !known.has_reached("100"));
    }
}
