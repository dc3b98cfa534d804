//! Holds the structure of the code: imports point down only, neither modules of one floor nor any two files import each
//! other, files stay small, and each type has a name of its own.

use super::imports;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. Modules of one floor do not import each other, but for those that `WITHIN` allows.
const FLOORS: &[&[&str]] = &[
    &["clock", "node", "kind", "model", "outside"],
    &["store", "client"],
    &["environment", "measure", "report", "repository"],
    &["fault", "engine", "workload", "probe", "check"],
    &["recovery"],
    &["plan", "spec", "protect"],
    &["run"],
    &["cli", "main"],
];

/// The ground's own order, and plan and protect, which decide and carry out what spec has read.
const WITHIN: &[(&str, &str)] =
    &[("kind", "node"), ("model", "clock"), ("model", "outside"), ("plan", "spec"), ("protect", "spec")];

const LINES: usize = 400;

#[test]
fn imports_point_down_only() {
    let mut wrong = vec![];
    for path in sources(Path::new("src")) {
        let room = room(&path);
        if room == "lib" {
            continue;
        }
        for other in rooms(&fs::read_to_string(&path).unwrap()) {
            let down = floor(&other) < floor(&room);
            if other != room && !down && !WITHIN.contains(&(room.as_str(), other.as_str())) {
                wrong.push(format!("{}: `{room}` imports `{other}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// These modules ask a platform for powers and never depend on a kind of environment.
const BLIND: &[&str] =
    &["fault", "engine", "workload", "probe", "check", "recovery", "run", "measure", "report", "model"];

#[test]
fn nobody_but_the_environments_names_a_kind_of_environment() {
    let kinds: Vec<_> = lifeboat::environment::ENVIRONMENTS.iter().map(|kind| kind.name).collect();
    let mut wrong = vec![];
    for path in sources(Path::new("src")).into_iter().filter(|path| BLIND.contains(&room(path).as_str())) {
        wrong.extend(
            named(&fs::read_to_string(&path).unwrap(), &kinds).map(|what| format!("{}: {what}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_kind_of_environment_that_is_named_is_seen() {
    let kinds = ["local", "containers"];
    for text in ["match kind { \"local\" => 1 }", "use crate::environment::local;", "environment::containers::KIND"] {
        assert_eq!(named(text, &kinds).count(), 1, "{text}");
    }
    assert_eq!(named("// its local name; pod.spec.containers; environment::Containers", &kinds).count(), 0);
}

/// The kinds that a text names: as a word in quotes, or as a room of `environment`; tests aside.
fn named<'a>(text: &str, kinds: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
    let is_named = move |kind: &&&str| {
        [format!("\"{kind}\""), format!("environment::{kind}"), format!("environment: {kind}")]
            .iter()
            .any(|sign| text.contains(sign.as_str()))
    };
    kinds.iter().filter(is_named).copied()
}

#[test]
fn an_import_upwards_is_seen() {
    assert!(floor("run") > floor("measure"));
    assert_eq!(rooms("use crate::run::Fixture;\nuse crate::{clock, model::Fact};"), ["run", "clock", "model"]);
}

#[test]
fn files_stay_small_and_say_what_they_are() {
    let mut wrong = vec![];
    for path in sources(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        if text.lines().count() > LINES {
            wrong.push(format!("{} has {} lines", path.display(), text.lines().count()));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not say what it is", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Names that several types may have. `Args`: each command's arguments.
const SHARED_NAMES: &[&str] = &["Args"];

#[test]
fn each_type_has_a_name_of_its_own() {
    let files = sources(Path::new("src")).into_iter().filter(|path| !path.to_string_lossy().ends_with("_tests.rs"));
    let texts: Vec<_> = files.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect();
    let mut shared = shared_names(texts.iter().map(|(file, text)| (file.as_str(), text.as_str())));
    shared.retain(|name, _| !SHARED_NAMES.contains(&name.as_str()));
    assert!(shared.is_empty(), "{shared:#?}");
}

#[test]
fn two_types_of_one_name_are_seen() {
    let texts = [
        ("a.rs", "pub struct Before {\n}\nimpl Iterator for Row {\n    type Item = u8;\n}"),
        ("b.rs", "pub(super) enum Before {\n}\n#[cfg(test)]\nmod tests {\n    struct Row;\n}"),
        ("c.rs", "type Row<T> = Vec<T>;\nimpl Iterator for Other {\n    type Item = u8;\n}\n/// The struct Before."),
    ];
    assert_eq!(shared_names(texts), BTreeMap::from([("Before".to_owned(), vec!["a.rs", "b.rs"])]));
}

/// The names that several types have, with the files in which they are declared; tests aside.
fn shared_names<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, Vec<&'a str>> {
    let mut names: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (file, text) in texts {
        let code = text.split("#[cfg(test)]").next().unwrap();
        code.lines().filter_map(declared).for_each(|name| names.entry(name).or_default().push(file));
    }
    names.retain(|_, files| files.len() > 1);
    names
}

/// The name of the type that a line declares, if it does. The types of a trait's implementation are indented.
fn declared(line: &str) -> Option<String> {
    let indented = line.starts_with(' ');
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |rest| {
        let rest = if rest.starts_with('(') { rest.split_once(')').map_or(rest, |(_, rest)| rest) } else { rest };
        rest.trim_start()
    });
    let (keyword, rest) = line.split_once(' ')?;
    let declares = matches!(keyword, "struct" | "enum" | "trait" | "union") || keyword == "type" && !indented;
    let name = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    (declares && name.starts_with(char::is_uppercase)).then_some(name)
}

#[test]
fn no_two_files_import_each_other_not_even_through_others() {
    let mut modules = imports::Modules::new();
    for path in sources(Path::new("src")) {
        let file = path.strip_prefix("src").unwrap().to_str().unwrap().to_owned();
        modules.insert(imports::module(&file), fs::read_to_string(&path).unwrap());
    }
    let graph = imports::graph(&modules);
    let found: usize = graph.values().map(std::collections::BTreeSet::len).sum();
    assert!(found > graph.len(), "imports are found at all: {found}");
    assert_eq!(imports::cycle(&graph), None);
}

#[test]
fn files_that_import_each_other_are_seen() {
    let graph = |texts: &[(&str, &str)]| {
        let modules = texts.iter().map(|(file, text)| (imports::module(file), (*text).to_owned())).collect();
        imports::cycle(&imports::graph(&modules)).map(|way| way.join(" > "))
    };
    let both =
        [("a/x.rs", "use super::y::{self, Y};"), ("a/y.rs", "use std::fmt;\nuse crate::a::x;"), ("a/mod.rs", "")];
    assert_eq!(graph(&both).unwrap(), "a::x > a::y > a::x");
    let three = [("a.rs", "use crate::{c, b::B};"), ("b.rs", "fn f() { crate::c::g() }"), ("c.rs", "use crate::a;")];
    assert_eq!(graph(&three).unwrap(), "a > b > c > a");
    let passed_on = [("a/mod.rs", "pub use x::X;"), ("a/x.rs", "use crate::b;"), ("b.rs", "use crate::a::{X};")];
    assert_eq!(graph(&passed_on).unwrap(), "a::x > b > a::x");
    let family = [("a/mod.rs", "use x::X;\npub struct A;"), ("a/x.rs", "use super::A;")];
    assert_eq!(graph(&family), None, "a module and its own child");
    let test = [("a.rs", "use crate::b;"), ("b.rs", "// crate::a\n#[cfg(test)]\nmod tests { use crate::a; }")];
    assert_eq!(graph(&test), None, "tests and comments do not count");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect();
    found.sort();
    found
}

fn room(path: &Path) -> String {
    let part = path.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
    part.trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> usize {
    FLOORS.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("`{room}` has no floor"))
}

/// The rooms that a file names by `crate::ROOM`, tests aside.
fn rooms(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]").next().unwrap();
    let mut found = vec![];
    for rest in text.split("crate::").skip(1) {
        let names = rest.strip_prefix('{').map_or(rest, |group| group.split('}').next().unwrap());
        let word =
            |part: &str| part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if rest.starts_with('{') {
            found.extend(names.split(',').map(word));
        } else {
            found.push(word(names));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}
