//! The SDK's clients, and the one way in which calls are made.

use crate::absence::Absences;
use crate::error::{self, Again, Fault, Site};
use crate::limits::{self, Operation, Service};
use crate::raw::KeepBody;
use crate::settings::Config;
use crate::waited::Waited;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use provider_api::{Context, ErrorKind, Fence, Limiter, ProviderError};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// To open a connection. Ample across the world; a refused or filtered port should not look like a slow service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one call, credentials and connection included: all of them answer in well under a second when healthy, but
/// credentials may have to be fetched from a slow source first.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a call goes on while it is throttled, before the caller is told.
const THROTTLE_PATIENCE: Duration = Duration::from_secs(120);
/// Repeats after trouble on the way or inside the service. With the waits below: about a second and a half.
const TROUBLE_REPEATS: u32 = 3;
/// Wait before the first such repeat; doubled for each further one.
const TROUBLE_WAIT: Duration = Duration::from_millis(200);

/// For a call that changes something: short, so that none can act long after it was sent. It is never repeated here.
const ACT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whose turn it is: what a call waits for before it is sent, and is told of afterwards.
#[async_trait::async_trait]
pub(crate) trait Turn: Send + Sync {
    /// Waits for it.
    async fn wait(&self, context: &Context) -> Result<(), ProviderError>;
    /// The service answered.
    fn answered(&self);
    /// The service asked to be asked more slowly.
    fn throttled(&self);
    /// The call failed otherwise, and is sent again.
    fn unanswered(&self);
}

/// The rate of an operation, as the service counts it.
struct ByOperation<'a> {
    limiter: &'a Limiter,
    operation: &'a Operation,
}

#[async_trait::async_trait]
impl Turn for ByOperation<'_> {
    async fn wait(&self, context: &Context) -> Result<(), ProviderError> {
        self.limiter.acquire(self.operation.name, context).await
    }

    fn answered(&self) {
        self.limiter.answered(self.operation.name);
    }

    fn throttled(&self) {
        self.limiter.throttled(self.operation.name);
    }

    fn unanswered(&self) {}
}

/// The clients of one account and region.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) autoscaling: aws_sdk_applicationautoscaling::Client,
    pub(crate) cloudwatch: aws_sdk_cloudwatch::Client,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) region: String,
    /// What was looked for in vain.
    pub(crate) absences: Absences,
    /// What had to be waited for.
    pub(crate) waited: Waited,
    /// Endpoints as set, without user info, in the order of [`Service`].
    endpoints: [Option<String>; 3],
}

