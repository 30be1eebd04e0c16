//! SIGINT and SIGTERM at each step: the pods are released, Cancelled is on record, the exit code is 1.

use crate::rows::{Row, row};
use crate::steps::{Gates, Scene, Step, steps};
use crate::support::violations;
use crate::verdict;
use rustix::process::Signal;
use stillpoint_sandbox::pods::{Action, Fault, Method, Trigger};

pub fn rows() -> Vec<Row> {
    let signals = [("SIGINT", Signal::INT), ("SIGTERM", Signal::TERM)];
    let rows = signals.into_iter().flat_map(|(name, signal)| {
        steps()
            .into_iter()
            .map(move |step| row(format!("{name} before:{}:1", step.name), move |seed| act(step, signal, seed)))
    });
    rows.collect()
}

async fn act(step: Step, signal: Signal, seed: u64) {
    let stage = step.scene.stage(step.scene.setup(seed)).await;
    if step.gates == Gates::Opening {
        // Releasing takes long enough for the signal to be met in it.
        stage.plant(2, Fault::on(Trigger::nth(Method::Unpause, 1), Action::AnswerLate { ms: 700 }));
    }
    let fault = format!("stop@before:{}:1", step.name);
    let mut running = stage.start_command(step.scene.words(), &[("STILLPOINT_FAULT", &fault)]);
    running.stopped().await;
    running.signal(signal);
    running.go_on();
    let ended = running.end().await;
    let names = violations(&ended.json);
    let cancelled = names.iter().any(|name| name == "Cancelled");
    // When all is proven, or handed over, nothing is left to cancel.
    let too_late = step.gates == Gates::Released || step.scene == Scene::Pause;
    let ended = if too_late { ended.expect_one_of(&[0, 1]) } else { ended.expect(1) };
    assert!(cancelled || too_late, "{names:?}");
    if step.scene == Scene::Pause {
        stage.run(&["unpause"]).await.expect(0);
        verdict::all_open_in_time(&stage);
        return;
    }
    verdict::create_ended(&stage, &ended).await;
    if ended.code == Some(1) {
        let points = verdict::points(&stage).await;
        assert!(violations(&points[0]).contains(&"Cancelled".to_owned()), "{:#}", points[0]);
        assert_eq!(points[0]["error"]["name"], "cancelled", "{:#}", points[0]);
    }
}
