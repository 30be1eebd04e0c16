//! Pods that cannot take part.

use crate::world::{DeadPort, World, assert_told, at_once, case, port_that_says, quiet};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::Value;
use stillpoint_sandbox::SandboxConfig;
use stillpoint_sandbox::pods::{Flavor, PodConfig, TlsFiles};

fn flavored(flavor: Flavor) -> World {
    World::with(SandboxConfig { pod: PodConfig { flavor, ..PodConfig::default() }, ..quiet() })
}

/// A CA of this name, and a certificate of it for `pods.example`.
fn authority(name: &str) -> (String, TlsFiles) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["pods.example".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap().pem();
    (ca.pem(), TlsFiles { certificate, key: key.serialize_pem(), client_ca: None })
}

/// Pods with TLS, and a target that speaks it so.
fn with_tls(tls: &str) -> World {
    let (ca, server) = authority("the bank's CA");
    let pod = PodConfig { tls: Some(server), ..PodConfig::default() };
    let mut world = World::with(SandboxConfig { pod, ..quiet() });
    world.session().file("ca.pem", ca);
    world.session().file("other.pem", authority("another CA").0);
    let tls = tls.to_owned();
    world.configure(|text| text.replace("\n\n[[database]]", &format!("\n{tls}\n\n[[database]]")));
    world
}

/// One more address in the target.
fn with_address(address: &str) -> World {
    let mut world = World::new();
    world.configure(|text| text.replace("addresses = [", &format!("addresses = [\"{address}\", ")));
    world
}

fn refused(mut world: World) -> String {
    world.refused("create", 4);
    world.told()
}

#[test]
fn addresses_at_which_no_pod_answers_in_grpc() {
    let told = at_once(vec![
        case("a name without an address", || refused(with_address("nowhere.invalid:60051"))),
        case("a port on which nobody listens", || {
            let dead = DeadPort::take();
            refused(with_address(&dead.address()))
        }),
        case("a port that speaks HTTP/1", || {
            refused(with_address(&port_that_says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")))
        }),
        case("a port that speaks something else", || {
            refused(with_address(&port_that_says(b"SSH-2.0-OpenSSH_9.9\r\n")))
        }),
    ]);
    assert_told!(told);
}

#[test]
fn tls_where_plain_text_is_spoken_and_the_reverse_and_certificates_that_do_not_fit() {
    let told = at_once(vec![
        case("plain text to a server with TLS", || refused(with_tls(""))),
        case("TLS to a server without it", || {
            let mut world = World::new();
            world.session().file("ca.pem", authority("the bank's CA").0);
            world.configure(|text| {
                text.replace(
                    "\n\n[[database]]",
                    "\ntls = { ca_file = \"ca.pem\", authority = \"pods.example\" }\n\n[[database]]",
                )
            });
            refused(world)
        }),
        case("another CA", || refused(with_tls("tls = { ca_file = \"other.pem\", authority = \"pods.example\" }"))),
        case("another name", || refused(with_tls("tls = { ca_file = \"ca.pem\", authority = \"ledger.example\" }"))),
        case("no name given", || refused(with_tls("tls = { ca_file = \"ca.pem\" }"))),
        case("all as it should be", || {
            let mut world = with_tls("tls = { ca_file = \"ca.pem\", authority = \"pods.example\" }");
            world.run("check", 0);
            world.nothing_paused();
            world.told()
        }),
    ]);
    assert_told!(told);
}

#[test]
fn pods_that_cannot_be_proven_paused_or_are_somebody_else_s_or_unguarded_are_not_paused() {
    let told = at_once(vec![
        case("a server without CheckPaused", || refused(flavored(Flavor::NoCheckPaused))),
        case("a server without CheckPaused, accepted", without_proof),
        case("paused already", || {
            let mut world = World::new();
            world.foreign_pause(1);
            world.refused("create", 4);
            world.refused("pause --for 10s", 4);
            world.refused_once("check", 4);
            assert!(!world.sandbox().pods()[1].is_open(), "somebody else's pause is not ours to end");
            world.told()
        }),
        case("no guard can be started", no_guard),
    ]);
    assert_told!(told);
}

/// The point says so.
fn without_proof() -> String {
    let mut world = flavored(Flavor::NoCheckPaused);
    world.configure(|text| text.replace("[window]\n", "[window]\nrequire_proof = false\n"));
    let said = world.run("create --output json", 0);
    let point: Value = serde_json::from_str(&said.stdout).unwrap();
    let id = point["id"].as_str().unwrap();
    let shown: Value = serde_json::from_str(&world.run(&format!("show {id} --output json"), 0).stdout).unwrap();
    for point in [&point, &shown] {
        let warnings = point["warnings"].to_string();
        for address in world.sandbox().addresses() {
            assert!(warnings.contains("require_proof = false") && warnings.contains(&address), "{warnings}");
        }
    }
    assert!(stillpoint_sandbox::judge::all_open(&world.sandbox().logs()));
    world.told()
}

fn no_guard() -> String {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new();
    let program = world.dir().join("stillpoint");
    // By another process: no child of this one then holds the file open for writing while it is run.
    let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_stillpoint")).arg(&program).status().unwrap();
    assert!(copied.success());
    for words in [["create", "--output", "table"], ["create", "--output", "json"]] {
        let before = world.kept();
        let mut command = world.session().command(&words);
        let mut copy = std::process::Command::new(&program);
        copy.args(command.get_args()).current_dir(world.dir()).env_clear();
        copy.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        command = copy;
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let child = command.spawn().unwrap();
        // It runs, and from now on it cannot be started again.
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o644)).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = world.note(&words, &output, 1);
        assert!(said.stderr.contains("guard did not start") || said.stdout.contains("guard did not start"), "{said:?}");
        world.nothing_paused();
        assert!(world.kept().keys().all(|path| !path.to_string_lossy().contains("notes/")), "no note is left");
        assert!(before.keys().all(|path| world.kept().contains_key(path)));
    }
    world.told()
}
