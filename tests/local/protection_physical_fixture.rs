//! A protection with physical backups of a real server, its commands, and `lifeboat receive` at work.

use crate::physical_fixture::{Database, rows};
use lifeboat::client::ports;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_postgres::NoTls;

/// A server, and the file of its protection.
pub struct PhysicalProtection {
    pub database: Arc<Database>,
    pub folder: TempDir,
}

/// `lifeboat receive` at work, and what it has said.
pub struct Receive {
    pub child: Child,
    pub said: PathBuf,
}

impl PhysicalProtection {
    pub async fn start(settings: &[&str]) -> Self {
        let (database, folder) = (Database::start().await, tempfile::tempdir().unwrap());
        if !settings.is_empty() {
            database.end();
            database.begin_with(settings).await;
        }
        // The restored server's user must be able to enter it.
        let owner = fs::metadata(database.data()).unwrap();
        chown(folder.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::write(folder.path().join("password"), "open sesame\n").unwrap();
        let text = format!(
            "protection: my-server\nplatform: {{ postgres: {{ url: 'postgresql://admin@127.0.0.1:{}/postgres' }} }}\n\
             engine: {{ builtin: {{ postgres: physical }} }}\nspool: spool\n\
             repositories:\n  - near: {{ directory: near, password: {{ file: password }} }}\n",
            database.port()
        );
        fs::write(folder.path().join("p.yaml"), text).unwrap();
        Self { database, folder }
    }

    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args.split_whitespace()).current_dir(self.folder.path());
        command
    }

    #[track_caller]
    pub fn done(&self, args: &str) -> Value {
        let output = self.command(&format!("{args} --json")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What is said when this exit code comes.
    #[track_caller]
    pub fn ends(&self, args: &str, code: i32) -> String {
        let output = self.command(args).output().unwrap();
        println!("{args}: {}", said(&output));
        assert_eq!(output.status.code(), Some(code), "{args}: {}", said(&output));
        said(&output)
    }

    pub fn receive(&self) -> Receive {
        static NUMBER: Mutex<u32> = Mutex::new(0);
        *NUMBER.lock().unwrap() += 1;
        let said = self.folder.path().join(format!("receive-{}.log", NUMBER.lock().unwrap()));
        let mut command = self.command("receive p.yaml");
        let child = command.stderr(fs::File::create(&said).unwrap()).spawn().unwrap();
        let receive = Receive { child, said };
        receive.until("the log is received into", 60);
        receive
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder with the log of the server's first timeline.
    pub fn log(&self) -> PathBuf {
        let folders = fs::read_dir(self.path("spool")).unwrap().map(|e| e.unwrap().path());
        folders.into_iter().find(|path| path.is_dir()).unwrap()
    }

    /// The rows of a server that its owner starts on a restored directory, and what it must not do.
    pub async fn rows_of(&self, directory: &str) -> Vec<i32> {
        let (directory, port) = (self.path(directory), ports::free().unwrap());
        let owner = fs::metadata(&directory).unwrap();
        let mut command = self.database.program("postgres", Some((owner.uid(), owner.gid())));
        command.arg("-D").arg(&directory).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-k", "", "-c", "fsync=off"]).stderr(fs::File::create(self.path("started.log")).unwrap());
        let server = Stopped(command.spawn().unwrap());
        let settings = format!("host=127.0.0.1 port={port} user=admin dbname=postgres");
        let begun = Instant::now();
        let client = loop {
            if let Ok((client, connection)) = tokio_postgres::connect(&settings, NoTls).await {
                tokio::spawn(connection);
                break client;
            }
            let log = || fs::read_to_string(self.path("started.log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_mins(1), "{}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let query = "SELECT current_setting('archive_mode'), current_setting('synchronous_standby_names'), \
             pg_is_in_recovery()";
        let row = client.query_one(query, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1), row.get(2)), ("off", "", false));
        let found = rows(&client).await;
        drop(server);
        found
    }
}

impl Receive {
    pub fn text(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until one of these is said.
    #[track_caller]
    pub fn until(&self, part: &str, seconds: u64) {
        let begun = Instant::now();
        while !part.split('|').any(|one| self.text().contains(one)) {
            assert!(begun.elapsed() < Duration::from_secs(seconds), "`{part}`: {}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("`{part}` after {:.1} s", begun.elapsed().as_secs_f64());
    }

    /// Ends it in good order; answers its exit code.
    pub fn end(mut self) -> Option<i32> {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that ends with this value.
pub struct Stopped(pub Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), Signal::INT);
        let _ = self.0.wait();
    }
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// So that all that was committed so far counts as received.
pub async fn received() {
    tokio::time::sleep(Duration::from_millis(2500)).await;
}
