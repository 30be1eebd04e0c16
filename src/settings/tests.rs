use super::*;
use std::path::Path;
use std::time::Duration;

const WHOLE: &str = r#"
[[target]]
name = "ledger"
addresses = ["10.0.0.4:60051"]

[[database]]
name = "tables"
provider = "dynamodb"
region = "eu-west-1"
"#;

fn load_with(text: &str, flags: Flags, vars: &[(&str, &str)], needs: Needs) -> Loaded {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(CONFIG_FILE), text).unwrap();
    let home = dir.path().to_str().unwrap().to_owned();
    let vars = vars.iter().copied().chain([("HOME", home.as_str())]);
    load(&flags, &Environment::of(dir.path(), vars), needs)
}

fn problems_of(text: &str) -> Vec<Problem> {
    load_with(text, Flags::default(), &[], Needs::ALL).problems
}

/// The problem's name, key and line.
fn brief(problem: &Problem) -> (&'static str, &str, usize) {
    let line = match &problem.source {
        Some(Source::File { line, .. }) => *line,
        _ => 0,
    };
    (problem.name, problem.key.as_deref().unwrap_or(""), line)
}

fn settings_of(text: &str) -> Settings {
    load_with(text, Flags::default(), &[], Needs::ALL).checked().unwrap().0
}

#[test]
fn a_small_file_gets_every_default_of_the_design() {
    let settings = settings_of(WHOLE);
    let window = &settings.window;
    assert_eq!(*window, WindowSettings::default());
    assert_eq!(window.hold, Hold::Fixed(Duration::from_secs(10)));
    assert_eq!(window.max_outage, Duration::from_secs(60));
    assert_eq!(window.outage_budget, Duration::from_secs(180));
    assert_eq!(window.retry_after, Duration::from_secs(35));
    assert_eq!(window.release_wait, Duration::from_secs(120));
    assert_eq!(window.drain_timeout(), Duration::from_secs(30));
    assert_eq!(window.call_deadline(), Duration::from_secs(35));
    assert!(settings.state_dir.ends_with(".local/state/stillpoint"));
    assert_eq!(settings.catalog_url.to_file_path().unwrap(), settings.state_dir.join("catalog"));
    assert_eq!(settings.databases[0].metadata_namespace, "scalardb");
    assert_eq!(settings.databases[0].coordinator_namespace, "coordinator");
    assert_eq!(settings.targets[0].addresses(), ["10.0.0.4:60051"]);
    assert_eq!(settings.time_scale, 1.0);
}

#[test]
fn what_follows_from_a_written_value_follows_it() {
    let text = format!("[window]\nmax_outage = \"90s\"\nmax_pause_wait_time = \"10s\"\n{WHOLE}");
    let window = settings_of(&text).window;
    assert_eq!(window.outage_budget, Duration::from_secs(270));
    assert_eq!(window.retry_after, Duration::from_secs(15));
    assert_eq!(window.call_deadline(), Duration::from_secs(15));
}

#[test]
fn every_problem_of_a_file_is_told_at_once_with_its_line() {
    let text = r#"[windw]
x = 1
[window]
hodl = "10s"
max_outage = 60
attempts = "3"
margin = "2"
require_proof = "yes"
[[target]]
name = "a"
addresses = ["10.0.0.4", "10.0.0.5:60051"]
[[target]]
name = "a"
srv = "_scalardb.example"
[[database]]
name = "d"
provider = "dynamo"
"#;
    let problems = problems_of(text);
    let mut briefs: Vec<_> = problems.iter().map(brief).collect();
    briefs.sort_by_key(|b| b.2);
    assert_eq!(
        briefs,
        [
            ("unknown_key", "windw", 1),
            ("unknown_key", "window.hodl", 4),
            ("missing_unit", "window.max_outage", 5),
            ("wrong_type", "window.attempts", 6),
            ("missing_unit", "window.margin", 7),
            ("wrong_type", "window.require_proof", 8),
            ("bad_address", "target[0].addresses[0]", 11),
            ("duplicate_name", "target[1].name", 13),
            ("bad_srv", "target[1].srv", 14),
            ("unknown_provider", "database[0].provider", 17),
        ]
    );
    assert!(problems.iter().all(|p| !p.hint.is_empty() && !p.message.is_empty()));
    let hint = |name: &str| &problems.iter().find(|p| p.name == name).unwrap().hint;
    assert!(hint("unknown_key").contains("did you mean `window`?"), "{}", hint("unknown_key"));
    assert!(hint("missing_unit").contains("\"60s\""), "{}", hint("missing_unit"));
    assert!(hint("unknown_provider").contains("did you mean \"dynamodb\"?"));
}

