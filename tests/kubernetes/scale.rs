//! Large releases: the window is good, every pod is called in the same round, and memory stays small.

use crate::bed::Bed;
use crate::play::{Play, Release};
use crate::rows::{Row, row};
use crate::support::{Running, proc, until};
use std::sync::Arc;
use stillpoint_sandbox::pods::{Event, Method, Pod};

/// What `create` and its guard may each take.
const MEMORY_BYTES: u64 = 64_000_000;

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let bed = bed.clone();
    vec![row("a hundred pods in one release", move |_| hundred(bed))]
}

/// Rows that leave no room for others beside them.
pub fn large(bed: &Arc<Bed>) -> Vec<Row> {
    let bed = bed.clone();
    vec![row("a thousand pods over five targets", move |_| thousand(bed))]
}

async fn hundred(bed: Arc<Bed>) {
    judge(Play::ledgers(bed, 100).await).await;
}

async fn thousand(bed: Arc<Bed>) {
    // In this process play the servers, each with a few open files.
    assert!(stillpoint::target::make_room(6_000));
    let mut starting = Vec::new();
    for name in ["one", "two", "three", "four", "five"] {
        let bed = bed.clone();
        starting.push(async move {
            let namespace = bed.namespace().await;
            Release::start(&bed, &namespace, name, "ledger", 200).await
        });
    }
    let play = Play::of(bed, futures::future::join_all(starting).await).await;
    let play = judge(play).await;
    let pages = play.front.asked().iter().filter(|one| one.of_pods() && one.what.contains("limit=")).count();
    assert!(pages >= 10, "a thousand pods came in {pages} pages");
}

/// No answer to Pause is given before every pod has received its own, and the same again for Unpause: what so many pods
/// add to the outage is one round trip, however long it takes. The clock has no say in it: if one call waited for
/// another's answer, this would never end.
async fn judge(mut play: Play) -> Play {
    // Pods, API server and a debug build share this machine. A call that is late voids a window, and the next one is good.
    (play.hold, play.grace, play.max_outage, play.attempts) = ("6s", "30s", "90s", 3);
    play.configure();
    withhold(&play, Some(Method::Pause));
    let running = play.start(&["create"]);
    let mut memory = Memory::default();
    for (method, next) in [(Method::Pause, Some(Method::Unpause)), (Method::Unpause, None)] {
        until(&format!("every pod has received {method:?}"), || {
            memory.look(&running);
            assert!(proc::is_alive(running.pid()), "it ended before every pod received {method:?}: {}", running.told());
            play.servers().all(|pod| !pod.log().received_at(method).is_empty())
        })
        .await;
        withhold(&play, next);
    }
    until("the command ends", || {
        memory.look(&running);
        !proc::is_alive(running.pid())
    })
    .await;
    let ended = play.expect_good(running.end().await);
    play.assert_asked_as_promised();
    for method in [Method::Pause, Method::Unpause] {
        let received = play.servers().map(|pod| pod.log().received_at(method)[0]).max();
        let answered = play.servers().filter_map(|pod| first_answered(pod, method)).min();
        assert!(received < answered, "{method:?}: received at {received:?}, answered at {answered:?}");
    }
    let windows = ended.json["attempts"].as_array().unwrap().len();
    assert!(play.servers().all(|pod| pod.log().received_at(Method::Pause).len() == windows));
    eprintln!("{} pods: {memory:?}, {windows} window(s), {} ms", play.servers().count(), ended.json["outage_ms"]);
    assert!(memory.guard_bytes > 0, "no guard was seen");
    assert!(memory.create_bytes < MEMORY_BYTES && memory.guard_bytes < MEMORY_BYTES, "{memory:?}");
    play
}

fn withhold(play: &Play, answers_to: Option<Method>) {
    play.servers().for_each(|pod| pod.withhold(answers_to));
}

/// When the first call of a method was answered.
fn first_answered(pod: &Pod, wanted: Method) -> Option<u64> {
    let log = pod.log();
    let is_wanted = |event: &Event| matches!(event, Event::Received { method, .. } if *method == wanted);
    let call = log.entries.iter().find(|entry| is_wanted(&entry.event)).and_then(|entry| match entry.event {
        Event::Received { call, .. } => Some(call),
        _ => None,
    });
    let answered = |event: &Event| matches!(event, Event::Answered { call: of } if Some(*of) == call);
    log.entries.iter().find(|entry| answered(&entry.event)).map(|entry| entry.mono_ns)
}

/// The most that was seen of two processes: what each has for itself. The pages of a debug binary's own file are no measure.
#[derive(Debug, Default)]
struct Memory {
    create_bytes: u64,
    guard_bytes: u64,
    guard: Option<u32>,
}

impl Memory {
    fn look(&mut self, running: &Running) {
        if !self.guard.is_some_and(proc::is_alive) {
            self.guard = proc::guard_of(running.pid());
        }
        self.create_bytes = self.create_bytes.max(own_bytes(running.pid()));
        self.guard_bytes = self.guard_bytes.max(self.guard.map_or(0, own_bytes));
    }
}

fn own_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: Option<u64> = own.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
    kib.map_or(0, |kib| kib * 1024)
}
