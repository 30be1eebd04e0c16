//! The client against real little servers: every way of speaking, every way of failing.

use super::{test_pods::*, *};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Long enough that no test ever sees it pass.
const LONG: Duration = Duration::from_secs(60);

async fn connect(endpoint: &AdminEndpoint) -> Result<AdminClient, AdminError> {
    AdminClient::connect(endpoint, LONG).await
}

async fn refused(endpoint: &AdminEndpoint) -> AdminError {
    let error = connect(endpoint).await.expect_err("there is nothing to speak to");
    assert!(error.message.contains(&endpoint.address), "the pod is not named: {}", error.message);
    assert!(error.hint.ends_with('.'), "{}", error.hint);
    error
}

#[tokio::test]
async fn a_pod_is_paused_checked_and_unpaused_over_plain_text() {
    let pod = TestPod::plain().await;
    let client = connect(&pod.endpoint()).await.unwrap();
    assert!(!client.check_paused(LONG).await.unwrap());
    assert_eq!(client.pause(None, LONG).await, PauseResult::Paused);
    assert!(pod.gate.is_closed());
    assert!(client.check_paused(LONG).await.unwrap());
    client.unpause(LONG).await.unwrap();
    client.unpause(LONG).await.unwrap();
    assert!(!pod.gate.is_closed());
    assert_eq!(client.connections_made(), 1);
}

#[tokio::test]
async fn a_pause_waits_for_transactions_and_carries_its_wait_and_deadline() {
    let pod = TestPod::plain().await;
    let client = connect(&pod.endpoint()).await.unwrap();
    for wait in [None, Some(Duration::from_secs(7)), Some(Duration::ZERO)] {
        client.pause(wait, Duration::from_secs(30)).await;
    }
    let pauses = pod.gate.pauses.lock().unwrap().clone();
    assert!(pauses.iter().all(|pause| pause.wait_outstanding));
    let waits: Vec<_> = pauses.iter().map(|pause| pause.max_pause_wait_time).collect();
    assert_eq!(waits, [None, Some(7_000), Some(1)]);
    let heads = pod.gate.heads.lock().unwrap().clone();
    assert!(heads.iter().all(|(_, timeout)| timeout == "30000000u"), "{heads:?}");
}

#[tokio::test]
async fn a_pod_is_spoken_to_over_tls_with_a_ca_as_a_file_and_as_text() {
    let ca = TestCa::new();
    let pod = TestPod::tls(ca.server(&["127.0.0.1"])).await;
    let client = connect(&pod.tls_endpoint(ca.reference())).await.unwrap();
    assert_eq!(client.pause(None, LONG).await, PauseResult::Paused);
    assert!(pod.gate.is_closed());
    let as_text = TlsReference { ca_pem: Some(ca.pem.clone()), ..TlsReference::default() };
    let client = connect(&pod.tls_endpoint(as_text)).await.unwrap();
    assert!(client.check_paused(LONG).await.unwrap());
    let heads = pod.gate.heads.lock().unwrap().clone();
    assert_eq!(heads[0].0, format!("https://{}", pod.address));
}

#[tokio::test]
async fn the_authority_is_the_name_in_the_certificate_and_in_the_call() {
    let ca = TestCa::new();
    let pod = TestPod::tls(ca.server(&["ledger.example.com"])).await;
    let tls = TlsReference { authority: Some("ledger.example.com".into()), ..ca.reference() };
    connect(&pod.tls_endpoint(tls)).await.unwrap().check_paused(LONG).await.unwrap();

    let named = AdminEndpoint { authority: Some("ledger.example.com:443".into()), ..pod.tls_endpoint(ca.reference()) };
    connect(&named).await.unwrap().check_paused(LONG).await.unwrap();

    let plain = TestPod::plain().await;
    let named = AdminEndpoint { authority: Some("pod-1:60051".into()), ..plain.endpoint() };
    connect(&named).await.unwrap().check_paused(LONG).await.unwrap();

    let called = |pod: &TestPod| pod.gate.heads.lock().unwrap().iter().map(|(uri, _)| uri.clone()).collect::<Vec<_>>();
    assert_eq!(called(&pod), ["https://ledger.example.com", "https://ledger.example.com:443"]);
    assert_eq!(called(&plain), ["http://pod-1:60051"]);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_server_that_asks_for_one() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let pod = TestPod::tls(ca.demanding_server(&["127.0.0.1"])).await;
    let with = connect(&pod.tls_endpoint(ca.reference_with_client(&ca))).await.unwrap();
    assert!(!with.check_paused(LONG).await.unwrap());

    let stranger = TlsReference { ca_file: ca.reference().ca_file, ..other.reference_with_client(&other) };
    for tls in [ca.reference(), stranger] {
        let error = refused(&pod.tls_endpoint(tls)).await;
        assert_eq!(error.kind, AdminErrorKind::BadCertificate, "{error:?}");
        assert!(error.hint.contains("cert_file"), "{}", error.hint);
    }
}

