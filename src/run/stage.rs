//! What a run holds while it lasts: the plan, the scribe, the place, and what must be undone.

use super::protect::{self, Schedule};
use super::scribe::Scribe;
use super::watch::{self, Watching};
use crate::client::Trouble;
use crate::environment::{Environment, Lent, Power};
use crate::fault::Nature;
use crate::model::{Fact, Phase, Planted, Receipt, Verdict};
use crate::plan::Plan;
use crate::recovery::Lifts;
use crate::store;
use crate::workload::seed;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Undoing one fault may take this long.
const LIFT: Duration = Duration::from_secs(30);

/// What a run holds while it lasts.
pub struct Stage {
    /// What will be done.
    pub plan: Plan,
    /// The one writer.
    pub scribe: Scribe,
    /// The run's name and folder.
    pub lent: Lent,
    env: OnceLock<Arc<dyn Environment>>,
    /// The faults that may have to be lifted; whoever injects one holds it until it has bitten.
    pub intended: Mutex<Vec<(usize, Receipt)>>,
}

/// Everything that acts beside the runbook.
pub struct Cast {
    /// Probes.
    pub watching: Watching,
    /// Backups.
    pub schedule: Option<Schedule>,
    /// Clients.
    pub clients: Option<Clients>,
    /// What the checks planted, in the order of the plan.
    pub planted: Vec<Planted>,
}

/// The workload at work.
pub struct Clients {
    stop: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<Result<(), Trouble>>,
}

impl Clients {
    /// Lets them finish what is under way.
    pub async fn stop(self) -> Result<(), Trouble> {
        let _ = self.stop.send(true); // they may have ended by themselves
        self.task.await.unwrap_or_else(|e| Err(Trouble::new("the workload", e)))
    }
}

impl Stage {
    /// A run about to begin.
    pub fn new(plan: Plan, scribe: Scribe, lent: Lent) -> Self {
        Self { plan, scribe, lent, env: OnceLock::new(), intended: Mutex::default() }
    }

    /// The place, once it is provisioned.
    pub fn env(&self) -> Result<&Arc<dyn Environment>, Trouble> {
        self.env.get().ok_or_else(|| Trouble::new("the environment", "it was never set up"))
    }

    /// Is this still the place that was lent? Asked right before each act that could destroy something; a refusal is
    /// written down.
    pub async fn guard(&self) -> Result<(), Trouble> {
        let refused = self.env()?.guard().await;
        if let Err(trouble) = &refused {
            self.decide(super::GUARD, Verdict::Unknown, Some(trouble.to_string()));
        }
        refused
    }

    /// Where backups lie: outside the blast radius.
    pub fn repository(&self) -> PathBuf {
        self.lent.folder.join("points")
    }

    /// Writes down a decision of the run about itself.
    pub fn decide(&self, what: &str, verdict: Verdict, reason: Option<String>) {
        self.scribe.tell(Fact::Decided { what: what.to_owned(), verdict, reason });
    }

    /// Sets the platform up and seeds it, unless a guard refuses: then false.
    pub async fn provision(&self) -> Result<bool, Trouble> {
        self.scribe.tell(Fact::Phase(Phase::Provision));
        let env = self.plan.environment.provision(&self.lent, Arc::new(self.scribe.clone())).await?;
        let env = self.env.get_or_init(|| env);
        if let Some(door) = &env.doors().mlflow {
            self.scribe.tell(Fact::Note(format!("the platform serves at {door}")));
        }
        if self.guard().await.is_err() {
            return Ok(false);
        }
        let powers = self.plan.environment.powers();
        let seedable = [Power::Sql, Power::Objects].iter().all(|p| powers.contains(p));
        if seedable && self.plan.scale > 0.0 && !seed::planted(env.as_ref()).await? {
            let seeded = seed::plant(env.as_ref(), self.plan.scale).await?;
            self.scribe.tell(Fact::Note(format!("seeded: {seeded}")));
        }
        Ok(true)
    }

