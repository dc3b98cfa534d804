//! Processes of this machine: who lives, who descends from whom, who carries which mark; and signals to them.
//!
//! A process id alone names nothing, because ids are used again: with its start time it does. A zombie has
//! ended and waits for its parent to notice, so it counts as gone everywhere here.

use super::until;
use crate::outside;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group, test_kill_process};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;
use sysinfo::{Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

/// The variable that carries a run's name in the environment of every process that the run starts.
pub const RUN: &str = "LIFEBOAT_RUN";
/// The variable that says beside it what the process is: a component's name, [`COMMAND`], [`TOOL`] or [`SWITCH`].
pub const COMPONENT: &str = "LIFEBOAT_COMPONENT";
/// What a user's own command is, and all that it starts.
pub const COMMAND: &str = "command";
/// What a tool of a server is, such as `pg_dump`.
pub const TOOL: &str = "tool";
/// What the switch of a machine is, and all that it starts: the machine itself, perhaps, which stays.
pub const SWITCH: &str = "switch";
/// How long a process may take to end in good order before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How often something that will happen soon is looked at.
pub const POLL: Duration = Duration::from_millis(50);

/// A process that cannot be confused with a later one of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its id.
    pub pid: u32,
    /// When it started: seconds since 1970.
    pub start: u64,
}

impl ProcessIdentity {
    /// The process with this id, if it lives.
    pub fn of(pid: u32) -> Option<Self> {
        let system = look(ProcessesToUpdate::Some(&[sysinfo::Pid::from_u32(pid)]), UpdateKind::Never);
        let process = system.process(sysinfo::Pid::from_u32(pid)).filter(|p| lives(p))?;
        Some(Self { pid, start: process.start_time() })
    }

    /// This process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Does it still live? Start times are computed from the boot time, which may be corrected by a second.
    pub fn lives(self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.start.abs_diff(self.start) <= 1)
    }

    /// Is it known to be gone? One that the system hides from this user may live.
    pub fn gone(self) -> bool {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return false };
        match test_kill_process(pid) {
            Ok(()) => !self.lives(),
            Err(errno) => errno == Errno::SRCH,
        }
    }

    /// Sends a signal to it and to no later process of its id; gone is none of our business.
    pub fn signal(self, signal: Signal) {
        if self.lives() {
            send(self.pid, signal);
        }
    }
}

/// Where this process' id means what it says: the system since it was started, and the namespace of ids. Nothing where
/// that cannot be known.
pub fn id_space() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Is the process frozen by a signal?
pub fn frozen(pid: u32) -> bool {
    let pid = sysinfo::Pid::from_u32(pid);
    let system = look(ProcessesToUpdate::Some(&[pid]), UpdateKind::Never);
    system.process(pid).is_some_and(|p| p.status() == ProcessStatus::Stop)
}

/// The living among `roots` with all that descend from them. A child whose parent died before this look is not
/// found here, but by its mark, if it has one.
pub fn tree(roots: &[u32]) -> BTreeSet<ProcessIdentity> {
    let system = look(ProcessesToUpdate::All, UpdateKind::Never);
    let living: Vec<(ProcessIdentity, Option<u32>)> = system
        .processes()
        .values()
        .filter(|p| lives(p))
        .map(|p| {
            (ProcessIdentity { pid: p.pid().as_u32(), start: p.start_time() }, p.parent().map(sysinfo::Pid::as_u32))
        })
        .collect();
    let mut found: BTreeSet<u32> = roots.iter().copied().collect();
    let mut before = 0;
    while found.len() > before {
        before = found.len();
        let children = living.iter().filter(|(_, up)| up.is_some_and(|up| found.contains(&up)));
        let children: Vec<u32> = children.map(|(identity, _)| identity.pid).collect();
        found.extend(children);
    }
    living.into_iter().map(|(identity, _)| identity).filter(|identity| found.contains(&identity.pid)).collect()
}

/// The living processes with `name=value` in the environment they were started with, and their `other` variable.
pub fn marked(name: &str, value: &str, other: &str) -> Vec<(ProcessIdentity, Option<String>)> {
    let system = look(ProcessesToUpdate::All, UpdateKind::Always);
    let mark = format!("{name}={value}");
    let other = format!("{other}=");
    let found = system.processes().values().filter(|p| lives(p) && p.environ().iter().any(|e| *e == *mark));
    let read = |p: &Process| p.environ().iter().find_map(|e| e.to_str()?.strip_prefix(&other).map(str::to_owned));
    found.map(|p| (ProcessIdentity { pid: p.pid().as_u32(), start: p.start_time() }, read(p))).collect()
}

