//! What a drill's `protect` cannot be: refused while planning, at its place, in the drill or in the protection's file.

use crate::bad_input::{PROTECT, Tree, says};
use lifeboat::plan;
use std::fs;

const REPOSITORIES: &str = "repositories: [ near: { directory: /backups, password: { env: PASSWORD } } ]";

fn tree(protect: &str) -> Tree {
    Tree::new(&[(PROTECT, &format!("protect: {protect}\n"))], &[])
}

#[test]
fn repositories_stand_beside_the_engine_or_in_a_protections_file() {
    let inline = tree(&format!("{{ engine: {{ builtin: {{ postgres: logical }} }}, {REPOSITORIES} }}"));
    let plan = plan::load(&inline.drill()).unwrap();
    let again = lifeboat::node::parse(&plan.yaml()).unwrap();
    let kept = lifeboat::spec::DrillRepositories::of_plan(&again);
    assert!(kept.own() && kept.settings.len() == 1, "{}", plan.yaml());
    assert_eq!(kept.settings[0].kind.location(), "/backups");

    let named = tree("../protect/mlflow.yaml");
    fs::create_dir(named.folder.path().join("protect")).unwrap();
    let file = named.folder.path().join("protect/mlflow.yaml");
    let good = format!(
        "protection: mlflow\nplatform: {{ postgres: {{ url: 'postgresql://a@db/mlflow' }} }}\n\
         engine: {{ builtin: {{ postgres: logical }} }}\n{REPOSITORIES}\nevery: 30s\n"
    );
    fs::write(&file, &good).unwrap();
    let plan = plan::load(&named.drill()).unwrap();
    assert_eq!(plan.setup.protect.as_ref().unwrap().every.to_string(), "30s");
    let kept = lifeboat::spec::DrillRepositories::of_plan(&lifeboat::node::parse(&plan.yaml()).unwrap());
    assert!(!kept.own() && kept.protection.as_deref() == Some("mlflow"), "{}", plan.yaml());

    // What is wrong with the file is told at its own place, beside what is wrong with the drill.
    fs::write(&file, good.replace("directory", "directroy")).unwrap();
    let text = fs::read_to_string(named.drill()).unwrap().replace("mlflow-smoke", "mlflow-smok");
    fs::write(named.drill(), text).unwrap();
    let said = named.wrong();
    says(
        &said,
        &["protect/mlflow.yaml:4:", "did you mean `directory`?", "drills/x.yaml:", "did you mean `mlflow-smoke`"],
    );
}

#[test]
fn what_cannot_keep_its_points_in_a_repository_is_told() {
    let said = tree("../protect/nowhere.yaml").wrong();
    says(&said, &["drills/x.yaml:4:", "there is no protection `../protect/nowhere.yaml`"]);
    let physical = tree(&format!("{{ engine: {{ builtin: {{ postgres: physical }} }}, {REPOSITORIES} }}"));
    says(&physical.wrong(), &["drills/x.yaml:4:", "the log of a drill's server is received into the run's folder"]);
    let own = tree(&format!("{{ engine: {{ command: {{ backup: 'true', restore: 'true' }} }}, {REPOSITORIES} }}"));
    says(&own.wrong(), &["this engine keeps its points itself, and in no repository"]);
    let several = tree("{ engine: { builtin: { postgres: logical } }, evry: 3s, repositories: [] }").wrong();
    says(&several, &["did you mean `every`?", "there is no repository"]);
    let secret =
        tree("{ engine: { builtin: { postgres: logical } }, repositories: [ near: { directory: a, password: b } ] }");
    says(&secret.wrong(), &["drills/x.yaml:4:"]);
    says(&tree("7").wrong(), &["drills/x.yaml:4:", "`engine`, `every` and `repositories`, or a protection's file"]);
}

#[test]
fn the_points_of_a_standing_platform_are_in_no_repository() {
    let attach = "kubernetes: { attach: { namespace: a, store: b, token: t, fingerprints: \
        { cluster: x, namespace: x, store: x, postgres: x, database: x, bucket: x } } }";
    let protect = format!("protect: {{ engine: {{ builtin: {{ postgres: logical }} }}, {REPOSITORIES} }}\n");
    let drill = [(PROTECT, protect.as_str()), ("local: {}", attach)];
    says(&Tree::new(&drill, &[]).wrong(), &["drills/x.yaml:4:", "the points of a standing platform stay"]);
}

#[test]
fn a_fault_or_step_names_a_repository_of_the_drills_own_and_agrees_that_it_goes() {
    let protect = format!("protect: {{ engine: {{ builtin: {{ postgres: logical }} }}, {REPOSITORIES} }}\n");
    let said = |protect: &str, fault: &str, step: &str| {
        let scenario = [("kill: { component: mlflow }", fault), ("start: { component: mlflow }", step)];
        Tree::new(&[(PROTECT, protect)], &scenario).wrong()
    };
    let (attack, back) =
        ("backups-attacked: { repository: neer, destroy: true }", "undelete-repository: { repository: far }");
    let unknown = said(&protect, attack, back);
    let (fault, step) = ("has no repository `neer` in its `protect`; known: near", "has no repository `far`");
    says(&unknown, &["scenarios/x.yaml:4:", fault, "scenarios/x.yaml:6:", step]);
    says(&said(PROTECT, attack, back), &["add `repositories` to the drill's `protect`"]);
    let silent = said(&protect, "backups-attacked: { repository: near }", "start: { component: mlflow }");
    says(&silent, &["nobody says that the repository may be destroyed", "write `destroy: true`"]);
    let covers = "protect: { engine: { command: { backup: 'true', restore: 'true', covers: [backups] } } }\n";
    says(&said(covers, attack, back), &["`backups`"]);
}
