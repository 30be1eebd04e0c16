//! Everything outside Stillpoint, in process: no cloud, no cluster, no Docker.
//!
//! - [`pods`]: Scalar Admin servers on loopback with the gates of the real ones, planted faults, and a log of the truth.
//! - [`dynamodb`]: DynamoDB with history-keeping point-in-time recovery, in process and over the wire.
//! - [`dns`]: a DNS server for SRV, A and AAAA records that come, go and fail on request.
//! - [`bank`]: a workload of ScalarDB transactions through the pods' gates, and its auditor.
//! - [`judge`]: says from those logs whether a restore time is good and whether a pod was left paused.
//! - [`Sandbox`]: all of it together, with a remote control.
//!
//! What is played and what is simplified is listed in the README.

pub mod bank;
pub mod clock;
mod control;
pub mod dns;
pub mod dynamodb;
pub mod judge;
pub mod pods;
mod sandbox;
#[cfg(test)]
mod sandbox_tests;

pub(crate) use sandbox::Inner;
pub use sandbox::{Sandbox, SandboxConfig, SandboxError};
