//! The server as a resolver of another making sees it.

use super::*;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use std::collections::BTreeSet;

const NAME: &str = "_scalardb._tcp.db-headless.ns.svc.cluster.local.";

fn resolver(dns: &Dns) -> TokioResolver {
    let mut server = NameServerConfig::udp_and_tcp(dns.address().ip());
    server.connections.iter_mut().for_each(|c| c.port = dns.address().port());
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    (options.cache_size, options.timeout, options.attempts) = (0, Duration::from_millis(500), 0);
    builder.build().unwrap()
}

async fn all(resolver: &TokioResolver, name: &str, kind: RecordType) -> BTreeSet<String> {
    let lookup = resolver.lookup(name, kind).await.unwrap();
    lookup.answers().iter().map(|record| record.data.to_string()).collect()
}

fn pods(dns: &Dns, count: u8) {
    for n in 1..=count {
        let pod = format!("10-244-0-{n}.db-headless.ns.svc.cluster.local");
        dns.add_srv(NAME, &pod, 60051);
        dns.add_address(&pod, [10, 244, 0, n].into());
    }
}

#[tokio::test]
async fn records_come_and_go_and_a_name_goes_with_its_last_record() {
    let dns = Dns::start().await.unwrap();
    let resolver = resolver(&dns);
    pods(&dns, 2);
    let pod = "10-244-0-1.db-headless.ns.svc.cluster.local.";
    assert_eq!(all(&resolver, NAME, RecordType::SRV).await.len(), 2);
    assert_eq!(all(&resolver, pod, RecordType::A).await, BTreeSet::from(["10.244.0.1".to_owned()]));
    let nothing = resolver.lookup(pod, RecordType::AAAA).await.unwrap_err();
    assert!(nothing.is_no_records_found() && !nothing.is_nx_domain(), "{nothing}");
    dns.add_address(pod, "2001:db8::1".parse().unwrap());
    assert_eq!(all(&resolver, pod, RecordType::AAAA).await, BTreeSet::from(["2001:db8::1".to_owned()]));
    dns.move_address(pod, [10, 244, 0, 1].into(), [10, 244, 0, 9].into());
    assert_eq!(all(&resolver, pod, RecordType::A).await, BTreeSet::from(["10.244.0.9".to_owned()]));
    dns.remove_srv(NAME, "10-244-0-1.DB-headless.ns.svc.cluster.local", 60051);
    assert_eq!(all(&resolver, NAME, RecordType::SRV).await.len(), 1);
    dns.remove_srv(NAME, "10-244-0-2.db-headless.ns.svc.cluster.local.", 60051);
    assert!(resolver.lookup(NAME, RecordType::SRV).await.unwrap_err().is_nx_domain());
    dns.add_alias("pods.example", pod);
    assert!(all(&resolver, "pods.example.", RecordType::A).await.contains("10.244.0.9"));
}

#[tokio::test]
async fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    let dns = Dns::start().await.unwrap();
    let resolver = resolver(&dns);
    pods(&dns, 100);
    assert_eq!(all(&resolver, NAME, RecordType::SRV).await.len(), 100);
    let over: Vec<Over> = dns.asked().iter().map(|asked| asked.over).collect();
    assert_eq!(over, [Over::Udp, Over::Tcp]);
}

#[tokio::test]
async fn the_order_of_records_turns_and_their_addresses_come_with_them() {
    let dns = Dns::start().await.unwrap();
    let resolver = resolver(&dns);
    pods(&dns, 3);
    let mut firsts = BTreeSet::new();
    for _ in 0..3 {
        let lookup = resolver.lookup(NAME, RecordType::SRV).await.unwrap();
        firsts.insert(lookup.answers()[0].data.to_string());
        assert!(matches!(lookup.additionals()[0].data, RData::A(_)));
    }
    assert_eq!(firsts.len(), 3);
}

#[tokio::test]
async fn it_fails_as_it_is_told() {
    let dns = Dns::start().await.unwrap();
    let resolver = resolver(&dns);
    pods(&dns, 1);
    let mut said = Vec::new();
    for manner in [Manner::ServFail, Manner::NxDomain, Manner::Refused, Manner::TruncatedWithoutTcp, Manner::Silent] {
        dns.behave(manner);
        said.push((manner, resolver.lookup(NAME, RecordType::SRV).await.unwrap_err().to_string()));
    }
    each_says_its_own(&said);
    for manner in [Manner::Truncated, Manner::Late(Duration::from_millis(50)), Manner::Well] {
        dns.behave(manner);
        assert_eq!(all(&resolver, NAME, RecordType::SRV).await.len(), 1, "{manner:?}");
    }
}

fn each_says_its_own(said: &[(Manner, String)]) {
    let has = |manner, word: &str| {
        let text = &said.iter().find(|(m, _)| *m == manner).unwrap().1;
        assert!(text.to_lowercase().contains(word), "{manner:?}: {text}");
    };
    has(Manner::ServFail, "server failure");
    has(Manner::NxDomain, "no records");
    has(Manner::Refused, "refused");
    has(Manner::TruncatedWithoutTcp, "timed out");
    has(Manner::Silent, "timed out");
}
