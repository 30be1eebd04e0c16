//! The calls to one pod.

use super::{
    AdminEndpoint, AdminError, AdminErrorKind, HostPort,
    connector::Connector,
    explain::{self, Unconnected},
    first_bytes::{PeerSaid, Protocol},
    transport::{Transport, TransportFailure},
};
use std::{future::Future, time::Duration};
use stillpoint_proto::admin::{PauseRequest, admin_client::AdminClient as Stub};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

/// The end of a Pause call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseResult {
    /// The server said OK: its gate was closed and its transactions drained when it answered.
    Paused,
    /// The server said no; with what it said.
    Refused(RefusedPause, String),
    /// No answer that settles it: the Pause may still take effect, now or later.
    Unknown(AdminError),
}

/// Why a server refused a Pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusedPause {
    /// The transactions in progress did not end in time; the server opened its gate again.
    DrainTimedOut,
    /// Somebody unpaused while the Pause waited (ScalarDL from 3.14 on).
    GateOpen,
    /// Another Pause is waiting (ScalarDL from 3.14 on).
    PauseInProgress,
    /// The drain timed out and another caller's pause still holds: an Unpause would revoke it (ScalarDL from 3.14 on).
    TimedOutStillPaused,
    /// A status by which the server did not begin.
    Other(Code),
}

/// One pod's Scalar Admin, over one connection. Cheap to clone; calls may run at the same time.
#[derive(Clone, Debug)]
pub struct AdminClient {
    endpoint: AdminEndpoint,
    connector: Connector,
    transport: Transport,
    stub: Stub<Transport>,
}

impl AdminClient {
    /// Connects: name resolved, TCP and TLS done, the server's HTTP/2 settings received; the connection is kept.
    /// A failure may take about two seconds more than `timeout`, for asking the port what it speaks instead.
    pub async fn connect(endpoint: &AdminEndpoint, timeout: Duration) -> Result<Self, AdminError> {
        let client = Self::connect_lazy(endpoint)?;
        let opened = tokio::time::timeout(timeout, async {
            if let Err(failure) = client.transport.connect().await {
                return Err(broken(failure, client.connector.seen().now()));
            }
            let said = client.connector.seen().settled().await;
            match said.protocol() {
                Some(Protocol::Http2) => Ok(()),
                _ => Err(Unconnected::NotSettled(said)),
            }
        });
        let failure = match opened.await {
            Ok(Ok(())) => return Ok(client),
            Ok(Err(failure)) => failure,
            Err(_) => Unconnected::TimedOut(client.connector.seen().now(), timeout),
        };
        Err(explain::unconnected(endpoint, failure).await)
    }

    /// A client that connects at its first call and again whenever the connection is gone. Only settings and TLS
    /// files can be wrong here. Its calls must be made in a Tokio runtime.
    pub fn connect_lazy(endpoint: &AdminEndpoint) -> Result<Self, AdminError> {
        let connector = Connector::new(endpoint)?;
        let transport = Transport::new(connector.clone());
        let stub = Stub::with_origin(transport.clone(), origin(endpoint)?);
        Ok(Self { endpoint: endpoint.clone(), connector, transport, stub })
    }

    /// The pod this client speaks to.
    pub fn endpoint(&self) -> &AdminEndpoint {
        &self.endpoint
    }

