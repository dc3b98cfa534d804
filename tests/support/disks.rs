//! What the loss of a disk leaves of a database, in whichever environment.

use lifeboat::environment::Platform;

/// How many tables MLflow's database has.
pub async fn tables(platform: &dyn Platform) -> i64 {
    let sql = platform.sql().unwrap();
    let client = sql.connect(sql.database()).await.unwrap();
    let count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    client.query_one(count, &[]).await.unwrap().get(0)
}

/// What was lost is another one by now, and what it held is gone; the old one's name does no more harm.
pub async fn lost_for_good(platform: &dyn Platform, before: &[String]) {
    assert_eq!(tables(platform).await, 0, "the server is empty");
    let disks = platform.disks().unwrap();
    let now = disks.disks("postgres").await.unwrap();
    assert!(now.len() == before.len() && now.iter().all(|disk| !before.contains(disk)), "{before:?} {now:?}");
    disks.lose("postgres", before).await.unwrap();
    assert_eq!(disks.disks("postgres").await.unwrap(), now, "another disk was lost than the one that was meant");
    assert_eq!(tables(platform).await, 0, "and the server lives");
}
