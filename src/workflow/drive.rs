//! Driving the steps of a run's units: many at a time, every outcome stored before the next step of the same unit.

use super::fence::RunFence;
use super::pace::{self, Pace, Parked};
use super::{Ended, Job, Moved, Options, Run, Seen, Snapshot, UnitKey, hold};
use crate::catalog::{CatalogError, CatalogErrorKind, PointEvent, PointLog, RunKind};
use chrono::Utc;
use provider_api::{Act, Context, DurableWork, ErrorKind, ProviderError, Record, Step, Unit, Way};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Steps under way at a time. Rates are the provider's business; this only has to hide the length of its answers.
const AT_ONCE: usize = 64;
/// How long outcomes are gathered for one object of the log.
const GATHER: Duration = Duration::from_millis(100);

/// Why driving stopped.
pub(super) enum Stopped {
    Ended(Ended),
    /// The catalog does not answer. Nothing is lost: every step can be repeated.
    Away(CatalogError),
    /// The catalog refuses.
    Fatal(CatalogError),
    /// Somebody else has the run.
    Taken,
}

/// What driving knows of a unit besides the log.
struct Track {
    key: UnitKey,
    unit: Unit,
    work: Arc<dyn DurableWork>,
    pace: Pace,
    due: Instant,
    under_way: bool,
    phase: String,
    begun: Option<Instant>,
    failed: bool,
}

type Outcome = (usize, Result<Step, ProviderError>);

pub(super) struct Drive<'a> {
    log: PointLog,
    run: Run,
    holder: String,
    options: &'a Options,
    tracks: Vec<Track>,
    index: HashMap<UnitKey, usize>,
    limits: BTreeMap<String, usize>,
    fence: Arc<RunFence>,
    context: Context,
    tasks: JoinSet<Outcome>,
    parked: Parked,
    failures: Vec<(UnitKey, ProviderError)>,
    finished: Vec<Duration>,
    moved: Vec<Moved>,
    begun: Instant,
    renew_at: Instant,
    /// No new steps: something has ended the whole run.
    halted: bool,
}

impl<'a> Drive<'a> {
    /// `None` if nobody holds the run.
    pub(super) fn new(log: PointLog, run: Run, jobs: &[Job], options: &'a Options, begun: Instant) -> Option<Self> {
        let hold = run.hold.clone()?;
        let now = Instant::now();
        let mut tracks = Vec::new();
        let mut limits = BTreeMap::new();
        for job in jobs {
            limits.extend(job.work.slots());
            tracks.extend(job.units.iter().map(|unit| Track {
                key: UnitKey { database: job.database.clone(), unit: unit.name.clone() },
                unit: unit.clone(),
                work: Arc::clone(&job.work),
                pace: Pace::default(),
                due: now,
                under_way: false,
                phase: String::new(),
                begun: None,
                failed: false,
            }));
        }
        let index = tracks.iter().enumerate().map(|(n, track)| (track.key.clone(), n)).collect();
        let fence = Arc::new(RunFence::new(options, log.watcher(), hold.clone()));
        Some(Drive {
            log,
            run,
            holder: hold.holder,
            options,
            tracks,
            index,
            limits,
            fence,
            context: Context::default(),
            tasks: JoinSet::new(),
            parked: Parked::default(),
            failures: Vec::new(),
            finished: Vec::new(),
            moved: Vec::new(),
            begun,
            renew_at: now + hold::renew_after(options),
            halted: false,
        })
    }

    /// Until every unit is done or can go no further, the time is over, or the caller asks to stop.
    pub(super) async fn run(mut self, cancel: &CancellationToken, seen: &mut Seen<'_>) -> Stopped {
        let give_up = self.options.time_out.map(|after| self.begun + after);
        loop {
            self.start_due();
            self.tell(seen);
            let over = give_up.is_some_and(|at| Instant::now() >= at);
            if cancel.is_cancelled() || over || self.halted {
                return self.wind_down(over && !cancel.is_cancelled(), cancel.is_cancelled()).await;
            }
            let Some(next) = self.next_due(give_up) else { return self.wind_down(false, false).await };
            let outcomes = tokio::select! {
                Some(joined) = self.tasks.join_next(), if !self.tasks.is_empty() => self.gather(joined.ok()).await,
                () = tokio::time::sleep_until(next) => Vec::new(),
                () = cancel.cancelled() => Vec::new(),
            };
            if let Err(error) = self.take_in(outcomes).await {
                return self.interrupted(error).await;
            }
        }
    }

    /// The outcomes that come within a moment of the first.
    async fn gather(&mut self, first: Option<Outcome>) -> Vec<Outcome> {
        let until = Instant::now() + GATHER;
        let mut outcomes: Vec<Outcome> = first.into_iter().collect();
        while let Ok(Some(joined)) = tokio::time::timeout_at(until, self.tasks.join_next()).await {
            outcomes.extend(joined.ok());
        }
        outcomes
    }

