//! Reading tables page by page, in segments side by side, at the pace that the budget allows.

use super::items::{self, Item, RECORD, ROW};
use super::survey::PAGE_UNITS;
use super::{LOOKED_UP, Paid, Run, Target, keyed_otherwise};
use crate::limits::SCAN;
use aws_sdk_dynamodb::operation::scan::ScanOutput;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, Select};
use futures::{StreamExt, TryStreamExt};
use provider_api::verify::{Suspects, Waiting};
use provider_api::{ProviderError, TableKind};
use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};

/// Items of a first page, when their size is not known yet.
const FIRST_ITEMS: i32 = 25;
/// What such a page is guessed to cost.
const FIRST_GUESS: f64 = 4.0;
/// A page costs about this part of a second's budget, so that a small budget is spent evenly.
const PAGE_SECONDS: f64 = 0.5;
/// Segments that are read, or wait for their pace, at the same time: memory for all their positions.
const SEGMENTS_AT_ONCE: usize = 4_096;

/// How large the next page of a segment should be.
#[derive(Clone, Copy, Debug)]
struct Size {
    items: i32,
    guess: f64,
}

impl Size {
    /// From what the last page cost.
    fn after(self, items: i32, cost: f64, wanted: f64, most: f64) -> Size {
        if items < 1 || cost <= 0.0 {
            return self;
        }
        let each = cost / f64::from(items);
        // Between one and what fits.
        #[allow(clippy::cast_possible_truncation)]
        let next = (wanted / each).clamp(1.0, 100_000.0) as i32;
        // Growing slowly: a few small items say little about the next thousand.
        let next = next.min(self.items.saturating_mul(4)).max(1);
        Size { items: next, guess: (f64::from(next) * each).min(most.max(each)) }
    }
}

