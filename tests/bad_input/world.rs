//! A sandbox, a folder with a configuration for it, and what the program said there.

use crate::cli_support::{Said, Session};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};
use stillpoint_sandbox::bank::BankConfig;
use stillpoint_sandbox::dynamodb::{DynamoDb, Lags};
use stillpoint_sandbox::pods::{Action, Event, Fault, Method};
use stillpoint_sandbox::{Sandbox, SandboxConfig};
use tokio::runtime::Runtime;

/// The credentials that the program is given. The sandbox takes any; none of them may ever be printed.
pub const ACCESS_KEY: &str = "AKIATHISISNOREALKEY0";
const SECRETS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
    ("AWS_SECRET_ACCESS_KEY", "secret-that-nobody-may-read-1c9f"),
    ("AWS_SESSION_TOKEN", "token-that-nobody-may-read-7e02"),
];

/// Words that only a success may say to a person on stdout.
const SUCCESS: [&str; 5] = ["good", "sealed", "Restore time", "recorded", "in order"];

/// The keys of a point as JSON, in order.
const POINT: &[&str] = &[
    "attempts",
    "client_outage_ms",
    "databases",
    "error",
    "exit_code",
    "id",
    "outage_ms",
    "pause_completed",
    "pods",
    "restore_time",
    "state",
    "still_period",
    "unpause_started",
    "verdict",
    "warnings",
];

/// The keys of what other verbs print.
const SHAPES: [(&str, &[&str]); 2] = [
    ("list", &["error", "exit_code", "points", "warnings"]),
    ("status", &["error", "exit_code", "locks", "notes", "runs", "warnings"]),
];

/// A sandbox, and a session beside it.
pub struct World {
    runtime: Runtime,
    sandbox: Sandbox,
    session: Session,
    names: Vec<(String, String)>,
}

/// Two pods and a small bank without traffic; settings take effect at once.
pub fn quiet() -> SandboxConfig {
    let mut config = SandboxConfig {
        pods: 2,
        traffic: false,
        bank: BankConfig { tables: 2, accounts_per_table: 2, ..BankConfig::default() },
        ..SandboxConfig::default()
    };
    config.database.lags = Lags::none();
    config.database.table_skew = Duration::ZERO;
    config.with_time_scale(1_000.0)
}

/// Runs cases side by side and joins what they said, in order.
pub fn at_once(cases: Vec<(&str, Box<dyn FnOnce() -> String + Send>)>) -> String {
    std::thread::scope(|scope| {
        let running: Vec<_> = cases.into_iter().map(|(name, case)| (name, scope.spawn(case))).collect();
        running.into_iter().map(|(name, case)| format!("# {name}\n{}", case.join().unwrap())).collect()
    })
}

/// A case of [`at_once`].
pub fn case(name: &str, run: impl FnOnce() -> String + Send + 'static) -> (&str, Box<dyn FnOnce() -> String + Send>) {
    (name, Box::new(run))
}

