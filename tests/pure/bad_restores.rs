//! Restores that a drill cannot carry out: refused while planning, at their place.

use crate::bad_input::{Tree, says};
use lifeboat::plan;

#[test]
fn a_restore_needs_protection() {
    let restore = [("start: { component: mlflow }", "restore: { component: postgres, to: latest }")];
    let text = Tree::new(&[("protect: { engine: { builtin: { postgres: logical } } }\n", "")], &restore).wrong();
    says(&text, &["scenarios/x.yaml:6:", "`restore` finds no recovery point", "add `protect"]);
    let artifacts = [("start: { component: mlflow }", "restore: { component: s3 }")];
    let text = Tree::new(&[], &artifacts).wrong();
    says(&text, &["scenarios/x.yaml:6:", "`restore` finds nothing to restore: the engine covers database"]);
    let both = [("postgres: logical", "postgres: physical, artifacts: objects")];
    let text = Tree::new(&both, &restore).wrong();
    says(&text, &["the points of `postgres: physical` hold no artifacts yet"]);
    let awaited = [("start: { component: mlflow }", "wait-for: { points: 3 }")];
    let text = Tree::new(&[("protect: { engine: { builtin: { postgres: logical } } }\n", "")], &awaited).wrong();
    says(&text, &["scenarios/x.yaml:6:", "`wait-for` finds no recovery point", "add `protect"]);
}

#[test]
fn a_clean_point_needs_an_engine_that_restores_beside_and_somebody_who_tells_it() {
    let tree = |drill: (&str, &str), more: &str| {
        let step = format!("restore: {{ {more} }}");
        Tree::new(&[drill], &[("start: { component: mlflow }", &step)])
    };
    let same = ("[mlflow-smoke]", "[mlflow-smoke]");
    let physical = tree(("postgres: logical", "postgres: physical"), "to: clean, scan: 'true'").wrong();
    says(&physical, &["x.yaml:6:", "the engine `builtin` cannot restore a point beside the live state"]);
    let untold = tree(same, "to: clean").wrong();
    says(&untold, &["x.yaml:6:", "nothing tells a clean recovery point", "add the check `contents`, or a `scan`"]);
    let half = tree(same, "to: clean, component: postgres").wrong();
    says(&half, &["restores a recovery point whole", "leave `component` out"]);
    says(&tree(same, "scan: 'true'").wrong(), &["nothing is scanned with `to: latest`"]);
    for right in [tree(same, "to: clean, scan: 'true'"), tree((same.0, "[sql-integrity]"), "to: clean")] {
        plan::load(&right.drill()).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

#[test]
fn the_end_of_a_log_needs_an_engine_that_receives_one() {
    let end = [("start: { component: mlflow }", "restore: { to: end }")];
    let text = Tree::new(&[], &end).wrong();
    says(&text, &["scenarios/x.yaml:6:", "the engine `builtin` receives no log that has an end", "postgres: physical"]);
    let scanned = [("start: { component: mlflow }", "restore: { to: end, scan: 'true' }")];
    says(&Tree::new(&[], &scanned).wrong(), &["nothing is scanned with `to: end`"]);
}
