//! The restored copy at work: started on the log up to its target, asked where it stands, promoted, asked again.
//!
//! Apart from the order of a restore because these are the questions that prove it. The copy stops at its target and
//! stays read-only until both sides of it are proved; only then is it promoted. It never archives and waits for nobody: a
//! copy that carried its original's `archive_command` would write into the original's archive.

use super::resolve::ResolvedTarget;
use super::{bounded, connect, micros, timestamp};
use crate::client::{Error, postgres, until};
use crate::clock::Deadline;
use crate::engine::Lsn;
use crate::engine::TransactionEnd;
use crate::environment::{Sql, Volumes};
use jiff::Timestamp;
use std::time::Duration;
use tokio_postgres::Client;

const POLL: Duration = Duration::from_millis(50);
/// From the data directory: a segment as it is, else one that was still being written.
const RESTORE_COMMAND: &str = "cp ../wal/%f %p 2>/dev/null || cp ../wal/%f.partial %p";

/// Where the copy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Up to here the log was replayed.
    pub lsn: Lsn,
    /// When the last transaction ended that was replayed.
    pub at: Option<Timestamp>,
}

/// Starts the copy on its log.
pub async fn start(
    volumes: &dyn Volumes,
    component: &str,
    target: &ResolvedTarget,
    deadline: Deadline,
) -> Result<Box<dyn Sql>, Error> {
    let touch = volumes.side_tool(component, "touch", &["data/recovery.signal"]).await?;
    touch.text("cannot ask for a recovery").await?;
    let mut settings = vec![
        ("restore_command", RESTORE_COMMAND.to_owned()),
        ("archive_mode", "off".to_owned()),
        ("archive_command", String::new()),
        ("synchronous_standby_names", String::new()),
        ("primary_conninfo", String::new()),
        ("primary_slot_name", String::new()),
        ("hot_standby", "on".to_owned()),
        ("recovery_target_timeline", "current".to_owned()),
        ("recovery_target_action", "pause".to_owned()),
    ];
    settings.extend(target.settings.iter().cloned());
    settings.extend(limits(volumes, component).await?);
    let started = volumes.start_side(component, &settings, deadline.left());
    match bounded(deadline, "start the restored copy", started).await {
        Ok(copy) => Ok(copy),
        Err(error) => Err(Error::new("the restored copy does not start", format!("{error}"))),
    }
}

/// A standby that takes connections must allow as much as its original did; the control file knows.
async fn limits(volumes: &dyn Volumes, component: &str) -> Result<Vec<(&'static str, String)>, Error> {
    let tool = volumes.side_tool(component, "pg_controldata", &["-D", "data"]).await?;
    let said = tool.text("`pg_controldata`").await?;
    let names = [
        ("max_connections", "max_connections setting:"),
        ("max_worker_processes", "max_worker_processes setting:"),
        ("max_wal_senders", "max_wal_senders setting:"),
        ("max_prepared_transactions", "max_prepared_xacts setting:"),
        ("max_locks_per_transaction", "max_locks_per_xact setting:"),
    ];
    let value = |line: &str| said.lines().find_map(|l| l.strip_prefix(line)).map(|value| value.trim().to_owned());
    Ok(names.into_iter().filter_map(|(name, line)| Some((name, value(line)?))).collect())
}

