//! Runs a user's own shell command, with what it needs to know in its environment and its output in a log.
//!
//! Apart because engines and runbook steps both take commands. Output comes through a pipe, so that the log can be bounded
//! and masked. A server that the command leaves running may hold the pipe open for ever: nobody waits for that.

use super::log::CommandLog;
use super::{Error, process};
use rustix::process::Signal;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

/// A variable of the command's environment.
pub type Variable = (String, OsString);

/// Runs `sh -c COMMAND` to its end, appending its output to `log`. Dropped before that, it dies with its group. What left
/// the group, or runs on after a regular end, is found by the variables that a run sets for all its commands.
pub async fn run(command: &str, variables: &[Variable], log: &Path) -> Result<(), Error> {
    let what = || format!("command `{}`", command.lines().next().unwrap_or_default());
    let failed = |e| Error::caused_by(what(), e);
    let mut log =
        CommandLog::open(log).map_err(|e| Error::caused_by(format!("cannot write `{}`", log.display()), e))?;
    let (reader, writer) = io::pipe().map_err(failed)?;
    let mut child = spawn(command, variables, writer).map_err(failed)?;
    let mut group = Group(child.id());
    let rest = reader.try_clone().map_err(failed)?;
    let output = Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(failed)?;
    let status = tokio::select! {
        status = child.wait() => status,
        () = copy(&output, &mut log) => child.wait().await,
    };
    let status = status.map_err(failed)?;
    group.0 = None;
    let held = copy_rest(rest, &mut log);
    log.settle();
    let said = log.last().map(|line| format!(": {line}")).unwrap_or_default();
    if held {
        tokio::spawn(async move { copy(&output, &mut log).await }); // or the next line would end who runs on
    }
    if status.success() { Ok(()) } else { Err(Error::new(what(), format!("{status}{said}"))) }
}

fn spawn(command: &str, variables: &[Variable], output: io::PipeWriter) -> io::Result<Child> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).envs(variables.iter().map(|(name, value)| (name, value)));
    shell.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0).kill_on_drop(true);
    shell.spawn()
}

/// Copies until nobody can say any more.
async fn copy(output: &Receiver, log: &mut CommandLog) {
    let mut part = vec![0; 64 * 1024];
    while output.readable().await.is_ok() {
        match output.try_read(&mut part) {
            Ok(0) => return,
            Ok(n) => log.take(&part[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Copies what lies in the pipe, which does not block; true if somebody still holds it.
fn copy_rest(mut output: PipeReader, log: &mut CommandLog) -> bool {
    let mut part = vec![0; 64 * 1024];
    loop {
        match output.read(&mut part) {
            Ok(0) => return false,
            Ok(n) => log.take(&part[..n]),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// Ends the command's whole process group, unless it ended by itself.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            process::signal_group(leader, Signal::KILL); // gone already is as good
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_failed_command_says_its_last_line_and_its_output_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/command.log");
        run("echo $GREETING", &[("GREETING".into(), "hello".into())], &log).await.unwrap();
        let error = run("echo some; echo it broke >&2; exit 3", &[], &log).await.unwrap_err();
        assert!(error.to_string().ends_with("exit status: 3: it broke"), "{error}");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "hello\nsome\nit broke\n");
    }

    #[tokio::test]
    async fn a_command_cut_off_dies_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let (log, late) = (folder.path().join("log"), folder.path().join("late"));
        let command = format!("(sleep 0.6; touch {}) & wait", late.display());
        let cut = tokio::time::timeout(Duration::from_millis(200), run(&command, &[], &log)).await;
        assert!(cut.is_err());
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(!late.exists());
    }

    #[tokio::test]
    async fn what_a_command_leaves_running_does_not_hold_it_up() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let ran = run("sleep 2 &", &[], &log);
        tokio::time::timeout(Duration::from_millis(1500), ran).await.unwrap().unwrap();
    }
}
