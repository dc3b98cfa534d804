//! Wrong files: every problem at once, at its line, with the nearest word; and the files we ship are right.

use lifeboat::{plan, spec};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

pub const DRILL: &str = "\
drill: x
scenario: x
environment: { local: {} }
protect: { engine: { builtin: { postgres: logical } } }
probes:
  - mlflow: { depth: read, every: 100ms }
checks: [mlflow-smoke]
objectives: { rto: 2m, rpo: 10s, at: read }
";

pub const SCENARIO: &str = "\
scenario: x
about: A trial.
faults:
  - kill: { component: mlflow }
recovery:
  - start: { component: mlflow }
";

/// A tree with one drill and one scenario, each with some texts replaced.
pub struct Tree {
    pub folder: TempDir,
}

impl Tree {
    pub fn new(drill: &[(&str, &str)], scenario: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, changes) in [("drills", DRILL, drill), ("scenarios", SCENARIO, scenario)] {
            let text = changes.iter().fold(text.to_owned(), |text, (from, to)| {
                assert!(text.contains(from), "nothing to replace: {from}");
                text.replace(from, to)
            });
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("x.yaml"), text).unwrap();
        }
        Self { folder }
    }

    pub fn drill(&self) -> PathBuf {
        self.folder.path().join("drills/x.yaml")
    }

    /// What is wrong, as users see it, with paths from the tree's root.
    pub fn wrong(&self) -> String {
        let wrong = plan::load(&self.drill()).map(|plan| plan.yaml()).unwrap_err();
        wrong.to_string().replace(&format!("{}/", self.folder.path().display()), "")
    }
}

