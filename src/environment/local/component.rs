//! One component of the platform: a program of ours with its port, its log and all its processes.
//!
//! Apart because starting, killing and freezing are the same for every program; what differs is a [`Program`].
//! Short looks take the lock of the process only, so that a probe never waits for a start.

use crate::client::process::{self, COMPONENT, POLL, ProcessIdentity, RUN};
use crate::client::{Error, ErrorKind, log, ports, until};
use crate::clock::Deadline;
use crate::environment::Journal;
use crate::model::{Finding, Receipt};
use async_trait::async_trait;
use parking_lot::Mutex;
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// How long a program may take to end in good order before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How long a signal may take to have its effect, and a port of ours to be free again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is particular about a component's program.
#[async_trait]
pub trait Program: Send + Sync {
    /// The component's name.
    fn name(&self) -> &'static str;
    /// How it is started.
    fn command(&self, port: u16) -> Command;
    /// Does it serve?
    async fn ready(&self, port: u16) -> Result<(), Error>;
    /// How long a start may take.
    fn start_limit(&self) -> Duration;
    /// The signal that ends it in good order, and whether its whole group gets it.
    fn stop_signal(&self) -> (Signal, bool);
}

/// A component of the platform.
pub struct ComponentProcess {
    program: Box<dyn Program>,
    run: String,
    log: PathBuf,
    journal: Arc<dyn Journal>,
    port: AtomicU16,
    has_port: std::sync::atomic::AtomicBool,
    running: Mutex<ProcessState>,
    starting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct ProcessState {
    child: Option<(Child, ProcessIdentity)>,
    ended: Option<String>,
}

impl ComponentProcess {
    /// A component that does not run yet; its log is `LOGS/NAME.log`.
    pub fn new(program: Box<dyn Program>, run: &str, logs: &std::path::Path, journal: Arc<dyn Journal>) -> Self {
        let log = logs.join(format!("{}.log", program.name()));
        let (port, has_port, running, starting) = Default::default();
        Self { program, run: run.to_owned(), log, journal, port, has_port, running, starting }
    }

    /// The component's name.
    pub fn name(&self) -> &'static str {
        self.program.name()
    }

    /// Its port; chosen by the first start and kept from then on, because clients know it.
    pub fn port(&self) -> u16 {
        self.port.load(Ordering::SeqCst)
    }

    /// The process that runs, if any.
    pub fn process(&self) -> Option<ProcessIdentity> {
        let mut state = self.running.lock();
        let (child, identity) = state.child.as_mut()?;
        match child.try_wait() {
            Ok(None) => Some(*identity),
            Ok(Some(status)) => {
                *state = ProcessState { child: None, ended: Some(status.to_string()) };
                None
            }
            Err(_) => identity.lives().then_some(*identity),
        }
    }

    /// Starts it, if it does not run, and waits until it serves.
    pub async fn start(&self) -> Result<(), Error> {
        let _starting = self.starting.lock().await;
        let deadline = Deadline::within(self.program.start_limit());
        if let Some(identity) = self.process() {
            if process::frozen(identity.pid) {
                return Err(Error::new(format!("cannot start `{}`", self.name()), "it is frozen").hint("resume it"));
            }
            return self.served(identity, 0, deadline).await;
        }
        for attempt in 0.. {
            self.kill_leftovers().await?;
            self.find_port().await?;
            let from = self.log.metadata().map_or(0, |m| m.len());
            let identity = self.spawn().await?;
            let Err(error) = self.served(identity, from, deadline).await else {
                self.has_port.store(true, Ordering::SeqCst);
                return Ok(());
            };
            // Another took the port between our look and its start; or the kernel has not yet put a killed
            // PostgreSQL away, whose lock file then still counts.
            let again = matches!(error.kind, ErrorKind::AddressInUse | ErrorKind::Locked);
            if self.process().is_some() || !again || attempt == 5 {
                return Err(error);
            }
            sleep(POLL * 4).await;
        }
        Ok(())
    }

    /// Ends it at once, with all its processes.
    pub async fn kill(&self) -> Result<(), Error> {
        let left = match self.process() {
            Some(identity) => process::kill(&[identity]).await,
            None => BTreeSet::new(),
        };
        self.check_ended(&left).await?;
        self.kill_leftovers().await
    }

