//! A run's own repository, for a drill that names none: a directory in the run's folder, with its password beside it.
//!
//! The password protects nothing here, since it lies beside what it opens; the repository's format wants one.

use crate::client::Error;
use crate::kind::pick;
use crate::node::{Node, Position, Value};
use crate::repository::{OpenRepository, Patience, REPOSITORIES, RepositorySettings, SecretFrom};
use crate::store;
use rand::Rng;
use rand::distr::Alphanumeric;
use std::path::Path;

/// Opens the repository in the folder of a run's points, and creates it first if there is none.
pub async fn open(points: &Path) -> Result<OpenRepository, Error> {
    let (directory, password) = (points.join("repository"), points.join("password"));
    let cannot = |e: std::io::Error| Error::caused_by(format!("cannot make `{}`", directory.display()), e);
    let there = directory.is_dir();
    if !there {
        std::fs::create_dir_all(points).map_err(cannot)?;
        let text: String = rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
        store::replace_durable(&password, text.as_bytes()).map_err(cannot)?;
        std::fs::create_dir(&directory).map_err(cannot)?;
    }
    let settings = settings(&directory, &password)?;
    let patience = Patience::default();
    if there {
        OpenRepository::open(&settings, patience).await
    } else {
        OpenRepository::create(&settings, patience).await
    }
}

fn settings(directory: &Path, password: &Path) -> Result<RepositorySettings, Error> {
    let text = |text: &str| Node { value: Value::Text(text.to_owned()), position: Position::default() };
    let entry = (text("directory"), text(&directory.to_string_lossy()));
    let node = Node { value: Value::Map(vec![entry]), position: Position::default() };
    let mut problems = vec![];
    let kind = pick("repository", REPOSITORIES, &node, &mut problems);
    let why = || problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let kind = kind.ok_or_else(|| Error::new(format!("`{}`", directory.display()), why()))?;
    let password = SecretFrom::File(password.to_owned());
    Ok(RepositorySettings { name: "own".to_owned(), kind, password, lock: None })
}