#[test]
fn each_wrong_value_has_its_own_refusal() {
    let window = |line: &str| format!("[window]\n{line}\n{WHOLE}");
    let target = |line: &str| WHOLE.replace("addresses = [\"10.0.0.4:60051\"]", line);
    let kubernetes = |key: &str| target(&format!("kubernetes = {{ namespace = \"n\", release = \"r\", {key} }}"));
    let database = |line: &str| format!("{WHOLE}{line}\n");
    let cases = [
        (window("hold = \"0s\""), "zero", "window.hold"),
        (window("hold = \"ten\""), "bad_duration", "window.hold"),
        (window("hold = 10"), "missing_unit", "window.hold"),
        (window("attempts = 0"), "zero", "window.attempts"),
        (window("attempts = -1"), "out_of_range", "window.attempts"),
        (window("check_interval = \"0s\""), "zero", "window.check_interval"),
        (window("check_interval = \"2s\""), "out_of_range", "window.check_interval"),
        (window("max_outage = \"54s\""), "max_outage_too_short", "window.max_outage"),
        (window("retry_after = \"34s\""), "retry_after_too_short", "window.retry_after"),
        (window("ignore = \"x\""), "wrong_type", "window.ignore"),
        (window("max_pause_wait_time = \"1500us\""), "out_of_range", "window.max_pause_wait_time"),
        (format!("[catalog]\nurl = \"ftp://x\"\n{WHOLE}"), "bad_url", "catalog.url"),
        (format!("[catalog]\nurl = \"./points\"\n{WHOLE}"), "bad_url", "catalog.url"),
        (format!("[catalog]\nurl = \"s3://k:secret@bucket\"\n{WHOLE}"), "bad_url", "catalog.url"),
        (format!("[polling]\ntime_scale = 0\n{WHOLE}"), "out_of_range", "polling.time_scale"),
        (format!("[polling]\ntime_scale = nan\n{WHOLE}"), "out_of_range", "polling.time_scale"),
        (format!("[[schedule]]\nname = \"n\"\n{WHOLE}"), "not_in_this_version", "schedule"),
        (WHOLE.replace("[[target]]", "[target]"), "wrong_type", "target"),
        (target("addresses = []"), "empty", "target[0].addresses"),
        (target(""), "missing_key", "target[0].addresses"),
        (target("kubernetes = { release = \"r\" }"), "missing_key", "target[0].kubernetes.namespace"),
        (target("kubernetes = { namespace = \"n\" }"), "missing_key", "target[0].kubernetes.release"),
        (kubernetes("pod = \"x\""), "unknown_key", "target[0].kubernetes.pod"),
        (target("kubernetes = { namespace = \"N\", release = \"r\" }"), "bad_name", "target[0].kubernetes.namespace"),
        (kubernetes("product = \"leger\""), "unknown_product", "target[0].kubernetes.product"),
        (kubernetes("admin_port = 0"), "out_of_range", "target[0].kubernetes.admin_port"),
        (kubernetes("admin_port = \"70000\""), "out_of_range", "target[0].kubernetes.admin_port"),
        (kubernetes("selector = \",\""), "bad_selector", "target[0].kubernetes.selector"),
        (kubernetes("kubeconfig = \"no.yaml\""), "kubeconfig_missing", "target[0].kubernetes.kubeconfig"),
        (
            target("addresses = [\"a:1\"]\nkubernetes = { namespace = \"n\", release = \"r\" }"),
            "contradiction",
            "target[0].addresses",
        ),
        (target("srv = \"db-headless.ns\""), "bad_srv", "target[0].srv"),
        (target("srv = \"_a._tcp.b\"\nresolver = \"10.96.0.10\""), "bad_resolver", "target[0].resolver"),
        (target("srv = \"_a._tcp.b\"\nresolver = \"dns:53\""), "bad_resolver", "target[0].resolver"),
        (target("addresses = [\"a:1\"]\nresolver = \"10.96.0.10:53\""), "contradiction", "target[0].resolver"),
        (target("srv = \"_a._tcp.b\"\naddresses = [\"a:1\"]"), "contradiction", "target[0].addresses"),
        (
            target("srv = \"_a._tcp.b\"\nkubernetes = { namespace = \"n\", release = \"r\" }"),
            "contradiction",
            "target[0].kubernetes",
        ),
        (target("addresses = [\"a:1\", \"A:1\"]"), "duplicate_address", "target[0].addresses"),
        (target("addresses = [\"a:1\"]\ntls = true"), "wrong_type", "target[0].tls"),
        (target("addresses = [\"a:1\"]\ntls = { ca = \"x\" }"), "unknown_key", "target[0].tls.ca"),
        (target("addresses = [\"a:1\"]\ntls = { ca_file = \"no.pem\" }"), "tls_file", "target[0].tls.ca_file"),
        (database("endpoint = \"127.0.0.1:8000\""), "bad_url", "database[0].endpoint"),
        (database("endpoint = \"ftp://x\""), "bad_url", "database[0].endpoint"),
        (database("tables = []"), "empty", "database[0].tables"),
        (database("tables = [\"a b c\"]"), "bad_name", "database[0].tables[0]"),
        (database("tables = [\"abc\"]\ntable_prefix = \"x\""), "contradiction", "database[0].tables"),
        (database("tables = [\"abc\"]\nprefix = \"x\""), "contradiction", "database[0].tables"),
        (WHOLE.replace("dynamodb", "cosmos"), "not_in_this_version", "database[0].provider"),
        (WHOLE.replace("region = \"eu-west-1\"", ""), "region_missing", "database[0].region"),
        (WHOLE.replace("\"ledger\"", "\"led ger\""), "bad_name", "target[0].name"),
        ("hold = ".to_owned(), "syntax", ""),
    ];
    for (text, name, key) in cases {
        let problems = problems_of(&text);
        let found: Vec<_> = problems.iter().map(|p| (p.name, p.key.as_deref().unwrap_or(""))).collect();
        assert_eq!(found, [(name, key)], "{text}\n{problems:#?}");
    }
}

