//! The named reasons why a window proves nothing.

/// A violation's name, as printed and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A pod answered Pause with no.
    PauseRefused,
    /// A pod's transactions did not end in time; its gate is open again.
    DrainTimedOut,
    /// A Pause has no answer: it may have worked, or may still work.
    PauseUnanswered,
    /// A pod could not be asked, or its connection broke: it may have restarted.
    ConnectionLost,
    /// CheckPaused was false while we held.
    OpenedEarly,
    /// A pod came that was not there at the preflight.
    PodAdded,
    /// A pod went, or is being deleted.
    PodRemoved,
    /// A pod's container was started anew: it forgot that it was paused.
    PodRestarted,
    /// A pod is no longer Running and Ready.
    PodNotRunning,
    /// Another pod stands at a pod's name or address.
    PodReplaced,
    /// Two ways of finding the pods no longer find the same.
    SetsDisagree,
    /// The pods could not be watched without a gap.
    WatchGap,
    /// The data sets or their metadata changed between preflight and after.
    SchemaChanged,
    /// A clock could not be bounded, or clocks disagree.
    ClockUnsure,
    /// The still period holds no whole second that is safe on every database.
    NoSafeSecond,
    /// The window had to end before its hard deadline.
    DeadlinePassed,
    /// The guard had to release the pods.
    GuardFired,
    /// The guard died or could not be armed.
    GuardLost,
    /// The pause lock was no longer ours after the window.
    LockLost,
    /// A person or the system asked to stop.
    Cancelled,
}

impl Name {
    /// All names, for documentation and for tests that every one is provoked.
    pub const ALL: [Name; 20] = [
        Name::PauseRefused,
        Name::DrainTimedOut,
        Name::PauseUnanswered,
        Name::ConnectionLost,
        Name::OpenedEarly,
        Name::PodAdded,
        Name::PodRemoved,
        Name::PodRestarted,
        Name::PodNotRunning,
        Name::PodReplaced,
        Name::SetsDisagree,
        Name::WatchGap,
        Name::SchemaChanged,
        Name::ClockUnsure,
        Name::NoSafeSecond,
        Name::DeadlinePassed,
        Name::GuardFired,
        Name::GuardLost,
        Name::LockLost,
        Name::Cancelled,
    ];

    /// The name as printed and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Name::PauseRefused => "PauseRefused",
            Name::DrainTimedOut => "DrainTimedOut",
            Name::PauseUnanswered => "PauseUnanswered",
            Name::ConnectionLost => "ConnectionLost",
            Name::OpenedEarly => "OpenedEarly",
            Name::PodAdded => "PodAdded",
            Name::PodRemoved => "PodRemoved",
            Name::PodRestarted => "PodRestarted",
            Name::PodNotRunning => "PodNotRunning",
            Name::PodReplaced => "PodReplaced",
            Name::SetsDisagree => "SetsDisagree",
            Name::WatchGap => "WatchGap",
            Name::SchemaChanged => "SchemaChanged",
            Name::ClockUnsure => "ClockUnsure",
            Name::NoSafeSecond => "NoSafeSecond",
            Name::DeadlinePassed => "DeadlinePassed",
            Name::GuardFired => "GuardFired",
            Name::GuardLost => "GuardLost",
            Name::LockLost => "LockLost",
            Name::Cancelled => "Cancelled",
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
