//! What a window is asked to do: everything that is decided before the first Pause.

use provider_api::{ClockInterval, Mono};
use std::time::Duration;

/// A moment on both of our clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now {
    /// CLOCK_MONOTONIC: lengths and the still period.
    pub mono: Mono,
    /// CLOCK_BOOTTIME in nanoseconds: the hard deadline, which a suspended machine must find passed.
    pub boot_ns: u64,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        Now { mono: Mono::now(), boot_ns: boot_ns() }
    }
}

/// Reads CLOCK_BOOTTIME, in nanoseconds.
pub fn boot_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// How long to keep still.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// The length of the still period. The guide's figure is 10 s.
    Fixed(Duration),
    /// Until the first second has passed that is safe on every database.
    Auto(Auto),
    /// Not at all: once every pod is proven paused, the guard becomes the owner (`pause --for`).
    HandOver,
}

/// What `hold = "auto"` reckons with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Auto {
    /// The clocks of all databases as measured before the window.
    pub clocks: Vec<ClockInterval>,
    /// Distance kept from both ends of the still period.
    pub margin: Duration,
    /// How much the measurement afterwards may differ without voiding the window.
    pub slack: Duration,
    /// How long pausing is expected to take, for timing the first Pause within the second.
    pub expected_drain: Duration,
}

/// One pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PodPlan {
    /// Whether it knows CheckPaused. Pods that do not are accepted only with `require_proof = false`.
    pub can_check: bool,
}

/// Which of the protocol's own rules hold. Only [`Rules::SOUND`] is ever used on real pods; the others exist so that
/// the exploration can show that it would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// A last round of CheckPaused ends the still period.
    pub last_round: bool,
    /// A *maybe paused* pod is watched until no Pause can arrive.
    pub wait_for_late_pauses: bool,
    /// The still period begins with a round of CheckPaused after the last answer to Pause.
    pub first_round: bool,
}

impl Rules {
    /// The protocol as designed.
    pub const SOUND: Rules = Rules { last_round: true, wait_for_late_pauses: true, first_round: true };
}

/// One window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The pods, in the order that [`super::release::PodIndex`] counts.
    pub pods: Vec<PodPlan>,
    /// How long to keep still.
    pub hold: Hold,
    /// Each Pause call's deadline: drain time-out + `call_grace`.
    pub call_deadline: Duration,
    /// After that much time in the kernel's hands unanswered, a connection is given up.
    pub tcp_user_timeout: Duration,
    /// Hard deadline, from the open window note on; the guard fires at it.
    pub max_outage: Duration,
    /// How often pods are looked at while holding.
    pub check_interval: Duration,
    /// From the first Unpause until the command gives up waiting and leaves the rest to the guard.
    pub release_wait: Duration,
    /// [`Rules::SOUND`].
    pub rules: Rules,
}

impl Plan {
    /// How long before the hard deadline the window releases by itself.
    pub const RESERVE: Duration = Duration::from_secs(10);
}
