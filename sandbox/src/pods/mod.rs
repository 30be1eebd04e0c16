//! Admin pods: real gRPC servers on loopback that open and close their gates as the real ones do, fail on request, and
//! keep a log of what truly happened.
//!
//! ```no_run
//! # async fn f() -> std::io::Result<()> {
//! use stillpoint_sandbox::pods::{Action, Fault, Method, Pod, PodConfig, Trigger};
//! let pod = Pod::start(0, PodConfig::default()).await?;
//! pod.set(Fault::on(Trigger::nth(Method::Pause, 1), Action::HoldBack { ms: 500 }));
//! println!("{} is open: {}", pod.address(), pod.log().is_open());
//! # Ok(())
//! # }
//! ```

mod fault;
mod frames;
mod gate;
mod log;
mod server;
mod service;
mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use fault::{Action, Fault, SchemaOperation, Trigger};
pub use gate::{Refused, Transaction};
pub use log::{Entry, Event, Method, Mover, Outcome, PodLog, TransactionSpan, mono_ns};

/// Which server a pod plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavor {
    /// ScalarDB Server 3.6 to 3.13: the gate has no owner, every failure is FAILED_PRECONDITION, a paused server refuses.
    #[default]
    ScalarDbServer,
    /// ScalarDB Server 3.4 and 3.5: no CheckPaused, `max_pause_wait_time` is ignored.
    NoCheckPaused,
    /// ScalarDL 3.14: named outcomes, one Pause at a time, a paused server lets its callers wait.
    ScalarDl314,
    /// ScalarDB Cluster 3.19: the named outcomes of ScalarDL under its own domain; refuses while paused.
    ScalarDbCluster319,
}

/// PEM texts for a pod that serves TLS.
#[derive(Clone)]
pub struct TlsFiles {
    /// The server's certificate chain.
    pub certificate: String,
    /// The server's key.
    pub key: String,
    /// Whose client certificates are demanded; `None` demands none.
    pub client_ca: Option<String>,
}

impl std::fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsFiles").field("client_ca", &self.client_ca.is_some()).finish_non_exhaustive()
    }
}

/// How a pod is.
#[derive(Clone, Debug)]
pub struct PodConfig {
    /// Which server it plays.
    pub flavor: Flavor,
    /// TLS; plain text without.
    pub tls: Option<TlsFiles>,
    /// Added to every answer, on top of what the call takes: a network's round trip.
    pub answer_latency: Duration,
    /// The drain time-out of a Pause that sets none. 30 s in the real servers; shorter only in tests.
    pub default_pause_wait: Duration,
}

impl Default for PodConfig {
    fn default() -> Self {
        Self {
            flavor: Flavor::default(),
            tls: None,
            answer_latency: Duration::ZERO,
            default_pause_wait: Duration::from_secs(30),
        }
    }
}

/// Carries out schema operations at the database behind the pods. The error is for people.
pub type SchemaHook = Arc<dyn Fn(&SchemaOperation) -> Result<(), String> + Send + Sync>;

/// What the parts of a pod share.
pub(crate) struct Core {
    gate: Arc<gate::Gate>,
    config: PodConfig,
    tls: Option<TlsAcceptor>,
    stops: mpsc::UnboundedSender<server::Stop>,
    /// Ends the time that the process is down.
    wake: Notify,
    schema: OnceLock<SchemaHook>,
    /// No call of this method is answered now.
    withheld: watch::Sender<Option<Method>>,
    myself: Weak<Core>,
}

impl Core {
    fn restart(&self, down: Duration) {
        // An error: the pod has died for good.
        _ = self.stops.send(server::Stop { down: Some(down), ended: None, done: None });
    }

    /// Does what needs no call, beside everything else.
    fn happen(&self, action: Action) {
        let Some(core) = self.myself.upgrade() else { return };
        match action {
            Action::Restart { down_ms } | Action::RestartAfter { down_ms } => {
                self.gate.note(Event::Fault { action });
                self.restart(fault::ms(down_ms));
            }
            Action::Die => {
                self.gate.note(Event::Fault { action });
                // An error: it is dead already.
                _ = self.stops.send(server::Stop { down: None, ended: None, done: None });
            }
            Action::OpenTransaction { for_ms } => match self.gate.try_begin() {
                Err(refused) => self.gate.note(Event::FaultIdle { action, reason: refused.to_string() }),
                Ok(transaction) => {
                    self.gate.note(Event::Fault { action });
                    tokio::spawn(keep_open(transaction, for_ms.map(fault::ms)));
                }
            },
            other => _ = tokio::spawn(async move { core.happen_later(other).await }),
        }
    }

    async fn happen_later(&self, action: Action) {
        let outcome = match &action {
            Action::ForeignUnpause { after_ms } | Action::ForeignPause { after_ms } => {
                tokio::time::sleep(fault::ms(*after_ms)).await;
                let close = matches!(action, Action::ForeignPause { .. });
                self.gate.foreign(close).then_some(()).ok_or_else(|| "the pod is down".to_owned())
            }
            Action::CreateTable { table } => self.schema_operation(SchemaOperation::Create(table.clone())).await,
            Action::DropTable { table } => self.schema_operation(SchemaOperation::Drop(table.clone())).await,
            _ => Err("needs a call to strike".to_owned()),
        };
        self.gate.note(match outcome {
            Ok(()) => Event::Fault { action },
            Err(reason) => Event::FaultIdle { action, reason },
        });
    }

