//! What the plan decides beyond what is written: what must miss is something that is judged, and shallower probes.

use super::bad_input::{Tree, says};
use lifeboat::plan;

#[test]
fn what_must_miss_is_named_and_must_be_something_that_is_judged() {
    let wrong =
        |expected: &str| Tree::new(&[("scenario: x\n", &format!("scenario: x\nexpected: {expected}\n"))], &[]).wrong();
    let hint = "such as `expected: { missed: [rto] }`";
    says(&wrong("missed"), &["drills/x.yaml:3:11", "found `missed`", hint]);
    says(&wrong("unknown"), &["found `unknown`", hint]);
    says(&wrong("{ missed: [] }"), &[hint]);
    says(
        &wrong("{ missed: [rto, speed] }"),
        &["drills/x.yaml:3:27", "nothing named `speed` is judged", "known: rto, rpo"],
    );
    let right = Tree::new(&[("scenario: x\n", "scenario: x\nexpected: { missed: [rto, start-mlflow] }\n")], &[]);
    assert_eq!(plan::load(&right.drill()).unwrap().terms.expected.to_string(), "missed: rto, start-mlflow");
}

#[test]
fn the_plan_adds_the_probe_that_a_deeper_one_rests_on() {
    let probes = |depth: &str| {
        let tree = Tree::new(
            &[("depth: read, every: 100ms", &format!("depth: {depth}, timeout: 5s")), (", at: read", "")],
            &[],
        );
        let terms = plan::load(&tree.drill()).unwrap().terms;
        terms.probes.iter().map(|watch| format!("{} {}", watch.depth, watch.timeout)).collect::<Vec<_>>()
    };
    assert_eq!(probes("artifact"), ["artifact 5s", "read 5s"]);
    assert_eq!(probes("read"), ["read 5s"]);
    assert_eq!(probes("health"), ["health 5s"]);
}
