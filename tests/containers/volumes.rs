//! A new data directory beside the database server's own, in its container's volume: filled, asked, swapped in, put back,
//! settled; and a restore that is killed while it swaps.

use crate::killed::{Site, Target};
use crate::services;
use crate::strike::strike;
use lifeboat::client::postgres;
use lifeboat::environment::{Platform, SidePart, Sql, VolumeState};
use std::time::Duration;
use testcontainers::bollard::Docker;

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

/// The helper, if it is on the engine.
async fn helper(docker: &Docker, run: &str) -> Option<String> {
    let all = services::on_engine(docker, run).await;
    all.into_iter().find(|thing| thing.contains("postgres-helper"))
}

/// On a platform with its database; its rows stay.
pub async fn beside(platform: &dyn Platform, docker: &Docker, run: &str) {
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
    let helper_name = format!("{run}-postgres-helper");
    let seen = docker.inspect_container(&helper_name, None).await.unwrap();
    assert_eq!(seen.host_config.unwrap().network_mode.as_deref(), Some("none"), "nobody else reaches it");
    let user = volumes.side_tool(POSTGRES, "id", &["-un"]).await.unwrap().text("id").await.unwrap();
    assert_eq!(user, "postgres\n");
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
    assert_eq!(helper(docker, run).await, None);
    assert!(plain(&volumes.volume(POSTGRES).await.unwrap()));
    assert_eq!(rows(sql).await, [1, 2]);
    volumes.remove_side(POSTGRES).await.unwrap();
    assert_eq!(helper(docker, run).await, None);
}

/// The helper holds the disk: it does not keep it from being lost, and makes it anew where it is wanted.
pub async fn lost(platform: &dyn Platform, docker: &Docker, run: &str) {
    let volumes = platform.volumes().unwrap();
    volumes.make_side(POSTGRES).await.unwrap();
    assert!(helper(docker, run).await.is_some());
    strike(platform, "disk-lost: { component: postgres }").await;
    let state = volumes.volume(POSTGRES).await.unwrap();
    assert!(state.major.is_none() && !state.side && !state.running && state.programs > 9, "{state:?}");
    assert!(helper(docker, run).await.is_some());
}

#[tokio::test]
async fn a_restore_that_is_killed_while_it_swaps_is_cleaned_up() {
    let Some(docker) = services::engine().await else { return };
    let site = Site::new(Target::Engine(docker), "{ containers: { images: built } }").physical();
    let left = site.killed_at(|receipt| receipt.0["act"] == "swap").await;
    assert!(left.iter().any(|thing| thing.contains("postgres-helper")), "{left:?}");
}
