//! What a run took of a platform and did not bring back, from its timeline alone: then the platform is broken.
//!
//! Pure. A loss counts from its intent, because nobody knows how far a dead run came; it is over when a step that brings
//! it back has ended well after it.

use crate::engine::Engine;
use crate::environment::{Asset, AssetUnder, Inventory, LossKind};
use crate::fault::Fault;
use crate::model::{Fact, Line, Verdict};
use crate::plan::Plan;
use crate::recovery::Step;
use std::collections::BTreeMap;
use strum::IntoEnumIterator;

/// What the faults and steps of a plan take and bring back.
#[derive(Debug, Default)]
pub struct Losses {
    faults: Vec<Vec<Lost>>,
    steps: BTreeMap<String, StepAssets>,
}

type Lost = (AssetUnder, LossKind);

#[derive(Debug, Default)]
struct StepAssets {
    takes: Vec<Lost>,
    brings_back: Vec<Lost>,
}

/// Something that was lost, and what took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLoss {
    /// What is lost.
    pub lost: AssetUnder,
    /// How.
    pub how: LossKind,
    /// The fault's kind or the step's id.
    pub by: String,
}

/// The models that are lost, if nothing else is: then nothing else need be restored.
pub fn only_models(open: &[OpenLoss]) -> Vec<&str> {
    let all = open.iter().all(|loss| loss.lost.asset == Asset::Models && !loss.lost.prefix.is_empty());
    open.iter().filter(|_| all).map(|loss| loss.lost.prefix.as_str()).collect()
}

impl Losses {
    /// Of a plan.
    pub fn of(plan: &Plan) -> Self {
        let engine = plan.setup.protect.as_ref().map(|protect| protect.engine.it.as_ref());
        let mut this = Self::default();
        let inventory = plan.setup.environment.inventory();
        plan.faults.iter().for_each(|timed| this.add_fault(timed.fault.it.as_ref(), &inventory));
        plan.steps.iter().for_each(|planned| this.add_step(&planned.id, planned.step.it.as_ref(), engine, &inventory));
        this
    }

    /// Adds the next fault.
    pub fn add_fault(&mut self, fault: &dyn Fault, inventory: &Inventory) {
        self.faults.push(fault.takes(inventory).into_iter().map(|lost| (lost, fault.loss())).collect());
    }

    /// Adds a step.
    pub fn add_step(&mut self, id: &str, step: &dyn Step, engine: Option<&dyn Engine>, inventory: &Inventory) {
        let under = |asset| AssetUnder { asset, prefix: step.restores_only().unwrap_or_default().to_owned() };
        let restored = |how| {
            let covered = move |asset: &&Asset| engine.is_some_and(|engine| engine.brings_back(**asset, how));
            step.restores().iter().filter(covered).copied().map(under)
        };
        let back = |how| restored(how).chain(step.brings_back(how)).map(move |back| (back, how));
        let brings_back = LossKind::iter().flat_map(back).collect();
        // A step that takes something gives up a whole disk.
        let takes = step.takes(inventory).into_iter().map(|lost| (lost, LossKind::Purged)).collect();
        self.steps.insert(id.to_owned(), StepAssets { takes, brings_back });
    }

