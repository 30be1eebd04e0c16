//! Dying on purpose, at an exact place, in debug builds only: how the tests ask "what if we die here?".
//!
//! `STILLPOINT_FAULT=kill@before:Pause:1` ends this process by SIGKILL when it is about to carry out its first Pause
//! command; `stop@` stops it by SIGSTOP instead. Places are `before:<command>`, `after:<command>`, `on:<event>` and the
//! named steps around a window. A release build has no such places.

/// Passes a place; ends or stops the process if the environment asks for it at this visit.
#[cfg(debug_assertions)]
pub fn point(place: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::collections::HashMap;
    use std::sync::{Mutex, PoisonError};

    static VISITS: Mutex<Option<HashMap<String, u32>>> = Mutex::new(None);
    let Ok(wanted) = std::env::var("STILLPOINT_FAULT") else { return };
    let mut visits = VISITS.lock().unwrap_or_else(PoisonError::into_inner);
    let visit = visits.get_or_insert_default().entry(place.to_owned()).or_insert(0);
    *visit += 1;
    let Some((action, at)) = wanted.split_once('@') else { return };
    let matches = at == format!("{place}:{visit}") || (at == place && *visit == 1);
    if !matches {
        return;
    }
    let signal = if action == "stop" { Signal::STOP } else { Signal::KILL };
    // Nothing can be done about a failure here: the test that asked then sees a process that lives on.
    let _ = kill_process(getpid(), signal);
}

/// Passes a place; release builds have none.
#[cfg(not(debug_assertions))]
pub fn point(_place: &str) {}

/// Whether a debug build was asked to break a rule of the protocol on purpose, so that a test can show that it is noticed.
#[cfg(debug_assertions)]
pub fn broken_rule(name: &str) -> bool {
    std::env::var("STILLPOINT_BROKEN_RULE").is_ok_and(|rule| rule == name)
}

/// Release builds keep every rule.
#[cfg(not(debug_assertions))]
pub fn broken_rule(_name: &str) -> bool {
    false
}
