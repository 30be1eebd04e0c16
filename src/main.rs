//! stillpoint
fn main() {}
