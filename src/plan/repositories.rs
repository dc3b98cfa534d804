//! Asks the repositories that a drill names whether they can be opened, before anything is touched.
//!
//! Apart from the environment's survey because no environment knows them. It reads only: what is not there yet is made by
//! the run.

use super::Plan;
use crate::client::{Error, ErrorKind};
use crate::environment::Survey;
use crate::node::{Node, Problem};
use crate::repository::{DrillRepository, OpenRepository, Patience, RepositorySettings};
use crate::spec::{Drill, DrillRepositories, Scenario};
use futures::future::join_all;
use std::collections::BTreeSet;
use std::time::Duration;

/// A plan does not wait longer than this for a server that is out of reach.
const REQUEST: Duration = Duration::from_secs(20);

/// Adds to the survey where each repository is, or why it cannot be used; and refuses to attack one that holds the points of
/// others.
pub async fn survey(repositories: &DrillRepositories, plan: &Plan, survey: &mut Survey) {
    let attacked: BTreeSet<_> =
        plan.faults.iter().filter_map(|timed| timed.fault.repository()).map(DrillRepository::name).collect();
    let patience = Patience { request: REQUEST, ..Patience::default() };
    let asked = repositories.settings.iter().map(async |settings| {
        let opened = OpenRepository::open(settings, patience).await;
        let refused = match &opened {
            Ok(repository) if attacked.contains(settings.name.as_str()) => {
                repository.only_of_drill(&plan.terms.drill).await.err()
            }
            _ => None,
        };
        (found(settings, opened, repositories.own(), patience).await, refused)
    });
    for (settings, (found, refused)) in repositories.settings.iter().zip(join_all(asked).await) {
        survey.refusals.extend(refused.map(|error| error.to_string()));
        match found {
            Ok(said) => {
                survey.facts.insert(format!("repository {}", settings.name), said);
            }
            Err(error) => survey.problems.push(error.to_string()),
        }
    }
}

async fn found(
    settings: &RepositorySettings,
    opened: Result<OpenRepository, Error>,
    own: bool,
    patience: Patience,
) -> Result<String, Error> {
    match opened {
        Err(error) if error.kind == ErrorKind::NotFound && own => {
            let is_empty = settings.place(patience).await?.list("").await.is_ok_and(|files| files.is_empty());
            let made = || format!("{}, which the run makes", settings.kind.location());
            is_empty.then(made).ok_or(error)
        }
        Err(error) if error.kind == ErrorKind::NotFound => {
            Err(error.hint("`lifeboat backup FILE --create` makes the repositories of a protection"))
        }
        opened => opened.map(|repository| repository.location()),
    }
}

/// Says to the faults and steps that name a repository of the drill's which one that is. A protection's is never attacked.
pub fn name(drill: &Drill, scenario: &Scenario, problems: &mut Vec<Problem>) {
    let none = DrillRepositories::default();
    let kept = drill.setup.protect.as_ref().map_or(&none, |protect| &protect.kept);
    let find = |named: &DrillRepository, node: &Node, problems: &mut Vec<Problem>| match kept
        .settings
        .iter()
        .find(|settings| settings.name == named.name())
    {
        Some(settings) => named.is(settings),
        None => {
            let text = format!("the drill `{}` has no repository `{}` in its `protect`", drill.name, named.name());
            let known: Vec<_> = kept.settings.iter().map(|settings| settings.name.as_str()).collect();
            let hint = match known.as_slice() {
                [] => "add `repositories` to the drill's `protect`".to_owned(),
                known => format!("known: {}", known.join(", ")),
            };
            problems.push(Problem::new(node.at(&["repository"]), text).hint(hint));
        }
    };
    for fault in scenario.faults.iter().map(|timed| &timed.fault) {
        let Some(named) = fault.repository() else { continue };
        match &kept.protection {
            Some(protection) => {
                let text = format!("the repositories of the protection `{protection}` are not attacked");
                let problem = Problem::new(fault.node.at(&["repository"]), text);
                problems.push(problem.hint("give the drill `repositories` of its own in its `protect`"));
            }
            None => find(named, &fault.node, problems),
        }
    }
    for step in scenario.steps.iter().map(|written| &written.step) {
        step.repository().iter().for_each(|named| find(named, &step.node, problems));
    }
}
