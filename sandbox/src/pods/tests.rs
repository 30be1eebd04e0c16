//! Every row of what was observed on a real server, and every fault, against pods over real connections.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use stillpoint_proto::admin::PauseRequest;
use stillpoint_proto::admin::admin_client::AdminClient;
use stillpoint_proto::health::HealthCheckRequest;
use stillpoint_proto::health::health_client::HealthClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;

type Client = AdminClient<Channel>;

/// Long enough for a busy machine; only failures wait for it.
const PATIENCE: Duration = Duration::from_secs(20);

async fn pod_with(config: PodConfig) -> Pod {
    Pod::start(0, config).await.unwrap()
}

async fn pod() -> Pod {
    pod_with(PodConfig::default()).await
}

async fn flavored(flavor: Flavor) -> Pod {
    pod_with(PodConfig { flavor, ..PodConfig::default() }).await
}

async fn channel(pod: &Pod) -> Channel {
    Endpoint::try_from(format!("http://{}", pod.address())).unwrap().connect().await.unwrap()
}

async fn client(pod: &Pod) -> Client {
    AdminClient::new(channel(pod).await)
}

fn drain(max: Option<i64>) -> PauseRequest {
    PauseRequest { wait_outstanding: true, max_pause_wait_time: max }
}

async fn paused(client: &mut Client) -> bool {
    client.check_paused(()).await.unwrap().into_inner().paused
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Sends a Pause beside the test and returns when the server handles it.
async fn pausing(pod: &Pod, request: PauseRequest) -> tokio::task::JoinHandle<Result<(), Status>> {
    let handled = |pod: &Pod| pod.log().entries.iter().filter(|e| matches!(e.event, Event::Handling { .. })).count();
    let before = handled(pod);
    let mut client = client(pod).await;
    let call = tokio::spawn(async move { client.pause(request).await.map(|_| ()) });
    until("the pause is being handled", || handled(pod) > before).await;
    call
}

fn reason(status: &Status) -> (String, String) {
    let info = status.get_details_error_info().unwrap();
    (info.reason, info.domain)
}

#[tokio::test]
async fn there_is_no_owner_and_no_counting() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    client.unpause(()).await.unwrap();
    client.pause(drain(None)).await.unwrap();
    client.pause(drain(None)).await.unwrap();
    assert!(paused(&mut client).await);
    client.unpause(()).await.unwrap();
    assert!(!paused(&mut client).await);
    assert_eq!(pod.log().gate_closed_intervals().len(), 1);
}

#[tokio::test]
async fn a_drain_that_times_out_fails_and_opens_the_gate() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    let _open = pod.begin().await.unwrap();
    for max in [200, 1, -5] {
        let status = client.pause(drain(Some(max))).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(!paused(&mut client).await);
    }
    let intervals = pod.log().gate_closed_intervals();
    assert_eq!(intervals.len(), 3);
    assert!(intervals[0].1.unwrap() - intervals[0].0 >= 200_000_000, "waited as long as asked");
}

#[tokio::test]
async fn unset_and_zero_mean_the_servers_own_limit() {
    assert_eq!(PodConfig::default().default_pause_wait, Duration::from_secs(30));
    let pod = pod_with(PodConfig { default_pause_wait: Duration::from_millis(150), ..PodConfig::default() }).await;
    let mut client = client(&pod).await;
    let _open = pod.begin().await.unwrap();
    for max in [None, Some(0)] {
        assert_eq!(client.pause(drain(max)).await.unwrap_err().code(), Code::FailedPrecondition);
    }
    for (start, end) in pod.log().gate_closed_intervals() {
        assert!(end.unwrap() - start >= 150_000_000);
    }
}

#[tokio::test]
async fn a_pause_that_does_not_wait_answers_with_work_still_running() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    let open = pod.begin().await.unwrap();
    client.pause(PauseRequest { wait_outstanding: false, max_pause_wait_time: None }).await.unwrap();
    assert_eq!(pod.outstanding(), 1);
    open.end(Outcome::Committed);
    let log = pod.log();
    let closed = log.gate_closed_intervals()[0].0;
    assert_eq!(log.open_transactions_at(closed).len(), 1);
    assert!(log.transactions()[0].ended_ns.unwrap() > closed);
}

#[tokio::test]
async fn a_later_pause_that_times_out_opens_the_gate_under_the_first() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    let open = pod.begin().await.unwrap();
    client.pause(PauseRequest { wait_outstanding: false, max_pause_wait_time: None }).await.unwrap();
    client.pause(drain(Some(50))).await.unwrap_err();
    assert!(!paused(&mut client).await);
    drop(open);
}

