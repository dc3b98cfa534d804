//! `cleanup`: removes what a run left behind whose process died, with nothing but the run's folder.
//!
//! Apart from the tear-down because it has no live run: it reads the plan and the receipts from disk. Each undo has its
//! time; when that is over the next one follows, and what was not undone is named.

use super::dead::DeadRun;
use super::remains::{described, intended, unsure};
use super::{Observer, leftovers, repositories, standing};
use crate::client::{Error, process};
use crate::environment::Platform;
use crate::fault::{FAULTS, Nature};
use crate::kind::pick;
use crate::model::{Fact, Receipt, Span};
use crate::node::Node;
use crate::spec::DrillRepositories;
use futures::future::join;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Removes what a dead run left behind; returns what could not be removed. `within` is the time of each undo; the removal
/// of the whole platform, which is many things, has twice that.
///
/// # Errors
/// When the run is still alive, or the folder is not that of a run.
pub async fn cleanup(folder: &Path, observer: Arc<dyn Observer>, within: Duration) -> Result<Vec<String>, Error> {
    let Some(dead) = DeadRun::read(folder, "clean up", Arc::clone(&observer))? else { return Ok(vec![]) };
    let (run, environment) = (dead.context.run.as_str(), &dead.environment);
    observer.progress(&format!("removing what `{run}` left behind"));
    let mut left = end_commands(run, observer.as_ref()).await;
    let removal = async {
        let removed = timeout(within * 2, environment.remove(&dead.context, &dead.receipts())).await;
        let late = format!("not known to be gone within {}", Span(within * 2));
        removed.unwrap_or_else(|_| unsure(run, &dead.lines, &late))
    };
    let platform = match timeout(within, dead.platform()).await {
        Ok(found) => found.unwrap_or_else(|error| {
            left.push(error.to_string());
            None
        }),
        Err(_) => {
            left.push(format!("the platform of `{run}` was not found within {}", Span(within)));
            None
        }
    };
    let intended = intended(&dead.lines);
    let lifting = async {
        let Some(platform) = &platform else { return vec![] };
        lift(platform.as_ref(), &dead.plan, &intended, within).await
    };
    if environment.standing() {
        left.extend(lifting.await);
        if let Some(platform) = platform {
            let (losses, engine) = standing::of_plan(&dead.plan, &environment.inventory());
            let (context, lines) = (&dead.context, &dead.lines);
            let settled = standing::settle(platform.as_ref(), context, lines, &losses, engine.as_deref());
            let late = vec![format!("the standing platform was not put back within {}", Span(within * 4))];
            left.extend(timeout(within * 4, settled).await.unwrap_or(late));
        }
        left.extend(removal.await);
    } else {
        left.extend(undo(lifting, removal, within / 3).await);
    }
    // A recovery point of a standing platform is never deleted: it may be the only one.
    match if environment.standing() { Ok(()) } else { fs::remove_dir_all(folder.join("points")) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => left.push(format!("its backups: {error}")),
        _ => {}
    }
    let removed = repositories::remove_points(&DrillRepositories::of_plan(&dead.plan), run, &dead.lines).await;
    left.extend(removed.left);
    removed.locked.iter().for_each(|locked| observer.progress(locked));
    let facts = if left.is_empty() { vec![Fact::Removed] } else { left.iter().cloned().map(Fact::Left).collect() };
    dead.append(facts)?;
    Ok(left)
}

/// Lifts, then removes. A lift that takes longer than `patience` may be one of a switch that hangs: it goes on while the
/// platform is removed, so that the whole is bounded. Answers what is left by both.
async fn undo(
    lifting: impl Future<Output = Vec<String>>,
    removal: impl Future<Output = Vec<String>>,
    patience: Duration,
) -> Vec<String> {
    let mut lifting = pin!(lifting);
    let (mut left, removed) = match timeout(patience, &mut lifting).await {
        Ok(left) => (left, removal.await),
        Err(_) => join(lifting, removal).await,
    };
    left.extend(removed);
    left
}

/// Ends what commands, tools and switches of the run still do; answers what lives on.
async fn end_commands(run: &str, observer: &dyn Observer) -> Vec<String> {
    let mut found = process::commands_of(run);
    found.extend(process::switches_of(run));
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::environment::{Components, Endpoints};
    use crate::model::Finding;
    use crate::node;
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
    async fn the_removal_waits_for_the_lifting_but_not_for_one_that_hangs() {
        let (within, removes) = (Duration::from_secs(30), Duration::from_secs(15));
        for (lifts, whole) in [(2, 17), (30, 30)] {
            let watch = clock::Stopwatch::start();
            let act = |takes, what: &str| {
                let what = what.to_owned();
                async move {
                    tokio::time::sleep(takes).await;
                    vec![what]
                }
            };
            let left = undo(act(Duration::from_secs(lifts), "node"), act(removes, "namespace"), within / 3).await;
            assert_eq!(
                (left, watch.elapsed()),
                (vec!["node".to_owned(), "namespace".to_owned()], Duration::from_secs(whole))
            );
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
