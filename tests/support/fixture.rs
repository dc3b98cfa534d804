//! An environment and what a test made in it, without a run.
#![allow(dead_code)] // each test takes what it needs

use super::notes::Notes;
use lifeboat::environment::{ENVIRONMENTS, Environment, Platform, RunContext};
use lifeboat::kind::pick;
use lifeboat::node::parse;
use std::path::Path;
use std::sync::Arc;

/// An environment in which a platform is made; the platform is removed whatever becomes of the test.
pub struct Fixture {
    environment: Arc<dyn Environment>,
    run_context: RunContext,
    notes: Arc<Notes>,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// The environment that is written; `name` and a random end make its run.
    pub fn new(name: &str, environment: &str) -> Self {
        let mut problems = vec![];
        let environment = pick("environment", ENVIRONMENTS, &parse(environment).unwrap(), &mut problems);
        let environment = environment.unwrap_or_else(|| panic!("{problems:?}")).it;
        let folder = tempfile::tempdir().unwrap();
        let run_context =
            RunContext { run: format!("{name}-{:04x}", rand::random::<u16>()), folder: folder.path().into() };
        Self { environment, run_context, notes: Arc::default(), folder }
    }

    /// Makes the platform.
    pub async fn provision(&self) -> Arc<dyn Platform> {
        let journal = Arc::clone(&self.notes);
        self.environment.provision(&self.run_context, journal).await.map_err(|e| e.to_string()).unwrap()
    }

    /// The run's name.
    pub fn run(&self) -> &str {
        &self.run_context.run
    }

    /// What is kept of the run goes here.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let receipts = self.notes.0.lock().unwrap().clone();
        let clean = async { self.environment.remove(&self.run_context, &receipts).await };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(clean));
    }
}
