//! The artifacts of one model in a point: where its versions, logged models and lost runs keep them, and what the bucket
//! has of them.
//!
//! Not here: the rows, which come after the artifacts that they name.

use super::live::LiveRows;
use super::selection::Selection;
use crate::client::{Error, postgres, s3};
use crate::engine::builtin::artifacts::{AT_ONCE, ArtifactContent, Back, ObjectState};
use crate::repository::{StoredFile, in_pack_order};
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;

/// A folder of artifacts that a row names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactFolder {
    /// Whose it is.
    pub of: String,
    /// Where the row says that it is.
    pub location: String,
    /// Must there be anything in it? A version that is ready has files; a run may have none.
    pub filled: bool,
}

/// The folders of the chosen versions and logged models, and of those chosen runs that the live database does not have.
pub async fn folders(selection: &Selection<'_>, live: &LiveRows<'_>) -> Result<Vec<ArtifactFolder>, Error> {
    let versions = format!(
        "SELECT format('version %s', chosen.version), coalesce(nullif(chosen.storage_location, ''), chosen.source, ''), \
         chosen.status = 'READY' FROM {} ORDER BY chosen.version",
        selection.chosen(&selection.named("model_versions"))
    );
    let mut rows = postgres::rows(selection.side, &versions).await?;
    let logged = selection.named("logged_models");
    if selection.tables.contains_key(&logged) {
        let logged = format!(
            "SELECT format('the logged model %s', chosen.model_id), chosen.artifact_location, false FROM {} ORDER BY 1",
            selection.chosen(&logged)
        );
        rows.extend(postgres::rows(selection.side, &logged).await?);
    }
    let folder = |row: &tokio_postgres::Row| {
        let (of, location, filled): (String, String, Option<bool>) = (row.get(0), row.get(1), row.get(2));
        ArtifactFolder { of, location, filled: filled.unwrap_or_default() }
    };
    let runs = live.absent(&selection.named("runs"), "artifact_uri").await?.into_iter();
    let run = |location| ArtifactFolder { of: "a run".to_owned(), location, filled: false };
    Ok(rows.iter().map(folder).chain(runs.map(run)).collect())
}

/// What the bucket has of a model's artifacts.
#[derive(Default)]
pub struct FoundObjects {
    /// Those that are gone.
    pub gone: Vec<StoredFile>,
    /// Those that have other bytes.
    pub different: Vec<StoredFile>,
    /// How many are as they were.
    pub same: usize,
    /// What the point itself does not have, in words.
    pub lacking: Vec<String>,
}

impl FoundObjects {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.gone.len() + self.different.len() + self.same
    }
}

/// Reads what the bucket has of the folders.
pub async fn found(
    back: &Back<'_>,
    content: &ArtifactContent,
    folders: &[ArtifactFolder],
) -> Result<FoundObjects, Error> {
    let (mut found, mut all) = (FoundObjects::default(), BTreeMap::new());
    for ArtifactFolder { of, location, filled } in folders {
        let cannot =
            |why: String, hint: &str| Error::new(format!("cannot put back the artifacts of {of}"), why).hint(hint);
        let path = path(content, location).ok_or_else(|| {
            cannot(
                format!("`{location}` is not in the bucket of the point"),
                "--only database puts back the rows alone",
            )
        })?;
        if back.located(location).is_none_or(|key| !key.ends_with(&path)) {
            let hint = "only what MLflow's server stands before (`mlflow-artifacts:/`) can go into another bucket";
            return Err(cannot(format!("`{location}` names another bucket than the one it goes into"), hint));
        }
        let files = back.files(&path).await?;
        if files.is_empty() && *filled {
            found.lacking.push(format!("{of}: the point has no artifact at `{location}`"));
        }
        all.extend(files.into_iter().map(|file| (file.name.clone(), file)));
    }
    let looks: Vec<_> = all.into_values().map(|file| look(back, file)).collect();
    let looks: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await?;
    for (state, file) in looks {
        match state {
            ObjectState::Gone => found.gone.push(file),
            ObjectState::Different => found.different.push(file),
            ObjectState::Same => found.same += 1,
        }
    }
    Ok(found)
}

/// Puts objects back and reads each one again; answers their bytes.
pub async fn put(back: &Back<'_>, mut files: Vec<StoredFile>) -> Result<u64, Error> {
    in_pack_order(&mut files);
    let puts: Vec<_> = files.into_iter().map(|file| put_one(back, file)).collect();
    let bytes: Vec<_> = stream::iter(puts).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(bytes.iter().sum())
}

async fn look(back: &Back<'_>, file: StoredFile) -> Result<(ObjectState, StoredFile), Error> {
    Ok((back.state(&file).await?, file))
}

async fn put_one(back: &Back<'_>, file: StoredFile) -> Result<u64, Error> {
    back.put(&file).await?;
    match back.state(&file).await? {
        ObjectState::Same => Ok(file.size),
        _ => Err(Error::new(format!("cannot put `{}` back", file.name), "what was put does not read back")),
    }
}

/// A location as the path of artifacts in the point.
fn path(content: &ArtifactContent, location: &str) -> Option<String> {
    let key = s3::located(&content.bucket, &content.prefix, location)?;
    let path = match content.prefix.as_str() {
        "" => key.as_str(),
        prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
    };
    (!path.is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::builtin::artifacts::ArtifactMethod;

    #[test]
    fn a_location_outside_the_points_bucket_is_no_path_in_it() {
        let content = ArtifactContent {
            bucket: "mlflow".into(),
            prefix: "artifacts".into(),
            objects: 0,
            bytes: 0,
            seconds_after: 0.0,
            versions: true,
            policy: None,
            method: ArtifactMethod::Objects,
        };
        let path = |location: &str| path(&content, location);
        assert_eq!(path("mlflow-artifacts:/1/a/artifacts/model").as_deref(), Some("1/a/artifacts/model"));
        assert_eq!(path("s3://mlflow/artifacts/1/a/").as_deref(), Some("1/a"));
        for elsewhere in
            ["s3://other/artifacts/1/a", "s3://mlflow/elsewhere/a", "s3://mlflow/artifacts", "models:/m-1", ""]
        {
            assert_eq!(path(elsewhere), None, "{elsewhere}");
        }
    }
}
