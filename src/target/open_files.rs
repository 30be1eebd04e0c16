//! Room for one connection a pod: shells and containers often allow 1,024 open files, and a limit met in the middle of
//! a window would be an outage.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For everything that is not a connection to a pod: cloud, catalog, logs, pipes.
const OTHER_FILES: u64 = 256;

/// Raises this process's limit of open files (children inherit it) so that `pods` connections fit, as far as the hard
/// limit lets it. Says whether they fit. Safe to repeat; never lowers the limit.
pub fn make_room(pods: usize) -> bool {
    let wanted = OTHER_FILES.saturating_add(u64::try_from(pods).unwrap_or(u64::MAX));
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No limit is `None`.
    let Some(now) = current.filter(|now| *now < wanted) else { return true };
    let allowed = maximum.map_or(wanted, |hard| hard.min(wanted)).max(now);
    setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum }).is_ok() && allowed >= wanted
}
