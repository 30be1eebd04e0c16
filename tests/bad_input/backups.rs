//! Points that cannot be prepared, drilled, restored or pruned, or not now: by text and as JSON, with what is left as it was, and
//! that the way on which is told leads on.

use crate::bucket::{Answer, Bucket, serve};
use crate::world::{World, assert_told, at_once, case, quiet, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use stillpoint_sandbox::bank;
use stillpoint_sandbox::dynamodb::{Effect, Fault, FaultId, ServiceError};

const TABLE: &str = "bank.accounts_1";

/// A world with a point as far as this.
fn with_a_point(wait: &str) -> (World, String) {
    made(World::new(), wait)
}

fn made(mut world: World, wait: &str) -> (World, String) {
    let point = quietly(&mut world, &format!("create --wait {wait} --wait-timeout 60s"), 0);
    let id = point["id"].as_str().unwrap().to_owned();
    world.name(&id, "[id]");
    (world, id)
}

/// What a command prints as JSON, without a word of it in the transcript.
fn quietly(world: &mut World, line: &str, code: i32) -> Value {
    let line = format!("{line} --output json");
    let output = world.session().output(&line.split_whitespace().collect::<Vec<_>>());
    let value: Value = serde_json::from_slice(&output.stdout).map_err(|_| format!("{line}: {output:?}")).unwrap();
    assert_eq!(
        (value["exit_code"].as_i64(), output.status.code()),
        (Some(code.into()), Some(code)),
        "{line}: {value:#}"
    );
    value
}

/// Tables with their identities, and the ARNs of backups.
fn cloud(world: &World) -> (BTreeMap<String, String>, Vec<String>) {
    let names = world.aws("ListTables", json!({}))["TableNames"].as_array().unwrap().clone();
    let id = |name: &Value| world.aws("DescribeTable", json!({ "TableName": name }))["Table"]["TableId"].clone();
    let tables = names.iter().map(|name| (name.as_str().unwrap().to_owned(), id(name).as_str().unwrap().to_owned()));
    let listed = world.aws("ListBackups", json!({}))["BackupSummaries"].as_array().unwrap().clone();
    (tables.collect(), listed.iter().map(|one| one["BackupArn"].as_str().unwrap().to_owned()).collect())
}

/// Refused in text and as JSON, and nothing in the cloud is another than before.
fn refused(world: &mut World, line: &str, code: i32) {
    let before = cloud(world);
    failed(world, line, code);
    assert_eq!(cloud(world), before, "{line}");
}

/// Fails in text and as JSON. Of the text only the end is written down: what comes before is told by the clock.
fn failed(world: &mut World, line: &str, code: i32) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = world.session().output(&words);
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let said: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    assert_eq!(output.status.code(), Some(code), "{line}: {text}");
    let told = |start: &str| said.iter().filter(|line| line.starts_with(start)).count();
    assert!(told("error: ") > 0 && told("error: ") == told("hint: "), "{text}");
    world.session().remark(&format!("$ stillpoint {line}\nexit {code}\n{}\n\n", said.join("\n")));
    world.run(&format!("{line} --output json"), code);
}

fn stop_pods(world: &World) {
    world.wait_for(async {
        for pod in world.sandbox().pods() {
            pod.die().await;
        }
    });
}

/// One of them; the others go on.
fn stop_pod(world: &World, pod: usize) {
    world.wait_for(world.sandbox().pods()[pod].die());
}

fn restore(id: &str) -> String {
    format!("restore {id} --yes-restore {id}")
}

fn inject(world: &World, operation: &str, table: &str, effect: Effect) -> FaultId {
    let (operation, table) = (operation.to_owned(), table.to_owned());
    world.database().inject(Fault { operation, table, times: None, effect })
}

fn no_room(world: &World, operation: &str) -> FaultId {
    let full = "Subscriber limit exceeded: Only 50 restore operations can be in progress simultaneously";
    inject(world, operation, &format!("*{TABLE}*"), Effect::Error(ServiceError::new("LimitExceededException", full)))
}

/// Every object of the point's log, as text.
fn log(world: &World, id: &str) -> String {
    let folder = world.dir().join("catalog/points").join(id);
    let mut files: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap_or_default()).collect()
}

