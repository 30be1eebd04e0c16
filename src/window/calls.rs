//! The three calls to a pod, with their answers in the protocol's words.

use super::protocol::PauseAnswer;
use super::release::{CheckAnswer, UnpauseAnswer};
use crate::admin::{AdminClient, AdminErrorKind, PauseResult, RefusedPause};
use std::time::Duration;

/// First deadline of an Unpause; doubles with each try, so that a quick retry follows a lost call and a slow pod is met in the end.
const FIRST_UNPAUSE_DEADLINE: Duration = Duration::from_secs(1);
/// Longest deadline of an Unpause.
const LAST_UNPAUSE_DEADLINE: Duration = Duration::from_secs(30);
/// How long a CheckPaused may take. A pod that needs longer cannot be looked at once a second.
pub const CHECK_DEADLINE: Duration = Duration::from_secs(2);

/// Sends Pause, waiting for transactions in progress.
pub async fn pause(client: &AdminClient, max_wait: Option<Duration>, deadline: Duration) -> PauseAnswer {
    match client.pause(max_wait, deadline).await {
        PauseResult::Paused => PauseAnswer::Paused,
        PauseResult::Refused(RefusedPause::DrainTimedOut, detail) => PauseAnswer::DrainTimedOut(detail),
        PauseResult::Refused(RefusedPause::TimedOutStillPaused, detail) => PauseAnswer::PausedByOther(detail),
        PauseResult::Refused(_, detail) => PauseAnswer::Refused(detail),
        PauseResult::Unknown(error) => PauseAnswer::Unknown(error.message),
    }
}

/// Sends Unpause; `tries` counts the earlier ones.
pub async fn unpause(client: &AdminClient, tries: u32) -> UnpauseAnswer {
    let deadline = FIRST_UNPAUSE_DEADLINE.saturating_mul(1 << tries.min(5)).min(LAST_UNPAUSE_DEADLINE);
    match client.unpause(deadline).await {
        Ok(()) => UnpauseAnswer::Ok,
        Err(error) if error.kind == AdminErrorKind::Refused => UnpauseAnswer::ConnectionRefused,
        Err(_) => UnpauseAnswer::Failed,
    }
}

/// Sends CheckPaused.
pub async fn check(client: &AdminClient) -> CheckAnswer {
    match client.check_paused(CHECK_DEADLINE).await {
        Ok(true) => CheckAnswer::Paused,
        Ok(false) => CheckAnswer::Open,
        Err(error) => match error.kind {
            AdminErrorKind::Unimplemented => CheckAnswer::Unimplemented,
            AdminErrorKind::Refused => CheckAnswer::ConnectionRefused,
            _ => CheckAnswer::Failed(error.message),
        },
    }
}
