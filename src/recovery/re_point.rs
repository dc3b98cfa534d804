//! The step that re-points what MLflow stores of its artifacts' places, after the artifacts were moved to another bucket, and
//! proves that nothing names the old place and that every registered version can be read.

use super::{Step, StepContext};
use crate::client::Error;
use crate::client::re_point::{PlaceMove, RePointed, re_point};
use crate::client::registered::{RegisteredArtifacts, read_all};
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `re-point: { from: s3://old, to: s3://new }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "re-point",
    about: "Changes every stored place of artifacts from one bucket or folder to another, and reads what is there.",
    example: "re-point: { from: s3://mlflow-old/artifacts, to: s3://mlflow-new }",
    schema: |g| g.subschema_for::<RePointStep>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Re-points the database after artifacts were moved. Its outputs: `changed` and `left`, both of them counts of rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RePointStep {
    /// The old place, such as `s3://mlflow-old/artifacts`.
    from: String,
    /// The new one.
    to: String,
    /// More columns of texts, `table.column`, in which the old place is replaced wherever it stands.
    #[serde(default)]
    also: Vec<String>,
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<RePointStep> {
    let step: RePointStep = read(node, problems)?;
    match PlaceMove::new(&step.from, &step.to) {
        Ok(_) => Some(step),
        Err(why) => {
            problems.push(Problem::new(node, why).hint("write `from: s3://OLD/FOLDER` and `to: s3://NEW`"));
            None
        }
    }
}

/// How a re-pointing is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RePointing {
    /// From where to where.
    pub moved: PlaceMove,
    /// More columns of texts.
    pub also: Vec<String>,
    /// Only count.
    pub dry_run: bool,
}

/// Re-points the platform's database, and reads the artifacts of every registered version; without a bucket nobody knows
/// whether they are there.
///
/// # Errors
/// When it could not be done; the database is then as it was.
pub async fn carry_out(platform: &dyn Platform, act: &RePointing) -> Result<Finding, Error> {
    let sql = platform.sql()?;
    let client = sql.connect(sql.database()).await?;
    let re_pointed = re_point(&client, &act.moved, &act.also, act.dry_run).await?;
    if act.dry_run {
        return Ok(judge(&re_pointed, None));
    }
    let artifacts = match platform.objects() {
        Ok(objects) => Some(read_all(&client, objects.s3(), objects.bucket(), objects.prefix()).await?),
        Err(_) => None,
    };
    let finding = judge(&re_pointed, artifacts.as_ref());
    Ok(if artifacts.is_none() && finding.reason.is_none() {
        let why = "it is not known whether the artifacts are there: no bucket is named";
        Finding { figures: finding.figures, ..Finding::unknown(why) }
    } else {
        finding
    })
}

/// What is named in the reason, of each sort.
const NAMED: usize = 3;

fn judge(re_pointed: &RePointed, artifacts: Option<&RegisteredArtifacts>) -> Finding {
    let left = re_pointed.left.iter().map(|(column, rows)| format!("{rows} rows of `{column}` name the old place"));
    let wrong = artifacts.into_iter().flat_map(|it| it.wrong.iter().cloned());
    let against: Vec<_> = left.chain(wrong).collect();
    let elsewhere: Vec<_> = artifacts.into_iter().flat_map(|it| it.elsewhere.iter().cloned()).collect();
    let named = |all: &[String]| {
        let more = all.len().saturating_sub(NAMED);
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        all[..all.len() - more].join("; ") + &rest
    };
    let finding = match (against.is_empty(), elsewhere.is_empty()) {
        (false, _) => Finding::missed(named(&against)),
        (true, false) => Finding::unknown(format!("what is in no bucket was not read: {}", named(&elsewhere))),
        (true, true) => Finding::met(),
    };
    let sum = |rows: &std::collections::BTreeMap<String, i64>| rows.values().sum::<i64>();
    let finding = finding.figure("changed", sum(&re_pointed.changed)).figure("left", sum(&re_pointed.left));
    let finding =
        re_pointed.changed.iter().fold(finding, |it, (column, rows)| it.figure(format!("changed {column}"), rows));
    let finding = re_pointed.left.iter().fold(finding, |it, (column, rows)| it.figure(format!("left {column}"), rows));
    match artifacts {
        Some(it) => finding.figure("versions read", it.versions).figure("artifacts read", it.objects),
        None => finding,
    }
}

#[async_trait]
impl Step for RePointStep {
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql, Power::Objects]
    }
    fn outputs(&self) -> &'static [&'static str] {
        &["changed", "left"]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let carried_out = async {
            let cannot = |why| Error::new("cannot re-point", why);
            let moved = PlaceMove::new(&self.from, &self.to).map_err(cannot)?;
            let database = context.platform.sql()?.database().to_owned();
            context.record("re-point", &database, Some(moved.to_string())).await?;
            let act = RePointing { moved, also: self.also.clone(), dry_run: false };
            carry_out(context.platform, &act).await
        };
        carried_out.await.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Verdict;

    #[test]
    fn a_place_that_is_none_is_a_problem() {
        let problems = |text: &str| {
            let mut problems = vec![];
            let step = parse(&crate::node::parse(text).unwrap(), &mut problems);
            assert_eq!(step.is_some(), problems.is_empty());
            problems.iter().map(ToString::to_string).collect::<String>()
        };
        assert_eq!(problems("{ from: s3://a, to: s3://b }"), "");
        assert!(problems("{ from: a, to: s3://b }").contains("`a` is no place"));
        assert!(problems("{ from: s3://a, to: s3://a/b }").contains("is in the old one"));
    }

    #[test]
    fn what_still_names_the_old_place_or_cannot_be_read_is_missed_and_what_was_not_read_is_unknown() {
        let rows = |column: &str| RePointed { left: [(column.to_owned(), 2)].into(), ..RePointed::default() };
        let read = RegisteredArtifacts { versions: 1, objects: 5, ..RegisteredArtifacts::default() };
        let whole = judge(&RePointed::default(), Some(&read));
        assert_eq!((whole.verdict, whole.get("artifacts read")), (Verdict::Met, Some("5")));
        let left = judge(&rows("public.params.value"), Some(&read));
        assert_eq!(left.reason.as_deref(), Some("2 rows of `public.params.value` name the old place"));
        let wrong = RegisteredArtifacts { wrong: vec!["churn version 1: gone".into()], ..read.clone() };
        assert_eq!(judge(&RePointed::default(), Some(&wrong)).verdict, Verdict::Missed);
        let elsewhere = RegisteredArtifacts { elsewhere: vec!["churn version 1".into()], ..read };
        assert_eq!(judge(&RePointed::default(), Some(&elsewhere)).verdict, Verdict::Unknown);
    }
}