#[test]
fn a_secret_in_a_url_is_not_repeated() {
    for (key, url) in [("catalog.url", "s3://k:hunter2@bucket"), ("endpoint", "http://k:hunter2@host")] {
        let text = match key {
            "catalog.url" => format!("[catalog]\nurl = \"{url}\"\n{WHOLE}"),
            _ => format!("{WHOLE}endpoint = \"{url}\"\n"),
        };
        let loaded = load_with(&text, Flags::default(), &[], Needs::ALL);
        assert_eq!(loaded.problems.len(), 1);
        assert!(!format!("{loaded:?}").contains("hunter2"), "{loaded:#?}");
    }
}

#[test]
fn an_address_in_two_targets_is_found_across_spellings() {
    let text = format!("{WHOLE}[[target]]\nname = \"b\"\naddresses = [\"[0:0::1]:1\", \"10.0.0.4:60051\"]\n");
    let problems = problems_of(&text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].message.contains("`ledger`") && problems[0].message.contains("`b`"), "{}", problems[0].message);
}

#[test]
fn flags_win_over_the_file_and_say_so() {
    let flags = Flags {
        hold: Some("auto".into()),
        addresses: vec!["[::1]:60051".into()],
        region: Some("us-east-1".into()),
        endpoint: Some("http://127.0.0.1:8000".into()),
        ..Flags::default()
    };
    let loaded = load_with(WHOLE, flags, &[("AWS_ENDPOINT_URL_DYNAMODB", "http://other:1")], Needs::ALL);
    let source = |key: &str| loaded.shown.iter().find(|s| s.key == key).unwrap().source.clone();
    assert_eq!(source("window.hold"), Source::Flag("--hold"));
    assert_eq!(source("target[0].addresses"), Source::Flag("--address"));
    assert_eq!(source("database[0].region"), Source::Flag("--region"));
    assert!(matches!(source("database[0].name"), Source::File { line: 7, .. }));
    let (settings, _) = loaded.checked().unwrap();
    assert_eq!(settings.window.hold, Hold::Auto);
    assert_eq!(settings.targets[0].addresses(), ["[::1]:60051"]);
    assert_eq!(settings.databases[0].region, "us-east-1");
    assert_eq!(settings.databases[0].endpoints, Endpoints::default(), "a variable must not divert one API");
}

