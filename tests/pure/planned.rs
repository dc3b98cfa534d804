//! What the plan decides beyond what is written: what must miss is something that is judged, shallower probes are added, and
//! powers that the environment lacks are refused.

use super::bad_input::{CHECKS, PROTECT, Tree, lifeboat, says, stderr};
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

#[test]
fn a_power_that_the_environment_lacks_is_named() {
    let fault = [("kill: { component: mlflow }", "database-drop: { component: postgres }")];
    let text = Tree::new(&[("local: {}", "simulated: {}")], &fault).wrong();
    says(
        &text,
        &["scenarios/x.yaml:4:", "`database-drop` needs the power `sql`, which the environment `simulated` lacks"],
    );
}

#[test]
fn clients_and_probes_of_mlflow_are_refused_where_there_is_none() {
    let probe = "  - mlflow: { depth: read, every: 100ms }\n";
    let more = format!("{probe}  - mlflow: {{ depth: artifact }}\nworkload: {{ mlflow: {{ runs: 5/s }} }}\n");
    let tree = Tree::new(&[(PROTECT, ""), (CHECKS, ""), ("local: {}", "simulated: {}"), (probe, &more)], &[]);
    let lacks = "`mlflow` needs the power `mlflow`, which the environment `simulated` lacks";
    for command in ["plan", "run", "check"] {
        let output = lifeboat(&[command, "drills/x.yaml"], tree.folder.path());
        assert_eq!(output.status.code(), Some(2), "{command}: {}", stderr(&output));
        let at = ["5:13", "6:13", "7:21"].map(|at| format!("drills/x.yaml:{at}: {lacks}; it has: components"));
        says(&stderr(&output), &[&at[0], &at[1], &at[2], "3 problems"]);
    }
    assert!(!tree.folder.path().join("reports").exists(), "a refused drill leaves nothing");
}
