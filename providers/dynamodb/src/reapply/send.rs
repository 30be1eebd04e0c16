//! Sends a planned request, word for word, and says what its answer means for the setting.
//!
//! A request holds every member that was recorded, those that this version of the SDK has no field for included. So the
//! SDK signs and sends, and the body is ours.

use super::gone;
use super::plan::{Request, Setting};
use crate::client::Cloud;
use crate::error::Fault;
use crate::limits::Service;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use provider_api::{Context, ErrorKind, Fence, ProviderError};

/// What became of a request.
#[derive(Debug, PartialEq)]
pub(super) enum Sent {
    /// It was accepted. Whether it is true already, a look will tell.
    Done,
    /// Not now; what for.
    Later(String),
    /// Not for up to an hour; what for.
    MuchLater(String),
    /// Never; why.
    Refused(String),
}

/// Replaces the body of a request before it is signed.
#[derive(Clone, Debug)]
struct OwnBody(Vec<u8>);

impl Intercept for OwnBody {
    fn name(&self) -> &'static str {
        "OwnBody"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _runtime_components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.headers_mut().insert("content-length", self.0.len().to_string());
        *request.body_mut() = SdkBody::from(self.0.clone());
        Ok(())
    }
}

pub(super) async fn send(
    cloud: &Cloud,
    context: &Context,
    fence: &dyn Fence,
    table: &str,
    setting: Setting,
    request: &Request,
) -> Result<Sent, ProviderError> {
    let body = OwnBody(encoded(request));
    let (dynamodb, scaling, alarms) = (&cloud.dynamodb, &cloud.autoscaling, &cloud.cloudwatch);
    // Looked at by the SDK for where to send it; what is sent is in the body.
    let arn = request.body["ResourceArn"].as_str().unwrap_or_default();
    macro_rules! call {
        ($builder:expr) => {
            cloud
                .act(context, &request.operation, table, fence, || $builder.customize().interceptor(body).send())
                .await
                .map(drop)
        };
    }
    let answer = match (request.operation.service, request.operation.name) {
        (Service::DynamoDb, "UpdateContinuousBackups") => call!(dynamodb.update_continuous_backups().table_name(table)),
        (Service::DynamoDb, "UpdateTable") => call!(dynamodb.update_table().table_name(table)),
        (Service::DynamoDb, "TagResource") => call!(dynamodb.tag_resource().resource_arn(arn)),
        (Service::DynamoDb, "UpdateTimeToLive") => call!(dynamodb.update_time_to_live().table_name(table)),
        (Service::DynamoDb, "EnableKinesisStreamingDestination") => {
            call!(dynamodb.enable_kinesis_streaming_destination().table_name(table))
        }
        (Service::DynamoDb, "UpdateKinesisStreamingDestination") => {
            call!(dynamodb.update_kinesis_streaming_destination().table_name(table))
        }
        (Service::DynamoDb, "UpdateContributorInsights") => {
            call!(dynamodb.update_contributor_insights().table_name(table))
        }
        (Service::DynamoDb, "PutResourcePolicy") => call!(dynamodb.put_resource_policy().resource_arn(arn)),
        (Service::AutoScaling, "RegisterScalableTarget") => call!(scaling.register_scalable_target()),
        (Service::AutoScaling, "TagResource") => call!(scaling.tag_resource()),
        (Service::AutoScaling, "PutScalingPolicy") => call!(scaling.put_scaling_policy()),
        (Service::AutoScaling, "PutScheduledAction") => call!(scaling.put_scheduled_action()),
        (Service::CloudWatch, "PutMetricAlarm") => call!(alarms.put_metric_alarm()),
        (_, other) => {
            let message = format!("{other} is no request that puts a setting back");
            return Err(ProviderError::new(ErrorKind::Invalid, message, "this is a defect; please report it"));
        }
    };
    match answer {
        Ok(()) => Ok(Sent::Done),
        Err(fault) => meaning(setting, table, fault),
    }
}

