//! The fault that gives the bucket a policy which denies MLflow's key what it needs.
//!
//! It is a condition: every object is there, and the policy as it was is in the receipt, so that `lift` puts back
//! exactly that text, or its absence. The other statements stay. With none, MLflow's key is allowed all the rest: as
//! soon as a bucket has a policy, its owner too may do no more than that says (seen with VersityGW 1.8).

use super::{Fault, Nature, recall};
use crate::client::access::{self, S3Act};
use crate::client::{Error, s3};
use crate::environment::{Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// `policy-broken: { deny: [read] }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "policy-broken",
    about: "Gives the bucket a policy that denies MLflow's key to read, write, list or delete.",
    example: "policy-broken: { deny: [read, write] }",
    schema: |g| g.subschema_for::<PolicyBroken>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Denies MLflow's key what it needs of its bucket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PolicyBroken {
    /// What is denied, of `read`, `write`, `list` and `delete`; reading objects if nothing is said.
    #[serde(default = "reading")]
    deny: BTreeSet<S3Act>,
}

fn reading() -> BTreeSet<S3Act> {
    [S3Act::Read].into()
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<PolicyBroken> {
    let fault: PolicyBroken = read(node, problems)?;
    if fault.deny.is_empty() {
        let problem = Problem::new(node.get("deny").unwrap_or(node), "an empty list denies nothing");
        problems.push(problem.hint("write what is denied, or leave it out for `read`"));
        return None;
    }
    Some(fault)
}

/// The policy as it was and as it is meanwhile, and with which objects it is seen whether that holds.
#[derive(Debug, Serialize, Deserialize)]
struct BrokenPolicy {
    bucket: String,
    deny: BTreeSet<S3Act>,
    before: Option<String>,
    meanwhile: String,
    /// An object to read.
    read: String,
    /// A key that no object has.
    free: String,
}

#[async_trait]
impl Fault for PolicyBroken {
    fn nature(&self) -> Nature {
        Nature::Condition
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects, Power::Policies]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        let denied = words(&self.deny);
        inventory.kind("bucket").map(|it| format!("the policy of the bucket {} (denies {denied})", it.name)).collect()
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let (objects, policies) = (platform.objects()?, platform.policies()?);
        let (bucket, deny) = (objects.bucket().to_owned(), self.deny.clone());
        let before = access::policy(objects.s3(), &bucket).await?;
        let meanwhile = broken(before.as_deref(), policies.id(), &bucket, &deny)?;
        let free = s3::key(objects.prefix(), &format!("lifeboat-{}-asks", platform.run().unwrap_or("drill")));
        let read = access::first(objects.s3(), &bucket, &s3::key(objects.prefix(), "")).await?;
        let read = read.unwrap_or_else(|| free.clone());
        let broken = BrokenPolicy { bucket, deny, before, meanwhile, read, free };
        if let Some(act) = broken.first(platform, true).await? {
            return Err(Error::new(broken.what(), format!("MLflow's key may not {act} already")));
        }
        Ok(Receipt(json!(broken)))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let (client, broken) = (platform.objects()?.s3(), recall::<BrokenPolicy>(receipt)?);
        if access::policy(client, &broken.bucket).await? != broken.before {
            return Err(Error::new(broken.what(), "somebody else has changed it meanwhile"));
        }
        access::set_policy(client, &broken.bucket, Some(&broken.meanwhile)).await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        let seen = async { recall::<BrokenPolicy>(receipt)?.first(platform, false).await };
        match seen.await {
            Ok(None) => Finding::met().figure("denied", words(&self.deny)),
            Ok(Some(act)) => Finding::missed(format!("MLflow's key may still {act}")),
            Err(error) => Finding::unknown(error.to_string()),
        }
    }
    async fn lift(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let (client, broken) = (platform.objects()?.s3(), recall::<BrokenPolicy>(receipt)?);
        let now = access::policy(client, &broken.bucket).await?;
        if !now.is_some_and(|now| same(&now, &broken.meanwhile)) {
            return Ok(()); // it is no longer as the fault left it
        }
        access::set_policy(client, &broken.bucket, broken.before.as_deref()).await
    }
}

impl BrokenPolicy {
    fn what(&self) -> String {
        format!("cannot break the policy of `{}`", self.bucket)
    }

    /// The first of its acts that MLflow's own key is denied, or is not.
    async fn first(&self, platform: &dyn Platform, denied: bool) -> Result<Option<S3Act>, Error> {
        let client = platform.policies()?.s3();
        for act in &self.deny {
            let key = if *act == S3Act::Read { &self.read } else { &self.free };
            if access::denied(&client, &self.bucket, key, *act).await? == denied {
                return Ok(Some(*act));
            }
        }
        Ok(None)
    }
}

