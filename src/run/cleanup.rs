//! `cleanup`: removes what a run left behind whose process died, with nothing but the run's folder.
//!
//! Apart from the tear-down because it has no live run: it reads the plan and the receipts from disk.

use super::{Observer, PLAN, standing};
use crate::client::Error;
use crate::clock::{self, Moment};
use crate::environment::{ENVIRONMENTS, Platform, RunContext};
use crate::fault::{FAULTS, Nature};
use crate::kind::pick;
use crate::model::{Fact, Line, Receipt};
use crate::node::{self, Node};
use crate::store::{self, Timeline, VERSION};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

const LOCK: &str = "lock";

/// Locks the folder of a run. The kernel releases the lock when the process ends, in whatever way.
pub fn lock(folder: &Path) -> io::Result<File> {
    let file = File::create(folder.join(LOCK))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Is the process of this run still alive?
pub fn alive(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

/// Removes what a dead run left behind; returns what could not be removed.
///
/// # Errors
/// When the run is still alive, or the folder is not that of a run.
pub async fn cleanup(folder: &Path, observer: Arc<dyn Observer>) -> Result<Vec<String>, Error> {
    let cannot = |e: io::Error| Error::caused_by(format!("cannot clean up after `{}`", folder.display()), e);
    if alive(folder) {
        return Err(
            Error::new(format!("`{}`", folder.display()), "the run is still going on").hint("stop it with Ctrl-C")
        );
    }
    let _lock = lock(folder).map_err(cannot)?;
    let lines = store::read_timeline(folder).map_err(cannot)?;
    let Some(Line { fact: Fact::Began { run, .. }, at, .. }) = lines.first() else { return Ok(vec![]) };
    let (run_context, at) =
        (RunContext { run: run.clone(), folder: folder.to_owned() }, lines.last().map_or(*at, |line| line.at));
    let mut problems = vec![];
    let plan = fs::read_to_string(folder.join(PLAN)).map_err(cannot)?;
    let plan = node::parse(&plan).map_err(|e| Error::caused_by(format!("cannot read the plan of `{run}`"), e))?;
    let environment = plan.get("environment").and_then(|node| pick("environment", ENVIRONMENTS, node, &mut problems));
    let environment =
        environment.ok_or_else(|| Error::new(format!("the plan of `{run}`"), "it names no environment"))?;
    observer.progress(&format!("removing what `{run}` left behind"));
    let intended = intended(&lines);
    let receipts = receipts(&lines);
    let mut left = vec![];
    match environment.open(&run_context, &receipts).await {
        Ok(Some(platform)) => {
            left.extend(lift(platform.as_ref(), &plan, &intended).await);
            if environment.standing() {
                let inventory = environment.inventory();
                left.extend(standing::settle_dead(platform.as_ref(), &run_context, &plan, &lines, &inventory).await);
            }
        }
        Ok(None) => {}
        Err(error) => left.push(error.to_string()),
    }
    left.extend(environment.remove(&run_context, &receipts).await);
    // A recovery point of a standing platform is never deleted: it may be the only one.
    match if environment.standing() { Ok(()) } else { fs::remove_dir_all(folder.join("points")) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => left.push(format!("its backups: {error}")),
        _ => {}
    }
    let facts = if left.is_empty() { vec![Fact::Removed] } else { left.iter().cloned().map(Fact::Left).collect() };
    append(folder, at, facts).map_err(cannot)?;
    Ok(left)
}

/// What was recorded before it was made or changed.
pub fn receipts(lines: &[Line]) -> Vec<Receipt> {
    let receipt = |line: &Line| if let Fact::Creating(receipt) = &line.fact { Some(receipt.clone()) } else { None };
    lines.iter().filter_map(receipt).collect()
}

/// The faults that were intended and never lifted, with their receipts.
fn intended(lines: &[Line]) -> BTreeMap<usize, Receipt> {
    let mut intended = BTreeMap::new();
    for line in lines {
        match &line.fact {
            Fact::Intended { fault, receipt, .. } => {
                intended.insert(*fault, receipt.clone());
            }
            Fact::Lifted { fault, error: None } => {
                intended.remove(fault);
            }
            _ => {}
        }
    }
    intended
}

/// Lifts the conditions among these faults, the last one first; returns what could not be lifted.
async fn lift(platform: &dyn Platform, plan: &Node, intended: &BTreeMap<usize, Receipt>) -> Vec<String> {
    let mut left = vec![];
    for (index, receipt) in intended.iter().rev() {
        let written = plan.get("faults").map(Node::items).and_then(|faults| faults.get(*index)?.get("fault"));
        let fault = written.and_then(|node| pick("fault", FAULTS, node, &mut vec![]));
        let lifted = match fault {
            Some(fault) if fault.nature() != Nature::Condition => Ok(()),
            Some(fault) => fault.lift(platform, receipt).await,
            None => Err(Error::new(format!("fault {index}"), "the plan does not say what it is")),
        };
        left.extend(lifted.err().map(|error| error.to_string()));
    }
    left
}

/// Appends facts to the timeline of a dead run.
pub fn append(folder: &Path, at: Moment, facts: Vec<Fact>) -> io::Result<()> {
    let mut timeline = Timeline::reopen(folder)?;
    let line = |fact| Line { schema: VERSION, number: 0, at, wall: clock::wall(), before: String::new(), fact };
    timeline.append(facts.into_iter().map(line).collect())?;
    timeline.sync()
}
