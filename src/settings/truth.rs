//! What is true: the types that every command sees.

use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// What is true: everything resolved, nothing optional that has a default.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where restore points are kept: `file`, `s3`, `az`, `gs` or `memory`.
    pub catalog_url: Url,
    /// Where open window notes and the guard's log live on this machine; absolute.
    pub state_dir: PathBuf,
    /// How a window is made.
    pub window: WindowSettings,
    /// Divides expected lags and the waits of pollers; never hold, margin or API rates.
    pub time_scale: f64,
    /// How long points are kept.
    pub prune: PruneSettings,
    /// Pods that are paused together, by name.
    pub targets: Vec<TargetSettings>,
    /// Provider connections, by name.
    pub databases: Vec<DatabaseSettings>,
}

/// How long points are kept. Neither: nothing is ever removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneSettings {
    /// Younger points are kept.
    pub keep: Option<Duration>,
    /// So many of the newest points that can be restored are kept at least.
    pub keep_last: Option<u32>,
}

/// The shortest `prune.keep`: shorter is a mistake, such as `30m` for months.
pub const LEAST_KEEP: Duration = Duration::from_secs(3600);

/// The longest `prune.keep`: ten years.
pub const MOST_KEEP: Duration = Duration::from_secs(10 * 31_557_600);

/// The length of the still period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Exactly this long.
    Fixed(Duration),
    /// The shortest that contains one safe second.
    Auto,
}

/// How a window is made. Defaults and their reasons stand in [`WindowSettings::default`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSettings {
    /// The length of the still period.
    pub hold: Hold,
    /// Hard deadline of one window: no pod stays paused longer by our doing.
    pub max_outage: Duration,
    /// Windows that are tried before giving up.
    pub attempts: u32,
    /// Stands for what the services do not tell about the clocks that stamp their change logs. May be zero.
    pub margin: Duration,
    /// No further attempt once the summed outage has reached this.
    pub outage_budget: Duration,
    /// From the end of a void window to the next attempt.
    pub retry_after: Duration,
    /// How long a command waits after the first Unpause until every pod is proven open.
    pub release_wait: Duration,
    /// Sent with Pause, whole milliseconds. `None`: the servers' own, 30 s.
    pub max_pause_wait_time: Option<Duration>,
    /// What a Pause call may take beyond the drain.
    pub call_grace: Duration,
    /// After this long without an acknowledgement a connection is dead.
    pub tcp_user_timeout: Duration,
    /// Between two rounds of CheckPaused while holding.
    pub check_interval: Duration,
    /// Refuse servers without CheckPaused.
    pub require_proof: bool,
    /// How far a pod's own clock may be off.
    pub pod_clock_bound: Duration,
    /// Widens the measured clock interval on each side for `hold = "auto"`.
    pub auto_slack: Duration,
    /// Helm releases in the targets' namespaces that are known to write elsewhere, and may go on.
    pub ignore: Vec<String>,
}

impl Default for WindowSettings {
    fn default() -> Self {
        let max_outage = Duration::from_secs(60);
        WindowSettings {
            // The vendor's guide waits about 10 s for clock skew.
            hold: Hold::Fixed(Duration::from_secs(10)),
            // Drain 30 s + grace 5 s + hold 10 s + 10 s to release = 55 s, rounded up.
            max_outage,
            attempts: 3,
            margin: Duration::from_secs(2),
            outage_budget: 3 * max_outage,
            // An old Pause that times out opens the gate under a newer one: wait until none can be left.
            retry_after: SERVER_DRAIN + RETRY_BEYOND_DRAIN,
            release_wait: Duration::from_secs(120),
            max_pause_wait_time: None,
            call_grace: Duration::from_secs(5),
            tcp_user_timeout: Duration::from_secs(10),
            check_interval: Duration::from_millis(200),
            require_proof: true,
            pod_clock_bound: Duration::from_secs(5),
            auto_slack: Duration::from_millis(100),
            ignore: Vec::new(),
        }
    }
}

/// The drain time-out of the servers where none is sent with Pause.
pub const SERVER_DRAIN: Duration = Duration::from_secs(30);

/// What [`WindowSettings::retry_after`] adds to the drain time-out, at least.
pub const RETRY_BEYOND_DRAIN: Duration = Duration::from_secs(5);

/// A window turns to release this long before its hard deadline.
pub const RELEASE_BEFORE_DEADLINE: Duration = Duration::from_secs(10);

impl WindowSettings {
    /// How long a server waits for running transactions before it gives up and opens its gate again.
    pub fn drain_timeout(&self) -> Duration {
        self.max_pause_wait_time.unwrap_or(SERVER_DRAIN)
    }

    /// The deadline of one Pause call.
    pub fn call_deadline(&self) -> Duration {
        self.drain_timeout() + self.call_grace
    }

    /// The longest still period this asks for.
    pub fn hold_bound(&self) -> Duration {
        match self.hold {
            Hold::Fixed(length) => length,
            Hold::Auto => 2 * self.margin + Duration::from_secs(3),
        }
    }

    /// The least `max_outage` in which such a window can end in order.
    pub fn least_max_outage(&self) -> Duration {
        self.call_deadline() + self.hold_bound() + RELEASE_BEFORE_DEADLINE
    }
}

