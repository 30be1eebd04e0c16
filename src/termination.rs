//! A container's last words: where Kubernetes lays a file for them, the verdict goes into it, and `kubectl describe pod`
//! shows it.

use std::fs::File;
use std::io::Write;

/// Names another file, which is made if it is missing.
pub const VARIABLE: &str = "STILLPOINT_TERMINATION_LOG";
/// Where Kubernetes lays the file unless told otherwise. Never made: outside a container it is nobody's.
const FILE: &str = "/dev/termination-log";
/// Kubernetes keeps no more.
const LONGEST: usize = 4096;

/// Writes the line in place of what was said before. Best effort: what it says is also on stdout or stderr.
pub fn say(line: &str) {
    let file = match std::env::var_os(VARIABLE) {
        Some(path) => File::create(path),
        None => File::options().write(true).truncate(true).open(FILE),
    };
    if let Ok(mut file) = file {
        let _ = file.write_all(cut(line).as_bytes());
    }
}

fn cut(line: &str) -> &str {
    &line[..line.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_said_than_is_kept_and_no_character_is_halved() {
        assert_eq!(cut("void"), "void");
        let long = "ü".repeat(LONGEST);
        assert_eq!(cut(&long).len(), LONGEST);
        assert_eq!(cut(&format!("a{long}")).len(), LONGEST - 1);
    }
}
