//! One size of installation: so many pods, answering so fast.

use crate::{
    Outcome,
    numbers::{median, ms},
    program::{Program, Ran},
    round::{self, Yardstick},
    window::{Moments, Window, is_pause},
};
use serde::Serialize;
use std::{path::Path, time::Duration};
use stillpoint_sandbox::{Sandbox, SandboxConfig, bank::BankConfig, pods::PodConfig};

const SIZES: [usize; 3] = [3, 100, 1_000];
const ANSWERS_MS: [u64; 2] = [1, 20];
/// Windows per setup.
const WINDOWS: usize = 3;
/// `pause` commands per setup.
const PAUSES: usize = 5;
/// Always contains a safe second: twice the margin, up to two seconds to hold a whole one, and the clock's uncertainty.
/// A shorter one is sometimes void and tried again, and two windows cannot be measured as one.
const HOLD: &str = "7s";

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many pods.
    pub pods: usize,
    /// How long each pod waits before it answers.
    pub answer_ms: u64,
}

/// What was measured. Times are milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// How many pods.
    pub pods: usize,
    /// How long each pod waited before it answered.
    pub answer_ms: u64,
    /// A call to one pod, as a plain client sees it.
    pub round_trip_ms: f64,
    /// Calls to all pods at once, as plain clients see them: first sent to last answered.
    pub round_ms: f64,
    /// Each `create`.
    pub windows: Vec<Window>,
    /// Each `pause`: process made to first Pause received.
    pub pause_start_ms: Vec<f64>,
    /// Each start of the program that does nothing, for comparison: process made to exit.
    pub bare_start_ms: Vec<f64>,
}

/// Every combination, of the sizes asked for by number or of all.
pub fn all(arguments: impl Iterator<Item = String>) -> Outcome<Vec<Setup>> {
    let asked = arguments.map(|argument| match argument.parse() {
        Ok(pods) if pods > 0 => Ok(pods),
        _ => Err(format!("`{argument}` is no number of pods")),
    });
    let asked: Vec<usize> = asked.collect::<Result<_, _>>()?;
    let sizes = if asked.is_empty() { SIZES.to_vec() } else { asked };
    Ok(sizes.into_iter().flat_map(|pods| ANSWERS_MS.map(|answer_ms| Setup { pods, answer_ms })).collect())
}

impl Setup {
    /// Starts a sandbox of this size and measures the program against it.
    pub async fn measure(self, binary: &Path) -> Outcome<Measured> {
        let folder = tempfile::tempdir()?;
        let sandbox = Sandbox::start(self.sandbox()).await?;
        let config = folder.path().join("stillpoint.toml");
        std::fs::write(&config, sandbox.ready_config(folder.path()))?;
        let program = Program { binary: binary.to_owned(), config };
        let yardstick = round::measure(&sandbox.addresses()).await?;
        eprintln!("  a call {:.2} ms, to all pods {:.2} ms", yardstick.round_trip_ms, yardstick.round_ms);
        let mut measured = Measured {
            pods: self.pods,
            answer_ms: self.answer_ms,
            round_trip_ms: yardstick.round_trip_ms,
            round_ms: yardstick.round_ms,
            windows: Vec::new(),
            pause_start_ms: Vec::new(),
            bare_start_ms: Vec::new(),
        };
        for _ in 0..PAUSES {
            measured.bare_start_ms.push(ms(program.bare_start_ns()?));
            let start_ms = pause(&program, &sandbox).await?;
            eprintln!("  pause: first Pause after {start_ms:.1} ms");
            measured.pause_start_ms.push(start_ms);
        }
        for _ in 0..WINDOWS {
            let window = window(&program, &sandbox, &yardstick).await?;
            eprintln!("  create: {:.1} ms beyond the hold", window.extra_ms);
            measured.windows.push(window);
        }
        sandbox.stop().await;
        Ok(measured)
    }

    fn sandbox(self) -> SandboxConfig {
        let latency = Duration::from_millis(self.answer_ms);
        SandboxConfig {
            pods: self.pods,
            pod: PodConfig { answer_latency: latency, ..PodConfig::default() },
            bank: BankConfig { tables: 2, accounts_per_table: 2, ..BankConfig::default() },
            traffic: false,
            ..SandboxConfig::default()
        }
    }
}

/// The program blocks the thread that waits for it; the pods go on on the others.
async fn ran(program: &Program, arguments: &'static [&'static str]) -> Outcome<Ran> {
    let program = program.clone();
    tokio::task::spawn_blocking(move || program.run(arguments)).await?
}

async fn window(program: &Program, sandbox: &Sandbox, yardstick: &Yardstick) -> Outcome<Window> {
    let ran = ran(program, &["create", "--hold", HOLD]).await?;
    Window::of(&ran, &sandbox.logs(), yardstick)
}

/// Pauses, notes when the first Pause arrived, and unpauses again.
async fn pause(program: &Program, sandbox: &Sandbox) -> Outcome<f64> {
    let paused = ran(program, &["pause", "--for", "45s"]).await?;
    let arrived = Moments::of(&sandbox.logs(), paused.spawned_ns, is_pause)?;
    ran(program, &["unpause"]).await?;
    if !sandbox.pods().iter().all(|pod| pod.is_open()) {
        return Err("a pod is still paused after `unpause`".into());
    }
    Ok(ms(arrived.first.saturating_sub(paused.spawned_ns)))
}

impl Measured {
    /// The median of one number over the windows.
    pub fn typical(&self, number: impl Fn(&Window) -> f64) -> f64 {
        median(self.windows.iter().map(number)).unwrap_or(f64::NAN)
    }
}
