//! `/dev/null` is a device. As a plain file (left by whatever wrote *over* it as root), it hands what one compiler
//! said to the next one as its source, and builds fail with errors in code that nobody wrote.

use crate::{
    cargo,
    run::{Outcome, Run},
};
use std::{fs, os::unix::fs::FileTypeExt, process::Command};

const NULL: &str = "/dev/null";
const MEND: &str = "rm -f /dev/null && mknod -m 666 /dev/null c 1 3";

/// Ok where it is a device. On a CI machine, which is thrown away, makes it one again and says so in the summary;
/// elsewhere says how.
pub fn check(run: &mut Run) -> Outcome {
    let Err(wrong) = is_a_device(NULL) else { return Ok(()) };
    if !cargo::in_ci() {
        return Err(format!("{wrong}\nhint: as root: {MEND}"));
    }
    let status = Command::new("sh").args(["-c", MEND]).status();
    is_a_device(NULL).map_err(|still| format!("{still}; `{MEND}` did not help: {status:?}"))?;
    run.note(format!("{wrong}; mended on this CI machine"));
    Ok(())
}

fn is_a_device(path: &str) -> Outcome {
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_char_device() => Ok(()),
        Ok(_) => Err(format!("{path} is not a device")),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_plain_file_and_nothing_at_all_are_no_device() {
        assert_eq!(is_a_device("/dev/zero"), Ok(()));
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(is_a_device(own), Err(format!("{own} is not a device")));
        assert!(is_a_device("/no/such/device").is_err());
    }
}
