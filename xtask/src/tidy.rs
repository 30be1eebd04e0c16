//! The tree speaks of the project only: no path of the machine it was written on, no left-over of a merge.

use crate::{cargo, run::Outcome};
use std::{fs, path::Path, process::Command};

/// Where people's and CI's files lie, by first folder. In pieces, or this file would find itself.
const HOMES: &[&str] = &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// Reads every file that git knows or would add.
pub fn check() -> Outcome {
    let root = cargo::root();
    let list = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(&root)
        .output()
        .map_err(|error| format!("git cannot be started: {error}"))?;
    if !list.status.success() {
        return Err(format!("git ls-files failed:\n{}", String::from_utf8_lossy(&list.stderr)));
    }
    let names = String::from_utf8_lossy(&list.stdout).into_owned();
    let here = format!("{}/", root.display());
    let mut wrong = Vec::new();
    for name in names.split_terminator('\0') {
        // A file that is deleted but still in the index is nobody's problem, and a binary file has no lines.
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        wrong.extend(problems(Path::new(name), &text, &here));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn problems(file: &Path, text: &str, here: &str) -> Vec<String> {
    let told = |line: usize, what: &str| format!("{}:{}: {what}", file.display(), line + 1);
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = HOMES.iter().copied().chain([here]).find(|path| begins_a_path(line, path)) {
            wrong.push(told(number, &format!("a path of one machine: `{path}`")));
        }
        if ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark)) {
            wrong.push(told(number, "a merge that was not finished"));
        }
    }
    wrong
}

/// `path` occurs in `line`, and not in the middle of a longer path or word.
fn begins_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|start| start.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}' | '>' | '*' | '~'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        problems(Path::new("a.md"), text, "/srv/build/stillpoint/")
    }

    #[test]
    fn a_path_of_one_machine_is_found_with_its_line() {
        let home = concat!("fine\nsee /ho", "me/ann/notes.md");
        assert_eq!(found(home), [concat!("a.md:2: a path of one machine: `/ho", "me/`")]);
        assert_eq!(found("built in /srv/build/stillpoint/target").len(), 1);
    }

    #[test]
    fn a_path_inside_another_is_left_alone() {
        for line in [concat!("docs/wo", "rk/plan.md"), concat!("$HOME.d/ro", "ot/x"), "https://example.com/a"] {
            assert!(found(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn an_unfinished_merge_is_found() {
        assert_eq!(found(&format!("{} main", "<".repeat(7))).len(), 1);
    }
}
