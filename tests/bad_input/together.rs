//! Several things wrong at once are told at once.

use crate::world::{DeadPort, World, assert_told};

#[test]
fn everything_that_is_wrong_is_told_in_one_run() {
    let mut world = World::new();
    let (one, another) = (DeadPort::take(), DeadPort::take());
    world.name(one.address(), "[dead port 1]");
    world.name(another.address(), "[dead port 2]");
    world.session().file("catalog", "in the way");
    world.foreign_pause(0);
    world.pitr("bank.accounts_0", false);
    world.pitr("bank.accounts_1", false);
    let more = "[[database]]\nname = \"ledger-tables\"\nprovider = \"dynamodb\"\nregion = \"us-east-1\"\nendpoint = ";
    let dead = format!("{more}\"http://{}\"\n\n[polling]", another.address());
    world.configure(|text| {
        let text =
            text.replace("addresses = [", &format!("addresses = [\"nowhere.invalid:1\", \"{}\", ", one.address()));
        text.replace("[polling]", &dead)
    });
    world.refused_once("check --output json", 4);
    for verb in ["create", "check"] {
        let said = world.run(verb, 4);
        for part in [
            &one.address(),
            &world.sandbox().addresses()[0],
            "bank.accounts_0",
            "bank.accounts_1",
            "`ledger-tables`",
            "/catalog",
            "nowhere.invalid:1",
        ] {
            assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
        }
        world.nothing_paused();
    }
    assert_told!(world.told());
}

#[test]
fn all_that_is_wrong_with_a_configuration_is_told_in_one_run() {
    let mut world = World::new();
    world.configure(|text| {
        text.replace("margin = ", "magrin = ")
            .replace("\"40s\"", "40")
            .replace("region = \"us-east-1\"\n", "")
            .replace("addresses = [", "addresses = [\"pod\", ")
    });
    world.refused("create", 2);
    world.nobody_asked();
    assert_told!(world.told());
}
