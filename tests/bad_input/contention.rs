//! Two that want the same pods.

use crate::world::{World, assert_told, until};
use serde_json::Value;
use std::process::Stdio;
use stillpoint_sandbox::judge;
use stillpoint_sandbox::pods::Method;

fn pauses(world: &World) -> Vec<usize> {
    world.sandbox().logs().iter().map(|log| log.calls(Method::Pause)).collect()
}

#[test]
fn a_second_create_is_refused_and_says_who_holds_the_pods_and_the_first_is_none_the_worse() {
    let mut world = World::new();
    world.configure(|text| text.replace("hold = \"auto\"", "hold = \"8s\"").replace("\"40s\"", "\"60s\""));
    let mut first = world.session().command(&["create", "--output", "json"]);
    let first = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the first one pauses", || world.sandbox().pods().iter().all(|pod| !pod.is_open()));
    // The guard writes its report beside everything else.
    let reported = |path: &std::path::PathBuf| path.to_string_lossy().ends_with(".guard.json");
    until("its guard has said who it is", || world.kept().keys().any(reported));
    // All of them at once, so that the first one still holds.
    let lines =
        ["create", "create --output json", "create --state-dir elsewhere", "pause --for 10s", "status", "unpause"];
    let said: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = lines
            .iter()
            .map(|line| {
                let mut command = world.session().command(&line.split_whitespace().collect::<Vec<_>>());
                (line, scope.spawn(move || command.output().unwrap()))
            })
            .collect();
        running.into_iter().map(|(line, output)| (*line, output.join().unwrap())).collect()
    });
    assert_eq!(pauses(&world), [1, 1], "only the first one paused");
    let first = first.wait_with_output().unwrap();
    let point: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!((first.status.code(), &point["verdict"]), (Some(0), &Value::from("good")), "{point:#}");
    for (line, output) in said {
        let words: Vec<&str> = line.split_whitespace().collect();
        world.note(&words, &output, if line == "status" { 0 } else { 4 });
    }
    assert!(judge::all_open(&world.sandbox().logs()));
    let id = point["id"].as_str().unwrap().to_owned();
    world.name(id, "[id]");
    assert_told!(world.told());
}
