//! Flags that several verbs share. They lie over the configuration file.

use crate::catalog::PointId;
use crate::failure::{Exit, Failure};
use crate::kubernetes::srv_names;
use crate::settings::{Environment, Flags, Loaded, Needs, Settings, has_file, load};
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

use super::failures::Failures;
use super::progress::Progress;

/// How data is printed to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// One JSON object, whatever the exit code.
    Json,
    /// `create` only: what scalar-admin-for-kubernetes prints, and nothing on failure.
    Sak,
}

/// How progress and logs are printed to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line; each command and event of a window is one.
    Json,
}

/// Flags of every verb.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Configuration file [default: STILLPOINT_CONFIG, else ./stillpoint.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Folder for open window notes and the guard's log [default: STILLPOINT_STATE_DIR, else ~/.local/state/stillpoint]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub state_dir: Option<PathBuf>,
    /// Data on stdout: a table for people, or exactly one JSON object (`create` also takes sak)
    #[arg(long, global = true, value_enum, default_value_t, value_name = "table|json", hide_possible_values = true)]
    #[arg(help_heading = "Global options")]
    pub output: Output,
    /// Logs on stderr: text, or one JSON object a line (STILLPOINT_LOG sets the level)
    #[arg(long, global = true, value_enum, default_value_t, value_name = "text|json", hide_possible_values = true)]
    #[arg(help_heading = "Global options")]
    pub log_format: LogFormat,
}

/// Which pods, and how to speak to them.
#[derive(Args, Clone, Debug, Default)]
pub struct PodFlags {
    /// A pod's Scalar Admin address, instead of the file's targets; may be repeated
    #[arg(long = "address", value_name = "HOST:PORT", help_heading = "Pods")]
    pub addresses: Vec<String>,
    /// Speak TLS to the pods, trusting the system's roots
    #[arg(long, help_heading = "Pods")]
    pub tls: bool,
    /// Speak TLS, trusting the certificates in this PEM file
    #[arg(long, value_name = "FILE", help_heading = "Pods")]
    pub ca_root_cert_path: Option<String>,
    /// Speak TLS, trusting this PEM text
    #[arg(long, value_name = "PEM", help_heading = "Pods")]
    pub ca_root_cert_pem: Option<String>,
    /// Speak TLS, expecting this name in the pods' certificate
    #[arg(long, value_name = "NAME", help_heading = "Pods")]
    pub override_authority: Option<String>,
}

/// A Helm release, by the flags of scalar-admin-for-kubernetes.
#[derive(Args, Clone, Debug, Default)]
pub struct ReleaseFlags {
    /// The pods of a Helm release, instead of the file's targets; without a file, and without a database, the window only
    #[arg(short, long, value_name = "NAME", conflicts_with = "addresses", help_heading = "Pods")]
    pub release_name: Option<String>,
    /// The namespace of that release [default: default]
    #[arg(short, long, value_name = "NAME", requires = "release_name", help_heading = "Pods")]
    pub namespace: Option<String>,
}

/// Which database, where the file names at most one.
#[derive(Args, Clone, Debug, Default)]
pub struct DatabaseFlags {
    /// AWS region of the database
    #[arg(long, value_name = "REGION", help_heading = "Database")]
    pub region: Option<String>,
    /// Endpoint that serves every AWS API, e.g. http://127.0.0.1:8000
    #[arg(long, value_name = "URL", help_heading = "Database")]
    pub endpoint: Option<String>,
}

/// How the window is made.
#[derive(Args, Clone, Debug, Default)]
pub struct WindowFlags {
    /// Length of the still period, e.g. 10s, or auto
    #[arg(long, value_name = "DURATION", help_heading = "Window")]
    pub hold: Option<String>,
    /// Hard deadline: no pod stays paused longer by our doing
    #[arg(long, value_name = "DURATION", help_heading = "Window")]
    pub max_outage: Option<String>,
    /// The same as --hold; a bare number means milliseconds
    #[arg(short = 'd', long, value_name = "DURATION", conflicts_with = "hold", help_heading = "Window")]
    pub pause_duration: Option<String>,
    /// Drain time-out sent with Pause; a bare number means milliseconds
    #[arg(short = 'w', long, value_name = "DURATION", help_heading = "Window")]
    pub max_pause_wait_time: Option<String>,
}

/// How a point is shown to people.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ViewFlags {
    /// List every data set, however many there are
    #[arg(long)]
    pub all: bool,
    /// Show times in this zone too, beside UTC, e.g. Asia/Tokyo
    #[arg(short = 'z', long, value_name = "ZONE", value_parser = time_zone)]
    pub time_zone: Option<Tz>,
}

