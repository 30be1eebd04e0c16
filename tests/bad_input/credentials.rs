//! Credentials that are missing, refused, or not enough.

use crate::world::{ACCESS_KEY, World, assert_told, at_once, case};

fn refused(mut world: World) -> String {
    world.refused("create", 4);
    world.told()
}

#[test]
fn credentials_that_are_missing_or_not_accepted() {
    let told = at_once(vec![
        case("none", || refused(World::without_credentials())),
        case("expired", || {
            let world = World::new();
            world.database().reject_credentials(ACCESS_KEY, Some("ExpiredTokenException"));
            refused(world)
        }),
        case("unknown", || {
            let world = World::new();
            world.database().reject_credentials(ACCESS_KEY, Some("UnrecognizedClientException"));
            refused(world)
        }),
        case("a profile that does not exist", || {
            let mut world = World::without_credentials();
            world.session().env("AWS_PROFILE", "bank");
            refused(world)
        }),
    ]);
    assert_told!(told);
}

#[test]
fn each_call_that_is_not_allowed_is_named_as_the_action_to_allow() {
    let mut cases: Vec<_> = ["Scan", "ListTables", "DescribeTable", "DescribeContinuousBackups"]
        .map(|operation| {
            case(operation, move || {
                let world = World::new();
                let table = if operation == "ListTables" || operation == "Scan" { "*" } else { "bank.accounts_1" };
                world.database().deny(operation, table);
                refused(world)
            })
        })
        .into();
    cases.push(case("settings that may not be read", settings_that_may_not_be_read));
    assert_told!(at_once(cases));
}

/// They are said in the point, and keep no point from being made.
fn settings_that_may_not_be_read() -> String {
    let mut world = World::new();
    for operation in ["DescribeTimeToLive", "ListTagsOfResource", "DescribeScalableTargets"] {
        world.database().deny(operation, "*");
    }
    let said = world.run("create --output json", 0);
    let point: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let warnings = point["warnings"].to_string();
    for operation in ["DescribeTimeToLive", "ListTagsOfResource", "DescribeScalableTargets"] {
        assert!(warnings.contains(operation), "{operation}: {point:#}");
    }
    assert!(stillpoint_sandbox::judge::all_open(&world.sandbox().logs()));
    String::new()
}