pub fn lifeboat(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lifeboat")).args(args).current_dir(folder).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
pub fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn the_sample_that_the_others_spoil_is_right() {
    let plan = plan::load(&Tree::new(&[], &[]).drill()).unwrap();
    assert_eq!((plan.terms.streak, plan.terms.stable.to_string()), (3, "3s".to_owned()));
    assert_eq!((plan.steps[0].id.as_str(), plan.steps[0].deadline), ("start-mlflow", plan.setup.limits.recovery));
    assert_eq!(plan.targets, [["mlflow"]]);
}

#[test]
fn all_problems_of_both_files_are_shown_at_once_at_their_lines() {
    let tree = Tree::new(
        &[("probes:", "probess:"), ("rto: 2m", "rto: soon"), ("mlflow-smoke", "mlflow-smok")],
        &[("kill", "kil"), ("start: { component: mlflow }", "start: { compnent: mlflow }\n    retry: often")],
    );
    let text = tree.wrong();
    says(
        &text,
        &[
            "drills/x.yaml:5:1: unknown key `probess`; did you mean `probes`?",
            "drills/x.yaml:7:10: unknown check `mlflow-smok`; did you mean `mlflow-smoke`?",
            "drills/x.yaml:8:20: `soon` is not a duration",
            "scenarios/x.yaml:4:5: unknown fault `kil`; did you mean `kill`?",
            "scenarios/x.yaml:6:14: unknown key `compnent`; did you mean `component`?",
            "scenarios/x.yaml:7:12: ",
        ],
    );
    assert_eq!(text.lines().last(), Some("6 problems"), "{text}");
}

#[test]
fn the_binary_shows_them_on_standard_error_and_exits_with_2() {
    let tree = Tree::new(&[("probes:", "probess:"), ("rto: 2m", "rto: soon")], &[]);
    for command in ["run", "plan", "check"] {
        let output = lifeboat(&[command, "drills/x.yaml"], tree.folder.path());
        assert_eq!(output.status.code(), Some(2), "{command}");
        says(&stderr(&output), &["drills/x.yaml:5:1:", "`probes`", "drills/x.yaml:8:20:", "soon", "2 problems"]);
        assert!(output.stdout.is_empty(), "{command}");
    }
    assert!(!tree.folder.path().join("reports").exists(), "a refused drill leaves nothing");
}

#[test]
fn a_missing_file_is_2_and_names_the_nearest() {
    let tree = Tree::new(&[], &[]);
    let output = lifeboat(&["run", "drills/y.yaml"], tree.folder.path());
    assert_eq!(output.status.code(), Some(2));
    says(&stderr(&output), &["drills/y.yaml: cannot be read", "did you mean `x.yaml`?"]);
    says(
        &Tree::new(&[("scenario: x", "scenario: xx")], &[]).wrong(),
        &["x.yaml:2:11: there is no scenario `xx`", "`x`"],
    );
}

#[test]
fn wrong_usage_is_2() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["run"][..], &["rnu"], &["report", "no-such-run"], &["cleanup", "no-such-run"], &["kinds", "kil"]] {
        assert_eq!(lifeboat(args, folder.path()).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_file_that_is_not_yaml_names_the_line() {
    let text = Tree::new(&[("checks: [mlflow-smoke]", "checks: [mlflow-smoke")], &[]).wrong();
    says(&text, &["drills/x.yaml:", "1 problem"]);
}

#[test]
fn a_unit_is_needed() {
    says(
        &Tree::new(&[("every: 100ms", "every: 100 parsecs")], &[]).wrong(),
        &["x.yaml:6:35: `100 parsecs` is not a dur"],
    );
    says(&Tree::new(&[("rpo: 10s", "rpo: 10")], &[]).wrong(), &["x.yaml:8:29: "]);
}

#[test]
fn ids_of_steps_are_unique() {
    let two = "start: { component: mlflow }\n    id: a\n  - stop: { component: mlflow }\n    id: a";
    let text = Tree::new(&[], &[("start: { component: mlflow }", two)]).wrong();
    says(&text, &["scenarios/x.yaml:9:9: a second step with the id `a`; the first is on line 6"]);
}

#[test]
fn default_ids_that_would_be_the_same_are_numbered() {
    let three = "start: { component: mlflow }\n  - start: { component: mlflow }\n  - stop: { component: s3 }\n    id: start-mlflow";
    let tree = Tree::new(&[], &[("start: { component: mlflow }", three)]);
    let ids: Vec<_> = plan::load(&tree.drill()).unwrap().steps.into_iter().map(|step| step.id).collect();
    assert_eq!(ids, ["start-mlflow-2", "start-mlflow-3", "start-mlflow"]);
}

#[test]
fn a_step_comes_after_steps_that_are_written_before_it() {
    let more = "start: { component: mlflow }\n  - stop: { component: mlflow }\n    after: [start-mlfow, last, start-mlflow]\n  \
                - lift:\n    id: last";
    let text = Tree::new(&[], &[("start: { component: mlflow }", more)]).wrong();
    says(
        &text,
        &[
            "scenarios/x.yaml:8:13: there is no step `start-mlfow`; did you mean `start-mlflow`? steps further up: start",
            "scenarios/x.yaml:8:26: `last` is not written before this step; a step comes after steps further up",
            "2 problems",
        ],
    );
    let tree = Tree::new(&[], &[("start: { component: mlflow }", &more.replace("start-mlfow, last, ", ""))]);
    let plan = plan::load(&tree.drill()).unwrap();
    let after: Vec<_> = plan.steps.iter().map(|step| step.after.join(" ")).collect();
    assert_eq!(after, ["", "start-mlflow", "stop-mlflow"], "by default the step before it");
}

#[test]
fn a_scenario_alone_is_checked_for_its_order() {
    let tree = Tree::new(&[], &[("start: { component: mlflow }", "lift:\n    after: [x]")]);
    let wrong = plan::check(&tree.folder.path().join("scenarios/x.yaml"), None).unwrap_err().to_string();
    says(&wrong, &["x.yaml:7:13: there is no step `x`; steps further up: none", "1 problem"]);
}

#[test]
fn a_fallback_needs_something_that_can_fail() {
    for beside in ["when: failed", "when: failed\n    after: []"] {
        let text = Tree::new(&[], &[("start: { component: mlflow }", &format!("lift:\n    {beside}"))]).wrong();
        says(&text, &["x.yaml:7:11: it comes after no step that could fail; name steps in `after`", "1 problem"]);
    }
    let text = Tree::new(&[], &[("start: { component: mlflow }", "lift:\n    when: sometimes")]).wrong();
    says(&text, &["x.yaml:7:11: ", "sometimes", "done"]);
}

#[test]
fn a_fault_strikes_in_the_disaster_or_the_recovery() {
    for wrong in ["soon", "verify+1s", "recovery-5s", "recovery+soon", "disaster+-1s"] {
        let at = format!("kill: {{ component: mlflow }}\n    at: {wrong}");
        let text = Tree::new(&[], &[("kill: { component: mlflow }", &at)]).wrong();
        says(&text, &[&format!("x.yaml:5:9: `{wrong}` is no time for a fault; write such as disaster"), "1 problem"]);
    }
    let late = "kill: { component: mlflow }\n    at: recovery+5s";
    let text = Tree::new(&[], &[("kill: { component: mlflow }", late)]).wrong();
    says(&text, &["x.yaml:5:9: every fault waits for the recovery: nothing goes wrong at first; leave out `at`"]);
    let two = format!("{late}\n  - kill: {{ component: s3 }}\n    at: disaster+2s");
    let plan = plan::load(&Tree::new(&[], &[("kill: { component: mlflow }", &two)]).drill()).unwrap();
    says(&plan.yaml(), &["at: recovery+5s", "at: disaster+2s"]);
}

#[test]
fn only_outputs_of_steps_that_have_surely_ended_can_be_named() {
    let steps = |run: &str, beside: &str| {
        let steps = format!(
            "restore: {{ component: postgres }}\n  - start: {{ component: mlflow }}\n    after: []\n  \
             - command: '{run}'\n    {beside}\n  - lift: {{}}"
        );
        Tree::new(&[], &[("start: { component: mlflow }", &steps)])
    };
    for (run, wrong) in [
        (
            "${steps.restore-postgre.outputs.point}",
            "there is no step `restore-postgre`; did you mean `restore-postgres`?",
        ),
        (
            "${steps.restore-postgres.outputs.pint}",
            "the step `restore-postgres` has no output `pint`; did you mean `point`?",
        ),
        ("${steps.lift.outputs.point}", "`lift` may not have ended when this step begins; name it in `after`"),
        ("${steps.restore-postgres.point}", "`${steps.restore-postgres.point}` is no output, such as ${steps."),
    ] {
        let text = steps(run, "after: [restore-postgres]").wrong();
        says(&text, &["scenarios/x.yaml:9:14: ", wrong, "1 problem"]);
    }
    let run = "echo ${steps.restore-postgres.outputs.taken_at}";
    says(&steps(run, "id: x").wrong(), &["`restore-postgres` may not have ended", "ended before: start-mlflow"]);
    says(
        &steps("${steps.start-mlflow.outputs.x}", "id: x").wrong(),
        &["the step `start-mlflow` has no output `x`; its outputs: none"],
    );
    assert!(plan::load(&steps(run, "after: [restore-postgres]").drill()).is_ok());
}

#[test]
fn an_objective_needs_a_probe_at_its_depth_and_time_to_be_judged() {
    let tree = Tree::new(&[("at: read }", "at: artifact }\nlimits: { recovery: 2m }")], &[]);
    says(
        &tree.wrong(),
        &[
            "drills/x.yaml:8:38: no probe asks at the depth `artifact`",
            "probed: read",
            "drills/x.yaml:9:21: `limits.recovery` is 2m, too short to see the RTO of 2m",
            "at least 2m3s",
        ],
    );
}

#[test]
fn the_objectives_of_a_drill_go_before_those_of_its_scenario() {
    let theirs = [("recovery:", "objectives: { rto: 1h, rpo: 7s }\nrecovery:")];
    let plan = plan::load(&Tree::new(&[("rpo: 10s, at: read", "rpo: 10s")], &theirs).drill()).unwrap();
    let text = format!("{:?}", plan.terms.objectives);
    assert_eq!(plan.terms.objectives.rto.unwrap().to_string(), "2m", "{text}");
    assert_eq!(plan.terms.objectives.rpo.unwrap().to_string(), "10s", "{text}");
    assert_eq!(plan.terms.objectives.at.unwrap().to_string(), "read", "by default the deepest that is probed");
}

#[test]
fn components_must_be_there() {
    let text = Tree::new(&[], &[("component: mlflow", "component: mlfow")]).wrong();
    says(
        &text,
        &["x.yaml:4:24: there is no component `mlfow`; did you mean `mlflow`?", "x.yaml:6:25: there is no comp"],
    );
}

#[test]
fn a_drill_has_a_name_each_probe_a_depth_and_each_check_a_place() {
    let probe = "depth: read, every: 100ms }\n  - mlflow: { depth: read, every: 1s }";
    let tree =
        Tree::new(&[("depth: read, every: 100ms }", probe), ("[mlflow-smoke]", "[mlflow-smoke, mlflow-smoke]")], &[]);
    says(&tree.wrong(), &["x.yaml:7:", "a second probe at the depth `read`", "x.yaml:8:24: the check"]);
    says(&Tree::new(&[("every: 100ms }", "every: 0s }")], &[]).wrong(), &["x.yaml:6:", "`0s` is no time at all"]);
    says(&Tree::new(&[("drill: x", "drill: ../X")], &[]).wrong(), &["x.yaml:1:8: `../X` is no name for a drill"]);
    says(&Tree::new(&[], &[("\n  - kill: { component: mlflow }", " []")]).wrong(), &["x.yaml:3:9: no fault"]);
}

#[test]
fn every_shipped_file_is_right_and_every_shipped_drill_resolves() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for folder in ["drills", "scenarios"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "yaml") {
                plan::check(&path, None).unwrap_or_else(|wrong| panic!("{wrong}"));
                seen += 1;
            }
        }
    }
    assert!(seen >= 8, "{seen} files");
    let plan = plan::load(&root.join("drills/database-drop.yaml")).unwrap();
    let ids: Vec<_> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["stop-mlflow", "restore-postgres", "start-mlflow"]);
    assert!(plan.yaml().contains("database-drop"), "{}", plan.yaml());
}

