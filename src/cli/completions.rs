//! `completions`: a script that completes this command line in a shell.

use super::Cli;
use super::output::{Body, Report, Text};
use clap::CommandFactory;
use clap_complete::Shell;

/// `completions`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell, e.g. `stillpoint completions bash > /etc/bash_completion.d/stillpoint`
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Writes the script to stdout.
pub fn run(args: &Args) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "stillpoint", &mut script);
    let text = Some(String::from_utf8_lossy(&script).into_owned());
    Report::of(Body::Text(Text { key: "script", text, warnings: Vec::new() }))
}
