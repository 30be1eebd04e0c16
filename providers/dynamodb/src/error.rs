//! From the SDK's errors to ours, by meaning.

use crate::limits::Operation;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use provider_api::{ErrorKind, ProviderError};

/// Whether the same call should be sent again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    No,
    /// After the limiter's back-off.
    Throttled,
    /// The network or a server failed; soon.
    Transient,
    /// The signature was refused, perhaps because of a wrong host clock, which the SDK has learnt from the answer.
    Skewed,
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The service's error code, if it answered with one.
    pub(crate) code: Option<String>,
    pub(crate) again: Again,
    pub(crate) error: ProviderError,
}

impl Fault {
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// What people look up: the code, else the meaning.
    pub(crate) fn reason(&self) -> String {
        self.code.clone().unwrap_or_else(|| format!("{:?}", self.error.kind))
    }
}

impl From<ProviderError> for Fault {
    fn from(error: ProviderError) -> Self {
        Self { code: None, again: Again::No, error }
    }
}

impl From<Fault> for ProviderError {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

/// What the service said, as a cause of its own: the SDK's error types print less.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
struct Answer {
    code: String,
    message: String,
}

/// Where and what was called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) operation: &'a Operation,
    /// Table or other object; empty if the call is about none.
    pub(crate) object: &'a str,
    pub(crate) region: &'a str,
    /// The endpoint from the settings, without user info.
    pub(crate) endpoint: Option<&'a str>,
}

impl Site<'_> {
    fn what(&self) -> String {
        let on = if self.object.is_empty() { String::new() } else { format!(" on `{}`", self.object) };
        format!("{}{on} in {}", self.operation.name, self.region)
    }

    fn address(&self) -> String {
        let service = self.operation.service.name();
        self.endpoint.map_or_else(|| format!("{service} in {}", self.region), |url| format!("{service} at {url}"))
    }
}

/// What an error code of an answer means, and whether to send the call again.
fn meaning(code: &str, status: u16) -> (ErrorKind, Again) {
    match code {
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "ProvisionedThroughputExceededException"
        | "LimitExceededException" => (ErrorKind::Throttled, Again::Throttled),
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized" | "OptInRequired" => {
            (ErrorKind::PermissionDenied, Again::No)
        }
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "RequestExpired"
        | "AuthFailure" => (ErrorKind::Credentials, Again::Skewed),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "TokenRefreshRequired"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => (ErrorKind::Credentials, Again::No),
        "ResourceNotFoundException" | "TableNotFoundException" | "BackupNotFoundException" => {
            (ErrorKind::NotFound, Again::No)
        }
        "PointInTimeRecoveryUnavailableException" => (ErrorKind::PitrOff, Again::No),
        // Seconds after a table became ACTIVE.
        "ContinuousBackupsUnavailableException" => (ErrorKind::WrongState, Again::Transient),
        "ValidationException" | "UnknownOperationException" | "InvalidEndpointException" => {
            (ErrorKind::Invalid, Again::No)
        }
        _ if status >= 500 => (ErrorKind::Service, Again::Transient),
        _ if status == 429 => (ErrorKind::Throttled, Again::Throttled),
        _ => (ErrorKind::Service, Again::No),
    }
}

fn hint(kind: ErrorKind, code: &str, site: &Site<'_>) -> String {
    let object = if site.object.is_empty() { "it".to_owned() } else { format!("`{}`", site.object) };
    match (kind, code) {
        (ErrorKind::PermissionDenied, "OptInRequired") => {
            format!("enable the region {} for this account, or correct `region`", site.region)
        }
        (ErrorKind::PermissionDenied, _) => {
            let on = if site.object.is_empty() { String::new() } else { format!(" on {object}") };
            let action = site.operation.action();
            format!("allow the IAM action {action}{on} for the identity that runs this (aws sts get-caller-identity)")
        }
        (ErrorKind::Credentials, "ExpiredTokenException" | "ExpiredToken" | "TokenRefreshRequired") => {
            "renew the credentials (aws sso login, or a new session token) and run again".to_owned()
        }
        (ErrorKind::Credentials, _) => {
            "check the AWS credentials of this process: aws sts get-caller-identity must work with them".to_owned()
        }
        (ErrorKind::Throttled, _) => format!(
            "something else calls {} in this account; try again later, or lower its rate in the settings",
            site.operation.name
        ),
        (ErrorKind::NotFound, _) => {
            format!("check that {object} exists in {} and is not still being created", site.region)
        }
        (ErrorKind::WrongState, _) => format!("{object} was made moments ago; try again in a minute"),
        (ErrorKind::Invalid, _) => {
            format!("check the names in the settings, and that the endpoint serves {}", site.operation.service.name())
        }
        _ => "try again; if it stays, see https://health.aws.amazon.com and the code above".to_owned(),
    }
}

