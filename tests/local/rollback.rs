//! Rollbacks of a bucket on a real VersityGW: to a moment and to recorded versions, killed, slowed down, refused.
use crate::object_store::{BUCKET, ObjectStore, SlowDown, client_of};
use futures::{StreamExt, TryStreamExt, stream};
use lifeboat::client::s3::bucket_copy::{BucketPart, copy_bucket};
use lifeboat::client::s3::rollback::{
    RecordedObject, Rollback, RollbackGoal, RollbackOutcome, RollbackSubject, refusal,
};
use lifeboat::client::s3::{self, CopyLimits, PacedStore, S3Version};
use lifeboat::client::versions;
use lifeboat::clock::wall;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What clients see: key, entity tag.
type Seen = BTreeMap<String, String>;

impl ObjectStore {
    async fn put(&self, keys: impl IntoIterator<Item = String>, text: &str) {
        let put = async |key: String| {
            let bytes = format!("{text} {key}").into_bytes();
            s3::put(&self.client, BUCKET, &key, bytes).await.unwrap();
        };
        stream::iter(keys.into_iter().map(put)).buffer_unordered(32).collect::<Vec<()>>().await;
    }

    async fn delete(&self, keys: impl IntoIterator<Item = String>) {
        let doomed: Vec<_> = keys.into_iter().map(|key| (key, None)).collect();
        assert_eq!(versions::delete(&self.client, BUCKET, &doomed).await.unwrap(), []);
    }

    async fn seen(&self) -> Seen {
        let all = s3::objects(&self.client, BUCKET, "").await.unwrap();
        all.into_iter().map(|it| (it.key, it.etag.unwrap())).collect()
    }

    async fn all(&self) -> Vec<S3Version> {
        versions::list(&self.client, BUCKET, "").await.unwrap()
    }

    async fn version_ids(&self) -> BTreeSet<String> {
        self.all().await.into_iter().filter(|it| !it.marker).map(|it| it.id).collect()
    }

    /// Deletes, overwrites and adds, each in several ways.
    async fn harm(&self, wave: usize) {
        self.delete(keys(0..400)).await;
        self.delete(keys(300..400)).await; // one more marker on top
        self.put(keys(400..800), &format!("bad {wave}")).await;
        self.put(keys(700..800), &format!("worse {wave}")).await;
        self.put(keys(800..900), &format!("bad {wave}")).await;
        self.delete(keys(800..900)).await;
        self.put((0..200).map(|n| format!("new/{wave}/{n:04}")), "new").await;
    }

    fn paced(&self) -> Arc<PacedStore> {
        Arc::new(PacedStore::new(&self.client))
    }
}

fn keys(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|n| format!("{}/{n:04}/model/note é+1.txt", n % 30))
}

fn to_moment(at: jiff::Timestamp) -> RollbackGoal {
    RollbackGoal::Moment { at, until: None, keep_created: false }
}

async fn roll_back(
    store: &Arc<PacedStore>,
    goal: RollbackGoal,
    recorded: Option<&BTreeMap<String, RecordedObject>>,
    journal: &Path,
) -> Result<RollbackOutcome, lifeboat::client::Error> {
    let subject = RollbackSubject { bucket: BUCKET.into(), prefix: String::new(), goal };
    let limits = CopyLimits { largest: 6 << 20, part: 5 << 20 };
    let recorded = recorded.map(|recorded| recorded as _);
    let planned = Rollback { store, subject, recorded, limits }.plan(journal).await?;
    planned.carry_out().await
}

