//! All kinds of all seams in one list, for help, schema and tests.
//!
//! Apart because each seam's list has a type of its own, and nobody but a reader wants them side by side.

use super::scenario::{BESIDE_FAULT, BESIDE_STEP};
use crate::check::CHECKS;
use crate::engine::ENGINES;
use crate::environment::ENVIRONMENTS;
use crate::fault::FAULTS;
use crate::kind::{Kind, pick_beside};
use crate::node::{self, Problem};
use crate::probe::PROBES;
use crate::recovery::STEPS;
use crate::workload::WORKLOADS;
use schemars::{Schema, SchemaGenerator};

/// A kind without its type.
#[derive(Clone, Copy)]
pub struct Listed {
    /// Its seam, in the singular.
    pub seam: &'static str,
    /// Its YAML key.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// How it is written.
    pub example: &'static str,
    /// The schema of what stands behind the key.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// The keys that may stand beside its own.
    pub beside: &'static [&'static str],
    /// Does this YAML read as a kind of the seam? What is wrong with it.
    pub try_out: fn(&str) -> Vec<Problem>,
}

impl Listed {
    /// The outputs that later steps may refer to; only steps have any.
    pub fn outputs(&self) -> &'static [&'static str] {
        let node = node::parse(self.example).ok().filter(|_| self.seam == "step");
        let step = node.and_then(|node| pick_beside("step", STEPS, BESIDE_STEP, &node, &mut vec![]));
        step.map_or(&[], |step| step.outputs())
    }
}

/// Every kind, seam by seam.
pub fn catalogue() -> Vec<Listed> {
    let mut all = vec![];
    all.extend(list("environment", ENVIRONMENTS, &[], |text| try_out(ENVIRONMENTS, &[], text)));
    all.extend(list("engine", ENGINES, &[], |text| try_out(ENGINES, &[], text)));
    all.extend(list("workload", WORKLOADS, &[], |text| try_out(WORKLOADS, &[], text)));
    all.extend(list("probe", PROBES, &[], |text| try_out(PROBES, &[], text)));
    all.extend(list("check", CHECKS, &[], |text| try_out(CHECKS, &[], text)));
    all.extend(list("fault", FAULTS, BESIDE_FAULT, |text| try_out(FAULTS, BESIDE_FAULT, text)));
    all.extend(list("step", STEPS, BESIDE_STEP, |text| try_out(STEPS, BESIDE_STEP, text)));
    all
}

fn list<T: ?Sized>(
    seam: &'static str,
    kinds: &'static [Kind<T>],
    beside: &'static [&'static str],
    try_out: fn(&str) -> Vec<Problem>,
) -> impl Iterator<Item = Listed> {
    kinds.iter().map(move |&Kind { name, about, example, schema, .. }| Listed {
        seam,
        name,
        about,
        example,
        schema,
        beside,
        try_out,
    })
}

fn try_out<T: ?Sized>(kinds: &'static [Kind<T>], beside: &[&str], text: &str) -> Vec<Problem> {
    let mut problems = vec![];
    match node::parse(text) {
        Ok(node) => {
            pick_beside("kind", kinds, beside, &node, &mut problems);
        }
        Err(problem) => problems.push(problem),
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_every_kind_is_read_without_a_problem() {
        for kind in catalogue() {
            let problems = (kind.try_out)(kind.example);
            assert!(problems.is_empty(), "{} `{}`: {problems:?}", kind.seam, kind.name);
            assert!(kind.example.starts_with(kind.name), "{} `{}`: its example is another's", kind.seam, kind.name);
        }
    }

    #[test]
    fn every_kind_says_what_it_is_in_a_sentence() {
        for kind in catalogue() {
            assert!(kind.about.ends_with('.'), "{} `{}`: {}", kind.seam, kind.name, kind.about);
        }
    }
}
