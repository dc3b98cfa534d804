//! Messages about wrong files: none in the words of the YAML library or of the language, each with a position and a hint.
//!
//! Apart from the other wrong files because these are made by the hundred, from every file and kind that there is.

use super::bad_input::{DRILL, SCENARIO, Tree, says};
use lifeboat::{node, plan, spec};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Words of the YAML library and of the language, which nobody who writes a drill has to know.
const FOREIGN: &[&str] = &[
    "f64",
    "u32",
    "i64",
    "u64",
    "usize",
    "unit value",
    "expected unit",
    "unit struct",
    "invalid type",
    "invalid value",
    "invalid length",
    "missing field",
    "unknown field",
    "duplicate field",
    "variant",
    "struct",
    "enum",
    "tuple",
    "sequence",
    "mapping",
    "scalar",
    "string",
    "boolean",
    "identifier",
    "untagged",
    "deserial",
    "serde",
    "from_str",
    "budget",
    "breach",
    "Depth {",
    "EOF",
    "Some(",
    "None",
    "os error",
    "simple key",
    "utf-8 sequence",
    "document start",
    "parsing",
];

/// What of the problems would not be understood: for a foreign word, or because place or hint are missing.
fn foreign(case: &str, wrong: &spec::Wrong) -> Vec<String> {
    let problems = wrong.files.iter().flat_map(|file| &file.problems);
    let is_foreign = |text: &str| FOREIGN.iter().any(|word| text.contains(word));
    let bad = problems.filter(|it| is_foreign(&it.to_string()) || it.position.is_none() || it.hint.is_none());
    bad.map(|problem| format!("{problem:?} of {case}")).collect()
}

#[track_caller]
fn none(mut foreign: Vec<String>) {
    foreign
        .dedup_by_key(|told| told.split("text:").nth(1).unwrap_or_default().split("hint:").next().map(str::to_owned));
    assert!(foreign.is_empty(), "{foreign:#?}");
}

