//! The user's own manifests: files of objects for a cluster, read with every problem at its line.
//!
//! Apart because engines, steps and environments name such files alike. Their paths start at the working directory, as
//! all paths in a drill but that of its scenario.

use crate::node::{Node, Problem, file, parse_all, read};
use serde::de::DeserializeOwned;
use std::path::Path;

/// The objects of a file, in the order written; if it cannot be used, why, in the form that editors read.
pub fn objects(path: &Path) -> Result<Vec<Node>, String> {
    let objects = file::text(path).and_then(|text| parse_all(&text)).map_err(|problem| positioned(path, &problem))?;
    let objects: Vec<_> = objects.into_iter().filter(|object| !object.is_null()).collect();
    if objects.is_empty() { Err(format!("`{}` is empty", path.display())) } else { Ok(objects) }
}

/// An object of a file as a type of the cluster's API.
pub fn typed<T: DeserializeOwned>(path: &Path, object: &Node) -> Result<T, String> {
    let mut problems = vec![];
    let typed = read::<T>(object, &mut problems);
    let told: Vec<_> = problems.iter().map(|problem| positioned(path, problem)).collect();
    typed.ok_or_else(|| told.join("; "))
}

/// A problem with its file and line.
pub fn positioned(path: &Path, problem: &Problem) -> String {
    match problem.position {
        Some(at) => format!("{}:{}:{}: {problem}", path.display(), at.line, at.column),
        None => format!("`{}` {problem}", path.display()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::api::batch::v1::Job;

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_a_file_may_hold_several_objects() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        let said = |text: &str| {
            std::fs::write(&path, text).unwrap();
            objects(&path)
                .and_then(|all| all.iter().map(|object| typed::<Job>(&path, object)).collect::<Result<Vec<_>, _>>())
        };
        let job = "apiVersion: batch/v1\nkind: Job\nmetadata: { name: a }\n";
        assert_eq!(said(&format!("# two\n---\n{job}---\n{job}---\n")).unwrap().len(), 2);
        let wrong = said(&format!("{job}spec:\n  backoffLimit: none\n")).unwrap_err();
        assert!(wrong.contains("x.yaml:5:"), "{wrong}");
        assert!(said(&job.replace("Job", "Pod")).unwrap_err().contains("Job"));
        assert!(said("a: [").unwrap_err().contains("x.yaml:1:"));
        assert!(said("---\n").unwrap_err().contains("is empty"));
        assert!(objects(&folder.path().join("y.yaml")).unwrap_err().contains("cannot be read"));
    }
}
