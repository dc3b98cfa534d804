//! `cleanup`: removes what a run left behind whose process died, with nothing but the run's folder.
//!
//! Apart from the tear-down because it has no live run: it reads the plan and the receipts from disk. Each undo has its
//! time; when that is over the next one follows, and what was not undone is named.

use super::remains::{described, intended, receipts, unsure};
use super::{Observer, PLAN, leftovers, standing};
use crate::client::{Error, process};
use crate::clock::{self, Moment};
use crate::environment::{ENVIRONMENTS, Platform, RunContext};
use crate::fault::{FAULTS, Nature};
use crate::kind::pick;
use crate::model::{Fact, Line, Receipt, Span};
use crate::node::{self, Node};
use crate::report::words::things;
use crate::store::{self, Timeline};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const LOCK: &str = "lock";

/// Locks the folder of a run. The kernel releases the lock when the process ends, in whatever way.
pub fn lock(folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(LOCK))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Is the process of this run still alive?
pub fn alive(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

/// Removes what a dead run left behind; returns what could not be removed. `within` is the time of each undo; the removal
/// of the whole platform, which is many things, has twice that.
///
/// # Errors
/// When the run is still alive, or the folder is not that of a run.
pub async fn cleanup(folder: &Path, observer: Arc<dyn Observer>, within: Duration) -> Result<Vec<String>, Error> {
    let cannot = |e: io::Error| Error::caused_by(format!("cannot clean up after `{}`", folder.display()), e);
    if alive(folder) {
        return Err(
            Error::new(format!("`{}`", folder.display()), "the run is still going on").hint("stop it with Ctrl-C")
        );
    }
    let _lock = lock(folder).map_err(cannot)?;
    let lines = store::read_timeline(folder).map_err(cannot)?;
    let Some(Line { fact: Fact::Began { run, .. }, at, .. }) = lines.first() else { return Ok(vec![]) };
    let (run, at) = (run.clone(), lines.last().map_or(*at, |line| line.at));
    let run_context = RunContext { run: run.clone(), folder: folder.to_owned() };
    let mut problems = vec![];
    let plan = fs::read_to_string(folder.join(PLAN)).map_err(cannot)?;
    let plan = node::parse(&plan).map_err(|e| Error::caused_by(format!("cannot read the plan of `{run}`"), e))?;
    let environment = plan.get("environment").and_then(|node| pick("environment", ENVIRONMENTS, node, &mut problems));
    let environment =
        environment.ok_or_else(|| Error::new(format!("the plan of `{run}`"), "it names no environment"))?;
    observer.progress(&format!("removing what `{run}` left behind"));
    let intended = intended(&lines);
    let receipts = receipts(&lines);
    let mut left = end_commands(&run, observer.as_ref()).await;
    match timeout(within, environment.open(&run_context, &receipts)).await {
        Ok(Ok(Some(platform))) => {
            left.extend(lift(platform.as_ref(), &plan, &intended, within).await);
            if environment.standing() {
                let inventory = environment.inventory();
                let settled = standing::settle_dead(platform.as_ref(), &run_context, &plan, &lines, &inventory);
                let late = vec![format!("the standing platform was not put back within {}", Span(within * 4))];
                left.extend(timeout(within * 4, settled).await.unwrap_or(late));
            }
        }
        Ok(Ok(None)) => {}
        Ok(Err(error)) => left.push(error.to_string()),
        Err(_) => left.push(format!("the platform of `{run}` was not found within {}", Span(within))),
    }
    match timeout(within * 2, environment.remove(&run_context, &receipts)).await {
        Ok(things) => left.extend(things),
        Err(_) => left.extend(unsure(&run, &lines, &format!("not known to be gone within {}", Span(within * 2)))),
    }
    // A recovery point of a standing platform is never deleted: it may be the only one.
    match if environment.standing() { Ok(()) } else { fs::remove_dir_all(folder.join("points")) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => left.push(format!("its backups: {error}")),
        _ => {}
    }
    let facts = if left.is_empty() { vec![Fact::Removed] } else { left.iter().cloned().map(Fact::Left).collect() };
    append(folder, at, facts).map_err(cannot)?;
    Ok(left)
}

/// Ends what commands and tools of the run still do; answers what lives on.
async fn end_commands(run: &str, observer: &dyn Observer) -> Vec<String> {
    let found = process::commands_of(run);
    found.values().for_each(|what| observer.progress(&format!("ending {what}, which a command of the run started")));
    leftovers::end(&found).await.into_values().collect()
}

/// Lifts the conditions among these faults, the last one first; returns what could not be lifted.
async fn lift(
    platform: &dyn Platform,
    plan: &Node,
    intended: &BTreeMap<usize, Receipt>,
    within: Duration,
) -> Vec<String> {
    let mut left = vec![];
    for (index, receipt) in intended.iter().rev() {
        let written = plan.get("faults").map(Node::items).and_then(|faults| faults.get(*index)?.get("fault"));
        let fault = written.and_then(|node| pick("fault", FAULTS, node, &mut vec![]));
        let lifted = match fault {
            Some(fault) if fault.nature() != Nature::Condition => Ok(()),
            Some(fault) => timeout(within, fault.lift(platform, receipt)).await.unwrap_or_else(|_| {
                Err(Error::new(described(fault.name, receipt), format!("not undone within {}", Span(within))))
            }),
            None => Err(Error::new(format!("fault {index}"), "the plan does not say what it is")),
        };
        left.extend(lifted.err().map(|error| error.to_string()));
    }
    left
}

/// Appends facts to the timeline of a dead run.
pub fn append(folder: &Path, at: Moment, facts: Vec<Fact>) -> io::Result<()> {
    let mut timeline = Timeline::reopen(folder)?;
    let torn = Some(timeline.torn_lines()).filter(|torn| *torn > 0);
    let torn = torn.map(|torn| Fact::Note(format!("left out of the timeline: {}", things(torn as u64, "torn line"))));
    let line = |fact| Line::new(at, clock::wall(), fact);
    timeline.append(&mut torn.into_iter().chain(facts).map(line).collect::<Vec<_>>())?;
    timeline.sync()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::{Components, Endpoints};
    use crate::model::Finding;
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use serde_json::json;

    /// Its `mlflow` goes on when it is asked to; all others never answer.
    #[derive(Default)]
    struct Hangs(Endpoints, Mutex<Vec<String>>);

    #[async_trait]
    impl Platform for Hangs {
        fn endpoints(&self) -> &Endpoints {
            &self.0
        }
        fn components(&self) -> Result<&dyn Components, Error> {
            Ok(self)
        }
        async fn remove(&self) -> Vec<String> {
            vec![]
        }
    }

    #[async_trait]
    impl Components for Hangs {
        async fn instance(&self, _: &str) -> Result<Option<String>, Error> {
            Ok(None)
        }
        async fn kill(&self, _: &str) -> Result<(), Error> {
            Ok(())
        }
        async fn stop(&self, _: &str) -> Result<(), Error> {
            Ok(())
        }
        async fn start(&self, _: &str) -> Result<(), Error> {
            Ok(())
        }
        async fn pause(&self, _: &str) -> Result<(), Error> {
            Ok(())
        }
        async fn resume(&self, component: &str) -> Result<(), Error> {
            if component != "mlflow" {
                std::future::pending::<()>().await;
            }
            self.1.lock().push(component.to_owned());
            Ok(())
        }
        async fn alive(&self, _: &str) -> Finding {
            Finding::met()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_undo_that_hangs_is_named_in_time_and_the_next_one_follows() {
        let faults = ["mlflow", "s3", "postgres"].map(|name| format!("- fault: {{ pause: {{ component: {name} }} }}"));
        let plan = node::parse(&format!("faults:\n{}\n", faults.join("\n"))).unwrap();
        let receipt = |name: &str| Receipt(json!({ "component": name }));
        let intended = ["mlflow", "s3", "postgres"].into_iter().map(receipt).enumerate().collect();
        let (hangs, watch) = (Hangs::default(), clock::Stopwatch::start());
        let left = lift(&hangs, &plan, &intended, Duration::from_secs(30)).await;
        assert_eq!(watch.elapsed(), Duration::from_mins(1));
        assert_eq!(*hangs.1.lock(), ["mlflow"]);
        let late = |name: &str| format!("the fault `pause` of component `{name}`: not undone within 30s");
        assert_eq!(left, [late("postgres"), late("s3")]);
    }
}