/// What stands in the wrong place, as JSON, which is YAML.
fn wrong_values() -> Vec<Value> {
    let written =
        ["3", "-1", "1.5", "true", "null", "\"word\"", "\"\"", "[]", "{}", "[1, true]", "{ \"a\": [1] }", "1e300"];
    written.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// The tree with each of its values in turn replaced by each wrong one.
fn spoiled(tree: &Value) -> Vec<Value> {
    let mut all = wrong_values();
    match tree {
        Value::Object(entries) => {
            for (key, value) in entries {
                all.extend(spoiled(value).into_iter().map(|wrong| {
                    let mut tree = tree.clone();
                    tree[key] = wrong;
                    tree
                }));
            }
        }
        Value::Array(items) => {
            for (n, value) in items.iter().enumerate() {
                all.extend(spoiled(value).into_iter().map(|wrong| {
                    let mut tree = tree.clone();
                    tree[n] = wrong;
                    tree
                }));
            }
        }
        _ => {}
    }
    all
}

fn tree(yaml: &str) -> Value {
    serde_json::to_value(node::parse(yaml).unwrap()).unwrap()
}

#[test]
fn no_wrong_value_of_a_file_is_answered_in_the_words_of_a_library() {
    let full = format!(
        "{DRILL}about: a\nrequirements: [A1]\nexpected: met\nscale: 1\nworkload: {{ mlflow: {{ runs: 5/s }} }}\n\
         limits: {{ baseline: 5s, recovery: 5m, drill: 9m }}\nstable: 3s\nstreak: 3\n"
    );
    let folder = Tree::new(&[], &[]).folder;
    let (mut spoilt, mut refused, mut told) = (0, 0, vec![]);
    for (file, text) in [("drills/x.yaml", full), ("scenarios/x.yaml", SCENARIO.to_owned())] {
        let path = folder.path().join(file);
        for wrong in spoiled(&tree(&text)) {
            fs::write(&path, wrong.to_string()).unwrap();
            spoilt += 1;
            if let Err(wrong) = plan::check(&path, None) {
                refused += 1;
                told.extend(foreign(&fs::read_to_string(&path).unwrap(), &wrong));
            }
        }
        fs::write(&path, text).unwrap();
    }
    none(told);
    assert!(refused > 300 && refused < spoilt, "{refused} of {spoilt}");
}

#[test]
fn no_wrong_value_of_a_kind_is_answered_in_the_words_of_a_library() {
    let mut told = vec![];
    for kind in spec::catalogue::catalogue() {
        for wrong in spoiled(&tree(kind.example)) {
            let problems = (kind.try_out)(&wrong.to_string());
            let path = PathBuf::from(kind.name);
            told.extend(foreign(&wrong.to_string(), &spec::Wrong::one(&path, problems)));
        }
    }
    none(told);
}

#[test]
fn what_is_not_yaml_is_told_in_plain_words_at_its_place() {
    let deep = format!("drill: {}{}", "[".repeat(100), "]".repeat(100));
    let steps = (0..100).map(|n| " ".repeat(n) + "a:\n").collect::<Vec<_>>().concat();
    for (text, said) in [
        ("drill: x\n\tscenario: y\n", "x.yaml:2:1: a tab stands here; indent with blanks"),
        ("drill: x\ndrill: y\n", "x.yaml:2:1: the key `drill` stands here twice; remove"),
        ("drill: x\n---\ndrill: y\n", "a second document begins here"),
        ("drill: *who\n", "an alias names what no anchor before it marks"),
        ("drill: &a [*a]\n", "x.yaml:1:"),
        ("<<: 3\ndrill: x\n", "`<<`"),
        (&deep, "nested too deep"),
        (&steps, "nested too deep"),
        ("", "x.yaml:1:1: there is nothing in it; `lifeboat new"),
        ("# only a comment\n", "there is nothing in it"),
        ("- a\n- b\n", "x.yaml:1:1: expected the keys of a drill or scenario, found a list"),
        ("drill", "found `drill`"),
        ("drill: [x\nscenario: y\n", "x.yaml:"),
        ("drill: {x\n", "x.yaml:"),
        ("drill: 'x\nscenario: y\n", "a text in quotes goes on here; close the quote"),
        ("drill: \"\\q\"\n", "after a `\\` in double quotes"),
        ("drill: x\nscenario y\n", "x.yaml:2:"),
        ("drill: x: y\n", "x.yaml:1:"),
        ("drill: x\n  scenario: y\n", "x.yaml:2:"),
        ("drill: @x\n", "`@` cannot begin a value; put the text in quotes"),
        ("drill: x]\n}\n", "x.yaml:2:"),
        ("drill: [x}\n", "x.yaml:1:"),
        ("%FOO\ndrill: x\n", "x.yaml:"),
        ("drill: !thing x\n3: x\n[a]: b\n", "x.yaml:"),
        ("drill: .nan\nscale: .inf\nstreak: 99999999999999999999\n", "x.yaml:"),
        ("? [a, b]\n: c\n", "x.yaml:"),
        ("drill: |\n x\n\ty\n", "x.yaml:"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        fs::write(&path, text).unwrap();
        let wrong = plan::check(&path, None).unwrap_err();
        none(foreign(text, &wrong));
        says(&wrong.to_string(), &[said]);
    }
}

#[test]
fn what_is_no_text_file_is_told_with_what_to_do_about_it() {
    let tree = Tree::new(&[], &[]);
    let told = |bytes: &[u8]| {
        fs::write(tree.drill(), bytes).unwrap();
        plan::check(&tree.drill(), None).map_err(|wrong| {
            let problem = &wrong.files[0].problems[0];
            assert!(problem.hint.is_some(), "{problem}");
            assert!(!FOREIGN.iter().any(|word| problem.to_string().contains(word)), "{problem}");
            wrong.to_string().replace(&format!("{}/", tree.folder.path().display()), "")
        })
    };
    says(&told(b"drill: caf\xE9\n").unwrap_err(), &["drills/x.yaml:1:11: here is a character that is not UTF-8; save"]);
    says(&told(&[0x7F, b'E', b'L', b'F', 0, 1, 2]).unwrap_err(), &["x.yaml:1:1: is not a text file; YAML is text"]);
    says(&told(&[0xFF, 0xFE, b'd', 0]).unwrap_err(), &["is text in UTF-16; save it as UTF-8"]);
    says(&told(&vec![b'#'; 10 << 20]).unwrap_err(), &["drills/x.yaml: is larger than 4 MB"]);
    told(format!("\u{FEFF}{DRILL}").as_bytes()).unwrap();
    told(DRILL.replace('\n', "\r\n").as_bytes()).unwrap();
    let anchors = DRILL.replace("{ local: {} }", "&here { local: {} }").replace("rto: 2m", "<<: &r { rto: 2m }");
    told(anchors.as_bytes()).unwrap();
    let folder = plan::load(tree.folder.path()).unwrap_err().to_string();
    says(&folder, &["cannot be read: it is a folder; name a file in it"]);
}

#[test]
fn a_number_without_its_unit_is_told_which_it_may_be() {
    for (from, to, said) in [
        ("rto: 2m", "rto: 60", "x.yaml:8:20: `60` has no unit; did you mean `60s`?"),
        ("every: 100ms", "every: 100", "`100` has no unit; did you mean `100s`?"),
        ("rto: 2m", "rto: '60'", "did you mean `60s`?"),
        ("every: 100ms", "every: 0ms", "`0s` is no time at all; write a duration such as 5s"),
        ("objectives:", "stable: 0s\nobjectives:", "x.yaml:8:9: `0s` is no time at all"),
        ("objectives:", "limits: { drill: 0s }\nobjectives:", "x.yaml:8:18: `0s` is no time at all"),
        ("objectives:", "workload: { mlflow: { runs: 5 } }\nobjectives:", "`5` has no unit; did you mean `5/s`?"),
    ] {
        says(&Tree::new(&[(from, to)], &[]).wrong(), &[said, "1 problem"]);
    }
    let deadline = [("start: { component: mlflow }", "start: { component: mlflow }\n    deadline: 0s")];
    says(&Tree::new(&[], &deadline).wrong(), &["scenarios/x.yaml:7:15: `0s` is no time at all"]);
}

#[test]
fn a_workload_that_writes_nothing_is_refused() {
    for (workload, said) in [
        ("{ mlflow: { runs: 0/s, artifacts: 0/s } }", "nothing is written: `runs` and `artifacts` are both zero; give"),
        ("", "nobody writes anything; leave out `workload`"),
        ("{}", "expected a workload, found keys and values; known: mlflow"),
    ] {
        let line = format!("workload: {workload}\nobjectives:");
        says(&Tree::new(&[("objectives:", &line)], &[]).wrong(), &["x.yaml:8:", said, "1 problem"]);
    }
    let one = "workload: { mlflow: { runs: 0/s } }\nobjectives:";
    plan::load(&Tree::new(&[("objectives:", one)], &[]).drill()).unwrap();
}
