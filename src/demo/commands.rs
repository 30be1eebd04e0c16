//! This program's own commands, as a user would run them.

use super::{CREDENTIALS, trouble};
use crate::failure::{Exit, Failure};
use crate::point::Point;
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncReadExt;

/// Runs `stillpoint WORDS` on the demo's settings and reads the point from its JSON. Its progress goes to our stderr.
pub async fn run(config: &Path, words: &[&str]) -> Result<Point, Failure> {
    let name = format!("stillpoint {}", words.join(" "));
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command.args(words).args(["--output", "json", "--config"]).arg(config);
    command.env_remove("STILLPOINT_CONFIG").env_remove("STILLPOINT_STATE_DIR");
    command.envs(CREDENTIALS).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| trouble(&format!("`{name}` did not start"), &e))?;
    let mut json = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut json).await.map_err(|e| trouble(&format!("cannot read from `{name}`"), &e))?;
    }
    let status = child.wait().await.map_err(|e| trouble(&format!("`{name}` cannot be waited for"), &e))?;
    let point: Point =
        serde_json::from_slice(&json).map_err(|e| trouble(&format!("`{name}` ended with {status} and no JSON"), &e))?;
    match &point.error {
        None if status.success() => Ok(point),
        None => Err(Failure::new(Exit::Void, "demo_failed", format!("`{name}` ended with {status}"), "Run it again.")),
        Some(error) => {
            let message = format!("`{name}` failed: {}", error.message);
            Err(Failure::new(Exit::Void, &error.name, message, error.hint.clone()))
        }
    }
}
