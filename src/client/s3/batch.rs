//! Deleting many objects at once: 1,000 in a request, each key's own answer read.
//!
//! Apart because a batch is answered with 200 even where some of its keys were refused.

use super::pace::{ANSWER, PacedStore, RequestFailure, may_pass, says_too_many};
use crate::client::Error;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use std::collections::HashMap;

/// So many keys are in one request, the most that S3 takes.
pub const BATCH: usize = 1_000;

/// An object to delete: its key, and the id of one version or nothing, which makes a delete marker.
pub type ObjectToDelete = (String, Option<String>);

/// Deletes up to [`BATCH`] objects; answers those that were refused, each with its reason. What may pass (an
/// overloaded store) is sent again; a version or marker that is gone already is no error.
pub async fn delete_batch(
    store: &PacedStore,
    bucket: &str,
    mut objects: Vec<ObjectToDelete>,
) -> Result<Vec<(ObjectToDelete, String)>, RequestFailure> {
    let what = || format!("cannot delete objects in `{bucket}`");
    let (begun, deadline) = (store.now(), store.deadline());
    let mut refused = vec![];
    let mut attempt = 0;
    loop {
        let delete = batch(&objects).map_err(|e| RequestFailure { error: Error::caused_by(what(), e), all: false })?;
        let request = || store.client.delete_objects().bucket(bucket).delete(delete.clone()).send();
        let answer = store.send(what, ANSWER, request).await?;
        let mut errors: HashMap<ObjectToDelete, (String, String)> = HashMap::new();
        for error in answer.errors.unwrap_or_default() {
            let name = (error.key.unwrap_or_default(), error.version_id.filter(|id| !id.is_empty()));
            let code = error.code.unwrap_or_default();
            errors.insert(name, (code.clone(), error.message.unwrap_or(code)));
        }
        let mut again = vec![];
        for object in std::mem::take(&mut objects) {
            match errors.remove(&object) {
                Some((code, _)) if may_pass(&code) => again.push((object, code)),
                Some((_, message)) => refused.push((object, message)),
                None => {}
            }
        }
        // A server that names no version id: its errors must not be taken for success.
        refused.extend(errors.into_iter().map(|(object, (_, message))| (object, message)));
        let Some((_, code)) = again.first() else { break };
        if again.iter().any(|(_, code)| says_too_many(code)) {
            store.too_many();
        }
        let error = Error::new(what(), code.clone());
        if let Some(error) = store.pause(attempt, deadline, error).await {
            let all = !store.served_since(begun);
            if all {
                return Err(RequestFailure { error, all });
            }
            refused.extend(again.into_iter().map(|(object, _)| (object, error.why.clone())));
            break;
        }
        objects = again.into_iter().map(|(object, _)| object).collect();
        attempt += 1;
    }
    Ok(refused)
}

fn batch(objects: &[ObjectToDelete]) -> Result<Delete, aws_sdk_s3::error::BuildError> {
    let mut delete = Delete::builder().quiet(true);
    for (key, version) in objects {
        delete = delete.objects(ObjectIdentifier::builder().key(key).set_version_id(version.clone()).build()?);
    }
    delete.build()
}
