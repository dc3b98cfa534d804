//! A run before it is provisioned, and a live run with its platform.
//!
//! They are two types so that code which needs the platform cannot run without one.

use super::losses::Losses;
use super::recorder::Recorder;
use super::{remains, repositories, standing};
use crate::client::Error;
use crate::environment::{Act, Platform, RunContext};
use crate::fault::Nature;
use crate::model::{Fact, JudgementKind, Line, Phase, Receipt, Verdict};
use crate::plan::Plan;
use crate::recovery::Conditions;
use crate::store;
use crate::workload::seed;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Mutex;

/// The longest time that lifting one fault may take.
const LIFT: Duration = Duration::from_secs(30);

/// A plan that is carried out, with its recorder; it may have no platform yet.
pub struct Run {
    /// What will be done.
    pub plan: Plan,
    /// Writes the timeline.
    pub recorder: Recorder,
    /// The run's name and folder.
    pub context: RunContext,
}

/// A run with its live platform.
pub struct LiveRun<'a> {
    run: &'a Run,
    /// The platform.
    pub platform: Arc<dyn Platform>,
    /// What the faults of the disaster will hit, as it was read when the platform stood.
    pub bound: OnceLock<BTreeMap<usize, Receipt>>,
    /// The faults that may have to be lifted. The lock is held from a fault's intent until it has taken effect.
    pub intended: Mutex<Vec<(usize, Receipt)>>,
}

impl Deref for LiveRun<'_> {
    type Target = Run;
    fn deref(&self) -> &Run {
        self.run
    }
}

impl Run {
    /// The folder of the recovery points: outside the blast radius.
    pub fn points(&self) -> PathBuf {
        self.context.folder.join("points")
    }

    /// Provisions the platform.
    pub async fn provision(&self) -> Result<LiveRun<'_>, Error> {
        self.recorder.append(Fact::Phase(Phase::Provision));
        let platform = self.plan.setup.environment.provision(&self.context, Arc::new(self.recorder.clone())).await?;
        if let Some(endpoint) = &platform.endpoints().mlflow {
            self.recorder.append(Fact::Note(format!("the platform serves at {endpoint}")));
        }
        Ok(LiveRun { run: self, platform, bound: OnceLock::new(), intended: Mutex::default() })
    }

    /// Removes what was created before the platform was complete, and records what could not be removed.
    pub async fn tear_down(&self) -> Result<(), Error> {
        self.recorder.append(Fact::Phase(Phase::Teardown));
        let receipts = remains::receipts(&read(&self.context)?);
        let left = self.plan.setup.environment.remove(&self.context, &receipts).await;
        self.removed(left).await
    }

    async fn removed(&self, mut left: Vec<String>) -> Result<(), Error> {
        if self.plan.setup.environment.standing() {
            // They may be the only ones: a recovery point of a standing platform is never deleted.
            self.recorder.append(Fact::Note(format!("recovery points are kept in `{}`", self.points().display())));
        } else if let Err(error) = std::fs::remove_dir_all(self.points())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            left.push(format!("`{}`: {error}", self.points().display()));
        }
        if let Some(protect) = &self.plan.setup.protect {
            let removed = repositories::remove_points(&protect.kept, &self.context.run, &read(&self.context)?).await;
            removed.locked.into_iter().for_each(|locked| self.recorder.append(Fact::Note(locked)));
            left.extend(removed.left);
        }
        if left.is_empty() {
            return self.recorder.append_durable(Fact::Removed).await;
        }
        for what in left {
            self.recorder.append_durable(Fact::Left(what)).await?;
        }
        Ok(())
    }
}

