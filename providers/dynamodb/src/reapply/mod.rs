//! Puts the settings of a capsule back on a restored table, one setting per call, and says what differs in the end.
//!
//! ```text
//! point-in-time recovery → capacity → indexes → maxima → class → encryption → stream → tags → TTL → Kinesis → insights
//!   → resource policy → scaling targets → policies → schedules → alarms → deletion protection → everything compared
//! ```
//!
//! What to do is decided without I/O: [`plan`] compares the recorded settings with those read and answers with gaps, each
//! with the request that would close it. The same gaps, found once more at the end, are the report; the same requests,
//! written out, are the commands by which a person closes them.
//!
//! A setting that was unset stays unset, and one that somebody set since is named, not taken away.

mod attached;
mod command;
mod plan;
mod read;
mod scaling;
mod send;
mod table;

use crate::client::Cloud;
use plan::{Close, Gap, Setting};
use provider_api::{Capsule, Context, ErrorKind, Fence, Poll, ProviderError};
use send::Sent;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Most changes take seconds, those of a table up to half a minute.
const SOON: Poll = Poll { first: Duration::from_secs(2), then: Duration::from_secs(2), last: Duration::from_secs(15) };
/// Time to live can be changed once an hour.
const COOL_DOWN: Poll =
    Poll { first: Duration::from_secs(60), then: Duration::from_secs(60), last: Duration::from_secs(300) };

/// How one call ended.
#[derive(Debug)]
pub enum Reapply {
    /// This setting is as recorded, or never will be by our doing (the final report says why). To be handed back in
    /// `done` by every later call; for people as it stands.
    Did(String),
    /// Nothing to store; call again later.
    Wait(Poll, String),
    /// All settings are done. What differs from the capsule, in the order of the settings; empty = nothing.
    Report(Vec<Difference>),
}

/// A setting of a restored table that is not as recorded, or that people have to follow up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The setting, by its name in the capsule: `time_to_live`.
    pub setting: String,
    /// As recorded; null = unset.
    pub wanted: Value,
    /// As it is; null = unset.
    pub found: Value,
    /// Why it was not put back.
    pub why: String,
    /// The command by which a person puts it back, complete; `None` if there is none.
    pub command: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: recorded {}, found {}: {}", self.setting, self.wanted, self.found, self.why)?;
        match &self.command {
            Some(command) => write!(f, "; by hand: {command}"),
            None => Ok(()),
        }
    }
}

/// See [`crate::DynamoDbProvider::reapply`].
pub(crate) async fn next_step(
    cloud: &Cloud,
    context: &Context,
    fence: &dyn Fence,
    table: &str,
    capsule: &Capsule,
    done: &[String],
) -> Result<Reapply, ProviderError> {
    for setting in Setting::ALL {
        if !is_done(setting, done) && setting.matters(table, capsule) {
            return one(cloud, context, fence, table, capsule, setting).await;
        }
    }
    let found = read::all(cloud, context, table, capsule).await?;
    if let Some(what) = table::busy(&found["table"]) {
        return Ok(Reapply::Wait(SOON, what));
    }
    Ok(Reapply::Report(report(table, &cloud.region, capsule, &found, done)))
}

/// Looks at one setting, and sends the first request that it lacks.
async fn one(
    cloud: &Cloud,
    context: &Context,
    fence: &dyn Fence,
    table: &str,
    capsule: &Capsule,
    setting: Setting,
) -> Result<Reapply, ProviderError> {
    let found = read::for_setting(cloud, context, table, capsule, setting).await?;
    let mut refused = None;
    for gap in setting.gaps(table, &capsule.settings, &found) {
        match gap.close {
            Close::Busy(what) => return Ok(Reapply::Wait(SOON, what)),
            Close::Call(request) => match send::send(cloud, context, fence, table, setting, &request).await? {
                Sent::Done => return Ok(Reapply::Wait(SOON, format!("putting back {setting}"))),
                Sent::Later(what) => return Ok(Reapply::Wait(SOON, what)),
                Sent::MuchLater(what) => return Ok(Reapply::Wait(COOL_DOWN, what)),
                // The other gaps of this setting may still close.
                Sent::Refused(why) => refused = refused.or(Some(why)),
            },
            Close::ByHand(..) => {}
        }
    }
    Ok(Reapply::Did(refused.map_or_else(|| setting.to_string(), |why| format!("{setting}: {why}"))))
}

fn is_done(setting: Setting, done: &[String]) -> bool {
    let name = setting.to_string();
    done.iter().any(|done| done == &name || reason(&name, done).is_some())
}

/// Why a setting could not be put back, from its entry.
fn reason<'a>(name: &str, entry: &'a str) -> Option<&'a str> {
    entry.strip_prefix(name)?.strip_prefix(": ")
}

/// Everything that differs.
fn report(table: &str, region: &str, capsule: &Capsule, found: &Value, done: &[String]) -> Vec<Difference> {
    let unread = capsule.unread.iter().map(|unread| Difference {
        setting: unread.setting.clone(),
        wanted: Value::Null,
        found: found.get(&unread.setting).cloned().unwrap_or_default(),
        why: format!("not known: it could not be read when the restore point was made ({})", unread.reason),
        command: None,
    });
    let compared = Setting::ALL.into_iter().flat_map(|setting| {
        let name = setting.to_string();
        let refused = done.iter().find_map(|entry| reason(&name, entry));
        setting
            .gaps(table, &capsule.settings, found)
            .into_iter()
            .chain(setting.follow_ups(table, &capsule.settings, found))
            .map(move |gap| difference(&name, region, gap, refused))
    });
    unread.chain(plan::fixed(&capsule.settings, found)).chain(compared).collect()
}

fn difference(name: &str, region: &str, gap: Gap, refused: Option<&str>) -> Difference {
    let (why, command) = match gap.close {
        Close::Call(request) => {
            let why = refused.unwrap_or("it was put back, and changed since");
            (why.to_owned(), Some(command::of(&request, region)))
        }
        Close::ByHand(request, why) => (why, request.map(|request| command::of(&request, region))),
        Close::Busy(what) => (what, None),
    };
    Difference { setting: name.to_owned(), wanted: gap.wanted, found: gap.found, why, command }
}

/// The table is not there, or not settled.
fn gone(table: &str) -> ProviderError {
    let message = format!("the restored table `{table}` is not there any more");
    let hint = "find out who deleted it; then run the same command again";
    ProviderError::new(ErrorKind::WrongState, message, hint).about([table])
}
