//! What goes on beside the disaster and the runbook: probes, backups and the workload.
//!
//! Apart from the phases because it goes on through several of them.

use super::digests::PointDigests;
use super::live::LiveRun;
use super::probes::{self, ActiveProbes};
use super::protect::{self, Schedule};
use super::repositories;
use crate::client::Error;
use crate::engine::{EngineContext, Session};
use crate::model::{Fact, Planted};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Probes, backups and workload of a run, from the baseline until the marks are read back.
pub struct Background {
    /// The probes.
    pub probes: ActiveProbes,
    /// The engine at work.
    pub session: Option<Arc<dyn Session>>,
    /// The backups.
    pub schedule: Option<Schedule>,
    /// The workload.
    pub workload: Option<ActiveWorkload>,
    /// What the checks planted, in the order of the plan.
    pub planted: Vec<Planted>,
    /// The recovery point that was restored last; none if there was none, or if that restore did not succeed.
    pub restored: Mutex<Option<String>>,
}

/// The workload while it writes.
pub struct ActiveWorkload {
    stop: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<Result<(), Error>>,
}

impl ActiveWorkload {
    /// Stops the workload: it begins no more writes, and those under way may finish.
    pub async fn stop(self) -> Result<(), Error> {
        let _ = self.stop.send(true); // they may have ended by themselves
        self.task.await.unwrap_or_else(|e| Err(Error::caused_by("the workload", e)))
    }
}

/// Lets each check plant what it will look for, and starts probes, workload and backups. Backups begin after the planting,
/// so that each point can be compared with it.
pub async fn begin(run: &LiveRun<'_>) -> Result<Background, Error> {
    let mut questions = vec![];
    for probe in &run.plan.setup.probes {
        questions.push((probe.watch(), probe.learn(Arc::clone(&run.platform), &run.context.run).await?));
    }
    let mut planted = vec![];
    for check in &run.plan.setup.checks {
        let plant = check.plant(run.platform.as_ref(), &run.context.run).await?;
        run.recorder.append_durable(Fact::Planted { check: check.name.to_owned(), planted: plant.clone() }).await?;
        planted.push(plant);
    }
    std::fs::create_dir_all(run.points()).map_err(|e| Error::caused_by("cannot make the backup repository", e))?;
    let (platform, session) = (Arc::clone(&run.platform), open(run, &planted).await?);
    Ok(Background {
        probes: probes::begin(&run.recorder, questions, &(Arc::new(move || platform.tunnel_failures()) as _)),
        workload: workload(run),
        schedule: session.clone().and_then(|session| schedule(run, session)),
        session,
        planted,
        restored: Mutex::default(),
    })
}

async fn open(run: &LiveRun<'_>, planted: &[Planted]) -> Result<Option<Arc<dyn Session>>, Error> {
    let Some(protect) = &run.plan.setup.protect else { return Ok(None) };
    let reader = PointDigests::new(&run.platform, &run.recorder, &run.plan.setup.checks, planted);
    let context = EngineContext {
        platform: Arc::clone(&run.platform),
        folder: run.points(),
        clock: run.recorder.clock(),
        known: vec![],
        reader: reader.map(|reader| Arc::new(reader) as _),
        repository: None,
    };
    if protect.kept.settings.is_empty() {
        return Ok(Some(Arc::from(protect.engine.open(context).await?)));
    }
    let (engine, run_name) = (protect.engine.it.as_ref(), &run.context.run);
    repositories::open(&protect.kept, engine, run_name, &run.recorder, context).await.map(Some)
}

fn schedule(run: &LiveRun, session: Arc<dyn Session>) -> Option<Schedule> {
    let (protect, has_workload) = (run.plan.setup.protect.as_ref()?, run.plan.setup.workload.is_some());
    Some(protect::begin(&run.recorder, session, protect.every, has_workload))
}

fn workload(run: &LiveRun) -> Option<ActiveWorkload> {
    let workload = Arc::clone(&run.plan.setup.workload.as_ref()?.it);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (platform, ledger, name) = (Arc::clone(&run.platform), Arc::new(run.recorder.clone()), run.context.run.clone());
    Some(ActiveWorkload {
        stop,
        task: tokio::spawn(async move { workload.run(platform, ledger, name, stopped).await }),
    })
}
