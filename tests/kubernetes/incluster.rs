//! As the Job runs: the manifests, the Role and no more, and the program as the first process of PID, mount and network
//! namespaces of its own, as a plain user, on a read-only root, under the Job's own service account token.

use crate::bed::Bed;
use crate::play::Play;
use crate::rows::{Row, row};
use crate::support::{proc, until};
use futures::StreamExt;
use futures::future::BoxFuture;
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use stillpoint::kubernetes::RIGHTS;
use stillpoint_sandbox::pods::Method;

type Story = fn(Arc<Bed>) -> BoxFuture<'static, ()>;

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let stories: [(&str, Story); 4] = [
        ("in the cluster: the manifests are accepted under Pod Security restricted", |bed| Box::pin(manifests(bed))),
        ("in the cluster: each right that is lacking is named", |bed| Box::pin(rights(bed))),
        ("in the cluster: the first process guards the command that is its child", |bed| Box::pin(first(bed))),
        ("in the cluster: a killed container is started again and releases first", |bed| Box::pin(restarted(bed))),
    ];
    let rows = stories.into_iter().map(|(name, story)| {
        let bed = bed.clone();
        row(name, move |_| story(bed))
    });
    rows.collect()
}

fn manifest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes").join(name)
}

/// What `kubectl` says, both ways.
fn kubectl(bed: &Bed, words: &[&str]) -> String {
    let up = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kube/up");
    let found = Command::new(up).arg("--find").output().unwrap();
    let program = String::from_utf8(found.stdout).unwrap();
    let output = Command::new(program.trim())
        .arg("kubectl")
        .args(words)
        .env("KUBECONFIG", &bed.kubeconfig)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "kubectl {words:?}: {said}");
    said
}

async fn manifests(bed: Arc<Bed>) {
    let namespace = bed.namespace().await;
    for mode in ["enforce", "warn"] {
        let label = format!("pod-security.kubernetes.io/{mode}=restricted");
        kubectl(&bed, &["label", "namespace", &namespace, &label]);
    }
    for file in ["role.yaml", "job.yaml", "cronjob.yaml"] {
        let path = manifest(file).display().to_string();
        let said = kubectl(&bed, &["apply", "--namespace", &namespace, "--dry-run=server", "-f", &path]);
        assert!(!said.contains("Warning"), "{file}: {said}");
        assert!(said.contains("(server dry run)"), "{file}: {said}");
    }
    // That what is not restricted would be told of.
    let loose = ["create", "job", "loose", "--image=x", "--namespace", &namespace, "--dry-run=server"];
    assert!(kubectl(&bed, &loose).contains("would violate PodSecurity"));
}

/// A service account with the Role as it is in deploy/, and its token.
fn account(bed: &Bed, namespace: &str) -> String {
    let path = manifest("role.yaml").display().to_string();
    kubectl(bed, &["apply", "--namespace", namespace, "-f", &path]);
    kubectl(bed, &["create", "token", "stillpoint", "--namespace", namespace]).trim().to_owned()
}

/// The address of the API server itself, and its CA.
fn server(bed: &Bed) -> (String, Value) {
    let admin: Value = serde_json::from_slice(&std::fs::read(&bed.kubeconfig).unwrap()).unwrap();
    let cluster = admin["clusters"][0]["cluster"].clone();
    (cluster["server"].as_str().unwrap().to_owned(), cluster)
}

async fn rights(bed: Arc<Bed>) {
    let whole = check_without(&bed, None).await;
    assert_eq!((&whole["exit_code"], &whole["error"]), (&json!(0), &Value::Null), "{whole:#}");
    let without = futures::stream::iter(0..RIGHTS.len()).map(|i| check_without(&bed, Some(i)));
    let told: Vec<Value> = without.buffered(4).collect().await;
    for (right, told) in RIGHTS.iter().zip(told) {
        let text = |value: &Value| value.to_string();
        let all = text(&told["error"]) + &text(&told["warnings"]);
        assert!(all.contains(&text(&json!(right.line())).trim_matches('"').to_owned()), "{right:?}: {told:#}");
        assert_eq!(all.matches("no right to").count(), 1, "{right:?}: {told:#}");
        assert_eq!(told["exit_code"], if right.needed { 4 } else { 0 }, "{right:?}: {told:#}");
    }
}

