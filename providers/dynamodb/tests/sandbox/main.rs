//! The provider against the sandbox's DynamoDB: below the SDK on paused time, and over the wire in real time.

// All of this is test code; the lints know only functions marked as tests.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod behaviour;
mod calls;
mod capsule;
mod discovery;
mod drill;
mod faults;
mod iam;
mod pace;
mod prepare;
mod prune;
mod reapply;
mod restore;
mod runbook;
mod support;
mod verify;
mod wire;
