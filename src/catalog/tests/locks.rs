use super::*;
use chrono::TimeDelta;
use futures::future::join_all;

on_every_store!(
    one_holder_at_a_time,
    a_released_lock_is_free_and_a_second_release_is_harmless,
    a_lock_whose_time_has_passed_is_free_and_its_holder_learns_it,
    only_a_dead_holder_of_this_boot_is_passed_over,
    the_lock_of_a_holder_that_is_gone_is_given_back_and_nobody_else_s,
    of_many_that_want_it_at_once_one_gets_it,
    a_renewed_lock_holds_longer,
    a_damaged_lock_is_nobody_s,
);

fn owner(pid: u32) -> Owner {
    Owner { host: "h".to_owned(), boot_id: "boot-1".to_owned(), pid, pid_start: 7 }
}

fn soon() -> DateTime<Utc> {
    Utc::now() + TimeDelta::seconds(180)
}

fn alive(_: &Owner) -> bool {
    false
}

async fn held(catalog: &Catalog, pid: u32, until: DateTime<Utc>) -> PauseLock {
    match PauseLock::acquire(catalog, owner(pid), until, alive).await.unwrap() {
        Acquired::Held(lock) => lock,
        Acquired::Refused { holder } => panic!("held by {holder:?}"),
    }
}

async fn one_holder_at_a_time(catalog: &Catalog) {
    let until = soon();
    let lock = held(catalog, 1, until).await;
    assert_eq!(lock.still_held().await.unwrap(), Holding::Held);
    for pid in [1, 2] {
        match PauseLock::acquire(catalog, owner(pid), until, alive).await.unwrap() {
            Acquired::Refused { holder } => assert_eq!((holder.owner, holder.until), (owner(1), until)),
            Acquired::Held(_) => panic!("two holders"),
        }
    }
    assert_eq!(lock_status(catalog).await.unwrap().unwrap().owner, owner(1));
}

async fn a_released_lock_is_free_and_a_second_release_is_harmless(catalog: &Catalog) {
    let first = held(catalog, 1, soon()).await;
    first.release().await.unwrap();
    assert_eq!(lock_status(catalog).await.unwrap(), None);
    assert_eq!(first.still_held().await.unwrap(), Holding::Lost { by: None });
    let second = held(catalog, 2, soon()).await;
    first.release().await.unwrap();
    assert_eq!(second.still_held().await.unwrap(), Holding::Held);
    assert_eq!(first.still_held().await.unwrap(), Holding::Lost { by: Some(owner(2)) });
}

async fn a_lock_whose_time_has_passed_is_free_and_its_holder_learns_it(catalog: &Catalog) {
    // Just past: another machine's clock may say otherwise, so it is not taken yet.
    let late = held(catalog, 1, Utc::now() - TimeDelta::seconds(1)).await;
    assert_eq!(late.still_held().await.unwrap(), Holding::Expired);
    let refused = PauseLock::acquire(catalog, owner(2), soon(), alive).await.unwrap();
    assert!(matches!(refused, Acquired::Refused { .. }));
    late.release().await.unwrap();

    let stopped = held(catalog, 1, Utc::now() - TimeDelta::seconds(60)).await;
    let next = held(catalog, 2, soon()).await;
    assert_eq!(stopped.still_held().await.unwrap(), Holding::Lost { by: Some(owner(2)) });
    stopped.release().await.unwrap();
    assert_eq!(next.still_held().await.unwrap(), Holding::Held);
}

async fn only_a_dead_holder_of_this_boot_is_passed_over(catalog: &Catalog) {
    let dead = held(catalog, 1, soon()).await;
    let elsewhere = |boot: &str, host: &str| Owner { boot_id: boot.to_owned(), host: host.to_owned(), ..owner(2) };
    for other in [elsewhere("boot-2", "h"), elsewhere("boot-1", "another container")] {
        let end = PauseLock::acquire(catalog, other, soon(), |_| panic!("a process of elsewhere was judged")).await;
        assert!(matches!(end.unwrap(), Acquired::Refused { .. }));
    }
    let end = PauseLock::acquire(catalog, owner(2), soon(), |holder| *holder == owner(1)).await.unwrap();
    assert!(matches!(end, Acquired::Held(_)));
    assert_eq!(dead.still_held().await.unwrap(), Holding::Lost { by: Some(owner(2)) });
}

async fn the_lock_of_a_holder_that_is_gone_is_given_back_and_nobody_else_s(catalog: &Catalog) {
    let gone = held(catalog, 1, soon()).await;
    assert_eq!(release_of_gone(catalog, |holder| *holder == owner(2)).await.unwrap(), None);
    assert_eq!(gone.still_held().await.unwrap(), Holding::Held);
    let freed = release_of_gone(catalog, |holder| *holder == owner(1)).await.unwrap().unwrap();
    assert_eq!(freed.owner, owner(1));
    assert_eq!(release_of_gone(catalog, |_| true).await.unwrap(), None, "nobody has it");
    // Whoever was not gone after all learns it, and takes nothing from the next holder.
    let next = held(catalog, 2, soon()).await;
    assert_eq!(gone.still_held().await.unwrap(), Holding::Lost { by: Some(owner(2)) });
    gone.release().await.unwrap();
    assert_eq!(release_of_gone(catalog, |holder| *holder == owner(1)).await.unwrap(), None);
    assert_eq!(next.still_held().await.unwrap(), Holding::Held);
}

async fn of_many_that_want_it_at_once_one_gets_it(catalog: &Catalog) {
    for _ in 0..5 {
        let tasks = (0..8).map(|pid| {
            let catalog = catalog.clone();
            tokio::spawn(async move { PauseLock::acquire(&catalog, owner(pid), soon(), alive).await.unwrap() })
        });
        let ends: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        let winners: Vec<_> = ends
            .iter()
            .filter_map(|end| match end {
                Acquired::Held(lock) => Some(lock),
                Acquired::Refused { .. } => None,
            })
            .collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(winners[0].still_held().await.unwrap(), Holding::Held);
        winners[0].release().await.unwrap();
    }
}

async fn a_renewed_lock_holds_longer(catalog: &Catalog) {
    let mut lock = held(catalog, 1, Utc::now() - TimeDelta::seconds(1)).await;
    let until = soon();
    lock.renew(until).await.unwrap();
    assert_eq!((lock.still_held().await.unwrap(), lock.until()), (Holding::Held, until));
    lock.release().await.unwrap();
    assert_eq!(lock.renew(soon()).await.unwrap_err().kind, CatalogErrorKind::Conflict);
}

async fn a_damaged_lock_is_nobody_s(catalog: &Catalog) {
    let lock = held(catalog, 1, soon()).await;
    lock.release().await.unwrap();
    catalog.store.overwrite("locks/pause/00000002.json", b"{").await.unwrap();
    let error = PauseLock::acquire(catalog, owner(2), soon(), alive).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Damaged { object: "locks/pause/00000002.json".to_owned() });
}
