//! A stage for end-to-end tests: a sandbox in this process, a configuration for it, and the real program beside it.

#![allow(dead_code)] // each test binary uses its own part
#![allow(clippy::unwrap_used, clippy::panic)] // test code, though not itself a test

mod eager;
pub mod proc;
pub mod relay;
mod running;
pub mod step_clock;

pub use running::{Ended, Running};

use eager::Eager;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stillpoint_sandbox::bank::BankConfig;
use stillpoint_sandbox::pods::{Fault, Flavor, Pod, PodConfig};
use stillpoint_sandbox::{Sandbox, SandboxConfig};
use tempfile::TempDir;

/// Waiting for a condition that must come ends here, with a panic that names it.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a stage is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub pods: usize,
    pub flavor: Flavor,
    /// Bank clients, and callers who never back off.
    pub traffic: bool,
    pub skew: Duration,
    pub service_offset_ns: i64,
    pub transfers_per_second: f64,
    /// `[window]` keys with their values as TOML, over the stage's own.
    pub window: BTreeMap<&'static str, String>,
    /// Where the program looks for DynamoDB; `None`: the sandbox's own address.
    pub endpoint: Option<String>,
}

impl Setup {
    pub fn new(seed: u64) -> Self {
        let window = [
            ("hold", "\"auto\""),
            ("margin", "\"500ms\""),
            ("auto_slack", "\"200ms\""),
            ("max_outage", "\"18s\""),
            ("max_pause_wait_time", "\"1s\""),
            ("call_grace", "\"1s\""),
            ("tcp_user_timeout", "\"1s\""),
            ("attempts", "1"),
            ("release_wait", "\"20s\""),
        ];
        Self {
            seed,
            pods: 3,
            flavor: Flavor::default(),
            traffic: true,
            skew: Duration::from_millis(300),
            service_offset_ns: 0,
            transfers_per_second: 12.0,
            window: window.into_iter().map(|(key, value)| (key, value.to_owned())).collect(),
            endpoint: None,
        }
    }

    #[must_use]
    pub fn window(mut self, key: &'static str, value: &str) -> Self {
        self.window.insert(key, value.to_owned());
        self
    }

    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.traffic = false;
        self
    }

    #[must_use]
    pub fn flavor(mut self, flavor: Flavor) -> Self {
        self.flavor = flavor;
        self
    }

    fn sandbox(&self) -> SandboxConfig {
        let bank = BankConfig {
            tables: 2,
            accounts_per_table: 6,
            clients: 3,
            transfers_per_second: self.transfers_per_second,
            ..BankConfig::default()
        };
        let pod = PodConfig { flavor: self.flavor, ..PodConfig::default() };
        SandboxConfig { pods: self.pods, pod, bank, traffic: self.traffic, ..SandboxConfig::default() }
            .with_seed(self.seed)
            .with_service_offset(self.service_offset_ns)
            .with_table_skew(self.skew)
    }
}

/// A sandbox, and a folder with catalog, state and configuration. Guards that are left over end with it.
pub struct Stage {
    pub sandbox: Sandbox,
    pub setup: Setup,
    folder: TempDir,
    eager: Option<Eager>,
}

impl Stage {
    pub async fn start(setup: Setup) -> Self {
        let sandbox = Sandbox::start(setup.sandbox()).await.unwrap();
        let eager = setup.traffic.then(|| Eager::start(sandbox.pods()));
        let stage = Self { sandbox, setup, folder: tempfile::tempdir().unwrap(), eager };
        stage.write_config();
        if let Some(bank) = stage.sandbox.bank() {
            until("traffic", || bank.stats().committed > 3).await;
        }
        stage
    }

    /// Writes the configuration anew, after a change of `setup`.
    pub fn write_config(&self) {
        let quoted = |text: &str| Value::from(text).to_string();
        let window: String = self.setup.window.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let addresses: Vec<String> = self.sandbox.addresses().iter().map(|a| quoted(a)).collect();
        let database = &self.sandbox.config().database;
        let endpoint = self.setup.endpoint.clone().unwrap_or_else(|| self.sandbox.endpoint());
        let text = format!(
            "[catalog]\nurl = {}\n[state]\ndir = {}\n[window]\n{window}[polling]\ntime_scale = {:?}\n\
             [[target]]\nname = \"bank\"\naddresses = [{}]\n\
             [[database]]\nname = \"bank-tables\"\nprovider = \"dynamodb\"\nregion = {}\nendpoint = {}\n",
            quoted(&self.catalog_url()),
            quoted(&self.state_dir().display().to_string()),
            database.time_scale,
            addresses.join(", "),
            quoted(&database.region),
            quoted(&endpoint),
        );
        std::fs::write(self.path("stillpoint.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn catalog_dir(&self) -> PathBuf {
        self.path("catalog")
    }

    pub fn catalog_url(&self) -> String {
        format!("file://{}", self.catalog_dir().display())
    }

    pub fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    pub fn pods(&self) -> &[Pod] {
        self.sandbox.pods()
    }

    pub fn plant(&self, pod: usize, fault: Fault) {
        self.pods()[pod].set(fault);
    }

    /// Starts the program.
    pub fn start_command(&self, words: &[&str], environment: &[(&str, &str)]) -> Running {
        Running::start(self.folder.path(), words, environment)
    }

    /// Runs the program to its end.
    pub async fn run(&self, words: &[&str]) -> Ended {
        self.start_command(words, &[]).end().await
    }

    /// The length of a `[window]` setting.
    pub fn length(&self, key: &str) -> Duration {
        let text = self.setup.window[key].trim_matches('"');
        match text.strip_suffix("ms") {
            Some(ms) => Duration::from_millis(ms.parse().unwrap()),
            None => Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap()),
        }
    }

    /// Every guard of this stage's commands that lives.
    pub fn living_guards(&self) -> Vec<u32> {
        proc::guards_at_home(self.folder.path())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for guard in self.living_guards() {
            proc::signal(guard, rustix::process::Signal::KILL);
        }
    }
}

/// Waits for a condition.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Names of the violations of a point's last attempt.
pub fn violations(point: &Value) -> Vec<String> {
    let attempts = point["attempts"].as_array().cloned().unwrap_or_default();
    let last = attempts.last().map(|a| a["violations"].clone()).unwrap_or_default();
    let names = last.as_array().cloned().unwrap_or_default();
    names.iter().filter_map(|v| v["name"].as_str().map(str::to_owned)).collect()
}

/// A point's T, whole seconds since 1970.
pub fn restore_time(point: &Value) -> Option<i64> {
    let text = point["restore_time"].as_str()?;
    Some(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp())
}

/// Is there such a file or folder?
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
