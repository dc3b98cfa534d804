//! For how long a protection keeps its points: `keep`.
//!
//! Apart from `protection.rs` because what is kept is data of several classes that one database holds, each with a time of
//! its own.

use crate::model::Period;
use crate::node::{Node, Problem, nearest, read};
use schemars::{Schema, SchemaGenerator, json_schema};
use std::collections::BTreeMap;

/// For how long points are kept, by what they hold. A point holds all of a database, so it stays as long as any class asks
/// for it; the older it is, the fewer of its neighbours stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// Every point.
    pub incremental: Option<Period>,
    /// The newest point of each day.
    pub full: Option<Period>,
    /// The newest point of each week.
    pub artifacts: Option<Period>,
    /// The newest point of each month.
    pub registry: Option<Period>,
    /// The longest time in a repository, by its name.
    pub repositories: BTreeMap<String, Period>,
}

/// The classes, as files name them.
const CLASSES: [&str; 4] = ["incremental", "full", "artifacts", "registry"];

/// Is this name a class's, so that no repository may have it?
pub(super) fn is_class(name: &str) -> bool {
    CLASSES.contains(&name)
}

/// The JSON Schema of `keep`.
pub(super) fn schema(g: &mut SchemaGenerator) -> Schema {
    let period = g.subschema_for::<Period>();
    json_schema!({
        "description": "For how long points are kept: one period for all, or one each for `incremental` (every point), \
            `full` (one of each day), `artifacts` (one of each week) and `registry` (one of each month), and the longest \
            time in a repository by its name. Without it nothing is ever removed.",
        "anyOf": [period, { "type": "object", "minProperties": 1, "additionalProperties": period }],
    })
}

impl Keep {
    /// Reads `keep`; `repositories` are the names that the file has.
    pub(super) fn read(node: &Node, repositories: &[&str], problems: &mut Vec<Problem>) -> Option<Self> {
        let mut keep = Self::default();
        if node.text().is_some() {
            keep.incremental = Some(read::<Period>(node, problems)?);
            return Some(keep);
        }
        let before = problems.len();
        if node.entries().is_empty() {
            let problem = Problem::new(node, "`keep` says for how long points are kept");
            problems.push(problem.hint("write a period such as 30d, or `{ incremental: 7d, full: 30d }`"));
        }
        for (key, value) in node.entries() {
            let (name, period) = (key.text().unwrap_or_default(), read::<Period>(value, problems));
            let class = match name {
                "incremental" => &mut keep.incremental,
                "full" => &mut keep.full,
                "artifacts" => &mut keep.artifacts,
                "registry" => &mut keep.registry,
                _ if repositories.contains(&name) => {
                    keep.repositories.extend(period.map(|period| (name.to_owned(), period)));
                    continue;
                }
                _ => {
                    problems.push(unknown(key, name, repositories));
                    continue;
                }
            };
            *class = period;
        }
        if problems.len() == before && [keep.incremental, keep.full, keep.artifacts, keep.registry] == [None; 4] {
            let problem = Problem::new(node, "no class of data is kept");
            problems.push(problem.hint("add `incremental: 7d`, which keeps every point for a week"));
        }
        (problems.len() == before).then_some(keep)
    }
}

fn unknown(key: &Node, name: &str, repositories: &[&str]) -> Problem {
    let known = || CLASSES.into_iter().chain(repositories.iter().copied());
    let problem = Problem::new(key, format!("`{name}` is no class of data and no repository of this file"));
    let near = nearest(name, known()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    problem.hint(format!("{near}known: {}", known().collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;

    const DAY: u64 = 86_400;

    fn keep(text: &str) -> Result<Keep, Vec<String>> {
        let mut problems = vec![];
        let read = Keep::read(&parse(text).unwrap(), &["near", "far"], &mut problems);
        read.ok_or_else(|| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_period_or_one_for_each_class_and_repository() {
        let week = Some(Period::seconds(7 * DAY));
        assert_eq!(keep("7d"), Ok(Keep { incremental: week, ..Keep::default() }));
        let read = keep("{ near: 7d, incremental: 7d, full: 30d, artifacts: 90d, registry: 1y }").unwrap();
        assert_eq!((read.incremental, read.registry), (week, Some(Period::seconds(365 * DAY))));
        assert_eq!(read.repositories, [("near".to_owned(), Period::seconds(7 * DAY))].into());
    }

    #[test]
    fn every_problem_is_said() {
        let problems = keep("{ ful: 30d, xyzzy: 1d, incremental: 0s, near: 7 }").unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        for part in ["did you mean `full`?", "known: incremental, full, artifacts, registry, near, far"] {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
        }
        assert!(keep("{ near: 7d }").unwrap_err()[0].contains("no class of data is kept"));
        assert!(keep("{}").is_err() && keep("[]").is_err() && keep("forever").is_err());
    }
}
