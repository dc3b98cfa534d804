//! Tests of the choice of a clean point: what is tried, recorded, replaced and said.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::client::s3::ListedObject;
use crate::clock::Moment;
use crate::engine::{PointArtifacts, RestorePlan};
use crate::environment::{Endpoints, Identity, Journal, Platform};
use crate::model::{Disaster, Onset, Receipt};
use crate::recovery::{Conditions, PointChecks};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use tokio::io::AsyncRead;

/// A platform, its engine and its checks. Of each point it knows why the checks refuse it; nothing if it is clean.
#[derive(Default)]
struct Attacked {
    endpoints: Endpoints,
    points: BTreeMap<&'static str, Option<&'static str>>,
    objects: Vec<&'static str>,
    /// Does what follows the judgement fail?
    breaks: bool,
    looked_at: Mutex<Option<String>>,
    done: Mutex<Vec<String>>,
}

impl Attacked {
    fn with(points: &[(&'static str, Option<&'static str>)]) -> Self {
        let uri = "postgresql://mlflow@127.0.0.1:1/side".to_owned();
        let endpoints = Endpoints { postgres: Some(uri), ..Endpoints::default() };
        Self { endpoints, points: points.iter().copied().collect(), ..Self::default() }
    }

    async fn restored(&self, scan: Option<&str>) -> Finding {
        let scan = scan.map(|scan| scan.parse().unwrap());
        self.carried_out(0, async |context| restore(context, self, scan.as_ref()).await).await
    }

