//! A real API server for the whole suite, in a network namespace of its own: there every pod's IP is this machine's, so
//! that sandbox servers can play the pods where EndpointSlices say they are.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use stillpoint_sandbox::bank::BankConfig;
use stillpoint_sandbox::{Sandbox, SandboxConfig};
use tempfile::TempDir;

const INSIDE: &str = "STILLPOINT_TESTKUBE_INSIDE";

/// Runs a test of this binary again inside a namespace of its own; `true`: this is inside, go on.
/// Skips with a line that says why where that cannot be; on CI that is a failure.
pub fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if let Err(why) = possible() {
        let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
        assert!(!ci, "cannot run against a Kubernetes API server: {why}");
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
        return false;
    }
    let script = "ip link set lo up && ip addr add 10.245.0.1/16 dev lo && ip addr add fd00:244::1/64 dev lo && exec \"$0\" \"$@\"";
    let status = unshare()
        .args(["sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(status.unwrap().success(), "{test} failed inside its namespace");
    false
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg("-n");
    if !rustix::process::geteuid().is_root() {
        command.arg("-r");
    }
    command
}

fn possible() -> Result<(), String> {
    let found = Command::new(bed().join("up")).arg("--find").output();
    match found {
        Ok(output) if output.status.success() => {}
        Ok(_) => return Err("the control plane is not built; `cargo xtask test` builds it, with Go".to_owned()),
        Err(error) => return Err(format!("tests/kube/up cannot be run ({error}); it needs Python 3")),
    }
    let mut try_it = unshare();
    try_it.args(["ip", "link", "set", "lo", "up"]).stderr(Stdio::null());
    match try_it.status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err("no right to make a network namespace, or no `unshare` and `ip`".to_owned()),
    }
}

fn bed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kube")
}

/// A cluster, and a database that every test may read.
pub struct Bed {
    pub client: Client,
    pub kubeconfig: PathBuf,
    pub sandbox: Sandbox,
    namespaces: AtomicU32,
    /// Closing it stops the cluster.
    hold: Option<ChildStdin>,
    up: Child,
    _folder: TempDir,
}

impl Bed {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut up = Command::new(bed().join("up"))
            .arg("--hold")
            .arg("--dir")
            .arg(folder.path().join("kube"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let hold = up.stdin.take().unwrap();
        let mut line = String::new();
        BufReader::new(up.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let kubeconfig = PathBuf::from(line.trim());
        assert!(kubeconfig.exists(), "the cluster does not start");
        let client = client(&kubeconfig).await;
        let bank = BankConfig { tables: 1, accounts_per_table: 2, clients: 1, ..BankConfig::default() };
        let config = SandboxConfig { pods: 1, bank, traffic: false, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config.with_seed(7)).await.unwrap();
        Bed { client, kubeconfig, sandbox, namespaces: AtomicU32::new(0), hold: Some(hold), up, _folder: folder }
    }

    /// A namespace of its own for a test.
    pub async fn namespace(&self) -> String {
        let name = format!("ns-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.named_namespace(&name).await;
        name
    }

    pub async fn named_namespace(&self, name: &str) {
        use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
        let api: kube::Api<Namespace> = kube::Api::all(self.client.clone());
        let body = serde_json::json!({ "metadata": { "name": name } });
        api.create(&Default::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
        let accounts: kube::Api<ServiceAccount> = kube::Api::namespaced(self.client.clone(), name);
        crate::waited("the namespace's service account", || async { accounts.get_opt("default").await.unwrap() }).await;
    }
}

async fn client(kubeconfig: &Path) -> Client {
    let read = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(self.hold.take());
        let _ = self.up.wait();
    }
}