/// What `check` says with one of its rights taken away.
async fn check_without(bed: &Arc<Bed>, lacking: Option<usize>) -> Value {
    let mut play = Play::ledgers(bed.clone(), 1).await;
    let namespace = play.release().namespace.clone();
    let token = account(bed, &namespace);
    let roles: Api<Role> = play.release().api();
    let left = RIGHTS.iter().enumerate().filter(|(i, _)| Some(*i) != lacking);
    let rules = left.map(|(_, r)| json!({ "apiGroups": [r.group], "resources": [r.resource], "verbs": [r.verb] }));
    if lacking.is_some() {
        let patch = Patch::Merge(json!({ "rules": rules.collect::<Vec<_>>() }));
        roles.patch("stillpoint", &PatchParams::default(), &patch).await.unwrap();
    }
    let (server, cluster) = server(bed);
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "job",
        "clusters": [{ "name": "job", "cluster": cluster }],
        "users": [{ "name": "job", "user": { "token": token } }],
        "contexts": [{ "name": "job", "context": { "cluster": "job", "user": "job" } }],
    });
    assert!(server.starts_with("https://"));
    std::fs::write(play.path("job.kubeconfig"), kubeconfig.to_string()).unwrap();
    let target = play.target("bank", &namespace, "bank", "");
    let front = play.kubeconfig().display().to_string();
    play.targets = Some(target.replace(&front, &play.path("job.kubeconfig").display().to_string()));
    play.configure();
    play.run(&["check"]).await.json
}

/// The program as a container would have it.
struct Container {
    outer: tokio::process::Child,
    folder: PathBuf,
}

impl Container {
    fn start(play: &Play, token: &str, words: &[&str]) -> Self {
        let folder = play.path("");
        let (server, cluster) = server(&play.bed);
        let (host, port) =
            server.trim_start_matches("https://").rsplit_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
        let secrets = folder.join("secrets");
        std::fs::create_dir_all(&secrets).unwrap();
        std::fs::write(secrets.join("token"), token).unwrap();
        std::fs::write(secrets.join("namespace"), &play.release().namespace).unwrap();
        let ca = cluster["certificate-authority-data"].as_str().unwrap();
        std::fs::write(secrets.join("ca.b64"), ca).unwrap();
        let script = r#"set -e
mount --make-rprivate /
mount -t proc proc /proc
mount --bind "$FOLDER" "$FOLDER"
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/kubernetes.io/serviceaccount
cp "$FOLDER/secrets/token" "$FOLDER/secrets/namespace" /run/secrets/kubernetes.io/serviceaccount/
base64 -d "$FOLDER/secrets/ca.b64" > /run/secrets/kubernetes.io/serviceaccount/ca.crt
chmod -R a+rX /run/secrets
chown -R 65532:65532 "$FOLDER"
mount -o remount,bind,ro /
if touch /var/written 2>/dev/null; then echo "the root is not read-only" >&2; exit 99; fi
exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$0" "$@""#;
        let outer = tokio::process::Command::new("unshare")
            .args(["--pid", "--fork", "--mount", "--kill-child", "sh", "-c", script, env!("CARGO_BIN_EXE_stillpoint")])
            .args(words)
            .args(["--output", "json", "--config"])
            .arg(folder.join("stillpoint.toml"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("FOLDER", &folder)
            .env("HOME", &folder)
            .env("KUBERNETES_SERVICE_HOST", host)
            .env("KUBERNETES_SERVICE_PORT", port)
            .env("STILLPOINT_TERMINATION_LOG", folder.join("termination-log"))
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Container { outer, folder }
    }

    /// Its first process, as seen from outside.
    fn init(&self) -> Option<u32> {
        child_of(self.outer.id()?)
    }

    fn worker(&self) -> Option<u32> {
        child_of(self.init()?)
    }

    async fn end(self) -> (Option<i32>, Value, String, String) {
        let output = self.outer.wait_with_output().await.unwrap();
        let last = std::fs::read_to_string(self.folder.join("termination-log")).unwrap_or_default();
        let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), json, String::from_utf8_lossy(&output.stderr).into_owned(), last)
    }
}