#[tokio::test]
async fn the_first_time_out_of_two_waiting_pauses_opens_the_gate_for_both() {
    let pod = pod().await;
    let open = pod.begin().await.unwrap();
    let long = pausing(&pod, drain(Some(60_000))).await;
    let short = pausing(&pod, drain(Some(50))).await;
    assert_eq!(short.await.unwrap().unwrap_err().code(), Code::FailedPrecondition);
    assert!(pod.is_open());
    open.end(Outcome::Committed);
    long.await.unwrap().unwrap();
    assert!(pod.is_open(), "the other one answered OK with the gate open");
}

#[tokio::test]
async fn the_server_goes_on_with_a_pause_whose_client_gave_up() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    let open = pod.begin().await.unwrap();
    let mut request = tonic::Request::new(drain(None));
    request.set_timeout(Duration::from_millis(50));
    let status = client.pause(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    open.end(Outcome::Committed);
    until("the outcome finds nobody", || pod.log().entries.iter().any(|e| matches!(e.event, Event::AnswerLost { .. })))
        .await;
    assert!(paused(&mut client).await, "it stays paused and nobody was told");
}

#[tokio::test]
async fn an_unpause_during_a_drain_makes_that_pause_answer_ok_with_the_gate_open() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    let open = pod.begin().await.unwrap();
    let waiting = pausing(&pod, drain(None)).await;
    assert!(paused(&mut client).await, "the gate shows while the drain still runs");
    client.unpause(()).await.unwrap();
    assert!(!waiting.is_finished());
    open.end(Outcome::Committed);
    waiting.await.unwrap().unwrap();
    assert!(!paused(&mut client).await);
}

#[tokio::test]
async fn a_transaction_whose_client_dies_drains_at_once() {
    let pod = pod().await;
    let open = pod.begin().await.unwrap();
    let waiting = pausing(&pod, drain(None)).await;
    drop(open);
    waiting.await.unwrap().unwrap();
    assert!(!pod.is_open());
}

#[tokio::test]
async fn a_paused_server_refuses_work_and_stays_healthy() {
    let pod = pod().await;
    client(&pod).await.pause(drain(None)).await.unwrap();
    assert_eq!(pod.begin().await.unwrap_err(), Refused::Paused);
    let mut health = HealthClient::new(channel(&pod).await);
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status, 1, "SERVING");
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
}

#[tokio::test]
async fn schema_operations_pass_a_closed_gate() {
    let pod = pod().await;
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    pod.set_schema_hook(Arc::new(move |operation| {
        sink.lock().unwrap().push(operation.clone());
        Ok(())
    }));
    client(&pod).await.pause(drain(None)).await.unwrap();
    pod.set(Fault::now(Action::CreateTable { table: "bank.new".to_owned() }));
    until("the table is made", || *seen.lock().unwrap() == [SchemaOperation::Create("bank.new".to_owned())]).await;
}

#[tokio::test]
async fn a_restart_forgets_the_pause_cuts_connections_and_keeps_the_address() {
    let pod = pod().await;
    let mut before = client(&pod).await;
    let open = pod.begin().await.unwrap();
    let waiting = pausing(&pod, drain(None)).await;
    pod.restart(Duration::ZERO).await;
    assert!(waiting.await.unwrap().is_err(), "its connection was cut");
    assert!(!open.is_alive());
    assert_eq!(pod.outstanding(), 0);
    assert!(!paused(&mut client(&pod).await).await);
    // The channel of before works again, by a new connection.
    until_ok(|| async { before.clone().check_paused(()).await.is_ok() }).await;
    before.pause(drain(None)).await.unwrap();
    drop(open);
    assert!(!pod.is_open(), "a transaction of an earlier life touches nothing");
}

