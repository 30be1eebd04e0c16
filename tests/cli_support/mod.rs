//! Runs the real program in an empty folder with an empty environment, and writes down what it said.

#![allow(dead_code)] // each test file uses its own part
#![allow(clippy::unwrap_used)] // test code, though not itself a test

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A configuration that is in order.
pub const WHOLE: &str = r#"[[target]]
name = "ledger"
addresses = ["10.0.0.4:60051", "10.0.0.5:60051"]

[[database]]
name = "ledger-tables"
provider = "dynamodb"
region = "ap-northeast-1"
"#;

/// A folder to run in, and what was said so far.
pub struct Session {
    dir: TempDir,
    env: Vec<(String, String)>,
    prelude: Vec<String>,
    transcript: String,
}

/// What the program said to one command.
#[derive(Clone, Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Said { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Session {
    /// An empty folder.
    pub fn empty() -> Self {
        Session { dir: tempfile::tempdir().unwrap(), env: Vec::new(), prelude: Vec::new(), transcript: String::new() }
    }

    /// A folder with this `stillpoint.toml`.
    pub fn with_config(text: &str) -> Self {
        let session = Session::empty();
        session.file("stillpoint.toml", text);
        session
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.dir().join(name), text).unwrap();
    }

    pub fn env(&mut self, name: &str, value: &str) {
        self.env.push((name.into(), value.into()));
    }

    /// Words before the program's path, such as a shell that sets a limit first.
    pub fn prelude(&mut self, words: &[&str]) {
        self.prelude = words.iter().map(|w| (*w).to_owned()).collect();
    }

    /// The program with these arguments, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let words: Vec<&str> =
            self.prelude.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_stillpoint")]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(args).current_dir(self.dir());
        command.env_clear().env("HOME", self.dir()).envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Runs without writing it down.
    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a line of words and writes down exit code, stdout and stderr, JSON indented.
    pub fn run(&mut self, line: &str) -> Said {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.run_words(&words)
    }

    pub fn run_words(&mut self, words: &[&str]) -> Said {
        let output = self.output(words);
        self.note(words, &output)
    }

    /// Writes down what a command said.
    pub fn note(&mut self, words: &[&str], output: &Output) -> Said {
        let heard = Said::of(output);
        let Said { stdout, stderr, .. } = heard.clone();
        let stdout = match serde_json::from_str::<Value>(&stdout) {
            Ok(object) if object.is_object() => {
                assert_eq!(stdout.lines().count(), 1, "one object on one line: {stdout}");
                assert_eq!(object["exit_code"], output.status.code().unwrap(), "{stdout}");
                format!("{object:#}\n")
            }
            _ => stdout,
        };
        let said = format!(
            "$ stillpoint {}\nexit {}\n{}{}\n",
            words.join(" "),
            output.status.code().unwrap(),
            marked("stdout", &stdout),
            marked("stderr", &stderr),
        );
        self.remark(&said);
        heard
    }

    /// Writes down a text of the test's own.
    pub fn remark(&mut self, text: &str) {
        let real = self.dir().canonicalize().unwrap();
        self.transcript
            .push_str(&text.replace(real.to_str().unwrap(), "[dir]").replace(self.dir().to_str().unwrap(), "[dir]"));
    }

    /// Everything that was said, without this machine's paths, nor the widths of columns that follow from them.
    pub fn transcript(self) -> String {
        self.transcript.lines().map(|line| squeezed(line) + "\n").collect()
    }

    /// The same with every space.
    pub fn transcript_with_columns(self) -> String {
        self.transcript
    }
}

/// Runs of spaces become two, but for those at the start.
fn squeezed(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let words: Vec<&str> = line[indent..].split("  ").map(str::trim).filter(|w| !w.is_empty()).collect();
    line[..indent].to_owned() + &words.join("  ")
}

fn marked(name: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("--- {name}\n{text}") }
}
