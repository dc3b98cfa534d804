//! Connections to PostgreSQL that do not hang on a server that is frozen, and questions whose failure is told whole.
//!
//! Not here: SQL about the platform. Callers say what they ask.

use super::{Error, Running};
use rustls::ClientConfig;
use std::error::Error as _;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, Row, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a connection may take, from the first packet to the end of the handshake.
pub const CONNECT: Duration = Duration::from_secs(5);

/// Connects; what the server says on the side is dropped. The connection ends with the client.
pub async fn connect(config: &Config) -> Result<Client, Error> {
    connect_by(config, NoTls).await
}

/// As [`connect`], encrypted: a server that is not the one that is trusted, or that speaks no TLS, is refused.
pub async fn connect_encrypted(config: &Config, trust: &ClientConfig) -> Result<Client, Error> {
    let tls = MakeRustlsConnect::new(trust.clone());
    connect_by(config.clone().ssl_mode(SslMode::Require), tls).await
}

async fn connect_by<T>(config: &Config, tls: T) -> Result<Client, Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = bounded(config, config.connect(tls)).await?;
    tokio::spawn(async move {
        let _ = connection.await; // the client gets the same error with its next question
    });
    Ok(client)
}

/// As [`connect`], through a program that carries the bytes to a server and back; it ends with the client.
pub async fn connect_through(config: &Config, carrier: Running) -> Result<Client, Error> {
    let Running { input, output, ended } = carrier;
    let (client, connection) = bounded(config, config.connect_raw(tokio::io::join(output, input), NoTls)).await?;
    tokio::spawn(async move {
        let _ = tokio::join!(connection, ended); // as above
    });
    Ok(client)
}

/// The crate's own time limit covers the TCP handshake only; a stopped server completes that one.
async fn bounded<T>(
    config: &Config,
    connecting: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    let what = || format!("cannot connect to the database `{}`", config.get_dbname().unwrap_or("postgres"));
    let connected = tokio::time::timeout(CONNECT, connecting).await;
    let limit = || Error::new(what(), format!("no answer within {} s", CONNECT.as_secs()));
    connected.map_err(|_| limit())?.map_err(|e| Error::caused_by(what(), e))
}

/// Does the server refuse who connects like this, for the password?
///
/// # Errors
/// If it does not say: then nothing is known of the password.
pub async fn refuses(config: &Config) -> Result<bool, Error> {
    let what = "cannot tell whether a password is refused";
    let connected = tokio::time::timeout(CONNECT, config.connect(NoTls)).await;
    match connected.map_err(|_| Error::new(what, format!("no answer within {} s", CONNECT.as_secs())))? {
        Ok(_) => Ok(false),
        Err(error) if error.code() == Some(&SqlState::INVALID_PASSWORD) => Ok(true),
        Err(error) => Err(Error::caused_by(what, error)),
    }
}

/// Does an error say that the database takes no connections?
pub fn is_closed(error: &Error) -> bool {
    let said = error.source().and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
    said.is_some_and(|said| said.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE))
}

/// All rows that a query answers.
pub async fn rows(client: &Client, query: &str) -> Result<Vec<Row>, Error> {
    client.query(query, &[]).await.map_err(|e| Error::caused_by("cannot ask the database", e))
}

/// The one row that a query answers.
pub async fn one(client: &Client, query: &str) -> Result<Row, Error> {
    client.query_one(query, &[]).await.map_err(|e| Error::caused_by("cannot ask the database", e))
}

/// Which of these tables are not there.
pub async fn absent(client: &Client, tables: &[&str]) -> Result<Vec<String>, Error> {
    let query = "SELECT name FROM unnest($1::text[]) name WHERE to_regclass(name) IS NULL";
    let found = client.query(query, &[&tables]).await;
    let found = found.map_err(|e| Error::caused_by("cannot ask the database", e))?;
    Ok(found.iter().map(|row| row.get(0)).collect())
}