/// Longer than two clocks may be apart.
const A_WHILE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_objects_are_rolled_back_to_a_moment_and_to_recorded_versions() {
    let Some(store) = ObjectStore::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    store.put(keys(0..3000), "good").await;
    store.delete(keys(2900..3000)).await;
    tokio::time::sleep(A_WHILE).await;
    let (moment, seen, known) = (wall(), store.seen().await, store.version_ids().await);
    let recorded = store.all().await.into_iter().filter(|it| it.latest && !it.marker);
    let recorded: BTreeMap<_, _> =
        recorded.map(|it| (it.key, RecordedObject { id: it.id, etag: Some(it.etag) })).collect();
    assert_eq!((seen.len(), recorded.len()), (2900, 2900));
    tokio::time::sleep(A_WHILE).await;
    store.harm(1).await;
    assert_ne!(store.seen().await, seen);
    let began = Instant::now();
    let outcome = roll_back(&store.paced(), to_moment(moment), None, &folder.path().join("a")).await.unwrap();
    println!("{:.2} s: {outcome:?}", began.elapsed().as_secs_f64());
    let counts = &outcome.counts;
    assert!(outcome.met(), "{outcome:?}");
    assert_eq!((counts.undeleted, counts.markers, counts.copies, counts.hidden), (400, 500, 500, 200));
    assert_eq!(store.seen().await, seen);
    assert!(store.version_ids().await.is_superset(&known), "no version is removed");
    let again = roll_back(&store.paced(), to_moment(moment), None, &folder.path().join("b")).await.unwrap();
    assert_eq!(again.counts.acts(), 0, "a second one finds nothing to do");

    store.harm(2).await;
    let gone = "29/2989/no such key".to_owned();
    let mut with_gone = recorded.clone();
    with_gone.insert(gone.clone(), RecordedObject { id: "01ARYZ6S41TSV4RRFFQ69G5FAV".into(), etag: None });
    let journal = folder.path().join("c");
    let outcome = roll_back(&store.paced(), RollbackGoal::Recorded { keep_others: false }, Some(&with_gone), &journal)
        .await
        .unwrap();
    assert_eq!(store.seen().await, seen);
    assert_eq!((outcome.counts.gone, outcome.refused.count, outcome.different.count), (1, 0, 0), "{outcome:?}");
    assert!(outcome.counts.named.contains_key(&gone), "and it is named");
    let again = roll_back(&store.paced(), RollbackGoal::Recorded { keep_others: false }, Some(&recorded), &journal)
        .await
        .unwrap();
    assert!(again.met() && again.counts.acts() == 0, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_says_slow_down_is_ridden_out_and_one_that_always_does_is_a_clear_failure() {
    let Some(store) = ObjectStore::start().await else { return };
    let (folder, proxy) = (tempfile::tempdir().unwrap(), SlowDown::before(&store).await);
    store.put(keys(0..1000), "good").await;
    let (moment, seen) = (wall(), store.seen().await);
    tokio::time::sleep(A_WHILE).await;
    store.delete(keys(0..200)).await;
    store.put(keys(200..500), "bad").await;
    let slowed = Arc::new(PacedStore::with_patience(&client_of(&proxy.endpoint), Duration::from_secs(3)));
    let subject = RollbackSubject { bucket: BUCKET.into(), prefix: String::new(), goal: to_moment(moment) };
    let plan = async |store, journal: &str| {
        let rollback = Rollback { store, subject: subject.clone(), recorded: None, limits: CopyLimits::default() };
        rollback.plan(&folder.path().join(journal)).await.unwrap()
    };
    let planned = plan(&slowed, "a").await;
    proxy.refuse.store(u64::MAX, Ordering::SeqCst);
    let began = Instant::now();
    let error = planned.carry_out().await.unwrap_err().to_string();
    println!("{error}");
    assert!(error.contains("SlowDown") && error.contains("tried for 3 s") && error.contains("not done: `"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "it ends");

    let patient = Arc::new(PacedStore::new(&client_of(&proxy.endpoint)));
    proxy.refuse.store(0, Ordering::SeqCst);
    let planned = plan(&patient, "b").await;
    proxy.refuse.store(100, Ordering::SeqCst);
    let outcome = planned.carry_out().await.unwrap();
    println!("{outcome:?}");
    assert!(outcome.met(), "{outcome:?}");
    assert_eq!(proxy.refuse.load(Ordering::SeqCst), 0);
    assert!(proxy.refused.load(Ordering::SeqCst) > 100, "the first one's were refused too");
    assert!(outcome.pace.refusals >= 100 && outcome.pace.lowest < 64, "fewer at once: {:?}", outcome.pace);
    assert_eq!(store.seen().await, seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_was_killed_goes_on_from_its_journal() {
    let Some(store) = ObjectStore::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    store.put(keys(0..2000), "good").await;
    let (moment, seen) = (wall(), store.seen().await);
    tokio::time::sleep(A_WHILE).await;
    store.put(keys(0..2000), "bad").await;
    let mut resumed = 0;
    for round in 0..2 {
        let journal = folder.path().join("journal");
        let copied = || std::fs::read_to_string(&journal).unwrap_or_default().matches("\"copied\"").count();
        let before = copied();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "rollback::rolls_back_until_it_is_killed", "--ignored", "--nocapture"]);
        child.env("ROLLBACK_ENDPOINT", &store.endpoint).env("ROLLBACK_MOMENT", moment.to_string());
        child.env("ROLLBACK_JOURNAL", &journal).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        let began = Instant::now();
        while copied() < before + 50 + 70 * round && child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_mins(1), "it does not go on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        assert!(copied() > before);
        resumed = copied();
    }
    let versions_before = store.version_ids().await.len();
    let outcome = roll_back(&store.paced(), to_moment(moment), None, &folder.path().join("journal")).await.unwrap();
    println!("{resumed} of 2000 noted, {versions_before} versions: {outcome:?}");
    assert!(outcome.met(), "{outcome:?}");
    assert!((50..2000).contains(&outcome.resumed), "{outcome:?}");
    assert_eq!(store.seen().await, seen);
    assert_eq!(store.version_ids().await.len(), 6000, "what was done is not done again, be it noted or not");
}

#[tokio::test]
#[ignore = "the process that another test kills"]
async fn rolls_back_until_it_is_killed() {
    let told = |name: &str| std::env::var(name).ok();
    let Some(endpoint) = told("ROLLBACK_ENDPOINT") else { return };
    let (moment, journal) = (told("ROLLBACK_MOMENT").unwrap(), told("ROLLBACK_JOURNAL").unwrap());
    let store = Arc::new(PacedStore::new(&client_of(&endpoint)));
    roll_back(&store, to_moment(moment.parse().unwrap()), None, Path::new(&journal)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_is_copied_in_parts_with_its_metadata_and_a_bucket_is_copied_by_its_server() {
    let Some(store) = ObjectStore::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..12_u32 << 20).map(|n| u8::try_from((n >> 7) & 0xff).unwrap()).collect();
    let put = store.client.put_object().bucket(BUCKET).key("large").metadata("who", "me").content_type("text/x");
    put.body(large.clone().into()).send().await.unwrap();
    store.put(keys(0..300), "good").await;
    let moment = wall();
    tokio::time::sleep(A_WHILE).await;
    s3::put(&store.client, BUCKET, "large", b"bad".to_vec()).await.unwrap();
    let outcome = roll_back(&store.paced(), to_moment(moment), None, &folder.path().join("a")).await.unwrap();
    assert!(outcome.met() && outcome.counts.copies == 1, "{outcome:?}");
    assert_eq!(s3::get(&store.client, BUCKET, "large").await.unwrap(), large);
    let head = store.client.head_object().bucket(BUCKET).key("large").send().await.unwrap();
    assert_eq!(head.metadata().unwrap().get("who").map(String::as_str), Some("me"));
    assert_eq!(head.content_type(), Some("text/x"));

    store.bucket("copy").await;
    let (from, to) = (
        BucketPart { bucket: BUCKET.into(), prefix: String::new() },
        BucketPart { bucket: "copy".into(), prefix: "all/".into() },
    );
    let limits = CopyLimits { largest: 6 << 20, part: 5 << 20 };
    let outcome = copy_bucket(&store.paced(), &from, &to, limits).await.unwrap();
    println!("{outcome:?}");
    assert!(outcome.met(), "{outcome:?}");
    assert_eq!((outcome.objects, outcome.copied), (301, 301));
    assert_eq!(
        s3::digest(&store.client, "copy", "all/large").await.unwrap(),
        blake3::hash(&large).to_hex().to_string()
    );
    s3::put(&store.client, "copy", &format!("all/{}", keys(7..8).next().unwrap()), b"other".to_vec()).await.unwrap();
    let again = copy_bucket(&store.paced(), &from, &to, limits).await.unwrap();
    assert!(again.met() && again.copied <= 2, "only what differs: {again:?}");
    let inside = BucketPart { bucket: BUCKET.into(), prefix: "0/".into() };
    assert!(copy_bucket(&store.paced(), &from, &inside, limits).await.unwrap_err().to_string().contains("lies in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_in_parts_is_whole_and_in_order_and_a_bucket_without_versions_is_refused() {
    let Some(store) = ObjectStore::start().await else { return };
    for key in ["a-b", "a.d", "a0", "z"] {
        store.put([key.to_owned()], "x").await;
    }
    store.put(keys(0..1500), "x").await;
    store.delete(keys(0..100)).await;
    let all: Vec<_> = s3::histories(&store.paced(), BUCKET, "").try_collect().await.unwrap();
    assert_eq!(all.len(), 1504);
    assert!(all.windows(2).all(|pair| pair[0].key < pair[1].key), "in the order of the keys");
    assert_eq!(all.iter().map(|it| it.entries.len()).sum::<usize>(), 1604);
    let under: Vec<_> = s3::histories(&store.paced(), BUCKET, "7/").try_collect().await.unwrap();
    assert_eq!(under.len(), 50);
    assert!(refusal(&store.paced(), BUCKET).await.is_ok(), "a server without lifecycles expires nothing");
    store.client.create_bucket().bucket("plain").send().await.unwrap();
    let why = refusal(&store.paced(), "plain").await.unwrap_err().to_string();
    assert!(why.contains("keeps no versions") && why.contains("nothing was changed"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test --test local rollback -- --ignored --nocapture"]
async fn ten_thousand_objects_are_undeleted_beside_a_bare_client() {
    let Some(store) = ObjectStore::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    store.put(keys(0..10_000), "good").await;
    for round in 0..3 {
        let begin = wall();
        store.delete(keys(0..10_000)).await;
        let goal = RollbackGoal::Deleted { begin, end: wall() };
        let began = Instant::now();
        let journal = folder.path().join(format!("{round}"));
        let outcome = roll_back(&store.paced(), goal, None, &journal).await.unwrap();
        let ours = began.elapsed().as_secs_f64();
        assert!(outcome.met() && outcome.counts.markers == 10_000, "{outcome:?}");
        store.delete(keys(0..10_000)).await;
        let began = Instant::now();
        let markers = store.all().await.into_iter().filter(|it| it.marker && it.latest);
        let markers: Vec<_> = markers.map(|it| (it.key, Some(it.id))).collect();
        let listed = began.elapsed().as_secs_f64();
        assert_eq!(versions::delete(&store.client, BUCKET, &markers).await.unwrap(), []);
        let bare = began.elapsed().as_secs_f64();
        println!(
            "undelete of 10,000: {ours:.1} s with its proof (acts {:.1} s, {} requests, {}); \
             list {listed:.1} s and delete, bare: {bare:.1} s",
            outcome.seconds,
            outcome.pace.requests,
            outcome.pace.limit()
        );
    }
}
