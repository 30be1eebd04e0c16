//! `sandbox`: pods, traffic and a DynamoDB on this machine, to play against.

use super::args::{Context, Output};
use super::failures::Failures;
use super::output::{Body, Report};
use super::signals;
use crate::demo::CREDENTIALS;
use crate::failure::{Exit, Failure};
use crate::restore_point::report::chain;
use std::io::Write;
use std::path::Path;
use stillpoint_sandbox::{Sandbox, SandboxConfig};

/// `sandbox`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How many pods
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub pods: u16,
    /// Seed of everything random
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Divides DynamoDB's lags: at 60, what takes five minutes takes five seconds; 1 is honest time
    #[arg(long, value_name = "NUMBER", default_value_t = 60.0, value_parser = time_scale)]
    pub time_scale: f64,
    /// No bank traffic
    #[arg(long)]
    pub no_traffic: bool,
}

/// Beyond 200 the lag of point-in-time recovery comes near the skew of the tables' clocks.
fn time_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (1.0..=200.0).contains(&scale) => Ok(scale),
        _ => Err("a number from 1 to 200".to_owned()),
    }
}

/// Prints a ready configuration and runs until interrupted.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let cancel = signals::cancellation();
    let folder = tempfile::tempdir().map_err(|error| trouble("cannot make a folder for it", &error))?;
    let mut config =
        SandboxConfig { pods: usize::from(args.pods), traffic: !args.no_traffic, ..SandboxConfig::default() };
    config = config.with_seed(args.seed.unwrap_or_else(rand::random)).with_time_scale(args.time_scale);
    let seed = config.seed;
    let sandbox = Sandbox::start(config).await.map_err(|error| trouble("it does not start", &error))?;
    let file = folder.path().join("stillpoint.toml");
    let toml = sandbox.ready_config(folder.path());
    std::fs::write(&file, &toml).map_err(|error| trouble("cannot write its configuration", &error))?;
    announce(context, &file, &toml, &sandbox.control(), seed);
    cancel.cancelled().await;
    sandbox.stop().await;
    Ok(Report::of(Body::Nothing))
}

/// Says how to use it, at once: the command goes on until it is interrupted. This is the one object on stdout.
fn announce(context: &Context, file: &Path, toml: &str, control: &str, seed: u64) {
    let file = file.display();
    let exports: Vec<String> = CREDENTIALS.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text = match context.global.output {
        Output::Json => {
            let credentials: serde_json::Map<_, _> =
                CREDENTIALS.iter().map(|(n, v)| ((*n).to_owned(), (*v).into())).collect();
            let object = serde_json::json!({
                "config": toml, "config_file": file.to_string(), "control": control, "seed": seed,
                "environment": credentials, "exit_code": 0, "warnings": [], "error": null,
            });
            format!("{object}\n")
        }
        Output::Table | Output::Sak => format!(
            "{toml}\n# The lines above are in {file}. In another terminal:\n#   export {}\n\
             #   stillpoint create --wait sealed --config {file}\n\
             # Faults and logs of the pods: {control} (GET /log, GET /pods, POST /pods/0/fault). Seed {seed}.\n\
             # Ctrl-C ends the sandbox.\n",
            exports.join(" ")
        ),
    };
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn trouble(what: &str, cause: &dyn std::error::Error) -> Failures {
    let hint = "The sandbox needs loopback ports and a temporary folder; nothing outside this machine.";
    let message = format!("the sandbox cannot run: {what}: {}", chain(cause));
    Failure::new(Exit::Void, "sandbox_failed", message, hint).into()
}
