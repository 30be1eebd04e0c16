//! Rows: each a story of its own with its own sandbox, a few at a time, for they mostly wait.

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use std::io::Write;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// No row takes longer.
const LONGEST: Duration = Duration::from_secs(240);

/// One row.
pub struct Row {
    name: String,
    act: Box<dyn FnOnce(u64) -> BoxFuture<'static, ()> + Send>,
}

/// A row of this name; `act` gets the seed.
pub fn row<F: Future<Output = ()> + Send + 'static>(
    name: impl Into<String>,
    act: impl FnOnce(u64) -> F + Send + 'static,
) -> Row {
    Row { name: name.into(), act: Box::new(move |seed| act(seed).boxed()) }
}

static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(number("STILLPOINT_ROWS_AT_ONCE", 12)));

fn number<T: std::str::FromStr>(variable: &str, default: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs all rows and fails with the names and seeds of those that failed.
pub async fn run(family: &str, rows: Vec<Row>) {
    assert!(!rows.is_empty());
    let wanted = std::env::var("STILLPOINT_ROWS").unwrap_or_default();
    let base: u64 = number("STILLPOINT_MATRIX_SEED", 20_261_123);
    let full = |row: &Row| format!("{family}: {}", row.name);
    let chosen = rows.into_iter().filter(|row| full(row).contains(&wanted));
    let outcomes = join_all(chosen.map(|row| {
        let name = full(&row);
        let seed = seed_of(base, &name);
        tokio::spawn(async move {
            let _place = PLACES.acquire().await.unwrap();
            let started = Instant::now();
            let act = tokio::spawn(tokio::time::timeout(LONGEST, (row.act)(seed)));
            let outcome = match act.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err("it does not end".to_owned()),
                Err(panic) => Err(said(panic)),
            };
            let word = if outcome.is_ok() { "ok" } else { "FAILED" };
            // Past libtest's capture: a long run shows how far it is.
            let _ =
                writeln!(std::io::stderr(), "{word:6} {:5.1}s seed {seed:<10} {name}", started.elapsed().as_secs_f64());
            outcome.map_err(|why| format!("{name} (seed {seed}): {why}"))
        })
    }))
    .await;
    let failed: Vec<String> = outcomes.into_iter().filter_map(|outcome| outcome.unwrap().err()).collect();
    assert!(failed.is_empty(), "{} row(s) failed:\n{}", failed.len(), failed.join("\n"));
}

/// Names make seeds, so that a row keeps its own when others come or go.
fn seed_of(base: u64, name: &str) -> u64 {
    u64::from(crc32fast::hash(format!("{base} {name}").as_bytes()))
}

fn said(panic: tokio::task::JoinError) -> String {
    let payload = panic.into_panic();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}
