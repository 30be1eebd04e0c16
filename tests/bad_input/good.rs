//! What is said when all is well.

use crate::world::{World, assert_told, at_once, case};
use serde_json::Value;
use stillpoint_sandbox::judge;
use stillpoint_sandbox::pods::Method;

#[test]
fn what_is_said_when_all_is_well_is_as_written_down() {
    let told = at_once(vec![
        case("checked, made, sealed, listed, shown", made_for_scripts),
        case("made for people", made_for_people),
        case("paused for a while, as text", || paused_and_unpaused("")),
        case("paused for a while, as JSON", || paused_and_unpaused(" --output json")),
        case("nothing to do", nothing_to_do),
    ]);
    assert_told!(told);
}

fn made_for_scripts() -> String {
    let mut world = World::new();
    world.run("check --output json", 0);
    world.nothing_paused();
    world.run("list", 0);
    let made = world.run("create --output json", 0);
    let point: Value = serde_json::from_str(&made.stdout).unwrap();
    let id = point["id"].as_str().unwrap().to_owned();
    world.name(&id, "[id]");
    world.run(&format!("seal {id} --wait-timeout 1m"), 0);
    world.run(&format!("seal {id} --output json"), 0);
    for line in ["list".to_owned(), format!("show {id}"), format!("show {id} -z Asia/Tokyo"), "status".to_owned()] {
        world.run(&line, 0);
        // Not "-z": an id may have that in it.
        if !line.contains("Tokyo") {
            world.run(&format!("{line} --output json"), 0);
        }
    }
    let shown: Value = serde_json::from_str(&world.run(&format!("show {id} --output json"), 0).stdout).unwrap();
    let restore_time = chrono::DateTime::parse_from_rfc3339(shown["restore_time"].as_str().unwrap()).unwrap();
    assert_eq!(world.sandbox().offences(restore_time.timestamp()), []);
    assert!(judge::all_open(&world.sandbox().logs()));
    world.told()
}

fn made_for_people() -> String {
    let mut world = World::new();
    world.run("check", 0);
    let said = world.run("create --wait sealed", 0);
    let id = said.stdout.split_whitespace().find(|word| word.starts_with("manual-")).unwrap().to_owned();
    world.name(id, "[id]");
    world.told()
}

fn paused_and_unpaused(output: &str) -> String {
    let mut world = World::new();
    world.run(&format!("pause --for 30s{output}"), 0);
    assert!(world.sandbox().pods().iter().all(|pod| !pod.is_open()));
    world.run(&format!("status{output}"), 0);
    world.run(&format!("pause --for 30s{output}"), 4);
    world.run(&format!("create{output}"), 4);
    assert!(world.sandbox().logs().iter().all(|log| log.calls(Method::Pause) == 1));
    assert!(world.sandbox().pods().iter().all(|pod| !pod.is_open()), "a pause of the living is respected");
    world.run(&format!("unpause{output}"), 0);
    assert!(judge::all_open(&world.sandbox().logs()));
    world.run(&format!("status{output}"), 0);
    world.told()
}

fn nothing_to_do() -> String {
    let mut world = World::new();
    for line in ["recover", "recover --output json", "unpause", "unpause --output json", "status --output json"] {
        world.run(line, 0);
    }
    world.nothing_paused();
    world.told()
}
