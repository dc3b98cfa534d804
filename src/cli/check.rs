//! `lifeboat check`: what is wrong with files, all of it.

use super::console::{out, say};
use super::find::find_drill;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::node::Problem;
use crate::plan;
use crate::spec::{Wrong, WrongFile};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What `check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Drill or scenario files, names of drills, folders, or `-` for standard input; a drill is checked together with its
    /// scenario
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Check drills as if they named this environment
    #[arg(long, value_name = "KIND")]
    environment: Option<String>,
    /// Print what was found as JSON: a list with each file, whether it is OK, and its problems
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> CommandResult {
    let mut checked = vec![];
    for path in &args.files {
        match within(&find_drill(path).unwrap_or_else(|_| path.clone())) {
            Ok(files) => checked.extend(files.into_iter().map(|file| {
                let wrong = check(&file, args.environment.as_deref()).err();
                (file, wrong)
            })),
            Err(wrong) => checked.push((path.clone(), Some(wrong))),
        }
    }
    if args.json {
        let told: Vec<_> = checked.iter().map(|(file, wrong)| CheckedFile::of(file, wrong.as_ref())).collect();
        out(serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write what was found", e))?)?;
    } else {
        tell(&checked)?;
    }
    Ok(if checked.iter().all(|(_, wrong)| wrong.is_none()) { exit::MET } else { exit::USAGE })
}

fn check(path: &Path, environment: Option<&str>) -> Result<(), Wrong> {
    if path != Path::new("-") {
        return plan::check(path, environment);
    }
    let mut bytes = vec![];
    match std::io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => plan::check_bytes(bytes, environment),
        Err(_) => {
            let problem = Problem::whole("standard input cannot be read").hint("name a file");
            Err(Wrong::one(path, vec![problem]))
        }
    }
}

/// A file itself, or the YAML files of a folder, by name.
fn within(path: &Path) -> Result<Vec<PathBuf>, Wrong> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_yaml = |file: &PathBuf| file.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let mut files: Vec<_> = entries.filter(is_yaml).collect();
    files.sort();
    if files.is_empty() {
        let problem = Problem::whole("no file in this folder ends in .yaml");
        return Err(Wrong::one(path, vec![problem.hint("name a folder such as `drills/`, or a file")]));
    }
    Ok(files)
}

/// Tells each problem once, although several drills may share a scenario, and then how many files are OK.
fn tell(checked: &[(PathBuf, Option<Wrong>)]) -> Result<(), Error> {
    let mut told = BTreeSet::new();
    for (file, wrong) in checked {
        let Some(wrong) = wrong else {
            out(format!("{}: OK", file.display()))?;
            continue;
        };
        for line in wrong.lines().filter(|line| told.insert(line.clone())) {
            say(&line);
        }
    }
    let bad = checked.iter().filter(|(_, wrong)| wrong.is_some()).count();
    let problems = counted(told.len(), "problem");
    match (checked.len(), bad) {
        (1, 0) => {}
        (1, _) => say(&problems),
        (all, 0) => say(format!("all {all} files are OK")),
        (all, bad) => {
            let (good, has) = (all - bad, if bad == 1 { "has" } else { "have" });
            let verb = if good == 1 { "is" } else { "are" };
            say(format!("{} {verb} OK, {bad} {has} problems: {problems} in all", counted(good, "file")));
        }
    }
    Ok(())
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A file that was checked, for other programs.
#[derive(Serialize)]
struct CheckedFile {
    /// As it was named.
    file: PathBuf,
    /// Is there nothing wrong with it, or with its scenario?
    ok: bool,
    /// All that is wrong.
    problems: Vec<FileProblem>,
}

/// One thing wrong with a file, for other programs.
#[derive(Serialize)]
struct FileProblem {
    /// Where it stands: the file itself, or the drill's scenario.
    file: PathBuf,
    /// From 1; none for a problem of the whole file.
    line: Option<u64>,
    /// From 1; none for a problem of the whole file.
    column: Option<u64>,
    /// What is wrong.
    text: String,
    /// What to do about it.
    hint: Option<String>,
}

impl CheckedFile {
    fn of(file: &Path, wrong: Option<&Wrong>) -> Self {
        let files = wrong.map(|wrong| wrong.files.as_slice()).unwrap_or_default();
        let told = |WrongFile { path, problems }: &WrongFile| {
            let told = problems.iter().map(|problem| FileProblem {
                file: path.clone(),
                line: problem.position.map(|at| at.line),
                column: problem.position.map(|at| at.column),
                text: problem.text.clone(),
                hint: problem.hint.clone(),
            });
            told.collect::<Vec<_>>()
        };
        Self { file: file.to_owned(), ok: wrong.is_none(), problems: files.iter().flat_map(told).collect() }
    }
}
