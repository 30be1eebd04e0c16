//! What every provider must do, as code: one public async function per behaviour, over `&dyn BackupProvider` and a
//! [`World`] that changes the service behind it. Each provider runs all of them through [`crate::conformance_suite`].
//!
//! A function answers with a [`Broken`] promise instead of panicking, so that the suite is ordinary code.
//! Every function wants a fresh provider and a fresh world: at least three data sets besides the metadata and the
//! coordinator tables, PITR on everywhere for longer than its lag, everything readable.

mod clock;
mod reads;
mod restorability;
mod work;
mod world;

pub use clock::*;
pub use reads::*;
pub use restorability::*;
pub use work::*;
pub use world::World;

use crate::{BackupProvider, Context, DataSet, ProviderError, RecordedSet, Role};

/// A promise that the provider did not keep: which, and what it did instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

/// The outcome of one behaviour.
pub type Verdict = Result<(), Broken>;

/// Generates one `#[tokio::test]` per behaviour. `$world` is an async function (or closure) without arguments that
/// makes a fresh pair: something that derefs to the provider, and something that derefs to the world.
#[macro_export]
macro_rules! conformance_suite {
    ($world:path $(, $attribute:meta)*) => {
        $crate::conformance_suite!(@each $world, [$($attribute),*],
            discovery_is_sorted_and_repeatable,
            discovery_holds_metadata_and_coordinator,
            the_provider_names_itself,
            confirm_answers_in_the_order_given,
            confirm_names_every_set_with_pitr_off,
            confirm_names_a_missing_set,
            a_re_created_set_has_another_id,
            capture_is_complete_where_all_may_be_read,
            capture_says_what_it_could_not_read,
            errors_carry_a_hint_and_a_meaning,
            cancellation_ends_every_call_early,
            no_read_changes_anything,
            a_time_in_range_is_restorable,
            a_time_too_new_is_not_yet_restorable_and_then_is,
            a_set_whose_pitr_is_off_is_lost,
            a_set_whose_pitr_was_toggled_is_lost,
            a_set_with_another_identity_is_lost,
            a_deleted_set_is_lost,
            a_time_before_the_earliest_is_lost,
            the_clock_is_narrow_and_holds_the_truth,
        );
    };
    (@each $world:path, $attributes:tt, $($behaviour:ident),* $(,)?) => {
        $( $crate::conformance_suite!(@one $world, $attributes, $behaviour); )*
    };
    (@one $world:path, [$($attribute:meta),*], $behaviour:ident) => {
        #[tokio::test]
        $(#[$attribute])*
        async fn $behaviour() {
            let (provider, world) = $world().await;
            if let Err(broken) = $crate::conformance::$behaviour(&*provider, &*world).await {
                panic!("{broken}");
            }
        }
    };
}

/// Generates one `#[tokio::test]` per behaviour of the power to prepare. `$world` is an async function without arguments
/// that makes a fresh pair: an `Arc` of the provider, and the world behind it.
#[macro_export]
macro_rules! prepare_conformance_suite {
    ($world:path) => {
        $crate::prepare_conformance_suite!(
            @each $world,
            prepare_leaves_one_backup_each_and_nothing_else,
            prepare_goes_on_after_a_kill_at_every_call,
            prepare_is_undone_from_every_call,
            prepare_survives_every_disturbance,
        );
    };
    (@each $world:path, $($behaviour:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $behaviour() {
                if let Err(broken) = $crate::conformance::$behaviour($world).await {
                    panic!("{broken}");
                }
            }
        )*
    };
}

/// The same of the power to drill.
#[macro_export]
macro_rules! drill_conformance_suite {
    ($world:path) => {
        $crate::prepare_conformance_suite!(
            @each $world,
            drill_leaves_nothing_behind,
            drill_goes_on_after_a_kill_at_every_call,
            drill_is_undone_from_every_call,
            drill_survives_every_disturbance,
        );
    };
}

/// Answers with [`Broken`] unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Broken(format!($($what)+)));
        }
    };
}
use ensure;

fn works<T>(what: &str, result: Result<T, ProviderError>) -> Result<T, Broken> {
    result.map_err(|error| Broken(format!("{what} should have worked: {error:?}")))
}

fn fails<T: std::fmt::Debug>(what: &str, result: Result<T, ProviderError>) -> Result<ProviderError, Broken> {
    match result {
        Ok(answer) => Err(Broken(format!("{what} should have failed, but answered {answer:?}"))),
        Err(error) => Ok(error),
    }
}

/// All data sets, the users' first ones apart.
async fn discovered(provider: &dyn BackupProvider) -> Result<(Vec<DataSet>, Vec<String>), Broken> {
    let sets = works("discover", provider.discover(&Context::default()).await)?.data_sets;
    let users: Vec<_> = sets.iter().filter(|set| set.role == Role::User).map(|set| set.name.clone()).collect();
    ensure!(users.len() >= 3, "the suite needs three user sets, the world has {users:?}");
    Ok((sets, users))
}

/// The data sets as a point would record them now.
async fn recorded(provider: &dyn BackupProvider, sets: &[DataSet]) -> Result<Vec<RecordedSet>, Broken> {
    let confirmed = works("confirm", provider.confirm(&Context::default(), sets).await)?;
    Ok(confirmed.into_iter().map(|set| RecordedSet { name: set.name, id: set.id }).collect())
}