#[test]
fn flags_alone_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    let flags = Flags {
        state_dir: Some("state".into()),
        addresses: vec!["a:1".into()],
        region: Some("r-1".into()),
        pause_duration: Some("12000".into()),
        ..Flags::default()
    };
    let loaded = load(&flags, &Environment::of(dir.path(), []), Needs::ALL);
    let (settings, _) = loaded.checked().unwrap();
    assert_eq!(settings.state_dir, dir.path().join("state"));
    assert_eq!(settings.window.hold, Hold::Fixed(Duration::from_secs(12)));
    assert_eq!(settings.targets[0].name, COMMAND_LINE);
    assert_eq!(settings.databases[0].name, COMMAND_LINE);
}

#[test]
fn a_known_address_keeps_its_target_and_tls() {
    let text = WHOLE.replace("[[database]]", "tls = { authority = \"pod.example\" }\n[[database]]");
    let flags = Flags { addresses: vec!["10.0.0.4:60051".into(), "other:1".into()], ..Flags::default() };
    let (settings, _) = load_with(&text, flags, &[], Needs::PODS).checked().unwrap();
    assert_eq!(settings.targets.len(), 2);
    assert_eq!(settings.targets[0].name, "ledger");
    assert_eq!(settings.targets[0].tls.as_ref().unwrap().authority.as_deref(), Some("pod.example"));
    assert_eq!((settings.targets[1].name.as_str(), &settings.targets[1].tls), (COMMAND_LINE, &None));
}

#[test]
fn what_is_missing_is_missed_only_where_it_is_needed() {
    let names = |needs| -> Vec<_> {
        load_with("", Flags::default(), &[], needs).problems.iter().map(|p| p.name).collect::<Vec<_>>()
    };
    assert_eq!(names(Needs::ALL), ["no_target", "no_database"]);
    assert_eq!(names(Needs::PODS), ["no_target"]);
    assert_eq!(names(Needs::DATABASES), ["no_database"]);
    assert!(names(Needs::NOTHING).is_empty());
}

#[test]
fn a_broken_database_does_not_stop_a_command_that_asks_none() {
    let text = WHOLE.replace("region = \"eu-west-1\"", "");
    let (settings, warnings) = load_with(&text, Flags::default(), &[], Needs::PODS).checked().unwrap();
    assert_eq!(settings.targets.len(), 1);
    assert!(warnings.iter().any(|w| w.contains("no region")), "{warnings:?}");
}

#[test]
fn the_environment_gives_region_endpoint_and_state_folder() {
    let vars = [
        ("AWS_REGION", "sa-east-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("XDG_STATE_HOME", "/var/xdg"),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:2"),
    ];
    let text = WHOLE.replace("region = \"eu-west-1\"", "");
    let loaded = load_with(&text, Flags::default(), &vars, Needs::ALL);
    let region = loaded.shown.iter().find(|s| s.key == "database[0].region").unwrap();
    assert_eq!(region.source, Source::Env("AWS_REGION"));
    let (settings, _) = loaded.checked().unwrap();
    assert_eq!(settings.state_dir, Path::new("/var/xdg/stillpoint"));
    assert_eq!(settings.databases[0].endpoint.as_ref().unwrap().as_str(), "http://127.0.0.1:1/");
    assert_eq!(settings.databases[0].endpoints.cloudwatch.as_ref().unwrap().as_str(), "http://127.0.0.1:2/");
    assert_eq!(settings.databases[0].endpoints.dynamodb, None);
}

#[test]
fn a_named_file_that_is_not_there_is_the_only_problem() {
    let flags = Flags { config: Some("nowhere.toml".into()), ..Flags::default() };
    let loaded = load_with("", flags, &[], Needs::ALL);
    assert_eq!(loaded.problems.iter().map(|p| p.name).collect::<Vec<_>>(), ["config_missing"]);
    let loaded = load_with("", Flags::default(), &[("STILLPOINT_CONFIG", "nowhere.toml")], Needs::ALL);
    assert_eq!(loaded.problems[0].source, Some(Source::Env("STILLPOINT_CONFIG")));
}

#[test]
fn zero_margin_is_allowed_and_said() {
    let loaded = load_with(&format!("[window]\nmargin = \"0s\"\n{WHOLE}"), Flags::default(), &[], Needs::ALL);
    let (settings, warnings) = loaded.checked().unwrap();
    assert!(settings.window.margin.is_zero());
    assert!(warnings[0].contains("margin is 0s"), "{warnings:?}");
}

