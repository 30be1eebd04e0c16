//! One client for each context: from a kubeconfig, or from the service account of the pod that this runs in.

use crate::failure::{Exit, Failure};
use crate::kubernetes::refusal;
use crate::restore_point::report::chain;
use crate::settings::ClusterReference;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Mutex;

/// For a connection to the API server.
const CONNECT: Duration = Duration::from_secs(5);

/// A cluster that can be asked.
#[derive(Clone)]
pub struct Cluster {
    /// How it is written in the settings and in notes.
    pub reference: ClusterReference,
    /// Where its API server is.
    pub server: String,
    /// Speaks to it.
    pub client: Client,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("reference", &self.reference).field("server", &self.server).finish()
    }
}

impl Cluster {
    /// Reads the credentials and makes a client. Asks no server: whether it answers, the first call tells.
    pub async fn connect(reference: &ClusterReference) -> Result<Self, Failure> {
        let mut config = config(reference).await?;
        config.connect_timeout = Some(CONNECT);
        // A call that is tried again by itself would hide how long the server was away.
        config.default_retry = false;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| refusal(&server, "make a client", &error))?;
        Ok(Cluster { reference: reference.clone(), server, client })
    }
}

/// The clusters of one command, each connected to once.
#[derive(Debug, Default)]
pub struct Clusters {
    known: Mutex<BTreeMap<ClusterReference, Result<Cluster, Failure>>>,
}

impl Clusters {
    /// The cluster's client. A repeat gives the same one, or the same failure.
    pub async fn get(&self, reference: &ClusterReference) -> Result<Cluster, Failure> {
        let mut known = self.known.lock().await;
        if let Some(cluster) = known.get(reference) {
            return cluster.clone();
        }
        let cluster = Cluster::connect(reference).await;
        known.insert(reference.clone(), cluster.clone());
        cluster
    }
}

async fn config(reference: &ClusterReference) -> Result<Config, Failure> {
    let ClusterReference { kubeconfig, context } = reference;
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let read = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    match read {
        Ok(file) => {
            let contexts: Vec<String> = file.contexts.iter().map(|context| context.name.clone()).collect();
            // An empty file says nothing: then it is as if there were none.
            if contexts.is_empty() && kubeconfig.is_none() && context.is_none() {
                return in_cluster(None);
            }
            Config::from_custom_kubeconfig(file, &options).await.map_err(|error| invalid(reference, &contexts, &error))
        }
        Err(error) if kubeconfig.is_none() && is_absent(&error) => in_cluster(context.as_deref()),
        Err(error) => Err(invalid(reference, &[], &error)),
    }
}

fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(cause, _) => cause.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn in_cluster(context: Option<&str>) -> Result<Config, Failure> {
    let hint =
        "Name one with `kubeconfig` in the target, or with KUBECONFIG. In a pod, mount its service account's token.";
    if let Some(context) = context {
        let message = format!("context `{context}` was named, and there is no kubeconfig that could have it");
        return Err(Failure::new(Exit::Refused, "kubeconfig_missing", message, hint));
    }
    Config::incluster().map_err(|error| {
        let message = "there is no kubeconfig, and this is not a pod with a service account";
        let mut failure = Failure::new(Exit::Refused, "kubeconfig_missing", message, hint);
        failure.causes.push(chain(&error));
        failure
    })
}

fn invalid(reference: &ClusterReference, contexts: &[String], error: &KubeconfigError) -> Failure {
    let place = match &reference.kubeconfig {
        Some(path) => path.display().to_string(),
        None => "the kubeconfig of the environment".to_owned(),
    };
    let hint = match error {
        KubeconfigError::LoadContext(_) | KubeconfigError::CurrentContextNotSet if !contexts.is_empty() => {
            format!("Name one of its contexts with `context`: {}.", contexts.join(", "))
        }
        _ => "Try it with `kubectl --kubeconfig FILE get pods`, or write it anew.".to_owned(),
    };
    let message = format!("{place} cannot be used: {error}");
    Failure::new(Exit::Refused, "kubeconfig_invalid", message, hint)
}
