//! Everything that can be wrong with what the program is given: each is told with the right exit code, by one clear
//! message with a hint, as text and as one JSON object; nothing is paused, and nothing is lost. Pods and database are
//! the sandbox's, and its logs are the judge of what was done to them.

#![allow(clippy::unwrap_used, clippy::type_complexity)] // test code, though not all of it is in test functions

#[path = "../cli_support/mod.rs"]
mod cli_support;

mod backups;
#[allow(dead_code)] // the catalog's own tests use all of it
#[path = "../../src/catalog/tests/bucket.rs"]
mod bucket;
mod catalog;
mod contention;
mod credentials;
mod database;
mod good;
mod pods;
mod seal;
mod settings;
mod srv;
mod together;
mod world;
