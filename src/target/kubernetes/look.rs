//! One look at every Kubernetes target: a list for each namespace, and what that list is compared with.

use super::api::{Look, Pods};
use super::facts::PodFacts;
use super::find::{Sought, every_product, nobody, strangers, strangers_refused, unfit};
use super::services::{Served, differences, headless, with_port};
use super::watch::{NamespaceWatch, SharedWatch};
use super::workloads;
use crate::admin::{AdminEndpoint, TlsReference};
use crate::failure::{Exit, Failure};
use crate::kubernetes::{Cluster, Clusters, PodIdentity, refusal};
use crate::settings::{AdminPort, ClusterReference, PodSource, Product, Settings};
use crate::target::{Pod, Watched};
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// How much is asked of the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Everything that a window depends on.
    Proof,
    /// Only where they are: for releasing, which must not wait for anything.
    Addresses,
}

/// What one look found.
#[derive(Debug, Default)]
pub struct Looked {
    /// Pods that can be connected to, in the order of the targets.
    pub pods: Vec<Pod>,
    /// Ways to see what becomes of them.
    pub watched: Vec<Arc<dyn Watched>>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why nothing may be paused.
    pub failures: Vec<Failure>,
}

/// Looks at every Kubernetes target of the settings. Changes nothing; the namespaces are looked at all at once.
pub async fn look(settings: &Settings, tls: impl Fn(&str) -> Option<TlsReference>, care: Care) -> Looked {
    let clusters = Clusters::default();
    let mut places: BTreeMap<(&ClusterReference, &str), Vec<Sought<'_>>> = BTreeMap::new();
    for target in &settings.targets {
        if let PodSource::Kubernetes(sought) = &target.pods {
            let place = (&sought.cluster, sought.namespace.as_str());
            places.entry(place).or_default().push(Sought { name: &target.name, target: sought });
        }
    }
    let looks = places.into_iter().map(|((reference, namespace), sought)| {
        let (clusters, tls) = (&clusters, &tls);
        async move {
            match clusters.get(reference).await {
                Ok(cluster) => {
                    let place = Place { settings, cluster, namespace, care, tls, found: Looked::default() };
                    place.look(&sought).await
                }
                Err(failure) => {
                    let failures = sought.iter().map(|one| in_target(one.name, failure.clone())).collect();
                    Looked { failures, ..Looked::default() }
                }
            }
        }
    });
    let mut all = Looked::default();
    for one in join_all(looks).await {
        all.pods.extend(one.pods);
        all.watched.extend(one.watched);
        all.warnings.extend(one.warnings);
        // A cluster that cannot be spoken to fails every target in it alike.
        all.failures.extend(one.failures);
    }
    let order = |pod: &Pod| settings.targets.iter().position(|target| target.name == pod.target);
    all.pods.sort_by_cached_key(|pod| (order(pod), pod.name.clone()));
    all
}

fn in_target(target: &str, mut failure: Failure) -> Failure {
    failure.message = format!("target `{target}`: {}", failure.message);
    failure
}

/// One namespace of one cluster.
struct Place<'a, T> {
    settings: &'a Settings,
    cluster: Cluster,
    namespace: &'a str,
    care: Care,
    tls: &'a T,
    found: Looked,
}

