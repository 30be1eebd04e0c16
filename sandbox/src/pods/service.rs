//! The gRPC side of a pod: rpc.Admin and grpc.health.v1. A call is handled on its own task, so that a caller who gives up
//! cancels nothing, as in the real servers.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use stillpoint_proto::admin::admin_server::Admin;
use stillpoint_proto::admin::{CheckPausedResponse, PauseRequest};
use stillpoint_proto::health::health_check_response::ServingStatus;
use stillpoint_proto::health::health_server::Health;
use stillpoint_proto::health::{HealthCheckRequest, HealthCheckResponse};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::fault::{Action, ms};
use super::gate::{Call, Paused};
use super::log::{Event, Method, Mover};
use super::wire::Cut;
use super::{Core, Flavor};

/// One life of a pod's services. Clones serve the same life.
#[derive(Clone)]
pub(super) struct Services {
    pub(super) core: Arc<Core>,
    /// Cancelled when the process ends.
    pub(super) life: CancellationToken,
}

/// What the faults make of a call.
#[derive(Default)]
struct Script {
    hang: bool,
    refuse: bool,
    lose: bool,
    hold_back: Duration,
    late: Duration,
    restart_after: Option<Duration>,
}

impl Services {
    /// Sorts out what strikes a call; what happens beside the call is started here.
    fn script(&self, actions: Vec<Action>) -> Script {
        let mut script = Script { late: self.core.config.answer_latency, ..Script::default() };
        for action in actions {
            match action {
                Action::Hang => script.hang = true,
                Action::Refuse => script.refuse = true,
                Action::LoseAnswer => script.lose = true,
                Action::AnswerLate { ms: late } => script.late += ms(late),
                Action::HoldBack { ms: back } => script.hold_back += ms(back),
                Action::RestartAfter { down_ms } => script.restart_after = Some(ms(down_ms)),
                other => {
                    // A process that ends takes the call with it.
                    script.hang |= matches!(other, Action::Restart { .. } | Action::Die);
                    self.core.happen(other);
                    continue;
                }
            }
            self.core.gate.note(Event::Fault { action });
        }
        script
    }

    async fn serve<T, F, Acting>(
        &self,
        method: Method,
        detail: String,
        cut: Option<Cut>,
        act: F,
    ) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        F: FnOnce(Self, Call) -> Acting + Send + 'static,
        Acting: Future<Output = Result<T, Status>> + Send,
    {
        let (call, actions) = self.core.gate.receive(method, detail);
        let script = self.script(actions);
        let (tell, told) = tokio::sync::oneshot::channel();
        let services = self.clone();
        let life = self.life.clone();
        tokio::spawn(async move {
            let play = services.clone().play(method, call, script, cut, act);
            tokio::select! {
                biased;
                () = life.cancelled() => {}
                result = play => services.answer(call, tell, result),
            }
        });
        match told.await {
            Ok(result) => result.map(Response::new),
            // The process ended, or the answer was lost: the connection is being cut under this call.
            Err(_) => std::future::pending().await,
        }
    }

    fn answer<T>(
        &self,
        call: Call,
        tell: tokio::sync::oneshot::Sender<Result<T, Status>>,
        result: Option<Result<T, Status>>,
    ) {
        let told = result.is_some_and(|result| tell.send(result).is_ok());
        let call = call.number;
        self.core.gate.note(if told { Event::Answered { call } } else { Event::AnswerLost { call } });
    }

