//! What the suite asks of the service behind a provider.

use crate::{ClockInterval, UnixNanos};
use std::time::Duration;

/// The service behind a provider, as something that can be changed. Calls take effect before they return.
#[async_trait::async_trait]
pub trait World: Send + Sync {
    /// The service's clock now, in Unix nanoseconds.
    async fn now(&self) -> UnixNanos;

    /// Lets at least `by` pass on the service's clock.
    async fn pass(&self, by: Duration);

    /// How long after a moment the service can restore to it.
    fn lag(&self) -> Duration;

    /// The true offset of the service's clock (as [`ClockInterval`] counts it), on every machine that answers.
    async fn true_offset(&self) -> ClockInterval;

    /// Turns PITR off.
    async fn pitr_off(&self, set: &str);

    /// Turns PITR on; restorable from now.
    async fn pitr_on(&self, set: &str);

    /// Deletes the set, until nothing of it is left.
    async fn delete(&self, set: &str);

    /// Deletes the set and creates another of the same name and shape, with PITR on.
    async fn re_create(&self, set: &str);

    /// From now on one setting of this set may not be read. Answers the setting's name as the provider says it.
    async fn deny_a_setting(&self, set: &str) -> String;

    /// From now on every call is refused for lack of permission.
    async fn deny_everything(&self);

    /// From now on no call is ever answered.
    async fn stall(&self);

    /// Everything at the service that a call could have changed, in any stable form.
    async fn fingerprint(&self) -> String;
}