/// CloudWatch is spoken to in CBOR, the others in JSON.
fn encoded(request: &Request) -> Vec<u8> {
    if request.operation.service != Service::CloudWatch {
        return request.body.to_string().into_bytes();
    }
    let mut body = Vec::new();
    // Writing a JSON value into memory cannot fail; were it to, the service would refuse the empty body.
    let _ = ciborium::into_writer(&request.body, &mut body);
    body
}

/// What a refusal means. Lack of rights, of credentials or of an answer stays an error: somebody has to mend it.
fn meaning(setting: Setting, table: &str, fault: Fault) -> Result<Sent, ProviderError> {
    let code = fault.code.clone().unwrap_or_default();
    let text = fault.error.source.as_ref().map(ToString::to_string).unwrap_or_default();
    let scarce = matches!(
        setting,
        Setting::Capacity
            | Setting::Class
            | Setting::Encryption
            | Setting::ScalingTargets
            | Setting::ScalingPolicies
            | Setting::ScheduledActions
            | Setting::Alarms
    );
    match code.as_str() {
        "ResourceInUseException"
        | "TableInUseException"
        | "ContinuousBackupsUnavailableException"
        | "ConcurrentUpdateException"
        | "ConcurrentModificationException"
        | "ThrottlingException"
        | "Throttling" => Ok(Sent::Later(format!("waiting until {setting} can be changed"))),
        // So many changes of a kind in a month, a day, an account: waiting does not help.
        "LimitExceededException" | "LimitExceeded" if scarce && !text.contains("simultaneously") => {
            Ok(Sent::Refused(text))
        }
        "LimitExceededException" => Ok(Sent::Later(format!("waiting until {setting} can be changed"))),
        // It came between the look and the request, or readers do not see it yet.
        "PolicyNotFoundException" => Ok(Sent::Later("waiting until the resource policy can be read".to_owned())),
        "ValidationException" if setting == Setting::TimeToLive && text.contains("multiple times") => {
            Ok(Sent::MuchLater("waiting: time to live was changed less than an hour ago".to_owned()))
        }
        "ResourceNotFoundException" | "TableNotFoundException"
            if !matches!(setting, Setting::Kinesis | Setting::Alarms) =>
        {
            Err(gone(table).caused_by(fault.error))
        }
        "ValidationException"
        | "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "ObjectNotFoundException"
        | "TooManyTagsException"
        | "ResourceNotFoundException" => Ok(Sent::Refused(text)),
        _ => Err(fault.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(setting: Setting, code: &str, text: &str) -> Result<Sent, ErrorKind> {
        let error =
            ProviderError::new(ErrorKind::Service, "UpdateTable failed", "try").caused_by(format!("{code}: {text}"));
        let fault = Fault { code: Some(code.to_owned()), again: crate::error::Again::No, error };
        meaning(setting, "a", fault).map_err(|error| error.kind)
    }

    #[test]
    fn a_limit_that_time_does_not_lift_is_a_refusal_and_any_other_is_a_wait() {
        let twice = "table class can be changed twice in 30 days";
        let text = format!("LimitExceededException: {twice}");
        assert_eq!(said(Setting::Class, "LimitExceededException", twice), Ok(Sent::Refused(text)));
        for (setting, text) in
            [(Setting::Tags, "There is another tag operation"), (Setting::Class, "500 tables simultaneously")]
        {
            assert!(matches!(said(setting, "LimitExceededException", text), Ok(Sent::Later(_))), "{setting}");
        }
        let often = "modified multiple times within a fixed interval";
        assert!(matches!(said(Setting::TimeToLive, "ValidationException", often), Ok(Sent::MuchLater(_))));
    }

    #[test]
    fn lack_of_rights_is_an_error_and_a_table_that_went_is_one_too() {
        assert_eq!(said(Setting::Tags, "AccessDeniedException", "no"), Err(ErrorKind::Service));
        assert_eq!(said(Setting::Tags, "ResourceNotFoundException", "no"), Err(ErrorKind::WrongState));
        assert!(matches!(said(Setting::Kinesis, "ResourceNotFoundException", "no stream"), Ok(Sent::Refused(_))));
    }
}