    async fn play<T, F, Acting>(
        self,
        method: Method,
        call: Call,
        script: Script,
        cut: Option<Cut>,
        act: F,
    ) -> Option<Result<T, Status>>
    where
        F: FnOnce(Self, Call) -> Acting,
        Acting: Future<Output = Result<T, Status>>,
    {
        if script.hang {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(script.hold_back).await;
        let result = if script.refuse {
            Err(Status::unavailable("refused by a planted fault"))
        } else {
            self.core.gate.note(Event::Handling { call: call.number });
            act(self.clone(), call).await
        };
        let code = result.as_ref().err().map_or(Code::Ok, Status::code);
        self.core.gate.note(Event::Handled { call: call.number, code: format!("{code:?}") });
        if let Some(down) = script.restart_after {
            self.core.restart(down);
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(script.late).await;
        // An error cannot be: this very call holds the sender.
        _ = self.core.withheld.subscribe().wait_for(|withheld| *withheld != Some(method)).await;
        if script.lose {
            if let Some(Cut(connection)) = cut {
                connection.cancel();
            }
            return None;
        }
        Some(result)
    }

    async fn pause(self, call: Call, request: PauseRequest) -> Result<(), Status> {
        let limit = match self.drain_limit(&request) {
            Ok(limit) => limit,
            Err(status) => return Err(*status),
        };
        let gate = &self.core.gate;
        let domain = match self.core.config.flavor {
            Flavor::ScalarDbServer | Flavor::NoCheckPaused => {
                return match gate.pause_without_owner(call, limit).await {
                    Paused::Ok => Ok(()),
                    _ => Err(Status::failed_precondition(
                        "failed to finish processing outstanding requests within the time limit",
                    )),
                };
            }
            Flavor::ScalarDl314 => "com.scalar.dl.admin",
            Flavor::ScalarDbCluster319 => "com.scalar.db.cluster.admin",
        };
        named(gate.pause_with_owner(call, limit).await, domain)
    }

    /// How long the drain may take; `None`: the caller does not wait for it.
    fn drain_limit(&self, request: &PauseRequest) -> Result<Option<Duration>, Box<Status>> {
        if !request.wait_outstanding {
            return Ok(None);
        }
        let default = self.core.config.default_pause_wait;
        let limit = match (self.core.config.flavor, request.max_pause_wait_time) {
            (Flavor::NoCheckPaused, _) | (_, None) | (Flavor::ScalarDbServer, Some(0)) => default,
            (Flavor::ScalarDl314 | Flavor::ScalarDbCluster319, Some(limit)) if limit <= 0 => {
                let text = format!("max_pause_wait_time is {limit} ms; it must be above 0, or unset for the default");
                return Err(Box::new(Status::invalid_argument(text)));
            }
            (_, Some(limit)) => ms(u64::try_from(limit).unwrap_or(0)),
        };
        Ok(Some(limit))
    }
}

/// The newer servers name the outcome in google.rpc.ErrorInfo.
fn named(paused: Paused, domain: &str) -> Result<(), Status> {
    let (code, reason, text) = match paused {
        Paused::Ok => return Ok(()),
        Paused::GateOpen => (Code::Aborted, "GATE_OPEN", "an unpause opened the gate during the pause"),
        Paused::InProgress => (Code::Aborted, "PAUSE_IN_PROGRESS", "another pause is in progress"),
        Paused::TimedOut => (Code::FailedPrecondition, "TIMED_OUT", "not drained in time; the gate is open again"),
        Paused::KeptByEarlier => (
            Code::FailedPrecondition,
            "TIMED_OUT_STILL_PAUSED",
            "not drained in time; an earlier pause keeps the gate closed",
        ),
    };
    let details = ErrorDetails::with_error_info(reason, domain, HashMap::new());
    Err(Status::with_error_details(code, text, details))
}

fn cut_of<T>(request: &Request<T>) -> Option<Cut> {
    request.extensions().get::<Cut>().cloned()
}

#[tonic::async_trait]
impl Admin for Services {
    async fn pause(&self, request: Request<PauseRequest>) -> Result<Response<()>, Status> {
        let cut = cut_of(&request);
        let request = request.into_inner();
        let wait = request.max_pause_wait_time.map_or_else(|| "unset".to_owned(), |limit| format!("{limit} ms"));
        let detail = format!("wait_outstanding={}, max_pause_wait_time={wait}", request.wait_outstanding);
        let act = move |services: Self, call| services.pause(call, request);
        self.serve(Method::Pause, detail, cut, act).await
    }

    async fn unpause(&self, request: Request<()>) -> Result<Response<()>, Status> {
        let act = async move |services: Self, call: Call| {
            services.core.gate.unpause(call, Mover::Call { call: call.number });
            Ok(())
        };
        self.serve(Method::Unpause, String::new(), cut_of(&request), act).await
    }

    async fn check_paused(&self, request: Request<()>) -> Result<Response<CheckPausedResponse>, Status> {
        let act = async |services: Self, _| {
            if services.core.config.flavor == Flavor::NoCheckPaused {
                return Err(Status::unimplemented("Method not found: rpc.Admin/CheckPaused"));
            }
            Ok(CheckPausedResponse { paused: services.core.gate.is_closed() })
        };
        self.serve(Method::CheckPaused, String::new(), cut_of(&request), act).await
    }
}

/// What `Watch` streams: one answer, then silence, since the state never changes while the process runs.
type Watching = Pin<Box<dyn futures::Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for Services {
    type WatchStream = Watching;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let act = async |_: Self, _| Ok(serving());
        self.serve(Method::Health, String::new(), cut_of(&request), act).await
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watching>, Status> {
        let first = self.check(request).await?.into_inner();
        let stream =
            futures::StreamExt::chain(futures::stream::once(std::future::ready(Ok(first))), futures::stream::pending());
        Ok(Response::new(Box::pin(stream)))
    }
}

/// A paused server is as healthy as an open one, so that nobody restarts it.
fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}
