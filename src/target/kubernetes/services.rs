//! The headless Service of a release: which port is the admin port, and does it lead to exactly these pods.

use super::api::in_time;
use super::facts::{INSTANCE, PodFacts};
use crate::failure::{Exit, Failure};
use crate::kubernetes::{Cluster, refusal};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::ListParams;
use std::collections::{BTreeMap, BTreeSet};

/// A headless Service that leads to a target's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its name.
    pub service: String,
    /// The labels of the pods that it leads to.
    pub selector: BTreeMap<String, String>,
    /// Its ports: name, number, where it leads to on a pod.
    pub ports: Vec<(String, u16, Leads)>,
}

/// Where a Service's port leads to on a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To this port.
    Number(u16),
    /// To the container port of this name.
    Name(String),
}

/// A pod as a Service's slices have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sliced {
    /// Its UID; empty where the slice does not say.
    pub uid: String,
    /// Its name, or its address.
    pub name: String,
}

/// The headless Services of a release, as its chart labels them.
pub async fn headless(cluster: &Cluster, namespace: &str, release: &str) -> Result<Vec<Served>, Failure> {
    let api: Api<Service> = Api::namespaced(cluster.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("{INSTANCE}={release}"));
    let services = in_time(api.list(&params)).await;
    let what = format!("list services in namespace {namespace}");
    let services = services.map_err(|error| refusal(&cluster.server, &what, &error))?;
    Ok(services.items.into_iter().filter_map(served).collect())
}

fn served(service: Service) -> Option<Served> {
    let spec = service.spec.filter(|spec| spec.cluster_ip.as_deref() == Some("None"))?;
    let selector = spec.selector.filter(|selector| !selector.is_empty())?;
    let ports = spec.ports.unwrap_or_default().into_iter().filter_map(port).collect();
    Some(Served { service: service.metadata.name?, selector, ports })
}

fn port(port: ServicePort) -> Option<(String, u16, Leads)> {
    let number = u16::try_from(port.port).ok()?;
    let leads = match port.target_port {
        // Left out, it is the Service's own number.
        None => Leads::Number(number),
        Some(IntOrString::Int(target)) => Leads::Number(u16::try_from(target).ok()?),
        Some(IntOrString::String(name)) => Leads::Name(name),
    };
    Some((port.name.unwrap_or_default(), number, leads))
}

impl Served {
    /// Whether it leads to this pod, by its labels.
    pub fn is_for(&self, pod: &PodFacts) -> bool {
        !pod.has_ended() && self.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    }

    /// The number that a named port of it has on a pod.
    pub fn port_on(&self, name: &str, pod: &PodFacts) -> Option<u16> {
        let (_, _, leads) = self.ports.iter().find(|(port, ..)| port == name)?;
        match leads {
            Leads::Number(number) => Some(*number),
            Leads::Name(target) => pod.ports.iter().find(|(port, _)| port == target).map(|(_, number)| *number),
        }
    }

    /// The pods that it leads to now.
    pub async fn look(&self, cluster: &Cluster, namespace: &str) -> Result<Vec<Sliced>, Failure> {
        let api: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), namespace);
        let params = ListParams::default().labels(&format!("kubernetes.io/service-name={}", self.service));
        let slices = in_time(api.list(&params)).await.map_err(|error| slices_refused(cluster, namespace, &error))?;
        let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
        let distinct: BTreeSet<Sliced> = endpoints.filter_map(sliced).collect();
        Ok(distinct.into_iter().collect())
    }
}

fn slices_refused(cluster: &Cluster, namespace: &str, error: &kube::Error) -> Failure {
    let what = format!("list endpointslices in namespace {namespace}");
    let mut failure = refusal(&cluster.server, &what, error);
    if matches!(error, kube::Error::Api(status) if status.code == 404) {
        failure.name = "kubernetes_unsupported".to_owned();
        failure.hint =
            "This API server does not know discovery.k8s.io/v1: Kubernetes 1.21 or later is needed.".to_owned();
    }
    failure
}

/// Not ready, it is not led to; no word about it counts as ready.
fn sliced(endpoint: Endpoint) -> Option<Sliced> {
    let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
    if !ready {
        return None;
    }
    let pod = endpoint.target_ref.filter(|target| target.kind.as_deref() == Some("Pod"));
    Some(match pod {
        Some(pod) => Sliced { uid: pod.uid.unwrap_or_default(), name: pod.name.unwrap_or_default() },
        None => Sliced { uid: String::new(), name: endpoint.addresses.join(",") },
    })
}