impl Cloud {
    pub(crate) async fn connect(config: &Config) -> Result<Self, ProviderError> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(config.region.clone()))
            // Retries are ours: each takes a token from the limiter. The SDK's would not.
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .read_timeout(CALL_TIMEOUT)
                    .operation_attempt_timeout(CALL_TIMEOUT)
                    .operation_timeout(CALL_TIMEOUT)
                    .build(),
            );
        if let Ok(name) = AppName::new("stillpoint") {
            loader = loader.app_name(name);
        }
        if let Some(client) = &config.http_client {
            loader = loader.http_client(client.clone());
        }
        if let Some(credentials) = &config.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        let sdk = loader.load().await;
        let url = |own: &Option<String>| own.clone().or_else(|| config.endpoint.clone());
        let urls = [&config.endpoints.dynamodb, &config.endpoints.autoscaling, &config.endpoints.cloudwatch].map(url);
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&sdk);
        let mut autoscaling = aws_sdk_applicationautoscaling::config::Builder::from(&sdk);
        let mut cloudwatch = aws_sdk_cloudwatch::config::Builder::from(&sdk);
        // Only what is set: an unset one must not hide the SDK's own AWS_ENDPOINT_URL*.
        if let Some(url) = &urls[0] {
            dynamodb = dynamodb.endpoint_url(url);
        }
        if let Some(url) = &urls[1] {
            autoscaling = autoscaling.endpoint_url(url);
        }
        if let Some(url) = &urls[2] {
            cloudwatch = cloudwatch.endpoint_url(url);
        }
        Ok(Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            autoscaling: aws_sdk_applicationautoscaling::Client::from_conf(autoscaling.build()),
            cloudwatch: aws_sdk_cloudwatch::Client::from_conf(cloudwatch.build()),
            limiter: config.limiter.clone().unwrap_or_else(|| Arc::new(limits::limiter(config))),
            region: config.region.clone(),
            absences: Absences::default(),
            waited: Waited::default(),
            endpoints: urls.map(|url| url.as_deref().map(error::without_user_info)),
        })
    }

    /// The DynamoDB endpoint from the settings, for messages.
    pub(crate) fn dynamodb_endpoint(&self) -> Option<&str> {
        self.endpoints[0].as_deref()
    }

    pub(crate) fn site<'a>(&'a self, operation: &'a Operation, object: &'a str) -> Site<'a> {
        let index = match operation.service {
            Service::DynamoDb => 0,
            Service::AutoScaling => 1,
            Service::CloudWatch => 2,
        };
        Site { operation, object, region: &self.region, endpoint: self.endpoints[index].as_deref() }
    }

    /// Makes a call that only reads: waits for its turn, sends it, repeats it where that can help.
    pub(crate) async fn call<O, E, F>(
        &self,
        context: &Context,
        operation: &Operation,
        object: &str,
        send: impl Fn() -> F + Send + Sync,
    ) -> Result<O, Fault>
    where
        O: Send,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>> + Send,
    {
        let turn = ByOperation { limiter: &self.limiter, operation };
        self.call_in_turn(context, operation, object, &turn, send).await
    }

    /// The same, with a pace that is not the operation's own.
    pub(crate) async fn call_in_turn<O, E, F>(
        &self,
        context: &Context,
        operation: &Operation,
        object: &str,
        turn: &dyn Turn,
        send: impl Fn() -> F + Send + Sync,
    ) -> Result<O, Fault>
    where
        O: Send,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>> + Send,
    {
        let started = Instant::now();
        let mut troubles = 0;
        let mut signed_again = false;
        loop {
            turn.wait(context).await?;
            let sent = Instant::now();
            let answer = context.run(operation.name, async { Ok(send().await) }).await?;
            let took_ms = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
            let fault = match answer {
                Ok(output) => {
                    turn.answered();
                    tracing::debug!(operation = operation.name, object, took_ms, "answered");
                    return Ok(output);
                }
                Err(error) => error::fault(&self.site(operation, object), error),
            };
            tracing::debug!(operation = operation.name, object, took_ms, error = %fault.reason(), "failed");
            match fault.again {
                Again::Throttled if started.elapsed() < THROTTLE_PATIENCE => turn.throttled(),
                Again::Transient if troubles < TROUBLE_REPEATS => {
                    turn.unanswered();
                    context.sleep(operation.name, TROUBLE_WAIT * 2_u32.pow(troubles)).await?;
                    troubles += 1;
                }
                Again::Skewed if !signed_again => {
                    turn.unanswered();
                    signed_again = true;
                }
                _ => return Err(fault),
            }
        }
    }

    /// Makes a call that changes something: waits for its turn, asks the fence, sends it once. Without an answer it is
    /// not known whether it acted.
    pub(crate) async fn act<O, E, F>(
        &self,
        context: &Context,
        operation: &Operation,
        object: &str,
        fence: &dyn Fence,
        send: impl FnOnce() -> F + Send,
    ) -> Result<O, Fault>
    where
        O: Send,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>> + Send,
    {
        self.limiter.acquire(operation.name, context).await?;
        fence.pass().await?;
        // Not cancellable from here on: a request that was sent may act, so its answer is waited for.
        let Ok(answer) = tokio::time::timeout(ACT_TIMEOUT, send()).await else {
            let site = self.site(operation, object);
            return Err(error::silent(&site, ACT_TIMEOUT));
        };
        match answer {
            Ok(output) => {
                self.limiter.answered(operation.name);
                tracing::info!(operation = operation.name, object, "answered");
                Ok(output)
            }
            Err(error) => {
                let fault = error::fault(&self.site(operation, object), error);
                tracing::info!(operation = operation.name, object, error = %fault.reason(), "failed");
                if fault.again == Again::Throttled {
                    self.limiter.throttled(operation.name);
                }
                Err(fault)
            }
        }
    }

    /// Like [`Cloud::call`], for the answer as JSON, with every field the service sent.
    pub(crate) async fn read<O, E, F>(
        &self,
        context: &Context,
        operation: &Operation,
        object: &str,
        send: impl Fn(KeepBody) -> F + Send + Sync,
    ) -> Result<(O, Value), Fault>
    where
        O: Send,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>> + Send,
    {
        let body = KeepBody::default();
        let output = self.call(context, operation, object, || send(body.clone())).await?;
        let json = body.json().map_err(|reason| {
            let message = format!("{} on `{object}` in {}: {reason}", operation.name, self.region);
            ProviderError::new(ErrorKind::Service, message, "check that `endpoint` is an AWS endpoint")
        })?;
        Ok((output, json))
    }
}