#[test]
fn the_example_of_every_kind_is_read_without_a_problem() {
    for kind in spec::catalogue::catalogue() {
        let problems = (kind.try_out)(kind.example);
        assert!(problems.is_empty(), "{} `{}`: {problems:?}", kind.seam, kind.name);
    }
}

pub const PROTECT: &str = "protect: { engine: { builtin: { postgres: logical } } }\n";
pub const ENVIRONMENT: &str = "environment: { local: {} }";
/// A check of what a simulated platform has not.
pub const CHECKS: &str = "checks: [mlflow-smoke]\n";
/// What makes the drill one that a simulated platform can carry out, its environment aside.
const SIMULATED: [(&str, &str); 4] = [
    (PROTECT, ""),
    (CHECKS, ""),
    ("mlflow: { depth: read, every: 100ms }", "running: { component: mlflow, every: 100ms }"),
    ("at: read", "at: health"),
];

#[test]
fn a_drill_can_be_carried_out_in_another_environment_than_it_names() {
    let tree = Tree::new(&SIMULATED, &[]);
    let moved = |elsewhere| {
        let plan = plan::load_in(&tree.drill(), Some(elsewhere)).unwrap();
        (plan.setup.environment.name, plan.yaml())
    };
    assert_eq!(moved("local").0, "local");
    let (kind, yaml) = moved("simulated: { start: 7s }");
    assert_eq!(kind, "simulated");
    says(&yaml, &["start: 7s"]);
    let wrong = plan::load_in(&tree.drill(), Some("locale")).unwrap_err().to_string();
    says(&wrong, &["--environment:1:1: unknown environment `locale`", "did you mean `local`?", "1 problem"]);
    let wrong = plan::load_in(&tree.drill(), Some("simulated: { starts: 7s }")).unwrap_err().to_string();
    says(&wrong, &["--environment:1:14", "`starts`", "1 problem"]);
}