/// Waits until the copy has replayed all that it is to replay: paused at its target, or promoted at the log's end.
pub async fn replayed(
    volumes: &dyn Volumes,
    component: &str,
    copy: &dyn Sql,
    at_end: bool,
    deadline: Deadline,
) -> Result<Replayed, Error> {
    let query = format!(
        "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() END, \
         pg_last_wal_replay_lsn()::text, {}",
        micros("pg_last_xact_replay_timestamp()")
    );
    let mut client: Option<Client> = None;
    let what = "replay the log";
    loop {
        let asked = async {
            if client.is_none() {
                client = Some(connect(copy, "postgres").await?);
            }
            let client = client.as_ref().ok_or_else(|| Error::new(what, "no connection"))?;
            postgres::one(client, &query).await
        };
        match bounded(deadline, what, asked).await {
            Ok(row) => {
                let paused = row.get::<_, Option<String>>(1).as_deref() == Some("paused");
                if if at_end { !row.get::<_, bool>(0) } else { paused } {
                    let lsn = row.get::<_, Option<String>>(2).unwrap_or_else(|| "0/0".into()).parse()?;
                    return Ok(Replayed { lsn, at: row.get::<_, Option<i64>>(3).map(timestamp).transpose()? });
                }
            }
            Err(error) if deadline.passed() => return Err(error),
            Err(_) => {
                client = None;
                let log = volumes.side_log(component).await;
                // Who asks too early is told so by a FATAL line too.
                let fatal = |line: &&str| line.contains("FATAL:") && !line.contains("the database system is");
                if let Some(fatal) = log.lines().rev().find(fatal) {
                    return Err(Error::new(what, fatal));
                }
            }
        }
        if deadline.passed() {
            return Err(Error::new(what, "the time for it is over"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Are both sides of the target right? The last transaction in front of it is there, and the next is not.
pub fn prove(replayed: &Replayed, before: Option<&TransactionEnd>, next: Option<&TransactionEnd>) -> Result<(), Error> {
    let what = "the copy does not stand at the target";
    if let Some(before) = before.filter(|before| replayed.lsn <= before.lsn) {
        return Err(Error::new(what, format!("transaction {} of {} was not replayed", before.xid, before.at)));
    }
    if let Some(next) = next.filter(|next| replayed.lsn > next.lsn) {
        return Err(Error::new(what, format!("transaction {} of {} was replayed too", next.xid, next.at)));
    }
    match (before, replayed.at) {
        (Some(before), Some(at)) if before.at != at => {
            Err(Error::new(what, format!("it was replayed up to {at} instead of {}", before.at)))
        }
        (Some(before), None) => Err(Error::new(what, format!("it has replayed nothing, not even {}", before.at))),
        _ => Ok(()),
    }
}

/// Lets the paused copy end its recovery; answers its new timeline.
pub async fn promote(copy: &dyn Sql, deadline: Deadline) -> Result<u32, Error> {
    let what = "promote the restored copy";
    let client = bounded(deadline, what, connect(copy, "postgres")).await?;
    bounded(deadline, what, async {
        let resume = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_wal_replay_resume()::text END";
        postgres::one(&client, resume).await
    })
    .await?;
    let promoted =
        until(deadline.left(), POLL, async || match postgres::one(&client, "SELECT pg_is_in_recovery()").await {
            Ok(row) if !row.get::<_, bool>(0) => Ok(()),
            Ok(_) => Err("it is still in recovery".to_owned()),
            Err(error) => Err(error.to_string()),
        });
    promoted.await.map_err(|late| Error::new(what, late))?;
    let checkpoint = client.batch_execute("CHECKPOINT"); // so that it ends quickly, and knows its timeline
    bounded(deadline, what, async { checkpoint.await.map_err(|e| Error::caused_by(what, e)) }).await?;
    let row =
        bounded(deadline, what, postgres::one(&client, "SELECT timeline_id FROM pg_control_checkpoint()")).await?;
    Ok(u32::try_from(row.get::<_, i32>(0)).unwrap_or(0))
}

/// Asks back that the copy archives nothing and waits for nobody, and takes out of its files what would make it wait once
/// it is in its place. Answers what its owner has to know.
pub async fn ask_back(copy: &dyn Sql, archives: bool, deadline: Deadline) -> Result<Vec<String>, Error> {
    let what = "ask the restored copy for its settings";
    bounded(deadline, what, async {
        let client = connect(copy, "postgres").await?;
        let query = "SELECT current_setting('archive_mode'), current_setting('synchronous_standby_names'), \
             current_setting('transaction_read_only')";
        let row = postgres::one(&client, query).await?;
        let found = [row.get::<_, String>(0), row.get(1), row.get(2)];
        if found != ["off", "", "off"] {
            let why = format!("archive_mode, synchronous_standby_names and read-only are {found:?}");
            return Err(Error::new(what, why));
        }
        let mut news = vec![];
        let query = format!("SELECT name, setting FROM ({NEXT}) next WHERE setting <> ''");
        for row in postgres::rows(&client, &query).await? {
            let (name, value): (String, String) = (row.get(0), row.get(1));
            if name == "synchronous_standby_names" {
                let alter = "ALTER SYSTEM SET synchronous_standby_names = ''";
                client.batch_execute(alter).await.map_err(|e| Error::caused_by(what, e))?;
                news.push(format!("commits waited for `{value}`, and do not any more"));
            } else if value != "off" && archives {
                news.push("the server archives again once it is started: on a new timeline".into());
            } else if value != "off" {
                let alter = "ALTER SYSTEM SET archive_mode = off";
                client.batch_execute(alter).await.map_err(|e| Error::caused_by(what, e))?;
                news.push(format!("`archive_mode` was {value} and is off, since its original has the same archive"));
            }
        }
        match postgres::rows(&client, &kept(archives)).await?.first() {
            Some(row) => Err(Error::new(what, format!("`{}` is still in its files", row.get::<_, String>(0)))),
            None => Ok(news),
        }
    })
    .await
}

/// What the files of the copy say that holds once it is started again.
const NEXT: &str = "SELECT DISTINCT ON (name) name::text, setting::text FROM pg_file_settings WHERE \
     name IN ('archive_mode', 'synchronous_standby_names') ORDER BY name, seqno DESC";

/// SQL: what is still as it must not be.
fn kept(archives: bool) -> String {
    let waits = "name = 'synchronous_standby_names' AND setting <> ''";
    format!(
        "SELECT name FROM ({NEXT}) next WHERE {waits} OR name = 'archive_mode' AND setting <> 'off' AND NOT {archives}"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn end(lsn: u64, at: i64) -> TransactionEnd {
        let at = Timestamp::from_second(at).unwrap();
        TransactionEnd { lsn: Lsn(lsn), xid: 5, at, committed: true }
    }

    #[test]
    fn a_copy_that_stands_elsewhere_is_found_on_either_side() {
        let at = |lsn, second| Replayed { lsn: Lsn(lsn), at: Timestamp::from_second(second).ok() };
        let (before, next) = (end(100, 10), end(200, 20));
        assert!(prove(&at(150, 10), Some(&before), Some(&next)).is_ok());
        assert!(prove(&at(200, 10), Some(&before), Some(&next)).is_ok());
        assert!(prove(&at(100, 10), Some(&before), Some(&next)).is_err(), "the last one is not there");
        assert!(prove(&at(201, 20), Some(&before), Some(&next)).is_err(), "the next one is");
        assert!(prove(&at(150, 9), Some(&before), None).is_err(), "another time");
        assert!(prove(&Replayed { at: None, ..at(150, 0) }, Some(&before), None).is_err());
        assert!(prove(&at(150, 10), None, None).is_ok());
    }
}