    /// Starts a step of every unit whose time has come.
    fn start_due(&mut self) {
        let now = Instant::now();
        for at in 0..self.tracks.len() {
            if self.halted || self.tasks.len() >= AT_ONCE {
                return;
            }
            if self.may_start(at) && self.tracks[at].due <= now {
                self.start(at, now);
            }
        }
    }

    /// Neither done, nor failed, nor waiting for a slot or for another unit.
    fn may_start(&self, at: usize) -> bool {
        let track = &self.tracks[at];
        let done = |key: &UnitKey| self.run.units.get(key).is_some_and(|unit| unit.done);
        let before = |name: &String| UnitKey { database: track.key.database.clone(), unit: name.clone() };
        // On the way back the order has no meaning: what a unit made is its own.
        let first = self.run.way == Way::Back || track.unit.after.iter().all(|name| done(&before(name)));
        !track.under_way && !track.failed && !done(&track.key) && !self.parked.holds(&track.key) && first
    }

    fn start(&mut self, at: usize, now: Instant) {
        let track = &mut self.tracks[at];
        track.under_way = true;
        track.begun.get_or_insert(now);
        let known = self.run.unit(&track.key);
        let (work, unit) = (Arc::clone(&track.work), track.unit.clone());
        let (fence, context, way) = (Arc::clone(&self.fence), self.context.clone(), self.run.way);
        self.tasks.spawn(async move {
            let act = known.intent.as_ref().map(|intent| Act { intent, fence: &*fence });
            (at, work.step(&context, way, &unit, &known.state, act).await)
        });
    }

    /// When something is to be done next, if anything ever is.
    fn next_due(&self, give_up: Option<Instant>) -> Option<Instant> {
        let waiting = (0..self.tracks.len()).filter(|at| self.may_start(*at)).map(|at| self.tracks[at].due).min();
        if waiting.is_none() && self.tasks.is_empty() {
            return None;
        }
        // With every task busy an outcome wakes us, not a unit that is due.
        let waiting = waiting.filter(|_| self.tasks.len() < AT_ONCE);
        [Some(self.renew_at), waiting, give_up].into_iter().flatten().min()
    }

    /// Stores what was decided, and only then acts by it.
    async fn take_in(&mut self, mut outcomes: Vec<Outcome>) -> Result<(), CatalogError> {
        let mut events = Vec::new();
        // In the order of the plan, also among those that wait for a slot: others may come after the first.
        outcomes.sort_by_key(|(at, _)| *at);
        for (at, outcome) in outcomes {
            self.tracks[at].under_way = false;
            events.extend(self.decide(at, outcome));
        }
        let renewal = Instant::now() >= self.renew_at;
        if renewal {
            events.push(hold::event(&self.run.id, hold::renewed(&self.holder, self.options)));
        }
        self.store(events).await?;
        if renewal {
            self.renew_at = Instant::now() + hold::renew_after(self.options);
        }
        self.admit().await
    }

    async fn store(&mut self, events: Vec<PointEvent>) -> Result<(), CatalogError> {
        if events.is_empty() {
            return Ok(());
        }
        self.log.append_all(events.clone()).await?;
        events.iter().for_each(|event| self.run.apply(event));
        Ok(())
    }

    /// Lets units in that wait for a slot, as far as there is room.
    async fn admit(&mut self) -> Result<(), CatalogError> {
        if self.parked.len() == 0 || self.halted {
            return Ok(());
        }
        let mut taken = pace::taken(&self.run);
        let admitted = self.parked.admit(&self.limits, &mut taken);
        let mut events = Vec::new();
        for (key, intent) in admitted {
            if let Some(at) = self.index.get(&key).copied() {
                self.say(at, &intent.text, true);
                // What was waited for is no part of its own length.
                self.tracks[at].begun = Some(Instant::now());
            }
            events.push(self.intent_event(key, intent));
        }
        self.store(events).await
    }

    fn intent_event(&self, key: UnitKey, intent: provider_api::Intent) -> PointEvent {
        PointEvent::UnitIntent { run: self.run.id.clone(), database: key.database, unit: key.unit, intent }
    }

    /// What an outcome means: an event to store, a time to look again, or a failure.
    fn decide(&mut self, at: usize, outcome: Result<Step, ProviderError>) -> Option<PointEvent> {
        let (now, scale) = (Instant::now(), self.options.time_scale);
        let key = self.tracks[at].key.clone();
        self.tracks[at].due = now;
        match outcome {
            Ok(Step::Intend(intent)) if intent.slot.is_some() => {
                self.say(at, "waiting for its turn", false);
                self.parked.push(key, intent);
                None
            }
            Ok(Step::Intend(intent)) => {
                self.say(at, &intent.text, true);
                Some(self.intent_event(key, intent))
            }
            Ok(Step::Did(record)) => Some(self.record(at, record, false)),
            Ok(Step::Done(record)) => {
                let length = self.tracks[at].begun.map(|begun| now - begun);
                self.finished.extend(length);
                Some(self.record(at, record, true))
            }
            Ok(Step::Failed(record, error)) => {
                let event = self.record(at, record, false);
                self.fail(at, error);
                Some(event)
            }
            Ok(Step::Wait { poll, progress }) => {
                let (new, wait) = self.tracks[at].pace.wait(poll, &progress, scale);
                self.tracks[at].due = now + wait;
                if new {
                    self.say(at, &progress, false);
                }
                None
            }
            Err(error) if error.kind == ErrorKind::Cancelled => None,
            Err(error) => {
                match self.tracks[at].pace.trouble(&error, now - self.begun, scale) {
                    Some(wait) => {
                        tracing::debug!(unit = key.unit, "will be tried again: {error}");
                        self.tracks[at].due = now + wait;
                    }
                    None => self.fail(at, error),
                }
                None
            }
        }
    }

