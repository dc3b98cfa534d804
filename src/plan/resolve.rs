//! From a drill and its scenario, as written, to the plan: everything decided, or refused with line and column.
//!
//! Pure: it asks the environment's kind what it will have, never the world. What the world says comes from the
//! environment's survey, which is asked when the plan stands.

use super::{Plan, PlannedStep, repositories, runbook};
use crate::environment::Power;
use crate::kind::{Chosen, pick};
use crate::model::{Depth, Expected, Objectives, Span, StepTerms, Terms, Watch};
use crate::node::{Node, Problem, nearest, parse};
use crate::probe::{PROBES, Probe};
use crate::spec::{Drill, Scenario, Spec, TimedFault, WrittenStep, Wrong};
use std::collections::BTreeSet;

/// Decides everything.
///
/// # Errors
/// All that the two files ask for and cannot have.
pub fn resolve(mut spec: Spec) -> Result<Plan, Wrong> {
    let (mut ours, mut theirs) = (vec![], vec![]);
    // First, because the probes that are added stand in no file; they need what those need that rest on them.
    powers(&spec.drill, &spec.scenario, &mut ours, &mut theirs);
    add_shallower(&mut spec.drill);
    let (drill, scenario) = (&spec.drill, &spec.scenario);
    let watches: Vec<Watch> = drill.setup.probes.iter().map(|probe| probe.watch()).collect();
    let objectives = objectives(&spec, &watches, &mut ours, &mut theirs);
    twice(drill, &watches, &mut ours);
    repositories::name(drill, scenario, &mut theirs);
    let targets = targets(drill, scenario, &mut theirs);
    let steps = steps(drill, scenario, &mut theirs);
    must_miss(drill, &steps, &mut ours);
    if !(ours.is_empty() && theirs.is_empty()) {
        return Err(Wrong::new([(spec.drill_path, ours), (spec.scenario_path, theirs)]));
    }
    let Spec { drill: Drill { name, about, requirements, expected, stable, streak, setup, .. }, scenario, .. } = spec;
    let terms = Terms {
        drill: name,
        scenario: scenario.name,
        about: if about.is_empty() { scenario.about } else { about },
        requirements,
        expected,
        environment: setup.environment.name.to_owned(),
        objectives,
        probes: watches,
        checks: setup.checks.iter().map(|check| check.name.to_owned()).collect(),
        runbook: steps.iter().map(step_terms).collect(),
        stable: stable.span(),
        streak,
        recovery: setup.limits.recovery.span(),
        workload: setup.workload.is_some(),
    };
    Ok(Plan { terms, setup, faults: scenario.faults, steps, targets })
}

/// Adds the probes that others rest on, at depths where nobody asks.
fn add_shallower(drill: &mut Drill) {
    let probes = &mut drill.setup.probes;
    for text in probes.iter().filter_map(|probe| probe.rests_on()).collect::<Vec<_>>() {
        let probe = parse(&text).ok().and_then(|node| pick("probe", PROBES, &node, &mut vec![]));
        let new = |probe: &Chosen<dyn Probe>| probes.iter().all(|other| other.watch().depth != probe.watch().depth);
        if let Some(probe) = probe.filter(new) {
            probes.push(probe);
        }
    }
}

/// What a drill expects to miss must be something that is judged.
fn must_miss(drill: &Drill, steps: &[PlannedStep], problems: &mut Vec<Problem>) {
    let Expected::Missed(what) = &drill.expected else { return };
    let checks = drill.setup.checks.iter().map(|check| check.name);
    let known: Vec<&str> = JUDGED.into_iter().chain(checks).chain(steps.iter().map(|step| step.id.as_str())).collect();
    let nodes = drill.root.at(&["expected", "missed"]).items();
    for (name, node) in what.iter().zip(nodes).filter(|(name, _)| !known.contains(&name.as_str())) {
        let hint = format!("known: {}", known.join(", "));
        problems.push(Problem::new(node, format!("nothing named `{name}` is judged")).hint(hint));
    }
}

/// The names of what is judged in every drill.
const JUDGED: [&str; 3] = ["rto", "rpo", "recovered"];

