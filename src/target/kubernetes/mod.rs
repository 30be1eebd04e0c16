//! The pods of Helm releases: found by the charts' labels, proven settled, and watched while they are paused.
//!
//! `find`, `judge`, and the judging halves of `services` and `workloads` are pure; `api` makes the two calls that pods
//! are seen by.

mod api;
mod facts;
mod find;
mod judge;
mod look;
mod services;
mod watch;
mod workloads;

pub use look::{Care, look};
