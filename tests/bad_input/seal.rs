//! Points that are not sealed yet, and points that never will be.

use crate::world::{World, assert_told, at_once, case, quiet};
use serde_json::Value;
use stillpoint_sandbox::{bank, judge};

/// A world with one good point, and its id.
fn with_a_point() -> (World, String) {
    let mut world = World::new();
    let made = world.session().output(&["create", "--output", "json"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let point: Value = serde_json::from_slice(&made.stdout).unwrap();
    let id = point["id"].as_str().unwrap().to_owned();
    world.name(&id, "[id]");
    (world, id)
}

fn lost(mut world: World, id: &str) -> String {
    for line in [format!("seal {id}"), format!("seal {id} --output json")] {
        world.run(&line, 6);
    }
    let shown = world.run(&format!("show {id} --output json"), 0);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["state"], "lost");
    assert!(judge::all_open(&world.sandbox().logs()));
    world.told()
}

#[test]
fn points_that_are_lost_not_sealed_in_the_time_given_or_of_a_database_unknown_are_told_apart() {
    let told = at_once(vec![
        case("recovery off and on again", || {
            let (world, id) = with_a_point();
            world.pitr("bank.accounts_1", false);
            world.pitr("bank.accounts_1", true);
            lost(world, &id)
        }),
        case("recovery off", || {
            let (world, id) = with_a_point();
            world.pitr("bank.accounts_1", false);
            lost(world, &id)
        }),
        case("a table dropped and made again", || {
            let (world, id) = with_a_point();
            bank::drop_table(world.database(), "bank.accounts_0").unwrap();
            bank::create_table(world.database(), "bank.accounts_0").unwrap();
            lost(world, &id)
        }),
        case("a table dropped", || {
            let (world, id) = with_a_point();
            bank::drop_table(world.database(), "bank.accounts_0").unwrap();
            lost(world, &id)
        }),
        case("not sealed in the time given", not_sealed),
        case("a database that the settings no longer name", || {
            let (mut world, id) = with_a_point();
            world.configure(|text| text.replace("name = \"bank-tables\"", "name = \"other-tables\""));
            world.run(&format!("seal {id}"), 4);
            world.run(&format!("seal {id} --output json"), 4);
            world.told()
        }),
    ]);
    assert_told!(told);
}

/// The point stays as it is, and the exit code says not yet.
fn not_sealed() -> String {
    // At the pace of the real service: five minutes.
    let mut world = World::with(quiet().with_time_scale(1.0));
    let said = world.run("create --wait sealed --wait-timeout 1s --output json", 5);
    let point: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&point["state"], &point["verdict"]), (&Value::from("recorded"), &Value::from("good")), "{point:#}");
    let id = point["id"].as_str().unwrap().to_owned();
    world.name(&id, "[id]");
    world.run(&format!("seal {id}"), 5);
    world.run(&format!("seal {id} --wait-timeout 100ms --output json"), 5);
    world.run("list", 0);
    assert!(judge::all_open(&world.sandbox().logs()));
    world.told()
}
