//! A new data directory beside the database server's own, on its volume: filled and asked while the server goes on, swapped
//! in, put back, settled.

use lifeboat::client::postgres;
use lifeboat::environment::{Platform, SidePart, Sql, VolumeState};
use std::time::Duration;

const POSTGRES: &str = "postgres";
const SOON: Duration = Duration::from_mins(1);

/// Puts a base backup of the server as it is now beside its directory.
async fn fill(platform: &dyn Platform) {
    let volumes = platform.volumes().unwrap();
    let args = ["-D", "-", "-F", "t", "-X", "fetch", "-c", "fast"];
    let base = platform.sql().unwrap().tool("pg_basebackup", &args).await.unwrap();
    volumes.make_side(POSTGRES).await.unwrap();
    let (unpacked, ended) = tokio::join!(volumes.unpack(POSTGRES, SidePart::Data, base.output), base.ended);
    let ended = ended.unwrap();
    assert!(ended.success(), "{ended}");
    unpacked.unwrap();
}

async fn add(platform: &dyn Platform, number: i32) {
    let client = platform.sql().unwrap().connect("mlflow").await.unwrap();
    client.batch_execute("CREATE TABLE IF NOT EXISTS beside (i int)").await.unwrap();
    client.execute("INSERT INTO beside VALUES ($1)", &[&number]).await.unwrap();
}

async fn rows(sql: &dyn Sql) -> Vec<i32> {
    let client = sql.connect("mlflow").await.unwrap();
    let rows = postgres::rows(&client, "SELECT i FROM beside ORDER BY i").await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Are the server's own directory, and nothing else, on the volume?
fn plain(state: &VolumeState) -> bool {
    state.major == Some(state.programs) && !state.side && !state.swapped && !state.before
}

/// On a platform with its database, whose rows stay; `helper` says whether there is a helper.
pub async fn beside(platform: &dyn Platform, helper: impl AsyncFn() -> bool) {
    let (volumes, components) = (platform.volumes().unwrap(), platform.components().unwrap());
    let sql = platform.sql().unwrap();
    let begin = async || components.start(POSTGRES).await.unwrap();
    let end = async || components.stop(POSTGRES).await.unwrap();
    assert!(volumes.volume("s3").await.unwrap_err().why.contains("known: postgres"));
    let state = volumes.volume(POSTGRES).await.unwrap();
    assert!(plain(&state) && state.running && state.free > 1 << 20, "{state:?}");
    assert!(volumes.swap(POSTGRES).await.unwrap_err().why.contains("`postgres` runs"));

    add(platform, 1).await;
    fill(platform).await;
    add(platform, 2).await;
    let settings = [("work_mem", "1234kB".to_owned()), ("restore_command", "echo '%p'".to_owned())];
    let copy = volumes.start_side(POSTGRES, &settings, SOON).await.unwrap();
    assert_eq!(rows(&*copy).await, [1], "while the server goes on");
    let shown = copy.tool("psql", &["-Atc", "SHOW work_mem"]).await.unwrap().text("psql").await.unwrap();
    assert_eq!(shown, "1234kB\n");
    let user = volumes.side_tool(POSTGRES, "id", &["-un"]).await.unwrap().text("id").await.unwrap();
    assert_eq!(user, "postgres\n");
    let listens = copy.tool("psql", &["-Atc", "SHOW listen_addresses"]).await.unwrap().text("psql").await.unwrap();
    assert_eq!(listens, "127.0.0.1\n", "nobody else reaches it");
    assert!(helper().await);
    drop(copy);
    volumes.stop_side(POSTGRES).await.unwrap();
    let error = volumes.start_side(POSTGRES, &[("work_mem", "none".into())], SOON).await.err().unwrap();
    assert!(error.why.contains("invalid value for parameter \"work_mem\""), "{error}");

    end().await;
    volumes.swap(POSTGRES).await.unwrap();
    let state = volumes.volume(POSTGRES).await.unwrap();
    assert!(state.swapped && state.before && !state.running, "{state:?}");
    assert!(volumes.swap(POSTGRES).await.unwrap_err().why.contains("from an earlier one"));
    begin().await;
    assert_eq!(rows(sql).await, [1], "the new one is in its place");
    assert!(volumes.put_back(POSTGRES).await.unwrap_err().why.contains("`postgres` runs"));
    end().await;
    for _ in 0..2 {
        volumes.put_back(POSTGRES).await.unwrap();
        assert!(plain(&volumes.volume(POSTGRES).await.unwrap()));
    }
    begin().await;
    assert_eq!(rows(sql).await, [1, 2]);

    // A swap that was killed half-way: the old one has left, and the new one has not come.
    fill(platform).await;
    end().await;
    let half = "touch data/lifeboat.restored && mv ../pgdata ../pgdata.before";
    volumes.side_tool(POSTGRES, "sh", &["-c", half]).await.unwrap().text("mv").await.unwrap();
    volumes.put_back(POSTGRES).await.unwrap();
    begin().await;
    assert_eq!(rows(sql).await, [1, 2]);

    fill(platform).await;
    end().await;
    volumes.swap(POSTGRES).await.unwrap();
    begin().await;
    for _ in 0..2 {
        volumes.settle(POSTGRES).await.unwrap();
    }
    assert!(!helper().await);
    assert!(plain(&volumes.volume(POSTGRES).await.unwrap()));
    assert_eq!(rows(sql).await, [1, 2]);
    volumes.remove_side(POSTGRES).await.unwrap();
    assert!(!helper().await);
}
