//! The check `mlflow-smoke`: five requests to MLflow that a platform in use must be able to answer.
//!
//! Liveness, experiments, registry, a model's bytes and a write. Each concerns another part of the platform, so a restore
//! that left one out fails with its name.

use super::Check;
use crate::client::{Error, experiments, mlflow::Mlflow, tasks};
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Planted};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Five requests to MLflow.
pub const KIND: Kind<dyn Check> = Kind {
    name: "mlflow-smoke",
    about: "MLflow answers, lists experiments and models, serves a model's bytes, and takes a run and reads it back.",
    example: "mlflow-smoke: {}",
    schema: |g| g.subschema_for::<MlflowSmoke>(),
    parse: |n, p| read::<MlflowSmoke>(n, p).map(|k| Box::new(k) as _),
};

/// It has no settings.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MlflowSmoke {}

/// What was there before the fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PlantedSmoke {
    /// The experiment in which `verify` writes its run.
    scratch: String,
    experiments: usize,
    models: BTreeSet<String>,
    artifact: Option<ArtifactDigest>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ArtifactDigest {
    path: String,
    digest: String,
}

const TIMEOUT: Duration = Duration::from_secs(10);

fn endpoint(platform: &dyn Platform) -> Result<Mlflow, Error> {
    let base = platform.endpoints().mlflow.as_deref();
    Mlflow::patient(
        base.ok_or_else(|| Error::new("cannot ask `mlflow`", "the environment has no such endpoint"))?,
        TIMEOUT,
    )
}

#[async_trait]
impl Check for MlflowSmoke {
    fn needs(&self) -> &'static [Power] {
        &[Power::Mlflow]
    }

    async fn plant(&self, platform: &dyn Platform, run: &str) -> Result<Planted, Error> {
        let mlflow = endpoint(platform)?;
        let models = names(&mlflow, "registered-models", "registered_models").await?;
        let artifact = if models.is_empty() { None } else { Some(artifact(&mlflow).await?) };
        let experiments = names(&mlflow, "experiments", "experiments").await?.len();
        let before = PlantedSmoke { scratch: experiments::smoke(run), experiments, models, artifact };
        serde_json::to_value(before).map(Planted).map_err(|e| Error::caused_by("cannot record what was planted", e))
    }

    async fn verify(&self, platform: &dyn Platform, planted: &Planted, _: Option<&Planted>) -> Finding {
        let before: PlantedSmoke = match serde_json::from_value(planted.0.clone()) {
            Ok(before) => before,
            Err(error) => return Finding::unknown(format!("what was planted cannot be read: {error}")),
        };
        let mlflow = match endpoint(platform) {
            Ok(mlflow) => mlflow,
            Err(error) => return Finding::unknown(error.to_string()),
        };
        let answers = [
            ("health", mlflow.health().await.map(|()| "OK".to_owned()).map_err(|error| tasks::short(&error))),
            ("experiments", experiments(&mlflow, &before).await),
            ("registry", registry(&mlflow, &before).await),
            ("artifact", download(&mlflow, &before).await),
            ("write", write(&mlflow, &before).await),
        ];
        judge(&answers)
    }

    async fn clear(&self, platform: &dyn Platform, planted: &Planted) -> Result<(), Error> {
        let mlflow = endpoint(platform)?;
        let Some(scratch) = planted.0["scratch"].as_str() else { return Ok(()) };
        if let Some(id) = tasks::known_experiment(&mlflow, scratch).await? {
            let gone = mlflow.post("experiments/delete", &json!({ "experiment_id": id })).await;
            // An experiment that was deleted before is still found by its name.
            return gone.map(|_| ()).or_else(|error| if tasks::missing(&error) { Ok(()) } else { Err(error) });
        }
        Ok(())
    }
}

