//! Lifeboat's engine beside the tools that people use, in turn on one platform: `make bench-engine`.
//!
//! Apart from the other benches because it needs real servers and the peers' programs. What cannot be measured makes no
//! row and is named at the end. `SIZE` is `small`, `medium` or `full`; `WORK` names some of the works only.

#![allow(missing_docs)]

mod acts;
mod copy;
mod database;
mod measure;
#[path = "../support/nobody.rs"]
mod nobody;
mod physical;
mod rows;
mod size;
mod slow;
mod store;
mod tools;
mod undelete;
mod work;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use lifeboat::client::{Error, s3};
use lifeboat::environment::{Environment, Platform, RunContext, local};
use lifeboat::node::parse;
use lifeboat::store as folders;
use measure::{Bench, Server};
use nobody::Nobody;
use size::Size;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Objects first: the database is filled later, and servers restored last.
const WORKS: [&str; 5] = ["undelete", "copy", "store", "database", "physical"];
/// What a distance adds to each request.
const ADDED: Duration = Duration::from_millis(30);
const RESULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/reports/bench/engine.json");

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["act", ref act @ ..] => acts::act(act).await,
        // `cargo test --benches` starts it too, and has no minutes for it.
        _ if !arguments.contains(&"--bench") => Ok(()),
        _ => compare().await,
    };
    done.map_or_else(
        |error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Makes a platform, has every work done on it, and removes it, also after Ctrl-C and SIGTERM.
async fn compare() -> Result<(), Error> {
    let (size, works) = (variable("SIZE"), variable("WORK"));
    let size = Size::named(&size).ok_or_else(|| Error::new("cannot use `SIZE`", "it is small, medium or full"))?;
    let works: Vec<_> = if works.is_empty() { WORKS.to_vec() } else { works.split(',').collect() };
    if let Some(other) = works.iter().find(|work| !WORKS.contains(work)) {
        return Err(Error::new(format!("cannot use `WORK={other}`"), format!("known: {}", WORKS.join(", "))));
    }
    // Where platforms live, so that a server that is restored there may enter it.
    let folder = fs::create_dir_all(folders::state()).and_then(|()| tempfile::tempdir_in(folders::state()));
    let folder = folder.map_err(|error| Error::caused_by("cannot make a folder", error))?;
    let run = RunContext { run: format!("bench-engine-{}", std::process::id()), folder: folder.path().into() };
    let environment: Box<dyn Environment> =
        parse("{}")
            .ok()
            .and_then(|tree| (local::KIND.parse)(&tree, &mut vec![]))
            .ok_or_else(|| Error::new("cannot make a platform", "the environment `local` is not known"))?;
    let platform = environment.provision(&run, Arc::new(Nobody)).await?;
    let done = tokio::select! {
        done = measure_all(&*platform, &run, &folder, size, &works) => done,
        () = interrupted() => Err(Error::new("the comparison", "was interrupted; nothing was written")),
    };
    for left in platform.remove().await {
        eprintln!("left behind: {left}");
    }
    done
}

async fn measure_all(
    platform: &dyn Platform,
    run: &RunContext,
    folder: &TempDir,
    size: Size,
    works: &[&str],
) -> Result<(), Error> {
    let (mut rows, mut missing) = (vec![], vec![]);
    platform.components()?.stop("mlflow").await?;
    let mut bench = bench(platform, run, folder).await?;
    let url = platform.endpoints().postgres.clone().unwrap_or_default();
    let (mut copied, mut filled) = (false, false);
    for name in works {
        eprintln!("making ready: {name}");
        if matches!(*name, "copy" | "store") && !std::mem::replace(&mut copied, true) {
            let client = bucket(platform, &bench, copy::FROM, true).await?;
            acts::fill(&client, copy::FROM, "small/", size.small, copy::SMALL).await?;
            acts::fill(&client, copy::FROM, "large/", size.large, copy::LARGE).await?;
        }
        if matches!(*name, "database" | "physical") && !std::mem::replace(&mut filled, true) {
            database::fill(platform, size.metrics).await?;
        }
        let works = match *name {
            "undelete" => {
                for (name, objects) in [(undelete::BUCKET, size.undeleted), undelete::SINGLE, undelete::LOOP] {
                    let client = bucket(platform, &bench, name, true).await?;
                    acts::fill(&client, name, "", objects, 64).await?;
                }
                let slow = format!("http://127.0.0.1:{}", slow::open(address(&bench)?, ADDED)?);
                undelete::works(&bench, size.undeleted, server(platform, "s3").await?, &slow, &mut missing).await?
            }
            "copy" => {
                bucket(platform, &bench, copy::TO, false).await?;
                vec![copy::work(&bench, size, server(platform, "s3").await?).await?]
            }
            "store" => vec![store::work(&bench, &url, size, server(platform, "s3").await?, &mut missing).await?],
            "database" => {
                vec![database::work(&bench, &url, server(platform, "postgres").await?, &mut missing).await?]
            }
            _ => {
                archive(platform).await?;
                let (data, server) =
                    (folders::state().join(&run.run).join("postgres"), server(platform, "postgres").await?);
                physical::works(&mut bench, &url, &data, server, &mut missing).await?
            }
        };
        for work in works {
            rows.extend(work.rows(&bench, &mut missing).await);
        }
    }
    let text = serde_json::to_string_pretty(&rows).map_err(|error| Error::caused_by("cannot write the rows", error))?;
    let parent = Path::new(RESULT).parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(RESULT, text + "\n"));
    written.map_err(|error| Error::caused_by(format!("cannot write `{RESULT}`"), error))?;
    println!("{}", rows::table(&rows));
    println!("{} rows in {RESULT}", rows.len());
    let missing = if missing.is_empty() { "nothing".into() } else { missing.join("; ") };
    println!("not measured: {missing}");
    Ok(())
}

