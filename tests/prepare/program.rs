//! The program under test and the sandbox that it works on.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;
use stillpoint_sandbox::dynamodb::DynamoDb;
use stillpoint_sandbox::{Sandbox, SandboxConfig};
use tempfile::TempDir;
use tokio::process::Command;

pub struct Program {
    sandbox: Sandbox,
    folder: TempDir,
}

impl Program {
    /// Two tables of the bank besides ScalarDB's own, and a restore in about a second.
    pub async fn start(seed: u64) -> Program {
        Program::with_lag(seed, 300.0).await
    }

    /// The same, whose tables can be restored to a moment so many seconds after it, before the time scale.
    pub async fn with_lag(seed: u64, latest_restorable: f64) -> Program {
        let mut config = Program::sandbox_config(seed);
        config.database.lags.latest_restorable = latest_restorable;
        Program::of(config).await
    }

    fn sandbox_config(seed: u64) -> SandboxConfig {
        let mut config = SandboxConfig::default().with_seed(seed).with_time_scale(60.0);
        config.traffic = false;
        config.pods = 1;
        config.bank.tables = 2;
        config.database.lags.restore = (30.0, 90.0);
        config
    }

    /// The same, with a bank that is at work and whose clients often die.
    #[allow(dead_code)] // The tests of `verify` use it.
    pub async fn busy(seed: u64) -> Program {
        let mut config = Program::sandbox_config(seed);
        config.traffic = true;
        // Many transactions at any moment, so that a cut outside a still period goes through some.
        config.bank.crash_chance = 0.05;
        (config.bank.clients, config.bank.transfers_per_second) = (24, 100.0);
        config.bank.accounts_per_table = 300;
        config.bank.step_latency = Duration::from_millis(60);
        Program::of(config).await
    }

    async fn of(config: SandboxConfig) -> Program {
        let sandbox = Sandbox::start(config).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let toml = sandbox.ready_config(folder.path()).replace("hold = \"10s\"", "hold = \"auto\"");
        std::fs::write(folder.path().join("stillpoint.toml"), toml).unwrap();
        Program { sandbox, folder }
    }