/// The drill's objectives go before the scenario's; a problem stands where its objective does.
fn objectives(spec: &Spec, watches: &[Watch], ours: &mut Vec<Problem>, theirs: &mut Vec<Problem>) -> Objectives {
    let (drill, scenario) = (&spec.drill, &spec.scenario);
    let probed: BTreeSet<Depth> = watches.iter().map(|watch| watch.depth).collect();
    if let Some(at) = drill.objectives.at.or(scenario.objectives.at).filter(|at| !probed.contains(at)) {
        let text = format!("no probe asks at the depth `{at}` that the objective is about");
        let known: Vec<_> = probed.iter().map(Depth::to_string).collect();
        let hint = format!("probed: {}; add a probe, or name one of these", known.join(", "));
        let own = drill.objectives.at.is_some();
        let (node, problems) = if own { (&drill.root, &mut *ours) } else { (&scenario.root, &mut *theirs) };
        problems.push(Problem::new(node.at(&["objectives", "at"]), text).hint(hint));
    }
    let rto = drill.objectives.rto.or(scenario.objectives.rto);
    if let Some(rto) = rto {
        let least = Span(rto.0.saturating_add(drill.stable.0));
        let recovery = drill.setup.limits.recovery;
        if recovery.span() < least {
            let text = format!("`limits.recovery` is {recovery}, too short to see the RTO of {rto} kept or missed");
            let hint = format!("at least {least}: the RTO and the {} that a service must stay good", drill.stable);
            ours.push(Problem::new(drill.root.at(&["limits", "recovery"]), text).hint(hint));
        }
    }
    Objectives {
        rto,
        rpo: drill.objectives.rpo.or(scenario.objectives.rpo),
        at: drill.objectives.at.or(scenario.objectives.at).or(probed.last().copied()),
    }
}

/// Reports tell probes by depth and checks by name: two of one would be mixed up.
fn twice(drill: &Drill, watches: &[Watch], problems: &mut Vec<Problem>) {
    let mut depths = BTreeSet::new();
    for (probe, watch) in drill.setup.probes.iter().zip(watches) {
        if !depths.insert(watch.depth) {
            let text = format!("a second probe at the depth `{}`", watch.depth);
            problems.push(Problem::new(&probe.node, text).hint("one probe for each depth"));
        }
    }
    let mut names = BTreeSet::new();
    for check in drill.setup.checks.iter().filter(|check| !names.insert(check.name)) {
        let problem = Problem::new(&check.node, format!("the check `{}` stands here twice", check.name));
        problems.push(problem.hint("remove one of the two"));
    }
}

fn powers(drill: &Drill, scenario: &Scenario, ours: &mut Vec<Problem>, theirs: &mut Vec<Problem>) {
    let environment = &drill.setup.environment;
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
    if let Some(protect) = &drill.setup.protect {
        refuse(protect.engine.name, &protect.engine.node, protect.engine.needs(), ours);
    }
    drill.setup.workload.iter().for_each(|it| refuse(it.name, &it.node, it.needs(), ours));
    drill.setup.probes.iter().for_each(|it| refuse(it.name, &it.node, it.needs(), ours));
    drill.setup.checks.iter().for_each(|it| refuse(it.name, &it.node, it.needs(), ours));
    scenario.faults.iter().for_each(|it| refuse(it.fault.name, &it.fault.node, it.fault.needs(), theirs));
    scenario.steps.iter().for_each(|it| refuse(it.step.name, &it.step.node, it.step.needs(), theirs));
}

fn targets(drill: &Drill, scenario: &Scenario, problems: &mut Vec<Problem>) -> Vec<Vec<String>> {
    let inventory = drill.setup.environment.inventory();
    let components = &inventory.components;
    let of = |TimedFault { fault, .. }: &TimedFault| {
        let targets = fault.targets(&inventory);
        let node = fault.node.at(&["component"]);
        match node.text() {
            // Of a repository that the drill does not have that is told already.
            _ if !targets.is_empty() || fault.repository().is_some() => {}
            Some(name) if !components.iter().any(|c| c == name) => {
                problems.push(unknown_component(node, name, components));
            }
            // What stands already is asked: it may have more than its kind says.
            _ if drill.setup.environment.standing() => {}
            _ => problems.push(Problem::new(node, format!("`{}` hits nothing", fault.name)).hint(known(components))),
        }
        targets
    };
    scenario.faults.iter().map(of).collect()
}

