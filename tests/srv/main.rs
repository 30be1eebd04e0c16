//! Windows over pods that DNS lists: the real program, sandbox pods, and a DNS server whose records change.

#![allow(clippy::unwrap_used, clippy::panic)] // test code, though not all of it is in test functions

#[path = "../cli_support/mod.rs"]
mod cli_support;

mod alone;
mod stage;
mod together;

use futures::future::join_all;
use serde_json::Value;
use stage::{NAME, Stage, here, host, object, violations};
use std::pin::Pin;
use std::time::Duration;
use stillpoint_sandbox::dns::{Manner, Over};

const ALONE: [&str; 4] = ["create", "--window-only", "--output", "json"];

/// What happens while every pod is paused, and what the window is then called.
type Row = (&'static str, fn(&Stage), Option<(&'static str, fn(&Stage) -> String)>);

fn at(stage: &Stage, pod: usize) -> String {
    stage.pods[pod].address().to_string()
}

fn rows() -> Vec<Row> {
    let target: fn(&Stage) -> String = |_| "db".to_owned();
    let first: fn(&Stage) -> String = |stage| at(stage, 0);
    let third: fn(&Stage) -> String = |stage| at(stage, 2);
    vec![
        (
            "a record is added",
            |stage| {
                stage.dns.add_address("new.ns", [127, 0, 0, 9].into());
                stage.dns.add_srv(NAME, "new.ns", 60051);
            },
            Some(("PodAdded", |_| "127.0.0.9:60051".to_owned())),
        ),
        (
            "a port is added to a host",
            |stage| stage.dns.add_srv(NAME, &host(1), 60051),
            Some(("PodAdded", |_| "127.0.0.1:60051".to_owned())),
        ),
        (
            "a record is removed",
            |stage| stage.dns.remove_srv(NAME, &host(1), stage.pods[0].address().port()),
            Some(("PodRemoved", first)),
        ),
        (
            "a host has another address",
            |stage| stage.dns.move_address(&host(2), here(), [127, 0, 0, 9].into()),
            Some(("PodReplaced", third)),
        ),
        (
            "a host has no address any more",
            |stage| stage.dns.remove_address(&host(2), here()),
            Some(("SetsDisagree", |stage| format!("{}:{}", host(2), stage.pods[2].address().port()))),
        ),
        ("the server fails", |stage| stage.dns.behave(Manner::ServFail), Some(("WatchGap", target))),
        ("the server is silent", |stage| stage.dns.behave(Manner::Silent), Some(("WatchGap", target))),
        (
            "answers are cut, and TCP is of no use",
            |stage| stage.dns.behave(Manner::TruncatedWithoutTcp),
            Some(("WatchGap", target)),
        ),
        ("answers are cut, and whole over TCP", |stage| stage.dns.behave(Manner::Truncated), None),
        ("answers are late", |stage| stage.dns.behave(Manner::Late(Duration::from_millis(200))), None),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_pods_are_paused_voids_the_window_by_its_name_and_all_are_open() {
    let running = rows().into_iter().map(|row| -> Pin<Box<dyn Future<Output = ()>>> { Box::pin(play(row)) });
    join_all(running).await;
}

async fn play((what, happens, expected): Row) {
    let stage = Stage::start("4s").await;
    let said = stage.run(&ALONE, happens).await;
    let point = object(&said, if expected.is_some() { 1 } else { 0 });
    match expected {
        Some((name, subject)) => {
            let expected = (name.to_owned(), subject(&stage));
            assert!(violations(&point).contains(&expected), "{what}: {point:#}");
            assert_eq!((&point["verdict"], &point["still_period"]), (&"void".into(), &Value::Null), "{what}");
        }
        None => assert_eq!(point["verdict"], "good", "{what}: {point:#}"),
    }
    stage.all_paused_once_and_open();
    if what.contains("whole over TCP") {
        assert!(stage.dns.asked().iter().any(|asked| asked.over == Over::Tcp));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_comes_between_two_looks_is_found_when_the_pods_are_open_again() {
    // The next look would come a second later, when the window is over.
    let stage = Stage::start("300ms").await;
    let said = stage.run(&ALONE, |stage| stage.dns.add_srv(NAME, "new.ns", 60051)).await;
    let point = object(&said, 1);
    assert_eq!(violations(&point), [("PodAdded".to_owned(), "new.ns:60051".to_owned())], "{point:#}");
    stage.all_paused_once_and_open();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_is_looked_up_each_second_and_every_address_of_it() {
    let stage = Stage::start("4s").await;
    let point = object(&stage.run(&ALONE, |_| ()).await, 0);
    assert_eq!(violations(&point), []);
    let count = |kind: &str| stage.dns.asked().iter().filter(|asked| asked.kind == kind).count();
    // Once at the preflight, at least four times in four seconds, once afterwards.
    assert!(count("SRV") >= 6, "{:?}", stage.dns.asked());
    assert!(count("A") >= 2 * 6 && count("AAAA") >= 2 * 6, "{:?}", stage.dns.asked());
    stage.all_paused_once_and_open();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_name_are_paused_and_unpaused_by_the_other_verbs_too() {
    let stage = Stage::start("1s").await;
    let pause = stage.run(&["pause", "--for", "18s", "--output", "json"], |_| ()).await;
    assert_eq!(object(&pause, 0)["pods"].as_array().unwrap().len(), 3);
    assert!(stage.pods.iter().all(|pod| !pod.is_open()));
    let unpause = Stage::run(&stage, &["unpause", "--output", "json"], |_| ()).await;
    object(&unpause, 0);
    assert!(stage.pods.iter().all(|pod| pod.is_open()));
}
