//! Asking DNS for service records and the addresses of their hosts, anew each time.

use super::{Record, Records};
use futures::{StreamExt, TryStreamExt, stream};
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Questions at the same time. A thousand pods are two thousand questions; a name server that serves a cluster answers
/// tens of thousands a second, and connections for long answers take 32 at a time.
const QUESTIONS: usize = 24;
/// For one question to one server: over UDP it is sent again in between.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often a question is asked again after that.
const AGAIN: usize = 2;

/// Why a look says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// Whoever was asked knows no such service record. That is an answer.
    #[error("there is no such service record")]
    NoSuchName,
    /// No answer, or none that says anything.
    #[error("{0}")]
    Failed(String),
}

/// Asks one name server, or those of the system. Over UDP; what is too long for it, over TCP.
#[derive(Clone, Debug)]
pub struct SrvResolver {
    resolver: TokioResolver,
}

impl SrvResolver {
    /// `None`: the name servers and search domains of `/etc/resolv.conf`. `Err` is why there is none.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, String> {
        let runtime = TokioRuntimeProvider::default;
        let builder = match server {
            None => Resolver::builder(runtime()),
            Some(server) => {
                let mut named = NameServerConfig::udp_and_tcp(server.ip());
                named.connections.iter_mut().for_each(|connection| connection.port = server.port());
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![named]);
                Ok(Resolver::builder_with_config(config, runtime()))
            }
        };
        let mut builder = builder.map_err(|error| error.to_string())?;
        settle(builder.options_mut());
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { resolver })
    }

    /// Every service record of `name` and every address of their hosts, as they are now. An answer that lacks any of
    /// them is an error: part of a set says nothing.
    pub async fn look(&self, name: &str, wait: Duration) -> Result<Records, LookError> {
        match tokio::time::timeout(wait, self.ask(name)).await {
            Ok(found) => found,
            Err(_) => Err(LookError::Failed(format!("no answer within {wait:?}"))),
        }
    }

    async fn ask(&self, name: &str) -> Result<Records, LookError> {
        let listed = self.records(name).await?;
        // A host that is listed with several ports is asked about once.
        let hosts: BTreeSet<String> = listed.iter().map(|record| record.host.clone()).collect();
        let questions: Vec<(String, RecordType)> =
            hosts.into_iter().flat_map(|host| [(host.clone(), RecordType::A), (host, RecordType::AAAA)]).collect();
        let found: Vec<(String, Vec<IpAddr>)> = stream::iter(questions)
            .map(|(host, kind)| self.clone().addresses(host, kind))
            .buffer_unordered(QUESTIONS)
            .try_collect()
            .await?;
        let mut by_host: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for (host, ips) in found {
            by_host.entry(host).or_default().extend(ips);
        }
        let with_addresses = |record: Record| {
            let ips = by_host.get(&record.host).cloned().unwrap_or_default();
            (record, ips)
        };
        Ok(Records(listed.into_iter().map(with_addresses).collect()))
    }

    async fn records(&self, name: &str) -> Result<Vec<Record>, LookError> {
        let lookup = match self.resolver.srv_lookup(name).await {
            Ok(lookup) => lookup,
            // The root of all names denies what it has never heard of: whoever was asked does not know the zone.
            Err(error) if denied_by_the_root(&error) => {
                return Err(LookError::Failed("it does not know the zone of this name".to_owned()));
            }
            Err(error) if error.is_no_records_found() => return Err(LookError::NoSuchName),
            Err(error) => return Err(LookError::Failed(error.to_string())),
        };
        let records = lookup.answers().iter().filter_map(|answer| match &answer.data {
            // A record whose host is the root says that the service is not there.
            RData::SRV(srv) if !srv.target.is_root() && srv.port > 0 => {
                Some(Record { host: plain(&srv.target), port: srv.port })
            }
            _ => None,
        });
        let records: Vec<Record> = records.collect();
        if records.is_empty() { Err(LookError::NoSuchName) } else { Ok(records) }
    }

    /// Owns what it needs: many of these run side by side in a task of their own.
    async fn addresses(self, host: String, kind: RecordType) -> Result<(String, Vec<IpAddr>), LookError> {
        // Whole as it stands: the search domains have nothing to add to it.
        let whole = format!("{host}.");
        let lookup = match self.resolver.lookup(whole.as_str(), kind).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_no_records_found() => return Ok((host, Vec::new())),
            Err(error) => return Err(LookError::Failed(format!("{kind} {host}: {error}"))),
        };
        let ips = lookup.answers().iter().filter_map(|answer| answer.data.ip_addr());
        Ok((host, ips.map(|ip| ip.to_canonical()).collect()))
    }
}

fn denied_by_the_root(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => none.soa.as_ref().is_some_and(|soa| soa.name.is_root()),
        _ => false,
    }
}

fn settle(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.positive_max_ttl = Some(Duration::ZERO);
    options.negative_max_ttl = Some(Duration::ZERO);
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = TIMEOUT;
    options.attempts = AGAIN;
}

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::net::NoRecords;
    use hickory_resolver::proto::op::{Query, ResponseCode};
    use hickory_resolver::proto::rr::Record as Resource;
    use hickory_resolver::proto::rr::rdata::SOA;

    fn denied_by(zone: Option<&str>) -> NetError {
        let mut none = NoRecords::new(Query::default(), ResponseCode::NXDomain);
        none.soa = zone.map(|zone| {
            let name: Name = zone.parse().unwrap();
            Box::new(Resource::from_rdata(name.clone(), 5, SOA::new(name.clone(), name, 1, 1, 1, 1, 1)))
        });
        none.into()
    }

    #[test]
    fn a_name_that_only_the_root_denies_is_one_of_a_zone_that_is_not_known_here() {
        assert!(denied_by_the_root(&denied_by(Some("."))));
        assert!(!denied_by_the_root(&denied_by(Some("cluster.local."))));
        assert!(!denied_by_the_root(&denied_by(None)));
        assert!(!denied_by_the_root(&NetError::Timeout));
    }
}