/// Did the program begin with SIGHUP ignored, as under `nohup`? To be asked before anybody listens for it. Where the
/// system does not say, it was not.
pub fn ignores_hangup() -> bool {
    static IGNORED: LazyLock<bool> = LazyLock::new(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
    });
    *IGNORED
}

/// Sends a signal to the group that a child of ours leads.
pub fn signal_group(leader: u32, signal: Signal) {
    if let Some(pid) = checked(leader) {
        let _ = kill_process_group(pid, signal); // gone, or not ours: the caller looks whether it had its effect
    }
}

/// Waits until none of them lives; answers who still does at the deadline.
pub async fn wait_gone(all: &BTreeSet<ProcessIdentity>, within: Duration) -> BTreeSet<ProcessIdentity> {
    let living = || all.iter().copied().filter(|identity| identity.lives()).collect::<BTreeSet<_>>();
    let ended = async || Some(living()).filter(|left| !left.is_empty()).map_or(Ok(()), Err);
    until(within, POLL / 5, ended).await.map_or_else(|late| late.reason.unwrap_or_else(living), |()| BTreeSet::new())
}

/// The commands and tools of a run that live, with what each of them carries out; this process aside.
pub fn commands_of(run: &str) -> BTreeMap<ProcessIdentity, String> {
    let own = std::process::id();
    let of_run = marked(RUN, run, COMPONENT).into_iter();
    let found =
        of_run.filter(|(identity, what)| identity.pid != own && matches!(what.as_deref(), Some(COMMAND | TOOL)));
    found.map(|(identity, _)| (identity, described(identity))).collect()
}

/// The switches of a dead run that have not ended, with what each of them carries out. A switch leads its process group,
/// in the session of the run; what it has left running, such as a virtual machine, has a session of its own and is none.
pub fn switches_of(run: &str) -> BTreeMap<ProcessIdentity, String> {
    let marked = marked(RUN, run, COMPONENT).into_iter().filter(|(_, what)| what.as_deref() == Some(SWITCH));
    let marked: BTreeSet<ProcessIdentity> = marked.map(|(identity, _)| identity).collect();
    let theirs = |session: u32| marked.iter().any(|identity| identity.pid == session);
    let leads = |pid: u32| checked(pid).is_some_and(|pid| getpgid(Some(pid)) == Ok(pid));
    let hangs = |identity: &&ProcessIdentity| {
        leads(identity.pid) && session(identity.pid).is_some_and(|session| !theirs(session))
    };
    marked.iter().filter(hangs).map(|identity| (*identity, described(*identity))).collect()
}

/// The session of a living process: 0 if another namespace of process ids began it, as where a container's first process
/// is not its session's.
fn session(pid: u32) -> Option<u32> {
    let pid = sysinfo::Pid::from_u32(pid);
    let system = look(ProcessesToUpdate::Some(&[pid]), UpdateKind::Never);
    system.process(pid)?.session_id().map(sysinfo::Pid::as_u32)
}

