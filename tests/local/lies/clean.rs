//! Recovery points that hold a harm, tried by the step `restore: { to: clean }` on the real platform: each is refused by
//! its own reason, the newest without one takes its place, and where all hold one nothing is replaced. D5.

use super::fixture::{Fixture, open_engine};
use crate::notes::Notes;
use crate::strike::onset;
use async_trait::async_trait;
use lifeboat::check::Check;
use lifeboat::client::Error;
use lifeboat::engine::{PointBeside, Session};
use lifeboat::kind::pick;
use lifeboat::model::{Disaster, Finding, Onset, Planted, Verdict};
use lifeboat::node::parse;
use lifeboat::recovery::{Conditions, PointChecks, STEPS, StepContext};
use std::sync::Arc;

const ENGINE: &str = "builtin: { postgres: logical, artifacts: objects }";

/// The check `contents` with what it planted before the attack.
struct Before(Arc<dyn Check>, Planted);

#[async_trait]
impl PointChecks for Before {
    async fn look(&self, beside: &PointBeside<'_>) -> Finding {
        self.0.in_point(beside.platform, beside.artifacts.map(|it| it.objects), &self.1).await
    }
}

#[async_trait]
impl Conditions for Before {
    async fn lift(&self) -> Result<(), Error> {
        Ok(())
    }
}

async fn restored(fixture: &Fixture, before: &Before, session: &dyn Session, scan: &str) -> Finding {
    let (now, outputs, notes) = (lifeboat::clock::wall(), [].into(), Notes::default());
    let context = StepContext {
        platform: &*fixture.platform,
        disaster: Disaster::of_one(Onset::default(), now, now),
        session: Some(session),
        outputs: &outputs,
        folder: fixture.folder.path(),
        conditions: before,
        checks: Some(before),
        journal: &notes,
    };
    let step = format!("restore: {{ to: clean{scan} }}");
    let step = pick("step", STEPS, &parse(&step).unwrap(), &mut vec![]).unwrap().it;
    let finding = step.carry_out(&context).await;
    println!("{finding:?}");
    let recorded = notes.0.lock().unwrap().len();
    assert_eq!(recorded, usize::from(finding.verdict == Verdict::Met), "only what replaces something is recorded");
    finding
}

