//! The fault matrix: the real program, real pods on loopback, a database over the wire, and every fault at every step.
//!
//! Two sentences are shown, and only the sandbox's own logs are asked:
//! - never left paused: whatever dies or hangs, every living pod is open again in time;
//! - never a false good: every point that says `recorded` or `sealed` names a second in which nothing happened.
//!
//! Rows are made from the protocol's commands and events and from the sandbox's faults ([`steps`], [`strikes`]), so that a
//! new one without rows does not compile. Each row prints its seed. `STILLPOINT_ROWS=text` runs only rows whose name has
//! the text, `STILLPOINT_ROWS_AT_ONCE` sets how many run side by side, `STILLPOINT_MATRIX_SEED` the seed of all.

#![allow(clippy::unwrap_used, clippy::panic)] // test code, though not itself a test

#[path = "../support/mod.rs"]
mod support;

mod both_killed;
mod clocks;
mod controls;
mod guard_killed;
mod interrupted;
mod killed;
mod rows;
mod servers;
mod steps;
mod stopped;
mod strikes;
mod struck;
mod unreachable;
mod verbs;
mod verdict;
mod violations;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_is_killed_at_each_step() {
    rows::run("killed", killed::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guard_is_killed_at_each_step() {
    rows::run("guard killed", guard_killed::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_and_guard_are_killed_at_once() {
    rows::run("both killed", both_killed::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_is_stopped_past_its_deadline_at_each_step() {
    rows::run("stopped", stopped::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_is_interrupted_at_each_step() {
    rows::run("interrupted", interrupted::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_fails_at_each_call() {
    rows::run("struck", struck::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_other_kinds() {
    rows::run("servers", servers::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catalog_and_cloud_are_out_of_reach() {
    rows::run("unreachable", unreachable::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_are_wrong() {
    rows::run("clocks", clocks::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_judge_catches_what_is_broken_on_purpose() {
    rows::run("controls", controls::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_violation_is_provoked() {
    rows::run("violations", violations::rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verbs_around_a_window() {
    rows::run("verbs", verbs::rows()).await;
}
