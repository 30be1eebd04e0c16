//! The names of service records that a cluster has: told beside one that is malformed, or that DNS does not know.

use super::rights::namespaces;
use super::{Cluster, Clusters};
use crate::failure::Failure;
use crate::settings::{ClusterReference, PodSource, Product, Settings};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use std::collections::BTreeSet;
use std::time::Duration;

/// For all answers together: whoever mistyped a name waits for this.
const PATIENCE: Duration = Duration::from_secs(3);
/// Names told at most, the most alike first.
const TOLD: usize = 3;
/// The charts' Services carry it.
const OF_A_RELEASE: &str = "app.kubernetes.io/instance";

/// What Kubernetes has instead of this name, as the end of a hint; nothing where it cannot be asked, or has nothing of the
/// kind. Asked are the clusters of the settings' targets, or else that of the environment. Changes nothing.
pub async fn instead_of(wrong: &str, settings: &Settings) -> Option<String> {
    let meant = Meant::of(wrong);
    let found = tokio::time::timeout(PATIENCE, look(&meant, settings)).await.unwrap_or_default();
    say(&meant, found)
}

/// Adds it to the hint of every name of a target that DNS does not know.
pub async fn advise(settings: &Settings, failures: &mut [Failure]) {
    for failure in failures.iter_mut().filter(|failure| failure.name == "srv_not_found") {
        let name = settings.targets.iter().find_map(|target| match &target.pods {
            PodSource::Srv(srv) if failure.message.starts_with(&format!("target `{}`", target.name)) => Some(&srv.name),
            _ => None,
        });
        let Some(name) = name else { continue };
        if let Some(more) = instead_of(name, settings).await {
            failure.hint = format!("{} {more}.", failure.hint);
        }
    }
}

/// What a name, however malformed, seems to be about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Meant {
    port: Option<String>,
    service: String,
    namespace: Option<String>,
    /// The cluster's own domain.
    domain: Option<String>,
}

impl Meant {
    fn of(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let bare = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
        let bare = bare.split(['/', ':']).next().unwrap_or_default();
        let mut labels: Vec<&str> = bare.split('.').map(str::trim).filter(|label| !label.is_empty()).collect();
        let protocol = |label: &&str| matches!(label.trim_start_matches('_'), "tcp" | "udp");
        let before = match labels.iter().take(2).position(protocol) {
            Some(at) => at + 1,
            None => usize::from(labels.first().is_some_and(|label| label.starts_with('_'))),
        };
        let mut rest = labels.split_off(before).into_iter();
        let port = labels.first().filter(|label| !protocol(label)).map(|port| port.trim_start_matches('_').to_owned());
        let service = rest.next().unwrap_or_default().to_owned();
        let namespace = rest.next().filter(|label| *label != "svc").map(str::to_owned);
        let domain = (rest.next() == Some("svc")).then(|| rest.collect::<Vec<_>>().join("."));
        Meant { port, service, namespace, domain: domain.filter(|domain| !domain.is_empty()) }
    }

    /// Whether this is the same name, as far as it goes.
    fn is(&self, found: &Found) -> bool {
        self.port.as_ref() == Some(&found.port)
            && self.service == found.service
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == found.namespace)
    }

    /// The namespace first: what is in another is only told where that has nothing.
    fn likeness(&self, found: &Found) -> (bool, f64) {
        let port = self.port.as_deref().map_or(0.0, |port| strsim::jaro_winkler(port, &found.port));
        (self.namespace.as_ref() == Some(&found.namespace), strsim::jaro_winkler(&self.service, &found.service) + port)
    }
}

/// The admin port of a headless Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    port: String,
    service: String,
    namespace: String,
}

impl Found {
    fn of(service: &Service) -> Vec<Found> {
        let spec = service.spec.clone().unwrap_or_default();
        if spec.cluster_ip.as_deref() != Some("None") {
            return Vec::new();
        }
        let ports = spec.ports.unwrap_or_default().into_iter().filter_map(|port| port.name);
        let admin = ports.filter(|port| Product::ALL.iter().any(|product| product.port_name() == port));
        let of = |port| Found { port, service: service.name_any(), namespace: service.namespace().unwrap_or_default() };
        admin.map(of).collect()
    }

    fn name(&self, domain: &str) -> String {
        format!("_{}._tcp.{}.{}.svc.{domain}", self.port, self.service, self.namespace)
    }
}

async fn look(meant: &Meant, settings: &Settings) -> BTreeSet<Found> {
    let clusters = Clusters::default();
    let mut places: BTreeSet<(ClusterReference, Option<String>)> = BTreeSet::new();
    for (reference, namespace) in namespaces(settings) {
        places.insert((reference.clone(), Some(namespace.to_owned())));
        places.extend(meant.namespace.clone().map(|namespace| (reference.clone(), Some(namespace))));
    }
    if places.is_empty() {
        places.insert((ClusterReference::default(), meant.namespace.clone()));
    }
    let mut found = BTreeSet::new();
    for (reference, namespace) in places {
        let Ok(cluster) = clusters.get(&reference).await else { continue };
        found.extend(headless(&cluster, namespace.as_deref()).await);
    }
    found
}

