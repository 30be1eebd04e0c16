//! Making a restore point: preflight, windows, what is compared afterwards, the verdict, the record,
//! the seal; and its backups.

pub mod after;
pub mod attempt;
pub mod capture;
pub mod create;
pub mod preflight;
pub mod prepare;
pub mod record;
pub mod report;
pub mod seal;
