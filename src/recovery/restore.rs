//! The step that restores by the drill's engine what that covers, or the part of it that a component held.
//!
//! `latest` is the newest complete point whose snapshot precedes the onset: a backup taken after the onset
//! is a valid point and the wrong one. `end` goes on to the end of the server's log, which no disaster has written to whose
//! server just ended. `clean` is the newest one that is proved to hold what was there before, whenever it
//! was taken.

use super::text::Text;
use super::{Step, StepContext, clean};
use crate::clock::Moment;
use crate::engine::{Goal, RestorePlan, Session};
use crate::environment::Asset;
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `restore: { component: postgres, to: latest }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "restore",
    about: "Restores the database and the artifacts from the drill's backups.",
    example: "restore: { component: postgres, to: latest }",
    schema: |g| g.subschema_for::<Restore>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Restores from the drill's backups. Its outputs: `point`, the recovery point's id, and `taken_at`, its wall time; with
/// `to: clean` also `tried` and `refused`, counts of points.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Restore {
    /// Only what this component held; if nothing is said, all that the engine covers.
    #[serde(default)]
    component: Option<Restored>,
    /// To which recovery point; `latest` if nothing is said.
    #[serde(default)]
    to: To,
    /// With `to: clean`: what `sh -c` gets for each point that passed the checks; it refuses the point by any other end
    /// than exit code 0. `$LIFEBOAT_POSTGRES` is the point's database, `$LIFEBOAT_ARTIFACTS` a folder with its artifacts,
    /// `$LIFEBOAT_POINT` its name.
    #[serde(default)]
    scan: Option<Text>,
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<Restore> {
    let step: Restore = read(node, problems)?;
    let problem = match step.to {
        To::Clean if step.component.is_some() => {
            let text = "`to: clean` restores a recovery point whole: a half of it proves nothing of the other";
            Problem::new(node.at(&["component"]), text).hint("leave `component` out")
        }
        To::Latest | To::End if step.scan.is_some() => {
            let text = format!("nothing is scanned with `to: {}`", step.to);
            Problem::new(node.at(&["scan"]), text).hint("write `to: clean` beside it")
        }
        _ => return Some(step),
    };
    problems.push(problem);
    None
}

/// Whose state is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Restored {
    /// The platform's database.
    Postgres,
    /// The artifacts in the platform's bucket.
    S3,
}

/// To which recovery point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
enum To {
    /// The newest complete one whose snapshot precedes the disaster; of a server whose log is received, its state right before
    /// the earliest moment at which the disaster can have begun.
    #[default]
    Latest,
    /// The end of the log that was received of the server: for a server that just ended. What a disaster wrote to the log is
    /// restored too.
    End,
    /// The newest one that the drill's checks, and your `scan` if there is one, find as it was before the disaster. Each is
    /// tried beside the live state, newest first; if none is clean, nothing is replaced.
    Clean,
}

impl Restored {
    /// The component's name.
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::S3 => "s3",
        }
    }

    fn asset(self) -> Asset {
        match self {
            Self::Postgres => Asset::Database,
            Self::S3 => Asset::Artifacts,
        }
    }
}

#[async_trait]
impl Step for Restore {
    fn component(&self) -> Option<&str> {
        self.component.map(Restored::name)
    }
    fn restores(&self) -> &'static [Asset] {
        match self.component {
            None => &[Asset::Database, Asset::Artifacts, Asset::Resources, Asset::Models],
            Some(Restored::Postgres) => &[Asset::Database],
            Some(Restored::S3) => &[Asset::Artifacts],
        }
    }
    fn outputs(&self) -> &'static [&'static str] {
        match self.to {
            To::Latest | To::End => &["point", "taken_at"],
            To::Clean => &["point", "taken_at", "tried", "refused"],
        }
    }
    fn tries_points(&self) -> bool {
        self.to == To::Clean
    }
    fn replays_log(&self) -> bool {
        self.to == To::End
    }
    fn judges_points(&self) -> bool {
        self.scan.is_some()
    }
    fn texts(&self) -> Vec<(&'static str, &Text)> {
        self.scan.iter().map(|scan| ("scan", scan)).collect()
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let Some(session) = context.session else {
            return Finding::missed("the drill has no engine to restore with");
        };
        match self.to {
            To::Latest => self.newest(context, session, Some(context.disaster.onset.injecting)).await,
            To::End => self.newest(context, session, None).await,
            To::Clean => clean::restore(context, session, self.scan.as_ref()).await,
        }
    }
}

impl Restore {
    /// Restores the newest state, or the newest from before a moment.
    async fn newest(&self, context: &StepContext<'_>, session: &dyn Session, before: Option<Moment>) -> Finding {
        let plan = match session.plan(&Goal::Latest(before)).await {
            Ok(plan) => RestorePlan { only: self.component.map(Restored::asset), ..plan },
            Err(error) => return Finding::missed(error.to_string()),
        };
        // What it restores takes the place of what is there: on the timeline before that goes.
        let what = self.component.map_or("platform", Restored::name);
        if let Err(error) = context.record_restore(what, &plan.point.id, plan.restores(Asset::Database)).await {
            return Finding::unknown(error.to_string());
        }
        session.restore(&plan).await.figure("point", &plan.point.id).figure("taken_at", plan.point.taken_at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::Error;
    use crate::environment::{Endpoints, Identity, Journal, Platform};
    use crate::model::{Disaster, Onset, Receipt, RecoveryPoint, Verdict};
    use crate::recovery::Conditions;
    use parking_lot::Mutex;
    use serde_json::json;
    use std::path::Path;

    /// A platform, its engine and its journal, which remember in which order they were asked for what.
    #[derive(Default)]
    struct Asked(Endpoints, Mutex<Vec<String>>);

    #[async_trait]
    impl Platform for Asked {
        fn endpoints(&self) -> &Endpoints {
            &self.0
        }
        async fn ends(&self, identity: Identity) -> Result<(), Error> {
            self.1.lock().push(format!("ends {identity:?}"));
            Ok(())
        }
        async fn remove(&self) -> Vec<String> {
            vec![]
        }
    }

    #[async_trait]
    impl Journal for Asked {
        async fn creating(&self, _: Receipt) -> Result<(), Error> {
            Err(Error::new("the journal", "a restore makes nothing"))
        }
        async fn acting(&self, receipt: Receipt) -> Result<(), Error> {
            self.1.lock().push(receipt.0.to_string());
            Ok(())
        }
        fn progress(&self, _: &str) {}
    }

    #[async_trait]
    impl Conditions for Asked {
        async fn lift(&self) -> Result<(), Error> {
            Ok(())
        }
    }

    #[async_trait]
    impl Session for Asked {
        async fn backup(&self, _: &str) -> Result<RecoveryPoint, Error> {
            Err(Error::new("the engine", "nobody asks for a backup"))
        }
        async fn points(&self) -> Result<Vec<RecoveryPoint>, Error> {
            let point = |id: &str, seconds: f64| RecoveryPoint {
                id: id.into(),
                snapshot: Moment::at(seconds),
                taken_at: crate::clock::wall(),
                bytes: None,
            };
            Ok(vec![point("0001", 1.0), point("of the ruins", 4.0)])
        }
        async fn restore(&self, plan: &RestorePlan) -> Finding {
            self.1.lock().push(format!("restores {}", plan.point.id));
            Finding::met()
        }
    }

    #[tokio::test]
    async fn the_component_and_its_point_are_recorded_before_anything_is_restored() {
        let asked = Asked::default();
        let onset = Onset { injecting: Moment::at(2.0), confirmed: Moment::at(3.0) };
        let context = StepContext {
            platform: &asked,
            disaster: Disaster::of_one(onset, crate::clock::wall(), crate::clock::wall()),
            session: Some(&asked),
            outputs: &[].into(),
            folder: Path::new("."),
            conditions: &asked,
            checks: None,
            journal: &asked,
        };
        let step = (KIND.parse)(&crate::node::parse("{ component: postgres }").unwrap(), &mut vec![]).unwrap();
        assert_eq!(step.carry_out(&context).await.verdict, Verdict::Met);
        let recorded = json!({ "act": "restore", "on": "postgres", "identity": "0001" }).to_string();
        assert_eq!(*asked.1.lock(), [recorded.as_str(), "ends Database", "restores 0001"]);
    }

    #[test]
    fn only_what_an_engine_can_restore_is_accepted() {
        let parse = |text: &str| {
            let mut problems = vec![];
            let parsed = (KIND.parse)(&crate::node::parse(text).unwrap(), &mut problems);
            (parsed.is_some(), problems.len())
        };
        assert_eq!(parse("{}"), (true, 0));
        assert_eq!(parse("{ component: mlflow, to: latest }"), (false, 1));
    }
}
