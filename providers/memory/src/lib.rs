//! A provider without a cloud: data sets, PITR and a clock in memory, all of it settable.
//!
//! It is the default in tests and examples of code that works with any [`provider_api::BackupProvider`], and the
//! first to run the conformance suite. Unlike a cloud it answers at once and is never throttled.

mod provider;
mod state;
mod world;

pub use provider::MemoryProvider;
pub use world::MemoryWorld;
