//! Pods that speak TLS: their addresses are in no certificate, so the name is the target's to say.

use crate::bed::Bed;
use crate::play::{Play, Release, Shape};
use crate::refusals::{checked, refused};
use crate::rows::{Row, row};
use crate::support::{proc, until};
use futures::future::BoxFuture;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::Signal;
use std::sync::Arc;
use stillpoint_sandbox::pods::{PodConfig, TlsFiles};

type Story = fn(Arc<Bed>) -> BoxFuture<'static, ()>;

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let stories: [(&str, Story); 4] = [
        ("pods that speak TLS, by the name in their certificate", |bed| Box::pin(good(bed))),
        ("pods whose certificate another CA signed are refused", |bed| Box::pin(other_ca(bed))),
        ("pods whose certificate has another name are refused", |bed| Box::pin(other_name(bed))),
        ("pods that speak TLS where the target says nothing of it are refused", |bed| Box::pin(untold(bed))),
    ];
    let rows = stories.into_iter().map(|(name, story)| {
        let bed = bed.clone();
        row(name, move |_| story(bed))
    });
    rows.collect()
}

/// A CA of this name, and a certificate of it for `ledger.example`.
fn authority(name: &str) -> (String, TlsFiles) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["ledger.example".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap().pem();
    (ca.pem(), TlsFiles { certificate, key: key.serialize_pem(), client_ca: None })
}

/// Two ledgers with TLS, and a target with this line.
async fn spoken_to(bed: Arc<Bed>, tls: &str) -> Play {
    let namespace = bed.namespace().await;
    let (ca, files) = authority("the bank's CA");
    let server = PodConfig { tls: Some(files), ..PodConfig::default() };
    let shape = Shape { server, ..Shape::default() };
    let release = Release::shaped(&bed, &namespace, "bank", "ledger", 2, shape).await;
    let mut play = Play::of(bed, vec![release]).await;
    std::fs::write(play.path("ca.pem"), ca).unwrap();
    std::fs::write(play.path("other.pem"), authority("another CA").0).unwrap();
    play.targets = Some(play.target("bank", &namespace, "bank", "") + tls + "\n");
    play.configure();
    play
}

async fn good(bed: Arc<Bed>) {
    let play = spoken_to(bed, "tls = { ca_file = \"ca.pem\", authority = \"ledger.example\" }").await;
    play.expect_good(play.run(&["create"]).await);
    // The guard speaks it too.
    let running = play.held().await;
    let guard = running.guard().await;
    running.signal(Signal::KILL);
    until("the guard has released and gone", || !proc::is_alive(guard)).await;
    play.assert_all_open();
}

async fn other_ca(bed: Arc<Bed>) {
    let play = spoken_to(bed, "tls = { ca_file = \"other.pem\", authority = \"ledger.example\" }").await;
    refused(&play, checked(&play).await, 4, "tls_other_ca");
}

async fn other_name(bed: Arc<Bed>) {
    // Without a name the address is compared.
    let play = spoken_to(bed, "tls = { ca_file = \"ca.pem\" }").await;
    refused(&play, checked(&play).await, 4, "tls_other_name");
}

async fn untold(bed: Arc<Bed>) {
    let play = spoken_to(bed, "").await;
    refused(&play, checked(&play).await, 4, "tls_untold");
}