/// A process in words: its id, and the beginning of its command line.
fn described(identity: ProcessIdentity) -> String {
    let pid = sysinfo::Pid::from_u32(identity.pid);
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().without_tasks().with_cmd(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    let words = system.process(pid).map(|p| p.cmd().join(" ".as_ref()).to_string_lossy().into_owned());
    let words: String = outside::clean(&words.unwrap_or_default()).chars().take(60).collect();
    format!("process {} (`{}`)", identity.pid, words.trim().replace(['\n', '`'], " "))
}

/// Ends these processes with all that descends from them: in good order, and what takes too long by force; answers what
/// still lives.
pub async fn end(roots: &[ProcessIdentity]) -> BTreeSet<ProcessIdentity> {
    let all = tree(&roots.iter().map(|root| root.pid).collect::<Vec<_>>());
    for signal in [Signal::TERM, Signal::CONT] {
        all.iter().for_each(|identity| identity.signal(signal)); // a frozen one hears nothing else
    }
    let left = wait_gone(&all, GRACE).await;
    if left.is_empty() { left } else { kill(&left.into_iter().collect::<Vec<_>>()).await }
}

/// Freezes the trees of the roots; parents first, so that no child starts unseen.
pub fn freeze(roots: &[ProcessIdentity]) -> BTreeSet<ProcessIdentity> {
    roots.iter().for_each(|root| root.signal(Signal::STOP));
    let mut all = BTreeSet::new();
    loop {
        let now = living_tree(roots);
        let fresh: Vec<ProcessIdentity> = now.difference(&all).copied().collect();
        if fresh.is_empty() {
            return all;
        }
        fresh.iter().for_each(|identity| identity.signal(Signal::STOP));
        all.extend(fresh);
    }
}

/// Kills the trees of the roots, until nothing of them lives; answers what could not be killed.
pub async fn kill(roots: &[ProcessIdentity]) -> BTreeSet<ProcessIdentity> {
    let mut all = BTreeSet::new();
    for _ in 0..20 {
        all.extend(freeze(roots));
        all.iter().for_each(|identity| identity.signal(Signal::KILL));
        if wait_gone(&all, Duration::from_millis(500)).await.is_empty() && living_tree(roots).is_empty() {
            return BTreeSet::new();
        }
    }
    wait_gone(&all, Duration::ZERO).await
}

/// The tree of those roots that live. A dead root's id may be another's by now, so it is not looked up.
fn living_tree(roots: &[ProcessIdentity]) -> BTreeSet<ProcessIdentity> {
    tree(&roots.iter().filter(|root| root.lives()).map(|root| root.pid).collect::<Vec<_>>())
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = checked(pid) {
        let _ = kill_process(pid, signal); // as in `signal_group`
    }
}

/// Never 0, 1 or what would be negative: those would mean a group or everybody.
fn checked(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

fn lives(process: &Process) -> bool {
    !matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead)
}

fn look(which: ProcessesToUpdate<'_>, environment: UpdateKind) -> System {
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().without_tasks().with_environ(environment);
    system.refresh_processes_specifics(which, true, what);
    system
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};
    use tokio::time::sleep;

    fn family(mark: &str) -> Child {
        let script = "sleep 300 & setsid sleep 300 & wait";
        Command::new("sh").args(["-c", script]).env("LIFEBOAT_TEST", mark).process_group(0).spawn().unwrap()
    }

    async fn family_of(root: u32) -> BTreeSet<ProcessIdentity> {
        while tree(&[root]).len() < 3 {
            sleep(POLL).await;
        }
        tree(&[root])
    }

    #[tokio::test]
    async fn a_whole_family_is_killed_also_who_left_the_group() {
        let mut parent = family("killed");
        let all = family_of(parent.id()).await;
        assert!(kill(&[ProcessIdentity::of(parent.id()).unwrap()]).await.is_empty());
        assert!(wait_gone(&all, Duration::ZERO).await.is_empty(), "a zombie counts as gone");
        parent.wait().unwrap();
        assert!(ProcessIdentity::of(parent.id()).is_none());
    }

    #[tokio::test]
    async fn a_switch_that_hangs_is_told_from_what_it_left_running() {
        let script = "setsid sleep 300 & sleep 300 & wait";
        let run = format!("a-run-that-switched-{}", std::process::id());
        let mut switch = Command::new("sh");
        switch.args(["-c", script]).env(RUN, &run).env(COMPONENT, SWITCH).process_group(0);
        let mut switch = switch.spawn().unwrap();
        let all = family_of(switch.id()).await;
        let identity = ProcessIdentity::of(switch.id()).unwrap();
        assert_eq!(switches_of(&run).into_keys().collect::<Vec<_>>(), [identity]);
        assert!(commands_of(&run).is_empty(), "a run that ends leaves the machine alone");
        identity.signal(Signal::KILL);
        switch.wait().unwrap();
        assert!(switches_of(&run).is_empty(), "the machine is no switch");
        kill(&all.into_iter().collect::<Vec<_>>()).await;
    }

    #[tokio::test]
    async fn a_process_is_found_by_its_mark_and_told_from_a_later_one() {
        let mark = format!("found-{}", std::process::id());
        let mut parent = family(&mark);
        let all = family_of(parent.id()).await;
        let found: BTreeSet<ProcessIdentity> =
            marked("LIFEBOAT_TEST", &mark, "PATH").into_iter().map(|(identity, _)| identity).collect();
        assert_eq!(found, all);
        let identity = ProcessIdentity::of(parent.id()).unwrap();
        assert!(identity.lives() && !ProcessIdentity { start: identity.start - 100, ..identity }.lives());
        freeze(&[identity]);
        while !frozen(parent.id()) {
            sleep(POLL).await;
        }
        kill(&[identity]).await;
        parent.wait().unwrap();
    }
}
