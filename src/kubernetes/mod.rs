//! Speaking to Kubernetes: which cluster, as whom, and its errors by meaning.

mod client;
pub mod events;
mod failure;
mod identity;
mod lease;
mod rights;
pub mod rivals;
pub mod srv_names;

pub use client::{Cluster, Clusters};
pub use failure::refusal;
pub use identity::PodIdentity;
pub use lease::{HeldLeases, Place as LeasePlace, Reference as LeaseReference, give_back, held_by, places};
pub use rights::{Lacking, RIGHTS, Right, lacking};
