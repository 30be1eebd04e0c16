//! Stillpoint makes restore points for ScalarDB and ScalarDL, proves each transactionally consistent, and keeps the proof.

pub mod admin;
pub mod catalog;
pub mod cli;
pub mod databases;
pub mod demo;
pub mod failure;
pub mod file_limit;
pub mod guard;
pub mod instant;
pub mod kubernetes;
pub mod note;
pub mod pausing;
pub mod point;
pub mod recovery;
pub mod restore_point;
pub mod settings;
pub mod target;
pub mod termination;
pub mod wall;
pub mod window;
pub mod workflow;