impl Run<'_> {
    /// Reads every chosen table to its end. With suspects: the second pass.
    pub(super) async fn scan_all(
        &self,
        chosen: impl Fn(&Target) -> bool,
        suspects: Option<&Suspects>,
    ) -> Result<(), ProviderError> {
        let chosen: Vec<&Target> = self.targets.iter().filter(|target| chosen(target)).collect();
        let left: Vec<AtomicU32> = chosen.iter().map(|target| AtomicU32::new(target.segments)).collect();
        let parts = chosen.iter().zip(&left).flat_map(|(target, left)| {
            (0..target.segments).map(move |segment| async move {
                self.segment(target, segment, suspects).await?;
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    self.read.fetch_add(1, Ordering::Relaxed);
                    self.told();
                }
                Ok::<(), ProviderError>(())
            })
        });
        let parts: Vec<_> = parts.collect();
        futures::stream::iter(parts).buffer_unordered(SEGMENTS_AT_ONCE).try_collect::<()>().await
    }

    async fn segment(&self, target: &Target, segment: u32, suspects: Option<&Suspects>) -> Result<(), ProviderError> {
        let strong = suspects.is_some();
        let wanted = (target.pace.rate() * PAGE_SECONDS / f64::from(target.segments)).clamp(0.5, PAGE_UNITS);
        let most = PAGE_UNITS * if strong { 2.0 } else { 1.0 };
        let mut size = Size { items: FIRST_ITEMS, guess: FIRST_GUESS.min(wanted.max(0.5)) };
        let mut start = None;
        loop {
            let page = self.page(target, segment, strong, size, start.take()).await?;
            let cost = page.consumed_capacity.as_ref().and_then(|consumed| consumed.capacity_units);
            let cost = cost.unwrap_or(size.guess);
            target.pace.settle(size.guess, cost);
            self.paid(cost);
            size = size.after(page.scanned_count, cost, wanted, most);
            let next = page.last_evaluated_key.clone().filter(|key| !key.is_empty());
            self.take(target, page, suspects).await?;
            self.told();
            match next {
                Some(key) => start = Some(key),
                None => return Ok(()),
            }
        }
    }

    async fn page(
        &self,
        target: &Target,
        segment: u32,
        strong: bool,
        size: Size,
        start: Option<HashMap<String, AttributeValue>>,
    ) -> Result<ScanOutput, ProviderError> {
        let int = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let turn = Paid { pace: &target.pace, guess: size.guess, table: &target.table };
        let answer = self
            .cloud
            .call_in_turn(self.context, &SCAN, &target.table, &turn, || async {
                let mut call = self.cloud.dynamodb.scan().table_name(&target.table).consistent_read(strong);
                if target.segments > 1 {
                    call = call.segment(int(segment)).total_segments(int(target.segments));
                }
                call = call.limit(size.items).return_consumed_capacity(ReturnConsumedCapacity::Total);
                call = match attributes(target) {
                    None => call.select(Select::Count),
                    Some(names) => {
                        let slots: Vec<_> = (0..names.len()).map(|n| format!("#a{n}")).collect();
                        let named = slots.iter().cloned().zip(names).collect();
                        call.projection_expression(slots.join(", ")).set_expression_attribute_names(Some(named))
                    }
                };
                // The permit is for the page on its way, not for the wait before it.
                let _page = self.pages.acquire().await;
                call.set_exclusive_start_key(start.clone()).send().await
            })
            .await;
        Ok(answer?)
    }

    async fn take(&self, target: &Target, page: ScanOutput, suspects: Option<&Suspects>) -> Result<(), ProviderError> {
        if target.kind == TableKind::Plain {
            self.judge().plain(target.index, u64::try_from(page.scanned_count).unwrap_or(0));
            return Ok(());
        }
        let items = page.items.unwrap_or_default();
        match suspects {
            Some(suspects) => self.witness(target, &items, suspects),
            None if target.kind == TableKind::Coordinator => return self.rows(target, &items),
            None => {
                let waiting = self.records(target, &items);
                self.later(waiting).await?;
            }
        }
        Ok(())
    }

    fn records(&self, target: &Target, items: &[Item]) -> Vec<Waiting> {
        let mut judge = self.judge();
        let record =
            |item: &Item| judge.record(target.index, || items::key_text(item, &target.keys), &items::columns(item));
        items.iter().filter_map(record).collect()
    }

    fn rows(&self, target: &Target, items: &[Item]) -> Result<(), ProviderError> {
        let mut judge = self.judge();
        for item in items {
            let row = items::decision(item);
            if !row.id.is_empty() && !items::is_keyed_by_id(item, &row) {
                return Err(keyed_otherwise(&target.table, &row.id));
            }
            judge.decision(target.index, || items::key_text(item, &target.keys), &row);
        }
        Ok(())
    }

    fn witness(&self, target: &Target, items: &[Item], suspects: &Suspects) {
        self.matched.fetch_add(items.len(), Ordering::Relaxed);
        let mut judge = self.judge();
        for item in items {
            judge.witness(suspects, target.index, || items::key_text(item, &target.keys), &items::columns(item));
        }
    }

    /// Keeps them until there are enough to be looked up together.
    async fn later(&self, waiting: Vec<Waiting>) -> Result<(), ProviderError> {
        let full = {
            let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(waiting);
            if all.len() >= LOOKED_UP { std::mem::take(&mut *all) } else { Vec::new() }
        };
        self.look_up(full).await
    }

    pub(super) async fn look_up_rest(&self) -> Result<(), ProviderError> {
        let rest = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.look_up(rest).await
    }
}

/// The attributes that are asked for; `None`: items are only counted.
fn attributes(target: &Target) -> Option<Vec<String>> {
    let columns: &[&str] = match target.kind {
        TableKind::Plain | TableKind::Metadata => return None,
        TableKind::Transactional => &RECORD,
        TableKind::Coordinator => &ROW,
    };
    Some(target.keys.iter().cloned().chain(columns.iter().map(|name| (*name).to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_to_what_is_wanted_and_never_past_what_a_page_holds() {
        let mut size = Size { items: FIRST_ITEMS, guess: FIRST_GUESS };
        for _ in 0..10 {
            size = size.after(size.items, f64::from(size.items) * 0.05, 64.0, PAGE_UNITS);
        }
        assert_eq!(size.items, 1280);
        assert!((size.guess - 64.0).abs() < 0.1, "{size:?}");
        let large = size.after(10, 500.0, 64.0, PAGE_UNITS);
        assert_eq!(large.items, 1, "{large:?}");
        assert!((large.guess - 50.0).abs() < 0.1, "one such item costs more than is wanted: {large:?}");
        assert_eq!(size.after(0, 0.5, 64.0, PAGE_UNITS).items, size.items, "an empty page says nothing");
    }
}