    /// Sets probes, clients and backups going, and lets the checks plant.
    pub async fn begin(&self) -> Result<Cast, Trouble> {
        let env = self.env()?;
        let mut questions = vec![];
        for probe in &self.plan.probes {
            questions.push((probe.watch(), probe.learn(Arc::clone(env)).await?));
        }
        let mut planted = vec![];
        for check in &self.plan.checks {
            let plant = check.plant(env.as_ref(), &self.lent.run).await?;
            self.scribe.swear(Fact::Planted { check: check.name.to_owned(), planted: plant.clone() }).await?;
            planted.push(plant);
        }
        std::fs::create_dir_all(self.repository()).map_err(|e| Trouble::new("cannot make the backup repository", e))?;
        Ok(Cast {
            watching: watch::begin(&self.scribe, questions, &stumbles(env)),
            clients: self.clients(env),
            schedule: self.schedule(env),
            planted,
        })
    }

    fn schedule(&self, env: &Arc<dyn Environment>) -> Option<Schedule> {
        let (protect, written) = (self.plan.protect.as_ref()?, self.plan.workload.is_some());
        Some(protect::begin(&self.scribe, Arc::clone(env), protect, self.repository(), written))
    }

    fn clients(&self, env: &Arc<dyn Environment>) -> Option<Clients> {
        let workload = Arc::clone(&self.plan.workload.as_ref()?.it);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let (env, ledger, run) = (Arc::clone(env), Arc::new(self.scribe.clone()), self.lent.run.clone());
        Some(Clients { stop, task: tokio::spawn(async move { workload.run(env, ledger, run, stopped).await }) })
    }

    /// Gives everything back; what stays is written down. A place that its user wants to keep stays only where
    /// `keep` says that the drill went to its end.
    pub async fn tear_down(&self, keep: bool) -> Result<(), Trouble> {
        self.scribe.tell(Fact::Phase(Phase::Teardown));
        let mut left = vec![];
        if let Some(env) = self.env.get() {
            let _ = self.lift().await; // told on the timeline; the place goes away with it
            if let Some(place) = env.kept().filter(|_| keep) {
                let run = &self.lent.run;
                return self.scribe.swear(Fact::Note(format!("{place}; `lifeboat cleanup {run}` removes it"))).await;
            }
            left.extend(env.remove().await);
        } else {
            let lines =
                store::read_timeline(&self.lent.folder).map_err(|e| Trouble::new("cannot read the timeline", e))?;
            let receipts: Vec<_> = lines
                .into_iter()
                .filter_map(|line| if let Fact::Creating(receipt) = line.fact { Some(receipt) } else { None })
                .collect();
            left.extend(self.plan.environment.remove(&self.lent, &receipts).await);
        }
        if let Err(error) = std::fs::remove_dir_all(self.repository())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            left.push(format!("`{}`: {error}", self.repository().display()));
        }
        if left.is_empty() {
            return self.scribe.swear(Fact::Removed).await;
        }
        for what in left {
            self.scribe.swear(Fact::Left(what)).await?;
        }
        Ok(())
    }
}

fn stumbles(env: &Arc<dyn Environment>) -> watch::Stumbles {
    let env = Arc::clone(env);
    Arc::new(move || env.stumbles())
}

#[async_trait]
impl Lifts for Stage {
    async fn lift(&self) -> Result<(), Trouble> {
        let mut result = Ok(());
        let intended: Vec<_> = self.intended.lock().await.drain(..).collect();
        for (index, receipt) in intended.into_iter().rev() {
            let fault = &self.plan.faults[index].fault;
            if fault.nature() == Nature::Damage {
                continue;
            }
            let lifted = tokio::time::timeout(LIFT, fault.lift(self.env()?.as_ref(), &receipt)).await;
            let lifted =
                lifted.unwrap_or_else(|_| Err(Trouble::new(fault.name, format!("not lifted within {LIFT:?}"))));
            self.scribe.tell(Fact::Lifted { fault: index, error: lifted.as_ref().err().map(ToString::to_string) });
            result = result.and(lifted);
        }
        result
    }
}
