//! DynamoDB's clock against ours, from the `Date` headers of ordinary answers. What to send when is decided in
//! [`crate::sampler`].

use crate::client::Cloud;
use crate::error::{self, Fault};
use crate::limits::LIST_TABLES;
use crate::sampler::{Next, Sample, Sampler};
use crate::settings::MonoSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::timeout::TimeoutConfig;
use provider_api::{ClockInterval, Context, ErrorKind, Mono, ProviderError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A slower answer says less than no answer: ask again.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests in a row without a usable answer, after which the clock cannot be measured.
const FAILURES: u32 = 3;

/// Notes when a request left and when its answer came, and the answer's `Date`: of any answer, errors too.
#[derive(Clone, Debug)]
pub(crate) struct Stopwatch {
    mono: MonoSource,
    reading: Arc<Mutex<Reading>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    sent: Option<Mono>,
    sample: Option<Sample>,
}

impl Stopwatch {
    pub(crate) fn new(mono: &MonoSource) -> Self {
        Self { mono: mono.clone(), reading: Arc::default() }
    }

    /// The second on the service's clock in which the last answer was made, if it said one.
    pub(crate) fn second(&self) -> Option<i64> {
        self.with(|reading| reading.sample.map(|sample| sample.second))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Reading) -> T) -> T {
        act(&mut self.reading.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intercept for Stopwatch {
    fn name(&self) -> &'static str {
        "Stopwatch"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _runtime_components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let now = self.mono.now();
        self.with(|reading| *reading = Reading { sent: Some(now), sample: None });
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _runtime_components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let received = self.mono.now();
        let headers = context.response().headers();
        let second = date(headers.get("date"), headers.get("age"));
        self.with(|reading| {
            reading.sample = reading.sent.zip(second).map(|(sent, second)| Sample { sent, received, second });
        });
        Ok(())
    }
}

/// The second an answer was made in. `None` if it says none, or comes from a cache.
fn date(date: Option<&str>, age: Option<&str>) -> Option<i64> {
    if age.is_some() {
        return None;
    }
    DateTime::from_str(date?, Format::HttpDate).ok().map(|date| date.secs())
}

/// Measures. Takes about two to three seconds, most of it waiting for edges of seconds.
pub(crate) async fn measure(
    cloud: &Cloud,
    mono: &MonoSource,
    context: &Context,
) -> Result<ClockInterval, ProviderError> {
    let what = "measuring the clock of DynamoDB";
    let mut sampler = Sampler::new();
    let mut failures = 0;
    loop {
        let (at, copies) = match sampler.next(mono.now()) {
            Next::Send { at, copies } => (at, copies),
            Next::Done(interval) => {
                tracing::debug!(lo_ns = interval.lo_ns, hi_ns = interval.hi_ns, "measured the clock");
                return Ok(interval);
            }
            Next::Unsure(best) => return Err(unsure(cloud, best)),
        };
        // Tokens first: waiting for them must not spoil the moment.
        for _ in 0..copies {
            cloud.limiter.acquire(LIST_TABLES.name, context).await?;
        }
        context.sleep(what, at.since(mono.now())).await?;
        let answers = context
            .run(what, async { Ok(futures::future::join_all((0..copies).map(|_| ask(cloud, mono))).await) })
            .await?;
        for answer in answers {
            match answer {
                Ok(sample) => {
                    tracing::debug!(?sample, "sampled the clock");
                    failures = 0;
                    sampler.add(sample);
                }
                Err(fault) => {
                    failures += 1;
                    if failures >= FAILURES || !fault.error.retryable {
                        return Err(fault.error);
                    }
                }
            }
        }
    }
}

/// One small request. Whatever is answered, a refusal included, has a `Date`.
async fn ask(cloud: &Cloud, mono: &MonoSource) -> Result<Sample, Fault> {
    let stopwatch = Stopwatch::new(mono);
    let timeout =
        TimeoutConfig::builder().operation_timeout(SAMPLE_TIMEOUT).operation_attempt_timeout(SAMPLE_TIMEOUT).build();
    let answer = cloud
        .dynamodb
        .list_tables()
        .limit(1)
        .customize()
        .interceptor(stopwatch.clone())
        .config_override(aws_sdk_dynamodb::Config::builder().timeout_config(timeout))
        .send()
        .await;
    if let Some(sample) = stopwatch.with(|reading| reading.sample) {
        return Ok(sample);
    }
    Err(match answer {
        Err(error) => error::fault(&cloud.site(&LIST_TABLES, ""), error),
        Ok(_) => Fault::from(
            ProviderError::new(
                ErrorKind::ClockUnsure,
                format!("answers of DynamoDB in {} have no usable Date header", cloud.region),
                "take away the proxy or cache that removes it or answers in DynamoDB's place",
            )
            .retryable(true),
        ),
    })
}

fn unsure(cloud: &Cloud, best: Option<ClockInterval>) -> ProviderError {
    let width = best.map_or(0, |best| (best.hi_ns - best.lo_ns) / 1_000_000);
    ProviderError::new(
        ErrorKind::ClockUnsure,
        format!("the clock of DynamoDB in {} could only be bounded to {width} ms", cloud.region),
        "answers are slow or their clocks disagree: run nearer to the region, without proxies, and try again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_cached_or_broken_ones_are_not() {
        let text = "Mon, 23 Nov 2026 03:00:07 GMT";
        assert_eq!(date(Some(text), None), Some(1_795_402_807));
        assert_eq!(date(Some(text), Some("0")), None);
        assert_eq!(date(Some("yesterday"), None), None);
        assert_eq!(date(None, None), None);
    }
}