/// The store's address.
fn address(bench: &Bench) -> Result<SocketAddr, Error> {
    let url = bench.variable("S3_ENDPOINT_URL").trim_start_matches("http://");
    url.parse().map_err(|error| Error::caused_by(format!("cannot reach `{url}` by another way"), error))
}

/// Lets the server archive its log, by a command that does nothing yet: that needs a new start.
async fn archive(platform: &dyn Platform) -> Result<(), Error> {
    let sql = platform.sql()?;
    let client = sql.connect(sql.database()).await?;
    for statement in ["ALTER SYSTEM SET archive_mode = on", "ALTER SYSTEM SET archive_command = 'true'"] {
        let done = client.batch_execute(statement).await;
        done.map_err(|error| Error::caused_by("cannot let the server archive its log", error))?;
    }
    drop(client);
    platform.components()?.stop("postgres").await?;
    platform.components()?.start("postgres").await
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// What commands are told: programs, servers, passwords.
async fn bench(platform: &dyn Platform, run: &RunContext, folder: &TempDir) -> Result<Bench, Error> {
    let what = "cannot make the comparison ready";
    let postgres = server(platform, "postgres").await?;
    let programs = fs::read_link(format!("/proc/{}/exe", postgres.pid));
    let programs = programs.map_err(|error| Error::caused_by(what, error))?;
    let programs = programs.parent().unwrap_or(Path::new("/")).display().to_string();
    let path = format!("{programs}:{}:{}", tools::wheels()?.display(), variable("PATH"));
    let endpoints = platform.endpoints();
    let (s3, passfile) = (endpoints.s3.clone().unwrap_or_default(), endpoints.passfile.clone().unwrap_or_default());
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| Error::caused_by(what, error));
    let password = read(&passfile)?.trim().rsplit(':').next().unwrap_or_default().to_owned();
    let url = endpoints.postgres.clone().unwrap_or_default();
    let port = url.split([':', '/']).filter_map(|part| part.parse::<u16>().ok()).next_back().unwrap_or_default();
    // The key of the user who owns buckets on this platform.
    let users = read(&folders::state().join(&run.run).join("s3/iam/users.json"))?;
    let users: serde_json::Value = serde_json::from_str(&users).map_err(|error| Error::caused_by(what, error))?;
    let user = users["accessAccounts"].as_object().and_then(|all| all.values().next()).cloned().unwrap_or_default();
    let [access, secret] = ["access", "secret"].map(|name| user[name].as_str().unwrap_or_default().to_owned());
    for (name, secret) in [("database-password", password.as_str()), ("password", "bench")] {
        folders::write_private(&folder.path().join(name), secret).map_err(|error| Error::caused_by(what, error))?;
    }
    let own = std::env::current_exe().map_err(|error| Error::caused_by(what, error))?;
    let variables = [
        ("PATH", path),
        ("BENCH", own.display().to_string()),
        ("LIFEBOAT", env!("CARGO_BIN_EXE_lifeboat").into()),
        ("PGHOST", "127.0.0.1".into()),
        ("PGPORT", port.to_string()),
        ("PGUSER", "mlflow".into()),
        ("PGDATABASE", "mlflow".into()),
        ("PGPASSFILE", passfile.display().to_string()),
        ("RESTIC_REPOSITORY", "restic".into()),
        ("RESTIC_PASSWORD_FILE", "password".into()),
        ("S3_ENDPOINT_URL", s3.clone()),
        ("AWS_REGION", s3::REGION.into()),
        ("AWS_ACCESS_KEY_ID", access.clone()),
        ("AWS_SECRET_ACCESS_KEY", secret.clone()),
        ("RCLONE_CONFIG", "/dev/null".into()),
        ("RCLONE_CONFIG_BENCH_TYPE", "s3".into()),
        ("RCLONE_CONFIG_BENCH_PROVIDER", "Other".into()),
        ("RCLONE_CONFIG_BENCH_ENDPOINT", s3),
        ("RCLONE_CONFIG_BENCH_ENV_AUTH", "true".into()),
    ];
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(Bench { folder: folder.path().into(), variables })
}

/// The first process of a server.
async fn server(platform: &dyn Platform, component: &str) -> Result<Server, Error> {
    let instance = platform.components()?.instance(component).await?.unwrap_or_default();
    let pid = instance.split('@').next().and_then(|pid| pid.parse().ok());
    let pid = pid.ok_or_else(|| Error::new(format!("cannot watch `{component}`"), "it does not run"))?;
    Ok(Server { name: if component == "s3" { "store" } else { "postgres" }, pid })
}

/// Makes a bucket; answers a client of its owner.
async fn bucket(
    platform: &dyn Platform,
    bench: &Bench,
    name: &str,
    versions: bool,
) -> Result<aws_sdk_s3::Client, Error> {
    let key = [bench.variable("AWS_ACCESS_KEY_ID"), bench.variable("AWS_SECRET_ACCESS_KEY")];
    let client = s3::client(bench.variable("S3_ENDPOINT_URL"), key[0], key[1]);
    let client = s3::PacedStore::new(&client).client; // without the limits of time that small requests have
    let made = client.create_bucket().bucket(name).send().await;
    made.map_err(|error| s3::failure("cannot make a bucket", &error))?;
    if versions {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = platform.objects()?.s3().put_bucket_versioning().bucket(name).versioning_configuration(on);
        request.send().await.map_err(|error| s3::failure("cannot turn versions on", &error))?;
    }
    Ok(client)
}
