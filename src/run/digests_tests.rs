//! Tests of what is kept beside recovery points.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::clock::Clock;
use crate::environment::Endpoints;
use crate::model::{Finding, Line};
use crate::run::Observer;
use serde_json::json;

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
async fn what_was_read_lies_beside_its_own_point_and_no_other() {
    let (folder, seen) = (tempfile::tempdir().unwrap(), Arc::<Seen>::default());
    ["0001", "0002", "0003"].iter().for_each(|point| std::fs::create_dir(folder.path().join(point)).unwrap());
    let digests = digests(folder.path(), true, Arc::clone(&seen)).unwrap();
    digests.read("one").await;
    digests.keep(folder.path(), "0001");
    assert_eq!(kept(folder.path(), "0001", "names"), Some(Planted(json!([1, "one"]))));
    assert_eq!(kept(folder.path(), "0001", "others"), None);
    // What was read for a backup that failed is not the next one's, and what cannot be read is noted once.
    digests.read("two").await;
    digests.read("broken").await;
    digests.keep(folder.path(), "0002");
    digests.read("broken").await;
    digests.keep(folder.path(), "0003");
    assert_eq!((kept(folder.path(), "0002", "names"), kept(folder.path(), "0003", "names")), (None, None));
    digests.recorder.append_durable(Fact::Ended).await.unwrap();
    let said = "recovery points without digests of the check `names`: cannot read: it is broken";
    assert_eq!(*seen.0.lock(), [said]);
}

#[tokio::test]
async fn a_platform_on_which_nobody_else_writes_is_asked_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(digests(folder.path(), false, Arc::default()).is_none());
}