async fn databases(fixture: &Fixture) -> i64 {
    let client = fixture.sql().connect("postgres").await.unwrap();
    client.query_one("SELECT count(*) FROM pg_database", &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_with_any_harm_is_refused_and_the_newest_without_one_is_restored() {
    let fixture = Fixture::new("clean").await;
    let before = Before(fixture.check(), fixture.plant().await);
    let open = async |name: &str| {
        let folder = fixture.folder.path().join(name);
        open_engine(ENGINE, Arc::clone(&fixture.platform), &folder, None).await
    };
    let (session, ruins) = (open("points").await, open("ruins").await);
    let key = fixture.keys("MLmodel").swap_remove(0);
    let scrambled = "UPDATE params SET value = 'x' || value WHERE ctid = (SELECT min(ctid) FROM params)";
    for point in ["oldest", "clean"] {
        session.backup(point).await.unwrap();
    }
    // Of the same length, as encryption leaves it.
    fixture.put(&key, fixture.bytes(&key).iter().map(|byte| byte ^ 1).collect()).await;
    session.backup("object").await.unwrap();
    fixture.undo_objects().await;
    fixture.database(scrambled).await;
    session.backup("row").await.unwrap();
    ruins.backup("row").await.unwrap();
    fixture.put(&key, b"ransom".to_vec()).await;
    fixture.database("DELETE FROM metrics").await;

    let finding = restored(&fixture, &before, &*ruins, "").await;
    assert_eq!((finding.verdict, finding.get("point")), (Verdict::Missed, None));
    let said = finding.reason.unwrap();
    assert!(said.starts_with("none of 1 recovery points is clean, and nothing was replaced: row: rows of"), "{said}");
    let ruined = fixture.verify().await.reason.unwrap();
    assert!(ruined.contains("metrics`: gone are") && ruined.contains("objects have other bytes"), "{ruined}");
    assert_eq!(databases(&fixture).await, 5, "the database at the side is gone");

    let sees = format!("test \"$LIFEBOAT_POINT\" = oldest && test -s \"$LIFEBOAT_ARTIFACTS/{key}\"");
    let veto = format!(", scan: '{sees}'");
    let finding = restored(&fixture, &before, &*session, &veto).await;
    assert_eq!((finding.verdict, finding.get("point")), (Verdict::Met, Some("oldest")), "{finding:?}");
    assert!(finding.get("refused clean").unwrap().starts_with("the scan: "));
    assert_eq!(fixture.verify().await.verdict, Verdict::Met);

    fixture.put(&key, b"ransom".to_vec()).await;
    fixture.database("DELETE FROM metrics").await;
    let finding = restored(&fixture, &before, &*session, "").await;
    assert_eq!((finding.verdict, finding.get("point")), (Verdict::Met, Some("clean")), "{finding:?}");
    let figure = |name: &str| finding.get(name).unwrap();
    assert_eq!([figure("tried"), figure("refused")], ["3", "2"]);
    assert!(figure("refused row").starts_with("rows of `public.params` are others now:"));
    assert_eq!(figure("refused object"), format!("objects have other bytes: `{key}`"));
    assert_eq!(fixture.verify().await.verdict, Verdict::Met, "what took the place is what was there before");
    assert_eq!(databases(&fixture).await, 5);

    purges_what_the_stolen_key_may(&fixture, false).await;
    let finding = restored(&fixture, &before, &*session, "").await;
    assert_eq!((finding.get("point"), fixture.verify().await.verdict), (Some("clean"), Verdict::Met));
    purges_what_the_stolen_key_may(&fixture, true).await;
    fixture.end().await;
}

/// Strikes with ransomware: MLflow's key purges the older versions, unless a policy forbids it to delete.
async fn purges_what_the_stolen_key_may(fixture: &Fixture, forbidden: bool) {
    let platform = &*fixture.platform;
    if forbidden {
        onset(platform, "policy-broken: { deny: [delete] }").await;
    }
    let (fault, receipt) = onset(platform, "ransomware: {}").await;
    let finding = fault.confirm(platform, &receipt).await;
    let left: u64 = finding.get("older versions left").unwrap().parse().unwrap();
    assert_eq!(left > 0, forbidden, "{finding:?}");
    let ruined = fixture.verify().await.reason.unwrap();
    for harmed in ["rows of `public.params` are others now", "`public.tags`", "objects have other bytes"] {
        assert!(ruined.contains(harmed), "{ruined}");
    }
    let again = fault.intend(platform).await.unwrap_err().to_string();
    assert!(again.contains("params and tags hold none"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_whose_bytes_stay_in_the_bucket_are_judged_too() {
    let fixture = Fixture::new("clean-versions").await;
    let before = Before(fixture.check(), fixture.plant().await);
    let engine = ENGINE.replace("objects", "versions");
    let session =
        open_engine(&engine, Arc::clone(&fixture.platform), &fixture.folder.path().join("points"), None).await;
    let key = fixture.keys("MLmodel").swap_remove(0);
    session.backup("clean").await.unwrap();
    fixture.put(&key, fixture.bytes(&key).iter().map(|byte| byte ^ 1).collect()).await;
    session.backup("object").await.unwrap();
    let finding = restored(&fixture, &before, &*session, "").await;
    assert_eq!((finding.verdict, finding.get("point")), (Verdict::Met, Some("clean")), "{finding:?}");
    assert_eq!(finding.get("refused object").unwrap(), format!("objects have other bytes: `{key}`"));
    assert_eq!(fixture.verify().await.verdict, Verdict::Met, "the server has shown the version of before");
    fixture.end().await;
}