fn child_of(parent: u32) -> Option<u32> {
    let line = format!("PPid:\t{parent}");
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut all = all.filter(|pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| text.lines().any(|one| one == line))
    });
    all.find(|pid| proc::is_alive(*pid))
}

/// A play whose target is found by the service account.
async fn as_the_job(bed: &Arc<Bed>) -> (Play, String) {
    let mut play = Play::ledgers(bed.clone(), 2).await;
    let namespace = play.release().namespace.clone();
    let token = account(bed, &namespace);
    play.targets = Some(format!(
        "[[target]]\nname = \"bank\"\nkubernetes = {{ namespace = \"{namespace}\", release = \"bank\" }}\n"
    ));
    play.configure();
    (play, token)
}

async fn until_held(play: &Play) {
    let held = |server: &stillpoint_sandbox::pods::Pod| {
        let log = server.log();
        let since = log.gate_closed_intervals().last().map_or(u64::MAX, |(from, _)| *from);
        !server.is_open() && log.received_at(Method::CheckPaused).into_iter().filter(|at| *at > since).count() >= 2
    };
    until("every pod is held", || play.servers().all(held)).await;
}

async fn first(bed: Arc<Bed>) {
    let (play, token) = as_the_job(&bed).await;
    let (code, json, said, last) = Container::start(&play, &token, &["create"]).end().await;
    assert_eq!((code, &json["verdict"]), (Some(0), &json!("good")), "{json:#} {said}");
    assert!(last.starts_with("exit 0: good: manual-"), "{last}");
    play.assert_all_open();
    // The command is killed in its still period: the first process, which is its guard, opens the pods and ends.
    let container = Container::start(&play, &token, &["create"]);
    until_held(&play).await;
    let worker = container.worker().unwrap();
    assert_eq!(child_of(worker), None, "the command has a guard of its own beside the first process");
    proc::signal(worker, Signal::KILL);
    let (code, _, said, last) = container.end().await;
    assert_eq!(code, Some(137), "{said}");
    assert!(last.starts_with("void: killed by signal 9"), "{last}");
    play.assert_all_open();
    // SIGTERM is passed on: the command stops by itself. (The dead one's lock in the catalog has yet to run out.)
    let (play, token) = as_the_job(&bed).await;
    let container = Container::start(&play, &token, &["create"]);
    until_held(&play).await;
    proc::signal(container.init().unwrap(), Signal::TERM);
    let (code, json, said, last) = container.end().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(json["attempts"][0]["violations"].to_string().contains("Cancelled"), "{json:#}");
    assert!(last.starts_with("exit 1: cancelled"), "{last}");
    play.assert_all_open();
}

async fn restarted(bed: Arc<Bed>) {
    let (play, token) = as_the_job(&bed).await;
    let container = Container::start(&play, &token, &["create"]);
    until_held(&play).await;
    // All of a container's processes end with its first.
    proc::signal(container.init().unwrap(), Signal::KILL);
    container.end().await;
    assert!(play.servers().all(|server| !server.is_open()), "left paused");
    // The same state folder, as an emptyDir is after a restart of the container; another PID namespace.
    let (code, json, said, _) = Container::start(&play, &token, &["recover"]).end().await;
    assert_eq!(code, Some(0), "{json:#} {said}");
    assert!(json["pods"].as_array().unwrap().iter().all(|pod| pod["state"] == "open"), "{json:#}");
    play.assert_all_open();
    let lease: Api<k8s_openapi::api::coordination::v1::Lease> = play.release().api();
    let lease = lease.get("stillpoint-bank").await.unwrap();
    assert!(lease.annotations().is_empty(), "{lease:?}");
}
