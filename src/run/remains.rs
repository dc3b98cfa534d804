//! What may be there still of a run, by its timeline: things that were made, conditions that last, commands that run.
//!
//! Apart because a run asks it at a second interrupt, and `cleanup` where an undo takes too long. An act that is over,
//! such as a stop, leaves no thing and is not named.

use super::losses::Losses;
use super::standing;
use crate::client::process;
use crate::environment::RunContext;
use crate::fault::Nature;
use crate::model::{Fact, Line, Receipt};
use crate::plan::Plan;
use std::collections::{BTreeMap, BTreeSet};

/// What was recorded before it was made or changed.
pub fn receipts(lines: &[Line]) -> Vec<Receipt> {
    lines.iter().filter_map(|line| line.fact.receipt().cloned()).collect()
}

/// The faults that were intended and never lifted, with their receipts.
pub fn intended(lines: &[Line]) -> BTreeMap<usize, Receipt> {
    let mut intended = BTreeMap::new();
    for line in lines {
        match &line.fact {
            Fact::Intended { fault, receipt, .. } => {
                intended.insert(*fault, receipt.clone());
            }
            Fact::Lifted { fault, error: None } => {
                intended.remove(fault);
            }
            _ => {}
        }
    }
    intended
}

/// What is left of a run whose tear-down is not waited for, each thing with the reason why that is not known. If the
/// tear-down has said already what is gone and what is not, only commands are left to be named.
pub fn of(plan: &Plan, run_context: &RunContext, lines: &[Line], why: &str) -> Vec<String> {
    let mut left = vec![];
    if !lines.iter().any(|line| matches!(line.fact, Fact::Removed | Fact::Left(_))) {
        if plan.setup.environment.standing() {
            left.extend(standing::broken(&Losses::of(plan).open(lines), lines, &run_context.folder));
            left.extend(changed(lines).map(|what| format!("{what}: {why}")));
        }
        let natures: Vec<Nature> = plan.faults.iter().map(|planned| planned.fault.nature()).collect();
        let names = |fault: usize| plan.faults[fault].fault.name;
        let conditions = conditions(lines, &natures).into_iter().map(|(fault, it)| described(names(fault), &it));
        left.extend(conditions.chain(created(lines)).map(|what| format!("{what}: {why}")));
    }
    left.extend(process::commands_of(&run_context.run).into_values().map(|what| format!("{what}: {why}")));
    left
}

/// What may be there still of what a run created, each thing by its name and with the reason why that is not known.
pub fn unsure(run: &str, lines: &[Line], why: &str) -> Vec<String> {
    let things = created(lines);
    if things.is_empty() {
        return vec![format!("what `{run}` created: {why}")];
    }
    things.into_iter().map(|thing| format!("{thing}: {why}")).collect()
}

/// A fault in words, with what it hit.
pub fn described(fault: &str, receipt: &Receipt) -> String {
    format!("the fault `{fault}` of {}", named(receipt).join(", "))
}

/// The conditions that were not lifted, the last one first.
fn conditions(lines: &[Line], natures: &[Nature]) -> Vec<(usize, Receipt)> {
    let condition = |fault: &usize| natures.get(*fault) == Some(&Nature::Condition);
    intended(lines).into_iter().rev().filter(|(fault, _)| condition(fault)).collect()
}

/// The things that were made and not said to be removed.
fn created(lines: &[Line]) -> BTreeSet<String> {
    let mut things = BTreeSet::new();
    for line in lines {
        match &line.fact {
            Fact::Creating(receipt) => things.extend(made(receipt)),
            Fact::Acting(Receipt(act)) if act["act"] == "uncordon" => {
                things.retain(|thing| act["on"].as_str().is_none_or(|node| *thing != text("cordon", node)));
            }
            Fact::Removed => things.clear(),
            _ => {}
        }
    }
    things
}

/// The standing platform that a run may have changed.
fn changed(lines: &[Line]) -> Option<String> {
    let mut acts = lines.iter().filter_map(|line| if let Fact::Acting(act) = &line.fact { Some(act) } else { None });
    let attached = acts.find_map(|act| act.0["attached"].as_str())?;
    Some(format!("what the run changed of the platform in `{attached}`"))
}

