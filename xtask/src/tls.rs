//! One TLS stack: rustls on aws-lc-rs. A second one comes in by a feature of some dependency, unseen.

use crate::{cargo, run::Outcome};

/// No crate of the tree may be one of these.
const UNWANTED: &[&str] = &["ring", "openssl-sys", "openssl", "native-tls"];

/// Asks cargo who depends on an unwanted crate, on any platform.
pub fn check() -> Outcome {
    let found: Vec<String> =
        UNWANTED.iter().filter_map(|name| dependants(name).transpose()).collect::<Result<_, _>>()?;
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

fn dependants(name: &str) -> Result<Option<String>, String> {
    let arguments =
        ["tree", "--locked", "--workspace", "--target", "all", "--edges", "normal,build,dev", "--invert", name];
    let output = cargo::command(&arguments).output().map_err(|error| format!("cargo cannot be started: {error}"))?;
    let (tree, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !tree.trim().is_empty() {
        return Ok(Some(format!("`{name}` is in the tree:\n{tree}")));
    }
    // Unknown to the lock file is the best answer there is; any other error is none.
    if output.status.success() || errors.contains("did not match any packages") {
        return Ok(None);
    }
    Err(format!("`cargo {}` failed:\n{errors}", arguments.join(" ")))
}
