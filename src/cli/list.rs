//! `list`: the restore points of the catalog.

use super::args::Context;
use super::failures::Failures;
use super::output::{Body, List, Report};
use crate::catalog::{self, Catalog, DamagedObject, Options};
use crate::failure::{Exit, Failure};
use crate::restore_point::preflight::catalog_failure;
use crate::settings::{Needs, Settings};

/// `list`
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Lists what is readable; a damaged object is told, and the rest listed.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let Args {} = args;
    let (settings, warnings) = context.settings(Needs::NOTHING, |_| {})?;
    let catalog = open(&settings).await?;
    let (loaded, damaged) = catalog::list(&catalog).await.map_err(|error| catalog_failure(&error))?;
    let failure = |d: &DamagedObject| Failure::new(Exit::Refused, "catalog_damaged", d.told(), d.hint.clone());
    let failures: Vec<Failure> = damaged.iter().map(failure).collect();
    let points = loaded.into_iter().map(|l| l.point).collect();
    Ok(Report { body: Body::List(List { points, warnings, ..List::default() }), failures: failures.into() })
}

/// Opens the settings' catalog for reading.
pub(super) async fn open(settings: &Settings) -> Result<Catalog, Failures> {
    let opened = Catalog::open(settings.catalog_url.as_str(), Options::default()).await;
    opened.map_err(|error| catalog_failure(&error).into())
}
