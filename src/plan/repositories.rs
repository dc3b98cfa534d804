//! Asks the repositories that a drill names whether they can be opened, before anything is touched.
//!
//! Apart from the environment's survey because no environment knows them. It reads only: what is not there yet is made by
//! the run.

use crate::client::{Error, ErrorKind};
use crate::environment::Survey;
use crate::repository::{OpenRepository, Patience, RepositorySettings};
use crate::spec::DrillRepositories;
use futures::future::join_all;
use std::time::Duration;

/// A plan does not wait longer than this for a server that is out of reach.
const REQUEST: Duration = Duration::from_secs(20);

/// Adds to the survey where each repository is, or why it cannot be used.
pub async fn survey(repositories: &DrillRepositories, survey: &mut Survey) {
    let asked = repositories.settings.iter().map(|settings| found(settings, repositories.own()));
    for (settings, found) in repositories.settings.iter().zip(join_all(asked).await) {
        match found {
            Ok(said) => {
                survey.facts.insert(format!("repository {}", settings.name), said);
            }
            Err(error) => survey.problems.push(error.to_string()),
        }
    }
}

async fn found(settings: &RepositorySettings, own: bool) -> Result<String, Error> {
    let patience = Patience { request: REQUEST, ..Patience::default() };
    match OpenRepository::open(settings, patience).await {
        Err(error) if error.kind == ErrorKind::NotFound && own => {
            let is_empty = settings.place(patience).await?.list("").await.is_ok_and(|files| files.is_empty());
            let made = || format!("{}, which the run makes", settings.kind.location());
            is_empty.then(made).ok_or(error)
        }
        Err(error) if error.kind == ErrorKind::NotFound => {
            Err(error.hint("`lifeboat backup FILE --create` makes the repositories of a protection"))
        }
        opened => opened.map(|repository| repository.location()),
    }
}
