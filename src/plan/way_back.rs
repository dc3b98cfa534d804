//! The way back: on a standing platform nothing is lost that the runbook does not bring back.
//!
//! Crashes and conditions need none. A loss needs a step that brings back all that is lost without an engine, proved
//! possible while planning; or an engine that covers it, whose points are proved, and a step that restores.

use super::Plan;
use crate::environment::{Asset, AssetUnder, Inventory, LossKind, Survey};
use crate::model::Phase;
use crate::model::When;
use crate::recovery::Step;

/// Why the plan must not be carried out on a standing platform; nothing if all that is lost comes back.
pub fn refusals(plan: &Plan, inventory: &Inventory, survey: &Survey) -> Vec<String> {
    let mut all = vec![];
    for timed in &plan.faults {
        let taken = timed.fault.takes(inventory);
        let what = format!("the fault `{}`", timed.fault.name);
        if timed.at.phase == Phase::Recovery && !taken.is_empty() {
            all.push(format!(
                "{what} is a loss during the recovery: on a standing platform nothing makes sure that what brings it \
                 back comes after it; let it strike in the disaster"
            ));
        }
        let how = timed.fault.loss();
        all.extend(taken.iter().filter_map(|lost| none_for(plan, 0, &what, (lost, how), survey)));
    }
    for (index, planned) in plan.steps.iter().enumerate() {
        let what = format!("the step `{}`", planned.id);
        if planned.step.needs_throw_away() {
            all.push(format!(
                "{what} is undone only by the platform's removal, should the run die: it is not for one that stays"
            ));
        }
        let taken = planned.step.takes(inventory);
        // A step that takes something gives up a whole disk.
        all.extend(taken.iter().filter_map(|lost| none_for(plan, index + 1, &what, (lost, LossKind::Purged), survey)));
    }
    all
}

/// Why nothing from this step on brings back what is lost in this way.
fn none_for(
    plan: &Plan,
    from: usize,
    what: &str,
    (lost, how): (&AssetUnder, LossKind),
    survey: &Survey,
) -> Option<String> {
    // A fallback is carried out only if something failed.
    let steps = || plan.steps.iter().skip(from).filter(|planned| planned.when != When::Failed);
    let mut reasons = vec![];
    match steps().find_map(|planned| planned.step.brings_back(how).filter(|back| back.holds(lost))) {
        Some(_) if survey.no_undelete.is_none() => return None,
        Some(_) => reasons.extend(survey.no_undelete.clone()),
        None if lost.asset == Asset::Artifacts => reasons.push(match how {
            LossKind::Removed => format!("no step undeletes the {lost}"),
            LossKind::Overwritten => format!("no step rolls the {lost} back to `before-disaster`"),
            LossKind::Purged => format!("no version of the {lost} is left in the bucket"),
        }),
        None => {}
    }
    match &plan.setup.protect {
        None => reasons.push("the drill has no `protect`".into()),
        Some(protect) if !protect.engine.covers().contains(&lost.asset) => {
            let covered: Vec<_> = protect.engine.covers().iter().map(Asset::to_string).collect();
            let covered = if covered.is_empty() { "nothing; see `covers`".into() } else { covered.join(", ") };
            reasons.push(format!("the engine `{}` covers {covered}", protect.engine.name));
        }
        Some(protect) if !protect.engine.brings_back(lost.asset, how) => {
            reasons.push(format!("the engine `{}` needs the versions that are lost with it", protect.engine.name));
        }
        Some(protect) if !protect.engine.verifies() => {
            reasons.push(format!("the points of the engine `{}` are not proved; see `verify`", protect.engine.name));
        }
        Some(_) if !steps().any(|planned| restores(planned.step.it.as_ref(), lost)) => {
            reasons.push("no step of the runbook restores it".into());
        }
        Some(_) => return None,
    }
    let reasons = reasons.join(", and ");
    Some(format!("{what} takes the {lost} of a standing platform, and nothing would bring it back: {reasons}"))
}