    /// What was taken and not brought back.
    pub fn open(&self, lines: &[Line]) -> Vec<OpenLoss> {
        let mut open: Vec<OpenLoss> = vec![];
        let take = |open: &mut Vec<OpenLoss>, taken: &[Lost], by: &str| {
            let lost = taken.iter().cloned().map(|(lost, how)| OpenLoss { lost, how, by: by.to_owned() });
            open.extend(lost);
        };
        for line in lines {
            match &line.fact {
                Fact::Intended { fault, kind, .. } => {
                    take(&mut open, self.faults.get(*fault).map(Vec::as_slice).unwrap_or_default(), kind);
                }
                Fact::StepBegan { id, .. } => {
                    take(&mut open, self.steps.get(id).map(|step| step.takes.as_slice()).unwrap_or_default(), id);
                }
                Fact::StepEnded { id, finding } if finding.verdict == Verdict::Met => {
                    let back = self.steps.get(id).map(|step| step.brings_back.as_slice()).unwrap_or_default();
                    open.retain(|loss| !back.iter().any(|(back, how)| *how == loss.how && back.holds(&loss.lost)));
                }
                _ => {}
            }
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Moment, wall};
    use crate::model::{Finding, Receipt};

    fn losses() -> Losses {
        let lost = |asset: Asset, how: LossKind| vec![(asset.into(), how)];
        let back = |asset, how| StepAssets { takes: vec![], brings_back: lost(asset, how) };
        let steps = [
            ("restore", back(Asset::Database, LossKind::Removed)),
            ("undelete", back(Asset::Artifacts, LossKind::Removed)),
            ("roll-back-bucket", back(Asset::Artifacts, LossKind::Overwritten)),
        ];
        let faults = [(Asset::Database, LossKind::Removed), (Asset::Artifacts, LossKind::Removed)];
        Losses {
            faults: faults
                .map(|(asset, how)| lost(asset, how))
                .into_iter()
                .chain([vec![], lost(Asset::Artifacts, LossKind::Overwritten)])
                .collect(),
            steps: steps.map(|(id, assets)| (id.to_owned(), assets)).into(),
        }
    }

    fn open(facts: &[Fact]) -> Vec<String> {
        let lines: Vec<_> = facts.iter().map(|fact| Line::new(Moment(0), wall(), fact.clone())).collect();
        losses().open(&lines).into_iter().map(|loss| loss.lost.to_string()).collect()
    }

    fn struck(fault: usize) -> Fact {
        Fact::Intended { fault, kind: "a-fault".into(), receipt: Receipt(serde_json::Value::Null) }
    }

    fn ended(id: &str, finding: Finding) -> Fact {
        Fact::StepEnded { id: id.into(), finding }
    }

    #[test]
    fn what_was_lost_is_open_until_a_step_that_brings_it_back_has_ended_well() {
        assert_eq!(open(&[]), Vec::<String>::new());
        assert_eq!(open(&[struck(2)]), Vec::<String>::new(), "a crash takes nothing");
        assert_eq!(open(&[struck(0)]), ["database"]);
        assert_eq!(open(&[struck(0), ended("restore", Finding::missed("corrupt"))]), ["database"]);
        assert_eq!(open(&[struck(0), ended("undelete", Finding::met())]), ["database"]);
        assert_eq!(open(&[struck(0), struck(1), ended("restore", Finding::met())]), ["artifacts"]);
        assert_eq!(open(&[struck(0), ended("restore", Finding::met())]), Vec::<String>::new());
    }

    #[test]
    fn what_was_overwritten_is_not_brought_back_by_removing_markers() {
        assert_eq!(open(&[struck(3), ended("undelete", Finding::met())]), ["artifacts"]);
        assert_eq!(open(&[struck(3), ended("roll-back-bucket", Finding::met())]), Vec::<String>::new());
    }

    #[test]
    fn lost_models_are_restored_alone_only_if_nothing_else_is_lost() {
        let lost = |asset, prefix: &str| OpenLoss {
            lost: AssetUnder { asset, prefix: prefix.into() },
            how: LossKind::Purged,
            by: "a-fault".into(),
        };
        let (churn, database) = (lost(Asset::Models, "churn"), lost(Asset::Database, ""));
        assert_eq!(only_models(&[churn.clone(), lost(Asset::Models, "other")]), ["churn", "other"]);
        assert!(only_models(&[churn, database]).is_empty() && only_models(&[]).is_empty());
        assert!(only_models(&[lost(Asset::Models, "")]).is_empty(), "all models are more than one");
    }

    #[test]
    fn a_loss_after_the_restore_is_open_again() {
        assert_eq!(open(&[struck(0), ended("restore", Finding::met()), struck(0)]), ["database"]);
    }
}