    pub fn config(&self) -> std::path::PathBuf {
        self.folder.path().join("stillpoint.toml")
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub fn db(&self) -> &DynamoDb {
        self.sandbox.dynamodb()
    }

    /// A file in the program's folder.
    #[allow(dead_code)] // The tests of `drill` use it.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// From now on this access key may do what the policy of a duty in deploy/iam allows, and nothing else.
    #[allow(dead_code)] // Not every test has duties.
    pub fn bind(&self, key: &str, duty: &str) {
        let file = format!("{}/deploy/iam/{duty}.json", env!("CARGO_MANIFEST_DIR"));
        let config = self.db().config();
        let policy = std::fs::read_to_string(file).unwrap().replace("REGION", &config.region);
        let policy = policy.replace("ACCOUNT", &config.account).replace("NAMESPACE", "bank");
        self.db().set_policy(key, Some(&serde_json::from_str(&policy).unwrap())).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stillpoint"));
        command.args(words).arg("--config").arg(self.config());
        command.env("AWS_ACCESS_KEY_ID", "sandbox").env("AWS_SECRET_ACCESS_KEY", "sandbox");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn json_command(&self, words: &[&str]) -> Command {
        let mut command = self.command(words);
        command.args(["--output", "json"]);
        command
    }

    /// A command for people: exit code, stdout, stderr.
    pub async fn text(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = self.command(words);
        command.env_remove("STILLPOINT_LOG");
        let Output { status, stdout, stderr } = command.output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// What a command prints; its exit code is in there.
    pub async fn json(&self, words: &[&str]) -> Value {
        self.json_as("sandbox", words).await
    }

    /// The same, signed with this access key.
    pub async fn json_as(&self, key: &str, words: &[&str]) -> Value {
        let mut command = self.json_command(words);
        let Output { status, stdout, stderr } = command.env("AWS_ACCESS_KEY_ID", key).output().await.unwrap();
        let value: Value = serde_json::from_slice(&stdout)
            .unwrap_or_else(|error| panic!("{words:?}: {error}: {}", String::from_utf8_lossy(&stderr)));
        assert_eq!(value["exit_code"].as_i64(), status.code().map(i64::from), "{words:?}: {value:#}");
        value
    }

    /// A point as far as this.
    pub async fn point(&self, wait: &str) -> String {
        let point = self.json(&["create", "--wait", wait]).await;
        assert_eq!(point["exit_code"], 0, "{point:#}");
        point["id"].as_str().unwrap().to_owned()
    }

    /// A point whose only window was too short to hold a safe second.
    pub async fn void(&self) -> String {
        let file = self.folder.path().join("stillpoint.toml");
        let good = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, good.replace("hold = \"auto\"", "hold = \"1s\"\nattempts = 1")).unwrap();
        let point = self.json(&["create"]).await;
        std::fs::write(&file, good).unwrap();
        assert_eq!((point["exit_code"].as_u64(), point["state"].as_str()), (Some(1), Some("void")), "{point:#}");
        point["id"].as_str().unwrap().to_owned()
    }

    pub async fn sealed(&self) -> String {
        self.point("sealed").await
    }

    /// Names of all events in the point's log, in their order.
    fn events(&self, id: &str) -> Vec<String> {
        let folder = self.folder.path().join("catalog/points").join(id);
        let mut files: Vec<_> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path()).collect();
        // A folder is listed in any order, and an object that is being written has another name.
        files.retain(|file| file.extension().is_some_and(|e| e == "json"));
        files.sort();
        let mut names = Vec::new();
        for file in files {
            if let Ok(value) = serde_json::from_slice::<Value>(&std::fs::read(file).unwrap_or_default()) {
                let events = value["events"].as_array().cloned().unwrap_or_default();
                names.extend(events.iter().filter_map(|event| event["event"].as_str().map(str::to_owned)));
            }
        }
        names
    }

    /// Waits for the log to hold what is wanted.
    pub async fn written(&self, id: &str, wanted: impl Fn(&[String]) -> bool) {
        for _ in 0..3000 {
            if wanted(&self.events(id)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never written: {:?}", self.events(id));
    }

    /// Runs a command and kills it as soon as it has written this many more events; `false` if it ended before.
    pub async fn killed_after(&self, words: &[&str], id: &str, events: usize) -> bool {
        let before = self.events(id).len();
        let mut child = self.json_command(words).spawn().unwrap();
        loop {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.events(id).len() >= before + events {
                child.kill().await.unwrap();
                return true;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// One DynamoDB call, its throttles waited out.
    pub fn call(&self, operation: &str, body: Value) -> Value {
        loop {
            match self.db().call(&format!("DynamoDB_20120810.{operation}"), body.clone()) {
                Err(error) if error.is_throttle() => std::thread::sleep(Duration::from_millis(100)),
                answer => return answer.unwrap(),
            }
        }
    }

    /// Every table with its identity.
    pub fn tables(&self) -> BTreeMap<String, String> {
        let listed = self.call("ListTables", json!({}));
        let names = listed["TableNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        let id = |name: &str| self.call("DescribeTable", json!({ "TableName": name }))["Table"]["TableId"].clone();
        names.map(|name| (name.clone(), id(&name).as_str().unwrap().to_owned())).collect()
    }

    pub fn backups(&self) -> Vec<Value> {
        self.call("ListBackups", json!({}))["BackupSummaries"].as_array().unwrap().clone()
    }

    /// How many calls have changed something.
    pub fn changes(&self) -> usize {
        let changes = ["RestoreTableToPointInTime", "CreateBackup", "DeleteTable", "DeleteBackup"];
        self.db().calls().iter().filter(|call| changes.contains(&call.operation.as_str())).count()
    }
}
