//! Carries out a plan and records what happens. This is the only module in which time passes.
//!
//! The function `run` is the table of contents of a drill. Whatever happens in it, the tear-down follows, and the report
//! says what could not be removed.

mod background;
mod by_hand;
mod cleanup;
mod dead;
mod digests;
mod disaster;
mod interrupt;
mod leftovers;
mod live;
mod losses;
mod point_checks;
mod probes;
mod protect;
mod recorder;
mod recover;
mod remains;
mod repositories;
mod repository_session;
mod runbook;
mod standing;
mod steady;
mod verify;

pub use by_hand::{ByHand, restore};
pub use cleanup::cleanup;
pub use dead::alive;
pub use interrupt::Interrupt;
pub use probes::{ActiveProbes, ProbeState, begin as watch};
pub use recorder::Recorder;
pub use standing::BROKEN;

use crate::client::Error;
use crate::clock::Clock;
use crate::environment::{Act, RunContext};
use crate::measure;
use crate::model::report::Report;
use crate::model::{Fact, JudgementKind, Line, Phase, Verdict};
use crate::plan::Plan;
use crate::report::REPORTS;
use crate::store::{self, RunFolder};
use futures::FutureExt;
use futures::future::join;
use live::{LiveRun, Run};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::timeout;

/// The name of the plan in a run's folder.
pub const PLAN: &str = "plan.yaml";
/// The longest time that set-up may take, so that a download or a compiler that hangs ends the run.
const SET_UP: Duration = Duration::from_hours(1);

/// Sees a run while it happens: a terminal, or a test.
pub trait Observer: Send + Sync {
    /// A fact was written to the timeline.
    fn line(&self, line: &Line);
    /// A long piece of work begins, in words for the user.
    fn progress(&self, text: &str);
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What it means.
    pub report: Report,
    /// Where its files are.
    pub folder: PathBuf,
    /// Did the user stop it? Then all is undone but what `report.left` names.
    pub interrupted: bool,
    /// Why the harness itself failed, if it did; then too all is undone but what `report.left` names.
    pub failed: Option<Error>,
}

impl Outcome {
    /// Did a guard refuse an act during the run?
    pub fn refused(&self) -> bool {
        self.report
            .judgements
            .iter()
            .any(|judgement| judgement.kind == JudgementKind::Guard && judgement.verdict != Verdict::Met)
    }
}

/// Carries out a plan.
///
/// # Errors
/// When the run could not begin, or its reports could not be written; the platform is then torn down as far as possible.
pub async fn run(plan: Plan, reports: &Path, observer: Arc<dyn Observer>) -> Result<Outcome, Error> {
    let cannot =
        |e: std::io::Error| Error::caused_by(format!("cannot make the run's folder in `{}`", reports.display()), e);
    let folder = RunFolder::create(reports, &plan.terms.drill).map_err(cannot)?;
    let _lock = dead::lock(&folder.path).map_err(cannot)?;
    store::replace_private(&folder.path.join(PLAN), plan.yaml().as_bytes()).map_err(cannot)?;
    let (recorder, _) = Recorder::begin(&folder.path, Clock::start(), observer)?;
    let began = Fact::Began {
        run: folder.run.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        plan: plan.digest(),
        terms: Box::new(plan.terms.clone()),
    };
    recorder.append_durable(began).await?;
    let run = Run { plan, recorder, context: RunContext { run: folder.run, folder: folder.path.clone() } };
    let interrupt = Interrupt::listen()?;

    let live = OnceLock::new();
    let ending = tokio::select! {
        result = AssertUnwindSafe(perform(&run, &live)).catch_unwind() => match result {
            Ok(result) => result.map(|()| false),
            Err(_) => Err(Error::new("lifeboat itself", "a defect; see the message above").hint("please report it")),
        },
        () = interrupt.requested() => {
            run.recorder.append(Fact::Interrupted);
            Ok(true)
        }
        error = run.recorder.broken() => Err(error), // without a record nothing more may be done but to undo
    };
    if let Err(error) = &ending {
        run.recorder.decide(JudgementKind::Harness, "harness", Verdict::Unknown, Some(error.to_string()));
    }
    let undone = match undo(&run, live.get(), &ending, &interrupt).await {
        Ok(asked) => run.recorder.append_durable(Fact::Ended).await.map(|()| asked),
        Err(error) => Err(error),
    };
    let failed = ending.err().or(undone.as_ref().err().cloned());
    match write_reports(&folder.path) {
        Ok(report) => Ok(Outcome { report, folder: folder.path, interrupted: undone.unwrap_or(true), failed }),
        Err(error) => Err(failed.unwrap_or(error)),
    }
}

