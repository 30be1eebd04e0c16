//! Stillpoint makes restore points for ScalarDB and ScalarDL, proves each transactionally consistent, and keeps the proof.

pub mod point;
