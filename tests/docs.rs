//! README and docs name what the program has: nothing is forgotten, and no link leads nowhere.

// Helpers of tests end the test that they cannot help.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use stillpoint::cli::VERBS;
use stillpoint::failure::Exit;
use stillpoint::window::violation::Name;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages for people: README, docs, the sandbox's README.
fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let markdown = docs.filter(|path| path.extension().is_some_and(|e| e == "md"));
    markdown.chain(["README.md", "sandbox/README.md", "deploy/iam/README.md"].map(|page| root().join(page))).collect()
}

/// The rows of tables whose first cell is `cell`.
fn rows<'a>(page: &'a str, cell: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(cell))).collect()
}

#[test]
fn every_violation_has_its_row_in_the_runbook_and_its_name_in_the_design() {
    let (runbook, design) = (read("docs/runbook.md"), read("docs/design.md"));
    for name in Name::ALL {
        assert_eq!(rows(&runbook, &format!("`{name}` |")).len(), 1, "docs/runbook.md: {name}");
        assert!(design.contains(name.as_str()), "docs/design.md: {name}");
    }
}

#[test]
fn every_rule_of_verification_has_its_row_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    for rule in provider_api::Rule::ALL {
        assert_eq!(rows(&runbook, &format!("`{rule}` |")).len(), 1, "docs/runbook.md: {rule}");
    }
}

#[test]
fn every_exit_code_has_its_row_in_readme_and_runbook() {
    let others = [Exit::Void, Exit::Usage, Exit::MaybePaused, Exit::Refused, Exit::NotYet, Exit::Lost];
    let codes = std::iter::once(0).chain(others.map(Exit::code));
    let pages = ["README.md", "docs/runbook.md"];
    for (code, page) in codes.flat_map(|code| pages.map(|page| (code, page))) {
        assert_eq!(rows(&read(page), &format!("{code} |")).len(), 1, "{page}: exit code {code}");
    }
}

#[test]
fn every_verb_has_its_row_in_the_readme() {
    let readme = read("README.md");
    for verb in VERBS {
        let found = rows(&readme, &format!("`{verb}"));
        let own = found.iter().filter(|row| !row[3 + verb.len()..].starts_with(|c: char| c.is_alphanumeric()));
        assert!(own.count() > 0, "README.md: {verb}");
    }
}

#[test]
fn every_iam_action_that_is_called_is_in_the_readme_or_in_a_policy_that_it_links_to() {
    let readme = read("README.md");
    assert!(readme.contains("(deploy/iam/README.md)"));
    let policies: String =
        ["backup", "restore", "verify", "prune"].map(|d| read(format!("deploy/iam/{d}.json"))).concat();
    for operation in provider_dynamodb::limits::ALL {
        let action = operation.action();
        let named = readme.contains(&format!("`{action}`")) || policies.contains(&format!("\"{action}\""));
        assert!(named, "README.md and deploy/iam: {action}");
    }
}

#[test]
fn every_error_name_of_the_code_is_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let names = error_names_below(&root().join("src"));
    for known in ["maybe_paused", "syntax", "unknown_key", "pitr_off", "catalog_full", "tls_expected", "no_pods"] {
        assert!(names.contains(known), "the search has gone blind: it does not find `{known}`");
    }
    let missing: Vec<_> = names.iter().filter(|name| !runbook.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/runbook.md lacks: {missing:?}");
}

/// The names of failures and problems, as far as they stand as plain text where they are made.
fn error_names_below(path: &Path) -> BTreeSet<String> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        return entries.flat_map(|path| error_names_below(&path)).collect();
    }
    if path.ends_with("tests.rs") || path.extension().is_none_or(|e| e != "rs") {
        return BTreeSet::new();
    }
    let text = std::fs::read_to_string(path).unwrap();
    let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    made(own).chain(by_kind(own)).filter(|name| is_name(name)).map(str::to_owned).collect()
}

/// `Failure::new(Exit::Refused, "name"`, `Problem::of_key("name"` and the like: before the name stands at most an exit.
fn made(source: &str) -> impl Iterator<Item = &str> {
    let makers = ["Failure::new(", "Problem::of_key(", "Problem::general(", ".complain(", "Problem {\n"];
    makers.into_iter().flat_map(|maker| source.split(maker).skip(1)).filter_map(|rest| {
        let (before, rest) = rest.split_once('"')?;
        let plain = matches!(before.trim(), "" | "name:") || before.trim().starts_with("Exit::");
        if plain { rest.split('"').next() } else { None }
    })
}

/// `ErrorKind::PitrOff => "pitr_off",`
fn by_kind(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let (kind, name) = line.trim().strip_suffix("\",")?.split_once(" => \"")?;
        let kinds = ["ErrorKind::", "CatalogErrorKind::", "Self::"];
        kinds.iter().any(|one| kind.starts_with(one)).then_some(name)
    })
}

/// Words of small letters, joined by `_`.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = read("README.md");
    for command in ["cargo run --release -- demo", "cargo xtask test"] {
        assert!(readme.lines().any(|line| line.starts_with(command)), "README.md: {command}");
    }
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let found = match heading {
                None => target.exists(),
                Some(heading) => {
                    headings(&std::fs::read_to_string(&target).unwrap_or_default()).contains(&heading.into())
                }
            };
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What stands in `](...)`, outside code, and is no URL.
fn links(page: &str) -> Vec<&str> {
    let mut in_code = false;
    let prose = page.lines().filter(|line| {
        in_code ^= line.trim_start().starts_with("```");
        !in_code
    });
    let targets = prose.flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).collect()
}

/// Headings as links name them: small letters, digits, `-` and `_`; spaces become `-`.
fn headings(page: &str) -> Vec<String> {
    let slug = |text: &str| -> String {
        let kept = text.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    page.lines().filter(|l| l.starts_with('#')).map(|l| slug(l.trim_start_matches('#'))).collect()
}
