//! `verify`: proves by ScalarDB's own rules that the tables of a point, as they stand, are a sound set.

use super::args::{Context, ViewFlags, known_id, point_id};
use super::failures::Failures;
use super::output::{Body, Report};
use super::signals;
use crate::catalog;
use crate::databases;
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::verify::{self, Verifying};
use crate::settings::Needs;
use provider_api::{ReadBudget, VerifyProgress};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// `verify`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The point's id, as `list` prints it
    #[arg(value_name = "ID", value_parser = point_id)]
    pub id: String,
    /// Verify a copy whose tables have this in front of their names, instead of the tables themselves
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// How fast to read.
    #[command(flatten)]
    pub read: ReadFlags,
    /// How the point is shown.
    #[command(flatten)]
    pub view: ViewFlags,
}

/// How fast tables are read.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct ReadFlags {
    /// Read at this percentage of each table's own read capacity [default: 50]
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with = "read_units")]
    pub read_percent: Option<f64>,
    /// Read at most so many read units a second, all tables of a database together
    #[arg(long, value_name = "UNITS", value_parser = units)]
    pub read_units: Option<f64>,
    /// Read each table in so many parts side by side [default: as many as the rate needs]
    #[arg(long, value_name = "PARTS", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub segments: Option<u32>,
}

impl ReadFlags {
    /// The budget they ask for.
    pub fn budget(&self) -> ReadBudget {
        match (self.read_units, self.read_percent) {
            (Some(units), _) => ReadBudget::Units(units),
            (None, Some(percent)) => ReadBudget::Percent(percent),
            (None, None) => ReadBudget::default(),
        }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    number(text, 100.0).ok_or_else(|| "give a percentage above 0, at most 100".to_owned())
}

fn units(text: &str) -> Result<f64, String> {
    number(text, 10_000_000.0).ok_or_else(|| "give read units a second, above 0".to_owned())
}

fn number(text: &str, most: f64) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| *number > 0.0 && *number <= most)
}

/// Verifies it. Changes nothing.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let (settings, warnings) = context.settings(Needs::DATABASES, |_| {})?;
    let id = &known_id(&args.id)?;
    let catalog = super::list::open(&settings).await?;
    let databases = databases::build(&settings.databases, settings.time_scale).await?;
    let loaded = catalog::load(&catalog, id).await.map_err(|error| catalog_failure(&error))?;
    let provider = provider_api::Context::new(signals::cancellation());
    let verifying = Verifying {
        loaded: &loaded,
        databases: &databases,
        prefix: &args.prefix,
        budget: args.read.budget(),
        segments: args.read.segments,
    };
    let watch = watching(context);
    let found = verify::verify(&verifying, &provider, &|database, progress| watch(database, progress)).await;
    let mut point = loaded.point.clone();
    point.error = None;
    point.warnings.splice(0..0, warnings);
    let (report, failures) = match found {
        Ok(report) => {
            let failures: Vec<_> = verify::not_sound(id.as_str(), &report).into_iter().collect();
            (Some(report), failures)
        }
        Err(failures) => (None, failures),
    };
    let body = Body::Verified(Box::new(point), report.map(Box::new), args.view.into());
    Ok(Report { body, failures: Failures::from(failures) })
}

/// Shows that tables are read.
pub(super) fn watching(context: &Context) -> impl Fn(&str, VerifyProgress) + Send + Sync + use<> {
    let progress = Mutex::new((context.progress(), Instant::now(), Duration::ZERO));
    move |_database, now| {
        let Ok(mut shown) = progress.lock() else { return };
        let (progress, begun, told) = &mut *shown;
        let elapsed = begun.elapsed();
        // Pages come by the hundred; people read a line or two a second.
        if elapsed.saturating_sub(*told) >= Duration::from_millis(500) {
            *told = elapsed;
            progress.phase(if now.pass > 1 { "matching suspects" } else { "verifying" });
            progress.tick(elapsed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_that_can_be_meant() {
        assert_eq!((percent("12.5"), units("3000")), (Ok(12.5), Ok(3000.0)));
        for wrong in ["0", "-1", "101", "NaN", "fast"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
        assert!(units("inf").is_err());
    }
}
