//! The end of a run on a standing platform: what the drill made goes, what it took and did not bring back is told with
//! the way out.
//!
//! Apart because the tear-down of a live run, `cleanup` and a restore by hand all do it.

use super::losses::{Losses, OpenLoss};
use crate::client::{Error, experiments};
use crate::clock::Moment;
use crate::environment::{Act, Asset, Platform, RunContext};
use crate::fault::FAULTS;
use crate::kind::pick;
use crate::model::{Fact, Line, Receipt, RecoveryPoint};
use crate::node::Node;
use crate::recovery::STEPS;
use crate::{engine::ENGINES, engine::Engine, environment::Inventory};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The longest time that removing the drill's own experiments may take.
const REMOVE: Duration = Duration::from_mins(1);

/// The pause before it is looked again: longer than a client may take to end.
const AGAIN: Duration = Duration::from_secs(3);

/// How the text begins that says that a standing platform is broken.
pub const BROKEN: &str = "the standing platform is broken";

/// What is written to the timeline before the drill's own experiments are made.
pub fn planting(run: &str) -> Receipt {
    Receipt(json!({ "experiments": experiments::experiments(run) }))
}

/// Tells what the run broke and did not mend, and removes the drill's own experiments; answers what is left.
pub async fn settle(
    platform: &dyn Platform,
    run_context: &RunContext,
    lines: &[Line],
    losses: &Losses,
    engine: Option<&dyn Engine>,
) -> Vec<String> {
    let open = losses.open(lines);
    let mut left: Vec<_> = broken(&open, lines, &run_context.folder).into_iter().collect();
    // Without the database there is nothing to remove them from; the restore by hand removes them.
    if planted(lines) && !open.iter().any(|loss| loss.lost.asset == Asset::Database) {
        let removed = tokio::time::timeout(REMOVE, remove_own(platform, &run_context.run)).await;
        let late = Error::new("the drill's own experiments", format!("not removed within {} s", REMOVE.as_secs()));
        left.extend(removed.unwrap_or(Err(late)).err().map(|error| error.to_string()));
    }
    if let Some(engine) = engine.filter(|_| restored(lines))
        && platform.guard(Act::Mend).await.is_ok()
    {
        left.extend(engine.tidy(platform).await);
    }
    left
}

/// Was a restore begun? Of a model alone too it fills a database at the side.
fn restored(lines: &[Line]) -> bool {
    let restore = |receipt: &Receipt| receipt.0["act"] == "restore" || receipt.0["act"] == "restore-model";
    lines.iter().any(|line| matches!(&line.fact, Fact::Acting(receipt) if restore(receipt)))
}

fn planted(lines: &[Line]) -> bool {
    lines.iter().any(|line| matches!(&line.fact, Fact::Creating(receipt) if receipt.0.get("experiments").is_some()))
}

