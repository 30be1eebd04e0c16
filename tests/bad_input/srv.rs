//! Targets by SRV name whose pods cannot be found, or whose name is none.

use crate::world::{World, assert_told, at_once, case};
use stillpoint_sandbox::dns::{Dns, Manner};

const NAME: &str = "_scalardb._tcp.db-headless.ns-scalar.svc.cluster.local";

/// The pods of the sandbox behind one name; what `set` does to the server that lists them.
fn listed(set: impl FnOnce(&Dns)) -> String {
    let mut world = World::new();
    let dns = world.wait_for(Dns::start()).unwrap();
    for pod in world.sandbox().pods() {
        dns.add_srv(NAME, "pods.db-headless.ns-scalar.svc.cluster.local", pod.address().port());
    }
    dns.add_address("pods.db-headless.ns-scalar.svc.cluster.local", [127, 0, 0, 1].into());
    set(&dns);
    let lines = format!("srv = \"{NAME}\"\nresolver = \"{}\"", dns.address());
    world.configure(|text| with_target(&text, &lines));
    world.refused("create", 4);
    world.told()
}

/// The configuration with these lines in place of its addresses.
fn with_target(text: &str, lines: &str) -> String {
    let addresses = text.lines().find(|line| line.starts_with("addresses")).unwrap();
    text.replace(addresses, lines)
}

#[test]
fn what_dns_does_not_say_is_refused_and_nothing_is_paused() {
    let told = at_once(vec![
        case("a name that does not exist", || listed(|dns| dns.behave(Manner::NxDomain))),
        case("a server that fails", || listed(|dns| dns.behave(Manner::ServFail))),
        case("a server that refuses", || listed(|dns| dns.behave(Manner::Refused))),
        case("a long answer without TCP", || listed(|dns| dns.behave(Manner::TruncatedWithoutTcp))),
        case("a pod without an address", || {
            listed(|dns| dns.add_srv(NAME, "pod-9.db-headless.ns-scalar.svc.cluster.local", 60051))
        }),
        case("nobody at the resolver's address", || {
            let mut world = World::new();
            world.configure(|text| with_target(&text, &format!("srv = \"{NAME}\"\nresolver = \"127.0.0.1:1\"")));
            world.refused("create", 4);
            world.told()
        }),
    ]);
    assert_told!(told);
}

#[test]
fn a_malformed_name_is_told_from_the_text_alone_with_the_right_form() {
    let mut world = World::new();
    for lines in [
        "srv = \"scalardb-headless.ns-scalar.svc.cluster.local\"",
        "srv = \"_scalardl-admin._tcp.scalardl-ledger-headless.ns-scalar:50053\"",
        "srv = \"_scalardb.db\"\nresolver = \"10.96.0.10\"",
        "srv = \"_scalardb._tcp.db\"\naddresses = [\"10.0.0.4:60051\"]",
        "srv = 5",
        "addresses = [\"10.0.0.4:60051\"]\nresolver = \"10.96.0.10:53\"",
    ] {
        world.configure(|text| with_target(&text, lines));
        world.refused("create", 2);
    }
    world.nobody_asked();
    assert_told!(world.told());
}
