//! `lifeboat plan`: what a drill would do, and whether the environment would let it; changes nothing.

use super::console::{out, width};
use super::find::find_drill;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::environment::{Inventory, Survey};
use crate::fault::{FAULTS, Nature};
use crate::kind::Chosen;
use crate::model::{Depth, Objectives, Phase, When};
use crate::node::{Node, Value};
use crate::plan::{self, Plan, PlannedStep};
use crate::spec::{DrillRepositories, Limits, Protect, TimedFault};
use crate::workload::seed;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use textwrap::{Options, fill};

/// What `plan` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The drill: a file, or the name of one in `drills`
    drill: PathBuf,
    /// Another environment than the drill names: a kind, with or without settings, such as `containers` or
    /// `containers: { images: built }`; settings of the same kind go before the drill's own
    #[arg(long, value_name = "KIND", env = "LIFEBOAT_ENVIRONMENT")]
    environment: Option<String>,
    /// Print the plan as YAML, as it is kept with a run, without asking the environment
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
    /// Print the plan and what the environment answered as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let mut plan = plan::load_in(&find_drill(&args.drill)?, args.environment.as_deref())?;
    if args.yaml {
        out(plan.yaml())?;
        return Ok(exit::MET);
    }
    let survey = plan::survey(&mut plan).await;
    if args.json {
        let both = json!({ "digest": plan.digest(), "plan": plan, "survey": survey });
        out(serde_json::to_string_pretty(&both).map_err(|e| Error::caused_by("cannot write the plan", e))?)?;
    } else {
        out(describe(&plan, &survey, width()))?;
    }
    Ok(match (survey.refusals.is_empty(), survey.problems.is_empty()) {
        (true, true) => exit::MET,
        (false, _) => exit::REFUSED,
        (true, false) => exit::USAGE,
    })
}

/// How wide the column of the heads is.
const HEAD: usize = 13;

/// The plan in sentences, each under its head, wrapped at a width.
fn describe(plan: &Plan, survey: &Survey, width: usize) -> String {
    let mut text = String::new();
    for (head, paragraphs) in chapters(plan, survey) {
        for (n, paragraph) in paragraphs.iter().enumerate() {
            let head = format!("{:<HEAD$}", if n == 0 { head } else { "" });
            let options = Options::new(width).initial_indent(&head).subsequent_indent(INDENT).break_words(false);
            text.push_str(&fill(paragraph, options));
            text.push('\n');
        }
    }
    text
}

/// As wide as [`HEAD`].
const INDENT: &str = "             ";

fn chapters(plan: &Plan, survey: &Survey) -> Vec<(&'static str, Vec<String>)> {
    let (terms, setup) = (&plan.terms, &plan.setup);
    let mut drill = vec![format!("{}, with the scenario {}", terms.drill, terms.scenario)];
    drill.extend(Some(terms.about.clone()).filter(|about| !about.is_empty()));
    vec![
        ("drill", drill),
        ("where", environment(plan, survey)),
        ("goes wrong", plan.faults.iter().zip(&plan.targets).map(|(timed, targets)| hit(timed, targets)).collect()),
        ("recovery", recovery(plan)),
        ("backups", vec![backups(setup.protect.as_ref())]),
        ("writes", vec![setup.workload.as_ref().map_or_else(|| "Nobody writes.".into(), phrase)]),
        (
            "probes",
            terms
                .probes
                .iter()
                .map(|watch| {
                    format!("{} is asked every {}; an answer may take {}.", watch.depth, watch.every, watch.timeout)
                })
                .collect(),
        ),
        ("checks", vec![if terms.checks.is_empty() { "none".into() } else { terms.checks.join(", ") }]),
        ("promised", promises(&terms.objectives)),
        ("how long", vec![duration(&setup.limits, &terms.stable.to_string(), terms.streak)]),
        ("found", survey.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect()),
        ("refused", survey.refusals.clone()),
        ("problems", survey.problems.clone()),
        ("digest", vec![plan.digest()[..12].to_owned()]),
    ]
}

fn environment(plan: &Plan, survey: &Survey) -> Vec<String> {
    let environment = &plan.setup.environment;
    let standing = environment.standing();
    let origin =
        if standing { "It stands already and stays." } else { "It is made for this drill and removed after it." };
    let inventory = survey.inventory.clone().unwrap_or_else(|| environment.inventory());
    let mut all = vec![format!("{}. {origin}", phrase(environment)), there(&inventory)];
    if plan.setup.seeds() {
        all.push(format!("It is filled with {}.", seed::amount(plan.setup.scale)));
    }
    all
}