/// Waits for a condition that is sure to come.
pub fn until(what: &str, done: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < give_up, "never happened: {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A loopback port on which nobody listens: bound for as long as the value lives, so that nobody else gets it.
pub struct DeadPort {
    _socket: rustix::fd::OwnedFd,
    address: SocketAddr,
}

impl DeadPort {
    pub fn take() -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = getsockname(&socket).unwrap().try_into().unwrap();
        DeadPort { _socket: socket, address }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

impl World {
    /// A quiet sandbox and its configuration.
    pub fn new() -> Self {
        World::with(quiet())
    }

    pub fn with(config: SandboxConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let sandbox = runtime.block_on(Sandbox::start(config)).unwrap();
        let mut world = World { runtime, sandbox, session: Session::empty(), names: Vec::new() };
        for (name, value) in SECRETS {
            world.session.env(name, value);
        }
        world.session.env("AWS_EC2_METADATA_DISABLED", "true");
        for (index, address) in world.sandbox.addresses().into_iter().enumerate() {
            world.name(address, format!("[pod {index}]"));
        }
        world.name(world.sandbox.endpoint(), "[endpoint]");
        world.configure(|text| text);
        world
    }

    /// The same without credentials in the environment.
    pub fn without_credentials() -> Self {
        let mut world = World::new();
        world.session = Session::empty();
        world.session.env("AWS_EC2_METADATA_DISABLED", "true");
        world.configure(|text| text);
        world
    }

    /// Writes the configuration as `edit` makes it of one that is in order. Windows are as short as they can be.
    pub fn configure(&mut self, edit: impl FnOnce(String) -> String) {
        let pods: Vec<String> = self.sandbox.addresses().iter().map(|a| format!("\"{a}\"")).collect();
        let dir = self.dir().display().to_string();
        let text = format!(
            "[catalog]\nurl = \"file://{dir}/catalog\"\n\n[state]\ndir = \"{dir}/state\"\n\n\
             [window]\nhold = \"auto\"\nmargin = \"300ms\"\nmax_outage = \"40s\"\nattempts = 1\n\
             max_pause_wait_time = \"1s\"\ncall_grace = \"3s\"\nauto_slack = \"500ms\"\ntcp_user_timeout = \"1s\"\nrelease_wait = \"10s\"\n\n\
             [[target]]\nname = \"bank\"\naddresses = [{}]\n\n\
             [[database]]\nname = \"bank-tables\"\nprovider = \"dynamodb\"\nregion = \"us-east-1\"\nendpoint = \"{}\"\n\n\
             [polling]\ntime_scale = {:?}\n",
            pods.join(", "),
            self.sandbox.endpoint(),
            self.sandbox.config().database.time_scale,
        );
        self.session.file("stillpoint.toml", edit(text));
    }

    /// What `text` is called in transcripts.
    pub fn name(&mut self, text: impl Into<String>, called: impl Into<String>) {
        self.names.push((text.into(), called.into()));
    }

    pub fn dir(&self) -> &Path {
        self.session.dir()
    }

    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub fn database(&self) -> &DynamoDb {
        self.sandbox.dynamodb()
    }

    /// One call of DynamoDB's own API, as an operator would make it.
    pub fn aws(&self, operation: &str, body: Value) -> Value {
        self.database().call(&format!("DynamoDB_20120810.{operation}"), body).unwrap()
    }

    /// Runs something beside the test, as long as this world lives.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(future);
    }

    /// Waits for something that lives as long as this world.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Turns point-in-time recovery of a table off or on.
    pub fn pitr(&self, table: &str, on: bool) {
        let specification = json!({ "PointInTimeRecoveryEnabled": on });
        let body = json!({ "TableName": table, "PointInTimeRecoverySpecification": specification });
        self.aws("UpdateContinuousBackups", body);
    }

    /// Somebody else pauses this pod.
    pub fn foreign_pause(&self, pod: usize) {
        let _inside = self.runtime.enter();
        self.sandbox.pods()[pod].set(Fault::now(Action::ForeignPause { after_ms: 0 }));
        until("a stranger's Pause", || !self.sandbox.pods()[pod].is_open());
    }

    /// Runs a line, which must end with this code.
    pub fn run(&mut self, line: &str, code: i32) -> Said {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = self.session.output(&words);
        self.note(&words, &output, code)
    }

    /// Takes what a command said: judges it, and writes it down. Of a failure in JSON only the error is written: what
    /// else there is was found by the same command in text.
    pub fn note(&mut self, words: &[&str], output: &Output, code: i32) -> Said {
        let said = Said::of(output);
        assert_eq!(said.code, code, "{words:?}: {said:#?}");
        no_secrets(&said);
        match (words.contains(&"json"), code) {
            (false, 0) => assert!(!said.stderr.contains("error: "), "{}", said.stderr),
            (false, _) => {
                let lines = |start| said.stderr.lines().filter(|line| line.starts_with(start)).count();
                assert!(lines("error: ") > 0 && lines("error: ") == lines("hint: "), "{}", said.stderr);
            }
            (true, _) => {
                let object: Value = serde_json::from_str(&said.stdout).unwrap();
                assert_eq!((said.stdout.lines().count(), &object["exit_code"]), (1, &json!(code)), "{}", said.stdout);
                let shape = SHAPES.iter().find(|(verb, _)| words.contains(verb)).map_or(POINT, |(_, shape)| *shape);
                let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
                // A drill's evidence beside the point, and the table of pods, which is left out where there is none.
                keys.retain(|key| !["drill", "pod_table"].contains(key));
                assert_eq!(keys, shape, "a failure has the shape of a success");
                if code != 0 {
                    return self.note_error(words, said, &object["error"]);
                }
                assert_eq!(object["error"], Value::Null);
            }
        }
        self.session.note(words, output);
        said
    }

    fn note_error(&mut self, words: &[&str], said: Said, error: &Value) -> Said {
        for field in ["name", "message", "hint"] {
            assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {error:#}");
        }
        // What a person is told is what a script is told.
        for hint in error["hint"].as_str().unwrap().lines() {
            assert!(said.stderr.contains(hint), "{hint}: {}", said.stderr);
        }
        self.session.remark(&format!("$ stillpoint {}\nexit {}\nerror {error:#}\n\n", words.join(" "), said.code));
        said
    }

    /// Runs a line once; it must be refused with this code, and change nothing.
    pub fn refused_once(&mut self, line: &str, code: i32) {
        let before = self.kept();
        let said = self.run(line, code);
        match serde_json::from_str::<Value>(&said.stdout) {
            Ok(object) => {
                for field in ["id", "state", "verdict", "restore_time"] {
                    assert!(object.get(field).is_none_or(Value::is_null), "{field}: {object:#}");
                }
            }
            Err(_) => {
                for word in SUCCESS {
                    assert!(!said.stdout.contains(word), "a failure that says `{word}`: {}", said.stdout);
                }
            }
        }
        self.nothing_paused();
        assert_eq!(self.kept(), before, "{line}: catalog and notes stay as they are");
    }

    /// Runs a line in text and in JSON; it must be refused with this code, no pod may have heard of a Pause, and the
    /// catalog and the notes must be as they were.
    pub fn refused(&mut self, line: &str, code: i32) {
        self.refused_once(line, code);
        self.refused_once(&format!("{line} --output json"), code);
    }

    /// By the pods' own logs.
    pub fn nothing_paused(&self) {
        for log in self.sandbox.logs() {
            assert_eq!(log.calls(Method::Pause), 0, "pod {}: {}", log.pod, log.to_json_lines());
        }
    }

    /// Nobody asked a pod or the database anything.
    pub fn nobody_asked(&self) {
        let calls = |log: &stillpoint_sandbox::pods::PodLog| {
            log.entries.iter().filter(|e| matches!(e.event, Event::Received { .. })).count()
        };
        assert_eq!(self.sandbox.logs().iter().map(calls).sum::<usize>(), 0);
    }

    /// The points, notes and locks of catalog and state folder, by path.
    pub fn kept(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut kept = BTreeMap::new();
        for folder in ["catalog/points", "catalog/notes", "catalog/locks", "state/notes"] {
            collect(&self.dir().join(folder), &mut kept);
        }
        kept
    }

    /// Everything that was said, with names for what differs from run to run.
    pub fn told(self) -> String {
        let mut text = self.session.transcript();
        for (what, called) in &self.names {
            text = text.replace(what, called);
        }
        text
    }
}

fn collect(folder: &Path, kept: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|e| e.unwrap().path()) {
        if path.is_dir() {
            collect(&path, kept);
        } else if let Ok(content) = std::fs::read(&path) {
            // One that is gone by now was temporary.
            kept.insert(path, content);
        }
    }
}

fn no_secrets(said: &Said) {
    for (_, secret) in SECRETS {
        for text in [&said.stdout, &said.stderr] {
            assert!(!text.contains(secret), "a secret is printed: {text}");
        }
    }
}

/// A port on loopback that answers every connection with these bytes.
pub fn port_that_says(bytes: &'static [u8]) -> String {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut first = [0; 512];
                // Whatever the client does is its own affair.
                let _ = stream.read(&mut first).and_then(|_| stream.write_all(bytes));
                let _ = stream.shutdown(std::net::Shutdown::Write);
                while matches!(stream.read(&mut first), Ok(1..)) {}
            });
        }
    });
    address
}