/// What is made under a receipt, by name.
fn made(receipt: &Receipt) -> Vec<String> {
    let experiments = receipt.0["experiments"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
    let job = receipt.0["job"]["name"].as_str().map(|name| text("job", name));
    let others = named(receipt).into_iter().chain(job);
    others.chain(experiments.map(|name| text("experiment", name))).collect()
}

/// What a receipt names: its texts, but for where they are.
fn named(receipt: &Receipt) -> Vec<String> {
    let texts = receipt.0.as_object().into_iter().flatten();
    let texts = texts.filter(|(key, _)| !["engine", "cluster", "context", "spawning"].contains(&key.as_str()));
    texts.filter_map(|(key, value)| Some(text(key, value.as_str()?))).collect()
}

fn text(what: &str, name: &str) -> String {
    format!("{what} `{name}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Moment, wall};
    use serde_json::{Value, json};

    fn line(fact: Fact) -> Line {
        Line::new(Moment(0), wall(), fact)
    }

    fn creating(receipt: Value) -> Line {
        line(Fact::Creating(Receipt(receipt)))
    }

    fn acting(receipt: Value) -> Line {
        line(Fact::Acting(Receipt(receipt)))
    }

    #[test]
    fn what_may_be_left_of_a_platform_is_named_by_its_receipts() {
        let mut lines = vec![
            creating(json!({ "namespace": "a", "cluster": "c", "context": "mine" })),
            creating(json!({ "folder": "/x" })),
            creating(json!({ "process": { "pid": 1 } })),
            creating(json!({ "job": { "name": "mend", "namespace": "b" } })),
            creating(json!({ "experiments": ["lifeboat-r"] })),
        ];
        let named = ["experiment `lifeboat-r`: late", "folder `/x`: late", "job `mend`: late", "namespace `a`: late"];
        assert_eq!(unsure("r", &lines, "late"), named);
        lines.extend([line(Fact::Removed), creating(json!({ "folder": "/y" }))]);
        assert_eq!(unsure("r", &lines, "late"), ["folder `/y`: late"], "the others are gone");
        assert_eq!(unsure("r", &[], "late"), ["what `r` created: late"]);
    }

    #[test]
    fn an_act_that_is_over_is_no_thing_and_a_cordon_is_one_until_it_is_taken_away() {
        let stop = acting(json!({ "act": "stop", "on": "mlflow", "identity": "7" }));
        let attached = acting(json!({ "attached": "dr", "replicas": { "mlflow": 2 }, "cluster": "c" }));
        let drain = [acting(json!({ "act": "drain", "on": "n1" })), creating(json!({ "cordon": "n1" }))];
        let mut lines = [vec![stop, attached], drain.to_vec()].concat();
        assert_eq!(created(&lines), ["cordon `n1`".to_owned()].into());
        assert_eq!(receipts(&lines).len(), 4);
        assert_eq!(changed(&lines).as_deref(), Some("what the run changed of the platform in `dr`"));
        lines.push(acting(json!({ "act": "uncordon", "on": "n1" })));
        assert_eq!(created(&lines), BTreeSet::new());
        assert_eq!(changed(&lines[..1]), None);
    }

    #[test]
    fn a_condition_is_left_until_it_is_lifted_and_a_crash_is_none() {
        let intended = |fault| {
            let receipt = Receipt(json!({ "component": format!("c{fault}") }));
            line(Fact::Intended { fault, kind: "x".into(), receipt })
        };
        let natures = [Nature::Condition, Nature::Crash, Nature::Condition];
        let mut lines: Vec<_> = (0..3).map(intended).collect();
        let said = |lines: &[Line]| -> Vec<_> {
            conditions(lines, &natures).iter().map(|(_, receipt)| described("pause", receipt)).collect()
        };
        assert_eq!(said(&lines), ["the fault `pause` of component `c2`", "the fault `pause` of component `c0`"]);
        lines.push(line(Fact::Lifted { fault: 2, error: Some("it hangs".into()) }));
        lines.push(line(Fact::Lifted { fault: 0, error: None }));
        assert_eq!(said(&lines), ["the fault `pause` of component `c2`"]);
    }
}
