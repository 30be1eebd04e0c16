//! `cargo xtask bench`: measures the release binary, as a child process, against pods and a DynamoDB of the sandbox in
//! this process. docs/benchmarks.md defines every number.

mod memory;
mod numbers;
mod program;
mod report;
mod round;
mod setup;
mod verify;
mod window;

use report::Report;
use std::{path::PathBuf, process::ExitCode};

/// Errors here are for the person who runs the benchmark; nobody tells them apart.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Outcome<()> {
    let own = std::env::current_exe()?;
    let binary = own.with_file_name("stillpoint");
    if !binary.is_file() {
        return Err(format!("{} is not there: run `cargo xtask bench`, which builds it", binary.display()).into());
    }
    let folder: PathBuf = own.parent().and_then(|profile| profile.parent()).unwrap_or(&own).join("bench");
    let mut report = Report::new();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let only_verify = words == ["verify"];
    let setups = if only_verify { Vec::new() } else { setup::all(words.into_iter())? };
    for setup in setups {
        eprintln!("{} pods, answers after {} ms ...", setup.pods, setup.answer_ms);
        report.setups.push(setup.measure(&binary).await?);
    }
    eprintln!("verify against its read rate ...");
    report.verify = Some(verify::measure(&binary).await?);
    print!("{}", report.text());
    println!("\nall numbers: {}", report.write(&folder)?.display());
    Ok(())
}
