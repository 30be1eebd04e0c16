//! One test's own corner of the cluster: releases as the charts make them, servers that play their pods, and the program.

use crate::bed::Bed;
use crate::front::Front;
use crate::support::{Ended, Running, proc, until};
use crate::waited;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod as KubePod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use stillpoint_sandbox::pods::{Method, Pod, PodConfig};
use tempfile::TempDir;

/// A release, as its chart would make it.
pub struct Release {
    pub namespace: String,
    pub name: String,
    pub app: &'static str,
    /// The servers that play its pods, by the pods' names.
    pub servers: BTreeMap<String, Pod>,
    shape: Shape,
    client: Client,
}

/// What differs from what the charts make.
#[derive(Clone, Default)]
pub struct Shape {
    /// Its pods' kinds of address, the first one first; none: IPv4.
    pub families: &'static [&'static str],
    /// How the servers that play its pods behave.
    pub server: PodConfig,
}

/// What a chart calls the admin port, and its number.
pub fn admin_port(app: &str) -> (&'static str, u16) {
    match app {
        "scalardb" => ("scalardb", 60051),
        "scalardb-cluster" => ("scalardb-cluster", 60053),
        "ledger" => ("scalardl-admin", 50053),
        _ => ("scalardl-auditor-admin", 40053),
    }
}

pub fn labels(release: &str, app: &str) -> Value {
    json!({
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/name": "chart",
        "app.kubernetes.io/app": app,
    })
}

pub fn pod_spec() -> Value {
    json!({
        "nodeName": "node-0",
        "containers": [{ "name": "server", "image": "server", "ports": [{ "name": "admin", "containerPort": 60051 }] }],
    })
}

impl Release {
    /// Makes a Deployment with a headless Service, and waits until all its pods are Ready and led to.
    pub async fn start(bed: &Bed, namespace: &str, name: &str, app: &'static str, replicas: i32) -> Self {
        Self::shaped(bed, namespace, name, app, replicas, Shape::default()).await
    }

    /// The same, of another shape.
    pub async fn shaped(
        bed: &Bed,
        namespace: &str,
        name: &str,
        app: &'static str,
        replicas: i32,
        shape: Shape,
    ) -> Self {
        let mut release = Self::make_shaped(bed, namespace, name, app, replicas, shape).await;
        release.play(usize::try_from(replicas).unwrap()).await;
        release
    }

    /// The objects alone.
    pub async fn make(bed: &Bed, namespace: &str, name: &str, app: &'static str, replicas: i32) -> Self {
        Self::make_shaped(bed, namespace, name, app, replicas, Shape::default()).await
    }

