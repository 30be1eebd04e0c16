//! Pods, a DNS server that lists them, and the real program beside both.

use crate::cli_support::{Said, Session};
use serde_json::Value;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;
use stillpoint_sandbox::dns::Dns;
use stillpoint_sandbox::judge;
use stillpoint_sandbox::pods::{Method, Pod, PodConfig, PodLog};

pub const NAME: &str = "_scalardb._tcp.db-headless.ns-scalar.svc.cluster.local";

/// Waiting for a condition that must come ends here, with a panic that names it.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything for one window.
pub struct Stage {
    pub dns: Dns,
    pub pods: Vec<Pod>,
    pub session: Session,
}

/// The host that the pod of this number is listed as. All pods are at 127.0.0.1, each on a port of its own.
pub fn host(pod: usize) -> String {
    format!("pod-{pod}.db-headless.ns-scalar.svc.cluster.local")
}

pub fn here() -> IpAddr {
    [127, 0, 0, 1].into()
}

impl Stage {
    /// Three pods; the first two are two ports of one host.
    pub async fn start(hold: &str) -> Self {
        let dns = Dns::start().await.unwrap();
        let mut pods = Vec::new();
        for n in 0..3 {
            let pod = Pod::start(n, PodConfig::default()).await.unwrap();
            let host = host(n.max(1));
            dns.add_srv(NAME, &host, pod.address().port());
            dns.add_address(&host, pod.address().ip());
            pods.push(pod);
        }
        let text = format!(
            "[window]\nhold = \"{hold}\"\nmargin = \"0s\"\nmax_outage = \"20s\"\nmax_pause_wait_time = \"1s\"\ncall_grace = \"1s\"\n\
             tcp_user_timeout = \"1s\"\nattempts = 1\nrelease_wait = \"10s\"\n\
             [[target]]\nname = \"db\"\nsrv = \"{NAME}\"\nresolver = \"{}\"\n",
            dns.address()
        );
        Stage { dns, pods, session: Session::with_config(&text) }
    }

    /// Runs the program; `while_paused` happens once every pod is paused.
    pub async fn run(&self, words: &[&str], while_paused: impl FnOnce(&Self)) -> Said {
        let mut command = self.session.command(words);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        self.until_paused(&output).await;
        while_paused(self);
        Said::of(&output.await.unwrap())
    }

    async fn until_paused<T>(&self, running: &tokio::task::JoinHandle<T>) {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        // One that has ended without a pause says why itself.
        while self.pods.iter().any(Pod::is_open) && !running.is_finished() {
            assert!(tokio::time::Instant::now() < give_up, "the pods are never paused");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn logs(&self) -> Vec<PodLog> {
        self.pods.iter().map(Pod::log).collect()
    }

    /// Every pod was paused once, and is open; no note is left.
    #[track_caller]
    pub fn all_paused_once_and_open(&self) {
        for log in self.logs() {
            assert_eq!(log.calls(Method::Pause), 1, "pod {}: {}", log.pod, log.to_json_lines());
        }
        assert!(judge::all_open(&self.logs()) && self.pods.iter().all(Pod::is_open));
        let notes = self.session.dir().join(".local/state/stillpoint/notes");
        let left: Vec<_> = std::fs::read_dir(notes).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.iter().all(|path| path.extension().is_none_or(|e| e != "json")), "{left:?}");
    }
}

/// The object on stdout.
#[track_caller]
pub fn object(said: &Said, code: i32) -> Value {
    assert_eq!(said.code, code, "{said:#?}");
    serde_json::from_str(&said.stdout).unwrap()
}

/// Name and subject of every violation.
pub fn violations(point: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let attempts = point["attempts"].as_array().unwrap();
    let all = attempts.iter().flat_map(|attempt| attempt["violations"].as_array().unwrap());
    all.map(|violation| (text(&violation["name"]), text(&violation["subject"]))).collect()
}
