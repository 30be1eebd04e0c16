//! Reading at a rate: what a page costs is known only after it was read, so it is guessed, and settled afterwards.

use crate::{Context, ProviderError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What may be saved up: without it, every late answer would be lost from the rate for good.
const SAVED: f64 = 1.0;
/// First pause after a throttled answer; each further one in a row doubles it.
const FIRST_PENALTY: f64 = 0.5;
/// The longest.
const LONGEST_PENALTY: f64 = 20.0;

/// A rate of read units, shared by everything that reads against it. Cheap to ask.
#[derive(Debug)]
pub struct ReadPace {
    origin: Instant,
    rate: f64,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// When all that was taken so far is paid for, in seconds since the origin.
    paid_at: f64,
    penalty: f64,
}

impl ReadPace {
    /// So many read units a second; at least one in a minute, whatever is asked.
    pub fn new(rate: f64) -> Self {
        let rate = if rate.is_finite() { rate.max(1.0 / 60.0) } else { 1.0 };
        ReadPace { origin: Instant::now(), rate, state: Mutex::new(State { paid_at: 0.0, penalty: 0.0 }) }
    }

    /// Units a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Waits until about this many units may be read. [`ReadPace::settle`] with the same guess must follow the answer.
    pub async fn acquire(
        &self,
        guess: f64,
        context: &Context,
        what: impl std::fmt::Display + Send,
    ) -> Result<(), ProviderError> {
        let now = self.origin.elapsed().as_secs_f64();
        let slot = self.with(|state| {
            let slot = state.paid_at.max(now - SAVED);
            state.paid_at = slot + guess / self.rate;
            slot
        });
        if slot > now {
            context.sleep(what, Duration::from_secs_f64(slot - now)).await?;
        }
        Ok(())
    }

    /// What the answer cost, after so much had been guessed.
    pub fn settle(&self, guess: f64, cost: f64) {
        self.with(|state| {
            state.paid_at += (cost - guess) / self.rate;
            state.penalty /= 2.0;
        });
    }

    /// The service read nothing, and asked to be asked more slowly.
    pub fn throttled(&self, guess: f64) {
        let now = self.origin.elapsed().as_secs_f64();
        self.with(|state| {
            state.penalty = (state.penalty * 2.0).clamp(FIRST_PENALTY, LONGEST_PENALTY);
            state.paid_at = (state.paid_at - guess / self.rate).max(now + state.penalty);
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // A panic elsewhere cannot leave the two numbers half-changed.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Reads pages of these costs in several tasks; the units that were read in how many seconds.
    async fn read(pace: ReadPace, tasks: usize, pages: usize, cost: impl Fn(usize) -> f64) -> (f64, f64) {
        let pace = Arc::new(pace);
        let started = Instant::now();
        let cost: Vec<f64> = (0..pages).map(cost).collect();
        let all = (0..tasks).map(|_| {
            let (pace, cost) = (Arc::clone(&pace), cost.clone());
            tokio::spawn(async move {
                for cost in &cost {
                    pace.acquire(10.0, &Context::default(), "reading").await.unwrap();
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    pace.settle(10.0, *cost);
                }
            })
        });
        for task in all.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        (cost.iter().sum::<f64>() * tasks as f64, started.elapsed().as_secs_f64())
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_pages_cost_the_rate_is_kept_and_used() {
        for tasks in [1, 8] {
            let (units, seconds) = read(ReadPace::new(100.0), tasks, 400, |n| [1.0, 10.0, 30.0][n % 3]).await;
            let used = units / seconds / 100.0;
            assert!((0.97..1.02).contains(&used), "{tasks} tasks: {used}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_answer_costs_nothing_but_time() {
        let pace = ReadPace::new(100.0);
        let started = Instant::now();
        pace.acquire(10.0, &Context::default(), "reading").await.unwrap();
        pace.throttled(10.0);
        pace.acquire(10.0, &Context::default(), "reading").await.unwrap();
        assert_eq!(started.elapsed().as_millis(), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nonsense_rate_is_slow_but_no_panic() {
        for rate in [0.0, -1.0, f64::NAN] {
            ReadPace::new(rate).acquire(1.0, &Context::default(), "reading").await.unwrap();
        }
    }
}
