//! The table for people and the JSON for machines.

use crate::{
    Outcome,
    numbers::{greatest, median, rounded},
    setup::Measured,
    verify::Verified,
    window::Window,
};
use chrono::Utc;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// Rounds of calls that a window cannot do without: Pause, the first and the last look, Unpause, the look that proves
/// the gate open. "A few round trips" is taken to be at most twice that.
const FEW_ROUNDS: f64 = 10.0;
/// Process start to first Pause, milliseconds.
const START_MS: f64 = 100.0;
/// Resident memory while idle, MB.
const IDLE_MB: f64 = 25.0;
/// The part of its read rate that `verify` uses.
const USED: f64 = 0.95;

/// Everything of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// When, UTC.
    pub at: String,
    /// On what.
    pub machine: Machine,
    /// One for each combination of pods and answers.
    pub setups: Vec<Measured>,
    /// `verify` against the rate it was given.
    pub verify: Option<Verified>,
}

/// The machine. Pods, database and the measured program share it.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// CPUs that this process may use.
    pub cpus: usize,
    /// As the kernel names it.
    pub cpu_model: String,
    /// Kernel and version.
    pub kernel: String,
}

impl Machine {
    fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let model = read("/proc/cpuinfo").lines().find_map(|line| Some(line.strip_prefix("model name")?.to_owned()));
        let model = model.as_deref().and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim());
        Self {
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            cpu_model: model.to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

impl Report {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self {
            at: Utc::now().format("%Y%m%dT%H%M%SZ").to_string(),
            machine: Machine::this(),
            setups: Vec::new(),
            verify: None,
        }
    }

    /// The table, and the targets one by one.
    pub fn text(&self) -> String {
        let machine = &self.machine;
        let mut text = format!("{} CPUs, {}, Linux {}\n\n", machine.cpus, machine.cpu_model, machine.kernel);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n", self.table());
        for (met, line) in self.targets() {
            let _ = writeln!(text, "{:<8}{line}", if met { "met" } else { "NOT MET" });
        }
        text
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "pods",
            "answer ms",
            "round trip ms",
            "round ms",
            "extra ms",
            "by pods ms",
            "round trips",
            "rounds",
            "spread ms",
            "unseen ms",
            "pause ms",
            "start ms",
            "guard idle/peak MB",
            "create idle/peak MB",
        ]);
        for measured in &self.setups {
            table.add_row(row(measured));
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn targets(&self) -> Vec<(bool, String)> {
        let mut targets = Vec::new();
        for measured in &self.setups {
            let named = format!("{} pods, {} ms", measured.pods, measured.answer_ms);
            let rounds = measured.typical(|w| w.extra_rounds);
            let text = format!("{named}: outage beyond drain and hold {rounds:.1} rounds (target {FEW_ROUNDS})");
            targets.push((rounds <= FEW_ROUNDS, text));
            let start = start_ms(measured);
            targets.push((start <= START_MS, format!("{named}: first Pause after {start:.0} ms (target {START_MS})")));
            let guard = measured.typical(|w| w.guard_idle_mb.unwrap_or(f64::NAN));
            let text = format!("{named}: the guard holds {guard:.1} MB while idle (target {IDLE_MB})");
            targets.push((guard < IDLE_MB, text));
        }
        if let Some(verify) = &self.verify {
            let text = format!(
                "verify: {:.1} % of {} read units a second used, {:.0} MB at most (target {:.0} %)",
                verify.used * 100.0,
                verify.budget,
                verify.peak_mb,
                USED * 100.0
            );
            targets.push((verify.used >= USED, text));
        }
        targets
    }

    /// Writes the JSON to a new file and says where.
    pub fn write(&self, folder: &Path) -> Outcome<PathBuf> {
        fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}.json", self.at));
        fs::write(&file, format!("{}\n", serde_json::to_string_pretty(self)?))?;
        Ok(file)
    }
}

fn start_ms(measured: &Measured) -> f64 {
    median(measured.pause_start_ms.iter().copied()).unwrap_or(f64::NAN)
}

fn row(measured: &Measured) -> Vec<String> {
    let typical = |number: fn(&Window) -> f64| measured.typical(number);
    let most = |number: fn(&Window) -> f64| greatest(measured.windows.iter().map(number)).unwrap_or(f64::NAN);
    let short = |value: f64| rounded(value).to_string();
    let memory = |idle: fn(&Window) -> Option<f64>, peak: fn(&Window) -> f64| {
        let idle = median(measured.windows.iter().filter_map(idle)).unwrap_or(f64::NAN);
        format!("{idle:.1} / {:.1}", most(peak))
    };
    vec![
        measured.pods.to_string(),
        measured.answer_ms.to_string(),
        short(measured.round_trip_ms),
        short(measured.round_ms),
        short(typical(|w| w.extra_ms)),
        short(typical(|w| w.extra_by_pods_ms)),
        short(typical(|w| w.extra_round_trips)),
        short(typical(|w| w.extra_rounds)),
        short(typical(|w| w.spread_ms)),
        short(most(|w| w.longest_unseen_ms)),
        short(start_ms(measured)),
        short(median(measured.bare_start_ms.iter().copied()).unwrap_or(f64::NAN)),
        memory(|w| w.guard_idle_mb, |w| w.guard_peak_mb),
        memory(|w| w.create_idle_mb, |w| w.create_peak_mb),
    ]
}
