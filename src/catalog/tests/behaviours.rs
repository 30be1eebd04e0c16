use super::*;
use crate::point::State;
use futures::future::join_all;

on_every_store!(
    a_point_is_read_as_it_was_written,
    an_id_is_begun_once,
    an_unknown_id_is_not_found,
    of_two_writers_exactly_one_wins_each_number,
    a_late_writer_learns_that_it_lost_and_changes_nothing,
    a_later_process_records_as_void_what_a_dead_owner_left_open,
    an_event_that_may_not_follow_is_never_sent,
    damaged_objects_are_named_and_the_rest_is_listed,
    a_missing_object_in_the_middle_is_named,
    an_object_of_another_point_is_damage,
    an_object_out_of_order_is_damage,
    a_large_capture_is_split_into_small_objects,
    foreign_files_in_a_log_s_folder_are_left_alone,
    notes_are_put_replaced_listed_and_deleted,
    a_damaged_note_is_named_and_the_others_are_listed,
    opening_for_writing_leaves_nothing_behind,
);

async fn a_point_is_read_as_it_was_written(catalog: &Catalog) {
    let id = id("nightly");
    let mut log = PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    let begun = load(catalog, &id).await.unwrap();
    assert_eq!((begun.phase, begun.point.state, begun.point.verdict), (Phase::Opened, None, None));
    assert_eq!(begun.point.databases[0].data_sets[0].state.as_deref(), Some("confirmed"));

    let rest = [attempt_void(), recorded(), captured(), capture_completed(), sealed()];
    for event in rest.clone() {
        log.append(event).await.unwrap();
    }
    let loaded = load(catalog, &id).await.unwrap();
    let all: Vec<_> = std::iter::once(opened(&id)).chain(rest).collect();
    assert!(loaded.events().eq(all.iter()));
    assert_eq!(
        (loaded.phase, loaded.point.state, loaded.point.verdict),
        (Phase::Sealed, Some(State::Sealed), Some(Verdict::Good))
    );
    assert_eq!(loaded.point.restore_time.as_deref(), Some("2026-11-23T04:00:07.000000000Z"));
    assert_eq!(loaded.point.attempts, [void_attempt(), good_attempt()]);
    assert_eq!(loaded.point.warnings.len(), 2);
    let database = &loaded.point.databases[0];
    assert_eq!(database.clock, Some(Clock { offset_low_ms: -50.25, offset_high_ms: 49.75 }));
    assert_eq!(database.data_sets[0].state.as_deref(), Some("ok"));
    assert_eq!(database.data_sets[1].restorable_from.as_deref(), Some("2026-11-18T11:06:40.123456789Z"));

    log.append(lost()).await.unwrap();
    let lost = load(catalog, &id).await.unwrap().point;
    assert_eq!((lost.state, lost.verdict), (Some(State::Lost), Some(Verdict::Good)));
    assert_eq!(lost.databases[0].data_sets[0].reason.as_deref(), Some("the table was created again"));
    assert!(lost.error.unwrap().message.contains("created again"));
}

async fn an_id_is_begun_once(catalog: &Catalog) {
    let id = id("nightly");
    PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    let error = PointLog::create(catalog, &id, opened(&id)).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Conflict);
    assert!(error.message.contains("points/nightly-20261123T030000Z/00000001.json"), "{error}");
}

async fn an_unknown_id_is_not_found(catalog: &Catalog) {
    let error = load(catalog, &id("nightly")).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::NotFound { id: "nightly-20261123T030000Z".to_owned() });
    assert!(error.hint().contains("stillpoint list"));
    assert!(list(catalog).await.unwrap().0.is_empty());
}

async fn of_two_writers_exactly_one_wins_each_number(catalog: &Catalog) {
    let id = id("nightly");
    PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    let mut won = 0;
    for _ in 0..12 {
        let mut writers = Vec::new();
        for _ in 0..6 {
            writers.push(PointLog::resume(catalog, &id).await.unwrap().0);
        }
        let tasks = writers.into_iter().map(|mut log| tokio::spawn(async move { log.append(attempt_void()).await }));
        let ends: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1);
        assert!(ends.iter().filter_map(|end| end.as_ref().err()).all(|e| e.kind == CatalogErrorKind::Conflict));
        won += 1;
        assert_eq!(load(catalog, &id).await.unwrap().batches.len(), 1 + won);
    }
}

async fn a_late_writer_learns_that_it_lost_and_changes_nothing(catalog: &Catalog) {
    let id = id("nightly");
    let mut late = PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    let (mut quick, _) = PointLog::resume(catalog, &id).await.unwrap();
    quick.append(void()).await.unwrap();
    // The late one holds a good window, and still must not turn a void point into a recorded one.
    for _ in 0..2 {
        assert_eq!(late.append(recorded()).await.unwrap_err().kind, CatalogErrorKind::Conflict);
    }
    let loaded = load(catalog, &id).await.unwrap();
    assert_eq!((loaded.phase, loaded.point.restore_time), (Phase::Void, None));
}