fn steps(drill: &Drill, scenario: &Scenario, problems: &mut Vec<Problem>) -> Vec<PlannedStep> {
    let components = drill.setup.environment.inventory().components;
    for WrittenStep { step, .. } in &scenario.steps {
        if let Some(name) = step.component().filter(|name| !components.iter().any(|c| c == name)) {
            problems.push(unknown_component(step.node.at(&["component"]), name, &components));
        }
        if step.needs_points() && drill.setup.protect.is_none() {
            let text = format!("`{}` finds no recovery point: the drill `{}` has no `protect`", step.name, drill.name);
            problems.push(Problem::new(&step.node, text).hint("add `protect: { engine: …, every: 5s }` to the drill"));
        }
        if let Some(protect) = &drill.setup.protect {
            let covers = protect.engine.covers();
            // An engine of the user's own may not say what it covers.
            if !step.restores().is_empty()
                && !covers.is_empty()
                && !covers.iter().any(|it| step.restores().contains(it))
            {
                let covers = covers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let text = format!("`{}` finds nothing to restore: the engine covers {covers}", step.name);
                problems.push(Problem::new(&step.node, text).hint("see `lifeboat kinds` for what engines can cover"));
            }
        }
    }
    judges(drill, scenario, problems);
    let links = runbook::link(&scenario.steps, problems);
    let planned = scenario.steps.iter().zip(links).map(|(WrittenStep { step, settings, .. }, link)| PlannedStep {
        id: link.id,
        after: link.after,
        when: settings.when,
        deadline: settings.deadline.unwrap_or(drill.setup.limits.recovery),
        retry: settings.retry,
        optional: settings.optional,
        step: step.clone(),
    });
    planned.collect()
}

/// A step that looks for a clean recovery point needs an engine that restores beside the live state, and somebody who
/// tells a clean point from another.
fn judges(drill: &Drill, scenario: &Scenario, problems: &mut Vec<Problem>) {
    let Some(protect) = &drill.setup.protect else { return };
    for WrittenStep { step, .. } in scenario.steps.iter().filter(|it| it.step.replays_log()) {
        if !protect.engine.keeps_log() {
            let text = format!("the engine `{}` receives no log that has an end", protect.engine.name);
            problems.push(Problem::new(step.node.at(&["to"]), text).hint("`builtin: { postgres: physical }` does"));
        }
    }
    let checked = drill.setup.checks.iter().any(|check| check.judges_points());
    for WrittenStep { step, .. } in scenario.steps.iter().filter(|it| it.step.tries_points()) {
        let node = step.node.at(&["to"]);
        if !protect.engine.restores_beside() {
            let text = format!("the engine `{}` cannot restore a point beside the live state", protect.engine.name);
            problems.push(Problem::new(node, text).hint("`builtin: { postgres: logical }` can"));
        }
        if !checked && !step.judges_points() {
            let text =
                format!("nothing tells a clean recovery point: the drill `{}` has no check that does", drill.name);
            problems.push(Problem::new(node, text).hint("add the check `contents`, or a `scan` beside `to`"));
        }
    }
}

fn step_terms(planned: &PlannedStep) -> StepTerms {
    let PlannedStep { id, after, when, optional, .. } = planned;
    StepTerms { id: id.clone(), after: after.clone(), when: *when, optional: *optional }
}

fn unknown_component(node: &Node, name: &str, components: &[String]) -> Problem {
    let near = nearest(name, components.iter().map(String::as_str));
    let hint = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default() + &known(components);
    Problem::new(node, format!("there is no component `{name}`")).hint(hint)
}

fn known(components: &[String]) -> String {
    format!("components: {}", components.join(", "))
}