    /// Ends it in good order, and by force if that takes too long.
    pub async fn stop(&self) -> Result<(), Error> {
        if let Some(identity) = self.process() {
            let all = process::tree(&[identity.pid]);
            let (signal, group) = self.program.stop_signal();
            if group {
                process::signal_group(identity.pid, signal);
            } else {
                identity.signal(signal);
            }
            all.iter().for_each(|identity| identity.signal(Signal::CONT)); // a frozen one hears nothing else
            process::wait_gone(&BTreeSet::from([identity]), GRACE).await;
            process::wait_gone(&all, POLL * 4).await;
            let left = process::kill(&all.into_iter().filter(|identity| identity.lives()).collect::<Vec<_>>()).await;
            self.check_ended(&left).await?;
        }
        self.kill_leftovers().await
    }

    /// Ends it for good: at once, but for PostgreSQL, which would leave shared memory behind.
    pub async fn discard(&self) -> Result<(), Error> {
        if self.program.stop_signal().0 == Signal::INT { self.stop().await } else { self.kill().await }
    }

    /// Freezes it with all its processes.
    pub async fn pause(&self) -> Result<(), Error> {
        let identity = self.process().ok_or_else(|| self.error("pause", "it does not run"))?;
        process::freeze(&[identity]);
        self.until("pause", || process::frozen(identity.pid)).await
    }

    /// Lets it go on.
    pub async fn resume(&self) -> Result<(), Error> {
        let Some(identity) = self.process() else { return Ok(()) };
        process::tree(&[identity.pid]).iter().for_each(|identity| identity.signal(Signal::CONT));
        self.until("resume", || !process::frozen(identity.pid)).await
    }

    /// Does it run, and is it not frozen?
    pub fn alive(&self) -> Finding {
        match self.process() {
            Some(identity) if process::frozen(identity.pid) => Finding::missed(format!("`{}` is frozen", self.name())),
            Some(_) => Finding::met(),
            None => {
                let state = self.running.lock();
                let how = state.ended.as_ref().map(|how| format!(" ({how})")).unwrap_or_default();
                Finding::missed(format!("`{}` does not run{how}", self.name()))
            }
        }
    }

    /// The last lines of its log.
    pub fn said(&self) -> String {
        self.tail(0)
    }

    async fn spawn(&self) -> Result<ProcessIdentity, Error> {
        let what = || format!("cannot start `{}`", self.name());
        self.journal.creating(Receipt(json!({ "spawning": self.name() }))).await?;
        let log = log::open(&self.log).map_err(|e| Error::caused_by(what(), e))?;
        let second = log.try_clone().map_err(|e| Error::caused_by(what(), e))?;
        let mut command = self.program.command(self.port());
        command.env(RUN, &self.run).env(COMPONENT, self.name());
        command.stdin(Stdio::null()).stdout(log).stderr(second).process_group(0).current_dir("/");
        let identity = {
            let mut state = self.running.lock();
            let child = command.spawn().map_err(|e| Error::caused_by(what(), e))?;
            let pid = child.id();
            // One that ended at once is still a zombie of ours: its id is not used again before we reap it.
            let identity = ProcessIdentity::of(pid).unwrap_or(ProcessIdentity { pid, start: 0 });
            *state = ProcessState { child: Some((child, identity)), ended: None };
            identity
        };
        let receipt = json!({ "process": { "component": self.name(), "pid": identity.pid, "start": identity.start } });
        self.journal.creating(Receipt(receipt)).await?;
        Ok(identity)
    }

    async fn served(&self, identity: ProcessIdentity, log_from: u64, deadline: Deadline) -> Result<(), Error> {
        loop {
            let answer = self.program.ready(self.port()).await;
            // Asked after the answer: an answer counts only if ours was there to give it.
            if self.process() != Some(identity) {
                let how = self.running.lock().ended.clone().unwrap_or_default();
                let log = self.tail(log_from);
                return Err(self.error("start", format!("it ended ({how}); its log: {log}")).kind(ended_for(&log)));
            }
            match answer {
                Ok(()) => return Ok(()),
                Err(error) if deadline.passed() => {
                    let limit = self.program.start_limit().as_secs();
                    let why = format!("not ready within {limit} s ({error}); its log: {}", self.tail(log_from));
                    return Err(self.error("start", why));
                }
                Err(_) => sleep(POLL).await,
            }
        }
    }

    /// Kills what an ended program left behind: children that live on would keep the port and answer for it.
    async fn kill_leftovers(&self) -> Result<(), Error> {
        let marked = process::marked(RUN, &self.run, COMPONENT).into_iter();
        let left: Vec<ProcessIdentity> =
            marked.filter(|(_, of)| of.as_deref() == Some(self.name())).map(|(identity, _)| identity).collect();
        let left = if left.is_empty() { BTreeSet::new() } else { process::kill(&left).await };
        self.check_ended(&left).await
    }

