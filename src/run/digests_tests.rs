//! Tests of what checks read in the snapshots of backups.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::clock::Clock;
use crate::environment::Endpoints;
use crate::model::{Finding, Line};
use crate::run::Observer;
use parking_lot::Mutex;
use serde_json::json;
use std::path::Path;

/// A platform that stands, or was made for the drill.
struct Bare(Endpoints, bool);

#[async_trait]
impl Platform for Bare {
    fn endpoints(&self) -> &Endpoints {
        &self.0
    }
    fn standing(&self) -> bool {
        self.1
    }
    async fn remove(&self) -> Vec<String> {
        vec![]
    }
}

/// Reads the name of the snapshot; a snapshot called `broken` it cannot read.
struct Names;

#[async_trait]
impl Check for Names {
    async fn plant(&self, _: &dyn Platform, _: &str) -> Result<Planted, Error> {
        Ok(Planted(json!(1)))
    }
    async fn at_point(&self, _: &dyn Platform, planted: &Planted, snapshot: &str) -> Result<Option<Planted>, Error> {
        match snapshot {
            "broken" => Err(Error::new("cannot read", "it is broken")),
            name => Ok(Some(Planted(json!([planted, name])))),
        }
    }
    async fn verify(&self, _: &dyn Platform, _: &Planted, _: Option<&Planted>) -> Finding {
        Finding::met()
    }
    async fn clear(&self, _: &dyn Platform, _: &Planted) -> Result<(), Error> {
        Ok(())
    }
}

#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Observer for Seen {
    fn line(&self, line: &Line) {
        if let Fact::Note(text) = &line.fact {
            self.0.lock().push(text.clone());
        }
    }
    fn progress(&self, _: &str) {}
}

fn digests(folder: &Path, standing: bool, seen: Arc<Seen>) -> Option<PointDigests> {
    let recorder = Recorder::begin(folder, Clock::start(), seen).unwrap().0;
    let node = crate::node::parse("{}").unwrap();
    let checks = [Chosen { name: "names", node, it: Arc::new(Names) as Arc<dyn Check> }];
    let platform = Arc::new(Bare(Endpoints::default(), standing)) as Arc<dyn Platform>;
    PointDigests::new(&platform, &recorder, &checks, &[Planted(json!(1))])
}

#[tokio::test]
async fn what_is_read_has_the_checks_name_and_what_cannot_be_read_is_noted_once() {
    let (folder, seen) = (tempfile::tempdir().unwrap(), Arc::<Seen>::default());
    let digests = digests(folder.path(), true, Arc::clone(&seen)).unwrap();
    let one = digests.read("one").await;
    assert_eq!(one.into_iter().collect::<Vec<_>>(), [("names".to_owned(), Planted(json!([1, "one"])))]);
    assert!(digests.read("broken").await.is_empty());
    assert!(digests.read("broken").await.is_empty());
    digests.recorder.append_durable(Fact::Ended).await.unwrap();
    let said = "recovery points without digests of the check `names`: cannot read: it is broken";
    assert_eq!(*seen.0.lock(), [said]);
}

#[tokio::test]
async fn a_platform_on_which_nobody_else_writes_is_asked_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(digests(folder.path(), false, Arc::default()).is_none());
}