impl<T: Fn(&str) -> Option<TlsReference>> Place<'_, T> {
    async fn look(mut self, sought: &[Sought<'_>]) -> Looked {
        let all = match self.list(&every_product()).await {
            Ok(look) => look,
            Err(failure) => {
                self.found.failures.extend(sought.iter().map(|one| in_target(one.name, failure.clone())));
                return self.found;
            }
        };
        let mut taken = BTreeSet::new();
        let mut by_selector = BTreeMap::new();
        let mut served = Vec::new();
        for one in sought {
            let pods: Vec<PodFacts> = match &one.target.selector {
                None => all.pods.iter().filter(|pod| one.has(pod)).cloned().collect(),
                Some(selector) => match self.list(selector).await {
                    Ok(look) => {
                        let pods = look.pods.clone();
                        by_selector.insert(one.name, (selector.clone(), look));
                        pods
                    }
                    Err(failure) => {
                        self.found.failures.push(in_target(one.name, failure));
                        continue;
                    }
                },
            };
            let twice: Vec<&PodFacts> = pods.iter().filter(|pod| !taken.insert(pod.uid.clone())).collect();
            self.found.failures.extend(twice.into_iter().map(|pod| duplicate(one.name, pod)));
            served.push((one.name, self.target(one, &pods, &all.pods).await));
        }
        if self.care == Care::Proof {
            // Beside a release that is not found, the pods of the one that was meant are no news.
            let lost = |failure: &Failure| matches!(failure.name.as_str(), "release_not_found" | "product_not_found");
            if !self.found.failures.iter().any(lost) {
                let strangers = strangers(&all.pods, &taken, &self.settings.window.ignore);
                self.found.failures.extend(strangers_refused(self.namespace, &strangers));
            }
            self.watch(sought, all, by_selector, served);
        }
        self.found
    }

    async fn list(&self, selector: &str) -> Result<Look, Failure> {
        let listed = self.pods(selector).list().await;
        listed.map_err(|error| {
            let what = format!("list pods in namespace {}", self.namespace);
            refusal(&self.cluster.server, &what, &error)
        })
    }

    fn pods(&self, selector: &str) -> Pods {
        let namespace = self.namespace.to_owned();
        Pods { cluster: self.cluster.clone(), namespace, selector: selector.to_owned() }
    }

    /// One target: its pods, and everything they are compared with. Returns the Services that lead to them.
    async fn target(&mut self, sought: &Sought<'_>, pods: &[PodFacts], known: &[PodFacts]) -> Vec<Served> {
        let (ended, running): (Vec<&PodFacts>, Vec<&PodFacts>) = pods.iter().partition(|pod| pod.has_ended());
        if running.is_empty() {
            let failure = self.nobody(sought, known, &ended).await;
            self.found.failures.push(in_target(sought.name, failure));
            return Vec::new();
        }
        if !ended.is_empty() && self.care == Care::Proof {
            let names: Vec<String> = ended.iter().map(|pod| format!("{} ({})", pod.name, pod.status())).collect();
            self.found.warnings.push(format!(
                "target `{}`: pods that have ended do not count: {}",
                sought.name,
                names.join(", ")
            ));
        }
        if self.care == Care::Proof {
            let unfit: Vec<Failure> = running.iter().filter_map(|pod| unfit(pod)).collect();
            let all_fit = unfit.is_empty();
            self.found.failures.extend(unfit.into_iter().map(|failure| in_target(sought.name, failure)));
            self.settled(sought, &running, all_fit).await;
        }
        self.serve(sought, &running).await
    }

    async fn nobody(&self, sought: &Sought<'_>, known: &[PodFacts], ended: &[&PodFacts]) -> Failure {
        let failure = nobody(sought, known, ended);
        if failure.name != "release_not_found" || sought.target.selector.is_some() {
            return failure;
        }
        let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(self.cluster.client.clone());
        // Whoever may not read it learns less, but is not refused for that.
        if known.is_empty()
            && let Ok(None) = super::api::in_time(namespaces.get_opt(self.namespace)).await
        {
            let message = format!("there is no namespace {} at {}", self.namespace, self.cluster.server);
            let hint = "`kubectl get namespaces` shows those of this cluster; is it the right context?";
            return Failure::new(Exit::Refused, "namespace_not_found", message, hint);
        }
        let release = &sought.target.release;
        match headless(&self.cluster, self.namespace, release).await {
            Ok(services) if !services.is_empty() => {
                let message = format!("release {release} in namespace {} has no pods", self.namespace);
                let hint = format!("Its Service {} is there: is it scaled to zero?", services[0].service);
                Failure::new(Exit::Refused, "release_without_pods", message, hint)
            }
            _ => failure,
        }
    }

    /// No rollout is under way, and there are as many pods as were asked for. With pods that are not fit the numbers
    /// would only say so again.
    async fn settled(&mut self, sought: &Sought<'_>, running: &[&PodFacts], all_fit: bool) {
        match workloads::of(&self.cluster, self.namespace, running).await {
            Ok((found, warnings)) => {
                let unsettled = found.iter().filter_map(|(one, pods)| workloads::unsettled(one, *pods, self.namespace));
                let unsettled = unsettled.filter(|failure| all_fit || failure.name == "rollout_under_way");
                self.found.failures.extend(unsettled.map(|failure| in_target(sought.name, failure)));
                self.found
                    .warnings
                    .extend(warnings.into_iter().map(|text| format!("target `{}`: {text}", sought.name)));
            }
            Err(failure) => self.found.failures.push(in_target(sought.name, failure)),
        }
    }

    /// Finds the admin port of every pod, product by product, and holds each product's Service against its pods.
    async fn serve(&mut self, sought: &Sought<'_>, running: &[&PodFacts]) -> Vec<Served> {
        // A selector may take pods that carry other labels than the charts'; their release says where the Service is.
        let release = running.first().map(|pod| pod.release()).filter(|release| !release.is_empty());
        let release = release.unwrap_or(&sought.target.release).to_owned();
        let by_number = matches!(sought.target.admin_port, Some(AdminPort::Number(_)));
        let services = if by_number && self.care == Care::Addresses {
            Vec::new()
        } else {
            match headless(&self.cluster, self.namespace, &release).await {
                Ok(services) => services,
                Err(failure) => {
                    self.found.failures.push(in_target(sought.name, failure));
                    return Vec::new();
                }
            }
        };
        let mut products: BTreeMap<&str, Vec<&PodFacts>> = BTreeMap::new();
        for pod in running {
            products.entry(pod.app()).or_default().push(pod);
        }
        let mut used = Vec::new();
        for (app, pods) in products {
            let port = match port_name(sought, app) {
                Ok(port) => port,
                Err(failure) => {
                    self.found.failures.push(in_target(sought.name, failure));
                    continue;
                }
            };
            match self.product(sought, &port, &pods, &services, &release).await {
                Ok(service) => used.extend(service),
                Err(failure) => self.found.failures.push(in_target(sought.name, failure)),
            }
        }
        used
    }

    async fn product(
        &mut self,
        sought: &Sought<'_>,
        port: &AdminPort,
        pods: &[&PodFacts],
        services: &[Served],
        release: &str,
    ) -> Result<Option<Served>, Failure> {
        let service = match port {
            AdminPort::Name(name) => Some(with_port(services, name, pods, self.namespace, release)?),
            AdminPort::Number(_) => services.iter().find(|one| pods.iter().all(|pod| one.is_for(pod))),
        };
        let fit = |pod: &&&PodFacts| self.care == Care::Addresses || unfit(pod).is_none();
        for pod in pods.iter().filter(fit).copied().collect::<Vec<_>>() {
            let number = match (port, service) {
                (AdminPort::Number(number), _) => Some(*number),
                (AdminPort::Name(name), Some(service)) => service.port_on(name, pod),
                (AdminPort::Name(_), None) => None,
            };
            let address = pod.address.zip(number).map(|(address, number)| SocketAddr::new(address, number));
            self.found.pods.extend(address.map(|address| self.pod(sought, pod, address)));
        }
        if self.care == Care::Proof {
            self.compare(sought, service, pods).await?;
        }
        Ok(service.cloned())
    }

    async fn compare(
        &mut self,
        sought: &Sought<'_>,
        service: Option<&Served>,
        pods: &[&PodFacts],
    ) -> Result<(), Failure> {
        let Some(service) = service else {
            self.found.warnings.push(format!(
                "target `{}`: no headless Service leads to its pods, so they are compared with none",
                sought.name
            ));
            return Ok(());
        };
        // What is not Ready is told already, and is rightly not led to.
        if pods.iter().any(|pod| unfit(pod).is_some()) {
            return Ok(());
        }
        let sliced = service.look(&self.cluster, self.namespace).await?;
        match differences(&service.service, &sliced, pods) {
            None => Ok(()),
            Some(difference) => {
                let message = format!("the pods found by labels and by EndpointSlices are not the same: {difference}");
                let hint = "Slices follow the pods within seconds: run it again. If it stays so, compare the Service's selector with the pods' labels.";
                Err(Failure::new(Exit::Refused, "sets_disagree", message, hint))
            }
        }
    }

    fn pod(&self, sought: &Sought<'_>, pod: &PodFacts, address: SocketAddr) -> Pod {
        let address = address.to_string();
        let endpoint = AdminEndpoint {
            address: address.clone(),
            tls: (self.tls)(sought.name),
            authority: None,
            tcp_user_timeout: self.settings.window.tcp_user_timeout,
        };
        let identity = PodIdentity {
            cluster: sought.target.cluster.clone(),
            namespace: self.namespace.to_owned(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
        };
        Pod { name: pod.name.clone(), target: sought.name.to_owned(), address, endpoint, identity: Some(identity) }
    }

    /// A watch for the namespace, and one for each selector of its own.
    fn watch(
        &mut self,
        sought: &[Sought<'_>],
        all: Look,
        by_selector: BTreeMap<&str, (String, Look)>,
        served: Vec<(&str, Vec<Served>)>,
    ) {
        let mut services: BTreeMap<&str, Vec<Served>> = served.into_iter().collect();
        let elsewhere: BTreeSet<String> =
            by_selector.values().flat_map(|(_, look)| &look.pods).map(|pod| pod.uid.clone()).collect();
        for (name, (selector, look)) in by_selector {
            let target = name.to_owned();
            let belongs = Arc::new(move |_: &PodFacts| Some(target.clone()));
            let served = services.remove(name).unwrap_or_default();
            self.add_watch(NamespaceWatch { pods: self.pods(&selector), look, belongs, served });
        }
        let targets: Vec<(String, crate::settings::KubernetesTarget)> =
            sought.iter().map(|one| (one.name.to_owned(), one.target.clone())).collect();
        let (ignore, namespace) = (self.settings.window.ignore.clone(), self.namespace.to_owned());
        let belongs = Arc::new(move |pod: &PodFacts| {
            if elsewhere.contains(&pod.uid) {
                return None;
            }
            let mine = targets.iter().find(|(name, target)| Sought { name, target }.has(pod));
            match mine {
                Some((name, _)) => Some(name.clone()),
                None if ignore.iter().any(|release| release == pod.release()) => None,
                None => Some(format!("none, in namespace {namespace}")),
            }
        });
        let served = services.into_values().flatten().collect();
        self.add_watch(NamespaceWatch { pods: self.pods(&every_product()), look: all, belongs, served });
    }

    fn add_watch(&mut self, watch: NamespaceWatch) {
        self.found.watched.push(Arc::new(SharedWatch(Arc::new(watch))));
    }
}

/// The settings' port, or the one that the product's chart names.
fn port_name(sought: &Sought<'_>, app: &str) -> Result<AdminPort, Failure> {
    if let Some(port) = &sought.target.admin_port {
        return Ok(port.clone());
    }
    let product = Product::of_label(app).or(sought.target.product);
    product.map(|product| AdminPort::Name(product.port_name().to_owned())).ok_or_else(|| {
        let message = format!("the selected pods are of no known product ({app}), so their admin port is not known");
        Failure::new(
            Exit::Refused,
            "admin_port_not_found",
            message,
            "Write `admin_port`, a name or a number, or `product`.",
        )
    })
}

fn duplicate(target: &str, pod: &PodFacts) -> Failure {
    let message = format!("target `{target}`: pod {} is in another target too", pod.name);
    Failure::new(
        Exit::Refused,
        "duplicate_pod",
        message,
        "Name each pod once, in one target: narrow one with `product` or `selector`.",
    )
}