async fn until_ok<F: Future<Output = bool>>(mut attempt: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !attempt().await {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn too_many_keep_alive_pings_close_the_connection() {
    let pod = pod().await;
    let endpoint = Endpoint::try_from(format!("http://{}", pod.address())).unwrap();
    // Pings go out although no call is open; the server answers nothing that would pay for them.
    let pinging = endpoint.http2_keep_alive_interval(Duration::from_millis(20)).keep_alive_while_idle(true);
    let channel = pinging.connect().await.unwrap();
    pod.set(Fault::on(Trigger::every(Method::CheckPaused), Action::Hang));
    let status = AdminClient::new(channel).check_paused(()).await.unwrap_err();
    assert!(!matches!(status.code(), Code::Ok | Code::DeadlineExceeded), "{status:?}");
}

#[tokio::test]
async fn the_oldest_servers_know_no_check_and_ignore_the_limit() {
    let config = PodConfig {
        flavor: Flavor::NoCheckPaused,
        default_pause_wait: Duration::from_millis(300),
        ..PodConfig::default()
    };
    let pod = pod_with(config).await;
    let mut client = client(&pod).await;
    assert_eq!(client.check_paused(()).await.unwrap_err().code(), Code::Unimplemented);
    let _open = pod.begin().await.unwrap();
    client.pause(drain(Some(1))).await.unwrap_err();
    let (start, end) = pod.log().gate_closed_intervals()[0];
    assert!(end.unwrap() - start >= 300_000_000);
}

#[tokio::test]
async fn scalardl_names_its_outcomes() {
    let pod = flavored(Flavor::ScalarDl314).await;
    let mut client = client(&pod).await;
    for limit in [0, -1] {
        assert_eq!(client.pause(drain(Some(limit))).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let open = pod.begin().await.unwrap();
    let status = client.pause(drain(Some(50))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::FailedPrecondition, "TIMED_OUT"));
    assert_eq!(reason(&status).1, "com.scalar.dl.admin");
    assert!(pod.is_open());

    let waiting = pausing(&pod, drain(None)).await;
    let status = client.pause(PauseRequest { wait_outstanding: false, max_pause_wait_time: None }).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::Aborted, "PAUSE_IN_PROGRESS"));
    let status = client.pause(drain(Some(50))).await.unwrap_err();
    assert_eq!(reason(&status).0, "PAUSE_IN_PROGRESS");
    client.unpause(()).await.unwrap();
    let status = waiting.await.unwrap().unwrap_err();
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::Aborted, "GATE_OPEN"));
    assert!(pod.is_open());

    client.pause(PauseRequest { wait_outstanding: false, max_pause_wait_time: None }).await.unwrap();
    let status = client.pause(drain(Some(50))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::FailedPrecondition, "TIMED_OUT_STILL_PAUSED"));
    assert!(!pod.is_open(), "the first pause is still good");
    drop(open);
}

#[tokio::test]
async fn scalardb_cluster_names_them_under_its_own_domain_and_refuses_work() {
    let pod = flavored(Flavor::ScalarDbCluster319).await;
    let mut client = client(&pod).await;
    let open = pod.begin().await.unwrap();
    let status = client.pause(drain(Some(20))).await.unwrap_err();
    assert_eq!(reason(&status), ("TIMED_OUT".to_owned(), "com.scalar.db.cluster.admin".to_owned()));
    drop(open);
    client.pause(drain(None)).await.unwrap();
    assert_eq!(pod.begin().await.unwrap_err(), Refused::Paused);
}

#[tokio::test]
async fn a_paused_scalardl_lets_its_callers_wait() {
    let pod = flavored(Flavor::ScalarDl314).await;
    let mut client = client(&pod).await;
    client.pause(drain(None)).await.unwrap();
    let waiting = tokio::spawn({
        let pod = pod.clone();
        async move { pod.begin().await.map(|transaction| transaction.end(Outcome::Committed)) }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    client.unpause(()).await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hanging_method_leaves_the_others_alone() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    pod.set(Fault::on(Trigger::every(Method::Unpause), Action::Hang));
    client.pause(drain(None)).await.unwrap();
    let mut request = tonic::Request::new(());
    request.set_timeout(Duration::from_millis(50));
    client.unpause(request).await.unwrap_err();
    assert!(paused(&mut client).await, "neither answered nor done");
    pod.clear_faults();
    client.unpause(()).await.unwrap();
    assert!(!paused(&mut client).await);
}

#[tokio::test]
async fn a_late_answer_is_late_but_the_deed_is_done_at_once() {
    let pod = pod().await;
    pod.set(Fault::on(Trigger::nth(Method::Pause, 1), Action::AnswerLate { ms: 200 }));
    client(&pod).await.pause(drain(None)).await.unwrap();
    let log = pod.log();
    let closed = log.gate_closed_intervals()[0].0;
    let answered = log.entries.iter().find(|e| matches!(e.event, Event::Answered { .. })).unwrap().mono_ns;
    assert!(answered - closed >= 200_000_000);
}

#[tokio::test]
async fn a_withheld_answer_comes_when_it_is_let_go_and_the_deed_is_done_before() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    pod.withhold(Some(Method::Pause));
    let pausing = tokio::spawn({
        let mut client = client.clone();
        async move { client.pause(drain(None)).await }
    });
    while pod.is_open() {
        tokio::task::yield_now().await;
    }
    // Another method is answered, and so is not held up behind it.
    assert!(paused(&mut client).await);
    assert!(!pausing.is_finished());
    pod.withhold(Some(Method::Unpause));
    pausing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_a_deed_done_and_a_connection_cut() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    pod.set(Fault::on(Trigger::nth(Method::Pause, 1), Action::LoseAnswer));
    client.pause(drain(None)).await.unwrap_err();
    assert!(!pod.is_open());
    assert!(pod.is_up(), "only the connection is gone");
}

#[tokio::test]
async fn unpause_can_be_refused_a_number_of_times() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    client.pause(drain(None)).await.unwrap();
    pod.set(Fault::on(Trigger::next(Method::Unpause, 3), Action::Refuse));
    for _ in 0..3 {
        assert_eq!(client.unpause(()).await.unwrap_err().code(), Code::Unavailable);
        assert!(!pod.is_open());
    }
    client.unpause(()).await.unwrap();
    assert!(pod.is_open());
}