/// Runs a line, and does something once this is so.
fn meanwhile(
    world: &mut World,
    line: &str,
    code: i32,
    when: impl Fn(&World) -> bool,
    act: impl FnOnce(&World),
) -> Value {
    let line = format!("{line} --output json");
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut command = world.session().command(&words);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the moment to act", || when(world));
    act(world);
    let output = child.wait_with_output().unwrap();
    world.note(&words, &output, code);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A table whose name ends so and that is no user's.
fn staging(world: &World) -> Option<String> {
    let names = cloud_names(world);
    names.into_iter().find(|name| name.starts_with("rp-") && name.ends_with(TABLE))
}

fn cloud_names(world: &World) -> Vec<String> {
    let names = world.aws("ListTables", json!({}))["TableNames"].as_array().unwrap().clone();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn hide_catalog(world: &World, hidden: bool) {
    let (folder, away) = (world.dir().join("catalog"), world.dir().join("catalog.away"));
    if hidden {
        std::fs::rename(&folder, &away).unwrap();
        std::fs::write(&folder, "no folder").unwrap();
    } else {
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&away, &folder).unwrap();
    }
}

#[test]
fn points_that_are_void_not_sealed_or_lost_are_told_by_every_verb_with_what_to_do() {
    let lost = |act: fn(&World)| {
        move || {
            let (mut world, id) = with_a_point("sealed");
            act(&world);
            for line in [format!("prepare {id}"), format!("drill {id}"), restore(&id)] {
                refused(&mut world, &line, 6);
            }
            world.told()
        }
    };
    let told = at_once(vec![
        case("not sealed", not_sealed),
        case("void", void),
        case(
            "recovery off and on again",
            lost(|world| {
                world.pitr(TABLE, false);
                world.pitr(TABLE, true);
            }),
        ),
        case(
            "a table made again",
            lost(|world| {
                bank::drop_table(world.database(), TABLE).unwrap();
                bank::create_table(world.database(), TABLE).unwrap();
            }),
        ),
        case(
            "a table under another name",
            lost(|world| {
                bank::drop_table(world.database(), TABLE).unwrap();
                bank::create_table(world.database(), "bank.renamed").unwrap();
            }),
        ),
        case("a table gone", lost(|world| bank::drop_table(world.database(), TABLE).unwrap())),
    ]);
    assert_told!(told);
}

/// Twenty seconds until T can be restored.
fn not_sealed() -> String {
    let mut world = World::with(quiet().with_time_scale(15.0));
    world.configure(|text| text.replace("time_scale = 15.0", "time_scale = 1000.0"));
    let (mut world, id) = made(world, "recorded");
    for line in [format!("prepare {id}"), format!("drill {id}"), restore(&id)] {
        refused(&mut world, &line, 5);
    }
    quietly(&mut world, &format!("prepare {id} --wait-timeout 2m"), 0);
    world.told()
}

/// A window that holds a whole second only by chance.
fn void() -> String {
    let mut world = World::new();
    world.configure(|text| {
        text.replace("hold = \"auto\"", "hold = \"1s\"").replace("margin = \"300ms\"", "margin = \"450ms\"")
    });
    let id = loop {
        let words = ["create", "--output", "json"];
        let output = world.session().output(&words);
        let point: Value = serde_json::from_slice(&output.stdout).unwrap();
        if output.status.code() == Some(1) && point["state"] == "void" {
            break point["id"].as_str().unwrap().to_owned();
        }
        assert_eq!(output.status.code(), Some(0), "{point:#}");
    };
    world.name(&id, "[id]");
    for (line, code) in [(format!("prepare {id}"), 1), (format!("drill {id}"), 1), (restore(&id), 4)] {
        refused(&mut world, &line, code);
    }
    world.configure(|text| text);
    let (mut world, next) = made(world, "sealed");
    quietly(&mut world, &format!("prepare {next}"), 0);
    world.told()
}

#[test]
fn trouble_while_backups_are_made_is_told_and_the_same_command_goes_on() {
    let told = at_once(vec![
        case("the key is disabled", || {
            let (mut world, id) = with_a_point("sealed");
            world.database().force_status(TABLE, Some("INACCESSIBLE_ENCRYPTION_CREDENTIALS"));
            failed(&mut world, &format!("prepare {id}"), 1);
            world.database().force_status(TABLE, None);
            goes_on(world, &id)
        }),
        case("a staging table may not be deleted", || {
            let (mut world, id) = with_a_point("sealed");
            let denied = world.database().deny("DeleteTable", &format!("rp-*{TABLE}"));
            failed(&mut world, &format!("prepare {id}"), 1);
            world.database().remove(denied);
            goes_on(world, &id)
        }),
        case("no room for a restore", || {
            let (mut world, id) = with_a_point("sealed");
            let full = no_room(&world, "RestoreTableToPointInTime");
            failed(&mut world, &format!("prepare {id}"), 1);
            world.database().remove(full);
            goes_on(world, &id)
        }),
        case("a restore that vanishes", || {
            let mut config = quiet();
            config.database.lags.restore = (3_000.0, 3_000.0);
            let (mut world, id) = made(World::with(config), "sealed");
            let gone = |world: &World| world.database().fail_creation(&staging(world).unwrap());
            meanwhile(&mut world, &format!("prepare {id}"), 1, |world| staging(world).is_some(), gone);
            goes_on(world, &id)
        }),
        case("the catalog is out of reach in the middle", catalog_out_of_reach),
        case("the catalog is hidden in the middle", || {
            let (mut world, id) = with_a_point("sealed");
            let held = inject(&world, "CreateBackup", "rp-*bank.*", Effect::Hold);
            let line = format!("prepare {id} --output json");
            let words: Vec<&str> = line.split_whitespace().collect();
            let mut command = world.session().command(&words);
            let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            until("a restore", || staging(&world).is_some());
            hide_catalog(&world, true);
            world.database().remove(held);
            let output = child.wait_with_output().unwrap();
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said:#}");
            let (name, hint) = (&said["error"]["name"], &said["error"]["hint"]);
            world.session().remark(&format!("$ stillpoint prepare [id]\nexit 1\n{name}\nhint: {hint}\n\n"));
            hide_catalog(&world, false);
            goes_on(world, &id)
        }),
        case("a name that somebody else takes", foreign),
        case("a name as long as names may be", long_name),
    ]);
    assert_told!(told);
}

/// A bucket that takes no more writes, for longer than is waited.
fn catalog_out_of_reach() -> String {
    let mut world = World::new();
    let bucket = Arc::new(Bucket::default());
    let listener = world.wait_for(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let served = Arc::clone(&bucket);
    world.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Arc::clone(&served), stream));
        }
    });
    world.session().env("AWS_ENDPOINT_URL_S3", &format!("http://{address}"));
    let here = format!("file://{}/catalog", world.dir().display());
    world.configure(|text| text.replace(&here, "s3://bucket/prod"));
    let (mut world, id) = made(world, "sealed");
    let held = inject(&world, "CreateBackup", "rp-*bank.*", Effect::Hold);
    let cut = |world: &World| {
        *bucket.always.lock().unwrap() = Some(Answer::SlowDown);
        world.database().remove(held);
    };
    meanwhile(&mut world, &format!("prepare {id}"), 1, |world| staging(world).is_some(), cut);
    *bucket.always.lock().unwrap() = None;
    let told = goes_on(world, &id);
    // How far it had come by then differs.
    let (before, after) = told.split_once("points/[id]/").unwrap();
    format!("{before}points/[id]/[number]{}", &after[8..])
}

