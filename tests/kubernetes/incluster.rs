//! As the Job runs: the manifests, the Role and no more, and the program as the first process of PID, mount and network
//! namespaces of its own, as a plain user, on a read-only root, under the Job's own service account token.
//!
//! The network namespace holds one end of a veth pair; over the other it reaches the pods by their IPs, and the API server
//! where a cluster has it, at the first address of its Services. `STILLPOINT_BINARY` names another program to run there, as
//! the release build: nothing here needs a debug build's places to die, all deaths come from outside.

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
use std::sync::atomic::{AtomicU8, Ordering};
use stillpoint::kubernetes::RIGHTS;
use stillpoint_sandbox::pods::Method;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;

type Story = fn(Arc<Bed>) -> BoxFuture<'static, ()>;

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let stories: [(&str, Story); 5] = [
        ("in the cluster: the manifests are accepted under Pod Security restricted", |bed| Box::pin(manifests(bed))),
        ("in the cluster: each right that is lacking is named", |bed| Box::pin(rights(bed))),
        ("in the cluster: the first process guards the command that is its child", |bed| Box::pin(first(bed))),
        ("in the cluster: a killed container is started again and releases first", |bed| Box::pin(restarted(bed))),
        ("in the cluster: a killed container is started again and makes its point", |bed| Box::pin(made_again(bed))),
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

/// Where every cluster has its API server: the first address of its Services, which is in the server's certificate.
const SERVICE: &str = "10.96.0.1";
/// The program that is run.
fn program() -> PathBuf {
    let named = std::env::var_os("STILLPOINT_BINARY").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_stillpoint")))
}

/// Whether containers can have a network namespace of their own. Makes the way there, once for all rows: the API server
/// and the database listen on this namespace's loopback, where nothing from another can reach them.
async fn network(bed: &Bed) -> bool {
    static READY: OnceCell<bool> = OnceCell::const_new();
    *READY
        .get_or_init(|| async {
            eprintln!("in the cluster: the program is {}", program().display());
            ip(&["address", "add", &format!("{SERVICE}/32"), "dev", "lo"]).unwrap();
            for (at, to) in [(443, server(bed).0), (database_port(bed), bed.sandbox.endpoint())] {
                let (_, to) = to.split_once("://").unwrap();
                pass_on(at, to.trim_end_matches('/').to_owned()).await;
            }
            let tried = ip(&["link", "add", "sp-try", "type", "veth", "peer", "name", "sp-tried"]);
            let Err(why) = tried.and_then(|()| ip(&["link", "delete", "sp-try"])) else { return true };
            let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
            assert!(!ci, "a container cannot have a network namespace of its own: {why}");
            eprintln!("WITHOUT a network namespace of their own: the containers of these rows ({why})");
            false
        })
        .await
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("ip {}: {said}", words.join(" "))) }
}