    /// Carries out a step after a disaster that struck at this moment, in nanoseconds: each point has its own.
    async fn carried_out(&self, struck: u64, step: impl AsyncFnOnce(&StepContext<'_>) -> Finding) -> Finding {
        let (folder, outputs) = (tempfile::tempdir().unwrap(), [].into());
        let onset = Onset { injecting: Moment(struck), confirmed: Moment(struck) };
        let context = StepContext {
            platform: self,
            disaster: Disaster::of_one(onset, crate::clock::wall(), crate::clock::wall()),
            session: Some(self),
            outputs: &outputs,
            folder: folder.path(),
            conditions: self,
            checks: Some(self),
            journal: self,
        };
        step(&context).await
    }

    fn done(&self) -> String {
        self.done.lock().join(", ")
    }
}

#[async_trait]
impl Platform for Attacked {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
    async fn ends(&self, _: Identity) -> Result<(), Error> {
        Ok(())
    }
    async fn remove(&self) -> Vec<String> {
        vec![]
    }
}

#[async_trait]
impl Conditions for Attacked {
    async fn lift(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl Journal for Attacked {
    async fn creating(&self, _: Receipt) -> Result<(), Error> {
        Ok(())
    }
    async fn acting(&self, receipt: Receipt) -> Result<(), Error> {
        self.done.lock().push(format!("recorded {}", receipt.0["identity"].as_str().unwrap()));
        Ok(())
    }
    fn progress(&self, _: &str) {}
}

#[async_trait]
impl PointChecks for Attacked {
    async fn look(&self, _: &PointBeside<'_>) -> Finding {
        let point = self.looked_at.lock().clone().unwrap();
        self.done.lock().push(format!("looked at {point}"));
        self.points[point.as_str()].map_or_else(Finding::met, Finding::missed)
    }
}

#[async_trait]
impl ObjectSource for Attacked {
    async fn list(&self, _: &str) -> Result<Vec<ListedObject>, Error> {
        let object = |key: &&str| ListedObject { key: (*key).to_owned(), size: 5, etag: None };
        Ok(self.objects.iter().map(object).collect())
    }
    async fn read(&self, key: &str) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        Ok(Box::new(io::Cursor::new(format!("bytes of {key}").into_bytes())))
    }
}

#[async_trait]
impl Session for Attacked {
    async fn backup(&self, _: &str) -> Result<RecoveryPoint, Error> {
        Err(Error::new("the engine", "nobody asks for a backup"))
    }
    async fn points(&self) -> Result<Vec<RecoveryPoint>, Error> {
        let point = |(n, id): (usize, &&str)| {
            let taken_at = jiff::Timestamp::from_second(i64::try_from(n).unwrap()).unwrap();
            RecoveryPoint { id: (*id).to_owned(), snapshot: Moment(n as u64), taken_at, bytes: None }
        };
        Ok(self.points.keys().enumerate().map(point).collect())
    }
    async fn restore(&self, _: &RestorePlan) -> Finding {
        unreachable!("a point that was not judged is not restored")
    }
    async fn restore_judged(&self, plan: &RestorePlan, judge: &dyn PointJudge) -> Finding {
        *self.looked_at.lock() = Some(plan.point.id.clone());
        let artifacts = Some(PointArtifacts { objects: self, bucket: "mlflow", prefix: "" });
        let judged = judge.judge(&PointBeside { platform: self, artifacts }).await;
        if judged.verdict != Verdict::Met {
            return judged;
        }
        self.done.lock().push(format!("replaced by {}", plan.point.id));
        if self.breaks { Finding::missed("the disk is full") } else { judged }
    }
}

const ATTACKED: [(&str, Option<&str>); 5] = [
    ("1", None),
    ("2", None),
    ("3", Some("rows of `params` are others now")),
    ("4", Some("objects have other bytes")),
    ("5", Some("objects have other bytes")),
];

#[tokio::test]
async fn the_newest_clean_point_is_recorded_and_restored_and_the_refused_ones_are_named() {
    let attacked = Attacked::with(&ATTACKED);
    let finding = attacked.restored(None).await;
    assert_eq!(finding.verdict, Verdict::Met);
    let done = "looked at 5, looked at 4, looked at 3, looked at 2, recorded 2, replaced by 2";
    assert_eq!(attacked.done(), done, "no point is looked at in vain, and none replaces anything unrecorded");
    let figure = |name: &str| finding.get(name).unwrap();
    assert_eq!([figure("point"), figure("tried"), figure("refused")], ["2", "4", "3"]);
    assert_eq!(figure("refused 3"), "rows of `params` are others now");
    assert_eq!(finding.reason.as_deref(), Some("refused, newest first: 5, 4, 3"));
}

#[tokio::test]
async fn without_a_clean_point_nothing_is_replaced_and_each_reason_is_said() {
    let attacked = Attacked::with(&ATTACKED[2..]);
    let finding = attacked.restored(None).await;
    assert_eq!((finding.verdict, finding.get("point")), (Verdict::Missed, None));
    let said = finding.reason.unwrap();
    assert!(said.starts_with("none of 3 recovery points is clean, and nothing was replaced: 5: objects"), "{said}");
    assert!(said.ends_with("3: rows of `params` are others now"), "{said}");
    assert!(!attacked.done().contains("recorded"), "{}", attacked.done());
    let none = Attacked::default().restored(None).await;
    assert_eq!(none.reason.as_deref(), Some("there is no recovery point"));
}

#[tokio::test]
async fn the_users_scan_sees_the_point_and_may_veto_it() {
    let attacked = Attacked { objects: vec!["artifacts/1/model"], ..Attacked::with(&ATTACKED[..2]) };
    let scan = "test \"$LIFEBOAT_POINT\" = 1 || { echo it has a virus; exit 1; }";
    let finding = attacked.restored(Some(scan)).await;
    assert_eq!((finding.verdict, finding.get("point")), (Verdict::Met, Some("1")));
    let said = finding.get("refused 2").unwrap();
    assert!(said.starts_with("the scan: ") && said.ends_with("it has a virus"), "{said}");
    let sees = "test \"$(cat \"$LIFEBOAT_ARTIFACTS/artifacts/1/model\")\" = 'bytes of artifacts/1/model' && \
        test \"$LIFEBOAT_POSTGRES\" = postgresql://mlflow@127.0.0.1:1/side";
    assert_eq!(attacked.restored(Some(sees)).await.get("point"), Some("2"));
    let refused = Attacked::with(&ATTACKED[4..]).restored(Some("true")).await;
    assert_eq!(refused.verdict, Verdict::Missed, "a scan does not overrule the checks");
}

#[tokio::test]
async fn a_restore_that_fails_after_the_judgement_tries_no_other_point() {
    let attacked = Attacked { breaks: true, ..Attacked::with(&ATTACKED) };
    let finding = attacked.restored(None).await;
    assert_eq!((finding.verdict, finding.reason.as_deref()), (Verdict::Missed, Some("the disk is full")));
    assert_eq!(finding.get("point"), Some("2"));
    assert!(attacked.done().ends_with("replaced by 2"), "{}", attacked.done());
}

#[tokio::test]
async fn points_since_the_disaster_are_waited_for_and_earlier_ones_do_not_count() {
    let attacked = Attacked::with(&ATTACKED);
    let written = crate::node::parse("{ points: 3, within: 100ms }").unwrap();
    let step = (crate::recovery::wait_for::KIND.parse)(&written, &mut vec![]).unwrap();
    let waited = async |struck| attacked.carried_out(struck, async |context| step.carry_out(context).await).await;
    assert_eq!(waited(2).await.verdict, Verdict::Met);
    let late = waited(3).await;
    assert_eq!(late.verdict, Verdict::Missed);
    assert!(late.reason.unwrap().ends_with("2 so far"));
}

#[test]
fn a_key_that_would_leave_the_folder_is_not_laid_out() {
    assert_eq!(inside("artifacts/1/a b").unwrap(), Path::new("artifacts/1/a b"));
    for key in ["", "/etc/passwd", "a/../../b", ".."] {
        assert!(inside(key).is_err(), "{key}");
    }
}