    async fn check_ended(&self, left: &BTreeSet<ProcessIdentity>) -> Result<(), Error> {
        if let Some(identity) = left.first() {
            return Err(self.error("end", format!("process {} does not die", identity.pid)));
        }
        self.until("end", || self.process().is_none()).await // reaps it
    }

    async fn until(&self, verb: &str, done: impl Fn() -> bool) -> Result<(), Error> {
        let effect = until(PATIENCE, POLL / 5, async || done().then_some(()).ok_or(())).await;
        effect.map_err(|_| self.error(verb, format!("no effect within {} s", PATIENCE.as_secs())))
    }

    async fn find_port(&self) -> Result<(), Error> {
        if !self.has_port.load(Ordering::SeqCst) {
            self.port.store(ports::free()?, Ordering::SeqCst);
            return Ok(());
        }
        let free = until(PATIENCE, POLL, async || ports::is_free(self.port()).then_some(()).ok_or(())).await;
        free.map_err(|_| {
            let error = self.error("start", format!("its port {} is in use by another program", self.port()));
            error.hint("end that program, or run the drill again: each run takes other ports")
        })
    }

    fn tail(&self, from: u64) -> String {
        let mut text = String::new();
        let read = File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = vec![];
            file.read_to_end(&mut bytes)?;
            text = String::from_utf8_lossy(&bytes).into_owned();
            Ok(())
        });
        match read {
            Ok(()) => last_lines(&text, 12),
            Err(error) => format!("`{}` cannot be read: {error}", self.log.display()),
        }
    }

    fn error(&self, verb: &str, why: impl std::fmt::Display) -> Error {
        Error::new(format!("cannot {verb} `{}`", self.name()), why)
    }
}

/// The last lines of a text, for an error message.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The sort of an early end, from the program's log: all that it leaves behind.
fn ended_for(log: &str) -> ErrorKind {
    match log {
        log if log.contains("in use") => ErrorKind::AddressInUse,
        log if log.contains("postmaster.pid") => ErrorKind::Locked,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    struct Quiet;

    #[async_trait]
    impl Journal for Quiet {
        async fn creating(&self, _: Receipt) -> Result<(), Error> {
            Ok(())
        }
        async fn acting(&self, _: Receipt) -> Result<(), Error> {
            Ok(())
        }
        fn progress(&self, _: &str) {}
    }

    /// Finds its first port taken, as a server whose port another took after our look; then serves.
    #[derive(Default)]
    struct Unlucky(Arc<Mutex<Vec<u16>>>);

    #[async_trait]
    impl Program for Unlucky {
        fn name(&self) -> &'static str {
            "unlucky"
        }
        fn command(&self, port: u16) -> Command {
            let mut ports = self.0.lock();
            ports.push(port);
            let mut command = Command::new("sh");
            let first = "echo 'bind: Address already in use' >&2; exit 1";
            command.args(["-c", if ports.len() == 1 { first } else { "exec sleep 300" }]);
            command
        }
        async fn ready(&self, _: u16) -> Result<(), Error> {
            sleep(POLL * 4).await; // long enough for the first one to end
            Ok(())
        }
        fn start_limit(&self) -> Duration {
            Duration::from_secs(30)
        }
        fn stop_signal(&self) -> (Signal, bool) {
            (Signal::TERM, true)
        }
    }

    #[tokio::test]
    async fn a_first_start_takes_another_port_and_a_later_one_names_the_port_that_is_taken() {
        let logs = tempfile::tempdir().unwrap();
        let ports = Arc::<Mutex<Vec<u16>>>::default();
        let program = Box::new(Unlucky(Arc::clone(&ports)));
        let run = format!("unlucky-{}", std::process::id());
        let component = ComponentProcess::new(program, &run, logs.path(), Arc::new(Quiet));
        component.start().await.unwrap();
        let tried = ports.lock().clone();
        assert!(tried.len() == 2 && tried[0] != tried[1] && tried[1] == component.port(), "{tried:?}");

        component.stop().await.unwrap();
        let _other = std::net::TcpListener::bind(("127.0.0.1", component.port())).unwrap();
        let error = component.start().await.unwrap_err();
        assert!(error.why.contains(&format!("port {} is in use", component.port())), "{error}");
        assert!(error.hint.unwrap().contains("other ports"));
        assert_eq!(ports.lock().len(), 2, "clients know the port, so no other is tried");
    }
}
