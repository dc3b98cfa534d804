//! `lifeboat plan`: what a drill would do, and whether the environment would let it; changes nothing.

use super::console::out;
use super::{Answer, exit};
use crate::environment::Survey;
use crate::model::Objectives;
use crate::plan::{self, Plan, PlannedStep};
use crate::spec::{TimedFault, When};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// What `plan` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The drill's file
    drill: PathBuf,
    /// Another environment than the drill names: a kind, with or without settings, such as `containers` or
    /// `containers: { images: built }`; settings of the same kind go before the drill's own
    #[arg(long, value_name = "KIND", env = "LIFEBOAT_ENVIRONMENT")]
    environment: Option<String>,
    /// Print the plan as YAML, as it is kept with a run
    #[arg(long)]
    yaml: bool,
}

pub(super) async fn main(args: &Args) -> Answer {
    let mut plan = plan::load_in(&args.drill, args.environment.as_deref())?;
    if args.yaml {
        out(plan.yaml());
        return Ok(exit::MET);
    }
    let survey = plan::survey(&mut plan).await;
    let mut text = String::new();
    let _ = describe(&plan, &survey, &mut text); // writing to a text cannot fail
    out(text);
    Ok(match (survey.refusals.is_empty(), survey.problems.is_empty()) {
        (true, true) => exit::MET,
        (false, _) => exit::REFUSED,
        (true, false) => exit::USAGE,
    })
}

fn describe(plan: &Plan, survey: &Survey, text: &mut String) -> std::fmt::Result {
    let terms = &plan.terms;
    writeln!(text, "drill        {} (scenario {}, plan {})", terms.drill, terms.scenario, &plan.digest()[..12])?;
    if !terms.about.is_empty() {
        writeln!(text, "             {}", terms.about)?;
    }
    writeln!(text, "environment  {}, seed scale {}", written(&plan.setup.environment), plan.setup.scale)?;
    match &plan.setup.protect {
        Some(protect) => writeln!(text, "protect      {} every {}", written(&protect.engine), protect.every)?,
        None => writeln!(text, "protect      nothing")?,
    }
    writeln!(text, "workload     {}", plan.setup.workload.as_ref().map_or_else(|| "nobody writes".into(), written))?;
    for (n, watch) in terms.probes.iter().enumerate() {
        let head = if n == 0 { "probes" } else { "" };
        writeln!(text, "{head:<12} {} every {}, timeout {}", watch.depth, watch.every, watch.timeout)?;
    }
    writeln!(text, "checks       {}", if terms.checks.is_empty() { "none".into() } else { terms.checks.join(", ") })?;
    for (n, (TimedFault { at, fault }, targets)) in plan.faults.iter().zip(&plan.targets).enumerate() {
        let head = if n == 0 { "faults" } else { "" };
        writeln!(text, "{head:<12} {} {:?} hits {}, at {at}", fault.name, fault.nature(), targets.join(", "))?;
    }
    if plan.steps.is_empty() {
        writeln!(text, "recovery     no steps: the platform must mend itself")?;
    }
    for (n, step) in plan.steps.iter().enumerate() {
        let head = if n == 0 { "recovery" } else { "" };
        writeln!(text, "{head:<12} {}. {}: {}{}", n + 1, step.id, written(&step.step), settings(step))?;
    }
    writeln!(text, "objectives   {}", promises(&terms.objectives))?;
    writeln!(text, "stable       {} and {} good answers in a row", terms.stable, terms.streak)?;
    let limits = &plan.setup.limits;
    writeln!(text, "limits       baseline {}, recovery {}, drill {}", limits.baseline, limits.recovery, limits.drill)?;
    for (n, (name, value)) in survey.facts.iter().enumerate() {
        writeln!(text, "{:<12} {name}: {value}", if n == 0 { "found" } else { "" })?;
    }
    for refusal in &survey.refusals {
        writeln!(text, "refused      {refusal}")?;
    }
    for problem in &survey.problems {
        writeln!(text, "problem      {problem}")?;
    }
    Ok(())
}

/// What stands beside a step's kind, as far as it matters.
fn settings(step: &PlannedStep) -> String {
    let after = match step.after.as_slice() {
        [] => String::new(),
        after => format!(", after {}", after.join(" and ")),
    };
    let when = match step.when {
        When::Done => "",
        When::Failed => ", only when that failed",
        When::Always => ", in any case",
    };
    let retry = if step.retry > 0 { format!(", {} more tries", step.retry) } else { String::new() };
    format!("{after}{when}, within {}{retry}", step.deadline)
}

fn promises(objectives: &Objectives) -> String {
    let at = objectives.at.map(|at| format!(" at {at}")).unwrap_or_default();
    let rto = objectives.rto.map(|rto| format!("RTO {rto}{at}"));
    let rpo = objectives.rpo.map(|rpo| format!("RPO {rpo}"));
    let all: Vec<_> = rto.into_iter().chain(rpo).collect();
    if all.is_empty() { "none: only the checks are judged".into() } else { all.join(", ") }
}

/// A kind as it was written, in one line.
fn written(chosen: &impl Serialize) -> String {
    let text = serde_json::to_string(chosen).unwrap_or_default().replace('"', "").replace(':', ": ").replace(',', ", ");
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(&text).to_owned()
}
