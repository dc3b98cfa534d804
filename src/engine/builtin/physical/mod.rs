//! Physical backups of PostgreSQL: a base backup, the log received as it is written, and a restore to a moment.
//!
//! The mechanics are of use without a repository and without a schedule; [`session`] puts them together. In their order:
//! [`settings`] says what the server must be set to, [`receiver`] takes the log into a folder outside the blast radius,
//! [`base`] makes the stream of a base backup, and [`restore`] unpacks one beside the live data directory, replays the
//! log up to a target that it proves from both sides, and looks for damage; `Volumes::swap` then puts it in place.
//! Nothing that clients see is touched before that.
//!
//! The log of one folder is that of one timeline. A server that was restored begins another: its receiver gets a new
//! folder, and the first thing to take is a base backup.

pub mod base;
mod known;
mod log;
mod logs;
mod point;
pub mod protected;
mod reading;
pub mod receive;
pub mod receiver;
mod resolve;
pub mod restore;
mod scan;
pub mod segment;
pub mod segments;
pub mod session;
pub mod settings;
mod shipped;
mod side;
pub mod soundness;
mod spool;
pub mod sure;
mod swap;
mod synchronous;
mod tar;
mod view;

use crate::client::{Error, ErrorKind};
use crate::clock::Deadline;
use crate::environment::Sql;
use jiff::Timestamp;
use std::time::Duration;
use tokio_postgres::Client;

/// How long the server may take to answer a question.
const ANSWER: Duration = Duration::from_secs(10);

/// A frozen server accepts connections and says nothing, hence the time-out.
async fn connect(sql: &dyn Sql, database: &str) -> Result<Client, Error> {
    bounded(Deadline::within(ANSWER), &format!("connect to database `{database}`"), sql.connect(database)).await
}

/// Carries something out up to a deadline.
async fn bounded<T>(
    deadline: Deadline,
    what: &str,
    work: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    let late = |_| Error::new(what, "the time for it is over").kind(ErrorKind::TimedOut);
    tokio::time::timeout_at(deadline.instant(), work).await.map_err(late)?
}

/// SQL for a time as microseconds since 1970.
fn micros(time: &str) -> String {
    format!("(extract(epoch FROM {time}) * 1000000)::bigint")
}

fn timestamp(micros: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(micros).map_err(|e| Error::caused_by("a time of the server's", e))
}