/// In what a Service's pods are not these; `None`: it leads to exactly these.
pub fn differences(service: &str, sliced: &[Sliced], pods: &[&PodFacts]) -> Option<String> {
    let uids: BTreeSet<&str> = pods.iter().map(|pod| pod.uid.as_str()).collect();
    let led: BTreeSet<&str> = sliced.iter().map(|one| one.uid.as_str()).collect();
    let missing: Vec<&str> =
        pods.iter().filter(|pod| !led.contains(pod.uid.as_str())).map(|pod| pod.name.as_str()).collect();
    let extra: Vec<&str> =
        sliced.iter().filter(|one| !uids.contains(one.uid.as_str())).map(|one| one.name.as_str()).collect();
    let mut said = Vec::new();
    if !missing.is_empty() {
        said.push(format!("does not lead to {}", missing.join(", ")));
    }
    if !extra.is_empty() {
        said.push(format!("leads to {} too", extra.join(", ")));
    }
    (!said.is_empty()).then(|| format!("Service {service} {}", said.join(" and ")))
}

/// The Service whose port of this name leads to every one of these pods.
pub fn with_port<'a>(
    services: &'a [Served],
    name: &str,
    pods: &[&PodFacts],
    namespace: &str,
    release: &str,
) -> Result<&'a Served, Failure> {
    let leading: Vec<&Served> = services.iter().filter(|one| pods.iter().all(|pod| one.is_for(pod))).collect();
    let found = leading.iter().find(|one| pods.iter().all(|pod| one.port_on(name, pod).is_some()));
    if let Some(found) = found {
        return Ok(found);
    }
    if leading.is_empty() {
        let message =
            format!("release {release} in namespace {namespace} has no headless Service that leads to its pods");
        let hint = format!(
            "The charts make one named <fullname>-headless, labelled {INSTANCE}={release}. Where there is none, write the admin port's number: admin_port = 60051."
        );
        return Err(Failure::new(Exit::Refused, "no_headless_service", message, hint));
    }
    let named: Vec<String> = leading
        .iter()
        .flat_map(|one| one.ports.iter().map(move |(port, number, _)| format!("{port} ({number}) of {}", one.service)))
        .collect();
    let message = format!("no headless Service of release {release} in namespace {namespace} has a port named {name}");
    let hint = format!("There are: {}. Name the admin port with `admin_port`, or write its number.", named.join(", "));
    Err(Failure::new(Exit::Refused, "admin_port_not_found", message, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> PodFacts {
        PodFacts {
            name: name.into(),
            uid: name.into(),
            labels: [("app".to_owned(), "ledger".to_owned())].into(),
            ports: vec![("admin".into(), 50053)],
            ..PodFacts::default()
        }
    }

    fn served(ports: &[(&str, u16, Leads)]) -> Served {
        let ports = ports.iter().map(|(name, number, leads)| ((*name).to_owned(), *number, leads.clone())).collect();
        let selector = [("app".to_owned(), "ledger".to_owned())].into();
        Served { service: "ledger-headless".into(), selector, ports }
    }

    #[test]
    fn a_port_is_a_number_or_the_name_of_a_container_port() {
        let service = served(&[
            ("a", 1, Leads::Number(50053)),
            ("b", 2, Leads::Name("admin".into())),
            ("c", 3, Leads::Name("no".into())),
        ]);
        let pod = pod("x");
        assert_eq!(service.port_on("a", &pod), Some(50053));
        assert_eq!(service.port_on("b", &pod), Some(50053));
        assert_eq!(service.port_on("c", &pod), None);
        assert_eq!(service.port_on("d", &pod), None);
    }

    #[test]
    fn a_service_is_chosen_by_its_port_and_what_is_missing_is_said() {
        let (services, pod) = ([served(&[("scalardl", 50051, Leads::Number(50051))])], pod("x"));
        assert_eq!(with_port(&services, "scalardl", &[&pod], "n", "r").unwrap().service, "ledger-headless");
        let failure = with_port(&services, "scalardl-admin", &[&pod], "n", "r").unwrap_err();
        assert_eq!(failure.name, "admin_port_not_found");
        assert!(failure.hint.contains("scalardl (50051) of ledger-headless"), "{}", failure.hint);
        assert_eq!(with_port(&[], "scalardl", &[&pod], "n", "r").unwrap_err().name, "no_headless_service");
        let other = PodFacts { labels: BTreeMap::new(), ..pod };
        assert_eq!(with_port(&services, "scalardl", &[&other], "n", "r").unwrap_err().name, "no_headless_service");
    }

    #[test]
    fn two_sets_of_pods_are_told_apart_by_name() {
        let (a, b) = (pod("a"), pod("b"));
        let sliced = |name: &str| Sliced { uid: name.into(), name: name.into() };
        assert_eq!(differences("s", &[sliced("a"), sliced("b")], &[&a, &b]), None);
        let said = differences("s", &[sliced("a"), sliced("c")], &[&a, &b]).unwrap();
        assert_eq!(said, "Service s does not lead to b and leads to c too");
    }
}
