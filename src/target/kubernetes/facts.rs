//! The few facts about a pod that a window depends on. A pod's object is twenty times as large, and with a thousand pods
//! that counts: only these fields are ever decoded.

use crate::point::PodSeen;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The label that names a pod's product.
pub const APP: &str = "app.kubernetes.io/app";
/// The label that names a pod's release.
pub const INSTANCE: &str = "app.kubernetes.io/instance";

/// A pod as one answer of the API server told it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name, which a StatefulSet gives again to the next pod.
    pub name: String,
    /// What no other pod ever has.
    pub uid: String,
    /// The version of this state.
    pub version: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Kind and name of what made it.
    pub owner: Option<(String, String)>,
    /// Its first address.
    pub address: Option<IpAddr>,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Why it is in this phase, where the kubelet says so: `Evicted` ...
    pub reason: Option<String>,
    /// Its condition Ready is true.
    pub ready: bool,
    /// Set for deletion; with the reason, where a disruption says one.
    pub deleting: Option<String>,
    /// When the kubelet took it.
    pub started: Option<String>,
    /// Its containers, sidecars included.
    pub containers: Vec<ContainerFacts>,
    /// Ports by name.
    pub ports: Vec<(String, u16)>,
}

/// One container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerFacts {
    /// Its name.
    pub name: String,
    /// Changes with each start.
    pub id: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// Since when it runs.
    pub running_since: Option<String>,
    /// Why it does not run.
    pub stopped: Option<String>,
}

impl PodFacts {
    /// Completed and failed pods stay in lists; no server of theirs runs any more.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Its release, by its label.
    pub fn release(&self) -> &str {
        self.labels.get(INSTANCE).map_or("", String::as_str)
    }

    /// Its product, by its label.
    pub fn app(&self) -> &str {
        self.labels.get(APP).map_or("", String::as_str)
    }

    /// Restarts of all containers.
    pub fn restarts(&self) -> u32 {
        self.containers.iter().map(|container| container.restarts).sum()
    }

    /// As `kubectl get pods` would say it.
    pub fn status(&self) -> String {
        let stopped = || self.containers.iter().find_map(|container| container.stopped.clone());
        match &self.deleting {
            Some(_) => "Terminating".to_owned(),
            None if self.phase == "Running" && !self.ready => stopped().unwrap_or_else(|| "NotReady".to_owned()),
            None => self.reason.clone().unwrap_or_else(|| self.phase.clone()),
        }
    }

    /// For the table of the evidence.
    pub fn seen(&self) -> PodSeen {
        PodSeen {
            uid: Some(self.uid.clone()),
            address: self.address.map(|address| address.to_string()),
            status: self.status(),
            restarts: Some(self.restarts()),
            started: self.started.clone(),
        }
    }
}

/// One page of pods, as the API server sends it.
#[derive(Clone, Debug, Deserialize)]
pub struct WireList {
    /// Version of the whole list, and where the next page begins.
    pub metadata: WireListMeta,
    /// The pods.
    #[serde(default)]
    pub items: Vec<WirePod>,
}

/// A list's own data.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireListMeta {
    /// The version that all pages share.
    pub resource_version: String,
    /// Present while pages are missing.
    #[serde(rename = "continue")]
    pub more: Option<String>,
}

