//! From a drill and its scenario, as written, to the plan: everything decided, or refused with its place.
//!
//! Pure: it asks the environment's kind what it will have, never the world. What the world says comes from the
//! environment's survey, which is asked when the plan stands.

use super::scenario::WrittenStep;
use super::{Drill, Scenario, Script, Wrong, runbook};
use crate::environment::Power;
use crate::model::{Depth, Objectives, Span, Terms, Watch};
use crate::node::{Node, Problem, nearest};
use crate::plan::{Plan, PlannedFault, PlannedStep};
use std::collections::BTreeSet;

/// Decides everything.
///
/// # Errors
/// All that the two files ask for and cannot have.
pub fn resolve(script: &Script) -> Result<Plan, Wrong> {
    let (drill, scenario) = (&script.drill, &script.scenario);
    let (mut ours, mut theirs) = (vec![], vec![]);
    let watches: Vec<Watch> = drill.probes.iter().map(|probe| probe.watch()).collect();
    let objectives = objectives(script, &watches, &mut ours, &mut theirs);
    twice(drill, &watches, &mut ours);
    powers(drill, scenario, &mut ours, &mut theirs);
    let targets = targets(drill, scenario, &mut theirs);
    let steps = steps(drill, scenario, &mut theirs);
    if !(ours.is_empty() && theirs.is_empty()) {
        return Err(Wrong::new([(script.drill_path.clone(), ours), (script.scenario_path.clone(), theirs)]));
    }
    let terms = Terms {
        drill: drill.name.clone(),
        scenario: scenario.name.clone(),
        about: if drill.about.is_empty() { &scenario.about } else { &drill.about }.clone(),
        requirements: drill.requirements.clone(),
        expected: drill.expected,
        environment: drill.environment.name.to_owned(),
        objectives,
        probes: watches,
        checks: drill.checks.iter().map(|check| check.name.to_owned()).collect(),
        stable: drill.stable,
        streak: drill.streak,
        recovery: drill.limits.recovery,
        workload: drill.workload.is_some(),
    };
    Ok(Plan {
        terms,
        environment: drill.environment.clone(),
        scale: drill.scale,
        protect: drill.protect.clone(),
        workload: drill.workload.clone(),
        probes: drill.probes.clone(),
        checks: drill.checks.clone(),
        faults: scenario.faults.clone(),
        steps,
        limits: drill.limits,
        targets,
    })
}

/// The drill's objectives go before the scenario's; a problem stands where its objective does.
fn objectives(script: &Script, watches: &[Watch], ours: &mut Vec<Problem>, theirs: &mut Vec<Problem>) -> Objectives {
    let (drill, scenario) = (&script.drill, &script.scenario);
    let probed: BTreeSet<Depth> = watches.iter().map(|watch| watch.depth).collect();
    if let Some(at) = drill.objectives.at.or(scenario.objectives.at).filter(|at| !probed.contains(at)) {
        let text = format!("no probe asks at the depth `{at}` that the objective is about");
        let known: Vec<_> = probed.iter().map(Depth::to_string).collect();
        let hint = format!("probed: {}; add a probe, or name one of these", known.join(", "));
        let own = drill.objectives.at.is_some();
        let (node, problems) = if own { (&drill.root, &mut *ours) } else { (&scenario.root, &mut *theirs) };
        problems.push(Problem::new(at_keys(node, &["objectives", "at"]), text).hint(hint));
    }
    let rto = drill.objectives.rto.or(scenario.objectives.rto);
    if let Some(rto) = rto {
        let least = Span(rto.0.saturating_add(drill.stable.0));
        let recovery = drill.limits.recovery;
        if recovery < least {
            let text = format!("`limits.recovery` is {recovery}, too short to see the RTO of {rto} kept or missed");
            let hint = format!("at least {least}: the RTO and the {} that a service must stay good", drill.stable);
            ours.push(Problem::new(at_keys(&drill.root, &["limits", "recovery"]), text).hint(hint));
        }
    }
    Objectives {
        rto,
        rpo: drill.objectives.rpo.or(scenario.objectives.rpo),
        at: drill.objectives.at.or(scenario.objectives.at).or(probed.last().copied()),
    }
}