async fn a_later_process_records_as_void_what_a_dead_owner_left_open(catalog: &Catalog) {
    let id = id("nightly");
    let mut dead = PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    dead.append(attempt_void()).await.unwrap();
    drop(dead);
    let (mut log, loaded) = PointLog::resume(catalog, &id).await.unwrap();
    let mut attempts = loaded.point.attempts;
    let mut last = void_attempt();
    last.violations[0].name = "GuardFired".to_owned();
    attempts.push(last);
    log.append(PointEvent::Void { attempts, pods: Vec::new(), warnings: Vec::new(), error: None }).await.unwrap();
    let point = load(catalog, &id).await.unwrap().point;
    assert_eq!((point.state, point.verdict), (Some(State::Void), Some(Verdict::Void)));
    assert_eq!((point.attempts.len(), point.pods.len()), (2, 1));
}

async fn an_event_that_may_not_follow_is_never_sent(catalog: &Catalog) {
    let id = id("nightly");
    let error = PointLog::create(catalog, &id, recorded()).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::NotAllowed);
    let mut log = PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    for event in [sealed(), captured(), recorded_with(Vec::new()), recorded_with(vec![void_attempt()])] {
        assert_eq!(log.append(event).await.unwrap_err().kind, CatalogErrorKind::NotAllowed);
    }
    // All or nothing: the first of them alone would be allowed.
    assert!(log.append_all(vec![recorded(), sealed()]).await.is_err());
    assert_eq!(load(catalog, &id).await.unwrap().batches.len(), 1);
}

async fn damaged_objects_are_named_and_the_rest_is_listed(catalog: &Catalog) {
    let ids: Vec<_> = ["a", "b", "c", "d"].into_iter().map(id).collect();
    for id in &ids {
        let mut log = PointLog::create(catalog, id, opened(id)).await.unwrap();
        log.append(recorded()).await.unwrap();
    }
    let name = |id: &PointId| format!("points/{id}/00000002.json");
    let whole = catalog.store.read(&name(&ids[1])).await.unwrap().unwrap();
    let half = &whole[..whole.len() / 2];
    catalog.store.overwrite(&name(&ids[1]), half).await.unwrap();
    catalog.store.overwrite(&name(&ids[2]), b"").await.unwrap();

    let (points, damaged) = list(catalog).await.unwrap();
    assert_eq!(points.iter().map(|p| &p.id).collect::<Vec<_>>(), [&ids[0], &ids[3]]);
    assert_eq!(damaged.iter().map(|d| d.object.clone()).collect::<Vec<_>>(), [name(&ids[1]), name(&ids[2])]);

    // A damaged point is not written to, neither at its end nor over the damage.
    let error = PointLog::resume(catalog, &ids[1]).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Damaged { object: name(&ids[1]) });
    let mut log = reopened_after_one(catalog, &ids[1]).await;
    let error = log.append(void()).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Damaged { object: name(&ids[1]) });
    assert_eq!(catalog.store.read(&name(&ids[1])).await.unwrap().unwrap(), half);
}

/// A writer that has read only the first object.
async fn reopened_after_one(catalog: &Catalog, id: &PointId) -> PointLog {
    let other = memory().await;
    let opened = opened(id);
    PointLog::create(&other, id, opened).await.unwrap().moved_to(catalog)
}

async fn a_missing_object_in_the_middle_is_named(catalog: &Catalog) {
    let id = id("nightly");
    let mut log = PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    log.append(attempt_void()).await.unwrap();
    log.append(recorded()).await.unwrap();
    let gone = format!("points/{id}/00000002.json");
    catalog.store.delete(&gone).await.unwrap();
    let error = load(catalog, &id).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Damaged { object: gone });
    assert!(error.message.contains("missing"), "{error}");
}

async fn an_object_of_another_point_is_damage(catalog: &Catalog) {
    let (mine, other) = (id("mine"), id("other"));
    PointLog::create(catalog, &other, opened(&other)).await.unwrap();
    let content = catalog.store.read(&format!("points/{other}/00000001.json")).await.unwrap().unwrap();
    catalog.store.overwrite(&format!("points/{mine}/00000001.json"), &content).await.unwrap();
    let error = load(catalog, &mine).await.unwrap_err();
    assert!(error.message.contains("belongs to restore point `other-20261123T030000Z`"), "{error}");
}

async fn an_object_out_of_order_is_damage(catalog: &Catalog) {
    let id = id("nightly");
    let mut log = PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    log.append(recorded()).await.unwrap();
    let copied = catalog.store.read(&format!("points/{id}/00000002.json")).await.unwrap().unwrap();
    catalog.store.overwrite(&format!("points/{id}/00000003.json"), &copied).await.unwrap();
    let error = load(catalog, &id).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Damaged { object: format!("points/{id}/00000003.json") });
    let (points, damaged) = list(catalog).await.unwrap();
    assert_eq!((points.len(), damaged.len()), (0, 1));
}