/// Tears down, until it is done or the user asks a second time to stop. Did the user ask during the tear-down? Then that
/// was the first time if the drill had come to its end.
async fn undo(
    run: &Run,
    live: Option<&LiveRun<'_>>,
    ending: &Result<bool, Error>,
    interrupt: &Interrupt,
) -> Result<bool, Error> {
    let mut asked = matches!(ending, Ok(true));
    let mut undone = std::pin::pin!(tear_down(run, live, matches!(ending, Ok(false))));
    loop {
        tokio::select! {
            result = &mut undone => return result.map(|()| asked),
            () = interrupt.requested() => {
                if std::mem::replace(&mut asked, true) {
                    return leave(run).await.map(|()| true);
                }
                run.recorder.append(Fact::Interrupted);
            }
        }
    }
}

/// Names what may be there still when the user does not wait for the tear-down.
async fn leave(run: &Run) -> Result<(), Error> {
    let why = "not known to be gone at the second interrupt";
    let left = match store::read_timeline(&run.context.folder) {
        Ok(lines) => remains::of(&run.plan, &run.context, &lines, why),
        Err(_) => remains::unsure(&run.context.run, &[], why), // then nothing is named by itself
    };
    for left in left {
        run.recorder.append_durable(Fact::Left(left)).await?;
    }
    Ok(())
}

/// All phases before the tear-down. The drill's limit counts from the moment the platform serves, because the first
/// set-up on a machine compiles for minutes.
async fn perform<'a>(run: &'a Run, live: &OnceLock<LiveRun<'a>>) -> Result<(), Error> {
    let late =
        |_| Error::new("cannot set up", "it was not done within an hour").hint("run it again: it goes on from there");
    let Some(live) = timeout(SET_UP, set_up(run, live)).await.map_err(late)?? else { return Ok(()) };
    let limit = run.plan.setup.limits.drill;
    timeout(limit.0, rehearse(live)).await.unwrap_or_else(|_| {
        let reason = Some(format!("the drill took longer than {limit}"));
        run.recorder.decide(JudgementKind::Harness, "drill limit", Verdict::Unknown, reason);
        Ok(())
    })
}

/// Provisions the platform and seeds it. Returns none if a guard refuses it.
async fn set_up<'a, 'l>(run: &'a Run, live: &'l OnceLock<LiveRun<'a>>) -> Result<Option<&'l LiveRun<'a>>, Error> {
    let provisioned = run.provision().await?;
    let live = live.get_or_init(|| provisioned); // from here on it is torn down, whatever happens
    if live.guard(Act::Plant).await.is_err() {
        return Ok(None);
    }
    live.seed().await?;
    live.bind().await.map(|()| Some(live))
}

/// The phases between set-up and tear-down, in their order.
async fn rehearse(run: &LiveRun<'_>) -> Result<(), Error> {
    run.recorder.append(Fact::Phase(Phase::Baseline));
    let mut background = background::begin(run).await?;
    if !steady::prove(run, &background).await {
        return Ok(());
    }
    run.recorder.append(Fact::Phase(Phase::Disaster));
    let Some(disaster) = disaster::inject_all(run).await? else { return Ok(()) };
    run.recorder.append(Fact::Phase(Phase::Recovery));
    let late = disaster::inject_late(run, disaster);
    let (disaster, ()) = join(late, recover::follow_runbook(run, &background, disaster)).await;
    let stable = recover::wait_for_service(run, &background, disaster).await;
    run.recorder.append(Fact::Phase(Phase::Verify));
    verify::verify(run, &mut background, disaster, stable).await
}

async fn tear_down(run: &Run, live: Option<&LiveRun<'_>>, keep: bool) -> Result<(), Error> {
    match live {
        Some(live) => {
            live.tear_down(keep).await?;
            let stays_up = keep && live.platform.kept().is_some();
            if stays_up { Ok(()) } else { leftovers::settle(live).await }
        }
        None => run.tear_down().await,
    }
}

/// Measures a run's timeline and writes every report into its folder.
///
/// # Errors
/// When the timeline cannot be read or a file cannot be written.
pub fn write_reports(folder: &Path) -> Result<Report, Error> {
    let cannot = |e: std::io::Error| {
        let error = Error::caused_by(format!("cannot write the reports in `{}`", folder.display()), e);
        error.hint("is its disk full? `lifeboat report` shows the run all the same")
    };
    let report = measure::measure(&store::read_timeline(folder).map_err(cannot)?);
    for format in REPORTS {
        let bytes =
            (format.render)(&report).map_err(|e| Error::caused_by(format!("cannot render `{}`", format.file), e))?;
        store::replace_private(&folder.join(format.file), &bytes).map_err(cannot)?;
    }
    Ok(report)
}