/// A pod as the API server sends it, without all that is not needed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct WirePod {
    metadata: WireMeta,
    spec: WireSpec,
    status: WireStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireMeta {
    name: String,
    uid: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Vec<WireOwner>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireOwner {
    kind: String,
    name: String,
    controller: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireSpec {
    containers: Vec<WireContainer>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireContainer {
    ports: Vec<WirePort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePort {
    name: Option<String>,
    container_port: u16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    phase: String,
    reason: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    start_time: Option<String>,
    conditions: Vec<WireCondition>,
    container_statuses: Vec<WireContainerStatus>,
    init_container_statuses: Vec<WireContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    restart_count: u32,
    state: WireState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireState {
    running: Option<WireRunning>,
    waiting: Option<WireWhy>,
    terminated: Option<WireWhy>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireRunning {
    started_at: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireWhy {
    reason: Option<String>,
}

impl From<WirePod> for PodFacts {
    fn from(pod: WirePod) -> Self {
        let WirePod { metadata, spec, status } = pod;
        let holds = |kind: &str| status.conditions.iter().find(|c| c.kind == kind && c.status == "True");
        let ready = holds("Ready").is_some();
        let disruption = holds("DisruptionTarget").and_then(|condition| condition.reason.clone());
        let owner = metadata.owner_references.into_iter().find(|owner| owner.controller);
        // Init containers that have done their work are no part of a running pod; those that run beside it are.
        let sidecars = status.init_container_statuses.into_iter().filter(|c| c.state.terminated.is_none());
        let ports = spec.containers.into_iter().flat_map(|container| container.ports);
        PodFacts {
            name: metadata.name,
            uid: metadata.uid,
            version: metadata.resource_version,
            labels: metadata.labels.unwrap_or_default(),
            owner: owner.map(|owner| (owner.kind, owner.name)),
            address: status.pod_ip.and_then(|ip| ip.parse().ok()),
            phase: status.phase,
            reason: status.reason,
            ready,
            deleting: metadata.deletion_timestamp.map(|_| disruption.unwrap_or_default()),
            started: status.start_time,
            containers: status.container_statuses.into_iter().chain(sidecars).map(ContainerFacts::from).collect(),
            ports: ports.filter_map(|port| Some((port.name?, port.container_port))).collect(),
        }
    }
}

impl From<WireContainerStatus> for ContainerFacts {
    fn from(status: WireContainerStatus) -> Self {
        let WireContainerStatus { name, container_id, restart_count, state } = status;
        let why = state.waiting.or(state.terminated).map(|why| why.reason.unwrap_or_else(|| "stopped".to_owned()));
        ContainerFacts {
            name,
            id: container_id,
            restarts: restart_count,
            stopped: if state.running.is_some() { None } else { why },
            running_since: state.running.and_then(|running| running.started_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pod: serde_json::Value) -> PodFacts {
        serde_json::from_value::<WirePod>(pod).unwrap().into()
    }

    #[test]
    fn a_pod_is_read_from_what_the_api_server_sends() {
        let pod = facts(serde_json::json!({
            "metadata": {
                "name": "ledger-0", "uid": "u", "resourceVersion": "7",
                "labels": { APP: "ledger", INSTANCE: "r" },
                "managedFields": [{ "manager": "kubelet", "fieldsV1": {} }],
                "ownerReferences": [
                    { "kind": "Node", "name": "n", "uid": "1" },
                    { "kind": "ReplicaSet", "name": "ledger-5d", "uid": "2", "controller": true },
                ],
            },
            "spec": { "containers": [{ "name": "ledger", "ports": [{ "name": "admin", "containerPort": 50053 }, { "containerPort": 1 }] }] },
            "status": {
                "phase": "Running", "podIP": "fd00::7", "startTime": "2026-11-23T03:00:00Z",
                "conditions": [{ "type": "Ready", "status": "True", "lastProbeTime": null }],
                "containerStatuses": [{ "name": "ledger", "containerID": "c://1", "restartCount": 2, "ready": true, "state": { "running": { "startedAt": "t" } } }],
                "initContainerStatuses": [
                    { "name": "once", "restartCount": 0, "state": { "terminated": { "reason": "Completed" } } },
                    { "name": "proxy", "restartCount": 1, "state": { "running": {} } },
                ],
            },
        }));
        assert_eq!((pod.release(), pod.app(), pod.restarts()), ("r", "ledger", 3));
        assert_eq!(pod.owner, Some(("ReplicaSet".to_owned(), "ledger-5d".to_owned())));
        assert_eq!(pod.address, Some("fd00::7".parse().unwrap()));
        assert_eq!(pod.ports, [("admin".to_owned(), 50053)]);
        assert!(pod.ready && pod.deleting.is_none() && !pod.has_ended());
        assert_eq!(pod.status(), "Running");
    }

    #[test]
    fn a_status_reads_as_kubectl_says_it() {
        let of = |metadata: serde_json::Value, status: serde_json::Value| {
            facts(serde_json::json!({ "metadata": metadata, "status": status })).status()
        };
        let plain = serde_json::json!({});
        assert_eq!(
            of(serde_json::json!({ "deletionTimestamp": "t" }), serde_json::json!({ "phase": "Running" })),
            "Terminating"
        );
        assert_eq!(of(plain.clone(), serde_json::json!({ "phase": "Failed", "reason": "Evicted" })), "Evicted");
        assert_eq!(of(plain.clone(), serde_json::json!({ "phase": "Running" })), "NotReady");
        let waiting = serde_json::json!({ "phase": "Running", "containerStatuses": [{ "name": "c", "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] });
        assert_eq!(of(plain, waiting), "CrashLoopBackOff");
    }
}