async fn a_large_capture_is_split_into_small_objects(catalog: &Catalog) {
    let id = id("nightly");
    let capsule = |n: usize| provider_api::Capsule {
        name: format!("table-{n}"),
        id: format!("id-{n}"),
        settings: serde_json::json!({ "tags": "x".repeat(4_000) }),
        unread: Vec::new(),
    };
    let capsules: Vec<_> = (0..500).map(capsule).collect();
    let metadata = (0..500).map(|n| (format!("table-{n}"), serde_json::json!("y".repeat(1_000)))).collect();
    let events = captured_batches("ledger-tables", capsules.clone(), metadata);
    assert!(events.len() > 5);
    let mut log = PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    let all = std::iter::once(recorded()).chain(events).chain([capture_completed()]).collect();
    log.append_all(all).await.unwrap();
    let loaded = load(catalog, &id).await.unwrap();
    assert_eq!(loaded.phase, Phase::Captured);
    for batch in &loaded.batches {
        let name = format!("points/{id}/{:08}.json", batch.number);
        assert!(catalog.store.read(&name).await.unwrap().unwrap().len() < 700_000);
    }
    let back: Vec<_> = loaded
        .events()
        .filter_map(|event| match event {
            PointEvent::Captured { capsules, .. } => Some(capsules.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(back, capsules);
}

async fn foreign_files_in_a_log_s_folder_are_left_alone(catalog: &Catalog) {
    let id = id("nightly");
    PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    for foreign in [".DS_Store", "00000002.json.bak", "2.json", "readme.txt"] {
        catalog.store.overwrite(&format!("points/{id}/{foreign}"), b"x").await.unwrap();
    }
    catalog.store.overwrite("points/old stuff/00000001.json", b"x").await.unwrap();
    assert_eq!(load(catalog, &id).await.unwrap().phase, Phase::Opened);
    let (points, damaged) = list(catalog).await.unwrap();
    assert_eq!((points.len(), damaged[0].object.as_str()), (1, "points/old stuff"));
}

async fn notes_are_put_replaced_listed_and_deleted(catalog: &Catalog) {
    let content = serde_json::json!({"pods": ["10.0.0.4:60051"], "deadline": "2026-11-23T03:01:00Z"});
    notes::put(catalog, "one", "nonce", &content).await.unwrap();
    notes::put(catalog, "two", "other", &serde_json::json!(1)).await.unwrap();
    let refused = notes::put(catalog, "one", "not mine", &serde_json::json!(2)).await.unwrap_err();
    assert_eq!(refused.kind, CatalogErrorKind::Conflict);
    let changed = serde_json::json!({"pods": []});
    assert_eq!(notes::get(catalog, "one").await.unwrap().unwrap().content, content);
    notes::put(catalog, "one", "nonce", &changed).await.unwrap();
    let (all, damaged) = notes::list(catalog).await.unwrap();
    assert!(damaged.is_empty());
    assert_eq!(
        all.iter().map(|note| (note.id.as_str(), &note.content)).collect::<Vec<_>>(),
        [("one", &changed), ("two", &serde_json::json!(1))]
    );
    for _ in 0..2 {
        notes::delete(catalog, "one").await.unwrap();
    }
    assert_eq!(notes::get(catalog, "one").await.unwrap(), None);
    assert_eq!(notes::put(catalog, "../x", "n", &content).await.unwrap_err().kind, CatalogErrorKind::BadId);
}

async fn a_damaged_note_is_named_and_the_others_are_listed(catalog: &Catalog) {
    notes::put(catalog, "one", "n", &serde_json::json!(1)).await.unwrap();
    catalog.store.overwrite("notes/torn.json", b"{\"version\":1").await.unwrap();
    let one = catalog.store.read("notes/one.json").await.unwrap().unwrap();
    catalog.store.overwrite("notes/copy.json", &one).await.unwrap();
    let (all, damaged) = notes::list(catalog).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(damaged.iter().map(|d| d.object.as_str()).collect::<Vec<_>>(), ["notes/copy.json", "notes/torn.json"]);
}

async fn opening_for_writing_leaves_nothing_behind(catalog: &Catalog) {
    assert!(catalog.store.list("probe").await.unwrap().is_empty());
}

#[tokio::test]
async fn reading_a_catalog_that_does_not_exist_yet_finds_nothing_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("x/y");
    let url = format!("file://{}", missing.display());
    let catalog = Catalog::open(&url, Options::default()).await.unwrap();
    assert_eq!(list(&catalog).await.unwrap(), (Vec::new(), Vec::new()));
    assert_eq!(notes::list(&catalog).await.unwrap(), (Vec::new(), Vec::new()));
    assert_eq!(lock_status(&catalog).await.unwrap(), None);
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_one_is_unwritable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = Catalog::open(&format!("file://{}/catalog", file.display()), quick()).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Unwritable, "{error}");
    assert!(error.message.contains("file://"), "{error}");
}
