//! The runbook's order: the steps' ids, which come after which, and which outputs they may refer to.
//!
//! Apart from the rest of the plan because it needs no drill: a scenario alone is checked for it too.

use crate::model::When;
use crate::node::{Node, Problem, nearest};
use crate::recovery::text::Reference;
use crate::spec::WrittenStep;
use std::collections::{BTreeMap, BTreeSet};

/// A step's order in the runbook.
#[derive(Debug)]
pub struct Link {
    /// Its id.
    pub id: String,
    /// The ids of those that end before it begins.
    pub after: Vec<String>,
}

/// Links every step of a runbook with those before it.
pub fn link(steps: &[WrittenStep], problems: &mut Vec<Problem>) -> Vec<Link> {
    let ids = ids(steps, problems);
    let mut ended: Vec<BTreeSet<usize>> = vec![]; // of each step, all that have surely ended when it begins
    let mut links = vec![];
    for (n, WrittenStep { step, node, settings }) in steps.iter().enumerate() {
        let after = match &settings.after {
            Some(names) => {
                let places = node.get("after").map(Node::items).unwrap_or_default();
                names.iter().zip(places).filter_map(|(name, at)| before(name, at, &ids, n, problems)).collect()
            }
            None => Vec::from_iter(n.checked_sub(1)),
        };
        if settings.when == When::Failed && settings.after.as_ref().map_or(n == 0, Vec::is_empty) {
            let problem = Problem::new(node.at(&["when"]), "it comes after no step that could fail");
            problems.push(problem.hint("name steps in `after`, or leave out `when`"));
        }
        ended.push(after.iter().flat_map(|a| ended[*a].iter().copied().chain([*a])).collect());
        for (key, text) in step.texts() {
            let at = step.node.at(&[key]);
            problems.extend(text.references().filter_map(|it| unknown_output(it, at, steps, &ids, &ended[n])));
        }
        links.push(Link { id: ids[n].clone(), after: after.into_iter().map(|a| ids[a].clone()).collect() });
    }
    links
}

/// Written ids as they are, each once; the others are named after kind and component, and numbered when shared.
fn ids(steps: &[WrittenStep], problems: &mut Vec<Problem>) -> Vec<String> {
    let mut lines = BTreeMap::new();
    for step in steps {
        let Some(id) = &step.settings.id else { continue };
        let line = step.node.position.line;
        if let Some(first) = lines.insert(id.clone(), line) {
            let node = step.node.at(&["id"]);
            let problem = Problem::new(node, format!("a second step with the id `{id}`"));
            problems.push(problem.hint(format!("the first is on line {first}")));
        }
    }
    let mut taken: BTreeSet<String> = lines.into_keys().collect();
    let mut id = |WrittenStep { step, settings, .. }: &WrittenStep| {
        if let Some(id) = &settings.id {
            return id.clone();
        }
        let base = step.component().map_or_else(|| step.name.to_owned(), |c| format!("{}-{c}", step.name));
        let numbered = (2..).map(|n| format!("{base}-{n}"));
        let free = std::iter::once(base.clone()).chain(numbered).find(|id| !taken.contains(id)).unwrap_or(base);
        taken.insert(free.clone());
        free
    };
    steps.iter().map(&mut id).collect()
}

/// The step of a name, which must be written before the step `n`: so there are no circles.
fn before(name: &str, at: &Node, ids: &[String], n: usize, problems: &mut Vec<Problem>) -> Option<usize> {
    let earlier = &ids[..n];
    if let Some(found) = earlier.iter().position(|id| id == name) {
        return Some(found);
    }
    problems.push(if ids.iter().any(|id| id == name) {
        let problem = Problem::new(at, format!("`{name}` is not written before this step"));
        problem.hint(format!("a step comes after steps further up; {}", known("further up", earlier)))
    } else {
        Problem::new(at, format!("there is no step `{name}`")).hint(near(name, "steps further up", earlier))
    });
    None
}

/// What is wrong with a reference, if anything: only what has surely ended can be referred to.
fn unknown_output(
    reference: &Reference,
    at: &Node,
    steps: &[WrittenStep],
    ids: &[String],
    ended: &BTreeSet<usize>,
) -> Option<Problem> {
    let Reference { step, output } = reference;
    let sure: Vec<String> = ended.iter().map(|n| ids[*n].clone()).collect();
    let Some(found) = ids.iter().position(|id| id == step) else {
        let problem = Problem::new(at, format!("there is no step `{step}`"));
        return Some(problem.hint(near(step, "ended before", &sure)));
    };
    if !ended.contains(&found) {
        let problem = Problem::new(at, format!("`{step}` may not have ended when this step begins"));
        return Some(problem.hint(format!("name it in `after`; {}", known("ended before", &sure))));
    }
    let outputs: Vec<String> = steps[found].step.outputs().iter().map(|name| (*name).to_owned()).collect();
    if outputs.contains(output) {
        return None;
    }
    let problem = Problem::new(at, format!("the step `{step}` has no output `{output}`"));
    Some(problem.hint(near(output, "its outputs", &outputs)))
}

fn near(name: &str, what: &str, names: &[String]) -> String {
    let near = nearest(name, names.iter().map(String::as_str));
    near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default() + &known(what, names)
}

fn known(what: &str, names: &[String]) -> String {
    format!("{what}: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") })
}
