//! What two looks at DNS differ in, and looks at a real server.

use super::*;
use crate::target::Watched as _;
use crate::window::protocol::PodsChange;
use crate::window::violation::Name;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::IpAddr;
use stillpoint_sandbox::dns::{Dns, Manner, Over};
use tokio::sync::mpsc::unbounded_channel;

const LONG: Duration = Duration::from_secs(60);
const NAME: &str = "_scalardb._tcp.db-headless.ns.svc.cluster.local";

/// A host, a port, addresses.
type Host<'a> = (&'a str, u16, &'a [&'a str]);
/// What is listed later, and what that is called.
type Case<'a> = (&'a [Host<'a>], &'a [(Name, &'a str)]);

fn records(list: &[Host]) -> Records {
    let one = |(host, port, ips): &(&str, u16, &[&str])| {
        let ips: BTreeSet<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        (Record { host: (*host).to_owned(), port: *port }, ips)
    };
    Records(list.iter().map(one).collect())
}

/// Names and subjects.
fn brief(changes: &[PodsChange]) -> Vec<(Name, &str)> {
    changes.iter().map(|change| (change.name, change.subject.as_str())).collect()
}

fn between(before: &[Host], now: &[Host]) -> Vec<(Name, String)> {
    let changes = changes(&records(before), &records(now));
    brief(&changes).into_iter().map(|(name, subject)| (name, subject.to_owned())).collect()
}

#[test]
fn each_difference_has_its_name_and_the_address() {
    let before: &[Host] = &[("a", 1, &["10.0.0.1"]), ("b", 1, &["10.0.0.2", "2001:db8::2"])];
    let (a, b) = (before[0], before[1]);
    let cases: [Case; 9] = [
        (&[a, b], &[]),
        (&[a, b, ("c", 1, &["10.0.0.3"])], &[(Name::PodAdded, "10.0.0.3:1")]),
        (&[a, b, ("c", 1, &[])], &[(Name::PodAdded, "c:1")]),
        (&[a, b, ("a", 2, &["10.0.0.1"])], &[(Name::PodAdded, "10.0.0.1:2")]),
        (&[b], &[(Name::PodRemoved, "10.0.0.1:1")]),
        (&[a, ("b", 1, &["10.0.0.2"])], &[(Name::PodRemoved, "[2001:db8::2]:1")]),
        (&[a, ("b", 1, &["10.0.0.2", "2001:db8::2", "10.0.0.9"])], &[(Name::PodAdded, "10.0.0.9:1")]),
        (&[("a", 1, &["10.0.0.9"]), b], &[(Name::PodReplaced, "10.0.0.1:1")]),
        (&[("a", 1, &[]), b], &[(Name::SetsDisagree, "a:1")]),
    ];
    for (now, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|(name, subject)| (*name, (*subject).to_owned())).collect();
        assert_eq!(between(before, now), expected, "{now:?}");
    }
    let gone =
        [(Name::PodRemoved, "10.0.0.1:1"), (Name::PodRemoved, "10.0.0.2:1"), (Name::PodRemoved, "[2001:db8::2]:1")];
    let gone: Vec<_> = gone.iter().map(|(name, subject)| (*name, (*subject).to_owned())).collect();
    assert_eq!(between(before, &[]), gone);
}

prop_compose! {
    fn any_records()(list in prop::collection::btree_map(
        (0..3u8, 1..3u16), prop::collection::btree_set(0..4u8, 0..3), 0..5,
    )) -> Records {
        let record = |(host, port): (u8, u16)| Record { host: format!("pod-{host}"), port };
        Records(list.into_iter().map(|(at, ips)| (record(at), ips.into_iter().map(|n| IpAddr::from([10, 0, 0, n])).collect())).collect())
    }
}

proptest! {
    #[test]
    fn no_change_is_told_exactly_where_both_looks_are_alike(before in any_records(), now in any_records()) {
        prop_assert_eq!(changes(&before, &now).is_empty(), before == now);
        prop_assert!(changes(&now, &now).is_empty());
    }
}

/// A server that lists these pods.
async fn served(pods: &[(&str, u16, &str)]) -> (Dns, SrvTargetOf) {
    let dns = Dns::start().await.unwrap();
    for (host, port, ip) in pods {
        dns.add_srv(NAME, host, *port);
        dns.add_address(host, ip.parse().unwrap());
    }
    let target = SrvTargetOf { name: "ledger".into(), srv: NAME.into(), resolver: Some(dns.address()), tls: None };
    (dns, target)
}

async fn found(target: &SrvTargetOf) -> (Vec<Pod>, SrvWatched) {
    find(target, LONG, Duration::from_secs(10)).await.unwrap()
}

async fn refused(target: &SrvTargetOf) -> Vec<Reason> {
    let failures = find(target, LONG, Duration::from_secs(10)).await.unwrap_err();
    assert!(failures.iter().all(|f| !f.hint.is_empty() && f.target == "ledger"), "{failures:?}");
    failures.iter().map(|failure| failure.reason).collect()
}

#[tokio::test]
async fn every_address_of_every_record_is_a_pod_and_two_ports_under_one_name_are_two() {
    let (dns, target) = served(&[("a.ns", 1, "10.0.0.1"), ("b.ns", 1, "10.0.0.2"), ("b.ns", 2, "10.0.0.2")]).await;
    dns.add_address("a.ns", "2001:db8::1".parse().unwrap());
    // Another name of a pod that is listed already.
    dns.add_srv(NAME, "alias.ns", 1);
    dns.add_alias("alias.ns", "b.ns");
    let (pods, _) = found(&target).await;
    let addresses: Vec<&str> = pods.iter().map(|pod| pod.address.as_str()).collect();
    assert_eq!(addresses, ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.2:2", "[2001:db8::1]:1"]);
    assert!(pods.iter().all(|pod| pod.name == pod.address && pod.endpoint.address == pod.address));
    assert_eq!(pods[3].endpoint.authority.as_deref(), Some("a.ns:1"));
}

#[tokio::test]
async fn a_hundred_pods_whose_answer_is_too_long_for_udp_are_all_found() {
    let hosts: Vec<(String, String)> =
        (1..=100).map(|n| (format!("10-0-0-{n}.db.ns"), format!("10.0.0.{n}"))).collect();
    let pods: Vec<(&str, u16, &str)> = hosts.iter().map(|(host, ip)| (host.as_str(), 60051, ip.as_str())).collect();
    let (dns, target) = served(&pods).await;
    assert_eq!(found(&target).await.0.len(), 100);
    assert!(dns.asked().iter().any(|asked| asked.over == Over::Tcp && asked.kind == "SRV"));
    dns.behave(Manner::Truncated);
    assert_eq!(found(&target).await.0.len(), 100);
}

#[tokio::test]
async fn what_dns_does_not_say_is_refused_by_its_own_name() {
    let (dns, target) = served(&[("a.ns", 1, "10.0.0.1")]).await;
    let other = SrvTargetOf { srv: "_scalardb._tcp.other.ns".into(), ..target.clone() };
    assert_eq!(refused(&other).await, [Reason::SrvNotFound]);
    dns.add_srv(NAME, "b.ns", 1);
    assert_eq!(refused(&target).await, [Reason::SrvWithoutAddress]);
    dns.add_address("b.ns", [10, 0, 0, 2].into());
    for manner in [Manner::ServFail, Manner::Refused, Manner::TruncatedWithoutTcp, Manner::Silent] {
        dns.behave(manner);
        assert_eq!(refused(&target).await, [Reason::SrvUnanswered], "{manner:?}");
    }
    dns.behave(Manner::NxDomain);
    assert_eq!(refused(&target).await, [Reason::SrvNotFound]);
}

#[tokio::test]
async fn nothing_is_kept_from_one_look_to_the_next() {
    let (dns, target) = served(&[("a.ns", 1, "10.0.0.1")]).await;
    let resolver = SrvResolver::new(target.resolver).unwrap();
    let first = resolver.look(NAME, LONG).await.unwrap();
    dns.move_address("a.ns", [10, 0, 0, 1].into(), [10, 0, 0, 9].into());
    let second = resolver.look(NAME, LONG).await.unwrap();
    assert_eq!(brief(&changes(&first, &second)), [(Name::PodReplaced, "10.0.0.1:1")]);
    dns.remove_srv(NAME, "a.ns", 1);
    assert_eq!(resolver.look(NAME, LONG).await, Err(LookError::NoSuchName));
    dns.add_srv(NAME, "a.ns", 1);
    assert_eq!(resolver.look(NAME, LONG).await.unwrap(), second);
}

#[tokio::test]
async fn a_watch_tells_a_change_at_once_and_not_again_when_it_settles() {
    let (dns, target) = served(&[("a.ns", 1, "10.0.0.1"), ("b.ns", 1, "10.0.0.2")]).await;
    let (sender, mut heard) = unbounded_channel();
    let mut watch = found(&target).await.1.start(sender);
    dns.remove_srv(NAME, "b.ns", 1);
    let change = heard.recv().await.unwrap();
    assert_eq!(brief(&[change]), [(Name::PodRemoved, "10.0.0.2:1")]);
    let settled = watch.settle(LONG).await;
    assert_eq!(settled.changes, []);
    let rows: Vec<_> = settled.table.iter().map(|row| (&*row.pod, row.before.is_some(), row.after.is_some())).collect();
    assert_eq!(rows, [("10.0.0.1:1", true, true), ("10.0.0.2:1", true, false)]);
}

#[tokio::test]
async fn a_look_that_fails_is_a_gap_while_the_window_is_open_and_after_it() {
    for manner in [Manner::ServFail, Manner::TruncatedWithoutTcp, Manner::Silent] {
        let (dns, target) = served(&[("a.ns", 1, "10.0.0.1")]).await;
        let (sender, mut heard) = unbounded_channel();
        let mut watch = found(&target).await.1.start(sender);
        dns.behave(manner);
        let gap = heard.recv().await.unwrap();
        assert_eq!(brief(std::slice::from_ref(&gap)), [(Name::WatchGap, "ledger")], "{manner:?}");
        dns.behave(Manner::Well);
        assert_eq!(watch.settle(LONG).await.changes, []);
        dns.behave(Manner::ServFail);
        let (sender, _) = unbounded_channel();
        // Before its first look: that is the settling one's to find.
        let mut late = SrvWatched::start(&seen_again(&target, &dns).await, sender);
        let settled = late.settle(LONG).await;
        assert!(brief(&settled.changes).contains(&(Name::WatchGap, "ledger")) && settled.table.is_empty());
    }
}

async fn seen_again(target: &SrvTargetOf, dns: &Dns) -> SrvWatched {
    dns.behave(Manner::Well);
    let watched = found(target).await.1;
    dns.behave(Manner::ServFail);
    watched
}
