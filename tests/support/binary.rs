//! The real program at work for tests: in folders of its own, as this user or another, followed line by line.
#![allow(clippy::disallowed_methods)] // reads the clock itself
#![allow(dead_code)] // each test takes what it needs

use lifeboat::client::process;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const DRILL: &str = "\
drill: tiny
scenario: postgres-crash
environment: { local: {} }
scale: 0.02
protect: { engine: { builtin: { postgres: logical } }, every: 3s }
workload: { mlflow: { runs: 2/s, artifacts: 1/s } }
probes:
  - mlflow: { depth: health, every: 200ms, timeout: 20s }
  - mlflow: { depth: read, every: 200ms, timeout: 20s } # busy machines are slow
checks: [mlflow-smoke, sql-integrity]
objectives: { rto: 3m, rpo: 1m, at: read }
limits: { baseline: 2s, recovery: 4m, drill: 8m }
";

/// An ordinary user.
#[derive(Clone, Copy)]
pub struct User {
    uid: u32,
    gid: u32,
}

/// The user `nobody`, when we are root and there is one.
pub fn nobody() -> Option<User> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd.lines().find(|line| line.starts_with("nobody:")).filter(|_| root())?;
    let mut ids = line.split(':').skip(2).map_while(|field| field.parse().ok());
    Some(User { uid: ids.next()?, gid: ids.next()? })
}

pub fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder with a tiny drill, the program, and room for runs; what dead runs left in it goes with it.
pub struct Home {
    folder: tempfile::TempDir,
    user: Option<User>,
    variables: Vec<(String, String)>,
}

impl Home {
    /// Of this user, or of another.
    pub fn new(user: Option<User>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["", "home", "cache", "state", "reports", "drills", "scenarios"] {
            let path = folder.path().join(part);
            fs::create_dir_all(&path).unwrap();
            // Root's PostgreSQL is another user, who passes through here.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            user.iter().for_each(|user| chown(&path, Some(user.uid), Some(user.gid)).unwrap());
        }
        fs::write(folder.path().join("drills/tiny.yaml"), DRILL).unwrap();
        let scenario = "scenarios/postgres-crash.yaml";
        fs::copy(source.join(scenario), folder.path().join(scenario)).unwrap();
        // Another user may not be let into the folder it was built in.
        copy_program(Path::new(env!("CARGO_BIN_EXE_lifeboat")), &folder.path().join("lifeboat"));
        Self { folder, user, variables: vec![] }
    }

    /// With a cache of its own.
    pub fn fresh_cache(self) -> Self {
        let cache = self.cache().display().to_string();
        self.with("LIFEBOAT_CACHE", &cache)
    }

    /// With a variable in the program's environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Without Go and VersityGW on PATH.
    pub fn without_go(self) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let lacks = |folder: &PathBuf| ["go", "versitygw"].iter().all(|name| !folder.join(name).exists());
        let path = std::env::join_paths(std::env::split_paths(&path).filter(lacks)).unwrap();
        self.with("PATH", path.to_str().unwrap())
    }

    /// Puts what the machine's cache has under names that begin so into this cache, by links.
    pub fn borrow(self, beginning: &str) -> Self {
        for entry in fs::read_dir(lifeboat::store::cache()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(beginning) {
                std::os::unix::fs::symlink(entry.path(), self.cache().join(entry.file_name())).unwrap();
            }
        }
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    /// The folder in this cache whose name begins so.
    pub fn cached(&self, beginning: &str) -> Option<PathBuf> {
        let entries = fs::read_dir(self.cache()).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with(beginning))
    }

    /// The program's command.
    pub fn command(&self, args: &[&str]) -> Command {
        self.dressed(Command::new(self.path().join("lifeboat")), args)
    }

    /// Any command, as the program's user in the program's environment.
    pub fn dressed(&self, mut command: Command, args: &[&str]) -> Command {
        let foreign = |name: &str| name.starts_with("LIFEBOAT_") || name.starts_with("XDG_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(foreign)) {
            if !self.variables.is_empty() || name != "LIFEBOAT_CACHE" {
                command.env_remove(name);
            }
        }
        command.env("LIFEBOAT_STATE", self.path().join("state")).env("LIFEBOAT_REPORTS", self.path().join("reports"));
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid).env("HOME", self.path().join("home"));
        }
        command.envs(self.variables.iter().cloned()).args(args).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn lifeboat(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts the tiny drill.
    pub fn drill(&self) -> Live {
        Live::start(&mut self.command(&["run", "drills/tiny.yaml"]))
    }

    /// No process and no folder of these runs.
    #[track_caller]
    pub fn assert_nothing_left(&self, runs: &[&str]) {
        let left: Vec<_> = fs::read_dir(self.path().join("state")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        for run in runs {
            let left = process::marked("LIFEBOAT_RUN", run, "LIFEBOAT_COMPONENT");
            assert!(left.is_empty(), "{run}: {left:?}");
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.lifeboat(&["cleanup"]); // of use only when a test has failed
    }
}

/// The program while it runs; it dies with this value.
pub struct Live {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Live {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::<Mutex<String>>::default();
        let (lines, copy) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&said));
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                copy.lock().unwrap().extend([line.as_str(), "\n"]);
            }
        });
        Self { child, said, reader: Some(reader) }
    }

    /// All it said so far on standard error.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it says something; fails if it ends before.
    #[track_caller]
    pub fn until_it_says(&mut self, text: &str) {
        let what = format!("`{text}` was not said");
        self.until(&what, |said| said.contains(text));
    }

    /// Waits until something is so; fails if the program ends before.
    #[track_caller]
    pub fn until(&mut self, what: &str, done: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(10);
        while !done(&self.said()) {
            assert!(self.child.try_wait().unwrap().is_none() && Instant::now() < deadline, "{what}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The run's name, once it said it.
    #[track_caller]
    pub fn run(&mut self) -> String {
        self.until_it_says(" s  run ");
        let said = self.said();
        said.split(" s  run ").nth(1).unwrap().lines().next().unwrap().to_owned()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: its exit code, if it was not killed, and all it said.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        // What it started may hold the pipe when it was killed, so only a regular end is read to the last line.
        if let Some(reader) = self.reader.take().filter(|_| status.code().is_some()) {
            reader.join().unwrap();
        }
        (status.code(), self.said())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill(); // of use only when a test has failed
        let _ = self.child.wait();
    }
}

/// Copies a program so that it can be run at once: written by ourselves, it would be busy in every child that
/// another test forks meanwhile.
pub fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// What a program said on standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
