//! `cargo xtask <command>`: what people and CI run, with nothing to install first. Only the standard library, so that
//! it compiles in a second.

mod bench;
mod cargo;
mod kube;
mod null;
mod run;
mod tests;
mod tidy;
mod tls;

use run::Run;
use std::process::ExitCode;

/// One command: its name, what it does, and how.
struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Run, &[String]),
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        about: "everything CI runs: `check`, then every test of the workspace",
        run: |run, _| {
            run.step("null device", null::check);
            // Minutes of Go, the first time: beside everything that cargo builds.
            let kube = kube::Build::begin();
            check(run);
            tests::all(run, &[], Some(kube));
        },
    },
    Command {
        name: "check",
        about: "all but the tests: format, tree, TLS stack, lints, docs",
        run: |run, _| check(run),
    },
    Command {
        name: "only",
        about: "the tests alone, narrowed by arguments of `cargo test`: `cargo xtask only -p xtask tidy`",
        run: |run, narrowed| tests::all(run, narrowed, None),
    },
    Command {
        name: "kube",
        about: "builds the Kubernetes control plane for tests, unless it is built (minutes; needs Go)",
        run: |run, _| run.step("control plane", |_| kube::Build::begin().finish()),
    },
    Command {
        name: "bench",
        about: "measures the release binary against pods of the sandbox (a few minutes, after a release build)",
        run: bench::run,
    },
];

fn check(run: &mut Run) {
    run.step("format", |_| cargo::run(&["fmt", "--all", "--check"]));
    run.step("tree is tidy", |_| tidy::check());
    run.step("one TLS stack", |_| tls::check());
    run.step("lints", |_| {
        cargo::run(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"])
    });
    run.step("docs", |_| {
        cargo::run_with(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"], &[("RUSTDOCFLAGS", "-D warnings")])
    });
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else { return usage("no command") };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return usage(&format!("no command `{name}`"));
    };
    if !rest.is_empty() && command.name != "only" {
        return usage(&format!("`{name}` takes no arguments"));
    }
    let mut run = Run::default();
    (command.run)(&mut run, rest);
    run.finish()
}

/// Exit code 2, as for every wrong usage.
fn usage(problem: &str) -> ExitCode {
    eprintln!("error: {problem}\n\nusage: cargo xtask <command>\n");
    for Command { name, about, .. } in COMMANDS {
        eprintln!("  {name:<8} {about}");
    }
    ExitCode::from(2)
}
