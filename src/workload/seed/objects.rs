//! The seed's objects: for each version of a model the files of a model of its own.
//!
//! They are put straight into the bucket, at the path that MLflow's proxy would use. The proxy is the slowest part of the
//! platform, and the drill needs it only for reading.

use super::model;
use crate::client::Error;
use crate::client::s3::key;
use crate::environment::Objects;
use aws_sdk_s3::primitives::ByteStream;
use futures::{StreamExt, TryStreamExt, stream};

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
    model::files(name, version).into_iter().map(|(file, body)| (format!("{root}/{file}"), body)).collect()
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
    fn the_files_of_a_version_lie_at_its_location() {
        let paths: Vec<_> =
            files("m-1", 1, "mlflow-artifacts:/3/abc/artifacts/model").into_iter().map(|file| file.0).collect();
        assert_eq!((paths.len(), paths[0].as_str()), (5, "3/abc/artifacts/model/MLmodel"));
    }
}
