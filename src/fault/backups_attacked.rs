//! The fault that does to a repository what an attacker does who found its credentials: every file is deleted, and where
//! versions are kept, every version that the credentials may delete.
//!
//! Not a part of `ransomware`, because it acts on what lies outside of the platform. Only a repository of the drill's own
//! is attacked, and only if it holds no other point than those of this drill: that is asked while planning, when the
//! platform stands, and right before the act.

use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::client::ErrorKind;
use crate::environment::{Asset, AssetUnder, Inventory, LossKind, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::{Node, Problem, read};
use crate::repository::{DrillRepository, OpenRepository, Patience, RepositoryFiles};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// `backups-attacked: { repository: near, destroy: true }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "backups-attacked",
    about: "Deletes all files of a repository with its own credentials, and their versions as far as those may.",
    example: "backups-attacked: { repository: near, destroy: true }",
    schema: |g| g.subschema_for::<BackupsAttacked>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// How long a listing of what is left may take.
const LISTED: Duration = Duration::from_mins(1);

/// Deletes all files of a repository of the drill's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BackupsAttacked {
    /// The repository, as the drill's `protect` names it.
    repository: DrillRepository,
    /// `true`: its owner agrees that all of it goes.
    #[serde(default)]
    destroy: bool,
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<BackupsAttacked> {
    let fault: BackupsAttacked = read(node, problems)?;
    if fault.destroy {
        return Some(fault);
    }
    let at = node.get("destroy").unwrap_or(node);
    let problem = Problem::new(at, "nobody says that the repository may be destroyed");
    problems.push(problem.hint("write `destroy: true`, if all of its points may go"));
    None
}

/// What was there to be deleted.
#[derive(Debug, Serialize, Deserialize)]
struct AttackedRepository {
    repository: String,
    location: String,
    files: BTreeSet<String>,
}

#[async_trait]
impl Fault for BackupsAttacked {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        vec![Asset::Backups.into()]
    }
    fn loss(&self) -> LossKind {
        LossKind::Purged
    }
    fn needs(&self) -> &'static [Power] {
        &[]
    }
    fn repository(&self) -> Option<&DrillRepository> {
        Some(&self.repository)
    }
    fn targets(&self, _: &Inventory) -> Vec<String> {
        let location = self.repository.location();
        location.map(|at| format!("the repository {} ({at})", self.repository.name())).into_iter().collect()
    }
    fn confirmed_within(&self) -> Duration {
        LISTED
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let settings = self.repository.settings()?;
        let (repository, location) = (settings.name.clone(), settings.kind.location());
        let files = match OpenRepository::open(settings, Patience::default()).await {
            Err(error) if error.kind == ErrorKind::NotFound => BTreeSet::new(), // made with the first backup
            opened => {
                opened?.only_of_drill(drill_of(platform)?).await?;
                RepositoryFiles::of(settings, Patience::default()).await?.seen().await?
            }
        };
        Ok(Receipt(json!(AttackedRepository { repository, location, files })))
    }
    /// The same place; backups that came since are hit too.
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        let (then, there) = (recall::<AttackedRepository>(bound)?, recall::<AttackedRepository>(&now)?);
        if then.location == there.location {
            return Ok(now);
        }
        Err(Error::new(format!("cannot attack the repository `{}`", then.repository), "it is another now"))
    }
    async fn inject(&self, _: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let AttackedRepository { repository, files, .. } = recall(receipt)?;
        if files.is_empty() {
            return Err(Error::new(format!("cannot attack the repository `{repository}`"), "nothing is in it yet"));
        }
        let place = RepositoryFiles::of(self.repository.settings()?, Patience::default()).await?;
        // What a backup under way wrote since its listing goes with it.
        let all = files.into_iter().chain(place.seen().await?).collect();
        place.delete(&all).await
    }
    async fn confirm(&self, _: &dyn Platform, receipt: &Receipt) -> Finding {
        self.confirmed(receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only another repository, or versions that were kept, bring the points back
    }
}

impl BackupsAttacked {
    /// By a listing of its own: nothing opens the repository any more. What outlived the attack is told.
    async fn confirmed(&self, receipt: &Receipt) -> Result<Finding, Error> {
        let AttackedRepository { repository, files, .. } = recall(receipt)?;
        let place = RepositoryFiles::of(self.repository.settings()?, Patience::default()).await?;
        if files.is_empty() || !place.gone().await? {
            return Ok(Finding::missed(format!("the repository `{repository}` can still be opened")));
        }
        let finding = Finding::met().figure("files deleted", files.len());
        let (left, why) = match place.versions(&files).await {
            Ok(0) => return Ok(finding.figure("versions left", 0)),
            Ok(left) => (left.to_string(), "could not be deleted, and lie under delete markers".to_owned()),
            Err(error) => ("nobody knows how many".to_owned(), format!("may be left: {error}")),
        };
        Ok(Finding { reason: Some(format!("{left} versions of its files {why}")), ..finding }
            .figure("versions left", left))
    }
}

/// The drill whose run the platform was made for.
fn drill_of(platform: &dyn Platform) -> Result<&str, Error> {
    let unknown = || Error::new("the repository's points", "nobody knows which of them are this drill's");
    platform.run().and_then(crate::store::drill_of_run).ok_or_else(unknown)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node;

    fn parsed(text: &str) -> Result<BackupsAttacked, String> {
        let mut problems = vec![];
        let fault = parse(&node::parse(text).unwrap(), &mut problems);
        fault.ok_or_else(|| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_repository_is_destroyed_only_if_somebody_says_so() {
        assert!(parsed("{ repository: near, destroy: true }").is_ok());
        for text in ["{ repository: near }", "{ repository: near, destroy: false }"] {
            assert!(parsed(text).unwrap_err().contains("write `destroy: true`"), "{text}");
        }
    }

    #[test]
    fn it_aims_at_nothing_until_the_drill_says_which_repository_that_is() {
        let fault = parsed("{ repository: near, destroy: true }").unwrap();
        assert!(fault.targets(&Inventory::default()).is_empty());
        let node = node::parse("{ directory: /backups, password: { env: PASSWORD } }").unwrap();
        let settings = crate::repository::RepositorySettings::read("near", &node, &mut vec![]).unwrap();
        fault.repository.is(&settings);
        assert_eq!(fault.targets(&Inventory::default()), ["the repository near (/backups)"]);
        let receipt = |location: &str| {
            let (repository, location) = ("near".into(), location.into());
            Receipt(json!(AttackedRepository { repository, location, files: BTreeSet::new() }))
        };
        assert!(fault.still(&receipt("/backups"), receipt("/backups")).is_ok());
        assert!(fault.still(&receipt("/backups"), receipt("/others")).is_err());
    }
}