/// One backup of each table, every table as it was, and nothing else.
fn goes_on(mut world: World, id: &str) -> String {
    let done = quietly(&mut world, &format!("prepare {id}"), 0);
    assert_eq!(done["state"], "prepared");
    let (tables, backups) = cloud(&world);
    assert!(tables.keys().all(|name| !name.starts_with("rp-")), "{tables:?}");
    let sets = done["databases"][0]["data_sets"].as_array().unwrap();
    assert_eq!((tables.len(), backups.len()), (sets.len(), sets.len()), "{backups:?}");
    world.told()
}

/// The name that was intended is somebody's by the time it is asked for: that table stays, and another name is taken.
fn foreign() -> String {
    let (mut world, id) = with_a_point("sealed");
    let held = inject(&world, "RestoreTableToPointInTime", TABLE, Effect::Hold);
    let intended = |world: &World| {
        let log = log(world, &id);
        let mut names =
            log.split('"').filter(|word| word.starts_with("rp-") && word.ends_with(TABLE) && !word.contains(' '));
        names.next_back().map(str::to_owned)
    };
    let line = format!("prepare {id} --output json");
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut command = world.session().command(&words);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("an intent", || intended(&world).is_some());
    let name = intended(&world).unwrap();
    let body = json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "theirs", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "theirs", "KeyType": "HASH" }],
    });
    world.aws("CreateTable", body);
    world.database().remove(held);
    let output = child.wait_with_output().unwrap();
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), done["state"].as_str()), (Some(0), Some("prepared")), "{done:#}");
    let warned: Vec<&str> = done["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let about: Vec<&&str> = warned.iter().filter(|warning| warning.contains(&name)).collect();
    assert!(about.len() == 1 && about[0].contains("left alone"), "{warned:#?}");
    world.session().remark(&format!("$ stillpoint prepare [id]\nexit 0\nwarning: {}\n\n", about[0]));
    assert!(cloud(&world).0.contains_key(&name), "it is still there");
    world.told()
}

