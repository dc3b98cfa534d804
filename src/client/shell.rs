//! Runs a user's own shell command, with what it needs to know in its environment and its output in a log.
//!
//! Apart because engines and runbook steps both take commands. Output goes straight into the file and not through
//! a pipe: a server that the command leaves running would hold the pipe open for ever.

use super::{Error, process};
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// A variable of the command's environment.
pub type Variable = (String, OsString);

/// Runs `sh -c COMMAND` to its end, appending its output to `log`. Dropped before that, it dies with its children;
/// after a regular end, what it left running goes on.
pub async fn run(command: &str, variables: &[Variable], log: &Path) -> Result<(), Error> {
    let what = || format!("command `{}`", command.lines().next().unwrap_or_default());
    let open = |e| Error::caused_by(format!("cannot write `{}`", log.display()), e);
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder).map_err(open)?;
    }
    let out = OpenOptions::new().create(true).append(true).open(log).map_err(open)?;
    let from = out.metadata().map_err(open)?.len();
    let err = out.try_clone().map_err(open)?;
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).envs(variables.iter().map(|(name, value)| (name, value)));
    shell.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).kill_on_drop(true);
    let mut child = shell.spawn().map_err(|e| Error::caused_by(what(), e))?;
    let mut group = Group(child.id());
    let status = child.wait().await.map_err(|e| Error::caused_by(what(), e))?;
    group.0 = None;
    if status.success() {
        return Ok(());
    }
    let said = last_line(log, from).map(|line| format!(": {line}")).unwrap_or_default();
    Err(Error::new(what(), format!("{status}{said}")))
}

/// The last line that says something.
pub fn last(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

fn last_line(log: &Path, from: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(4096)))).ok()?;
    let mut text = vec![];
    file.read_to_end(&mut text).ok()?;
    last(&String::from_utf8_lossy(&text)).map(str::to_owned)
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