/// The error of a call, by meaning.
pub(crate) fn fault<E>(site: &Site<'_>, error: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if let SdkError::ServiceError(answer) = &error {
        let status = answer.raw().status().as_u16();
        if let Some(code) = answer.err().code() {
            let message = answer.err().message().unwrap_or("no message").to_owned();
            return answered(site, code.to_owned(), message, status);
        }
        return foreign(site, Some(status), error);
    }
    if find::<CredentialsError>(&error) {
        let error = ProviderError::new(
            ErrorKind::Credentials,
            format!("no usable AWS credentials for {} in {}", site.operation.service.name(), site.region),
            "set AWS_PROFILE to a profile that exists, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
             log in (aws sso login), or give the machine or pod a role",
        )
        .caused_by(error);
        return Fault { code: None, again: Again::No, error };
    }
    unanswered(site, error)
}

fn answered(site: &Site<'_>, code: String, message: String, status: u16) -> Fault {
    let (kind, again) = meaning(&code, status);
    let said = match kind {
        ErrorKind::PermissionDenied => "was refused",
        ErrorKind::Throttled => "was throttled again and again",
        ErrorKind::Credentials => "was refused: the credentials are not accepted",
        ErrorKind::NotFound => "found nothing",
        _ => "failed",
    };
    let hint = match (kind, refused(&message)) {
        // A call can need more than its own action, and on more than what it is about: a restore that of reading and writing
        // its target, for one.
        (ErrorKind::PermissionDenied, Some((action, resource))) if message.contains("with an explicit deny") => {
            format!(
                "a Deny in a policy forbids {action} on {resource}: run this with the identity that has this duty, or take the \
                 Deny away (aws sts get-caller-identity says who this is)"
            )
        }
        (ErrorKind::PermissionDenied, Some((action, resource))) => {
            format!(
                "allow the IAM action {action} on {resource} for the identity that runs this (aws sts get-caller-identity)"
            )
        }
        _ => hint(kind, &code, site),
    };
    let mut error = ProviderError::new(kind, format!("{} {said}", site.what()), hint)
        .retryable(matches!(again, Again::Throttled | Again::Transient))
        .caused_by(Answer { code: code.clone(), message });
    if !site.object.is_empty() {
        error = error.about([site.object]);
    }
    Fault { code: Some(code), again, error }
}

/// The action and the resource that a refusal names.
fn refused(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("not authorized to perform: ")?;
    let (action, rest) = rest.split_once(" on resource: ")?;
    Some((action, rest.split(' ').next()?))
}

fn unanswered<E>(site: &Site<'_>, error: SdkError<E, HttpResponse>) -> Fault
where
    E: std::error::Error + Send + Sync + 'static,
{
    let what = site.what();
    let reach = "check `region` and `endpoint`, name resolution, proxies and firewalls between here and there";
    let (kind, again, message, hint) = match &error {
        SdkError::TimeoutError(_) => {
            (ErrorKind::Unreachable, Again::Transient, format!("no answer in time from {}", site.address()), reach)
        }
        SdkError::DispatchFailure(failure) if failure.is_user() || failure.is_other() => (
            ErrorKind::Unreachable,
            Again::Transient,
            format!("{what} could not be sent to {}", site.address()),
            "check `region` and `endpoint`, certificates and proxies",
        ),
        SdkError::DispatchFailure(_) => {
            (ErrorKind::Unreachable, Again::Transient, format!("cannot reach {}", site.address()), reach)
        }
        SdkError::ResponseError(_) => return foreign(site, None, error),
        _ => (
            ErrorKind::Invalid,
            Again::No,
            format!("{what} could not be made"),
            "check the names, region and endpoint in the settings",
        ),
    };
    let error = ProviderError::new(kind, message, hint).retryable(again != Again::No).caused_by(error);
    Fault { code: None, again, error }
}

/// No answer within our own time-out.
pub(crate) fn silent(site: &Site<'_>, after: std::time::Duration) -> Fault {
    let message = format!("no answer to {} within {after:?} from {}", site.what(), site.address());
    let hint = "check `region` and `endpoint`, name resolution, proxies and firewalls between here and there";
    let error = ProviderError::new(ErrorKind::Unreachable, message, hint).about([site.object]);
    Fault { code: None, again: Again::Transient, error }
}

/// Something answered, but not in the service's language: a proxy, another server, or the service's front door.
fn foreign<E>(site: &Site<'_>, status: Option<u16>, error: SdkError<E, HttpResponse>) -> Fault
where
    E: std::error::Error + Send + Sync + 'static,
{
    let http = status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
    // Balancers answer 502 and 503 in plain text for a while; a success or a refusal in plain text stays what it is.
    let again = if status.is_none_or(|status| status >= 500) { Again::Transient } else { Again::No };
    let message = format!("the answer{http} from {} is not {}'s", site.address(), site.operation.service.name());
    let hint = "check that `endpoint` is an AWS endpoint, and that no proxy answers in its place";
    let error = ProviderError::new(ErrorKind::Service, message, hint).retryable(again != Again::No).caused_by(error);
    Fault { code: None, again, error }
}

/// Whether a cause of `error` is a `C`.
fn find<C: std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<C>())
}

