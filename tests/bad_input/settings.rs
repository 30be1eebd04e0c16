//! What flags and files alone tell is wrong is found before anybody is asked: exit 2.

use crate::world::{World, assert_told};

#[test]
fn nobody_is_asked_when_the_configuration_is_wrong() {
    let mut world = World::new();
    let wrong: [(&str, &str); 10] = [
        ("margin = ", "magrin = "),
        ("hold = \"auto\"", "hold = \"10\""),
        ("max_outage = \"40s\"", "max_outage = \"40 parsecs\""),
        ("[[target]]\nname", "[[target]]\nname = \"bank\"\naddresses = [\"127.0.0.1:1\"]\n[[target]]\nname"),
        ("[[target]]\nname = \"bank\"\naddresses = [", "[ignored]\nx = ["),
        ("[[database]]\nname", "[polled]\nname"),
        ("region = \"us-east-1\"\n", ""),
        ("provider = \"dynamodb\"", "provider = \"cosmos\""),
        ("[window]\n", "[window]\nignore = \"other\"\n"),
        ("[window]", "[window"),
    ];
    for (right, instead) in wrong {
        world.configure(|text| {
            let edited = text.replacen(right, instead, 1);
            assert_ne!(text, edited);
            edited
        });
        world.refused("create", 2);
    }
    world.nobody_asked();
    assert!(world.database().calls().iter().all(|call| call.operation != "ListTables"));
    assert!(!world.dir().join("catalog").exists() && !world.dir().join("state").exists());
    assert_told!(world.told());
}

#[test]
fn nobody_is_asked_when_the_file_or_the_flags_are_wrong() {
    let mut world = World::new();
    for line in [
        "create --config nowhere.toml",
        "create --hodl 10s",
        "agent",
        "pause --for 41s",
        "pause --for 0s",
        "show a/b",
        "seal ../a",
        "seal",
        "unpause --address nonsense",
    ] {
        world.refused(line, 2);
    }
    world.session().file("stillpoint.toml", [0xff, 0xfe, b'[']);
    world.refused("check", 2);
    world.nobody_asked();
    assert_told!(world.told());
}

#[test]
fn a_wrong_configuration_keeps_nobody_from_opening_pods() {
    let mut world = World::new();
    world.configure(|text| text.replace("margin = ", "magrin = "));
    world.foreign_pause(0);
    let address = world.sandbox().addresses().remove(0);
    world.name(format!("--address {address}"), "--address [pod 0]");
    world.run(&format!("unpause --address {address}"), 0);
    assert!(world.sandbox().pods()[0].is_open());
    world.foreign_pause(0);
    world.run(&format!("unpause --address {address} --address nonsense"), 2);
    assert!(world.sandbox().pods()[0].is_open(), "what is wrong with one address keeps no other pod closed");
    world.run("recover", 0);
    world.run("recover --output json", 0);
    world.run("status", 0);
    assert_told!(world.told());
}
