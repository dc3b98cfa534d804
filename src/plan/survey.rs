//! Asks the environment what stands against a plan, and takes the targets from what is really there.
//!
//! Apart because here the world is asked, while the rest of the plan is decided from files alone. It reads only.

use super::{Plan, repositories, way_back};
use crate::environment::{Inventory, Permission, Survey};
use std::collections::BTreeSet;

/// Asks the environment, and gives the plan its targets where they are there already.
pub async fn survey(plan: &mut Plan) -> Survey {
    let mut survey = plan.setup.environment.survey(&permissions(plan)).await;
    if let Some(inventory) = &survey.inventory {
        survey.problems.extend(aim(plan, inventory));
    }
    if let Some(protect) = &plan.setup.protect {
        repositories::survey(&protect.kept, plan, &mut survey).await;
    }
    if plan.setup.environment.standing() {
        let inventory = survey.inventory.clone().unwrap_or_else(|| plan.setup.environment.inventory());
        survey.refusals.extend(way_back::refusals(plan, &inventory, &survey));
    }
    survey
}

/// What the environment must allow for the engine, the faults and the steps, each once.
fn permissions(plan: &Plan) -> Vec<Permission> {
    let faults = plan.faults.iter().flat_map(|timed| timed.fault.permissions());
    let steps = plan.steps.iter().flat_map(|planned| planned.step.permissions());
    let engine = plan.setup.protect.iter().flat_map(|protect| protect.engine.permissions());
    engine.chain(faults).chain(steps).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Takes the targets from what is there; answers which faults hit nothing.
fn aim(plan: &mut Plan, inventory: &Inventory) -> Vec<String> {
    plan.targets = plan.faults.iter().map(|timed| timed.fault.targets(inventory)).collect();
    let missed = plan.faults.iter().zip(&plan.targets).filter(|(_, targets)| targets.is_empty());
    missed.map(|(timed, _)| format!("the fault `{}` hits nothing that is there", timed.fault.name)).collect()
}
