//! The pause window: from the first Pause until every pod is confirmed unpaused.
//!
//! [`protocol`] and [`release`] decide; they do no I/O, hold no clock and know no async, so a machine can explore them.
//! [`driver`] carries out their commands over the network. The guard shares [`release`] and nothing else.

pub mod calls;
pub mod driver;
pub mod existence;
pub mod fault;
pub mod plan;
pub mod protocol;
pub mod release;
pub mod releasing;

pub mod violation;
