//! The only impure arrow, and the only floor where time passes: carries out a plan and writes down what happens.
//!
//! `run` reads like the table of contents of a drill. Whatever happens inside, the tear-down follows, and what it
//! could not remove is said.

mod cleanup;
mod disaster;
mod interrupt;
mod protect;
mod recover;
mod runbook;
mod scribe;
mod stage;
mod steady;
mod verify;
mod watch;

pub use cleanup::{alive, cleanup};
pub use scribe::Scribe;
pub use watch::{Board, Watching, begin as watch};

use crate::client::Trouble;
use crate::clock::Clock;
use crate::environment::Lent;
use crate::measure;
use crate::model::report::Report;
use crate::model::{Fact, Line, Phase, Verdict};
use crate::plan::Plan;
use crate::report::REPORTS;
use crate::store::{self, RunFolder};
use futures::FutureExt;
use futures::future::join;
use interrupt::Interrupt;
use stage::Stage;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The name of the plan in a run's folder.
pub const PLAN: &str = "plan.yaml";
/// What the decision is called that a guard takes.
const GUARD: &str = "guard";
/// Setting up may take this long: a download or a compiler that hangs is no reason to wait for ever.
const SET_UP: Duration = Duration::from_hours(1);

/// Follows a run while it happens.
pub trait Watcher: Send + Sync {
    /// A fact, as it went onto the timeline.
    fn line(&self, line: &Line);
    /// What is being done, for people who wait.
    fn progress(&self, text: &str);
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What it means.
    pub report: Report,
    /// Where its files are.
    pub folder: PathBuf,
    /// The user stopped it; all is undone but what `report.left` says.
    pub interrupted: bool,
}

impl Outcome {
    /// Did a guard refuse something while it went on?
    pub fn refused(&self) -> bool {
        self.report.judgements.iter().any(|judgement| judgement.what == GUARD && judgement.verdict != Verdict::Met)
    }
}

/// Carries out a plan.
///
/// # Errors
/// When the harness itself failed; the platform is then torn down as far as possible, and the files are written.
pub async fn run(plan: Plan, reports: &Path, watcher: Arc<dyn Watcher>) -> Result<Outcome, Trouble> {
    let cannot =
        |e: std::io::Error| Trouble::new(format!("cannot make the run's folder in `{}`", reports.display()), e);
    let folder = RunFolder::create(reports, &plan.terms.drill).map_err(cannot)?;
    let _lock = cleanup::lock(&folder.path).map_err(cannot)?;
    fs::write(folder.path.join(PLAN), plan.yaml()).map_err(cannot)?;
    let (scribe, _) = Scribe::begin(&folder.path, Clock::start(), watcher)?;
    let began = Fact::Began {
        run: folder.run.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        plan: plan.digest(),
        terms: Box::new(plan.terms.clone()),
    };
    scribe.swear(began).await?;
    let stage = Stage::new(plan, scribe, Lent { run: folder.run, folder: folder.path.clone() });
    let interrupt = Interrupt::listen()?;

    let ending = tokio::select! {
        result = AssertUnwindSafe(perform(&stage)).catch_unwind() => match result {
            Ok(result) => result.map(|()| false),
            Err(_) => Err(Trouble::new("lifeboat itself", "a defect, told above").hint("please report it")),
        },
        () = interrupt.first() => {
            stage.scribe.tell(Fact::Interrupted);
            Ok(true)
        }
    };
    if let Err(trouble) = &ending {
        stage.decide("harness", Verdict::Unknown, Some(trouble.to_string()));
    }
    tokio::select! {
        result = stage.tear_down(matches!(ending, Ok(false))) => result?,
        () = interrupt.second() => {
            stage.scribe.swear(Fact::Left("what was not yet torn down when it was interrupted".into())).await?;
        }
    }
    stage.scribe.swear(Fact::Ended).await?;
    let report = write_reports(&folder.path)?;
    ending.map(|interrupted| Outcome { report, folder: folder.path, interrupted })
}

/// All before the tear-down. A machine's first set-up compiles for minutes, so the drill's limit counts from the
/// moment the platform serves.
async fn perform(stage: &Stage) -> Result<(), Trouble> {
    let late = |_| Trouble::new("cannot set up", "not done within an hour").hint("what is done is kept: run it again");
    if !timeout(SET_UP, stage.provision()).await.map_err(late)?? {
        return Ok(());
    }
    let limit = stage.plan.limits.drill;
    timeout(limit.0, rehearse(stage)).await.unwrap_or_else(|_| {
        stage.decide("drill limit", Verdict::Unknown, Some(format!("the drill took longer than {limit}")));
        Ok(())
    })
}

/// The phases between set-up and tear-down, in their order.
async fn rehearse(stage: &Stage) -> Result<(), Trouble> {
    stage.scribe.tell(Fact::Phase(Phase::Baseline));
    let mut cast = stage.begin().await?;
    if !steady::prove(stage, &cast).await {
        return Ok(());
    }
    stage.scribe.tell(Fact::Phase(Phase::Disaster));
    let Some(bite) = disaster::strike(stage).await? else { return Ok(()) };
    stage.scribe.tell(Fact::Phase(Phase::Recovery));
    let (bite, ()) = join(disaster::strike_late(stage, bite), recover::follow_runbook(stage, &cast, bite)).await;
    let stable = recover::wait_for_service(stage, &cast, bite).await;
    stage.scribe.tell(Fact::Phase(Phase::Verify));
    verify::verify(stage, &mut cast, stable).await
}

/// Measures a run's timeline and writes every report into its folder.
///
/// # Errors
/// When the timeline cannot be read or a file cannot be written.
pub fn write_reports(folder: &Path) -> Result<Report, Trouble> {
    let cannot = |e: std::io::Error| Trouble::new(format!("cannot write the reports in `{}`", folder.display()), e);
    let report = measure::measure(&store::read_timeline(folder).map_err(cannot)?);
    for format in REPORTS {
        let bytes =
            (format.render)(&report).map_err(|e| Trouble::new(format!("cannot render `{}`", format.file), e))?;
        fs::write(folder.join(format.file), bytes).map_err(cannot)?;
    }
    Ok(report)
}