/// A URL without user name and password, for messages.
pub(crate) fn without_user_info(url: &str) -> String {
    match (url.find("://"), url.find('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &url[..scheme + 3], &url[at + 1..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DESCRIBE_TABLE;

    fn site<'a>() -> Site<'a> {
        Site { operation: &DESCRIBE_TABLE, object: "bank.account", region: "eu-west-1", endpoint: None }
    }

    fn said(code: &str, status: u16) -> Fault {
        answered(&site(), code.to_owned(), "because".to_owned(), status)
    }

    #[test]
    fn codes_become_meanings_and_only_waiting_ones_are_retryable() {
        for (code, status, kind, again) in [
            ("ThrottlingException", 400, ErrorKind::Throttled, Again::Throttled),
            ("ProvisionedThroughputExceededException", 400, ErrorKind::Throttled, Again::Throttled),
            ("AccessDeniedException", 400, ErrorKind::PermissionDenied, Again::No),
            ("ExpiredTokenException", 400, ErrorKind::Credentials, Again::No),
            ("InvalidSignatureException", 400, ErrorKind::Credentials, Again::Skewed),
            ("TableNotFoundException", 400, ErrorKind::NotFound, Again::No),
            ("InternalServerError", 500, ErrorKind::Service, Again::Transient),
            ("Surprise", 400, ErrorKind::Service, Again::No),
        ] {
            let fault = said(code, status);
            assert_eq!((fault.error.kind, fault.again), (kind, again), "{code}");
            assert_eq!(fault.error.retryable, matches!(again, Again::Throttled | Again::Transient), "{code}");
            assert!(!fault.error.hint.is_empty(), "{code}");
            assert_eq!(fault.error.subjects, ["bank.account"]);
        }
    }

    #[test]
    fn a_refusal_names_action_and_table_and_does_not_repeat_its_cause() {
        let error = said("AccessDeniedException", 400).error;
        assert_eq!(error.message, "DescribeTable on `bank.account` in eu-west-1 was refused");
        assert!(error.hint.contains("dynamodb:DescribeTable") && error.hint.contains("bank.account"), "{}", error.hint);
        assert_eq!(error.source.unwrap().to_string(), "AccessDeniedException: because");
    }

    #[test]
    fn a_refusal_for_another_action_than_the_call_names_that_action() {
        let text =
            "User: arn:aws:iam::1:user/u is not authorized to perform: kms:Decrypt on resource: arn:key because no";
        let error = answered(&site(), "AccessDeniedException".to_owned(), text.to_owned(), 400).error;
        assert!(error.hint.starts_with("allow the IAM action kms:Decrypt on arn:key "), "{}", error.hint);
    }

    #[test]
    fn a_refusal_by_an_explicit_deny_does_not_ask_for_one_more_allow() {
        let text = "User: arn:aws:iam::1:user/u is not authorized to perform: dynamodb:DeleteTable on resource: arn:t with an \
                    explicit deny in an identity-based policy";
        let error = answered(&site(), "AccessDeniedException".to_owned(), text.to_owned(), 400).error;
        assert!(error.hint.starts_with("a Deny in a policy forbids dynamodb:DeleteTable on arn:t: "), "{}", error.hint);
    }

    #[test]
    fn urls_are_printed_without_secrets() {
        assert_eq!(without_user_info("https://me:secret@proxy:8000/x"), "https://proxy:8000/x");
        assert_eq!(without_user_info("http://127.0.0.1:8000"), "http://127.0.0.1:8000");
    }
}