    fn record(&mut self, at: usize, record: Record, done: bool) -> PointEvent {
        self.tracks[at].pace.moved();
        self.say(at, &record.text, true);
        let UnitKey { database, unit } = self.tracks[at].key.clone();
        PointEvent::UnitRecord { run: self.run.id.clone(), database, unit, record, done }
    }

    /// The others go on, unless this one shows that the whole run is for nothing, or not ours any more.
    fn fail(&mut self, at: usize, error: ProviderError) {
        self.halted |= matches!(error.kind, ErrorKind::Lost | ErrorKind::Fenced | ErrorKind::Credentials);
        // The units of a drill wait for each other: with one of them none can get to its end.
        self.halted |= self.run.kind == RunKind::Drill && self.run.way == Way::Forward;
        let text = error.to_string();
        self.say(at, &text, true);
        self.tracks[at].failed = true;
        self.failures.push((self.tracks[at].key.clone(), error));
    }

    fn say(&mut self, at: usize, text: &str, new: bool) {
        let track = &mut self.tracks[at];
        if new || track.phase != text {
            let elapsed = track.begun.map(|begun| begun.elapsed()).unwrap_or_default();
            self.moved.push(Moved { unit: track.key.clone(), text: text.to_owned(), elapsed });
        }
        text.clone_into(&mut track.phase);
    }

    fn tell(&mut self, seen: &mut Seen<'_>) {
        let done = |track: &Track| self.run.units.get(&track.key).is_some_and(|unit| unit.done);
        let mut phases = BTreeMap::new();
        let (mut running, mut waiting, mut finished) = (Vec::new(), self.parked.len(), 0);
        for track in &self.tracks {
            if done(track) {
                finished += 1;
                continue;
            }
            *phases.entry(track.phase.clone()).or_insert(0) += 1;
            match track.begun {
                Some(begun) if !self.parked.holds(&track.key) => running.push(begun.elapsed()),
                Some(_) => {}
                None => waiting += 1,
            }
        }
        let at_once = self.limits.values().sum::<usize>().min(self.tracks.len());
        seen(&Snapshot {
            total: self.tracks.len(),
            done: finished,
            phases,
            elapsed: self.begun.elapsed(),
            left: pace::left(&self.finished, &running, waiting, at_once),
            moved: std::mem::take(&mut self.moved),
        });
    }

    /// Waits for what is under way, stores it, and gives the run back or ends it.
    async fn wind_down(mut self, timed_out: bool, cancelled: bool) -> Stopped {
        self.halted = true;
        self.context.cancel.cancel();
        let mut outcomes = Vec::new();
        while let Some(joined) = self.tasks.join_next().await {
            outcomes.extend(joined.ok());
        }
        let total = self.tracks.len();
        let result = async {
            self.take_in(outcomes).await?;
            let done = self.tracks.iter().filter(|t| self.run.units.get(&t.key).is_some_and(|u| u.done)).count();
            let (run, at) = (self.run.id.clone(), Utc::now());
            let last = match (done == total, self.run.way) {
                (true, Way::Forward) => PointEvent::RunDone { run, at },
                (true, Way::Back) => PointEvent::RunAborted { run, at },
                _ => PointEvent::WorkReleased { run },
            };
            self.store(vec![last]).await?;
            Ok(done)
        };
        match result.await {
            Err(error) => self.interrupted(error).await,
            Ok(_) if self.failures.iter().any(|(_, error)| error.kind == ErrorKind::Fenced && !error.retryable) => {
                Stopped::Taken
            }
            Ok(done) if done == total => Stopped::Ended(Ended::Done),
            Ok(_) if !self.failures.is_empty() => Stopped::Ended(Ended::Failed(self.failures)),
            Ok(done) if timed_out => Stopped::Ended(Ended::TimedOut { done, total }),
            Ok(done) => {
                debug_assert!(cancelled || total == 0, "stopped at {done} of {total} for no reason");
                Stopped::Ended(Ended::Cancelled)
            }
        }
    }

    /// The log could not be written. What is under way ends first, so that nothing acts behind our back.
    async fn interrupted(mut self, error: CatalogError) -> Stopped {
        self.context.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
        match error.kind {
            CatalogErrorKind::Unreachable => Stopped::Away(error),
            CatalogErrorKind::Conflict => Stopped::Taken,
            _ => Stopped::Fatal(error),
        }
    }
}