fn words(acts: &BTreeSet<S3Act>) -> String {
    acts.iter().map(S3Act::to_string).collect::<Vec<_>>().join(", ")
}

/// Servers may order and space a policy anew.
fn same(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    one == other || value(one).is_some_and(|one| Some(one) == value(other))
}

/// The policy with a statement more, which denies the key these acts.
fn broken(before: Option<&str>, key: &str, bucket: &str, deny: &BTreeSet<S3Act>) -> Result<String, Error> {
    let (of_bucket, of_objects) = (format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*"));
    let statement = |effect: &str, actions: Vec<&str>, resources: Vec<&str>| json!({ "Effect": effect, "Principal": { "AWS": [key] }, "Action": actions, "Resource": resources });
    let mut policy = match before {
        Some(text) => serde_json::from_str(text)
            .map_err(|e| Error::caused_by(format!("cannot understand the policy of `{bucket}`"), e))?,
        None => json!({ "Version": "2012-10-17",
            "Statement": [statement("Allow", vec!["s3:*"], vec![&of_bucket, &of_objects])] }),
    };
    let statements = match policy["Statement"].take() {
        Value::Array(statements) => statements,
        one => vec![one],
    };
    let denied = deny.iter().map(|act| {
        let resource = if *act == S3Act::List { &of_bucket } else { &of_objects };
        statement("Deny", act.actions().to_vec(), vec![resource])
    });
    policy["Statement"] = statements.into_iter().chain(denied).collect();
    Ok(policy.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::stack;

    fn statements(before: Option<&str>, deny: &[S3Act]) -> Vec<Value> {
        let policy = broken(before, "key", "bucket", &deny.iter().copied().collect()).unwrap();
        let policy: Value = serde_json::from_str(&policy).unwrap();
        assert_eq!(policy["Version"], "2012-10-17");
        policy["Statement"].as_array().unwrap().clone()
    }

    #[test]
    fn what_is_not_denied_stays_allowed() {
        let all = statements(None, &[S3Act::Read, S3Act::List]);
        let effects: Vec<_> = all.iter().map(|it| it["Effect"].as_str().unwrap()).collect();
        assert_eq!(effects, ["Allow", "Deny", "Deny"], "a policy with a denial alone denies everything");
        assert!(all.iter().all(|it| it["Principal"] == json!({ "AWS": ["key"] })));
        assert_eq!(all[1]["Resource"], json!(["arn:aws:s3:::bucket/*"]));
        assert_eq!(all[2]["Resource"], json!(["arn:aws:s3:::bucket"]), "listing is about the bucket");
    }

    #[test]
    fn the_statements_of_others_stay() {
        let theirs = json!({ "Sid": "theirs", "Effect": "Allow" });
        for statement in [theirs.clone(), json!([theirs])] {
            let before = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
            let all = statements(Some(&before), &[S3Act::Write]);
            assert_eq!((all.len(), &all[0]), (2, &theirs));
        }
        assert!(broken(Some("nonsense"), "key", "bucket", &reading()).is_err());
    }

    #[test]
    fn a_policy_is_the_same_however_it_is_written() {
        assert!(same(r#"{"a": 1, "b": [2]}"#, r#"{"b":[2],"a":1}"#) && same("x", "x"));
        assert!(!same(r#"{"a":1}"#, r#"{"a":2}"#) && !same("x", "y") && !same("x", "{}"));
    }

    #[test]
    fn reading_is_denied_if_nothing_is_said_and_nothing_is_no_fault() {
        let parsed = |text: &str| {
            let mut problems = vec![];
            let fault = parse(&crate::node::parse(text).unwrap(), &mut problems);
            fault.ok_or_else(|| problems.iter().map(ToString::to_string).collect::<String>())
        };
        let inventory = stack::inventory();
        assert_eq!(parsed("{}").unwrap().targets(&inventory), ["the policy of the bucket mlflow (denies read)"]);
        let both = parsed("{ deny: [write, read] }").unwrap();
        assert_eq!(both.targets(&inventory), ["the policy of the bucket mlflow (denies read, write)"]);
        assert!(both.targets(&Inventory::default()).is_empty());
        assert!(parsed("{ deny: [] }").unwrap_err().contains("denies nothing"));
        assert!(parsed("{ deny: [reading] }").is_err());
    }
}