/// Met if all five succeed, else missed, with the names of those that failed. No answer counts as missed too: after the
/// recovery the service must answer.
fn judge(answers: &[(&str, Result<String, String>)]) -> Finding {
    let failed: Vec<_> =
        answers.iter().filter_map(|(name, answer)| answer.as_ref().err().map(|why| format!("{name}: {why}"))).collect();
    let finding = if failed.is_empty() { Finding::met() } else { Finding::missed(failed.join("; ")) };
    answers.iter().fold(finding, |finding, (name, answer)| {
        finding.figure(*name, answer.as_ref().map_or("failed", String::as_str))
    })
}

async fn experiments(mlflow: &Mlflow, before: &PlantedSmoke) -> Result<String, String> {
    let found = names(mlflow, "experiments", "experiments").await.map_err(|error| tasks::short(&error))?.len();
    let said = format!("{found} listed, {} before", before.experiments);
    if found == 0 && before.experiments > 0 { Err(said) } else { Ok(said) }
}

async fn registry(mlflow: &Mlflow, before: &PlantedSmoke) -> Result<String, String> {
    let found = names(mlflow, "registered-models", "registered_models").await.map_err(|error| tasks::short(&error))?;
    let missing: Vec<_> = before.models.difference(&found).collect();
    match missing.first() {
        None => Ok(format!("{} of {} models", before.models.len(), before.models.len())),
        Some(first) => {
            Err(format!("{} of {} models are missing, such as `{first}`", missing.len(), before.models.len()))
        }
    }
}

async fn download(mlflow: &Mlflow, before: &PlantedSmoke) -> Result<String, String> {
    let Some(ArtifactDigest { path, digest }) = &before.artifact else { return Ok("none before".to_owned()) };
    let (found, length) = mlflow.artifact_digest(path, tasks::DOWNLOAD).await.map_err(|error| tasks::short(&error))?;
    if found.to_hex().as_str() == digest {
        Ok(format!("{length} bytes as before"))
    } else {
        Err(format!("wrong content: `{path}` has another digest"))
    }
}

async fn write(mlflow: &Mlflow, before: &PlantedSmoke) -> Result<String, String> {
    let written = async {
        let experiment = tasks::experiment(mlflow, &before.scratch).await?;
        let run = tasks::round_trip(mlflow, &experiment, "smoke").await?;
        mlflow.post("runs/delete", &json!({ "run_id": run })).await
    };
    written.await.map(|_| "written and read back".to_owned()).map_err(|error| tasks::short(&error))
}

async fn artifact(mlflow: &Mlflow) -> Result<ArtifactDigest, Error> {
    let path = tasks::production_file(mlflow).await?;
    let digest = mlflow.artifact_digest(&path, tasks::DOWNLOAD).await?.0.to_hex().to_string();
    Ok(ArtifactDigest { path, digest })
}

/// All names of a list, page after page.
async fn names(mlflow: &Mlflow, list: &str, key: &str) -> Result<BTreeSet<String>, Error> {
    let (mut names, mut page) = (BTreeSet::new(), String::new());
    loop {
        let mut query = vec![("max_results", "1000")];
        if !page.is_empty() {
            query.push(("page_token", &page));
        }
        let found: Value = mlflow.get(&format!("{list}/search"), &query).await?;
        names.extend(
            found[key].as_array().into_iter().flatten().filter_map(|it| it["name"].as_str().map(str::to_owned)),
        );
        found["next_page_token"].as_str().unwrap_or_default().clone_into(&mut page);
        if page.is_empty() {
            return Ok(names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verdict;

    #[test]
    fn a_failed_request_is_named_in_the_reason() {
        let finding =
            judge(&[("health", Ok("OK".into())), ("registry", Err("503".into())), ("write", Err("400".into()))]);
        assert_eq!(finding.verdict, Verdict::Missed);
        assert_eq!(finding.reason.as_deref(), Some("registry: 503; write: 400"));
        assert_eq!(finding.figures.len(), 3);
        assert_eq!(judge(&[("health", Ok("OK".into()))]).verdict, Verdict::Met);
    }
}
