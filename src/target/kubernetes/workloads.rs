//! What makes the pods: whether a rollout is under way, and whether there are as many pods as were asked for.

use super::api::in_time;
use super::facts::PodFacts;
use crate::failure::{Exit, Failure};
use crate::kubernetes::{Cluster, refusal};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// What makes pods, and how far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// `Deployment`, `StatefulSet` or `ReplicaSet`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What was asked for last.
    pub generation: i64,
    /// What its controller has seen.
    pub observed: i64,
    /// Pods asked for.
    pub desired: i32,
    /// Pods there.
    pub total: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Pods that are Ready.
    pub ready: i32,
}

/// The workloads that made these pods, with how many of them each made. What else made pods is named in the warnings.
pub async fn of(
    cluster: &Cluster,
    namespace: &str,
    pods: &[&PodFacts],
) -> Result<(Vec<(Workload, usize)>, Vec<String>), Failure> {
    let mut owners: BTreeMap<(String, String), usize> = BTreeMap::new();
    for pod in pods {
        *owners.entry(pod.owner.clone().unwrap_or_default()).or_default() += 1;
    }
    let (mut found, mut warnings) = (BTreeMap::<(&str, String), (Workload, usize)>::new(), Vec::new());
    for ((kind, name), count) in owners {
        let workload = match kind.as_str() {
            "ReplicaSet" => above_replica_set(cluster, namespace, &name).await?,
            "StatefulSet" => stateful_set(&get(cluster, namespace, "statefulsets", &name).await?),
            "" => {
                warnings.push(format!(
                    "{count} pod(s) in namespace {namespace} were made by hand: nothing tells of a rollout"
                ));
                continue;
            }
            _ => {
                warnings.push(format!(
                    "pods in namespace {namespace} are made by {kind} {name}: its rollouts cannot be seen"
                ));
                continue;
            }
        };
        found.entry((workload.kind, workload.name.clone())).or_insert((workload, 0)).1 += count;
    }
    Ok((found.into_values().collect(), warnings))
}

async fn above_replica_set(cluster: &Cluster, namespace: &str, name: &str) -> Result<Workload, Failure> {
    let set: ReplicaSet = get(cluster, namespace, "replicasets", name).await?;
    let owners = set.metadata.owner_references.iter().flatten();
    match owners.into_iter().find(|owner| owner.kind == "Deployment") {
        Some(owner) => Ok(deployment(&get(cluster, namespace, "deployments", &owner.name).await?)),
        None => Ok(replica_set(&set)),
    }
}

async fn get<K>(cluster: &Cluster, namespace: &str, plural: &str, name: &str) -> Result<K, Failure>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), namespace);
    let what = format!("get {plural} {name} in namespace {namespace}");
    in_time(api.get(name)).await.map_err(|error| refusal(&cluster.server, &what, &error))
}

fn meta(kind: &'static str, meta: &ObjectMeta) -> Workload {
    let name = meta.name.clone().unwrap_or_default();
    Workload { kind, name, generation: meta.generation.unwrap_or_default(), ..Workload::default() }
}

fn deployment(one: &Deployment) -> Workload {
    let status = one.status.clone().unwrap_or_default();
    Workload {
        observed: status.observed_generation.unwrap_or_default(),
        desired: one.spec.replicas.unwrap_or(1),
        total: status.replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        ..meta("Deployment", &one.metadata)
    }
}

fn stateful_set(one: &StatefulSet) -> Workload {
    let status = one.status.clone().unwrap_or_default();
    // With every pod at the newest revision the controller no longer counts updated ones.
    let settled = status.update_revision.is_none() || status.update_revision == status.current_revision;
    Workload {
        observed: status.observed_generation.unwrap_or_default(),
        desired: one.spec.replicas.unwrap_or(1),
        total: status.replicas,
        updated: if settled { status.replicas } else { status.updated_replicas.unwrap_or_default() },
        ready: status.ready_replicas.unwrap_or_default(),
        ..meta("StatefulSet", &one.metadata)
    }
}

fn replica_set(one: &ReplicaSet) -> Workload {
    let status = one.status.clone().unwrap_or_default();
    Workload {
        observed: status.observed_generation.unwrap_or_default(),
        desired: one.spec.replicas.unwrap_or(1),
        total: status.replicas,
        updated: status.replicas,
        ready: status.ready_replicas.unwrap_or_default(),
        ..meta("ReplicaSet", &one.metadata)
    }
}

/// Why its pods cannot be relied on to stay; `None`: it is settled, and made exactly `pods` pods.
pub fn unsettled(workload: &Workload, pods: usize, namespace: &str) -> Option<Failure> {
    let Workload { kind, name, generation, observed, desired, total, updated, ready } = workload;
    let of = format!("{kind} {name} in namespace {namespace}");
    if observed < generation || updated < desired || updated < total {
        let message = format!(
            "a rollout of {of} is under way: {updated} of {desired} pods are of the newest template, {total} are there"
        );
        let hint =
            format!("Wait until it is done: `kubectl -n {namespace} rollout status {} {name}`.", kind.to_lowercase());
        return Some(Failure::new(Exit::Refused, "rollout_under_way", message, hint));
    }
    let counted = i32::try_from(pods).unwrap_or(i32::MAX);
    if desired != total || ready != total || *desired != counted {
        let message = format!(
            "{of} asks for {desired} pods, has {total}, of which {ready} are Ready, and {counted} are in the target"
        );
        let hint =
            format!("Wait until it has what it asks for: `kubectl -n {namespace} get {} {name}`.", kind.to_lowercase());
        return Some(Failure::new(Exit::Refused, "replicas_disagree", message, hint));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_settled_when_all_its_numbers_agree() {
        let settled = Workload {
            kind: "Deployment",
            name: "d".into(),
            generation: 2,
            observed: 2,
            desired: 3,
            total: 3,
            updated: 3,
            ready: 3,
        };
        let name = |workload: &Workload, pods| unsettled(workload, pods, "n").map(|failure| failure.name);
        assert_eq!(name(&settled, 3), None);
        let rollout = |workload: Workload| assert_eq!(name(&workload, 3).as_deref(), Some("rollout_under_way"));
        rollout(Workload { generation: 3, ..settled.clone() });
        rollout(Workload { updated: 2, ..settled.clone() });
        rollout(Workload { total: 4, ..settled.clone() });
        let disagree =
            |workload: Workload, pods| assert_eq!(name(&workload, pods).as_deref(), Some("replicas_disagree"));
        disagree(Workload { ready: 2, ..settled.clone() }, 3);
        disagree(Workload { desired: 2, ..settled.clone() }, 3);
        disagree(settled, 2);
    }
}