/// A set of pods paused together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSettings {
    /// Its name.
    pub name: String,
    /// Where its pods are found.
    pub pods: PodSource,
    /// `None`: plain text.
    pub tls: Option<TlsSettings>,
}

impl TargetSettings {
    /// The addresses as written; none where the pods are found in another way.
    pub fn addresses(&self) -> &[String] {
        match &self.pods {
            PodSource::Addresses(addresses) => addresses,
            PodSource::Kubernetes(_) | PodSource::Srv(_) => &[],
        }
    }
}

/// Where a target's pods are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodSource {
    /// `host:port`, as written; at least one, no two alike.
    Addresses(Vec<String>),
    /// The pods of a Helm release.
    Kubernetes(KubernetesTarget),
    /// What DNS lists under the name of a service record.
    Srv(SrvTarget),
}

/// The name of service records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvTarget {
    /// `_port-name._tcp.` and the name of a Service.
    pub name: String,
    /// The name server to ask; `None`: those of the system.
    pub resolver: Option<std::net::SocketAddr>,
}

/// A Helm release in a Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesTarget {
    /// Which cluster, and as whom.
    pub cluster: ClusterReference,
    /// The namespace of its pods.
    pub namespace: String,
    /// The release.
    pub release: String,
    /// `None`: every ScalarDB and ScalarDL product of the release.
    pub product: Option<Product>,
    /// `None`: the port that the product's chart names, on the headless Service.
    pub admin_port: Option<AdminPort>,
    /// A label selector instead of the charts' labels.
    pub selector: Option<String>,
}

/// Which cluster, and as whom. Holds no secret: it goes into the open window note. Both `None`: the kubeconfig of the
/// environment with its current context, or the service account where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ClusterReference {
    /// Absolute.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig.
    pub context: Option<String>,
}

/// The admin port of a release's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminPort {
    /// This number on every pod; no Service is asked.
    Number(u16),
    /// The port of this name on the headless Service.
    Name(String),
}

/// The products whose pods have a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Product {
    /// ScalarDB Server.
    ScalarDb,
    /// ScalarDB Cluster.
    ScalarDbCluster,
    /// ScalarDL Ledger.
    Ledger,
    /// ScalarDL Auditor.
    Auditor,
}

impl Product {
    /// All of them.
    pub const ALL: [Product; 4] = [Product::ScalarDb, Product::ScalarDbCluster, Product::Ledger, Product::Auditor];

    /// What its chart writes into its pods' `app.kubernetes.io/app`; also its name in the settings.
    pub fn label(self) -> &'static str {
        match self {
            Product::ScalarDb => "scalardb",
            Product::ScalarDbCluster => "scalardb-cluster",
            Product::Ledger => "ledger",
            Product::Auditor => "auditor",
        }
    }

    /// The name of the admin port on its headless Service.
    pub fn port_name(self) -> &'static str {
        match self {
            Product::ScalarDb => "scalardb",
            Product::ScalarDbCluster => "scalardb-cluster",
            Product::Ledger => "scalardl-admin",
            Product::Auditor => "scalardl-auditor-admin",
        }
    }

    /// The product of a label's value.
    pub fn of_label(label: &str) -> Option<Product> {
        Product::ALL.into_iter().find(|product| product.label() == label)
    }
}

/// TLS towards pods. All `None`: the system's roots, the address's own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Roots to trust instead of the system's; absolute, holds certificates.
    pub ca_file: Option<PathBuf>,
    /// The same, given as text. Certificates are no secret. At most one of the two is set.
    pub ca_pem: Option<String>,
    /// Client certificate; absolute. Set exactly when `key_file` is.
    pub cert_file: Option<PathBuf>,
    /// The client certificate's private key; absolute. Only ever passed by reference.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must carry, instead of the address's.
    pub authority: Option<String>,
}

/// One provider connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// Its name.
    pub name: String,
    /// Which provider serves it.
    pub provider: ProviderName,
    /// Never empty.
    pub region: String,
    /// Serves every AWS API that is called and has no endpoint of its own below.
    pub endpoint: Option<Url>,
    /// Endpoints of single services.
    pub endpoints: Endpoints,
    /// ScalarDB's namespace prefix (`scalar.db.dynamo.namespace.prefix`).
    pub prefix: Option<String>,
    /// ScalarDB's metadata namespace, without the prefix.
    pub metadata_namespace: String,
    /// ScalarDB's coordinator namespace, without the prefix.
    pub coordinator_namespace: String,
    /// These tables instead of what ScalarDB's metadata lists. Empty = not given.
    pub tables: Vec<String>,
    /// All tables whose name starts so, instead of what ScalarDB's metadata lists.
    pub table_prefix: Option<String>,
}

/// Endpoints of single AWS services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// DynamoDB.
    pub dynamodb: Option<Url>,
    /// Application Auto Scaling.
    pub autoscaling: Option<Url>,
    /// CloudWatch.
    pub cloudwatch: Option<Url>,
}

/// The providers of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProviderName {
    /// Amazon DynamoDB.
    Dynamodb,
}

impl ProviderName {
    /// As written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            ProviderName::Dynamodb => "dynamodb",
        }
    }
}