#[test]
fn a_hold_that_can_prove_nothing_is_said_before_anything_is_paused() {
    let loaded = load_with(&format!("[window]\nhold = \"5s\"\n{WHOLE}"), Flags::default(), &[], Needs::ALL);
    assert!(loaded.warnings.iter().any(|w| w.contains("NoSafeSecond")), "{:?}", loaded.warnings);
    let loaded = load_with(&format!("[window]\nhold = \"auto\"\n{WHOLE}"), Flags::default(), &[], Needs::ALL);
    assert!(loaded.warnings.is_empty() && loaded.problems.is_empty(), "{loaded:?}");
}

#[test]
fn tls_files_are_opened_and_a_key_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["pod.example".to_owned()]).unwrap();
    std::fs::write(dir.path().join("ca.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.path().join("junk.pem"), "hello").unwrap();
    let with = |tls: &str| {
        let text = WHOLE.replace("[[database]]", &format!("tls = {{ {tls} }}\n[[database]]"));
        std::fs::write(dir.path().join(CONFIG_FILE), text).unwrap();
        load(&Flags::default(), &Environment::of(dir.path(), [("HOME", "/h")]), Needs::ALL)
    };
    let good = "ca_file = \"ca.pem\", cert_file = \"ca.pem\", key_file = \"key.pem\", authority = \"pod.example\"";
    let tls = with(good).checked().unwrap().0.targets.remove(0).tls.unwrap();
    assert_eq!(tls.ca_file, Some(dir.path().join("ca.pem")), "relative to the file's folder");
    assert_eq!(with("").checked().unwrap().0.targets[0].tls, Some(TlsSettings::default()));
    let names = |tls: &str| -> Vec<_> { with(tls).problems.iter().map(|p| p.name).collect() };
    assert_eq!(names("ca_file = \"junk.pem\""), ["tls_file"]);
    assert_eq!(names("ca_file = \"key.pem\""), ["tls_file"]);
    assert_eq!(names("cert_file = \"ca.pem\""), ["missing_key"]);
    assert_eq!(names("key_file = \"key.pem\""), ["missing_key"]);
    assert_eq!(names("cert_file = \"ca.pem\", key_file = \"ca.pem\""), ["tls_file"]);
    assert_eq!(names("authority = \"a b\""), ["bad_authority"]);
}

#[test]
fn every_example_file_is_understood_by_this_version() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let environment = Environment::of(&folder, [("HOME", "/h")]);
        let loaded = load(&Flags { config: Some(path.clone()), ..Flags::default() }, &environment, Needs::ALL);
        // The PEM files and kubeconfigs that an example names are the reader's own.
        let own = ["tls_file", "kubeconfig_missing"];
        let wrong: Vec<_> = loaded.problems.iter().filter(|p| !own.contains(&p.name)).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
        seen += 1;
    }
    assert!(seen >= 4, "{seen} examples");
}

#[test]
fn every_key_stands_in_an_example() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            // A commented-out key counts: take the marks off and keep what then reads as a key.
            found.insert(path.clone(), std::fs::read_to_string(&path).unwrap());
        }
    }
    for (key, standing) in known_keys() {
        let leaf = key.rsplit('.').next().unwrap().trim_end_matches("[]").to_owned();
        let written = |text: &String| {
            text.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ', '[']);
                let starts = line.strip_prefix(&leaf).is_some_and(|rest| rest.starts_with([' ', '=', ']', '.']));
                starts
                    || line.contains(&format!(".{leaf}]"))
                    || line.contains(&format!("{{ {leaf} ="))
                    || line.contains(&format!(", {leaf} ="))
            })
        };
        match standing {
            Standing::Works => assert!(found.values().any(written), "`{key}` is in no example"),
            Standing::Lacking => {}
        }
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The settings of these flags without any file.
fn of_flags(flags: Flags) -> Loaded {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_str().unwrap().to_owned();
    load(&flags, &Environment::of(dir.path(), [("HOME", home.as_str())]), Needs::PODS)
}

#[test]
fn a_name_of_service_records_becomes_a_target_with_or_without_a_name_server() {
    let srv = "srv = \"_scalardb._tcp.db.ns\"";
    for (line, server) in [(srv.to_owned(), None), (format!("{srv}\nresolver = \"[::1]:53\""), Some("[::1]:53"))] {
        let settings = settings_of(&WHOLE.replace("addresses = [\"10.0.0.4:60051\"]", &line));
        let resolver = server.map(|server| server.parse().unwrap());
        let target = SrvTarget { name: "_scalardb._tcp.db.ns".to_owned(), resolver };
        assert_eq!(settings.targets[0].pods, PodSource::Srv(target));
        assert!(settings.targets[0].addresses().is_empty());
    }
}

