//! How much of the read rate that it is given `verify` uses.

use crate::{Outcome, program::Program};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use stillpoint_sandbox::{Sandbox, SandboxConfig, bank::BankConfig};

/// Read units a second that `verify` is given.
const BUDGET: f64 = 300.0;
/// Records of about a kilobyte: some 5,000 read units, so a quarter of a minute.
const RECORDS: usize = 40_000;
/// BatchWriteItem takes so many.
const BATCH: usize = 25;

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Read units a second that were allowed.
    pub budget: f64,
    /// Read units that were used.
    pub read_units: f64,
    /// From the first look at a table to the verdict, milliseconds.
    pub elapsed_ms: f64,
    /// Units a second that were used, of those allowed: a ratio within one run.
    pub used: f64,
    /// Greatest resident memory, MB.
    pub peak_mb: f64,
}

/// Fills a table, makes a restore point of it and verifies the tables as they are.
pub async fn measure(binary: &Path) -> Outcome<Verified> {
    let folder = tempfile::tempdir()?;
    let mut config = SandboxConfig { pods: 1, traffic: false, ..SandboxConfig::default() }.with_time_scale(60.0);
    config.bank = BankConfig { tables: 2, accounts_per_table: 2, ..BankConfig::default() };
    let sandbox = Sandbox::start(config).await?;
    let path = folder.path().join("stillpoint.toml");
    std::fs::write(&path, sandbox.ready_config(folder.path()))?;
    for batch in 0..RECORDS / BATCH {
        let puts: Vec<Value> =
            (0..BATCH).map(|n| json!({ "PutRequest": { "Item": record(batch * BATCH + n) } })).collect();
        let body = json!({ "RequestItems": { "bank.accounts_0": puts } });
        sandbox.dynamodb().call("DynamoDB_20120810.BatchWriteItem", body)?;
    }
    let program = Program { binary: binary.to_owned(), config: path };
    let verified = tokio::task::spawn_blocking(move || {
        let made = program.run(&["create", "--hold", "7s", "--wait", "sealed"])?;
        let id = made.printed["id"].as_str().unwrap_or_default().to_owned();
        program.run(&["verify", &id, "--read-units", &BUDGET.to_string()])
    });
    let ran = verified.await??;
    sandbox.stop().await;
    let found = &ran.printed["verify"];
    let (elapsed, units) = (found["elapsed_ms"].as_f64(), found["databases"][0]["read_units"].as_f64());
    let (Some(elapsed_ms), Some(read_units)) = (elapsed, units) else {
        return Err(format!("`verify` printed no figures: {}", ran.printed).into());
    };
    let used = read_units / (elapsed_ms / 1e3) / BUDGET;
    Ok(Verified { budget: BUDGET, read_units, elapsed_ms, used, peak_mb: crate::memory::mb(ran.own.peak_kib) })
}

/// A committed record of about a kilobyte.
fn record(number: usize) -> Value {
    let text = |text: String| json!({ "S": text });
    let key = format!("{number:08}AA==");
    json!({
        "concatenatedPartitionKey": { "B": key },
        "account_id": { "N": number.to_string() },
        "tx_id": text(format!("tx-{number}")),
        "tx_state": { "N": "3" },
        "tx_version": { "N": "1" },
        "tx_prepared_at": { "N": "1700000000000" },
        "pad": text("x".repeat(850)),
    })
}
