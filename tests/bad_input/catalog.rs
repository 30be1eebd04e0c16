//! Catalogs and state folders that cannot be used, and objects in them that are not what was written.

use crate::world::{DeadPort, World, assert_told, at_once, case};
use std::path::{Path, PathBuf};

fn refused(mut world: World) -> String {
    world.refused("create", 4);
    world.told()
}

/// A world with one good point.
fn with_a_point() -> World {
    let mut world = World::new();
    // Not part of what is told: its numbers are its own.
    let made = world.session().output(&["create"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    world
}

/// The objects of the only point, or of the lock.
fn objects(world: &World, folder: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        world.kept().into_keys().filter(|path| path.starts_with(world.dir().join("catalog").join(folder))).collect();
    found.sort();
    assert!(!found.is_empty(), "{folder} is empty");
    found
}

fn id(world: &World) -> String {
    objects(world, "points")[0].parent().unwrap().file_name().unwrap().to_string_lossy().into_owned()
}

/// One digit becomes another.
fn flip_a_digit(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() / 2;
    let digit = bytes.iter().skip(at).position(u8::is_ascii_digit).unwrap() + at;
    bytes[digit] = if bytes[digit] == b'7' { b'8' } else { b'7' };
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn catalogs_that_cannot_be_written() {
    let told = at_once(vec![
        case("a file in the place of the folder", || {
            let mut world = World::new();
            world.session().file("catalog", "in the way");
            let told = refused(world);
            assert!(told.contains("[dir]/catalog"), "{told}");
            told
        }),
        case("no space", || {
            let mut world = World::new();
            // No file may grow: what a quota that is used up does.
            world.session().prelude(&["sh", "-c", "ulimit -f 0; exec \"$0\" \"$@\""]);
            refused(world)
        }),
        case("a bucket at a dead port", || {
            let dead = DeadPort::take();
            let mut world = World::new();
            world.configure(|text| {
                let (start, rest) = text.split_once("url = ").unwrap();
                format!("{start}url = \"s3://restore-points/prod\"\n{}", rest.split_once('\n').unwrap().1)
            });
            world.session().env("AWS_ENDPOINT_URL_S3", &format!("http://{}", dead.address()));
            refused(world)
        }),
        case("a file in the place of the state folder", || {
            let mut world = World::new();
            world.session().file("state", "in the way");
            world.refused("create", 4);
            world.refused("check", 4);
            world.refused("pause --for 10s", 4);
            world.run("status", 4);
            world.told()
        }),
    ]);
    assert_told!(told);
}

#[test]
fn damaged_objects_are_named_stay_as_they_are_and_are_in_the_way_of_nothing_else() {
    let told = at_once(vec![
        case("an object of a point", a_damaged_point),
        case("empty", || {
            let mut world = with_a_point();
            std::fs::write(&objects(&world, "points")[0], "").unwrap();
            shown(&mut world);
            world.told()
        }),
        case("cut short", || {
            let mut world = with_a_point();
            let object = &objects(&world, "points")[0];
            let bytes = std::fs::read(object).unwrap();
            std::fs::write(object, &bytes[..bytes.len() / 2]).unwrap();
            shown(&mut world);
            world.told()
        }),
        case("missing in the middle", || {
            let mut world = with_a_point();
            std::fs::remove_file(&objects(&world, "points")[0]).unwrap();
            shown(&mut world);
            world.told()
        }),
        case("the lock", || {
            let mut world = with_a_point();
            flip_a_digit(objects(&world, "locks").last().unwrap());
            let (before, pauses) = (world.kept(), pauses(&world));
            for line in ["create", "create --output json", "status", "status --output json"] {
                world.run(line, 4);
            }
            assert_eq!((world.kept(), self::pauses(&world)), (before, pauses));
            world.told()
        }),
        case("a note in the catalog", || {
            let mut world = World::new();
            let notes = world.dir().join("catalog/notes");
            std::fs::create_dir_all(&notes).unwrap();
            std::fs::write(notes.join("someone.json"), "{\"version\":1,").unwrap();
            world.refused("create", 4);
            world.refused("status", 4);
            world.refused("recover", 4);
            world.told()
        }),
        case("a note in the state folder", || {
            let mut world = World::new();
            let notes = world.dir().join("state/notes");
            std::fs::create_dir_all(&notes).unwrap();
            std::fs::write(notes.join("someone.json"), "{\"version\":1,").unwrap();
            for line in ["create", "status", "pause --for 10s", "recover"] {
                world.refused(line, 4);
            }
            world.refused_once("check", 4);
            world.told()
        }),
    ]);
    assert_told!(told);
}

/// Another point can be made, and the listing shows it beside the damage.
fn a_damaged_point() -> String {
    let mut world = with_a_point();
    let id = id(&world);
    world.name(&id, "[id]");
    flip_a_digit(&objects(&world, "points")[1]);
    let before = world.kept();
    for line in ["show", "seal"] {
        world.run(&format!("{line} {id}"), 4);
        world.run(&format!("{line} {id} --output json"), 4);
    }
    let made = world.session().output(&["create"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let listed = world.run("list --output json", 4);
    let list: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(list["points"].as_array().unwrap().len(), 1);
    world.run("list", 4);
    let after = world.kept();
    assert!(before.iter().all(|(path, bytes)| path.to_string_lossy().contains("/locks/") || after[path] == *bytes));
    world.told()
}

fn shown(world: &mut World) {
    let id = id(world);
    let before = world.kept();
    for line in [format!("show {id}"), format!("show {id} --output json"), "list".to_owned()] {
        world.run(&line, 4);
    }
    assert_eq!(world.kept(), before);
}

fn pauses(world: &World) -> usize {
    world.sandbox().logs().iter().map(|log| log.calls(stillpoint_sandbox::pods::Method::Pause)).sum()
}

#[test]
fn ids_that_do_not_exist() {
    let mut world = World::new();
    for line in [
        "show manual-20260101T000000Z-abcd",
        "seal manual-20260101T000000Z-abcd",
        "show nightly-20261123T030000Z",
        "show nonsense",
        "seal manual-20261323T030000Z-abcd",
    ] {
        world.refused(line, 4);
    }
    assert_told!(world.told());
}