impl LiveRun<'_> {
    /// Seeds the platform with data, if the plan says so. Nothing is planted on a standing platform but the drill's own
    /// experiments, which are recorded before they are made.
    pub async fn seed(&self) -> Result<(), Error> {
        if self.plan.setup.environment.standing() {
            return self.recorder.append_durable(Fact::Creating(standing::planting(&self.context.run))).await;
        }
        if self.plan.setup.seeds() && !seed::planted(self.platform.as_ref()).await? {
            let seeded = seed::plant(self.platform.as_ref(), self.plan.setup.scale).await?;
            self.recorder.append(Fact::Note(format!("seeded: {seeded}")));
        }
        Ok(())
    }

    /// Reads which things the faults of the disaster will hit: from now on they are these and no others. What a second
    /// disaster hits is read in its own time.
    pub async fn bind(&self) -> Result<(), Error> {
        let mut bound = BTreeMap::new();
        for (index, planned) in self.plan.faults_in(Phase::Disaster) {
            bound.insert(index, planned.fault.intend(self.platform.as_ref()).await?);
        }
        let _ = self.bound.set(bound); // it is called once
        Ok(())
    }

    /// Is this still the platform that was opted in? Called right before each act that could destroy something; records a
    /// refusal.
    pub async fn guard(&self, act: Act) -> Result<(), Error> {
        let refused = self.platform.guard(act).await;
        if let Err(error) = &refused {
            self.recorder.decide(JudgementKind::Guard, "guard", Verdict::Unknown, Some(error.to_string()));
        }
        refused
    }

    /// Lifts the remaining conditions and removes the platform, and records what could not be removed. If the user asked
    /// to keep the platform, it stays, but only if `keep` says that the drill came to its end.
    pub async fn tear_down(&self, keep: bool) -> Result<(), Error> {
        self.recorder.append(Fact::Phase(Phase::Teardown));
        let mut left: Vec<String> =
            self.lift().await.err().map(|error| format!("a condition: {error}")).into_iter().collect();
        let engine = self.plan.setup.protect.as_ref().map(|protect| protect.engine.it.as_ref());
        if let Some(kept) = self.platform.kept().filter(|_| keep) {
            let run = &self.context.run;
            if let Some(engine) = engine {
                left.extend(engine.tidy(self.platform.as_ref()).await);
            }
            for what in left {
                self.recorder.append_durable(Fact::Left(what)).await?;
            }
            return self
                .recorder
                .append_durable(Fact::Note(format!("{kept}; `lifeboat cleanup {run}` removes it")))
                .await;
        }
        if self.plan.setup.environment.standing() {
            self.recorder.append_durable(Fact::Note("the standing platform is put back".into())).await?;
            let lines = read(&self.context)?;
            let losses = Losses::of(&self.plan);
            left.extend(standing::settle(self.platform.as_ref(), &self.context, &lines, &losses, engine).await);
        }
        left.extend(self.platform.remove().await);
        self.platform.news().into_iter().for_each(|news| self.recorder.append(Fact::Note(news)));
        self.removed(left).await
    }
}

/// What is on the timeline by now.
fn read(context: &RunContext) -> Result<Vec<Line>, Error> {
    store::read_timeline(&context.folder).map_err(|e| Error::caused_by("cannot read the timeline", e))
}

#[async_trait]
impl Conditions for LiveRun<'_> {
    /// A receipt goes only when its undo has succeeded: what could not be lifted, or was interrupted, stays and is tried
    /// again by the next call.
    async fn lift(&self) -> Result<(), Error> {
        let mut intended = self.intended.lock().await;
        let (mut remaining, mut result) = (vec![], Ok(()));
        for (index, receipt) in intended.clone().into_iter().rev() {
            let fault = &self.plan.faults[index].fault;
            if fault.nature() != Nature::Condition {
                continue;
            }
            let lifted = tokio::time::timeout(LIFT, fault.lift(self.platform.as_ref(), &receipt)).await;
            let lifted = lifted.unwrap_or_else(|_| Err(Error::new(fault.name, format!("not lifted within {LIFT:?}"))));
            self.recorder.append(Fact::Lifted { fault: index, error: lifted.as_ref().err().map(ToString::to_string) });
            if lifted.is_err() {
                remaining.insert(0, (index, receipt));
            }
            result = result.and(lifted);
        }
        *intended = remaining;
        result
    }
}
