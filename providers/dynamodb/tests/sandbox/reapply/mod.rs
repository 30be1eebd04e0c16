//! Putting settings back: one contract per setting, each with a decoy beside it that must not change; and every trouble.

mod attached;
mod bench;
mod scaling;
mod table;
mod troubles;