impl PodFlags {
    /// Lays these over `flags`.
    pub fn add_to(&self, flags: &mut Flags) {
        let PodFlags { addresses, tls, ca_root_cert_path, ca_root_cert_pem, override_authority } = self.clone();
        flags.addresses = addresses;
        flags.tls = tls;
        flags.ca_file = ca_root_cert_path;
        flags.ca_pem = ca_root_cert_pem;
        flags.authority = override_authority;
    }
}

impl ReleaseFlags {
    /// Lays these over `flags`.
    pub fn add_to(&self, flags: &mut Flags) {
        let ReleaseFlags { release_name, namespace } = self.clone();
        flags.release = release_name;
        flags.namespace = namespace;
    }
}

impl DatabaseFlags {
    /// Lays these over `flags`.
    pub fn add_to(&self, flags: &mut Flags) {
        let DatabaseFlags { region, endpoint } = self.clone();
        flags.region = region;
        flags.endpoint = endpoint;
    }
}

impl WindowFlags {
    /// Lays these over `flags`.
    pub fn add_to(&self, flags: &mut Flags) {
        let WindowFlags { hold, max_outage, pause_duration, max_pause_wait_time } = self.clone();
        flags.hold = hold;
        flags.max_outage = max_outage;
        flags.pause_duration = pause_duration;
        flags.max_pause_wait_time = max_pause_wait_time;
    }
}

/// What every verb is given besides its own flags.
#[derive(Clone, Debug)]
pub struct Context {
    /// The global flags.
    pub global: Global,
    /// The process's environment, read once.
    pub environment: Environment,
}

impl Context {
    /// Whether there is a configuration file, or one was named.
    pub fn has_file(&self) -> bool {
        let flags = Flags { config: self.global.config.clone(), ..Flags::default() };
        has_file(&flags, &self.environment)
    }

    /// Resolves the settings with the flags that `add` lays over the global ones. Problems are in what comes back:
    /// `recover` and `unpause` go on releasing pods in spite of them.
    pub fn load(&self, needs: Needs, add: impl FnOnce(&mut Flags)) -> Loaded {
        let mut flags =
            Flags { config: self.global.config.clone(), state_dir: self.global.state_dir.clone(), ..Flags::default() };
        add(&mut flags);
        load(&flags, &self.environment, needs)
    }

    /// The same for verbs that need everything right: settings and warnings, or every problem as a usage failure.
    pub fn settings(&self, needs: Needs, add: impl FnOnce(&mut Flags)) -> Result<(Settings, Vec<String>), Failures> {
        self.load(needs, add).checked().map_err(Failures::from)
    }

    /// [`Context::settings`] for verbs that pause: a malformed name of service records is told with those that Kubernetes has,
    /// where it can be asked.
    pub async fn settings_of_pods(
        &self,
        needs: Needs,
        add: impl FnOnce(&mut Flags),
    ) -> Result<(Settings, Vec<String>), Failures> {
        let mut loaded = self.load(needs, add);
        for problem in loaded.problems.iter_mut().filter(|problem| problem.name == "bad_srv") {
            let written = loaded.shown.iter().find(|shown| Some(&shown.key) == problem.key.as_ref());
            let Some(written) = written.and_then(|shown| shown.value.as_str()) else { continue };
            if let Some(more) = srv_names::instead_of(written, &loaded.settings).await {
                problem.hint = format!("{}. {more}", problem.hint);
            }
        }
        loaded.checked().map_err(Failures::from)
    }

    /// Where to show what is going on.
    pub fn progress(&self) -> Progress {
        Progress::on_stderr(self.global.log_format)
    }
}

/// A length of time on the command line.
pub fn length(text: &str) -> Result<Duration, String> {
    match crate::settings::parse_duration(text) {
        Ok(length) if length.is_zero() => Err("zero makes no sense here".to_owned()),
        Ok(length) => Ok(length),
        Err(bad) => Err(format!("{}; {}", bad.why, bad.hint)),
    }
}

/// A point's id: what may stand in one. Whether there is such a point is the catalog's to say.
pub fn point_id(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let whole = (1..=200).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('.');
    if whole { Ok(text.to_owned()) } else { Err("an id is letters, digits, `-`, `_` and `.`".to_owned()) }
}

/// The id of a point that may be in the catalog; what cannot be one is as unknown as one that is not there.
pub fn known_id(text: &str) -> Result<PointId, Failure> {
    PointId::parse(text).map_err(|error| {
        let message = format!("there is no restore point {text}: {error}");
        Failure::new(Exit::Refused, "not_found", message, error.hint().to_owned())
    })
}

fn time_zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| "not a time zone; write a name such as Asia/Tokyo, in its exact case".to_owned())
}
