//! The guard: a separate process that unpauses when the one that paused cannot.
//!
//! It is this same binary, re-executed in its own session before the first Pause and fed through a pipe. When the pipe
//! ends without the word that all is released, or at the hard deadline, it first makes sure that its parent can send
//! nothing more (SIGKILL, then the end of the pipe), then treats every pod as *maybe paused* and does not exit before all
//! are proven open. It needs neither catalog nor cloud nor configuration.
//!
//! In a container roles are reversed: its first process is the guard, and the command is its child ([`init`]).
//!
//! Limits: it dies with its machine, its container, or all of a container's processes; then whoever reads the open
//! window note next releases.

mod feed;
pub mod init;
mod link;
mod message;
mod process;
mod reporter;
mod signals;

pub use link::GuardLink;
pub use process::main;

/// The argument that makes this binary a guard. Not for people: a guard without a parent that feeds it exits at once.
pub const ARGUMENT: &str = "__guard";
