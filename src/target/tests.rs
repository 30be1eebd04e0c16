//! Targets over real resolvers and real little pods.

use super::{resolve::one_pod, *};
use crate::{
    admin::{AdminErrorKind, PauseResult, TlsReference, test_pods::*},
    point::PodState,
};
use std::{sync::atomic::Ordering, time::Duration};

const LONG: Duration = Duration::from_secs(60);
const RESOLVING: ResolveOptions = ResolveOptions { timeout: LONG, tcp_user_timeout: Duration::from_secs(10) };
const LOOKING: PreflightOptions = PreflightOptions { timeout: LONG, concurrency: 256, require_proof: true };

fn target(name: &str, addresses: &[&str]) -> AddressTarget {
    let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
    AddressTarget { name: name.to_owned(), addresses, tls: None }
}

async fn pods_of(targets: &[AddressTarget]) -> Vec<Pod> {
    resolve(targets, &RESOLVING).await.expect("every address is a pod")
}

fn reasons(failures: &[Failure]) -> Vec<(&str, Reason)> {
    failures.iter().map(|failure| (failure.pod.as_str(), failure.reason)).collect()
}

#[tokio::test]
async fn addresses_become_pods_in_the_order_written() {
    let tls = TlsReference { ca_file: Some("/etc/ca.pem".into()), ..TlsReference::default() };
    let auditor = AddressTarget { tls: Some(tls.clone()), ..target("auditor", &["10.0.0.1:40053"]) };
    let pods = pods_of(&[target("ledger", &["10.0.0.2:50053", "[2001:db8::0:1]:50053"]), auditor]).await;
    let seen: Vec<_> = pods.iter().map(|pod| (&*pod.target, &*pod.name, &*pod.address)).collect();
    let expected = [
        ("ledger", "10.0.0.2:50053", "10.0.0.2:50053"),
        ("ledger", "[2001:db8::0:1]:50053", "[2001:db8::1]:50053"),
        ("auditor", "10.0.0.1:40053", "10.0.0.1:40053"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(pods[2].endpoint.tls, Some(tls));
    assert!(pods.iter().all(|pod| pod.endpoint.authority.is_none() && pod.endpoint.address == pod.address));
}

#[tokio::test]
async fn a_host_name_is_pinned_to_the_address_that_answers_and_stays_the_authority() {
    let served = TestPod::plain().await;
    let port = served.address.rsplit(':').next().unwrap();
    let written = format!("localhost:{port}");
    let pods = pods_of(&[target("server", &[&written])]).await;
    assert_eq!(pods[0].name, written);
    // `localhost` may be ::1 first, where nobody listens.
    assert_eq!(pods[0].address, served.address);
    assert_eq!(pods[0].endpoint.authority.as_deref(), Some(&*written));
    preflight(pods, &LOOKING).await.all_ready().unwrap();
    assert_eq!(served.gate.heads.lock().unwrap()[0].0, format!("http://{written}"));
}

#[tokio::test]
async fn all_that_is_wrong_with_the_addresses_is_listed_together() {
    let targets = [
        target("ledger", &["10.0.0.1:50053", "10.0.0.2", "no-such-host.invalid:50053"]),
        target("auditor", &["[::ffff:10.0.0.1]:50053", "10.0.0.3:40053"]),
    ];
    let failures = resolve(&targets, &RESOLVING).await.unwrap_err();
    let expected = [
        ("10.0.0.2", Reason::Admin(AdminErrorKind::InvalidSettings)),
        ("no-such-host.invalid:50053", Reason::Admin(AdminErrorKind::Unresolvable)),
        ("[::ffff:10.0.0.1]:50053", Reason::Duplicate),
    ];
    assert_eq!(reasons(&failures), expected);
    assert!(failures[2].message.contains("`10.0.0.1:50053` of target `ledger`"), "{}", failures[2].message);
    let report = summary(&failures);
    assert_eq!(report.name, "pods_not_ready");
    assert!(failures.iter().all(|f| report.message.contains(&f.message) && report.hint.contains(&f.hint)));
}

#[tokio::test]
async fn no_pod_at_all_is_refused_since_it_would_prove_nothing() {
    for targets in [vec![], vec![target("ledger", &[])]] {
        let failures = resolve(&targets, &RESOLVING).await.unwrap_err();
        assert_eq!(reasons(&failures), [("", Reason::NoPods)]);
    }
}

#[test]
fn a_name_of_several_pods_is_refused_and_a_host_with_both_kinds_of_address_is_not() {
    let all = |list: &[&str]| list.iter().map(|at| at.parse().unwrap()).collect::<Vec<std::net::SocketAddr>>();
    let ledger = target("ledger", &["headless:1"]);
    let both = all(&["[2001:db8::1]:1", "10.0.0.1:1"]);
    assert_eq!(one_pod(&ledger, "host:1", both.clone()).unwrap(), both);
    for several in [&["10.0.0.1:1", "10.0.0.2:1"][..], &["10.0.0.1:1", "[::1]:1", "[::2]:1"]] {
        let failure = one_pod(&ledger, "headless:1", all(several)).unwrap_err();
        assert_eq!(failure.reason, Reason::SeveralPods);
        assert!(several.iter().all(|at| failure.message.contains(at)), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_preflight_connects_to_every_pod_and_changes_nothing() {
    let served = [TestPod::plain().await, TestPod::plain().await, TestPod::plain().await];
    let addresses: Vec<_> = served.iter().map(|pod| pod.address.as_str()).collect();
    let found = preflight(pods_of(&[target("server", &addresses)]).await, &LOOKING).await;
    assert!(found.pods.iter().all(|pod| pod.state == PodState::Open && pod.target == "server"));
    let ready = found.all_ready().unwrap();
    let names: Vec<_> = ready.iter().map(|ready| ready.pod.name.as_str()).collect();
    assert_eq!(names, addresses);
    assert!(served.iter().all(|pod| !pod.gate.is_closed() && pod.gate.pauses.lock().unwrap().is_empty()));

    let answers = futures::future::join_all(ready.iter().map(|ready| ready.client.pause(None, LONG))).await;
    assert!(answers.iter().all(|answer| *answer == PauseResult::Paused));
    assert!(ready.iter().all(|ready| ready.client.connections_made() == 1), "the preflight's connection is kept");
}

#[tokio::test]
async fn every_pod_that_is_not_ready_is_listed_with_its_next_step() {
    let [open, paused, old] = [TestPod::plain().await, TestPod::plain().await, TestPod::plain().await];
    paused.gate.closed.store(true, Ordering::SeqCst);
    old.gate.without_check.store(true, Ordering::SeqCst);
    let (gone, web) = (free_address().await, http1_port().await);
    let all = target("server", &[&open.address, &paused.address, &gone, &old.address, &web]);

    let found = preflight(pods_of(std::slice::from_ref(&all)).await, &LOOKING).await;
    let states: Vec<_> = found.pods.iter().map(|pod| (&*pod.address, pod.state)).collect();
    assert_eq!(states, [(&*open.address, PodState::Open), (&*paused.address, PodState::PausedByOther)]);
    let failures = found.all_ready().unwrap_err();
    let expected = [
        (&*paused.address, Reason::AlreadyPaused),
        (&*gone, Reason::Admin(AdminErrorKind::Refused)),
        (&*old.address, Reason::NoCheckPaused),
        (&*web, Reason::Admin(AdminErrorKind::NotHttp2)),
    ];
    assert_eq!(reasons(&failures), expected);
    assert!(failures[0].hint.contains(&format!("stillpoint unpause --address {}", paused.address)));
    assert!(failures[2].hint.contains("require_proof"));
    assert!(failures.iter().all(|failure| failure.message.contains(&failure.pod)));
    assert!(paused.gate.is_closed(), "somebody else's pause is left alone");

    let lenient = PreflightOptions { require_proof: false, ..LOOKING };
    let found = preflight(pods_of(&[all]).await, &lenient).await;
    let checks: Vec<_> = found.ready.iter().map(|ready| (&*ready.pod.address, ready.has_check)).collect();
    assert_eq!(checks, [(&*open.address, true), (&*old.address, false)]);
}

#[tokio::test]
async fn one_failure_is_told_in_its_own_words() {
    let gone = free_address().await;
    let failures = preflight(pods_of(&[target("server", &[&gone])]).await, &LOOKING).await.all_ready().unwrap_err();
    let report = summary(&failures);
    assert_eq!((&*report.name, &report.message), ("pod_refused_connection", &failures[0].message));
}

#[tokio::test]
async fn many_pods_are_connected_a_few_at_a_time() {
    let mut served = Vec::new();
    for _ in 0..100 {
        served.push(TestPod::plain().await);
    }
    let addresses: Vec<_> = served.iter().map(|pod| pod.address.as_str()).collect();
    let few = PreflightOptions { concurrency: 8, ..LOOKING };
    let ready = preflight(pods_of(&[target("server", &addresses)]).await, &few).await.all_ready().unwrap();
    assert_eq!(ready.len(), 100);
}

#[test]
fn room_is_made_for_more_connections_than_shells_allow() {
    use rustix::process::{Resource, getrlimit};
    let before = getrlimit(Resource::Nofile);
    let fits = make_room(2_000);
    let after = getrlimit(Resource::Nofile);
    assert!(after.current >= before.current || after.current.is_none());
    assert_eq!(fits, after.current.is_none_or(|now| now >= 2_256));
    assert_eq!(before.maximum, after.maximum);
}
