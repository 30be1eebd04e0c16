//! Databases that could not restore what is recorded.

use crate::world::{DeadPort, World, assert_told, at_once, case, port_that_says, quiet};
use serde_json::json;
use stillpoint_sandbox::SandboxConfig;
use stillpoint_sandbox::bank::{BankConfig, COORDINATOR_TABLE, METADATA_TABLE};

fn refused(mut world: World) -> String {
    world.refused("create", 4);
    world.told()
}

fn without_table(table: &str) -> World {
    let world = World::new();
    world.aws("DeleteTable", json!({ "TableName": table }));
    world
}

fn at_endpoint(endpoint: &str) -> World {
    let mut world = World::new();
    let now = world.sandbox().endpoint();
    world.configure(|text| text.replace(&now, endpoint));
    world
}

#[test]
fn recovery_that_is_off_on_one_of_40_tables_names_the_table_and_the_call_that_turns_it_on() {
    let bank = BankConfig { tables: 38, accounts_per_table: 1, ..BankConfig::default() };
    let mut world = World::with(SandboxConfig { bank, ..quiet() });
    world.pitr("bank.accounts_17", false);
    world.refused("create", 4);
    world.refused_once("check", 4);
    assert_told!(world.told());
}

#[test]
fn tables_that_are_missing_or_in_no_state_to_be_restored() {
    let told = at_once(vec![
        case("no metadata table", || refused(without_table(METADATA_TABLE))),
        case("no coordinator table", || refused(without_table(COORDINATOR_TABLE))),
        case("a table that only the metadata knows", || refused(without_table("bank.accounts_1"))),
        case("an archived table", || {
            let world = World::new();
            world.database().force_status("bank.accounts_0", Some("ARCHIVED"));
            refused(world)
        }),
        case("tables of a list that are not there", || {
            let mut world = World::new();
            world.configure(|text| {
                text.replace("region = ", "tables = [\"bank.accounts_0\", \"bank.acounts_1\"]\nregion = ")
            });
            refused(world)
        }),
        case("another prefix", || {
            let mut world = World::new();
            world.configure(|text| text.replace("region = ", "prefix = \"prod-\"\nregion = "));
            refused(world)
        }),
    ]);
    assert_told!(told);
}

#[test]
fn endpoints_at_which_no_dynamodb_answers() {
    let told = at_once(vec![
        case("nobody listens", || {
            let dead = DeadPort::take();
            refused(at_endpoint(&format!("http://{}", dead.address())))
        }),
        case("a name without an address", || refused(at_endpoint("http://nowhere.invalid:8000"))),
        case("a web server", || {
            let page = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>no</p>";
            refused(at_endpoint(&format!("http://{}", port_that_says(page))))
        }),
        case("https to a port without TLS", || {
            let world = World::new();
            let endpoint = world.sandbox().endpoint().replace("http://", "https://");
            let mut world = world;
            let now = world.sandbox().endpoint();
            world.configure(|text| text.replace(&now, &endpoint));
            world.name(endpoint, "[https endpoint]");
            refused(world)
        }),
    ]);
    assert_told!(told);
}
