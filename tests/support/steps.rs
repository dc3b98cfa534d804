//! A step as a drill carries it out, for tests that have a platform and no run.
#![allow(clippy::disallowed_methods)] // reads the clock itself

use super::notes::Notes;
use async_trait::async_trait;
use lifeboat::client::Error;
use lifeboat::clock;
use lifeboat::environment::Platform;
use lifeboat::kind::pick;
use lifeboat::model::{Disaster, Finding, Onset, Verdict};
use lifeboat::node::parse;
use lifeboat::recovery::{Conditions, STEPS, StepContext};
use std::path::Path;
use std::time::Instant;

/// There is no fault to lift.
struct Nobody;

#[async_trait]
impl Conditions for Nobody {
    async fn lift(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Carries out the step that is written; what it keeps goes to `folder`.
pub async fn carry_out(platform: &dyn Platform, folder: &Path, written: &str) -> Finding {
    let mut problems = vec![];
    let step = pick("step", STEPS, &parse(written).unwrap(), &mut problems);
    let step = step.unwrap_or_else(|| panic!("{written}: {problems:?}"));
    let outputs = [].into();
    let context = StepContext {
        platform,
        disaster: Disaster::of_one(Onset::default(), clock::wall(), clock::wall()),
        session: None,
        outputs: &outputs,
        folder,
        conditions: &Nobody,
        checks: None,
        journal: &Notes::default(),
    };
    let began = Instant::now();
    let finding = step.carry_out(&context).await;
    println!("{written}: {finding:?} after {:.2} s", began.elapsed().as_secs_f64());
    finding
}

/// Carries out a step that has to succeed.
#[allow(dead_code)] // not everybody's does
pub async fn mend(platform: &dyn Platform, folder: &Path, written: &str) -> Finding {
    let finding = carry_out(platform, folder, written).await;
    assert_eq!(finding.verdict, Verdict::Met, "{written}: {finding:?}");
    finding
}
