//! The service's clock against ours.

use super::{Verdict, World, ensure, works};
use crate::{BackupProvider, Context};

/// Bounds are worth having only if they are narrower than the second that a single answer gives.
const WIDEST_NS: i64 = 1_000_000_000;
/// No service promises that its machines agree better than this, so no provider may claim it.
const NARROWEST_NS: i64 = 100_000_000;

/// The interval holds the true offset, is narrower than a second, and never narrower than 100 ms.
pub async fn the_clock_is_narrow_and_holds_the_truth(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    for round in ["first", "second"] {
        let measured = works("clock", provider.clock(&Context::default()).await)?;
        let truth = world.true_offset().await;
        let width = measured.hi_ns - measured.lo_ns;
        ensure!((NARROWEST_NS..=WIDEST_NS).contains(&width), "{round} measurement is {width} ns wide");
        ensure!(
            measured.lo_ns <= truth.lo_ns && truth.hi_ns <= measured.hi_ns,
            "{round} measurement {measured:?} does not hold {truth:?}"
        );
    }
    Ok(())
}