/// Compares with the snapshot, times, ids and numbers of processes left out.
macro_rules! assert_told {
    ($told:expr) => {
        insta::with_settings!({
            filters => $crate::world::FILTERS.to_vec(),
            omit_expression => true,
        }, { insta::assert_snapshot!($told) })
    };
}
pub(crate) use assert_told;

/// What differs from run to run.
pub const FILTERS: [(&str, &str); 18] = [
    // How many pods have answered by then, and how long it took.
    (r"(opening the window|pausing|holding still|proving|unpausing|closing the window)  pods paused .*", "$1 ..."),
    (r"[\dT:.+-]+ Asia/Tokyo", "[time] Asia/Tokyo"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "[time]"),
    (r"(manual|pause|window)-\d{8}T\d{6}Z-[0-9a-z]{4}", "[id]"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[table id]"),
    (r"process \d+ on \S+", "process [pid] on [host]"),
    (r#"("(owner|guard)_pid"): \d+"#, "$1: [pid]"),
    (r#"(_ms"): -?[\d.e-]+"#, "$1: [ms]"),
    (r#"(_ns"): \d+"#, "$1: [ns]"),
    (r"clock [+-]\d+ to [+-]\d+ ms", "clock [range] ms"),
    (r"\d+\.\d{3} s", "[length]"),
    (r"\d+\.\d s", "[length]"),
    (r"127\.0\.0\.1:\d{2,5}", "[port]"),
    (r"probe/[0-9a-f-]+\.json", "probe/[nonce].json"),
    (r"(\[id\])  \d+  \d+", "$1  [pid]  [pid]"),
    (r"backup/\d{14}-[0-9a-f]{8}", "backup/[backup]"),
    (r"rp-[0-9a-z]{12}-", "rp-[nonce]-"),
    (r"drill-[0-9a-z]{10}-", "drill-[nonce]-"),
];