/// Does the step restore all that is lost, if the engine covers it?
fn restores(step: &dyn Step, lost: &AssetUnder) -> bool {
    let restored =
        |asset: &Asset| AssetUnder { asset: *asset, prefix: step.restores_only().unwrap_or_default().to_owned() };
    step.restores().iter().map(restored).any(|restored| restored.holds(lost))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::load;
    use super::*;
    use crate::environment::{Thing, stack};
    use crate::fault::{FAULTS, Nature};
    use crate::kind::pick;
    use std::fs;

    const BUILTIN: &str = "protect: { engine: { builtin: { postgres: logical } } }";

    fn inventory() -> Inventory {
        let mut inventory = stack::inventory();
        inventory.things.extend([Thing::disk("data", "postgres"), Thing::disk("objects", "s3")]);
        inventory
    }

    fn said(protect: &str, faults: &str, recovery: &str, survey: &Survey) -> String {
        let folder = tempfile::tempdir().unwrap();
        let attach = "kubernetes: { attach: { namespace: a, store: b, token: t, fingerprints: \
            { cluster: x, namespace: x, store: x, postgres: x, database: x, bucket: x } } }";
        let drill = format!(
            "drill: a\nscenario: ./scenario.yaml\nenvironment: {{ {attach} }}\n{protect}\nprobes: [mlflow: {{ depth: read }}]\n"
        );
        fs::write(folder.path().join("drill.yaml"), drill).unwrap();
        let scenario = format!("scenario: s\nfaults: [{faults}]\nrecovery: [{recovery}]\n");
        fs::write(folder.path().join("scenario.yaml"), scenario).unwrap();
        let plan = load(&folder.path().join("drill.yaml")).unwrap_or_else(|wrong| panic!("{wrong}"));
        refusals(&plan, &inventory(), survey).join("; ")
    }

    fn refusal(protect: &str, faults: &str, recovery: &str) -> String {
        said(protect, faults, recovery, &Survey::default())
    }

    #[test]
    fn a_crash_and_a_condition_need_no_way_back() {
        for fault in
            ["kill: { component: postgres }", "pod-kill: { component: mlflow }", "pause: { component: mlflow }"]
        {
            assert_eq!(refusal("", fault, ""), "", "{fault}");
        }
    }

    #[test]
    fn what_only_a_removal_undoes_is_not_done_to_what_stays() {
        let said = refusal("", "pause: { component: mlflow }", "isolate: {}, end-isolation: {}");
        assert!(said.starts_with("the step `isolate` is undone only by the platform's removal"), "{said}");
    }

    #[test]
    fn a_loss_needs_an_engine_that_covers_it_and_a_step_that_restores_it() {
        let drop = "database-drop: {}";
        assert_eq!(refusal(BUILTIN, drop, "restore: {}"), "");
        assert!(refusal("", drop, "").contains("the drill has no `protect`"));
        assert!(refusal(BUILTIN, drop, "").contains("no step of the runbook restores it"));
        let fallback = "start: { component: mlflow }, { restore: {}, when: failed }";
        assert!(
            refusal(BUILTIN, drop, fallback).contains("no step of the runbook restores it"),
            "a fallback may be skipped"
        );
        let command =
            |more: &str| format!("protect: {{ engine: {{ command: {{ backup: 'true', restore: 'true'{more} }} }} }}");
        assert!(refusal(&command(""), drop, "restore: {}").contains("covers nothing; see `covers`"));
        assert!(
            refusal(&command(", covers: [artifacts], verify: 'true'"), drop, "restore: {}")
                .contains("covers artifacts")
        );
        assert!(
            refusal(&command(", covers: [database]"), drop, "restore: {}").contains("are not proved; see `verify`")
        );
        assert_eq!(refusal(&command(", covers: [database], verify: ./look"), drop, "restore: {}"), "");
    }

    #[test]
    fn a_namespace_and_a_secret_are_more_than_a_database() {
        for fault in ["namespace-removed: {}", "config-lost: { secret: platform }"] {
            let why = refusal(BUILTIN, fault, "recreate-namespace: {}, restore: {}");
            assert!(why.contains("takes the resources of a standing platform"), "{fault}: {why}");
            assert!(why.contains("the engine `builtin` covers database"), "{fault}: {why}");
        }
    }

    #[test]
    fn deleted_artifacts_come_back_where_versions_stay_and_the_step_reaches_all_of_them() {
        let of = |prefix: &str| format!("artifacts-deleted: {{ prefix: {prefix} }}");
        assert_eq!(refusal("", "artifacts-deleted: {}", "undelete: {}"), "");
        assert_eq!(refusal("", &of("1/"), "undelete: {}"), "");
        assert_eq!(refusal("", &of("1/"), "undelete: { prefix: 1/ }"), "");
        assert!(
            refusal("", &of("1/"), "undelete: { prefix: 2/ }").contains("no step undeletes the artifacts under `1/`")
        );
        let survey = Survey { no_undelete: Some("the bucket keeps no versions".into()), ..Survey::default() };
        assert!(said("", "artifacts-deleted: {}", "undelete: {}", &survey).contains("the bucket keeps no versions"));
    }

    #[test]
    fn overwritten_artifacts_come_back_by_a_rollback_to_before_the_disaster_only() {
        let fault = "artifacts-overwritten: {}";
        assert_eq!(refusal("", fault, "roll-back-bucket: {}"), "");
        let later = "roll-back-bucket: { to: 2026-03-01T12:00:00Z }";
        for step in ["undelete: {}", later, "roll-back-bucket: { prefix: 1/ }"] {
            let why = refusal("", fault, step);
            assert!(why.contains("no step rolls the artifacts back to `before-disaster`"), "{step}: {why}");
        }
        assert_eq!(refusal("", "artifacts-deleted: {}", "roll-back-bucket: {}"), "");
        assert!(refusal("", "artifacts-deleted: {}", later).contains("no step undeletes the artifacts"));
    }

    #[test]
    fn what_was_purged_with_its_versions_is_never_undeleted() {
        for fault in ["bucket-lost: {}", "disk-lost: { component: s3 }"] {
            let why = refusal("", fault, "undelete: {}");
            assert!(why.contains("no version of the artifacts is left in the bucket"), "{fault}: {why}");
        }
        let engine =
            "protect: { engine: { command: { backup: 'true', restore: 'true', covers: [artifacts], verify: ./v } } }";
        assert_eq!(refusal(engine, "bucket-lost: {}", "restore: {}"), "");
        let of = |method: &str| {
            format!("protect: {{ engine: {{ builtin: {{ postgres: logical, artifacts: {method} }} }} }}")
        };
        assert_eq!(refusal(&of("objects"), "bucket-lost: {}", "restore: {}"), "");
        let why = refusal(&of("versions"), "bucket-lost: {}", "restore: {}");
        assert!(why.contains("the engine `builtin` needs the versions that are lost with it"), "{why}");
        assert_eq!(refusal(&of("versions"), "artifacts-overwritten: {}", "restore: {}"), "");
    }

    #[test]
    fn a_lost_model_comes_back_alone_or_with_all_the_rest() {
        let both = "protect: { engine: { builtin: { postgres: logical, artifacts: objects } } }";
        let fault = "model-deleted: { model: churn }";
        for step in ["restore-model: { model: churn }", "restore: {}"] {
            assert_eq!(refusal(both, fault, step), "", "{step}");
        }
        let why = refusal(both, fault, "restore-model: { model: churn-2 }");
        assert!(why.contains("takes the model `churn` of a standing platform"), "{why}");
        let why = refusal(BUILTIN, fault, "restore: {}");
        assert!(why.contains("the engine `builtin` covers database"), "{why}");
        let why = refusal(both, "database-drop: {}", "restore-model: { model: churn }");
        assert!(why.contains("no step of the runbook restores it"), "{why}");
    }

    #[test]
    fn a_step_that_gives_a_disk_up_is_a_loss_and_the_restore_comes_after_it() {
        let kill = "kill: { component: postgres }";
        assert_eq!(refusal(BUILTIN, kill, "new-disk: { component: postgres }, restore: {}"), "");
        let why = refusal(BUILTIN, kill, "restore: {}, new-disk: { component: postgres }");
        assert!(why.starts_with("the step `new-disk-postgres` takes the database"), "{why}");
        assert!(refusal(BUILTIN, "disk-lost: { component: s3 }", "restore: {}").contains("takes the artifacts"));
    }

    #[test]
    fn a_loss_during_the_recovery_may_come_after_what_brings_it_back() {
        let late = "kill: { component: mlflow }, { database-drop: {}, at: recovery+5s }";
        assert!(refusal(BUILTIN, late, "restore: {}").contains("is a loss during the recovery"));
    }

    #[test]
    fn every_loss_says_what_it_takes_and_nothing_else_does() {
        for kind in FAULTS {
            let node = crate::node::parse(kind.example).unwrap();
            let fault = pick("fault", FAULTS, &node, &mut vec![]).unwrap();
            let takes = !fault.takes(&inventory()).is_empty();
            assert_eq!(fault.nature() == Nature::Loss, takes, "{}", kind.name);
        }
    }
}
