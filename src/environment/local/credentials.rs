//! The local platform's secrets, which may change while it stands, and the database's new password.
//!
//! Apart from the platform because each component reads the secrets when it starts or is asked: so all of them have the new
//! ones at once. Not here: the key at the S3 server, which is the same in every environment.

use crate::client::Error;
use crate::environment::stack::{DATABASE, Secrets, secret};
use crate::store;
use parking_lot::RwLock;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password::scram_sha_256;
use std::path::Path;
use std::sync::Arc;
use tokio_postgres::Client;

/// The secrets of a platform; clones share them.
#[derive(Clone)]
pub struct SharedSecrets(Arc<RwLock<Secrets>>);

impl SharedSecrets {
    /// These, for now.
    pub fn new(secrets: Secrets) -> Self {
        Self(Arc::new(RwLock::new(secrets)))
    }

    /// As they are now.
    pub fn get(&self) -> Secrets {
        self.0.read().clone()
    }

    /// Changes them for everybody.
    pub fn change(&self, change: impl FnOnce(&mut Secrets)) {
        change(&mut self.0.write());
    }
}

/// Gives the database's administrator a new password, and ends the sessions that the old one opened. The file with the
/// password is written anew.
///
/// # Errors
/// When the server refuses, or the file cannot be written.
pub async fn change_password(server: &Client, secrets: &SharedSecrets, passfile: &Path) -> Result<(), Error> {
    let what = "cannot change the database's password";
    let new = Secrets { database: secret(32), ..secrets.get() }.remembered();
    // A server may log statements: it gets what proves the password, from which nobody reads it.
    let verifier = escape_literal(&scram_sha_256(new.database.as_bytes()));
    let alter = format!("ALTER ROLE {} PASSWORD {verifier}", escape_identifier(DATABASE));
    server.batch_execute(&alter).await.map_err(|e| Error::caused_by(what, e))?;
    secrets.change(|secrets| secrets.database.clone_from(&new.database));
    let kept = store::replace_private(passfile, new.passfile("127.0.0.1").as_bytes());
    kept.map_err(|e| Error::caused_by(what, e))?;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND pid <> pg_backend_pid()";
    server.query(end, &[&DATABASE]).await.map(drop).map_err(|e| Error::caused_by(what, e))
}