#[test]
fn settings_of_the_same_kind_go_before_the_drills_own_and_the_others_stay() {
    let own = "environment: { simulated: { components: [mlflow, postgres, s3, extra], start: 1s } }";
    let tree = Tree::new(&[&SIMULATED[..], &[(ENVIRONMENT, own)]].concat(), &[]);
    let plan = plan::load_in(&tree.drill(), Some("simulated: { start: 7s }")).unwrap();
    says(&plan.yaml(), &["extra", "start: 7s"]);
    let plan = plan::load_in(&tree.drill(), Some("simulated")).unwrap();
    says(&plan.yaml(), &["extra", "start: 1s"]);
}

#[test]
fn faults_of_a_cluster_say_one_thing_only_and_hit_what_is_there() {
    let kill = "kill: { component: mlflow }";
    let cluster = ("environment: { local: {} }", "environment: { kubernetes: {} }");
    for (fault, said) in [
        ("pod-kill: { component: mlflow, count: 1, percent: 50 }", "x.yaml:4:15: `count` and `percent` cannot both"),
        ("config-lost: { secret: a, config_map: b }", "x.yaml:4:18: exactly one of `secret` and `config_map`"),
        ("pod-kill: { component: mlfow }", "there is no component `mlfow`; did you mean `mlflow`?"),
        ("pod-kill: { component: mlflow, count: 2 }", "`pod-kill` hits nothing"),
        ("config-lost: { secret: platfrom }", "`config-lost` hits nothing"),
        ("node-lost: { carries: mlflow }", "`node-lost` needs the power `nodes`"),
    ] {
        let tree = Tree::new(&[cluster], &[(kill, fault)]);
        says(&tree.wrong(), &["scenarios/x.yaml:4:", said]);
    }
    let tree = Tree::new(&[], &[(kill, "pod-kill: { component: mlflow }")]);
    says(&tree.wrong(), &["`pod-kill` needs the power `cluster`"]);
    let tree = Tree::new(&[cluster], &[("start: { component: mlflow }", "scale: { component: mlfow, replicas: 1 }")]);
    says(&tree.wrong(), &["x.yaml:6:", "there is no component `mlfow`"]);
}
