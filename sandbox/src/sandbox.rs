//! The composition: pods, database, traffic and remote control as one thing that starts and stops.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bank::{self, Bank, BankConfig, Stats, Store, StoreError};
use crate::clock::Clock;
use crate::dynamodb::{self, DynamoDb};
use crate::judge::{self, Offence, Write};
use crate::pods::{Pod, PodConfig, PodLog, SchemaOperation};

/// A pod needs a socket to listen, one to hold its port, and a few connections.
const FILES_PER_POD: u64 = 6;

/// What a sandbox is made of.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many pods.
    pub pods: usize,
    /// What they are like.
    pub pod: PodConfig,
    /// The bank behind them; its tables exist also without traffic.
    pub bank: BankConfig,
    /// Do its clients work?
    pub traffic: bool,
    /// The database; its seed is this sandbox's.
    pub database: dynamodb::Config,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            pods: 3,
            pod: PodConfig::default(),
            bank: BankConfig::default(),
            traffic: true,
            database: dynamodb::Config { time_scale: 60.0, ..dynamodb::Config::default() },
        }
    }
}

impl SandboxConfig {
    /// The same with everything random drawn from this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same with the database's clock ahead of the host's by this much, nanoseconds.
    #[must_use]
    pub fn with_service_offset(mut self, ns: i64) -> Self {
        self.database.service_offset_ns = ns;
        self
    }

    /// The same with each table's history clock up to this far from the database's.
    #[must_use]
    pub fn with_table_skew(mut self, skew: Duration) -> Self {
        self.database.table_skew = skew;
        self
    }

