//! Configurations that are wrong, and how it is said; and what `config show` says of those that are right.

mod cli_support;

use cli_support::{Session, WHOLE};
use insta::assert_snapshot;

/// Runs one verb on one text, in text and JSON.
fn said(text: &str, verb: &str) -> String {
    let mut s = Session::with_config(text);
    s.run(verb);
    s.run(&format!("{verb} --output json"));
    s.transcript()
}

#[test]
fn unknown_and_misspelt_keys_are_told_with_their_path_and_the_nearest() {
    let text = format!("[windw]\nhold = \"10s\"\n[window]\nhodl = \"10s\"\ncolour = 1\n{WHOLE}reigon = \"x\"\n");
    assert_snapshot!(said(&text, "create"));
}

#[test]
fn wrong_units_types_and_zeros() {
    let text = format!(
        "[window]\nhold = 10\nmax_outage = \"60\"\nmargin = \"2 parsecs\"\nattempts = \"3\"\ncheck_interval = \"0s\"\n\
         call_grace = true\nrelease_wait = \"0s\"\nrequire_proof = \"no\"\n{WHOLE}"
    );
    assert_snapshot!(said(&text, "check"));
}

#[test]
fn lengths_and_counts_of_retention_that_cannot_be_meant() {
    let text = format!("[prune]\nkeep = \"30m\"\nkeep_last = 0\nkeeep = 1\n{WHOLE}");
    assert_snapshot!(said(&text, "prune --yes"));
}

#[test]
fn sums_that_leave_a_window_no_room() {
    let text = format!("[window]\nmax_outage = \"40s\"\nretry_after = \"10s\"\nhold = \"20s\"\n{WHOLE}");
    assert_snapshot!(said(&text, "config check"));
}

#[test]
fn names_and_addresses_given_twice() {
    let more = "[[target]]\nname = \"ledger\"\naddresses = [\"10.0.0.5:60051\"]\n[[database]]\nname = \"ledger-tables\"\n\
                provider = \"dynamodb\"\nregion = \"eu-west-1\"\n";
    assert_snapshot!(said(&format!("{WHOLE}{more}"), "create"));
}

#[test]
fn addresses_that_are_none() {
    let text = WHOLE.replace(
        "[\"10.0.0.4:60051\", \"10.0.0.5:60051\"]",
        "[\"10.0.0.4\", \"::1:60051\", \"https://pod:60051\", \"pod:99999\", \"10.0.0.400:1\"]",
    );
    assert_snapshot!(said(&text, "create"));
}

#[test]
fn no_target_no_database_no_file() {
    let mut s = Session::empty();
    s.run("create");
    s.run("create --output json");
    s.run("pause");
    s.run("seal manual-20261123T030000Z-4k2f");
    s.run("config show");
    s.run("check --config nowhere.toml");
    s.env("STILLPOINT_CONFIG", "nowhere.toml");
    s.run("check --output json");
    assert_snapshot!(s.transcript());
}

#[test]
fn a_region_that_is_missing_and_the_places_it_may_come_from() {
    let text = WHOLE.replace("region = \"ap-northeast-1\"\n", "");
    let mut s = Session::with_config(&text);
    s.run("create");
    s.run("create --output json");
    s.run("config check --region eu-west-1");
    s.file("aws-config", "[default]\nregion = eu-central-1\n[profile bank]\nregion = us-east-2\n");
    s.env("AWS_CONFIG_FILE", "aws-config");
    s.env("AWS_PROFILE", "bank");
    s.run("config show");
    assert_snapshot!(s.transcript());
}

#[test]
fn keys_of_the_design_that_this_version_lacks() {
    let text = "[[target]]\nname = \"b\"\naddresses = [\"10.0.0.4:60051\"]\n[[database]]\n\
                name = \"c\"\nprovider = \"cosmos\"\n[[schedule]]\nname = \"nightly\"\ncron = \"0 3 * * *\"\n";
    assert_snapshot!(said(text, "create"));
}

#[test]
fn urls_that_are_none_and_secrets_in_them() {
    let text = format!(
        "[catalog]\nurl = \"s3://key:hunter2@bucket\"\n{WHOLE}endpoint = \"ftp://key:hunter2@host\"\n\
         endpoints = {{ dynamodb = \"127.0.0.1:8000\" }}\n"
    );
    let said = said(&text, "create");
    assert!(!said.contains("hunter2"), "{said}");
    assert_snapshot!(said);
}

#[test]
fn tls_files_that_are_missing_or_hold_nothing() {
    let text = WHOLE.replace(
        "\n[[database]]",
        "tls = { ca_file = \"nowhere.pem\", cert_file = \"junk.pem\", key_file = \"junk.pem\", authority = \"a b\" }\n\n[[database]]",
    );
    let mut s = Session::with_config(&text);
    s.file("junk.pem", "-----BEGIN NOTHING-----\nhunter2\n");
    s.run("create");
    s.run("create --tls --ca-root-cert-pem nonsense --output json");
    s.run("pause --tls --ca-root-cert-path stillpoint.toml");
    let said = s.transcript();
    assert!(!said.contains("hunter2"), "{said}");
    assert_snapshot!(said);
}

#[test]
fn a_file_that_is_no_toml_or_no_text() {
    let mut s = Session::with_config("[window\nhold = 10s\n");
    s.run("create");
    s.run("create --output json");
    s.file("stillpoint.toml", [0xff, 0xfe, 0x00]);
    s.run("create");
    assert_snapshot!(s.transcript());
}

#[test]
fn flags_that_are_wrong() {
    let mut s = Session::with_config(WHOLE);
    for line in [
        "create --hold 10",
        "create --hold sometimes",
        "create -d 5000000",
        "create --max-outage 5s",
        "create -w 60000",
        "create --address pod",
        "create --endpoint nonsense",
        "pause --for 5m",
        "pause --address pod:60051 --address POD:60051",
    ] {
        s.run(line);
    }
    let other = "[[database]]\nname = \"b\"\nprovider = \"dynamodb\"\nregion = \"eu-west-1\"\n";
    s.file("stillpoint.toml", format!("{WHOLE}{other}"));
    s.run("create --region eu-west-1");
    assert_snapshot!(s.transcript());
}

#[test]
fn what_is_true_and_where_it_came_from() {
    let mut s = Session::with_config(&format!("[window]\nhold = \"auto\"\nmargin = \"0s\"\n{WHOLE}"));
    s.env("STILLPOINT_STATE_DIR", "/var/lib/stillpoint");
    s.env("AWS_ENDPOINT_URL", "http://127.0.0.1:8000");
    s.run("config show --address [::1]:60051 --max-outage 90s");
    s.run("config show --output json");
    s.run("config check");
    s.run("config check --output json");
    assert_snapshot!(s.transcript());
}

#[test]
fn breaking_the_glass_does_not_stumble_over_a_database() {
    let text = WHOLE.replace("region = \"ap-northeast-1\"\n", "tables = []\n");
    let s = Session::with_config(&text);
    let output = s.output(&["pause", "--for", "2h"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("longer than max_outage") && !said.contains("region"), "{said}");
}