/// Clients that wrote until a moment ago may write once more, so it looks again.
async fn remove_own(platform: &dyn Platform, run: &str) -> Result<(), Error> {
    platform.guard(Act::Mend).await?;
    let (sql, objects) = (platform.sql()?, platform.objects()?);
    let (store, bucket, prefix) = (objects.s3(), objects.bucket(), objects.prefix());
    let mut client = sql.connect(sql.database()).await?;
    while experiments::remove(&mut client, store, bucket, prefix, run).await? > 0 {
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// That the platform is broken, and the way out; nothing if nothing is lost.
pub fn broken(open: &[OpenLoss], lines: &[Line], folder: &Path) -> Option<String> {
    if open.is_empty() {
        return None;
    }
    let lost: Vec<_> = open.iter().map(|loss| format!("its {} (`{}`)", loss.lost, loss.by)).collect();
    let way_out = way_out(lines, folder);
    Some(format!("{BROKEN}: it lost {}, and no step brought that back; {way_out}", lost.join(" and ")))
}

/// Where the recovery points are, and how the newest of before the loss is restored by hand.
fn way_out(lines: &[Line], folder: &Path) -> String {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let (all, kept, folder) = (points(lines), folder.join("points"), folder.display());
    match before_loss(lines) {
        Some(RecoveryPoint { id, taken_at, .. }) => format!(
            "its {} recovery points are kept in `{}`, the newest from before the loss is {id} of {taken_at}; restore it \
             by hand: lifeboat restore {folder} {id}",
            all.len(),
            kept.display()
        ),
        None => format!(
            "there is no recovery point from before the loss; once you have brought it back yourself: lifeboat restore \
             {folder} --done"
        ),
    }
}

/// All complete points of a run, oldest first.
pub fn points(lines: &[Line]) -> Vec<RecoveryPoint> {
    let point = |line: &Line| if let Fact::BackupEnded { point, .. } = &line.fact { point.clone() } else { None };
    lines.iter().filter_map(point).collect()
}

/// The newest point from before the first fault; of a run that injected none, the newest.
pub fn before_loss(lines: &[Line]) -> Option<RecoveryPoint> {
    let struck = struck(lines);
    let before = |point: &RecoveryPoint| struck.is_none_or(|struck| point.snapshot < struck);
    points(lines).into_iter().filter(before).max_by_key(|point| point.snapshot)
}

/// When the first fault was about to be injected; nothing if none was.
pub fn struck(lines: &[Line]) -> Option<Moment> {
    lines.iter().find(|line| matches!(line.fact, Fact::Intended { .. })).map(|line| line.at)
}

/// What a plan's file says of losses, and its engine.
pub fn of_plan(plan: &Node, inventory: &Inventory) -> (Losses, Option<Arc<dyn Engine>>) {
    let (mut losses, mut problems) = (Losses::default(), vec![]);
    let items = |key: &str| plan.get(key).map(Node::items).unwrap_or_default();
    let engine = plan.get("protect").and_then(|protect| protect.get("engine"));
    let engine = engine.and_then(|node| pick("engine", ENGINES, node, &mut problems)).map(|engine| engine.it);
    for fault in items("faults") {
        if let Some(fault) = fault.get("fault").and_then(|node| pick("fault", FAULTS, node, &mut problems)) {
            losses.add_fault(fault.it.as_ref(), inventory);
        }
    }
    for planned in items("steps") {
        let id = planned.get("id").and_then(Node::text).unwrap_or_default();
        if let Some(step) = planned.get("step").and_then(|node| pick("step", STEPS, node, &mut problems)) {
            losses.add_step(id, step.it.as_ref(), engine.as_deref(), inventory);
        }
    }
    (losses, engine)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::wall;
    use crate::environment::stack;
    use crate::model::Finding;

    const PLAN: &str = "protect: { engine: { builtin: { postgres: logical } }, every: 5s }\n\
        faults: [{ at: disaster, fault: { database-drop: {} } }]\n\
        steps: [{ id: stop-mlflow, step: { stop: { component: mlflow } } }, { id: back, step: { restore: {} } }]\n";

    fn lines(facts: Vec<(f64, Fact)>) -> Vec<Line> {
        facts.into_iter().map(|(at, fact)| Line::new(Moment::at(at), wall(), fact)).collect()
    }

    fn backup(number: u64, at: f64) -> (f64, Fact) {
        let point =
            RecoveryPoint { id: format!("{number:04}"), snapshot: Moment::at(at), taken_at: wall(), bytes: Some(1) };
        (at + 1.0, Fact::BackupEnded { number, point: Some(point), error: None })
    }

    fn struck(at: f64) -> (f64, Fact) {
        (at, Fact::Intended { fault: 0, kind: "database-drop".into(), receipt: Receipt(json!({})) })
    }

    #[test]
    fn a_loss_that_no_step_brought_back_is_told_with_the_point_and_the_command() {
        let (losses, engine) = of_plan(&crate::node::parse(PLAN).unwrap(), &stack::inventory());
        assert!(engine.is_some());
        let mut lines = lines(vec![backup(1, 5.0), backup(2, 10.0), struck(12.0), backup(3, 14.0)]);
        let open = losses.open(&lines);
        let said = broken(&open, &lines, Path::new("/reports/a/1")).unwrap();
        assert!(said.starts_with(BROKEN) && said.contains("its database (`database-drop`)"), "{said}");
        assert!(said.contains("3 recovery points are kept in `/reports/a/1/points`"), "{said}");
        assert!(said.ends_with("lifeboat restore /reports/a/1 0002"), "{said}");
        let back = Fact::StepEnded { id: "back".into(), finding: Finding::met() };
        lines.extend(self::lines(vec![(20.0, back)]));
        assert!(losses.open(&lines).is_empty());
    }

    #[test]
    fn a_restore_of_one_model_too_is_tidied_up() {
        let acting = |act: &str| lines(vec![(1.0, Fact::Acting(Receipt(json!({ "act": act }))))]);
        assert!(restored(&acting("restore")) && restored(&acting("restore-model")));
        assert!(!restored(&acting("restore-key")) && !restored(&[]));
    }

    #[test]
    fn without_a_point_from_before_the_loss_no_point_is_named() {
        let lines = lines(vec![struck(2.0), backup(1, 5.0)]);
        assert!(way_out(&lines, Path::new("x")).ends_with("/x --done"));
    }
}
