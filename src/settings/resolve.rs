//! The second layer: what is true, value by value, with its source.

use super::environment::Environment;
use super::source::{Problem, Shown, Source, Told};
use super::written::{Written, WrittenPrune, WrittenWindow};
use super::{Flags, Hold, PruneSettings, Settings, WindowSettings, rules, units, urls};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// How many targets and databases the file mentions, broken ones included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mentioned {
    pub targets: usize,
    pub databases: usize,
}

/// What resolving gives.
pub(super) struct Resolved {
    pub settings: Settings,
    pub shown: Vec<Shown>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
    pub mentioned: Mentioned,
}

/// Collects while values are settled one by one.
pub(super) struct Resolver<'e> {
    pub environment: &'e Environment,
    /// Where relative paths of the file start.
    base: &'e Path,
    pub shown: Vec<Shown>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
}

/// Resolves everything. Where a value is wrong its default stands, or its target or database is left out.
pub(super) fn resolve(written: Written, flags: &Flags, environment: &Environment, base: &Path) -> Resolved {
    let Written { catalog_url, state_dir, window, time_scale, prune, targets, databases } = written;
    let mentioned = Mentioned { targets: targets.len(), databases: databases.len() };
    let mut r = Resolver { environment, base, shown: Vec::new(), problems: Vec::new(), warnings: Vec::new() };
    let state_dir = r.state_dir(flags, state_dir);
    let catalog_url = r.catalog_url(catalog_url, &state_dir);
    let window = r.window(window);
    let time_scale = r.settle("polling.time_scale", time_scale, 1.0, |v| json!(v));
    let prune = r.prune(prune);
    let targets = targets.into_iter().enumerate().filter_map(|(n, t)| r.target(n, t)).collect();
    let databases = databases.into_iter().filter_map(|d| r.database(d)).collect();
    let mut settings = Settings { catalog_url, state_dir, window, time_scale, prune, targets, databases };
    rules::check(&mut r, &mut settings);
    let Resolver { shown, problems, warnings, .. } = r;
    Resolved { settings, shown, problems, warnings, mentioned }
}