#[test]
fn the_flags_of_the_other_tool_make_a_release_a_target() {
    let flags = Flags {
        release: text("scalardl-ledger"),
        pause_duration: text("5000"),
        max_pause_wait_time: text("10000"),
        ..Flags::default()
    };
    let release = |loaded: &Loaded| match &loaded.settings.targets[..] {
        [TargetSettings { pods: PodSource::Kubernetes(target), .. }] => {
            (target.namespace.clone(), target.release.clone(), target.product)
        }
        other => panic!("{other:?}"),
    };
    let loaded = of_flags(flags.clone());
    assert_eq!((loaded.problems.as_slice(), loaded.warnings.as_slice()), (&[][..], &[][..]));
    assert_eq!(release(&loaded), ("default".to_owned(), "scalardl-ledger".to_owned(), None));
    assert_eq!(loaded.settings.targets[0].name, COMMAND_LINE);
    assert_eq!(loaded.settings.window.hold, Hold::Fixed(Duration::from_secs(5)));
    assert_eq!(loaded.settings.window.max_pause_wait_time, Some(Duration::from_secs(10)));
    let loaded = of_flags(Flags { namespace: text("ns-scalar"), ..flags });
    assert_eq!(release(&loaded).0, "ns-scalar");
}

#[test]
fn a_release_that_the_file_knows_keeps_its_target() {
    let target = |name: &str, namespace: &str, more: &str| {
        format!(
            "[[target]]\nname = \"{name}\"\nkubernetes = {{ namespace = \"{namespace}\", release = \"{name}\"{more} }}\n"
        )
    };
    let file = format!("{}{}{WHOLE}", target("a", "n", ", product = \"ledger\""), target("b", "m", "")).replacen(
        "\"ledger\"\naddresses",
        "\"fixed\"\naddresses",
        1,
    );
    let chosen = |release: &str, namespace: Option<&str>| {
        let flags = Flags { release: text(release), namespace: namespace.map(str::to_owned), ..Flags::default() };
        let targets = load_with(&file, flags, &[], Needs::ALL).checked().unwrap().0.targets;
        assert_eq!(targets.len(), 1);
        targets.into_iter().next().unwrap()
    };
    let known = chosen("a", None);
    assert_eq!(known.name, "a");
    assert!(matches!(known.pods, PodSource::Kubernetes(target) if target.product == Some(Product::Ledger)));
    assert_eq!(chosen("b", Some("m")).name, "b");
    assert_eq!(chosen("b", Some("elsewhere")).name, COMMAND_LINE);
    assert_eq!(chosen("c", None).name, COMMAND_LINE);
}

#[test]
fn tls_of_a_release_needs_an_authority_and_a_name_and_breaks_lines_at_a_literal_n() {
    let dir = tempfile::tempdir().unwrap();
    let pem = rcgen::generate_simple_self_signed(["pods.example".to_owned()]).unwrap().cert.pem();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, &pem).unwrap();
    let release = Flags { release: text("r"), tls: true, ..Flags::default() };
    let missing = |flags: &Flags| -> Vec<String> {
        let problems = of_flags(flags.clone()).problems;
        assert!(problems.iter().all(|p| p.name == "missing_key"), "{problems:?}");
        problems.into_iter().filter_map(|p| p.key).collect()
    };
    assert_eq!(missing(&release), ["target[0].tls.ca_file", "target[0].tls.authority"]);
    let named = Flags { authority: text("pods.example"), ..release };
    assert_eq!(missing(&named), ["target[0].tls.ca_file"]);
    let by_file = Flags { ca_file: text(file.to_str().unwrap()), ..named.clone() };
    assert_eq!(missing(&by_file), [] as [&str; 0]);
    let tls = |flags: &Flags| of_flags(flags.clone()).checked().unwrap().0.targets[0].tls.clone().unwrap();
    assert_eq!(tls(&by_file).ca_file, Some(file));
    let one_line = Flags { ca_pem: Some(pem.replace('\n', "\\n")), ..by_file };
    let told = tls(&one_line);
    assert_eq!((told.ca_pem, told.ca_file), (Some(pem), None), "the text wins over the file");
    assert_eq!(told.authority.as_deref(), Some("pods.example"));
}
