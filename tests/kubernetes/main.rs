//! Windows over pods of a real Kubernetes API server, played by sandbox servers on the pods' own addresses.
//!
//! One test, so that one cluster serves all: it runs itself again in a network namespace of its own, and each row there
//! has a namespace of its own in the cluster. `STILLPOINT_ROWS=text` runs only rows whose name has the text.

#![allow(clippy::unwrap_used, clippy::panic)] // test code, though not itself a test

#[path = "../support/mod.rs"]
mod support;

#[path = "../fault_matrix/rows.rs"]
mod rows;

mod addresses;
mod bed;
mod encrypted;
mod front;
mod good;
mod incluster;
mod leases;
mod play;
mod refusals;
mod restoring;
mod rivals;
mod scale;
mod vendor;
mod violations;

use bed::Bed;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn windows_over_pods_of_a_real_cluster() {
    if !bed::inside("windows_over_pods_of_a_real_cluster") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let bed = Arc::new(Bed::start().await);
        let mut all = good::rows(&bed);
        all.extend(violations::rows(&bed));
        all.extend(refusals::rows(&bed));
        all.extend(vendor::rows(&bed));
        all.extend(leases::rows(&bed));
        all.extend(incluster::rows(&bed));
        all.extend(addresses::rows(&bed));
        all.extend(encrypted::rows(&bed));
        all.extend(rivals::rows(&bed));
        all.extend(restoring::rows(&bed));
        all.extend(scale::rows(&bed));
        rows::run("kubernetes", all).await;
        rows::run("large", scale::large(&bed)).await;
    });
}

/// Waits for something that only a request can tell.
pub async fn waited<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
