//! The seed's objects: a real model for each version in production, a note for each other one.
//!
//! They are put straight into the bucket, at the path that MLflow's proxy would use. The proxy is the slowest part of the
//! platform, and the drill needs it only for reading.

use super::rows::PRODUCTION;
use crate::client::Error;
use crate::client::s3::key;
use crate::environment::Objects;
use aws_sdk_s3::primitives::ByteStream;
use futures::{StreamExt, TryStreamExt, stream};

/// The files of the model, made by `model/make.py`.
const MODEL: [(&str, &[u8]); 5] = [
    ("MLmodel", include_bytes!("model/MLmodel")),
    ("conda.yaml", include_bytes!("model/conda.yaml")),
    ("model.skops", include_bytes!("model/model.skops")),
    ("python_env.yaml", include_bytes!("model/python_env.yaml")),
    ("requirements.txt", include_bytes!("model/requirements.txt")),
];

const AT_ONCE: usize = 16;

/// Puts the artifacts of all versions (name, version, storage location); returns the number of objects.
pub async fn put(objects: &dyn Objects, versions: &[(String, i32, String)]) -> Result<u64, Error> {
    let all: Vec<_> = versions.iter().flat_map(|(name, version, location)| files(name, *version, location)).collect();
    let count = all.len() as u64;
    stream::iter(all.into_iter().map(|(path, body)| put_one(objects, path, body)))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(count)
}

fn files(name: &str, version: i32, location: &str) -> Vec<(String, Vec<u8>)> {
    let root = location.trim_start_matches("mlflow-artifacts:/");
    if version == PRODUCTION {
        return MODEL.iter().map(|(file, body)| (format!("{root}/{file}"), body.to_vec())).collect();
    }
    vec![(
        format!("{root}/note.txt"),
        format!("{name} version {version}: only the one in production is a model\n").into(),
    )]
}

async fn put_one(objects: &dyn Objects, path: String, body: Vec<u8>) -> Result<(), Error> {
    let key = key(objects.prefix(), &path);
    let request = objects.s3().put_object().bucket(objects.bucket()).key(&key).body(ByteStream::from(body));
    request.send().await.map_err(|e| Error::caused_by(format!("cannot put the object `{key}`"), e))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_in_production_is_a_whole_model_and_the_others_are_a_note() {
        let location = "mlflow-artifacts:/3/abc/artifacts/model";
        let paths: Vec<_> = files("m", PRODUCTION, location).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths.len(), MODEL.len());
        assert_eq!(paths[0], "3/abc/artifacts/model/MLmodel");
        assert_eq!(files("m", 1, location).len(), 1);
    }
}