/// What is there that can be hit, by number and name.
fn there(inventory: &Inventory) -> String {
    let mut named: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for thing in &inventory.things {
        named.entry(thing.kind.clone()).or_default().push(&thing.name);
    }
    let components: Vec<&str> = inventory.components.iter().map(String::as_str).collect();
    let all = std::iter::once(("component".to_owned(), components)).chain(named);
    let told = all.map(|(kind, names)| format!("{} ({})", counted(names.len(), &kind), names.join(", ")));
    format!("There: {}.", told.collect::<Vec<_>>().join("; "))
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// What a fault hits, when, and how that ends.
fn hit(TimedFault { at, fault }: &TimedFault, targets: &[String]) -> String {
    let since = if at.phase == Phase::Disaster { "the disaster" } else { "the recovery" };
    let when = if at.after.0.is_zero() { format!("As {since} begins") } else { format!("{} into {since}", at.after) };
    let end = match fault.nature() {
        Nature::Condition => "It lasts until it is lifted: by the runbook, or else after the checks.",
        Nature::Crash => "A restart brings all back.",
        Nature::Loss => "Only a recovery point, or a step of the runbook, brings the state back.",
    };
    let about = FAULTS.iter().find(|kind| kind.name == fault.name).map(|kind| kind.about).unwrap_or_default();
    let hits = format!("{}: {}", counted(targets.len(), "target"), targets.join(", "));
    format!("{when}, `{}` hits {hits}. {about} {end}", fault.name)
}

fn recovery(plan: &Plan) -> Vec<String> {
    if plan.steps.is_empty() {
        return vec!["There are no steps: the platform must mend itself.".into()];
    }
    let limit = plan.setup.limits.recovery;
    let before = std::iter::once(None).chain(plan.steps.iter().map(|step| Some(&step.id)));
    let told = plan.steps.iter().zip(before).enumerate().map(|(n, (step, before))| {
        let within = if step.deadline == limit { String::new() } else { format!(", within {}", step.deadline) };
        format!("{}. {}: {}{}{within}", n + 1, step.id, phrase(&step.step), beside(step, before))
    });
    told.collect()
}

/// What stands beside a step's kind, as far as it is not what comes by itself.
fn beside(step: &PlannedStep, before: Option<&String>) -> String {
    let usual = step.after.iter().eq(before);
    let after = match step.after.as_slice() {
        _ if usual => String::new(),
        [] => ", at once".to_owned(),
        after => format!(", after {}", after.join(" and ")),
    };
    let when = match step.when {
        When::Done => "",
        When::Failed => ", only if that failed",
        When::Always => ", whatever came before",
    };
    let retry = if step.retry > 0 { format!(", tried again up to {} times", step.retry) } else { String::new() };
    format!("{after}{when}{retry}")
}

fn backups(protect: Option<&Protect>) -> String {
    match protect {
        Some(Protect { engine, every, kept }) => {
            format!("{}. One begins every {every}.{}", phrase(engine), places(kept))
        }
        None => "There are none.".into(),
    }
}

/// In which repositories the points are kept.
fn places(kept: &DrillRepositories) -> String {
    let named = kept.settings.iter().map(|it| format!("`{}` ({})", it.name, it.kind.location())).collect::<Vec<_>>();
    let of = kept.protection.as_ref().map(|name| format!(" of the protection {name}")).unwrap_or_default();
    match named.as_slice() {
        [] => String::new(),
        [only] => format!(" Its points go into the repository {only}{of}, and are removed after the drill."),
        [first, others @ ..] => format!(
            " Its points go into the repository {first}{of}, are copied to {}, and are removed after the drill.",
            others.join(" and ")
        ),
    }
}

fn promises(objectives: &Objectives) -> Vec<String> {
    let depth = objectives.at.map(|at: Depth| format!(", seen by the probe at the depth {at}")).unwrap_or_default();
    let rto = objectives.rto.map(|rto| format!("RTO {rto}: clients are served again within {rto}{depth}."));
    let rpo = objectives.rpo.map(|rpo| format!("RPO {rpo}: {}.", lost(rpo.0.is_zero(), &rpo.to_string())));
    let all: Vec<_> = rto.into_iter().chain(rpo).collect();
    if all.is_empty() { vec!["Nothing: only the checks are judged.".into()] } else { all }
}

fn lost(none: bool, rpo: &str) -> String {
    if none {
        return "no acknowledged write is lost".into();
    }
    format!("of the acknowledged writes, at most those of the last {rpo} before the disaster are lost")
}

fn duration(limits: &Limits, stable: &str, streak: usize) -> String {
    let Limits { baseline, recovery, drill } = limits;
    format!(
        "The steady state is watched for {baseline} before anything goes wrong. The recovery may take {recovery}; the \
         service is back when it stays good for {stable} and {streak} answers in a row. All together ends after {drill} \
         at the latest, from the moment the platform serves."
    )
}

/// A kind as it was written, in one phrase.
fn phrase<T: ?Sized>(chosen: &Chosen<T>) -> String {
    let settings = settings(&chosen.node);
    if settings.is_empty() { chosen.name.to_owned() } else { format!("{}: {settings}", chosen.name) }
}

fn settings(node: &Node) -> String {
    match &node.value {
        Value::Null => String::new(),
        Value::Bool(b) => if *b { "yes" } else { "no" }.into(),
        Value::Int(n) => n.to_string(),
        Value::Float(n) => n.to_string(),
        Value::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Value::List(items) => items.iter().map(settings).collect::<Vec<_>>().join(" and "),
        Value::Map(entries) => {
            let told = entries.iter().map(|(key, value)| {
                let (key, inner) = (settings(key), settings(value));
                let nested = value.entries().len() > 1;
                if nested { format!("{key} ({inner})") } else { format!("{key} {inner}").trim_end().to_owned() }
            });
            told.collect::<Vec<_>>().join(", ")
        }
    }
}