impl Resolver<'_> {
    /// Records a value for `config show`.
    pub fn show(&mut self, key: &str, value: Value, source: &Source) {
        self.shown.push(Shown { key: key.to_owned(), value, source: source.clone() });
    }

    /// Where a value that has been shown came from.
    pub fn source_of(&self, key: &str) -> Option<Source> {
        self.shown.iter().find(|s| s.key == key).map(|s| s.source.clone())
    }

    /// A local path: of the file, seen from its folder; of a flag or variable, seen from the working directory.
    pub fn local_path(&self, told: &Told<String>) -> PathBuf {
        match told.source {
            Source::File { .. } => self.base.join(&told.value),
            _ => self.environment.absolute(told.value.as_ref()),
        }
    }

    pub(super) fn settle<T>(&mut self, key: &str, told: Option<Told<T>>, default: T, show: impl Fn(&T) -> Value) -> T {
        let Told { value, source } = told.unwrap_or(Told::new(default, Source::Default));
        self.show(key, show(&value), &source);
        value
    }

    fn length(&mut self, key: &str, told: Option<Told<Duration>>, default: Duration) -> Duration {
        self.settle(key, told, default, |d| json!(units::text(*d)))
    }

    pub(super) fn optional(&mut self, key: &str, told: Option<Told<String>>) -> Option<String> {
        self.settle(key, told.map(|t| Told::new(Some(t.value), t.source)), None, |v| json!(v))
    }

    fn state_dir(&mut self, flags: &Flags, written: Option<Told<String>>) -> PathBuf {
        let (path, source) = self.find_state_dir(flags, written);
        self.show("state.dir", json!(path.to_string_lossy()), &source);
        path
    }

    fn find_state_dir(&mut self, flags: &Flags, written: Option<Told<String>>) -> (PathBuf, Source) {
        if let Some(path) = &flags.state_dir {
            return (self.environment.absolute(path), Source::Flag("--state-dir"));
        }
        if let Some(path) = self.environment.var("STILLPOINT_STATE_DIR") {
            return (self.environment.absolute(path.as_ref()), Source::Env("STILLPOINT_STATE_DIR"));
        }
        if let Some(told) = written {
            return (self.local_path(&told), told.source);
        }
        // The XDG rules: a relative value is to be ignored.
        if let Some(path) = self.environment.var("XDG_STATE_HOME").map(Path::new).filter(|p| p.is_absolute()) {
            return (path.join("stillpoint"), Source::Env("XDG_STATE_HOME"));
        }
        if let Some(home) = self.environment.var("HOME") {
            return (self.environment.absolute(home.as_ref()).join(".local/state/stillpoint"), Source::Default);
        }
        self.problems.push(Problem::of_key(
            "no_state_dir",
            "state.dir",
            None,
            "no state folder: neither XDG_STATE_HOME nor HOME is set",
            "name a folder with --state-dir or STILLPOINT_STATE_DIR; it must outlive this process",
        ));
        (self.environment.absolute(".stillpoint".as_ref()), Source::Default)
    }

    fn catalog_url(&mut self, written: Option<Told<String>>, state_dir: &Path) -> Url {
        let beside = Url::from_file_path(state_dir.join("catalog"));
        // The state folder is absolute, which is all that from_file_path asks for on Unix.
        let default = beside.unwrap_or_else(|()| MEMORY.clone());
        let Some(told) = written else {
            self.show("catalog.url", json!(default.as_str()), &Source::Default);
            return default;
        };
        match urls::catalog(&told.value) {
            Ok(url) => {
                self.show("catalog.url", json!(url.as_str()), &told.source);
                url
            }
            Err((why, hint)) => {
                let message = format!("`catalog.url`: {why}");
                self.problems.push(Problem::of_key("bad_url", "catalog.url", Some(&told.source), message, hint));
                default
            }
        }
    }

    fn window(&mut self, written: WrittenWindow) -> WindowSettings {
        let WrittenWindow {
            hold,
            max_outage,
            attempts,
            margin,
            outage_budget,
            retry_after,
            release_wait,
            max_pause_wait_time,
            call_grace,
            tcp_user_timeout,
            check_interval,
            require_proof,
            pod_clock_bound,
            auto_slack,
            ignore,
        } = written;
        let default = WindowSettings::default();
        let hold = hold.and_then(|told| self.hold(told));
        let hold = self.settle("window.hold", hold, default.hold, |h| json!(hold_text(*h)));
        let max_outage = self.length("window.max_outage", max_outage, default.max_outage);
        let wait = max_pause_wait_time.map(|t| Told::new(Some(t.value), t.source));
        let wait = self.settle("window.max_pause_wait_time", wait, None, |w| json!(w.map(units::text)));
        let mut window = WindowSettings { hold, max_outage, max_pause_wait_time: wait, ..default };
        let least_retry = window.drain_timeout().saturating_add(super::RETRY_BEYOND_DRAIN);
        window.attempts = self.settle("window.attempts", attempts, window.attempts, |v| json!(v));
        window.margin = self.length("window.margin", margin, window.margin);
        window.outage_budget = self.length("window.outage_budget", outage_budget, max_outage.saturating_mul(3));
        window.retry_after = self.length("window.retry_after", retry_after, least_retry);
        window.release_wait = self.length("window.release_wait", release_wait, window.release_wait);
        window.call_grace = self.length("window.call_grace", call_grace, window.call_grace);
        window.tcp_user_timeout = self.length("window.tcp_user_timeout", tcp_user_timeout, window.tcp_user_timeout);
        window.check_interval = self.length("window.check_interval", check_interval, window.check_interval);
        window.require_proof = self.settle("window.require_proof", require_proof, window.require_proof, |v| json!(v));
        window.pod_clock_bound = self.length("window.pod_clock_bound", pod_clock_bound, window.pod_clock_bound);
        window.auto_slack = self.length("window.auto_slack", auto_slack, window.auto_slack);
        let ignore = ignore.map(|t| Told::new(t.value.into_iter().map(|release| release.value).collect(), t.source));
        window.ignore = self.settle("window.ignore", ignore, Vec::new(), |v: &Vec<String>| json!(v));
        window
    }

    fn prune(&mut self, written: WrittenPrune) -> PruneSettings {
        let WrittenPrune { keep, keep_last } = written;
        let keep = keep.map(|t| Told::new(Some(t.value), t.source));
        let keep = self.settle("prune.keep", keep, None, |k| json!(k.map(units::text)));
        let last = keep_last.map(|t| Told::new(Some(t.value), t.source));
        PruneSettings { keep, keep_last: self.settle("prune.keep_last", last, None, |n| json!(n)) }
    }

    fn hold(&mut self, told: Told<String>) -> Option<Told<Hold>> {
        if told.value.trim() == "auto" {
            return Some(Told::new(Hold::Auto, told.source));
        }
        match units::duration(&told.value) {
            Ok(length) => Some(Told::new(Hold::Fixed(length), told.source)),
            Err(bad) => {
                let message = format!("`window.hold`: {}", bad.why);
                let hint = format!("{}, or \"auto\" for the shortest that can prove a second", bad.hint);
                self.problems.push(Problem::of_key(bad.name, "window.hold", Some(&told.source), message, hint));
                None
            }
        }
    }
}

/// Stands in only where no path can be made into a URL, and then together with a problem.
static MEMORY: std::sync::LazyLock<Url> = std::sync::LazyLock::new(|| {
    #[allow(clippy::expect_used)] // the text is constant and a test parses it
    Url::parse("memory:").expect("a constant URL")
});

/// As written in the file.
fn hold_text(hold: Hold) -> String {
    match hold {
        Hold::Fixed(length) => units::text(length),
        Hold::Auto => "auto".to_owned(),
    }
}
