//! Carries one command out and watches it: wall time, memory and processor time of its processes, the server's, the disk's.
//!
//! Memory and processor time are read from `/proc` every [`EVERY`] for the command and all it has started, because the
//! sides are pipelines of several programs and the peak of each alone would not be that of all at once.

use crate::rows::{Load, Round};
use lifeboat::client::Error;
use lifeboat::clock::Stopwatch;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const EVERY: Duration = Duration::from_millis(50);
/// What the kernel calls a second when it tells programs of processor time.
const TICKS: f64 = 100.0;

/// The server that a command works on.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    /// What the limit calls it.
    pub name: &'static str,
    /// Its first process.
    pub pid: u32,
}

/// Where commands run, and what they are told.
pub struct Bench {
    /// The folder of all that is stored.
    pub folder: PathBuf,
    /// Variables for every command: programs, addresses, and secrets, which are never arguments.
    pub variables: Vec<(String, String)>,
}

impl Bench {
    /// A script for `bash`, which fails when a part of a pipeline does.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", script]).current_dir(&self.folder);
        command.envs(self.variables.iter().cloned()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What a command is told by this name; empty if nothing.
    pub fn variable(&self, name: &str) -> &str {
        self.variables.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value)
    }

    /// Carries a script out, unmeasured; answers what it printed.
    pub async fn run(&self, script: &str) -> Result<String, Error> {
        let output = self.command(script).output().await;
        let output = output.map_err(|error| Error::caused_by("cannot start `bash`", error))?;
        said(script, &output).map(|()| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Carries a script out and watches it.
    pub async fn measure(&self, script: &str, server: Server) -> Result<Round, Error> {
        rustix::fs::sync(); // what was written before is not this one's
        let (busy, disk) = (busy(), disk(&self.folder));
        let (mut served, mut seen) = (Ticks::default(), Ticks::default());
        served.look(server.pid);
        let before = served.sum();
        let stopwatch = Stopwatch::start();
        let child = self.command(script).spawn().map_err(|error| Error::caused_by("cannot start `bash`", error))?;
        let root = child.id().unwrap_or_default();
        let mut end = std::pin::pin!(child.wait_with_output());
        let mut peak = 0;
        let output = loop {
            peak = peak.max(seen.look(root));
            served.look(server.pid);
            tokio::select! {
                output = &mut end => break output,
                () = tokio::time::sleep(EVERY) => {}
            }
        };
        let seconds = stopwatch.seconds();
        let output = output.map_err(|error| Error::caused_by("cannot wait for `bash`", error))?;
        said(script, &output)?;
        eprint!("{}", String::from_utf8_lossy(&output.stdout)); // where its time went, if it tells
        served.look(server.pid);
        let load = Load {
            processors: f64::from(u32::try_from(processors()).unwrap_or(1)),
            busy: self::busy() - busy,
            client: seen.sum(),
            server: served.sum() - before,
            disk: self::disk(&self.folder).zip(disk).map(|(after, before)| after - before),
            single: seen.single().max(served.single()),
            on: server.name,
        };
        Ok(Round { seconds, peak, bytes: None, load })
    }
}

fn said(script: &str, output: &std::process::Output) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Vec<_> = text.lines().rev().take(3).collect();
    Err(Error::new(format!("`{script}` failed"), format!("{}: {}", output.status, last.join(" / "))))
}

/// Processor seconds of processes when they were last seen, and whether they have one thread.
#[derive(Default)]
struct Ticks(BTreeMap<u32, (f64, f64, bool)>);

impl Ticks {
    /// Looks at a process and all it has started; answers the memory that they hold now.
    fn look(&mut self, root: u32) -> u64 {
        let (mut memory, mut found) = (0, vec![root]);
        while let Some(pid) = found.pop() {
            let Some(stat) = stat(pid) else { continue };
            memory += stat.memory;
            let first = self.0.get(&pid).map_or(stat.seconds, |(first, ..)| *first);
            self.0.insert(pid, (first, stat.seconds, stat.threads == 1));
            found.extend(children(pid));
        }
        memory
    }

    fn sum(&self) -> f64 {
        self.0.values().map(|(_, last, _)| last).sum()
    }

    /// What the busiest process of one thread did while it was watched.
    fn single(&self) -> f64 {
        self.0.values().filter(|(.., single)| *single).map(|(first, last, _)| last - first).fold(0.0, f64::max)
    }
}

struct Stat {
    seconds: f64,
    threads: u32,
    memory: u64,
}

/// What the kernel says of a process.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the program's name, which may hold anything.
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    let seconds = (f64::from(number(11)?) + f64::from(number(12)?)) / TICKS;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    Some(Stat { seconds, threads: number(17)?, memory: memory.unwrap_or(0_u64) * 1024 })
}

/// The processes that a process has started.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Seconds that all processors worked since the machine started.
fn busy() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let fields: Vec<f64> = fields.map_while(|field| field.parse().ok()).collect();
    // user nice system (idle iowait) irq softirq steal
    [0, 1, 2, 5, 6].iter().filter_map(|at| fields.get(*at)).sum::<f64>() / TICKS
}

/// Seconds in which the disk of a folder had something to do.
fn disk(folder: &Path) -> Option<f64> {
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device).to_string(), rustix::fs::minor(device).to_string());
    let text = fs::read_to_string("/proc/diskstats").ok()?;
    let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let fields = fields.into_iter().find(|fields| fields.starts_with(&[major.as_str(), minor.as_str()]))?;
    fields.get(12)?.parse::<f64>().ok().map(|milliseconds| milliseconds / 1000.0)
}
