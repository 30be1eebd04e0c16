//! What a cloud must be able to do for Stillpoint: the [`BackupProvider`] trait, its types, durable work in steps, the rate
//! limiter that every call goes through, and the conformance suite that every provider runs.
//!
//! Invariant: nothing here knows a cloud, the catalog, Kubernetes or the command line.

pub mod conformance;
pub mod error;
pub mod limiter;
pub mod provider;
pub mod time;
pub mod types;
pub mod verify;
pub mod work;

pub use error::{ErrorKind, ProviderError};
pub use limiter::{Limiter, Rate};
pub use provider::{BackupProvider, Context};
pub use time::{ClockInterval, Mono};
pub use types::*;
pub use verify::{
    Breach, Limits, PointSet, ReadBudget, Rule, TableCounts, TableKind, Verification, Verifier, Verify, VerifyProgress,
    VerifyRequest,
};
pub use work::*;
