//! Holds the house together: imports point down only, siblings do not import each other, files stay small.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. Modules of one floor do not import each other, but for those that `WITHIN` allows.
const FLOORS: &[&[&str]] = &[
    &["clock", "node", "kind", "model"],
    &["store", "client"],
    &["environment", "measure", "report"],
    &["fault", "engine", "workload", "probe", "check"],
    &["recovery"],
    &["plan", "spec"],
    &["run"],
    &["cli", "main"],
];

/// The ground's own order, and plan, which decides what spec has read.
const WITHIN: &[(&str, &str)] = &[("kind", "node"), ("model", "clock"), ("plan", "spec")];

const LINES: usize = 400;

#[test]
fn imports_point_down_only() {
    let mut wrong = vec![];
    for path in sources(Path::new("src")) {
        let room = room(&path);
        if room == "lib" {
            continue;
        }
        for other in imports(&fs::read_to_string(&path).unwrap()) {
            let down = floor(&other) < floor(&room);
            if other != room && !down && !WITHIN.contains(&(room.as_str(), other.as_str())) {
                wrong.push(format!("{}: `{room}` imports `{other}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Who acts in a place asks it for powers, never which one it is.
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
    assert_eq!(imports("use crate::run::Fixture;\nuse crate::{clock, model::Fact};"), ["run", "clock", "model"]);
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
fn imports(text: &str) -> Vec<String> {
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