    /// Closes the gate and waits for the transactions in progress. `max_wait`: the server's own 30 s when `None`.
    /// The server is told the deadline, but one that has begun goes on after it.
    pub async fn pause(&self, max_wait: Option<Duration>, deadline: Duration) -> PauseResult {
        // Some servers refuse 0, others take it for their default: a wait is at least a millisecond.
        let milliseconds = max_wait.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(1));
        let message = PauseRequest { wait_outstanding: true, max_pause_wait_time: milliseconds };
        let mut stub = self.stub.clone();
        match tokio::time::timeout(deadline, stub.pause(timed(message, deadline))).await {
            Ok(Ok(_)) => PauseResult::Paused,
            Ok(Err(status)) => self.failed_pause(&status),
            Err(_) => PauseResult::Unknown(explain::deadline(&self.endpoint, "Pause", deadline)),
        }
    }

    /// Opens the gate. Safe to repeat: an open gate stays open.
    pub async fn unpause(&self, deadline: Duration) -> Result<(), AdminError> {
        let mut stub = self.stub.clone();
        self.within("Unpause", deadline, stub.unpause(timed((), deadline))).await
    }

    /// Is the gate closed? Says nothing about transactions still in progress. Changes nothing.
    pub async fn check_paused(&self, deadline: Duration) -> Result<bool, AdminError> {
        let mut stub = self.stub.clone();
        let answer = self.within("CheckPaused", deadline, stub.check_paused(timed((), deadline))).await?;
        Ok(answer.paused)
    }

    /// How often a connection was begun. A number that grew means that the connection broke: the server may have
    /// restarted, and so forgotten a pause.
    pub fn connections_made(&self) -> u64 {
        self.connector.made()
    }

    async fn within<T>(
        &self,
        call: &str,
        deadline: Duration,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, AdminError> {
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failed(call, &status)),
            Err(_) => Err(explain::deadline(&self.endpoint, call, deadline)),
        }
    }

    fn failed(&self, call: &str, status: &Status) -> AdminError {
        explain::failed_call(&self.endpoint, call, status, &self.connector.seen().now())
    }

    fn failed_pause(&self, status: &Status) -> PauseResult {
        match refusal(status) {
            Some(refused) => PauseResult::Refused(refused, self.failed("Pause", status).message),
            None => PauseResult::Unknown(self.failed("Pause", status)),
        }
    }
}

/// Whether HTTP/2 broke because there was none is for what the peer said to tell: it may be quicker than our first look at it.
fn broken(failure: TransportFailure, said: PeerSaid) -> Unconnected {
    match failure {
        TransportFailure::Http2(_) if said.protocol() != Some(Protocol::Http2) => Unconnected::NotSettled(said),
        failure => Unconnected::Transport(failure),
    }
}

/// Reads a refusal out of a status; `None` where the Pause may still take effect. A status that was made here, from a
/// broken connection or a passed deadline, has a source and is never a refusal.
fn refusal(status: &Status) -> Option<RefusedPause> {
    use std::error::Error;
    if status.source().is_some() {
        return None;
    }
    let info = status.get_details_error_info();
    match (info.as_ref().map(|info| info.reason.as_str()), status.code()) {
        (Some("TIMED_OUT_STILL_PAUSED"), _) => Some(RefusedPause::TimedOutStillPaused),
        (Some("TIMED_OUT"), _) => Some(RefusedPause::DrainTimedOut),
        (Some("PAUSE_IN_PROGRESS"), _) => Some(RefusedPause::PauseInProgress),
        (Some("GATE_OPEN"), _) => Some(RefusedPause::GateOpen),
        // Servers that give no reasons have one precondition only: that the drain ends in time.
        (None, Code::FailedPrecondition) => Some(RefusedPause::DrainTimedOut),
        (
            _,
            code @ (Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::Unimplemented
            | Code::PermissionDenied
            | Code::Unauthenticated),
        ) => Some(RefusedPause::Other(code)),
        // Unavailable, Internal and the like also come from proxies that have passed the call on.
        _ => None,
    }
}

fn timed<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// What calls name as their host.
fn origin(endpoint: &AdminEndpoint) -> Result<http::Uri, AdminError> {
    let _: HostPort = endpoint.address.parse()?;
    let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
    let called = endpoint.called();
    http::Uri::builder().scheme(scheme).authority(called).path_and_query("/").build().map_err(|_| {
        AdminError::new(
            AdminErrorKind::InvalidSettings,
            format!("`{called}` cannot be the authority of a call"),
            "Write a host name, or host:port.",
        )
    })
}