#[tokio::test]
async fn a_pause_held_back_is_handled_after_its_caller_is_gone() {
    let pod = pod().await;
    pod.set(Fault::on(Trigger::nth(Method::Pause, 1), Action::HoldBack { ms: 200 }));
    let mut request = tonic::Request::new(drain(None));
    request.set_timeout(Duration::from_millis(20));
    let mut caller = client(&pod).await;
    caller.pause(request).await.unwrap_err();
    drop(caller);
    assert!(pod.is_open());
    until("the dead caller's pause arrives", || !pod.is_open()).await;
}

#[tokio::test]
async fn a_drain_can_be_made_to_last_for_ever() {
    let pod = pod().await;
    pod.set(Fault::on(Trigger::nth(Method::Pause, 1), Action::OpenTransaction { for_ms: None }));
    let mut client = client(&pod).await;
    assert_eq!(client.pause(drain(Some(50))).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(pod.outstanding(), 1);
    pod.set(Fault::now(Action::Restart { down_ms: 0 }));
    until("the restart takes the transaction along", || pod.outstanding() == 0).await;
}

#[tokio::test]
async fn a_pod_restarts_on_the_nth_call() {
    let pod = pod().await;
    pod.set(Fault::on(Trigger::nth(Method::CheckPaused, 3), Action::Restart { down_ms: 10 }));
    let mut client = client(&pod).await;
    client.pause(drain(None)).await.unwrap();
    assert!(paused(&mut client).await && paused(&mut client).await);
    client.check_paused(()).await.unwrap_err();
    until("it is up again", || {
        pod.log().entries.iter().filter(|e| matches!(e.event, Event::Started { .. })).count() == 2
    })
    .await;
    assert!(pod.is_up() && pod.is_open());
    let log = pod.log();
    assert!(matches!(
        log.entries.iter().find(|e| matches!(e.event, Event::GateOpened { .. })).unwrap().event,
        Event::GateOpened { mover: Mover::Restart }
    ));
}

#[tokio::test]
async fn a_pod_that_restarts_after_the_deed_loses_the_answer() {
    let pod = pod().await;
    pod.set(Fault::on(Trigger::nth(Method::Pause, 1), Action::RestartAfter { down_ms: 0 }));
    client(&pod).await.pause(drain(None)).await.unwrap_err();
    until("the gate was closed and forgotten", || pod.log().opened_at().is_some()).await;
}

#[tokio::test]
async fn a_pod_that_is_scaled_down_stays_away_until_it_is_scaled_up_and_has_forgotten_its_pause() {
    let pod = pod().await;
    client(&pod).await.pause(drain(None)).await.unwrap();
    for _ in 0..2 {
        pod.scale_down().await;
        assert!(!pod.is_up());
        until_ok(|| async { tokio::net::TcpStream::connect(pod.address()).await.is_err() }).await;
        pod.scale_up().await;
        assert!(pod.is_up() && pod.is_open());
        assert!(!paused(&mut client(&pod).await).await);
        pod.scale_up().await;
    }
}

#[tokio::test]
async fn a_dead_pod_refuses_connections_for_good() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    client.pause(drain(None)).await.unwrap();
    pod.set(Fault::on(Trigger::nth(Method::Unpause, 1), Action::Die));
    client.unpause(()).await.unwrap_err();
    until("it is down", || !pod.is_up()).await;
    pod.restart(Duration::ZERO).await;
    assert!(!pod.is_up(), "nothing brings it back");
    until_ok(|| async { tokio::net::TcpStream::connect(pod.address()).await.is_err() }).await;
    assert_eq!(pod.begin().await.unwrap_err(), Refused::Down);
}