/// Its staging table and its copy have shorter names, which lead nobody astray.
fn long_name() -> String {
    let world = World::new();
    let name = format!("bank.{}", "x".repeat(250));
    bank::create_table(world.database(), &name).unwrap();
    world.pitr(&name, true);
    let (mut world, id) = made(world, "prepared");
    let listed = world.aws("ListBackups", json!({}))["BackupSummaries"].as_array().unwrap().clone();
    let of = |backup: &Value| backup["TableName"].as_str().unwrap().to_owned();
    let long: Vec<String> = listed.iter().map(of).filter(|name| name.contains("xxx")).collect();
    assert!(long.len() == 1 && long[0].len() <= 255 && long[0].starts_with("rp-"), "{long:?}");
    let drilled = quietly(&mut world, &format!("drill {id} --prefix {}-", "p".repeat(40)), 0);
    let copies = drilled["drill"]["tables"].as_array().unwrap();
    assert!(copies.iter().all(|copy| copy["copy"].as_str().unwrap().len() <= 255), "{copies:#?}");
    world.told()
}

#[test]
fn each_call_that_is_not_allowed_is_named_before_anything_is_made_or_deleted() {
    let mut cases = vec![
        case("prepare", || {
            let (mut world, id) = with_a_point("sealed");
            let calls = ["RestoreTableToPointInTime", "CreateBackup", "DeleteTable", "ListBackups", "DescribeBackup"];
            for call in calls.into_iter().chain(["DeleteBackup", "DescribeTable"]) {
                denied(&mut world, call, &format!("prepare {id}"));
            }
            goes_on(world, &id)
        }),
        case("drill and prune", || {
            let (mut world, id) = with_a_point("prepared");
            for call in ["RestoreTableFromBackup", "DeleteTable"] {
                denied(&mut world, call, &format!("drill {id}"));
            }
            quietly(&mut world, &format!("drill {id}"), 0);
            let (mut world, _) = made(world, "prepared");
            let denied = world.database().deny("DeleteBackup", "*");
            let before = cloud(&world);
            let error = quietly(&mut world, "prune --keep-last 1 --yes", 4)["error"].clone();
            world.session().remark(&format!("$ stillpoint prune --keep-last 1 --yes\nexit 4\nerror {error:#}\n\n"));
            assert_eq!(cloud(&world), before);
            world.database().remove(denied);
            quietly(&mut world, "prune --keep-last 1 --yes", 0);
            assert_eq!(cloud(&world).1.len() * 2, before.1.len());
            world.told()
        }),
    ];
    // Each restore reads every setting of every table, at the pace that the service allows: side by side.
    let calls = ["RestoreTableFromBackup", "ListBackups", "CreateBackup", "DescribeBackup", "DescribeTable"];
    cases.extend(calls.map(|call| {
        case(call, move || {
            let (mut world, id) = with_a_point("prepared");
            stop_pods(&world);
            denied(&mut world, call, &restore(&id));
            quietly(&mut world, &restore(&id), 0);
            world.told()
        })
    }));
    assert_told!(at_once(cases));
}

fn denied(world: &mut World, call: &str, line: &str) {
    let before = cloud(world);
    let denied = world.database().deny(call, "*");
    failed(world, line, 4);
    world.database().remove(denied);
    assert_eq!(cloud(world), before, "{call}");
}