    async fn schema_operation(&self, operation: SchemaOperation) -> Result<(), String> {
        if !self.gate.is_up() {
            return Err("the pod is down".to_owned());
        }
        let hook = self.schema.get().cloned().ok_or("no database behind this pod")?;
        tokio::task::spawn_blocking(move || hook(&operation)).await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

async fn keep_open(transaction: Transaction, length: Option<Duration>) {
    let over = async {
        match length {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = transaction.outlived() => {}
        () = over => {}
    }
    transaction.end(Outcome::Committed);
}

/// A running pod: clones are handles to the same one. It ends with its last handle.
#[derive(Clone)]
pub struct Pod {
    index: usize,
    address: SocketAddr,
    core: Arc<Core>,
    _shutdown: Arc<DropGuard>,
}

impl Pod {
    /// Starts a pod on a free loopback port; it listens when this returns.
    ///
    /// # Errors
    /// No port or file descriptor left, or certificates that cannot be used.
    pub async fn start(index: usize, config: PodConfig) -> io::Result<Self> {
        Self::start_at(index, config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts a pod at an address of this machine; port 0 takes a free one. It listens when this returns.
    ///
    /// # Errors
    /// The address is not this machine's or is taken, no file descriptor left, or certificates that cannot be used.
    pub async fn start_at(index: usize, config: PodConfig, wanted: SocketAddr) -> io::Result<Self> {
        let place = server::Place::take(wanted)?;
        let listener = place.listen()?;
        let address = place.address;
        let tls = config.tls.as_ref().map(server::tls_acceptor).transpose()?;
        let gate = gate::Gate::new(index);
        gate.start(address.to_string());
        let (stops, stopped) = mpsc::unbounded_channel();
        let core = Arc::new_cyclic(|myself| Core {
            gate,
            config,
            tls,
            stops,
            wake: Notify::new(),
            schema: OnceLock::new(),
            withheld: watch::Sender::new(None),
            myself: Weak::clone(myself),
        });
        let shutdown = CancellationToken::new();
        tokio::spawn(server::run(Arc::clone(&core), place, listener, stopped, shutdown.clone()));
        Ok(Self { index, address, core, _shutdown: Arc::new(shutdown.drop_guard()) })
    }

    /// Its index among its fellows.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Where it listens; the same after every restart.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it plays.
    pub fn config(&self) -> &PodConfig {
        &self.core.config
    }

    /// A snapshot of its log.
    pub fn log(&self) -> PodLog {
        self.core.gate.log()
    }

    /// Is the gate open right now? A pod that is down has none: true.
    pub fn is_open(&self) -> bool {
        !self.core.gate.is_closed()
    }

    /// Is the process up?
    pub fn is_up(&self) -> bool {
        self.core.gate.is_up()
    }

    /// How many transactions are open.
    pub fn outstanding(&self) -> usize {
        self.core.gate.outstanding()
    }

    /// Sets a fault: it happens now, or waits for the calls it strikes. Faults add up.
    pub fn set(&self, fault: Fault) {
        if fault.is_immediate() {
            self.core.happen(fault.action);
        } else {
            self.core.gate.plant(fault);
        }
    }

    /// Takes back the faults that wait for calls; what has begun goes on.
    pub fn clear_faults(&self) {
        self.core.gate.clear_faults();
    }

    /// From now on calls of this method are carried out at once but answered only when another method is withheld in its
    /// place, or none: shows which calls are sent before others are answered.
    pub fn withhold(&self, answers_to: Option<Method>) {
        self.core.withheld.send_replace(answers_to);
    }

    /// Gives the pod a database for schema operations. Only the first one counts.
    pub fn set_schema_hook(&self, hook: SchemaHook) {
        _ = self.core.schema.set(hook);
    }

    /// Ends the process and starts it again on the same address; returns when it listens again.
    pub async fn restart(&self, down: Duration) {
        self.stop(Some(down)).await;
    }

    /// Ends the process for good; returns when it has ended.
    pub async fn die(&self) {
        self.stop(None).await;
    }

    /// Ends the process until [`Pod::scale_up`], as when somebody scales its Deployment to nothing; returns when it has
    /// ended. Its address stays taken.
    pub async fn scale_down(&self) {
        let (ended, gone) = oneshot::channel();
        let stop = server::Stop { down: Some(Duration::MAX), ended: Some(ended), done: None };
        if self.core.stops.send(stop).is_ok() {
            // An error: it was dead already.
            _ = gone.await;
        }
    }

    /// Starts the process again that [`Pod::scale_down`] ended, on the same address, its gate open; returns when it listens.
    /// Does nothing to one that is up or dead for good.
    pub async fn scale_up(&self) {
        while !self.is_up() && !self.core.stops.is_closed() {
            self.core.wake.notify_waiters();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn stop(&self, down: Option<Duration>) {
        let (done, ended) = oneshot::channel();
        if self.core.stops.send(server::Stop { down, ended: None, done: Some(done) }).is_ok() {
            // An error: it was dead already.
            _ = ended.await;
        }
    }

    /// Begins a transaction at this pod. ScalarDL lets a caller wait while the gate is closed, the others refuse.
    ///
    /// # Errors
    /// The gate is closed, or the process is down.
    pub async fn begin(&self) -> Result<Transaction, Refused> {
        self.core.gate.begin(self.core.config.flavor == Flavor::ScalarDl314).await
    }
}
