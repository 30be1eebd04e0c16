//! Pods with IPv6 addresses, alone or beside IPv4.

use crate::bed::Bed;
use crate::play::{Play, Release, Shape};
use crate::rows::{Row, row};
use crate::support::{proc, until};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use rustix::process::Signal;
use std::sync::Arc;

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let (one, another) = (bed.clone(), bed.clone());
    vec![
        row("pods that have IPv6 addresses alone", move |_| alone(one)),
        row("a pod with addresses of both kinds is one pod, by its first", move |_| both(another)),
    ]
}

fn shape(families: &'static [&'static str]) -> Shape {
    Shape { families, ..Shape::default() }
}

/// Addresses of the pods in the object on stdout.
fn addresses(object: &serde_json::Value) -> Vec<&str> {
    object["pods"].as_array().unwrap().iter().map(|pod| pod["address"].as_str().unwrap()).collect()
}

async fn alone(bed: Arc<Bed>) {
    let namespace = bed.namespace().await;
    let release = Release::shaped(&bed, &namespace, "bank", "ledger", 2, shape(&["IPv6"])).await;
    let play = Play::of(bed, vec![release]).await;
    let ended = play.expect_good(play.run(&["create"]).await);
    let of_ipv6 = |address: &&str| address.starts_with("[fd00:244::") && address.ends_with("]:50053");
    assert_eq!(addresses(&ended.json).iter().filter(|one| of_ipv6(one)).count(), 2, "{:#}", ended.json);
    play.assert_asked_as_promised();
    // And whoever releases finds them there.
    let running = play.held().await;
    let guard = running.guard().await;
    running.signal(Signal::KILL);
    until("the guard has released and gone", || !proc::is_alive(guard)).await;
    play.assert_all_open();
}

async fn both(bed: Arc<Bed>) {
    let namespace = bed.namespace().await;
    let old = Release::shaped(&bed, &namespace, "bank", "ledger", 2, shape(&["IPv4", "IPv6"])).await;
    let new = Release::shaped(&bed, &namespace, "audit", "auditor", 2, shape(&["IPv6", "IPv4"])).await;
    for release in [&old, &new] {
        let selector = format!("kubernetes.io/service-name={}", release.service_name());
        let slices = release.api::<EndpointSlice>().list(&ListParams::default().labels(&selector)).await.unwrap();
        let mut kinds: Vec<String> = slices.items.into_iter().map(|slice| slice.address_type).collect();
        kinds.sort();
        assert_eq!(kinds, ["IPv4", "IPv6"], "each pod is in two slices");
    }
    let play = Play::of(bed, vec![old, new]).await;
    let ended = play.expect_good(play.run(&["create"]).await);
    let kinds: Vec<bool> = addresses(&ended.json).into_iter().map(|address| address.starts_with('[')).collect();
    assert_eq!(kinds, [false, false, true, true], "{:#}", ended.json);
    assert!(play.servers().all(|server| server.log().gate_closed_intervals().len() == 1), "each was paused once");
}