#[tokio::test]
async fn a_ca_that_did_not_sign_the_certificate_is_told_from_a_wrong_name() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let pod = TestPod::tls(ca.server(&["ledger.example.com"])).await;

    let untrusted = refused(&pod.tls_endpoint(other.reference())).await;
    assert_eq!(untrusted.kind, AdminErrorKind::BadCertificate, "{untrusted:?}");
    assert!(untrusted.hint.contains("ca_file"));

    let misnamed = refused(&pod.tls_endpoint(ca.reference())).await;
    assert_eq!(misnamed.kind, AdminErrorKind::WrongAuthority, "{misnamed:?}");
    assert!(misnamed.message.contains("ledger.example.com"), "{}", misnamed.message);

    let tls = TlsReference { authority: Some("auditor.example.com".into()), ..ca.reference() };
    let misnamed = refused(&pod.tls_endpoint(tls)).await;
    assert_eq!(misnamed.kind, AdminErrorKind::WrongAuthority);
    assert!(misnamed.message.contains("`auditor.example.com`"), "{}", misnamed.message);
}

#[tokio::test]
async fn plain_text_spoken_to_a_tls_port_is_told() {
    let ca = TestCa::new();
    let pod = TestPod::tls(ca.server(&["127.0.0.1"])).await;
    let error = refused(&pod.endpoint()).await;
    assert_eq!(error.kind, AdminErrorKind::TlsExpected, "{error:?}");

    let wordless = picky_port(0x16, pod.address.parse().unwrap()).await;
    let error = refused(&endpoint(&wordless)).await;
    assert_eq!(error.kind, AdminErrorKind::TlsExpected, "{error:?}");
}

#[tokio::test]
async fn tls_spoken_to_a_plain_text_port_is_told() {
    let ca = TestCa::new();
    let pod = TestPod::plain().await;
    let error = refused(&pod.tls_endpoint(ca.reference())).await;
    assert_eq!(error.kind, AdminErrorKind::PlainExpected, "{error:?}");

    let wordless = picky_port(b'P', pod.address.parse().unwrap()).await;
    let error = refused(&AdminEndpoint { tls: Some(ca.reference()), ..endpoint(&wordless) }).await;
    assert_eq!(error.kind, AdminErrorKind::PlainExpected, "{error:?}");
}

#[tokio::test]
async fn a_port_that_speaks_http1_is_told_with_and_without_tls() {
    let ca = TestCa::new();
    let plain = http1_port().await;
    let wordless = picky_port(b'G', plain.parse().unwrap()).await;
    for address in [&plain, &wordless] {
        for tls in [None, Some(ca.reference())] {
            let error = refused(&AdminEndpoint { tls, ..endpoint(address) }).await;
            assert_eq!(error.kind, AdminErrorKind::NotHttp2, "{error:?}");
            assert!(error.hint.contains("60051"));
        }
    }
}

