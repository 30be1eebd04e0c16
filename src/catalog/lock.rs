//! The pause lock: of all processes that share a catalog, one at a time may pause pods.
//!
//! A log like every other: acquire, renew and release are the next number, so two that want the lock at once cannot both get it.
//! Its last event says who holds it. It is free when it was released, when its time has passed, or when its holder is proven dead
//! on this same machine and boot. It never makes a pause safe by itself, since a process can be stopped for longer than any lock
//! lasts: the holder asks again after its window, and voids the window when the lock was lost.

use super::Catalog;
use super::error::{CatalogError, CatalogErrorKind};
use super::log::Log;
use super::{nonce, store::Store};
use chrono::{DateTime, TimeDelta, Utc};
use provider_api::Mono;
use serde::{Deserialize, Serialize};

const PAUSE: &str = "pause";

/// How long after its end a lock is still respected: the wall clocks of two machines differ.
const TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// How often the next number is tried when others keep taking it, each without keeping the lock.
const RACES: usize = 16;

/// A process, well enough known to tell whether it lives.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Host name: in a container its own, so that process ids of two containers are not mixed up.
    pub host: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// Process id.
    pub pid: u32,
    /// The process's start time in clock ticks since boot: tells it from a later one with the same id.
    pub pid_start: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum LockEvent {
    Acquired { owner: Owner, nonce: String, until: DateTime<Utc> },
    Renewed { owner: Owner, nonce: String, until: DateTime<Utc> },
    Released { owner: Owner, nonce: String },
}

/// The lock as its log says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockStatus {
    /// Who took it.
    pub owner: Owner,
    /// Until when, by the owner's wall clock.
    pub until: DateTime<Utc>,
    /// The owner's nonce for it.
    #[serde(skip)]
    nonce: String,
}

impl LockStatus {
    /// How long after its end it is still respected.
    pub const TOLERANCE: TimeDelta = TOLERANCE;

    /// Whether its time has passed, tolerance included.
    pub fn expired(&self, now: DateTime<Utc>) -> bool {
        now > self.until + TOLERANCE
    }
}

/// Whether the lock is still ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Yes.
    Held,
    /// Our time has passed, though nobody else has taken the lock.
    Expired,
    /// Somebody else has taken it, or it was released.
    Lost {
        /// Who holds it now, if anybody.
        by: Option<Owner>,
    },
}

/// How an attempt to take the lock ended.
#[derive(Debug)]
pub enum Acquired {
    /// It is ours.
    Held(PauseLock),
    /// Somebody else holds it.
    Refused {
        /// Who, and until when.
        holder: LockStatus,
    },
}

/// The pause lock, or another of the catalog's, held. Dropping it releases nothing: the end of its time does.
#[derive(Debug)]
pub struct PauseLock {
    store: Store,
    prefix: String,
    owner: Owner,
    nonce: String,
    until: DateTime<Utc>,
    /// The same on our monotonic clock: a step of the wall clock neither ends nor prolongs what we hold. Others judge by
    /// the wall clock, and then it is not ours any more by their entry in the log.
    ends: Mono,
}

/// Where the log of a lock is.
fn prefix(name: &str) -> String {
    format!("locks/{name}")
}

/// A wall time in the near future on the monotonic clock.
fn mono_at(until: DateTime<Utc>) -> Mono {
    Mono::now() + (until - Utc::now()).to_std().unwrap_or_default()
}

impl PauseLock {
    /// Takes the lock until the given time, unless somebody holds it.
    ///
    /// `is_dead` answers whether a process is *proven* dead. It is asked only about owners with our host name and boot id, and
    /// must say `false` in doubt.
    pub async fn acquire(
        catalog: &Catalog,
        owner: Owner,
        until: DateTime<Utc>,
        is_dead: impl Fn(&Owner) -> bool,
    ) -> Result<Acquired, CatalogError> {
        Self::acquire_named(catalog, PAUSE, owner, until, is_dead).await
    }

