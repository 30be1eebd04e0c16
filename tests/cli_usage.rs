//! Command lines that cannot be understood: exit 2, one clear message with a hint, and in JSON one object in the shape
//! of the verb's success.

mod cli_support;

use cli_support::{Session, WHOLE};
use insta::assert_snapshot;
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn words_and_flags_that_are_not_known() {
    let mut s = Session::empty();
    for line in [
        "",
        "crate",
        "frobnicate --output json",
        "create --wiat sealed",
        "create --wait seeled",
        "create --wait-timeout 10",
        "create --wait-timeout 0s",
        "create --hold 10s --pause-duration 5000",
        "create --time-zone Asia/Tokio",
        "create -n ns-scalar",
        "create -r scalardl-ledger --address 10.0.0.4:60051",
        "create --window-only --region eu-west-1",
        "create --window-only --address 10.0.0.4:60051 --hold auto",
        "create --window-only --address 10.0.0.4:60051 --wait sealed",
        "create -r scalardl-ledger --tls --output sak",
        "check --output sak",
        "show",
        "show ../../etc/passwd",
        "seal a b",
        "prepare",
        "prepare a --wait-timeout 10",
        "prune",
        "prune --keep 30m",
        "prune --keep 30 --keep-last 0",
        "prune --keep-last 3 --yes --dry-run",
        "prune --output json",
        "show a --by-recovery",
        "pause --for ten",
        "config",
        "config shwo",
        "completions tcl",
        "list --output yaml",
    ] {
        s.run(line);
    }
    assert_snapshot!(s.transcript());
}

#[test]
fn verbs_and_flags_of_the_design_that_this_version_lacks() {
    let mut s = Session::with_config(WHOLE);
    for line in ["agent", "agent --output json"] {
        s.run(line);
    }
    assert_snapshot!(s.transcript());
}

#[test]
fn the_help_page_lists_what_this_version_does() {
    let mut s = Session::empty();
    s.run("--help");
    s.run("create -h");
    s.run("--version --output json");
    let text = s.transcript_with_columns().replace(env!("CARGO_PKG_VERSION"), "[version]");
    assert_snapshot!(text);
}

#[test]
fn a_usage_error_in_json_has_the_shape_of_its_verb() {
    let point: &[&str] = &[
        "id",
        "state",
        "verdict",
        "exit_code",
        "restore_time",
        "pause_completed",
        "unpause_started",
        "still_period",
        "outage_ms",
        "client_outage_ms",
        "attempts",
        "pods",
        "databases",
        "warnings",
        "error",
    ];
    let cases: [(&str, &[&str]); 16] = [
        ("", point),
        ("check", point),
        ("create", point),
        ("show", point),
        ("seal", point),
        ("prepare", point),
        ("restore", point),
        ("pause", point),
        ("unpause", point),
        ("recover", point),
        ("demo", point),
        ("list", &["points", "exit_code", "warnings", "error"]),
        ("status", &["notes", "locks", "runs", "exit_code", "warnings", "error"]),
        ("config", &["settings", "problems", "exit_code", "warnings", "error"]),
        ("completions", &["script", "exit_code", "warnings", "error"]),
        ("sandbox", &["config", "exit_code", "warnings", "error"]),
    ];
    let s = Session::empty();
    for (verb, keys) in cases {
        let words: Vec<&str> =
            [verb, "--no-such-flag", "--output", "json"].into_iter().filter(|w| !w.is_empty()).collect();
        let output = s.output(&words);
        assert_eq!(output.status.code(), Some(2), "{verb}");
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, keys.iter().copied().collect(), "{verb}");
        assert_eq!(object["exit_code"], 2);
        for field in ["name", "message", "hint"] {
            assert!(object["error"][field].as_str().is_some_and(|t| !t.is_empty()), "{verb}: {object}");
        }
        assert!(!output.stderr.is_empty(), "{verb}: a person watching hears of it too");
    }
}

#[test]
fn with_json_logs_every_line_of_stderr_is_an_object() {
    let s = Session::with_config("[window]\nhodl = \"1s\"\nmargin = \"0s\"\n");
    for line in [
        &["create", "--log-format", "json"][..],
        &["--log-format=json", "frob"],
        &["create", "--log-format", "json", "--what"],
    ] {
        let output = s.output(line);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        let events: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(events.iter().any(|e| e["event"] == "failure" && e["level"] == "ERROR"), "{text}");
    }
}

#[test]
fn every_shell_gets_a_script_that_knows_the_verbs() {
    let s = Session::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = s.output(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains("unpause") && text.contains("--wait-timeout") || text.contains("wait-timeout"),
            "{shell}"
        );
        assert!(output.stderr.is_empty());
    }
    let output = s.output(&["completions", "bash", "--output", "json"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(object["script"].as_str().unwrap().contains("stillpoint"));
}