#[tokio::test]
async fn a_port_that_is_closed_silent_or_unknown_is_told() {
    let error = refused(&endpoint(&free_address().await)).await;
    assert_eq!(error.kind, AdminErrorKind::Refused, "{error:?}");

    let error = refused(&endpoint("no-such-host.invalid:60051")).await;
    assert_eq!(error.kind, AdminErrorKind::Unresolvable, "{error:?}");

    let silent = endpoint(&silent_port().await);
    let error = AdminClient::connect(&silent, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.kind, AdminErrorKind::DeadlineExceeded, "{error:?}");

    let hung_up = refused(&endpoint(&port(|stream| async move { drop(stream) }).await)).await;
    assert_eq!(hung_up.kind, AdminErrorKind::NotHttp2, "{hung_up:?}");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_before_anything_is_sent() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let empty = ca.file("empty.pem", "");
    let absent = |file: &str| TlsReference { ca_file: Some(file.into()), ..TlsReference::default() };
    let half = TlsReference { key_file: None, ..ca.reference_with_client(&ca) };
    let mixed =
        TlsReference { key_file: other.reference_with_client(&other).key_file, ..ca.reference_with_client(&ca) };
    let cases = [
        (absent("/no/such/ca.pem"), "/no/such/ca.pem"),
        (TlsReference { ca_file: Some(empty), ..TlsReference::default() }, "holds no certificate"),
        (TlsReference { ca_pem: Some("CA".into()), ..TlsReference::default() }, "as text holds no certificate"),
        (TlsReference { ca_pem: Some(ca.pem.clone()), ..ca.reference() }, "given twice"),
        (half, "only one is set"),
        (mixed, "does not go with"),
        (TlsReference { authority: Some("no name".into()), ..ca.reference() }, "`no name`"),
    ];
    for (tls, why) in cases {
        let endpoint = AdminEndpoint { tls: Some(tls), ..endpoint("127.0.0.1:1") };
        let error = AdminClient::connect_lazy(&endpoint).unwrap_err();
        assert_eq!(error.kind, AdminErrorKind::InvalidSettings, "{error:?}");
        assert!(error.message.contains(why), "{}", error.message);
    }
    let error = AdminClient::connect_lazy(&endpoint("10.0.0.4")).unwrap_err();
    assert_eq!(error.kind, AdminErrorKind::InvalidSettings);
}

fn with_reason(code: Code, reason: &str, domain: &str) -> Status {
    Status::with_error_details(code, "said no", ErrorDetails::with_error_info(reason, domain, HashMap::new()))
}