    /// The same with the database's lags divided by this number.
    #[must_use]
    pub fn with_time_scale(mut self, scale: f64) -> Self {
        self.database.time_scale = scale;
        self
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// No port or file descriptor left, or certificates that cannot be used.
    #[error("the sandbox cannot listen on loopback: {0}")]
    Listen(#[from] std::io::Error),
    /// The bank's tables could not be made.
    #[error("the sandbox's database refused the bank: {0}")]
    Bank(#[from] StoreError),
}

impl Store for DynamoDb {
    fn call(&self, target: &str, body: serde_json::Value) -> Result<serde_json::Value, StoreError> {
        DynamoDb::call(self, target, body).map_err(|error| StoreError { code: error.code, message: error.message })
    }
}

/// What the remote control sees.
pub(crate) struct Inner {
    pub(crate) config: SandboxConfig,
    pub(crate) pods: Vec<Pod>,
    clock: Clock,
    database: DynamoDb,
    bank: Mutex<Option<Arc<Bank>>>,
    /// How often the clients went to work.
    shifts: AtomicU64,
}

impl Inner {
    fn bank(&self) -> Option<Arc<Bank>> {
        self.bank.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn bank_stats(&self) -> Stats {
        self.bank().map(|bank| bank.stats()).unwrap_or_default()
    }

    pub(crate) fn logs(&self) -> Vec<PodLog> {
        self.pods.iter().map(Pod::log).collect()
    }

    pub(crate) fn service_minus_mono_ns(&self) -> i64 {
        self.clock.unix_minus_mono_ns().saturating_add(self.config.database.service_offset_ns)
    }

    pub(crate) fn offences(&self, restore_time: i64) -> Vec<Offence> {
        let writes: Vec<Write> = self
            .database
            .writes()
            .into_iter()
            .map(|write| Write { table: write.table, mono_ns: write.mono_ns, history_ns: write.history_ns })
            .collect();
        judge::offences(&self.logs(), &writes, self.service_minus_mono_ns(), restore_time)
    }
}

/// A running sandbox. Dropping it ends it.
pub struct Sandbox {
    inner: Arc<Inner>,
    endpoint: SocketAddr,
    control: SocketAddr,
    shutdown: CancellationToken,
    _end: DropGuard,
}

impl Sandbox {
    /// Starts everything: when this returns, the tables are usable, the pods listen and the clients work.
    ///
    /// # Errors
    /// No port or file descriptor left, certificates that cannot be used, or a database that refuses the bank.
    pub async fn start(mut config: SandboxConfig) -> Result<Self, SandboxError> {
        config.database.seed = config.seed;
        config.bank.seed = config.seed;
        make_room(config.pods);
        let clock = Clock::real();
        let database = DynamoDb::new(config.database.clone(), clock.clone());
        Bank::found(&config.bank, Arc::new(database.clone())).await?;
        let mut pods = Vec::with_capacity(config.pods);
        for index in 0..config.pods {
            let pod = Pod::start(index, config.pod.clone()).await?;
            pod.set_schema_hook(schema_hook(&database));
            pods.push(pod);
        }
        let shutdown = CancellationToken::new();
        let (control, endpoint) = (listen().await?, listen().await?);
        let (control_address, endpoint_address) = (control.local_addr()?, endpoint.local_addr()?);
        let traffic = config.traffic;
        let bank =
            traffic.then(|| Arc::new(Bank::start(config.bank.clone(), Arc::new(database.clone()), pods.clone())));
        let inner =
            Arc::new(Inner { config, pods, clock, database, bank: Mutex::new(bank), shifts: AtomicU64::new(1) });
        tokio::spawn(serve_database(inner.database.clone(), endpoint, shutdown.clone()));
        tokio::spawn(crate::control::serve(control, Arc::clone(&inner), shutdown.clone()));
        let end = shutdown.clone().drop_guard();
        Ok(Self { inner, endpoint: endpoint_address, control: control_address, shutdown, _end: end })
    }

    /// Where DynamoDB, Application Auto Scaling and CloudWatch answer: `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.endpoint)
    }

    /// Where the remote control answers: `http://127.0.0.1:port`.
    pub fn control(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The pods' addresses, `ip:port`, in order.
    pub fn addresses(&self) -> Vec<String> {
        self.inner.pods.iter().map(|pod| pod.address().to_string()).collect()
    }

    /// The pods, to set faults and read logs.
    pub fn pods(&self) -> &[Pod] {
        &self.inner.pods
    }

    /// The database behind its wire.
    pub fn dynamodb(&self) -> &DynamoDb {
        &self.inner.database
    }

    /// The bank at work; `None` without traffic, or after it was stopped.
    pub fn bank(&self) -> Option<Arc<Bank>> {
        self.inner.bank()
    }

    /// What it was started with.
    pub fn config(&self) -> &SandboxConfig {
        &self.inner.config
    }

    /// Snapshots of all pods' logs.
    pub fn logs(&self) -> Vec<PodLog> {
        self.inner.logs()
    }

    /// The database's true clock (since 1970) minus CLOCK_MONOTONIC, nanoseconds.
    pub fn service_minus_mono_ns(&self) -> i64 {
        self.inner.service_minus_mono_ns()
    }

    /// The judge's word on a restore time (whole seconds since 1970): empty when it is good.
    pub fn offences(&self, restore_time: i64) -> Vec<Offence> {
        self.inner.offences(restore_time)
    }

    /// A settings file for this sandbox, with catalog and state below `dir`. Pods with TLS are trusted by `dir`/ca.pem.
    pub fn ready_config(&self, dir: &Path) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let path = |name: &str| dir.join(name).display().to_string();
        let addresses: Vec<String> = self.addresses().iter().map(|address| quoted(address)).collect();
        let tls = match &self.config().pod.tls {
            None => String::new(),
            Some(_) => format!("tls = {{ ca_file = {} }}\n", quoted(&path("ca.pem"))),
        };
        let database = &self.config().database;
        format!(
            "[catalog]\nurl = {}\n\n[window]\nhold = \"10s\"\n\n[[target]]\nname = \"bank\"\naddresses = [{}]\n{tls}\n\
             [[database]]\nname = \"bank-tables\"\nprovider = \"dynamodb\"\nregion = {}\nendpoint = {}\n\n\
             [polling]\ntime_scale = {:?}\n\n[state]\ndir = {}\n",
            quoted(&format!("file://{}", path("catalog"))),
            addresses.join(", "),
            quoted(&database.region),
            quoted(&self.endpoint()),
            database.time_scale,
            quoted(&path("state")),
        )
    }

    /// Lets the clients finish their transfers and go home; everything else goes on. A repeat does nothing.
    pub async fn stop_traffic(&self) {
        let bank = self.inner.bank.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bank) = bank {
            bank.stop().await;
        }
    }

    /// Lets the clients go to work, as after [`Sandbox::stop_traffic`]. What the bank did before is not in its counts. A repeat
    /// does nothing.
    pub fn start_traffic(&self) {
        let mut bank = self.inner.bank.lock().unwrap_or_else(PoisonError::into_inner);
        // Another seed: the same one would give the same ids to other transactions.
        let shift = self.inner.shifts.fetch_add(1, Ordering::Relaxed);
        let config = BankConfig { seed: self.config().bank.seed.wrapping_add(shift), ..self.config().bank.clone() };
        let store = Arc::new(self.inner.database.clone());
        bank.get_or_insert_with(|| Arc::new(Bank::start(config, store, self.inner.pods.clone())));
    }

    /// Ends it: traffic first, then servers.
    pub async fn stop(self) {
        self.stop_traffic().await;
        self.shutdown.cancel();
    }
}

async fn listen() -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

async fn serve_database(database: DynamoDb, listener: TcpListener, shutdown: CancellationToken) {
    database.serve(listener, shutdown).await;
}

fn schema_hook(database: &DynamoDb) -> crate::pods::SchemaHook {
    let database = database.clone();
    Arc::new(move |operation| {
        let done = match operation {
            SchemaOperation::Create(table) => bank::create_table(&database, table),
            SchemaOperation::Drop(table) => bank::drop_table(&database, table),
        };
        done.map_err(|error| error.to_string())
    })
}

/// Raises the limit of open files for many pods, as far as the system lets us.
fn make_room(pods: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let wanted = 256 + FILES_PER_POD * pods as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, wanted, "the limit of open files stays low: many pods may not start");
        }
    }
}
