//! Making a restore point: preflight, windows, what is compared afterwards, the verdict, the record,
//! the seal; its backups; bringing it back; and whether its tables are sound.

pub mod after;
pub mod attempt;
pub mod capture;
pub mod create;
pub mod drill;
pub mod preflight;
pub mod prepare;
pub mod prune;
pub mod record;
pub mod report;
pub mod restore;
pub mod runbook;
pub mod seal;
pub mod stopped;
pub mod turn;
pub mod verify;