fn database_port(bed: &Bed) -> u16 {
    bed.sandbox.endpoint().trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Passes connections on. Goes on for as long as the process.
async fn pass_on(port: u16, to: String) {
    let listener = TcpListener::bind((SERVICE, port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                if let Ok(mut far) = TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
}

/// The program as a container would have it.
struct Container {
    outer: tokio::process::Child,
    folder: PathBuf,
    own_network: bool,
}

impl Container {
    async fn start(play: &Play, token: &str, words: &[&str]) -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        let folder = play.path("");
        let own_network = network(&play.bed).await;
        let (_, cluster) = server(&play.bed);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let secrets = folder.join("secrets");
        std::fs::create_dir_all(&secrets).unwrap();
        std::fs::write(secrets.join("token"), token).unwrap();
        std::fs::write(secrets.join("namespace"), &play.release().namespace).unwrap();
        let ca = cluster["certificate-authority-data"].as_str().unwrap();
        std::fs::write(secrets.join("ca.b64"), ca).unwrap();
        let script = r#"set -e
if [ -n "$OWN" ]; then
    tries=0
    until ip link show eth0 >/dev/null 2>&1; do
        tries=$((tries + 1)); [ $tries -lt 300 ] || { echo "no eth0" >&2; exit 98; }
        sleep 0.1
    done
    ip link set lo up
    ip address add "10.97.$NUMBER.2/24" dev eth0
    ip link set eth0 up
    ip route add default via "10.97.$NUMBER.1"
fi
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
            .args(["--pid", "--fork", "--mount", "--kill-child"])
            .args(own_network.then_some("--net"))
            .args(["sh", "-c", script])
            .arg(program())
            .args(words)
            .args(["--output", "json", "--config"])
            .arg(folder.join("stillpoint.toml"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("FOLDER", &folder)
            .env("NUMBER", number.to_string())
            .env("OWN", if own_network { "1" } else { "" })
            .env("HOME", &folder)
            .env("KUBERNETES_SERVICE_HOST", SERVICE)
            .env("KUBERNETES_SERVICE_PORT", "443")
            .env("STILLPOINT_TERMINATION_LOG", folder.join("termination-log"))
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let container = Container { outer, folder, own_network };
        if own_network {
            container.connect(number).await;
        }
        container
    }

    /// Its end of a veth pair; both go with its namespace.
    async fn connect(&self, number: u8) {
        let mut first = None;
        until("the container's first process is there", || {
            first = self.init();
            first.is_some()
        })
        .await;
        let (first, near) = (first.unwrap().to_string(), format!("sp-{number}"));
        ip(&["link", "add", &near, "type", "veth", "peer", "name", "eth0", "netns", &first]).unwrap();
        ip(&["address", "add", &format!("10.97.{number}.1/24"), "dev", &near]).unwrap();
        ip(&["link", "set", &near, "up"]).unwrap();
    }

    /// Both of its processes are as the manifest has them: namespaces of their own, a plain user without a capability.
    fn assert_confined(&self) {
        let link = |pid: &str, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        let kinds = if self.own_network { vec!["pid", "mnt", "net"] } else { vec!["pid", "mnt"] };
        for pid in [self.init().unwrap(), self.worker().unwrap()] {
            let pid = pid.to_string();
            for kind in &kinds {
                assert_ne!(link(&pid, kind), link("self", kind), "{kind} is not its own");
            }
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let value = |key: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
                line.split_whitespace().collect::<Vec<_>>().join(" ")
            };
            assert_eq!(
                (value("Uid:"), value("Gid:")),
                ("65532 65532 65532 65532".into(), "65532 65532 65532 65532".into())
            );
            assert_eq!((value("CapEff:"), value("CapBnd:")), ("0000000000000000".into(), "0000000000000000".into()));
            assert_eq!(value("NoNewPrivs:"), "1");
            let ran = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
            assert_eq!(ran, program().canonicalize().unwrap());
        }
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
    // The database too is elsewhere.
    let text = std::fs::read_to_string(play.path("stillpoint.toml")).unwrap();
    let elsewhere = format!("http://{SERVICE}:{}", database_port(bed));
    std::fs::write(play.path("stillpoint.toml"), text.replace(&bed.sandbox.endpoint(), &elsewhere)).unwrap();
    (play, token)
}

/// A window alone, held: then it is told which process is which.
async fn held(play: &Play, token: &str) -> Container {
    let container = Container::start(play, token, &["create"]).await;
    until_held(play).await;
    container.assert_confined();
    container
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
    let (code, json, said, last) = Container::start(&play, &token, &["create"]).await.end().await;
    assert_eq!((code, &json["verdict"]), (Some(0), &json!("good")), "{json:#} {said}");
    assert!(last.starts_with("exit 0: good: manual-"), "{last}");
    play.assert_all_open();
    // The command is killed in its still period: the first process, which is its guard, opens the pods and ends.
    let container = held(&play, &token).await;
    let worker = container.worker().unwrap();
    assert_eq!(child_of(worker), None, "the command has a guard of its own beside the first process");
    proc::signal(worker, Signal::KILL);
    let (code, _, said, last) = container.end().await;
    assert_eq!(code, Some(137), "{said}");
    assert!(last.starts_with("void: killed by signal 9"), "{last}");
    play.assert_all_open();
    // SIGTERM is passed on: the command stops by itself. It came as far at once, over the dead one's lock.
    let container = held(&play, &token).await;
    proc::signal(container.init().unwrap(), Signal::TERM);
    let (code, json, said, last) = container.end().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(json["attempts"][0]["violations"].to_string().contains("Cancelled"), "{json:#}");
    assert!(last.starts_with("exit 1: cancelled"), "{last}");
    play.assert_all_open();
}

/// Kills a container in its still period: all of its processes end with its first.
async fn killed(play: &Play, token: &str) {
    let container = held(play, token).await;
    proc::signal(container.init().unwrap(), Signal::KILL);
    container.end().await;
    assert!(play.servers().all(|server| !server.is_open()), "left paused");
}

async fn lease_is_free(play: &Play) {
    let lease: Api<k8s_openapi::api::coordination::v1::Lease> = play.release().api();
    let lease = lease.get("stillpoint-bank").await.unwrap();
    assert!(lease.annotations().is_empty(), "{lease:?}");
}

async fn restarted(bed: Arc<Bed>) {
    let (play, token) = as_the_job(&bed).await;
    killed(&play, &token).await;
    // The same state folder, as an emptyDir is after a restart of the container; another PID namespace.
    let (code, json, said, _) = Container::start(&play, &token, &["recover"]).await.end().await;
    assert_eq!(code, Some(0), "{json:#} {said}");
    assert!(json["pods"].as_array().unwrap().iter().all(|pod| pod["state"] == "open"), "{json:#}");
    assert!(json["warnings"].to_string().contains("the pause lock of process"), "{json:#}");
    play.assert_all_open();
    lease_is_free(&play).await;
    // No note says any more that the lock's holder is dead, and no lock keeps the next one waiting.
    let (code, json, said, _) = Container::start(&play, &token, &["create"]).await.end().await;
    assert_eq!((code, &json["verdict"]), (Some(0), &json!("good")), "{json:#} {said}");
}

async fn made_again(bed: Arc<Bed>) {
    let (play, token) = as_the_job(&bed).await;
    killed(&play, &token).await;
    let (code, json, said, last) = Container::start(&play, &token, &["create"]).await.end().await;
    assert_eq!((code, &json["verdict"]), (Some(0), &json!("good")), "{json:#} {said}");
    assert!(last.starts_with("exit 0: good: manual-"), "{last}");
    play.assert_all_open();
    lease_is_free(&play).await;
    let points = play.run(&["list"]).await.expect(0).json["points"].clone();
    let states: Vec<&Value> = points.as_array().unwrap().iter().map(|point| &point["state"]).collect();
    assert_eq!(states, [&json!("void"), &json!("recorded")], "{points:#}");
}
