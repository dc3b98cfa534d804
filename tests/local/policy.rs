//! MLflow's permission and key taken away on the real local platform, given back, and the whole bucket lost.
use crate::notes::Notes;
use async_trait::async_trait;
use lifeboat::client::access::{self, S3Act};
use lifeboat::client::{Error, s3, versions};
use lifeboat::environment::{Environment, Platform, RunContext, local};
use lifeboat::fault::{FAULTS, Fault};
use lifeboat::kind::pick;
use lifeboat::model::{Disaster, Finding, Onset, Receipt, Verdict};
use lifeboat::node::parse;
use lifeboat::recovery::{Conditions, STEPS, StepContext};
use serde_json::json;
use std::sync::Arc;

struct NoConditions;

#[async_trait]
impl Conditions for NoConditions {
    async fn lift(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// A platform with one artifact.
pub struct Fixture {
    pub platform: Arc<dyn Platform>,
    folder: tempfile::TempDir,
    pub notes: Arc<Notes>,
    http: reqwest::Client,
}

pub const BUCKET: &str = "mlflow";
const ARTIFACT: &str = "1/model/weights";

impl Fixture {
    pub async fn new(name: &str) -> Self {
        let (folder, notes) = (tempfile::tempdir().unwrap(), Arc::new(Notes::default()));
        let environment: Box<dyn Environment> = (local::KIND.parse)(&parse("{}").unwrap(), &mut vec![]).unwrap();
        let run_context =
            RunContext { run: format!("test-{name}-{}", std::process::id()), folder: folder.path().into() };
        let platform = environment.provision(&run_context, Arc::clone(&notes) as _).await;
        let platform = platform.map_err(|e| e.to_string()).unwrap();
        // Each question connects anew: MLflow closes a connection that has been idle for some seconds.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        let this = Self { platform, folder, notes, http };
        s3::put(this.admin(), BUCKET, &format!("artifacts/{ARTIFACT}"), b"bytes".to_vec()).await.unwrap();
        this
    }

    fn admin(&self) -> &aws_sdk_s3::Client {
        self.platform.objects().unwrap().s3()
    }

    pub fn key(&self) -> &str {
        self.platform.policies().unwrap().id()
    }

    /// What MLflow answers who downloads the artifact through its proxy, as clients do.
    pub async fn download(&self) -> u16 {
        let mlflow = self.platform.endpoints().mlflow.clone().unwrap();
        let url = format!("{mlflow}/api/2.0/mlflow-artifacts/artifacts/{ARTIFACT}");
        self.http.get(url).send().await.unwrap().status().as_u16()
    }

    /// What MLflow answers who uploads another through its proxy.
    pub async fn upload(&self) -> u16 {
        let mlflow = self.platform.endpoints().mlflow.clone().unwrap();
        let url = format!("{mlflow}/api/2.0/mlflow-artifacts/artifacts/1/model/another");
        self.http.put(url).body("bytes").send().await.unwrap().status().as_u16()
    }

    pub async fn policy(&self) -> Option<String> {
        access::policy(self.admin(), BUCKET).await.unwrap()
    }

    async fn set_policy(&self, policy: Option<&str>) {
        access::set_policy(self.admin(), BUCKET, policy).await.unwrap();
    }

    pub async fn denied(&self, act: S3Act) -> bool {
        let key = format!("artifacts/{ARTIFACT}");
        access::denied(&self.platform.policies().unwrap().s3(), BUCKET, &key, act).await.unwrap()
    }

    async fn confirm(&self, fault: &dyn Fault, receipt: &Receipt) -> Finding {
        fault.confirm(&*self.platform, receipt).await
    }

    async fn strike(&self, fault: &dyn Fault) -> Receipt {
        let receipt = fault.intend(&*self.platform).await.map_err(|e| e.to_string()).unwrap();
        assert_eq!(self.confirm(fault, &receipt).await.verdict, Verdict::Missed, "nothing has happened yet");
        fault.inject(&*self.platform, &receipt).await.map_err(|e| e.to_string()).unwrap();
        let finding = self.confirm(fault, &receipt).await;
        assert_eq!(finding.verdict, Verdict::Met, "{finding:?}");
        receipt
    }

    async fn lift(&self, fault: &dyn Fault, receipt: &Receipt) {
        fault.lift(&*self.platform, receipt).await.map_err(|e| e.to_string()).unwrap();
    }

    pub async fn carry_out(&self, step: &str) -> Finding {
        self.carry_out_on(&*self.platform, step).await
    }

    pub async fn carry_out_on(&self, platform: &dyn Platform, step: &str) -> Finding {
        let step = pick("step", STEPS, &parse(step).unwrap(), &mut vec![]).unwrap().it;
        let (now, none) = (lifeboat::clock::wall(), [].into());
        let context = StepContext {
            platform,
            disaster: Disaster::of_one(Onset::default(), now, now),
            session: None,
            outputs: &none,
            folder: self.folder.path(),
            conditions: &NoConditions,
            checks: None,
            journal: &*self.notes,
        };
        step.carry_out(&context).await
    }

    /// Is this the last act that was recorded?
    pub fn recorded(&self, act: &str, on: &str) -> bool {
        let notes = self.notes.0.lock().unwrap();
        notes.last() == Some(&Receipt(json!({ "act": act, "on": on, "identity": null })))
    }

    /// What Lifeboat's own questions and proofs have left in the bucket, with all versions.
    pub async fn left(&self) -> Vec<String> {
        let all = versions::list(self.admin(), BUCKET, "").await.unwrap().into_iter();
        all.map(|version| version.key).filter(|key| key.contains("lifeboat")).collect()
    }

    /// A policy that allows MLflow's key everything, and denies it one action if that is said.
    fn policy_file(&self, denied: Option<&str>) -> (String, String) {
        let statement = |effect: &str, action: &str| {
            json!({ "Effect": effect, "Principal": { "AWS": [self.key()] }, "Action": [action],
                "Resource": ["arn:aws:s3:::mlflow", "arn:aws:s3:::mlflow/*"] })
        };
        let statements = [Some(statement("Allow", "s3:*")), denied.map(|action| statement("Deny", action))];
        let statements: Vec<_> = statements.into_iter().flatten().collect();
        // As a person would write it, so that a text that was only understood and written anew is another.
        let text = serde_json::to_string_pretty(&json!({ "Version": "2012-10-17", "Statement": statements })).unwrap();
        let path = self.folder.path().join("policy.json");
        std::fs::write(&path, &text).unwrap();
        (format!("apply-policy: {{ policy: {} }}", path.display()), text)
    }
}

fn fault(text: &str) -> Arc<dyn Fault> {
    pick("fault", FAULTS, &parse(text).unwrap(), &mut vec![]).unwrap().it
}

pub fn reason(finding: &Finding) -> &str {
    finding.reason.as_deref().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mlflow_may_do_is_taken_away_and_given_back() {
    let fixture = Fixture::new("policy").await;
    a_policy_that_denies_reading_is_lifted_to_what_was_there(&fixture).await;
    a_policy_that_was_there_comes_back_to_the_letter(&fixture).await;
    a_policy_that_somebody_else_changed_is_left_alone(&fixture).await;
    a_policy_that_denies_is_put_right(&fixture).await;
    a_policy_that_still_denies_is_not_taken_for_right(&fixture).await;
    a_revoked_key_is_refused_until_it_is_valid_again(&fixture).await;
    assert_eq!(fixture.left().await, Vec::<String>::new());
    a_lost_bucket_is_gone_with_every_version(&fixture).await;
    a_bucket_with_locks_is_never_lost(&fixture).await;
    assert_eq!(fixture.platform.remove().await, Vec::<String>::new());
}

async fn a_policy_that_denies_reading_is_lifted_to_what_was_there(fixture: &Fixture) {
    assert_eq!((fixture.download().await, fixture.policy().await), (200, None));
    let broken = fault("policy-broken: {}");
    let receipt = broken.intend(&*fixture.platform).await.unwrap();
    fixture.lift(&*broken, &receipt).await;
    assert_eq!(fixture.policy().await, None, "there was nothing to lift");

    let receipt = fixture.strike(&*broken).await;
    let answer = fixture.download().await;
    assert_eq!(answer, 500, "MLflow takes a refusal of its own for an error of the server");
    assert_eq!(fixture.upload().await, 200, "only reading is denied");
    assert!(!fixture.denied(S3Act::Write).await && !fixture.denied(S3Act::Delete).await);
    let again = broken.intend(&*fixture.platform).await.unwrap_err().to_string();
    assert!(again.contains("may not read already"), "{again}");
    for _ in 0..2 {
        fixture.lift(&*broken, &receipt).await;
        assert_eq!((fixture.download().await, fixture.policy().await), (200, None));
    }
}

async fn a_policy_that_was_there_comes_back_to_the_letter(fixture: &Fixture) {
    let (_, before) = fixture.policy_file(None);
    fixture.set_policy(Some(&before)).await;
    let all = fault("policy-broken: { deny: [read, write, list, delete] }");
    let receipt = fixture.strike(&*all).await;
    for act in [S3Act::Read, S3Act::Write, S3Act::List, S3Act::Delete] {
        assert!(fixture.denied(act).await, "{act}");
    }
    assert_ne!((fixture.upload().await, fixture.download().await), (200, 200));
    fixture.lift(&*all, &receipt).await;
    assert_eq!(fixture.policy().await, Some(before));
    fixture.set_policy(None).await;
}

async fn a_policy_that_somebody_else_changed_is_left_alone(fixture: &Fixture) {
    let broken = fault("policy-broken: {}");
    let receipt = broken.intend(&*fixture.platform).await.unwrap();
    let (_, theirs) = fixture.policy_file(None);
    fixture.set_policy(Some(&theirs)).await;
    let why = broken.inject(&*fixture.platform, &receipt).await.unwrap_err().to_string();
    assert!(why.contains("somebody else has changed it"), "{why}");
    fixture.lift(&*broken, &receipt).await;
    assert_eq!(fixture.policy().await, Some(theirs));
    fixture.set_policy(None).await;
}

async fn a_policy_that_denies_is_put_right(fixture: &Fixture) {
    let broken = fault("policy-broken: { deny: [read, write] }");
    let receipt = fixture.strike(&*broken).await;
    let finding = fixture.carry_out("apply-policy: {}").await;
    assert_eq!(finding, Finding::met());
    assert!(fixture.recorded("apply-policy", BUCKET));
    assert_eq!((fixture.download().await, fixture.policy().await), (200, None), "as it was when it stood");
    fixture.lift(&*broken, &receipt).await;

    let receipt = fixture.strike(&*broken).await;
    let (step, text) = fixture.policy_file(None);
    assert_eq!(fixture.carry_out(&step).await, Finding::met());
    assert_eq!((fixture.download().await, fixture.policy().await), (200, Some(text.clone())));
    fixture.lift(&*broken, &receipt).await;
    assert_eq!(fixture.policy().await, Some(text), "it was put right already");
    fixture.set_policy(None).await;
}

async fn a_policy_that_still_denies_is_not_taken_for_right(fixture: &Fixture) {
    let (step, _) = fixture.policy_file(Some("s3:DeleteObject"));
    let finding = fixture.carry_out(&step).await;
    assert_eq!(finding.verdict, Verdict::Missed);
    let why = reason(&finding);
    assert!(why.contains("does not reach its bucket") && why.contains("AccessDenied"), "{why}");
    assert_eq!(fixture.left().await, Vec::<String>::new(), "what the proof could not delete is taken away");
    let finding = fixture.carry_out("restore-key: {}").await;
    assert!(finding.verdict == Verdict::Missed, "a valid key is not enough: {finding:?}");
    fixture.set_policy(None).await;
}

async fn a_revoked_key_is_refused_until_it_is_valid_again(fixture: &Fixture) {
    let revoked = fault("key-revoked: {}");
    let receipt = revoked.intend(&*fixture.platform).await.unwrap();
    let said = serde_json::to_string(&receipt).unwrap();
    assert!(said.contains(fixture.key()) && !said.contains("secret"), "{said}");
    fixture.lift(&*revoked, &receipt).await;
    assert_eq!(fixture.download().await, 200, "there was nothing to lift");

    let receipt = fixture.strike(&*revoked).await;
    let answers = (fixture.download().await, fixture.upload().await);
    assert_eq!(answers, (401, 500), "MLflow says of a download that it is not authorised, and fails at an upload");
    assert!(revoked.intend(&*fixture.platform).await.unwrap_err().to_string().contains("refused already"));
    let components = fixture.platform.components().unwrap();
    components.kill("s3").await.unwrap();
    assert_eq!(fixture.confirm(&*revoked, &receipt).await.verdict, Verdict::Unknown, "nobody answers");
    components.start("s3").await.unwrap();
    assert_eq!(fixture.confirm(&*revoked, &receipt).await.verdict, Verdict::Met, "a restart does not bring it back");
    for _ in 0..2 {
        fixture.lift(&*revoked, &receipt).await;
        assert_eq!((fixture.download().await, fixture.upload().await), (200, 200));
    }
    let receipt = fixture.strike(&*revoked).await;
    assert_eq!(fixture.carry_out("restore-key: {}").await, Finding::met());
    assert!(fixture.recorded("restore-key", fixture.key()));
    assert_eq!(fixture.download().await, 200);
    fixture.lift(&*revoked, &receipt).await;
}

async fn a_lost_bucket_is_gone_with_every_version(fixture: &Fixture) {
    let admin = fixture.admin();
    for key in ["artifacts/2/a", "artifacts/2/a", "elsewhere", "artifacts/2/deleted"] {
        s3::put(admin, BUCKET, key, b"bytes".to_vec()).await.unwrap();
    }
    admin.delete_object().bucket(BUCKET).key("artifacts/2/deleted").send().await.unwrap();
    let unfinished = admin.create_multipart_upload().bucket(BUCKET).key("artifacts/2/unfinished");
    unfinished.send().await.unwrap();
    let lost = fault("bucket-lost: {}");
    let receipt = fixture.strike(&*lost).await;
    let finding = fixture.confirm(&*lost, &receipt).await;
    let counts = ["objects", "versions"].map(|name| finding.get(name).unwrap().parse::<u32>().unwrap());
    assert!(counts[0] == 4 && counts[1] >= 7, "{finding:?}");
    assert_ne!((fixture.download().await, fixture.upload().await), (200, 200));
    fixture.lift(&*lost, &receipt).await;
    assert_eq!(fixture.confirm(&*lost, &receipt).await.verdict, Verdict::Met, "a loss is not lifted");
    lost.inject(&*fixture.platform, &receipt).await.unwrap_err();
    lost.intend(&*fixture.platform).await.unwrap_err();
}

async fn a_bucket_with_locks_is_never_lost(fixture: &Fixture) {
    let made = fixture.admin().create_bucket().bucket(BUCKET).object_lock_enabled_for_bucket(true).send().await;
    made.unwrap();
    let why = fault("bucket-lost: {}").intend(&*fixture.platform).await.unwrap_err().to_string();
    assert!(why.contains("Object Lock"), "{why}");
}
