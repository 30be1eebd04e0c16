//! The gRPC client edge: one pod's Scalar Admin, its errors told apart by meaning.
//!
//! Invariants: only an OK answer to Pause counts as paused; nothing here retries, keeps state about gates, or knows
//! targets, windows, the catalog or the command line.

mod client;
mod connector;
mod endpoint;
mod error;
mod explain;
mod first_bytes;
mod probe;
#[cfg(test)]
pub(crate) mod test_pods;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

pub use client::{AdminClient, PauseResult, RefusedPause};
pub use endpoint::{AdminEndpoint, HostPort, TlsReference};
pub use error::{AdminError, AdminErrorKind};
