//! A restore by hand: after a run that left a standing platform broken, from a recovery point that the run kept.
//!
//! Apart from the runbook's step because no run is alive: it needs the run's folder and the identity of the platform, and
//! no token.

use super::dead::DeadRun;
use super::losses::only_models;
use super::{Observer, standing};
use crate::client::Error;
use crate::clock::Clock;
use crate::engine::{EngineContext, Goal, ModelRestore, RestorePlan, Session, WantedModel, WantedVersions};
use crate::environment::{Act, Identity, Platform};
use crate::model::{Fact, Finding, Line, Verdict};
use std::path::Path;
use std::sync::Arc;

/// What is to be restored by hand.
#[derive(Debug, Clone)]
pub enum ByHand {
    /// The newest point from before the loss, or the one of this name.
    Point(Option<String>),
    /// Nothing: its owner has brought back what was lost.
    Done,
}

/// Restores a recovery point of a run that is over to the standing platform that it used, puts back what the run changed
/// besides, and removes the drill's own experiments. Answers what is left.
///
/// # Errors
/// When the run is still alive, used no standing platform, or has no such point; when that platform is no longer the one
/// that it was; when the restore did not work.
pub async fn restore(folder: &Path, what: ByHand, observer: Arc<dyn Observer>) -> Result<Vec<String>, Error> {
    let dead = DeadRun::read(folder, "restore", Arc::clone(&observer))?;
    let named = format!("`{}`", folder.display());
    let dead = dead.ok_or_else(|| Error::new(&named, "it is the folder of no run"))?;
    if !dead.environment.standing() {
        return Err(Error::new(named, "its platform was made for the drill and went with it"));
    }
    let platform = dead.platform().await?.ok_or_else(|| Error::new(&named, "it touched no platform"))?;
    let said = match what {
        ByHand::Done => "what was lost was brought back by its owner".to_owned(),
        ByHand::Point(id) => carry_out(&platform, &dead, goal(&dead.lines, id), observer.as_ref()).await?,
    };
    let mut facts = vec![Fact::Note(said)];
    observer.progress("putting back what the run changed besides");
    // What was lost is back, so of the settling only what the drill made is left to do.
    let nothing_lost = super::losses::Losses::default();
    let mut left = standing::settle(platform.as_ref(), &dead.context, &dead.lines, &nothing_lost, None).await;
    left.extend(platform.remove().await);
    facts.extend(platform.news().into_iter().map(Fact::Note));
    facts.iter().for_each(|fact| {
        if let Fact::Note(text) = fact {
            observer.progress(text);
        }
    });
    facts.extend(if left.is_empty() { vec![Fact::Removed] } else { left.iter().cloned().map(Fact::Left).collect() });
    dead.append(facts)?;
    Ok(left)
}

/// The point of this name, or the newest from before the loss.
fn goal(lines: &[Line], id: Option<String>) -> Goal {
    id.map_or_else(|| Goal::Latest(standing::struck(lines)), Goal::Point)
}

/// Restores, and answers what is to be said of it.
async fn carry_out(
    platform: &Arc<dyn Platform>,
    dead: &DeadRun,
    goal: Goal,
    observer: &dyn Observer,
) -> Result<String, Error> {
    let (losses, engine) = standing::of_plan(&dead.plan, &dead.environment.inventory());
    let engine = engine.ok_or_else(|| Error::new("the drill", "it has no `protect` to restore with"))?;
    let context = EngineContext {
        platform: Arc::clone(platform),
        folder: dead.context.folder.join("points"),
        clock: Clock::start(),
        known: standing::points(&dead.lines),
        reader: None,
        repository: None,
    };
    let session = engine.open(context).await?;
    let plan = session.plan(&goal).await?;
    let open = losses.open(&dead.lines);
    let models = only_models(&open);
    let finding = if models.is_empty() {
        observer.progress(&format!("restoring the point {}", plan.point.id));
        platform.ends(Identity::Database).await?;
        session.restore(&plan).await
    } else {
        observer.progress(&format!("restoring {} of the point {}", models.join(", "), plan.point.id));
        restore_models(session.as_ref(), &plan, &models).await
    };
    if finding.verdict != Verdict::Met {
        let why = finding.reason.unwrap_or_else(|| "it did not end well".into());
        return Err(Error::new(format!("the restore of the point {}", plan.point.id), why));
    }
    platform.guard(Act::Mend).await?;
    Ok(format!("restored by hand from the point {}", plan.point.id))
}

/// Restores models alone, up to the first that is not.
async fn restore_models(session: &dyn Session, plan: &RestorePlan, models: &[&str]) -> Finding {
    for name in models {
        let model = WantedModel { name: (*name).to_owned(), versions: WantedVersions::All };
        let restore = ModelRestore { model, replace: false, dry_run: false, elsewhere: false };
        let finding = session.restore_model(plan, &restore).await;
        if finding.verdict != Verdict::Met {
            return finding;
        }
    }
    Finding::met()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::{Moment, wall};
    use crate::model::{Receipt, RecoveryPoint};

    fn lines() -> Vec<Line> {
        let backup = |number: u64, at: f64| {
            let point =
                RecoveryPoint { id: format!("{number:04}"), snapshot: Moment::at(at), taken_at: wall(), bytes: None };
            (at, Fact::BackupEnded { number, point: Some(point), error: None })
        };
        let struck = Fact::Intended { fault: 0, kind: "x".into(), receipt: Receipt(serde_json::Value::Null) };
        let facts = [backup(1, 1.0), backup(2, 2.0), (3.0, struck), backup(3, 4.0)];
        facts.into_iter().map(|(at, fact)| Line::new(Moment::at(at), wall(), fact)).collect()
    }

    #[test]
    fn the_newest_point_from_before_the_loss_is_restored_if_none_is_named() {
        let points = standing::points(&lines());
        let chosen = |id: Option<&str>| {
            let plan = RestorePlan::of_points(&points, &goal(&lines(), id.map(str::to_owned)));
            plan.map(|plan| plan.point.id).map_err(|error| error.to_string())
        };
        assert_eq!(chosen(None).unwrap(), "0002");
        assert_eq!(chosen(Some("0003")).unwrap(), "0003");
        let error = chosen(Some("0009")).unwrap_err();
        assert!(error.contains("known: 0001 of") && error.contains("0003 of"), "{error}");
        assert!(RestorePlan::of_points(&[], &goal(&[], None)).is_err());
    }
}
