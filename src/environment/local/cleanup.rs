//! Removing what a run left on this machine, with nothing but receipts, marks and the name of its folder.
//!
//! Apart because it must work when the process that made all this is dead. Gone already is success.

use super::MARKER;
use super::side::SIDE;
use crate::client::process::{self, COMPONENT, ProcessIdentity, RUN};
use crate::model::Receipt;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ends the run's processes and removes its folders; answers what could not be removed.
pub async fn remove(run: &str, receipts: &[Receipt]) -> Vec<String> {
    let mut left = end(run, receipts).await;
    if left.is_empty() {
        left.extend(folders(run, receipts).iter().filter_map(|folder| clear(folder, run)));
    } else {
        left.extend(folders(run, receipts).iter().filter(|f| f.exists()).map(|f| format!("folder `{}`", f.display())));
    }
    left
}

async fn end(run: &str, receipts: &[Receipt]) -> Vec<String> {
    let own = std::process::id();
    let mut roots = process::marked(RUN, run, COMPONENT);
    roots.retain(|(identity, _)| identity.pid != own);
    for receipt in receipts {
        let process = &receipt.0["process"];
        let identity = serde_json::from_value::<ProcessIdentity>(process.clone()).ok();
        if let Some(identity) =
            identity.filter(|identity| identity.lives() && !roots.iter().any(|(known, _)| known.pid == identity.pid))
        {
            roots.push((identity, process["component"].as_str().map(str::to_owned)));
        }
    }
    let pids: Vec<u32> = roots.iter().map(|(identity, _)| identity.pid).collect();
    let all = process::tree(&pids);
    for (identity, component) in &roots {
        // PostgreSQL killed at once leaves shared memory behind, and its children its SIGTERM would end one by one.
        let postgres = matches!(component.as_deref(), Some("postgres" | SIDE));
        identity.signal(if postgres { Signal::INT } else { Signal::TERM });
    }
    all.iter().for_each(|identity| identity.signal(Signal::CONT)); // a frozen one hears nothing else
    let left = process::wait_gone(&all, Duration::from_secs(10)).await;
    let left = process::kill(&left.into_iter().collect::<Vec<_>>()).await;
    left.into_iter().map(|identity| format!("process {}", identity.pid)).collect()
}

fn folders(run: &str, receipts: &[Receipt]) -> BTreeSet<PathBuf> {
    let named = receipts.iter().filter_map(|receipt| receipt.0["folder"].as_str()).map(PathBuf::from);
    named.chain([super::folder(run)]).collect()
}

/// Removes a folder of this run; a folder that does not say it is one stays, unless it is empty.
fn clear(folder: &Path, run: &str) -> Option<String> {
    let ours = fs::read_to_string(folder.join(MARKER)).is_ok_and(|name| name == run);
    let removed = if ours {
        // The mark goes last, so that a second attempt knows the folder again.
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().filter(|e| e.file_name() != MARKER);
        let parts =
            entries.map(|e| if e.path().is_dir() { fs::remove_dir_all(e.path()) } else { fs::remove_file(e.path()) });
        parts.collect::<Result<Vec<_>, _>>().and_then(|_| fs::remove_dir_all(folder))
    } else {
        fs::remove_dir(folder)
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Some(format!("folder `{}`: {error}", folder.display())),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn a_folder_that_is_not_the_runs_own_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("precious");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("work"), "years").unwrap();
        let receipt = Receipt(json!({ "folder": folder }));
        assert_eq!(remove("a-run-of-this-test", std::slice::from_ref(&receipt)).await.len(), 1);
        assert!(folder.join("work").exists());
        fs::write(folder.join(MARKER), "a-run-of-this-test").unwrap();
        assert!(remove("a-run-of-this-test", std::slice::from_ref(&receipt)).await.is_empty());
        assert!(!folder.exists());
        assert!(remove("a-run-of-this-test", &[receipt]).await.is_empty(), "gone already is success");
    }

    #[tokio::test]
    async fn a_later_process_of_a_recorded_id_lives_on() {
        let mut other = std::process::Command::new("sleep").arg("300").spawn().unwrap();
        let identity = ProcessIdentity::of(other.id()).unwrap();
        let receipt =
            Receipt(json!({ "process": { "component": "mlflow", "pid": identity.pid, "start": identity.start - 60 } }));
        assert!(remove("another-run-of-this-test", &[receipt]).await.is_empty());
        assert!(identity.lives());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