#[tokio::test]
async fn only_ok_means_paused_and_every_refusal_is_told_from_the_unknown() {
    use RefusedPause as R;
    let dl = "com.scalar.dl.admin";
    let cases = [
        (Status::failed_precondition("timed out"), Some(R::DrainTimedOut)),
        (with_reason(Code::FailedPrecondition, "TIMED_OUT", dl), Some(R::DrainTimedOut)),
        (with_reason(Code::FailedPrecondition, "TIMED_OUT_STILL_PAUSED", dl), Some(R::TimedOutStillPaused)),
        (
            with_reason(Code::FailedPrecondition, "TIMED_OUT_STILL_PAUSED", "com.scalar.db"),
            Some(R::TimedOutStillPaused),
        ),
        (with_reason(Code::Aborted, "PAUSE_IN_PROGRESS", dl), Some(R::PauseInProgress)),
        (with_reason(Code::Aborted, "GATE_OPEN", dl), Some(R::GateOpen)),
        (with_reason(Code::FailedPrecondition, "SOMETHING_NEW", dl), Some(R::Other(Code::FailedPrecondition))),
        (Status::invalid_argument("max"), Some(R::Other(Code::InvalidArgument))),
        (Status::unimplemented("no Pause"), Some(R::Other(Code::Unimplemented))),
        (Status::permission_denied("who"), Some(R::Other(Code::PermissionDenied))),
        (Status::unauthenticated("who"), Some(R::Other(Code::Unauthenticated))),
        (Status::aborted("no reason"), None),
        (Status::unavailable("proxy"), None),
        (Status::internal("proxy"), None),
        (Status::unknown("exception"), None),
        (Status::cancelled("by the server"), None),
        (Status::deadline_exceeded("by the server"), None),
        (Status::resource_exhausted("proxy"), None),
    ];
    let pod = TestPod::plain().await;
    let client = connect(&pod.endpoint()).await.unwrap();
    for (status, expected) in cases {
        *pod.gate.refuses.lock().unwrap() = Some(status.clone());
        let result = client.pause(None, LONG).await;
        match (&result, expected) {
            (PauseResult::Refused(refused, said), Some(expected)) => {
                assert_eq!(*refused, expected);
                assert!(said.contains(status.message()) && said.contains(&pod.address), "{said}");
            }
            (PauseResult::Unknown(error), None) => assert!(error.message.contains(&pod.address)),
            _ => panic!("{status:?} was read as {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_pause_that_is_not_answered_in_time_is_unknown() {
    let pod = TestPod::plain().await;
    pod.gate.hangs.store(true, Ordering::SeqCst);
    let client = connect(&pod.endpoint()).await.unwrap();
    let PauseResult::Unknown(error) = client.pause(None, Duration::from_millis(50)).await else {
        panic!("a pause that hangs was answered");
    };
    assert_eq!(error.kind, AdminErrorKind::DeadlineExceeded, "{error:?}");
    assert_eq!(client.connections_made(), 1, "a deadline does not break the connection");
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_pause_leaves_it_unknown_and_is_visible_afterwards() {
    let pod = TestPod::plain().await;
    let relay = Relay::to(&pod.address).await;
    let client = connect(&endpoint(&relay.address)).await.unwrap();
    pod.gate.hangs.store(true, Ordering::SeqCst);
    let pause = tokio::spawn({
        let client = client.clone();
        async move { client.pause(None, LONG).await }
    });
    until(|| pod.gate.pauses_begun.load(Ordering::SeqCst) == 1).await;
    relay.cut().await;
    let PauseResult::Unknown(error) = pause.await.unwrap() else { panic!("a cut connection answered") };
    assert_eq!(error.kind, AdminErrorKind::ConnectionLost, "{error:?}");

    assert_eq!(client.connections_made(), 1);
    assert!(!client.check_paused(LONG).await.unwrap());
    assert_eq!(client.connections_made(), 2);
    assert_eq!(pod.gate.pauses_begun.load(Ordering::SeqCst), 1, "no Pause is ever sent twice");
}

#[tokio::test]
async fn a_server_without_check_paused_is_told() {
    let pod = TestPod::plain().await;
    pod.gate.without_check.store(true, Ordering::SeqCst);
    let client = connect(&pod.endpoint()).await.unwrap();
    let error = client.check_paused(LONG).await.unwrap_err();
    assert_eq!(error.kind, AdminErrorKind::Unimplemented, "{error:?}");
    assert!(error.hint.contains("3.6"));
}

#[tokio::test]
async fn a_lazy_client_finds_a_pod_that_comes_later_and_one_that_went_away() {
    let address = free_address().await;
    let client = AdminClient::connect_lazy(&endpoint(&address)).unwrap();
    assert_eq!(client.unpause(LONG).await.unwrap_err().kind, AdminErrorKind::Refused);

    let pod = TestPod::serve(tokio::net::TcpListener::bind(&address).await.unwrap(), None);
    pod.gate.closed.store(true, Ordering::SeqCst);
    client.unpause(LONG).await.unwrap();
    assert!(!pod.gate.is_closed());
    assert_eq!(client.connections_made(), 2);
}

#[tokio::test]
async fn a_lazy_client_tells_a_certificate_that_it_does_not_trust() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let pod = TestPod::tls(ca.server(&["127.0.0.1"])).await;
    let client = AdminClient::connect_lazy(&pod.tls_endpoint(other.reference())).unwrap();
    let error = client.unpause(LONG).await.unwrap_err();
    assert_eq!(error.kind, AdminErrorKind::BadCertificate, "{error:?}");
}

#[test]
fn pods_that_share_tls_files_share_one_configuration_for_as_long_as_it_is_used() {
    let ca = TestCa::new();
    let reference = ca.reference();
    let named = TlsReference { authority: Some("pod-1".into()), ..reference.clone() };
    let first = tls::client_config(&reference).unwrap();
    assert!(Arc::ptr_eq(&first, &tls::client_config(&named).unwrap()));
    drop(first);
    ca.file("ca.pem", "no longer a certificate");
    tls::client_config(&reference).expect_err("the file is read again when nobody uses the old one");
}
