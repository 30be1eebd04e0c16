//! Which pods a window pauses, and whether all of them are ready for it. By address, one address is one pod; by Helm
//! release, the API server tells which pods there are, and what becomes of them; by SRV name, DNS does.
//!
//! Invariants: nothing here closes or opens a gate; every failure of a run is found and listed, not just the first.

mod failure;
mod kubernetes;
mod open_files;
mod preflight;
mod prepare;
mod resolve;
pub mod srv;
#[cfg(test)]
mod tests;
mod watch;

pub use failure::{Failure, Reason, summary};
pub use open_files::make_room;
pub use preflight::{Preflight, PreflightOptions, ReadyPod, preflight};
pub use prepare::{Prepared, prepare, resolve_settings};
pub use resolve::{AddressTarget, Pod, ResolveOptions, resolve, resolve_each};
pub use watch::{PodWatch, Settled, Watched, Watching};