    /// The same for another lock of the catalog: letters, digits, `-` and `_`.
    pub async fn acquire_named(
        catalog: &Catalog,
        name: &str,
        owner: Owner,
        until: DateTime<Utc>,
        is_dead: impl Fn(&Owner) -> bool,
    ) -> Result<Acquired, CatalogError> {
        let prefix = prefix(name);
        let nonce = nonce();
        let ends = mono_at(until);
        let mut lost = None;
        for _ in 0..RACES {
            let (mut log, current) = last(&catalog.store, &prefix).await?;
            let now = Utc::now();
            if let Some(holder) = current {
                // Ours: an earlier try of this call arrived though its answer was lost.
                if holder.nonce == nonce {
                    return Ok(Acquired::Held(PauseLock {
                        store: catalog.store.clone(),
                        prefix,
                        owner,
                        nonce,
                        until,
                        ends,
                    }));
                }
                let same_boot = holder.owner.host == owner.host && holder.owner.boot_id == owner.boot_id;
                let free = holder.expired(now) || (same_boot && is_dead(&holder.owner));
                if !free {
                    return Ok(Acquired::Refused { holder });
                }
            }
            let event = LockEvent::Acquired { owner: owner.clone(), nonce: nonce.clone(), until };
            match log.append(now, &[event]).await {
                Ok(_) => {
                    return Ok(Acquired::Held(PauseLock {
                        store: catalog.store.clone(),
                        prefix,
                        owner,
                        nonce,
                        until,
                        ends,
                    }));
                }
                Err(error) if error.kind == CatalogErrorKind::Conflict => lost = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(lost.unwrap_or_else(|| CatalogError::conflict(&prefix, "many at once")))
    }

    /// Reads the lock again. Ask after a window: a lock that is not `Held` voids it (LockLost).
    pub async fn still_held(&self) -> Result<Holding, CatalogError> {
        Ok(self.holding(last(&self.store, &self.prefix).await?.1, Mono::now()))
    }

    /// Holds the lock until a later time. Fails with `Conflict` when it is not ours any more. Never inside a window.
    pub async fn renew(&mut self, until: DateTime<Utc>) -> Result<(), CatalogError> {
        let event = LockEvent::Renewed { owner: self.owner.clone(), nonce: self.nonce.clone(), until };
        let (mut log, current) = last(&self.store, &self.prefix).await?;
        match self.holding(current, Mono::now()) {
            // Nobody has it, and whoever wants it as well must win the same number.
            Holding::Held | Holding::Expired => log.append(Utc::now(), &[event]).await?,
            Holding::Lost { by } => {
                let by = by.map_or_else(|| "nobody".to_owned(), |owner| format!("{} pid {}", owner.host, owner.pid));
                return Err(CatalogError::conflict(&self.prefix, &by));
            }
        };
        self.until = until;
        self.ends = mono_at(until);
        Ok(())
    }

    /// Gives the lock back. A lock that is not ours any more is left alone, so a repeat is harmless.
    pub async fn release(&self) -> Result<(), CatalogError> {
        let event = LockEvent::Released { owner: self.owner.clone(), nonce: self.nonce.clone() };
        let (mut log, current) = last(&self.store, &self.prefix).await?;
        if current.is_none_or(|current| current.nonce != self.nonce) {
            return Ok(());
        }
        match log.append(Utc::now(), &[event]).await {
            Err(error) if error.kind != CatalogErrorKind::Conflict => Err(error),
            // Another has just taken what had expired: nothing of ours is left to give back.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What tells this holding from any other.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Until when it is ours.
    pub fn until(&self) -> DateTime<Utc> {
        self.until
    }

    fn holding(&self, current: Option<LockStatus>, now: Mono) -> Holding {
        match current {
            Some(current) if current.nonce == self.nonce && now < self.ends => Holding::Held,
            Some(current) if current.nonce == self.nonce => Holding::Expired,
            other => Holding::Lost { by: other.map(|status| status.owner) },
        }
    }
}

/// Who has taken the pause lock and not released it, whether or not its time has passed.
pub async fn lock_status(catalog: &Catalog) -> Result<Option<LockStatus>, CatalogError> {
    Ok(last(&catalog.store, &prefix(PAUSE)).await?.1)
}

/// Gives back the pause lock of a holder that `is_gone` says is proven to do nothing more, as it would have done itself.
/// Returns whose it was. A lock that anybody takes, renews or releases meanwhile is left alone; a repeat changes nothing.
pub async fn release_of_gone(
    catalog: &Catalog,
    is_gone: impl Fn(&Owner) -> bool,
) -> Result<Option<LockStatus>, CatalogError> {
    let (mut log, current) = last(&catalog.store, &prefix(PAUSE)).await?;
    let Some(holder) = current.filter(|holder| is_gone(&holder.owner)) else { return Ok(None) };
    let event = LockEvent::Released { owner: holder.owner.clone(), nonce: holder.nonce.clone() };
    match log.append(Utc::now(), &[event]).await {
        Ok(_) => Ok(Some(holder)),
        Err(error) if error.kind == CatalogErrorKind::Conflict => Ok(None),
        Err(error) => Err(error),
    }
}

async fn last(store: &Store, prefix: &str) -> Result<(Log<LockEvent>, Option<LockStatus>), CatalogError> {
    let (log, batch) = Log::<LockEvent>::read_last(store, prefix).await?;
    let status = batch.and_then(|batch| match batch.events.into_iter().next_back() {
        Some(LockEvent::Acquired { owner, nonce, until } | LockEvent::Renewed { owner, nonce, until }) => {
            Some(LockStatus { owner, until, nonce })
        }
        Some(LockEvent::Released { .. }) | None => None,
    });
    Ok((log, status))
}
