//! A step as a drill carries it out, for tests that have a platform and no run.

use async_trait::async_trait;
use lifeboat::client::Trouble;
use lifeboat::clock::{self, Moment};
use lifeboat::environment::Environment;
use lifeboat::kind::pick;
use lifeboat::model::{Finding, Verdict};
use lifeboat::node::parse;
use lifeboat::recovery::{Hands, Lifts, STEPS};
use std::path::Path;
use std::time::Instant;

/// There is no fault to lift.
struct Nobody;

#[async_trait]
impl Lifts for Nobody {
    async fn lift(&self) -> Result<(), Trouble> {
        Ok(())
    }
}

/// Carries out the step that is written; what it keeps goes to `folder`.
pub async fn carry_out(env: &dyn Environment, folder: &Path, written: &str) -> Finding {
    let mut problems = vec![];
    let step = pick("step", STEPS, &parse(written).unwrap(), &mut problems);
    let step = step.unwrap_or_else(|| panic!("{written}: {problems:?}"));
    let outputs = [].into();
    let hands = Hands {
        env,
        engine: None,
        points: vec![],
        bite: Moment::default(),
        bite_at: clock::wall(),
        bitten_at: clock::wall(),
        outputs: &outputs,
        folder,
        lifts: &Nobody,
    };
    let began = Instant::now();
    let finding = step.carry_out(&hands).await;
    println!("{written}: {finding:?} after {:.2} s", began.elapsed().as_secs_f64());
    finding
}

/// Carries out a step that has to succeed.
#[allow(dead_code)] // not everybody's does
pub async fn mend(env: &dyn Environment, folder: &Path, written: &str) -> Finding {
    let finding = carry_out(env, folder, written).await;
    assert_eq!(finding.verdict, Verdict::Met, "{written}: {finding:?}");
    finding
}
