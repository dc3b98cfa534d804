//! Artifacts deleted and undeleted on the real local platform: what comes back, what stays deleted, what is refused;
//! and whole drills, with the way back and without it.
use async_trait::async_trait;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use lifeboat::client::versions::{self, S3Version};
use lifeboat::client::{Error, s3};
use lifeboat::clock::wall;
use lifeboat::environment::{Environment, Journal, Objects, Platform, RunContext, local};
use lifeboat::fault::{FAULTS, Fault};
use lifeboat::kind::pick;
use lifeboat::model::report::Report;
use lifeboat::model::{Disaster, Finding, MarkState, Onset, Receipt, Verdict};
use lifeboat::node::parse;
use lifeboat::recovery::{Conditions, STEPS, Step, StepContext};
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Quiet;

#[async_trait]
impl Journal for Quiet {
    async fn creating(&self, _: Receipt) -> Result<(), Error> {
        Ok(())
    }
    async fn acting(&self, _: Receipt) -> Result<(), Error> {
        Ok(())
    }
    fn progress(&self, text: &str) {
        eprintln!("{text}");
    }
}

#[async_trait]
impl Conditions for Quiet {
    async fn lift(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// A platform with nothing in its bucket.
struct Fixture {
    platform: Arc<dyn Platform>,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment: Box<dyn Environment> = (local::KIND.parse)(&parse("{}").unwrap(), &mut vec![]).unwrap();
        let run_context = RunContext { run: format!("{name}-{}", std::process::id()), folder: folder.path().into() };
        let platform = environment.provision(&run_context, Arc::new(Quiet)).await.map_err(|e| e.to_string()).unwrap();
        Self { platform, folder }
    }

    fn objects(&self) -> &dyn Objects {
        self.platform.objects().unwrap()
    }

    async fn put(&self, paths: impl IntoIterator<Item = String>) {
        let (objects, bytes) = (self.objects(), b"bytes".to_vec());
        let put = async |path: String| {
            s3::put(objects.s3(), objects.bucket(), &s3::key(objects.prefix(), &path), bytes.clone()).await.unwrap();
        };
        stream::iter(paths.into_iter().map(put)).buffer_unordered(32).collect::<Vec<()>>().await;
    }

    /// Deletes as users do.
    async fn delete(&self, path: &str) {
        let (objects, key) = (self.objects(), s3::key(self.objects().prefix(), path));
        objects.s3().delete_object().bucket(objects.bucket()).key(key).send().await.unwrap();
    }

    /// What a client sees, without the prefix.
    async fn paths(&self) -> BTreeSet<String> {
        let objects = self.objects();
        let keys = s3::list(objects.s3(), objects.bucket(), objects.prefix()).await.unwrap();
        keys.into_iter().map(|(key, _)| key.strip_prefix("artifacts/").unwrap().to_owned()).collect()
    }

    async fn versions(&self) -> Vec<S3Version> {
        versions::list(self.objects().s3(), self.objects().bucket(), "").await.unwrap()
    }

    /// Strikes; answers the receipt and when it struck.
    async fn strike(&self, fault: &dyn Fault) -> (Receipt, (Timestamp, Timestamp)) {
        let receipt = fault.intend(&*self.platform).await.map_err(|e| e.to_string()).unwrap();
        let before = fault.confirm(&*self.platform, &receipt).await;
        assert_eq!(before.verdict, Verdict::Missed, "nothing has happened yet");
        let begun_at = wall();
        fault.inject(&*self.platform, &receipt).await.map_err(|e| e.to_string()).unwrap();
        let finding = fault.confirm(&*self.platform, &receipt).await;
        assert_eq!(finding.verdict, Verdict::Met, "{finding:?}");
        (receipt, (begun_at, wall()))
    }

    async fn carry_out(&self, step: &dyn Step, (began_at, confirmed_at): (Timestamp, Timestamp)) -> Finding {
        let context = StepContext {
            platform: &*self.platform,
            disaster: Disaster::of_one(Onset::default(), began_at, confirmed_at),
            session: None,
            outputs: &[].into(),
            folder: self.folder.path(),
            conditions: &Quiet,
            checks: None,
            journal: &crate::notes::Notes::default(),
        };
        step.carry_out(&context).await
    }

    /// Takes away what one case has left, with all its versions.
    async fn empty(&self) {
        let doomed: Vec<_> = self.versions().await.into_iter().map(|it| (it.key, Some(it.id))).collect();
        let objects = self.objects();
        assert_eq!(versions::delete(objects.s3(), objects.bucket(), &doomed).await.unwrap(), []);
    }

    async fn end(self) {
        assert_eq!(self.platform.remove().await, Vec::<String>::new());
    }
}

fn fault(text: &str) -> Arc<dyn Fault> {
    pick("fault", FAULTS, &parse(text).unwrap(), &mut vec![]).unwrap().it
}

fn undelete(text: &str) -> Arc<dyn Step> {
    pick("step", STEPS, &parse(text).unwrap(), &mut vec![]).unwrap().it
}

fn counts(finding: &Finding) -> [&str; 3] {
    ["planned", "undeleted", "failed"]
        .map(|name| finding.figures.iter().find(|(figure, _)| figure == name).map_or("", |(_, value)| value.as_str()))
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// Longer than two clocks may be apart.
const A_WHILE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_comes_back_as_far_as_it_can() {
    let fixture = Fixture::new("test-artifacts").await;
    what_the_disaster_deleted_comes_back_and_what_users_deleted_does_not(&fixture).await;
    fixture.empty().await;
    an_object_whose_versions_were_purged_is_named_and_the_others_come_back(&fixture).await;
    fixture.empty().await;
    what_could_not_be_undeleted_or_is_not_there_is_never_deleted(&fixture).await;
    fixture.end().await;
}

async fn what_the_disaster_deleted_comes_back_and_what_users_deleted_does_not(fixture: &Fixture) {
    fixture.put(["1/before", "1/drawn", "1/again", "1/after", "2/other"].map(str::to_owned)).await;
    fixture.delete("1/before").await;
    tokio::time::sleep(A_WHILE).await;
    let (_, window) = fixture.strike(&*fault("artifacts-deleted: { prefix: 1/ }")).await;
    assert_eq!(fixture.paths().await, set(&["2/other"]), "only those under the prefix are gone");
    tokio::time::sleep(A_WHILE).await;
    fixture.put(["1/again", "1/new", "1/late"].map(str::to_owned)).await;
    fixture.delete("1/late").await;

    let elsewhere = fixture.carry_out(&*undelete("undelete: { prefix: 2/ }"), window).await;
    assert_eq!((elsewhere.verdict, counts(&elsewhere)), (Verdict::Missed, ["0", "0", "0"]), "{elsewhere:?}");
    let finding = fixture.carry_out(&*undelete("undelete"), window).await;
    assert_eq!((finding.verdict, counts(&finding)), (Verdict::Met, ["2", "2", "0"]), "{finding:?}");
    assert_eq!(fixture.paths().await, set(&["1/drawn", "1/again", "1/after", "1/new", "2/other"]));
    let again = fixture.carry_out(&*undelete("undelete"), window).await;
    assert_eq!(again.verdict, Verdict::Missed, "there is nothing left to do: {again:?}");
}

async fn an_object_whose_versions_were_purged_is_named_and_the_others_come_back(fixture: &Fixture) {
    fixture.put((0..20).map(|n| format!("1/{n:02}"))).await;
    let everything = fault("artifacts-deleted: {}");
    let (receipt, window) = fixture.strike(&*everything).await;
    let purged = fixture.versions().await.into_iter().find(|it| !it.marker && it.key.ends_with("/07")).unwrap();
    let doomed = [(purged.key.clone(), Some(purged.id))];
    let objects = fixture.objects();
    assert_eq!(versions::delete(objects.s3(), objects.bucket(), &doomed).await.unwrap(), []);
    for _ in 0..2 {
        let finding = fixture.carry_out(&*undelete("undelete"), window).await;
        assert_eq!(finding.verdict, Verdict::Missed);
        let why = finding.reason.as_deref().unwrap();
        assert!(why.contains(&format!("`{}`: no version of it is left", purged.key)), "and again: {why}");
        assert_eq!(fixture.paths().await.len(), 19);
    }
    let finding = everything.confirm(&*fixture.platform, &receipt).await;
    assert_eq!(finding.verdict, Verdict::Missed, "what is back is not gone any more");
}

async fn what_could_not_be_undeleted_or_is_not_there_is_never_deleted(fixture: &Fixture) {
    let objects = fixture.objects();
    let refused = async |text: &str| fault(text).intend(&*fixture.platform).await.unwrap_err().to_string();
    let why = refused("artifacts-deleted: {}").await;
    assert!(why.contains("0 objects are there"), "{why}");
    fixture.put(["1/a", "1/b", "1/c"].map(str::to_owned)).await;
    let why = refused("artifacts-deleted: { count: 4 }").await;
    assert!(why.contains("3 objects are there"), "{why}");

    let two = fault("artifacts-deleted: { count: 2 }");
    let [one, other] = [two.intend(&*fixture.platform).await.unwrap(), two.intend(&*fixture.platform).await.unwrap()];
    assert_eq!(one, other, "the same seed draws the same");
    let doomed: Vec<_> = fixture.versions().await.into_iter().map(|it| (it.key, Some(it.id))).collect();
    versions::delete(objects.s3(), objects.bucket(), &doomed).await.unwrap();
    fixture.put(["1/a", "1/b", "1/c"].map(str::to_owned)).await;
    let why = two.inject(&*fixture.platform, &one).await.unwrap_err().to_string();
    assert!(why.contains("may not be the bucket that was meant"), "{why}");
    assert_eq!(fixture.paths().await.len(), 3, "objects of the same names are not those that were meant");

    let off = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let request = objects.s3().put_bucket_versioning().bucket(objects.bucket()).versioning_configuration(off);
    request.send().await.unwrap();
    let why = refused("artifacts-deleted: {}").await;
    assert!(why.contains("keeps no versions"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_overwritten_comes_back_and_what_users_wrote_stays() {
    let fixture = Fixture::new("test-overwritten").await;
    fixture.put((0..40).map(|n| format!("1/{n:02}"))).await;
    fixture.put(["2/other".to_owned()]).await;
    tokio::time::sleep(A_WHILE).await;
    let half = fault("artifacts-overwritten: { percent: 50, prefix: 1/ }");
    let (receipt, window) = fixture.strike(&*half).await;
    let changed = fixture.versions().await.into_iter().filter(|it| it.latest && it.size == 4096).count();
    assert_eq!(changed, 20, "half of those under the prefix have other bytes");
    half.lift(&*fixture.platform, &receipt).await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    fixture.put(["1/new".to_owned()]).await;

    let step = |text: &str| pick("step", STEPS, &parse(text).unwrap(), &mut vec![]).unwrap().it;
    let elsewhere = fixture.carry_out(&*step("roll-back-bucket: { prefix: 2/ }"), window).await;
    assert_eq!(elsewhere.verdict, Verdict::Missed, "{elsewhere:?}");
    let finding = fixture.carry_out(&*step("roll-back-bucket"), window).await;
    println!("{finding:?}");
    assert_eq!(finding.verdict, Verdict::Met, "{finding:?}");
    assert_eq!(
        (finding.get("copied"), finding.get("hidden"), finding.get("failed")),
        (Some("20"), Some("0"), Some("0"))
    );
    assert_eq!(finding.get("bytes through the client"), Some("0"));
    let objects = fixture.objects();
    for path in fixture.paths().await {
        let bytes = s3::get(objects.s3(), objects.bucket(), &s3::key(objects.prefix(), &path)).await.unwrap();
        assert_eq!(bytes, b"bytes", "{path}");
    }
    assert_eq!(fixture.paths().await.len(), 42, "what was made since stays");
    let again = fixture.carry_out(&*step("roll-back-bucket"), window).await;
    assert_eq!(again.verdict, Verdict::Missed, "there is nothing left to do: {again:?}");

    let off = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let request = objects.s3().put_bucket_versioning().bucket(objects.bucket()).versioning_configuration(off);
    request.send().await.unwrap();
    let refused = fixture.carry_out(&*step("roll-back-bucket"), window).await;
    assert!(refused.reason.unwrap().contains("keeps no versions"));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test --test local -- --ignored --nocapture"]
async fn ten_thousand_objects_are_deleted_and_undeleted() {
    let fixture = Fixture::new("test-speed").await;
    let count = 10_000;
    let paths = (0..count).map(|n| format!("{}/{n:05}/artifacts/model/note.txt", n % 50));
    let lap = |what: &str, began: Instant| {
        let seconds = began.elapsed().as_secs_f64();
        println!("{what}: {seconds:.2} s, {:.0}/s", f64::from(count) / seconds);
    };
    let began = Instant::now();
    fixture.put(paths).await;
    lap("put", began);
    let everything = fault("artifacts-deleted: {}");
    let began = Instant::now();
    let receipt = everything.intend(&*fixture.platform).await.unwrap();
    lap("intend", began);
    let (began, begun_at) = (Instant::now(), wall());
    everything.inject(&*fixture.platform, &receipt).await.map_err(|e| e.to_string()).unwrap();
    lap("inject", began);
    let began = Instant::now();
    assert_eq!(everything.confirm(&*fixture.platform, &receipt).await.verdict, Verdict::Met);
    lap("confirm", began);
    let (began, window) = (Instant::now(), (begun_at, wall()));
    let finding = fixture.carry_out(&*undelete("undelete"), window).await;
    lap("undelete", began);
    println!("{finding:?}");
    assert_eq!(counts(&finding), ["10000", "10000", "0"], "{finding:?}");
    fixture.end().await;
}

/// Everything is deleted, and then `recovery`: a drill as a user carries it out.
fn drill(name: &str, recovery: &str, promised: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let scenario = format!("scenario: {name}\nfaults: [ {{ artifacts-deleted: {{}} }} ]\nrecovery: {recovery}\n");
    let text = format!(
        "drill: {name}\nscenario: {name}\nenvironment: {{ local: {{}} }}\nscale: 0.05\n\
         workload: {{ mlflow: {{ runs: 2/s, artifacts: 2/s }} }}\n\
         probes: [ {{ mlflow: {{ depth: artifact, every: 500ms, timeout: 20s }} }} ] # busy machines are slow\n\
         checks: [ mlflow-smoke, registry-artifacts ]\n\
         objectives: {{ {promised}, rpo: 0s, at: artifact }}\n\
         limits: {{ baseline: 4s, recovery: 30s, drill: 3m }}\nstable: 1s\nstreak: 2\n"
    );
    for (kind, text) in [("scenarios", scenario), ("drills", text)] {
        let path = folder.path().join(kind);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(format!("{name}.yaml")), text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.args(["run", "--json"]).arg(folder.path().join(format!("drills/{name}.yaml")));
    command.arg("--reports").arg(folder.path().join("reports"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    println!("{name}: {} in {:.1} s", report.verdict, report.seconds);
    assert_eq!(report.left, Vec::<String>::new());
    assert_eq!(judged(&report, "fault took effect").0, Verdict::Met, "{:#?}", report.judgements);
    report
}

fn judged(report: &Report, what: &str) -> (Verdict, String) {
    let found = report.judgements.iter().find(|judgement| judgement.what == what).unwrap();
    (found.verdict, found.reason.clone().unwrap_or_default())
}

#[test]
fn a_drill_that_undeletes_has_lost_nothing() {
    let report = drill("undeleted", "[ undelete ]", "rto: 25s");
    assert_eq!(report.verdict, Verdict::Met, "{:#?} {:#?}", report.judgements, report.losses);
    assert!(report.writes.survived.unwrap() > 0 && report.losses.is_empty());
    assert_eq!(report.measurements.rpa.strict.seconds, Some(0.0));
}

#[test]
fn a_drill_without_a_way_back_names_what_is_lost() {
    let report = drill("not-undeleted", "[]", "rto: 4s");
    assert_eq!(report.verdict, Verdict::Missed);
    assert_eq!(judged(&report, "rto").0, Verdict::Missed);
    let (verdict, why) = judged(&report, "registry-artifacts");
    assert!(verdict == Verdict::Missed && why.contains("the object `artifacts/") && why.contains("` is gone"), "{why}");
    let (verdict, why) = judged(&report, "rpo");
    assert_eq!(verdict, Verdict::Missed, "{why}");
    let half: Vec<_> = report.losses.iter().filter(|loss| loss.kind == MarkState::Half).collect();
    assert!(half.len() > 3 && half.iter().all(|loss| loss.name.contains("artifact ")), "{:?}", report.losses);
    assert!(!report.losses.iter().any(|loss| loss.name.contains("run ")), "rows alone were not touched");
}