async fn headless(cluster: &Cluster, namespace: Option<&str>) -> Vec<Found> {
    let namespace = namespace.unwrap_or(cluster.client.default_namespace());
    let api: Api<Service> = Api::namespaced(cluster.client.clone(), namespace);
    let listed = api.list(&ListParams::default().labels(OF_A_RELEASE)).await;
    listed.map(|services| services.items.iter().flat_map(Found::of).collect()).unwrap_or_default()
}

fn say(meant: &Meant, found: BTreeSet<Found>) -> Option<String> {
    if found.iter().any(|one| meant.is(one)) {
        return Some("Kubernetes has a Service and a port of this name: is a pod of it Ready?".to_owned());
    }
    let mut found: Vec<Found> = found.into_iter().collect();
    found.sort_by(|a, b| {
        let ((a_here, a_like), (b_here, b_like)) = (meant.likeness(a), meant.likeness(b));
        b_here.cmp(&a_here).then(b_like.total_cmp(&a_like))
    });
    let is_here = |one: &Found| meant.namespace.as_ref() == Some(&one.namespace);
    if found.iter().any(is_here) {
        found.retain(is_here);
    }
    let domain = meant.domain.as_deref().unwrap_or("cluster.local");
    let names: Vec<String> = found.iter().take(TOLD).map(|one| format!("\"{}\"", one.name(domain))).collect();
    (!names.is_empty()).then(|| format!("Kubernetes has {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meant(port: &str, service: &str, namespace: &str, domain: &str) -> Meant {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Meant { port: some(port), service: service.into(), namespace: some(namespace), domain: some(domain) }
    }

    fn found(port: &str, service: &str, namespace: &str) -> Found {
        Found { port: port.into(), service: service.into(), namespace: namespace.into() }
    }

    #[test]
    fn what_a_name_is_about_is_read_however_it_is_written() {
        let whole = meant("scalardb", "db-headless", "ns", "cluster.local");
        for text in [
            "_scalardb._tcp.db-headless.ns.svc.cluster.local",
            "scalardb.tcp.db-headless.ns.svc.cluster.local.",
            "_scalardb.DB-headless.ns.svc.cluster.local",
            "dns://_scalardb._udp.db-headless..ns.svc.cluster.local:60051/x",
        ] {
            assert_eq!(Meant::of(text), whole, "{text}");
        }
        assert_eq!(Meant::of("db-headless.ns.svc.k8s.example"), meant("", "db-headless", "ns", "k8s.example"));
        assert_eq!(Meant::of("_tcp.db-headless.ns"), meant("", "db-headless", "ns", ""));
        assert_eq!(Meant::of("_scalardb._tcp.db-headless"), meant("scalardb", "db-headless", "", ""));
        assert_eq!(Meant::of(""), Meant::default());
    }

    #[test]
    fn the_admin_ports_of_headless_services_are_names() {
        let service = |ip: &str| -> Service {
            let ports = json!([{ "name": "scalardl", "port": 50051 }, { "name": "scalardl-admin", "port": 50053 }]);
            let metadata = json!({ "name": "bank-ledger-headless", "namespace": "ns" });
            serde_json::from_value(json!({ "metadata": metadata, "spec": { "clusterIP": ip, "ports": ports } }))
                .unwrap()
        };
        assert_eq!(Found::of(&service("None")), [found("scalardl-admin", "bank-ledger-headless", "ns")]);
        assert_eq!(Found::of(&service("10.96.0.7")), []);
    }

    #[test]
    fn the_most_alike_comes_first_and_another_namespace_only_where_this_has_none() {
        let all: BTreeSet<Found> = [
            found("scalardl-admin", "bank-scalardl-headless", "ns"),
            found("scalardl-auditor-admin", "audit-scalardl-audit-headless", "ns"),
            found("scalardl-admin", "bank-headless", "other"),
        ]
        .into();
        let said = |text: &str| say(&Meant::of(text), all.clone()).unwrap();
        assert_eq!(
            said("_scalardl-admin._tcp.bank-headless.ns.svc.k8s.example"),
            "Kubernetes has \"_scalardl-admin._tcp.bank-scalardl-headless.ns.svc.k8s.example\", \
             \"_scalardl-auditor-admin._tcp.audit-scalardl-audit-headless.ns.svc.k8s.example\""
        );
        assert!(said("audit.ns").starts_with("Kubernetes has \"_scalardl-auditor-admin._tcp.audit-scalardl"));
        assert!(
            said("bank-headless.nowhere").contains("\"_scalardl-admin._tcp.bank-headless.other.svc.cluster.local\"")
        );
        let same = said("_scalardl-admin._tcp.bank-scalardl-headless.ns");
        assert_eq!(same, "Kubernetes has a Service and a port of this name: is a pod of it Ready?");
        assert_eq!(say(&Meant::of("bank.ns"), BTreeSet::new()), None);
    }
}