#[test]
fn what_stands_in_the_way_of_a_restore_is_told_and_the_way_on_leads_on() {
    let told = at_once(vec![
        case("a backup was deleted", || {
            let (mut world, id) = with_a_point("prepared");
            stop_pods(&world);
            let (_, arns) = cloud(&world);
            let arn = arns.into_iter().find(|arn| arn.contains(TABLE)).unwrap();
            world.aws("DeleteBackup", json!({ "BackupArn": arn }));
            for (line, code) in [(format!("prepare {id}"), 6), (format!("drill {id}"), 6), (restore(&id), 4)] {
                refused(&mut world, &line, code);
            }
            let script = quietly(&mut world, &format!("show {id} --runbook --by-recovery"), 0);
            assert!(script["runbook"].as_str().unwrap().contains("restore-table-to-point-in-time"));
            world.told()
        }),
        case("the key is disabled", || {
            let (mut world, id) = with_a_point("prepared");
            stop_pods(&world);
            world.database().force_status(TABLE, Some("INACCESSIBLE_ENCRYPTION_CREDENTIALS"));
            refused(&mut world, &restore(&id), 4);
            world.database().force_status(TABLE, None);
            quietly(&mut world, &restore(&id), 0);
            world.told()
        }),
        case("a table was made again", || {
            let (mut world, id) = with_a_point("prepared");
            stop_pods(&world);
            bank::drop_table(world.database(), TABLE).unwrap();
            bank::create_table(world.database(), TABLE).unwrap();
            refused(&mut world, &restore(&id), 4);
            quietly(&mut world, &format!("{} --accept-recreated", restore(&id)), 0);
            world.told()
        }),
        case("a table is gone, and one of another name is there", || {
            let (mut world, id) = with_a_point("prepared");
            stop_pods(&world);
            bank::drop_table(world.database(), TABLE).unwrap();
            bank::create_table(world.database(), "bank.renamed").unwrap();
            let done = quietly(&mut world, &restore(&id), 0);
            let warned = done["warnings"].to_string();
            assert!(warned.contains("`bank.renamed` is not in the point: it is kept as it is"), "{warned}");
            let names = cloud_names(&world);
            assert!(names.contains(&TABLE.to_owned()) && names.contains(&"bank.renamed".to_owned()), "{names:?}");
            world.told()
        }),
        case("no room for a restore", || {
            let (mut world, id) = with_a_point("prepared");
            stop_pods(&world);
            let full = no_room(&world, "RestoreTableFromBackup");
            failed(&mut world, &restore(&id), 1);
            world.database().remove(full);
            quietly(&mut world, &restore(&id), 0);
            world.told()
        }),
        case("a restore that vanishes", || {
            let mut config = quiet();
            config.database.lags.restore = (3_000.0, 3_000.0);
            let (mut world, id) = made(World::with(config), "prepared");
            stop_pods(&world);
            let creating = |world: &World| {
                let listed = cloud_names(world).contains(&TABLE.to_owned());
                listed
                    && world.aws("DescribeTable", json!({ "TableName": TABLE }))["Table"]["TableStatus"] == "CREATING"
            };
            let gone = |world: &World| world.database().fail_creation(TABLE);
            meanwhile(&mut world, &restore(&id), 1, creating, gone);
            quietly(&mut world, &restore(&id), 0);
            world.told()
        }),
    ]);
    assert_told!(told);
}

#[test]
fn a_service_name_that_finds_nothing_is_believed_only_if_the_point_was_made_with_it() {
    const NAME: &str = "_scalardb._tcp.db-headless.ns-scalar.svc.cluster.local";
    let mut world = World::new();
    let dns = world.wait_for(stillpoint_sandbox::dns::Dns::start()).unwrap();
    for pod in world.sandbox().pods() {
        dns.add_srv(NAME, "pods.db-headless.ns-scalar.svc.cluster.local", pod.address().port());
    }
    dns.add_address("pods.db-headless.ns-scalar.svc.cluster.local", [127, 0, 0, 1].into());
    let target = |text: String, name: &str| {
        let addresses = text.lines().find(|line| line.starts_with("addresses")).unwrap().to_owned();
        text.replace(&addresses, &format!("srv = \"{name}\"\nresolver = \"{}\"", dns.address()))
    };
    world.configure(|text| target(text, NAME));
    let (mut world, id) = made(world, "prepared");
    let misspelt = NAME.replace("db-headless", "bd-headless");
    let before = cloud(&world);
    let name = |point: &Value| point["error"]["name"].as_str().unwrap_or_default().to_owned();
    assert_eq!(name(&quietly(&mut world, &restore(&id), 4)), "pods_running");
    // The name is wrong: that nothing is found says nothing of the pods, which run.
    world.configure(|text| target(text, &misspelt));
    refused(&mut world, &restore(&id), 4);
    // The name is right, and its records are gone, though one of the pods is not.
    stop_pod(&world, 1);
    world.configure(|text| target(text, NAME));
    dns.behave(stillpoint_sandbox::dns::Manner::NxDomain);
    refused(&mut world, &restore(&id), 4);
    stop_pods(&world);
    world.configure(|text| target(text, &misspelt));
    assert_eq!(name(&quietly(&mut world, &restore(&id), 4)), "pods_unknown");
    assert_eq!(cloud(&world), before);
    world.configure(|text| target(text, NAME));
    quietly(&mut world, &restore(&id), 0);
    assert_told!(world.told());
}