    async fn make_shaped(
        bed: &Bed,
        namespace: &str,
        name: &str,
        app: &'static str,
        replicas: i32,
        shape: Shape,
    ) -> Self {
        let families = shape.families.join(",");
        let annotations = (!families.is_empty()).then(|| json!({ "testkube/ip-families": families }));
        let release = Release {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            app,
            servers: BTreeMap::new(),
            shape,
            client: bed.client.clone(),
        };
        let (port_name, port) = admin_port(app);
        release.service(json!([{ "name": port_name, "port": port, "targetPort": port }])).await;
        let deployment = json!({
            "metadata": { "name": release.deployment_name(), "labels": labels(name, app) },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": labels(name, app) },
                "template": { "metadata": { "labels": labels(name, app), "annotations": annotations }, "spec": pod_spec() },
            },
        });
        let api: Api<Deployment> = release.api();
        api.create(&PostParams::default(), &serde_json::from_value(deployment).unwrap()).await.unwrap();
        release
    }

    /// The headless Service with these ports; a repeat replaces them.
    pub async fn service(&self, ports: Value) {
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": self.service_name(), "labels": labels(&self.name, self.app) },
            "spec": { "clusterIP": "None", "selector": labels(&self.name, self.app), "ports": ports },
        });
        if !self.shape.families.is_empty() {
            let policy = if self.shape.families.len() > 1 { "RequireDualStack" } else { "SingleStack" };
            service["spec"]["ipFamilies"] = json!(self.shape.families);
            service["spec"]["ipFamilyPolicy"] = policy.into();
        }
        let api: Api<Service> = self.api();
        let apply = PatchParams::apply("tests").force();
        api.patch(&self.service_name(), &apply, &Patch::Apply(service)).await.unwrap();
    }

    pub fn deployment_name(&self) -> String {
        format!("{}-{}", self.name, self.app)
    }

    pub fn service_name(&self) -> String {
        format!("{}-{}-headless", self.name, self.app)
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn pods(&self) -> Vec<KubePod> {
        let selector = format!("app.kubernetes.io/instance={},app.kubernetes.io/app={}", self.name, self.app);
        self.api::<KubePod>().list(&ListParams::default().labels(&selector)).await.unwrap().items
    }

    /// Waits for so many pods that are Ready and led to, and plays each at its own address.
    pub async fn play(&mut self, count: usize) {
        let pods = waited("the pods are Ready", || async {
            let pods = self.pods().await;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            (pods.len() == count && ready == count).then_some(pods)
        })
        .await;
        let settled = || async {
            let deployment = self.api::<Deployment>().get_opt(&self.deployment_name()).await.unwrap();
            // Pods made by hand have none.
            let Some(deployment) = deployment else { return Some(()) };
            let ready = deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0);
            (usize::try_from(ready).unwrap() == count).then_some(())
        };
        waited("the Deployment knows", settled).await;
        waited("the slices lead to them", || async {
            let selector = format!("kubernetes.io/service-name={}", self.service_name());
            let slices = self.api::<EndpointSlice>().list(&ListParams::default().labels(&selector)).await.unwrap();
            let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
            let ready = endpoints.filter(|one| one.conditions.as_ref().and_then(|c| c.ready) == Some(true));
            // One slice for each kind of address.
            let expected = count * self.shape.families.len().max(1);
            (ready.count() == expected).then_some(())
        })
        .await;
        for (index, pod) in pods.into_iter().enumerate() {
            let name = pod.metadata.name.unwrap();
            let ip: IpAddr = pod.status.unwrap().pod_ip.unwrap().parse().unwrap();
            if ip.is_ipv6() {
                take_address(ip);
            }
            let at = SocketAddr::new(ip, admin_port(self.app).1);
            self.servers.insert(name, Pod::start_at(index, self.shape.server.clone(), at).await.unwrap());
        }
    }

    /// The name of its first pod.
    pub fn first(&self) -> String {
        self.servers.keys().next().unwrap().clone()
    }

    pub async fn patch_status(&self, pod: &str, status: Value) {
        let patch = Patch::Strategic(json!({ "status": status }));
        self.api::<KubePod>().patch_status(pod, &PatchParams::default(), &patch).await.unwrap();
    }

    pub async fn patch_deployment(&self, patch: Value) {
        let api: Api<Deployment> = self.api();
        api.patch(&self.deployment_name(), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Every gate of a server that is up is open.
    pub fn all_open(&self) -> bool {
        self.servers.values().all(|server| !server.is_up() || server.is_open())
    }
}

/// Of IPv6 not the whole network is this machine's, but each address by itself.
fn take_address(ip: IpAddr) {
    let mut command = std::process::Command::new("ip");
    let taken = command.args(["-6", "addr", "add", &format!("{ip}/128"), "dev", "lo", "nodad"]).status().unwrap();
    assert!(taken.success(), "{ip} cannot be taken");
}

pub fn is_ready(pod: &KubePod) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    status.is_some_and(|status| status.pod_ip.is_some())
        && conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

/// A test at work: releases, a front before the API server, a folder with the configuration.
pub struct Play {
    pub bed: Arc<Bed>,
    pub front: Front,
    pub releases: Vec<Release>,
    folder: TempDir,
    /// The still period; long enough for a safe second, wherever it begins.
    pub hold: &'static str,
    /// What a Pause may take beyond the drain.
    pub grace: &'static str,
    /// Longest outage of one window.
    pub max_outage: &'static str,
    /// Windows, until one is good.
    pub attempts: u32,
    /// More `[window]` keys.
    pub window: String,
    /// Instead of one target for each release.
    pub targets: Option<String>,
}

impl Play {
    pub async fn of(bed: Arc<Bed>, releases: Vec<Release>) -> Self {
        let front = Front::start(bed.client.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let play = Play {
            bed,
            front,
            releases,
            folder,
            hold: "3500ms",
            grace: "1s",
            max_outage: "40s",
            attempts: 1,
            window: String::new(),
            targets: None,
        };
        play.configure();
        play
    }

    /// One release of that many ledgers.
    pub async fn ledgers(bed: Arc<Bed>, replicas: i32) -> Self {
        let namespace = bed.namespace().await;
        let release = Release::start(&bed, &namespace, "bank", "ledger", replicas).await;
        Self::of(bed, vec![release]).await
    }

    pub fn release(&self) -> &Release {
        &self.releases[0]
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.front.kubeconfig(self.folder.path())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A target's table.
    pub fn target(&self, name: &str, namespace: &str, release: &str, more: &str) -> String {
        format!(
            "[[target]]\nname = \"{name}\"\nkubernetes = {{ namespace = \"{namespace}\", release = \"{release}\", kubeconfig = {:?}{more} }}\n",
            self.kubeconfig().display().to_string()
        )
    }

    /// Writes the configuration.
    pub fn configure(&self) {
        let each = self.releases.iter().map(|one| self.target(&one.name, &one.namespace, &one.name, ""));
        let targets = self.targets.clone().unwrap_or_else(|| each.collect());
        let database = &self.bed.sandbox.config().database;
        let text = format!(
            "[catalog]\nurl = \"file://{folder}/catalog\"\n[state]\ndir = \"{folder}/state\"\n\
             [window]\nhold = \"{hold}\"\nmargin = \"500ms\"\nmax_outage = \"{max_outage}\"\nmax_pause_wait_time = \"1s\"\n\
             call_grace = \"{grace}\"\ntcp_user_timeout = \"1s\"\nattempts = {attempts}\nrelease_wait = \"25s\"\n{window}\
             [polling]\ntime_scale = {scale:?}\n{targets}\
             [[database]]\nname = \"bank-tables\"\nprovider = \"dynamodb\"\nregion = \"{region}\"\nendpoint = \"{endpoint}\"\n",
            folder = self.folder.path().display(),
            hold = self.hold,
            grace = self.grace,
            max_outage = self.max_outage,
            attempts = self.attempts,
            window = self.window,
            scale = database.time_scale,
            region = database.region,
            endpoint = self.bed.sandbox.endpoint(),
        );
        std::fs::write(self.path("stillpoint.toml"), text).unwrap();
    }

    pub fn start(&self, words: &[&str]) -> Running {
        Running::start(self.folder.path(), words, &[])
    }

    pub async fn run(&self, words: &[&str]) -> Ended {
        self.start(words).end().await
    }

    pub fn servers(&self) -> impl Iterator<Item = &Pod> {
        self.releases.iter().flat_map(|release| release.servers.values())
    }

    /// Starts `create` and waits until every gate is closed and has been looked at twice: the still period goes on.
    pub async fn held(&self) -> Running {
        self.held_by(&["create"]).await
    }

    /// The same by another command.
    pub async fn held_by(&self, words: &[&str]) -> Running {
        let running = self.start(words);
        let looked_at = |server: &Pod| {
            let log = server.log();
            let since = log.gate_closed_intervals().last().map_or(u64::MAX, |(from, _)| *from);
            !server.is_open() && log.received_at(Method::CheckPaused).into_iter().filter(|at| *at > since).count() >= 2
        };
        until("every pod is held, or the command ends", || {
            !proc::is_alive(running.pid()) || self.servers().all(looked_at)
        })
        .await;
        assert!(proc::is_alive(running.pid()), "it ended before it held every pod: {}", running.told());
        running
    }

    #[track_caller]
    pub fn assert_all_open(&self) {
        assert!(self.releases.iter().all(Release::all_open), "a pod is left paused");
    }

    /// A void window: exit 1, every pod open, and this violation of a pod with this beginning of a name.
    #[track_caller]
    pub fn expect_void(&self, ended: Ended, name: &str, subject: &str) -> Ended {
        let ended = ended.expect(1);
        self.assert_all_open();
        let last = ended.json["attempts"].as_array().unwrap().last().unwrap().clone();
        let fits = |one: &Value| one["name"] == name && one["subject"].as_str().unwrap().starts_with(subject);
        assert!(last["violations"].as_array().unwrap().iter().any(fits), "no {name} of {subject}: {:#}", ended.json);
        assert_eq!(ended.json["verdict"], "void");
        ended
    }

    /// A good one: exit 0, every pod open.
    #[track_caller]
    pub fn expect_good(&self, ended: Ended) -> Ended {
        let ended = ended.expect(0);
        self.assert_all_open();
        assert_eq!(ended.json["verdict"], "good", "{:#}", ended.json);
        ended
    }

    /// The evidence of the only point's record.
    pub fn evidence(&self, id: &str) -> Value {
        let folder = self.path("catalog").join("points").join(id);
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let whole: Value = serde_json::from_str(&text).unwrap();
            if let Some(found) = find(&whole, "evidence") {
                return found.clone();
            }
        }
        panic!("no evidence on record");
    }

    /// Everything that was asked of pods carried a selector, and nothing was listed while a gate was closed.
    #[track_caller]
    pub fn assert_asked_as_promised(&self) {
        let asked = self.front.asked();
        let of_pods: Vec<_> = asked.iter().filter(|one| one.of_pods()).collect();
        assert!(of_pods.iter().any(|one| one.is_watch()), "no watch: {asked:#?}");
        assert!(of_pods.iter().all(|one| one.what.contains("labelSelector=")), "{of_pods:#?}");
        assert!(of_pods.iter().all(|one| !one.is_watch() || one.what.contains("allowWatchBookmarks=true")));
        let logs: Vec<_> = self.servers().map(Pod::log).collect();
        let closed: Vec<_> = logs.iter().flat_map(|log| log.gate_closed_intervals().to_vec()).collect();
        let from = closed.iter().map(|(from, _)| *from).min().unwrap();
        let to = closed.iter().filter_map(|(_, to)| *to).max().unwrap();
        let meanwhile: Vec<_> =
            asked.iter().filter(|one| one.at_ns > from && one.at_ns < to && !one.is_watch()).collect();
        assert!(meanwhile.is_empty(), "asked while pods were paused: {meanwhile:#?}");
    }
}

fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|inner| find(inner, key))),
        Value::Array(list) => list.iter().find_map(|inner| find(inner, key)),
        _ => None,
    }
}
