//! Commands on files: `check` of folders and standard input, `new`, `plan`.

use super::bad_input::{CHECKS, DRILL, ENVIRONMENT, PROTECT, SCENARIO, Tree, lifeboat, says, stderr};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn a_folder_is_checked_file_by_file_and_a_problem_of_two_drills_is_told_once() {
    let tree = Tree::new(&[], &[("component: mlflow }\nrecovery", "component: mlfow }\nrecovery")]);
    let path = tree.folder.path();
    fs::write(path.join("drills/w.yaml"), DRILL.replace("drill: x", "drill: w")).unwrap();
    fs::write(path.join("drills/z.yaml"), DRILL.replace("scenario: x", "scenario: z")).unwrap();
    fs::write(path.join("scenarios/z.yaml"), SCENARIO.replace("scenario: x", "scenario: z")).unwrap();
    let output = lifeboat(&["check", "drills/", "scenarios"], path);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert_eq!(text.matches("there is no component `mlfow`").count(), 1, "{text}");
    assert_eq!(text.lines().last(), Some("3 files are OK, 2 have problems: 1 problem in all"), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    let output = lifeboat(&["check", "scenarios"], path);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), "all 2 files are OK\n"));
    let output = lifeboat(&["check", "."], path);
    says(&stderr(&output), &[".: no file in this folder ends in .yaml; name a folder such as `drills/`"]);
}

#[test]
fn a_check_as_json_has_each_file_with_its_problems() {
    let tree = Tree::new(&[("rto: 2m", "rto: 60")], &[]);
    let output = lifeboat(&["check", "--json", "drills/x.yaml", "scenarios/x.yaml"], tree.folder.path());
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(2), ""));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told[0]["ok"], &told[1]["ok"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!(told[1]["problems"], serde_json::json!([]));
    let problem = serde_json::json!({
        "file": "drills/x.yaml", "line": 8, "column": 20, "text": "`60` has no unit", "hint": "did you mean `60s`?",
    });
    assert_eq!(told[0]["problems"], serde_json::json!([problem]));
}

#[test]
fn standard_input_is_checked_as_a_file_of_the_folder_of_drills() {
    let tree = Tree::new(&[], &[]);
    let check = |text: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(["check", "-"]).current_dir(tree.folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(check(DRILL).stdout, b"-: OK\n");
    let output = check(&DRILL.replace("rto: 2m", "rto: soon"));
    assert_eq!(output.status.code(), Some(2));
    says(&stderr(&output), &["-:8:20: `soon` is not a duration", "1 problem"]);
}

#[test]
fn a_new_drill_is_right_as_written_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let output = lifeboat(&["new", "drill", "first"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(output.stdout, b"drills/first.yaml\nscenarios/first.yaml\n");
    let output = lifeboat(&["check", "drills", "scenarios"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for (args, said) in [
        (&["new", "drill", "first"][..], "`drills/first.yaml` is there already"),
        (&["new", "scenario", "first"], "`scenarios/first.yaml` is there already"),
        (&["new", "drill", "../x"], "`../x` is no name for a file"),
    ] {
        let output = lifeboat(args, folder.path());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        says(&stderr(&output), &[said, "hint: "]);
    }
    assert_eq!(lifeboat(&["new", "scenario", "second"], folder.path()).stdout, b"scenarios/second.yaml\n");
    assert_eq!(lifeboat(&["new", "drill", "second"], folder.path()).stdout, b"drills/second.yaml\n");
}

#[test]
fn a_plan_is_sentences_within_the_width_and_json_for_programs() {
    let tree = Tree::new(
        &[
            (PROTECT, ""),
            (ENVIRONMENT, "environment: { simulated: {} }"),
            ("mlflow: { depth", "running: { component: mlflow, x"),
        ],
        &[],
    );
    let text = fs::read_to_string(tree.drill())
        .unwrap()
        .replace(", x: read", "")
        .replace(CHECKS, "")
        .replace("at: read", "at: health");
    fs::write(tree.drill(), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    let command = command.args(["plan", "drills/x.yaml"]).env("COLUMNS", "80").current_dir(tree.folder.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.lines().all(|line| line.chars().count() <= 80 && line.trim_end() == line), "{text}");
    says(
        &text,
        &["As the disaster begins, `kill` hits 1 target: mlflow.", "3 components (mlflow, postgres, s3)", "RTO 2m"],
    );
    let output = lifeboat(&["plan", "--json", "drills/x.yaml"], tree.folder.path());
    let both: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(both["plan"]["targets"], serde_json::json!([["mlflow"]]));
    assert_eq!(both["survey"]["problems"], serde_json::json!([]));
}

#[test]
fn a_drill_that_names_no_checks_has_all_that_its_environment_allows() {
    let checks = |checks: &str, environment: &str| {
        let tree = Tree::new(&[(CHECKS, checks)], &[]);
        let plan = lifeboat::plan::load_in(&tree.drill(), Some(environment)).unwrap_or_else(|wrong| panic!("{wrong}"));
        (plan.terms.checks, plan.setup.seeds())
    };
    let all: Vec<_> = lifeboat::check::CHECKS.iter().map(|check| check.name.to_owned()).collect();
    assert!(all.contains(&"contents".to_owned()));
    assert_eq!(checks("", "local"), (all, true));
    assert_eq!(checks("checks: [sql-integrity]\n", "local").0, ["sql-integrity"]);
    assert_eq!(checks("checks: []\n", "local"), (vec![], true), "the probe asks for data");
    let simulated = "drill: d\nscenario: x\nenvironment: { simulated: {} }\nprobes: [running: { component: mlflow }]\n";
    let tree = Tree::new(&[], &[]);
    fs::write(tree.drill(), simulated).unwrap();
    let plan = lifeboat::plan::load(&tree.drill()).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!((plan.terms.checks.len(), plan.setup.seeds()), (0, false), "a simulated platform has no history");
    let health = "drill: d\nscenario: x\nenvironment: { local: {} }\nprobes: [mlflow: { depth: health }]\nchecks: []\n";
    fs::write(tree.drill(), health).unwrap();
    let plan = lifeboat::plan::load(&tree.drill()).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(!plan.setup.seeds(), "nobody asks for data");
}