#[tokio::test]
async fn strangers_open_and_close_the_gate() {
    let pod = pod().await;
    let mut client = client(&pod).await;
    pod.set(Fault::on(Trigger::nth(Method::CheckPaused, 2), Action::ForeignUnpause { after_ms: 10 }));
    client.pause(drain(None)).await.unwrap();
    assert!(paused(&mut client).await);
    paused(&mut client).await;
    until("a stranger opens the gate", || pod.is_open()).await;
    pod.set(Fault::now(Action::ForeignPause { after_ms: 0 }));
    until("a stranger closes the gate", || !pod.is_open()).await;
    let foreign = |e: &&Entry| {
        matches!(e.event, Event::GateOpened { mover: Mover::Foreign } | Event::GateClosed { mover: Mover::Foreign })
    };
    assert_eq!(pod.log().entries.iter().filter(foreign).count(), 2);
}

#[tokio::test]
async fn the_log_goes_to_json_and_back() {
    let pod = pod().await;
    client(&pod).await.pause(drain(Some(5))).await.unwrap();
    pod.set(Fault::now(Action::ForeignUnpause { after_ms: 0 }));
    until("it is open", || pod.is_open()).await;
    until("the fault is noted", || pod.log().entries.iter().any(|e| matches!(e.event, Event::Fault { .. }))).await;
    let log = pod.log();
    let back: Vec<Entry> = log.to_json_lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(back, log.entries);
}

struct Pki {
    ca: String,
    server: TlsFiles,
    client: Identity,
}

fn pki(mutual: bool) -> Pki {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "sandbox test CA");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let leaf = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &ca).unwrap().pem(), key.serialize_pem())
    };
    let (certificate, key) = leaf("pods.example");
    let (client_certificate, client_key) = leaf("operator.example");
    Pki {
        ca: ca.pem(),
        server: TlsFiles { certificate, key, client_ca: mutual.then(|| ca.pem()) },
        client: Identity::from_pem(client_certificate, client_key),
    }
}

#[tokio::test]
async fn tls_pods_show_their_certificate_and_can_demand_the_clients() {
    for mutual in [false, true] {
        let pki = pki(mutual);
        let pod = pod_with(PodConfig { tls: Some(pki.server.clone()), ..PodConfig::default() }).await;
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&pki.ca)).domain_name("pods.example");
        let endpoint = Endpoint::try_from(format!("https://{}", pod.address())).unwrap();
        let with_identity = endpoint.clone().tls_config(tls.clone().identity(pki.client)).unwrap();
        let mut known = AdminClient::new(with_identity.connect().await.unwrap());
        known.pause(drain(None)).await.unwrap();
        let anonymous = AdminClient::new(endpoint.tls_config(tls).unwrap().connect_lazy()).check_paused(()).await;
        assert_eq!(anonymous.is_ok(), !mutual);
        assert!(
            Endpoint::try_from(format!("http://{}", pod.address())).unwrap().connect().await.is_err() || {
                // A client of plain text may believe itself connected until its first call.
                AdminClient::new(channel(&pod).await).check_paused(()).await.is_err()
            }
        );
    }
}

#[tokio::test]
async fn a_hundred_pods_are_paused_at_once_with_their_latency() {
    let config = PodConfig { answer_latency: Duration::from_millis(20), ..PodConfig::default() };
    let pods = futures::future::join_all((0..100).map(|index| Pod::start(index, config.clone()))).await;
    let pods: Vec<Pod> = pods.into_iter().map(Result::unwrap).collect();
    let calls = pods.iter().map(|pod| async { client(pod).await.pause(drain(None)).await });
    assert!(futures::future::join_all(calls).await.iter().all(Result::is_ok));
    for pod in &pods {
        let log = pod.log();
        assert!(!log.is_open());
        let answered = log.entries.iter().find(|e| matches!(e.event, Event::Answered { .. })).unwrap().mono_ns;
        assert!(answered - log.received_at(Method::Pause)[0] >= 20_000_000);
    }
}