/// Reports tell probes by depth and checks by name: two of one would be mixed up. A probe needs its times, too.
fn twice(drill: &Drill, watches: &[Watch], problems: &mut Vec<Problem>) {
    let mut depths = BTreeSet::new();
    for (probe, watch) in drill.probes.iter().zip(watches) {
        if !depths.insert(watch.depth) {
            let text = format!("a second probe at the depth `{}`", watch.depth);
            problems.push(Problem::new(&probe.node, text).hint("one probe for each depth"));
        }
        for (key, span) in [("every", watch.every), ("timeout", watch.timeout)] {
            if span.0.is_zero() {
                let text = format!("`{key}` must be longer than no time");
                problems.push(Problem::new(at_keys(&probe.node, &[key]), text).hint("such as 100ms"));
            }
        }
    }
    let mut names = BTreeSet::new();
    for check in drill.checks.iter().filter(|check| !names.insert(check.name)) {
        problems.push(Problem::new(&check.node, format!("the check `{}` stands here twice", check.name)));
    }
}

fn powers(drill: &Drill, scenario: &Scenario, ours: &mut Vec<Problem>, theirs: &mut Vec<Problem>) {
    let environment = &drill.environment;
    let has = environment.powers();
    let hint = match has.as_slice() {
        [] => "it has none".to_owned(),
        has => format!("it has: {}", has.iter().map(Power::to_string).collect::<Vec<_>>().join(", ")),
    };
    let refuse = |name: &str, node: &Node, needs: &[Power], problems: &mut Vec<Problem>| {
        for power in needs.iter().filter(|power| !has.contains(power)) {
            let text =
                format!("`{name}` needs the power `{power}`, which the environment `{}` lacks", environment.name);
            problems.push(Problem::new(node, text).hint(hint.clone()));
        }
    };
    if let Some(protect) = &drill.protect {
        refuse(protect.engine.name, &protect.engine.node, protect.engine.needs(), ours);
    }
    drill.probes.iter().for_each(|it| refuse(it.name, &it.node, it.needs(), ours));
    drill.checks.iter().for_each(|it| refuse(it.name, &it.node, it.needs(), ours));
    scenario.faults.iter().for_each(|it| refuse(it.fault.name, &it.fault.node, it.fault.needs(), theirs));
    scenario.steps.iter().for_each(|it| refuse(it.step.name, &it.step.node, it.step.needs(), theirs));
}

fn targets(drill: &Drill, scenario: &Scenario, problems: &mut Vec<Problem>) -> Vec<Vec<String>> {
    let inventory = drill.environment.inventory();
    let components = &inventory.components;
    let of = |PlannedFault { fault, .. }: &PlannedFault| {
        let targets = fault.targets(&inventory);
        if targets.is_empty() {
            let node = at_keys(&fault.node, &["component"]);
            problems.push(match node.text() {
                Some(name) if !components.iter().any(|c| c == name) => unknown_component(node, name, components),
                _ => Problem::new(node, format!("`{}` hits nothing", fault.name)).hint(known(components)),
            });
        }
        targets
    };
    scenario.faults.iter().map(of).collect()
}

fn steps(drill: &Drill, scenario: &Scenario, problems: &mut Vec<Problem>) -> Vec<PlannedStep> {
    let components = drill.environment.inventory().components;
    for WrittenStep { step, .. } in &scenario.steps {
        if let Some(name) = step.component().filter(|name| !components.iter().any(|c| c == name)) {
            problems.push(unknown_component(at_keys(&step.node, &["component"]), name, &components));
        }
        if step.restores() && drill.protect.is_none() {
            let text =
                format!("`{}` has nothing to restore from: the drill `{}` has no `protect`", step.name, drill.name);
            problems.push(Problem::new(&step.node, text).hint("add `protect: { engine: …, every: 5s }` to the drill"));
        }
    }
    let links = runbook::link(&scenario.steps, problems);
    let planned = scenario.steps.iter().zip(links).map(|(WrittenStep { step, settings, .. }, link)| PlannedStep {
        id: link.id,
        after: link.after,
        when: settings.when,
        deadline: settings.deadline.unwrap_or(drill.limits.recovery),
        retry: settings.retry,
        step: step.clone(),
    });
    planned.collect()
}

fn unknown_component(node: &Node, name: &str, components: &[String]) -> Problem {
    let near = nearest(name, components.iter().map(String::as_str));
    let hint = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default() + &known(components);
    Problem::new(node, format!("there is no component `{name}`")).hint(hint)
}

fn known(components: &[String]) -> String {
    format!("components: {}", components.join(", "))
}

/// The node behind the keys, or the deepest that is there.
pub(super) fn at_keys<'a>(node: &'a Node, keys: &[&str]) -> &'a Node {
    let mut at = node;
    for key in keys {
        match at.get(key) {
            Some(next) => at = next,
            None => return at,
        }
    }
    at
}
