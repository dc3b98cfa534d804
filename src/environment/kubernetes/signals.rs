//! Signals to all processes of a container, sent from inside of it.
//!
//! This works because the containers of a platform's pod share one process namespace: otherwise a container's first
//! process takes neither SIGKILL nor SIGSTOP from inside. A process is the container's own if it has the same control
//! group; those of the command itself are left out.

use super::component::KubernetesComponent;
use crate::client::kubernetes::exec;
use crate::client::{Ended, Error};
use std::time::Duration;
use tokio::time::timeout;

/// How long a signal may take to have its effect.
const EFFECT: Duration = Duration::from_secs(10);

/// Lists the container's processes. The list is made before the loop, so that the loop's own children are not in it.
const PROCESSES: &str = "own=$(cat /proc/self/cgroup); all=; \
    for process in /proc/[0-9]*; do id=${process#/proc/}; [ \"$id\" != $$ ] || continue; \
    [ \"$(cat $process/cgroup 2>/dev/null)\" != \"$own\" ] || all=\"$all $id\"; done; \
    state() { cat /proc/$1/stat 2>/dev/null | sed 's/.*) //' | cut -c1; }; ";

/// Sends a signal until no process is left that it has not reached; answers when all are reached.
const KILL: &str = "[ -n \"$all\" ] && kill -KILL $all; for try in 1 2 3 4 5 6 7 8 9 10; do left=; for id in $all; do \
    case \"$(state $id)\" in ''|Z|X) ;; *) left=1 ;; esac; done; [ -n \"$left\" ] || break; sleep 0.05; done; \
    [ -n \"$left\" ] || echo done";
const STOP: &str = "[ -n \"$all\" ] && kill -STOP $all; for try in 1 2 3 4 5 6 7 8 9 10; do left=; for id in $all; do \
    case \"$(state $id)\" in T|Z|X|'') ;; *) left=1 ;; esac; done; [ -n \"$left\" ] || break; sleep 0.05; done; \
    [ -n \"$left\" ] || echo done";
const CONTINUE: &str = "[ -n \"$all\" ] && kill -CONT $all; echo done";
const LOOK: &str = "for id in $all; do state $id; done; echo done";

/// A signal to a container's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ends them at once.
    Kill,
    /// Freezes them.
    Freeze,
    /// Lets them go on.
    Resume,
}

/// Sends it to all processes of a pod's container; returns when all have received it.
pub async fn send(component: &KubernetesComponent, pod: &str, signal: Signal) -> Result<(), Error> {
    let (verb, script) = match signal {
        Signal::Kill => ("kill", KILL),
        Signal::Freeze => ("pause", STOP),
        Signal::Resume => ("resume", CONTINUE),
    };
    let what = format!("cannot {verb} `{}`", component.name);
    let (ended, said) = inside(component, pod, script).await?;
    // The container of a killed first process goes with everything in it, the command that killed it too.
    let gone_with_it = signal == Signal::Kill && matches!(ended.code, None | Some(137));
    if said.contains("done") || gone_with_it { Ok(()) } else { Err(Error::new(what, ended)) }
}

/// Is any process of a pod's container frozen?
pub async fn frozen(component: &KubernetesComponent, pod: &str) -> Result<bool, Error> {
    let (ended, said) = inside(component, pod, LOOK).await?;
    if said.contains("done") {
        return Ok(said.lines().any(|line| line == "T"));
    }
    Err(Error::new(format!("cannot look into pod `{pod}`"), ended))
}

async fn inside(component: &KubernetesComponent, pod: &str, script: &str) -> Result<(Ended, String), Error> {
    let script = format!("{PROCESSES}{script}");
    let command = ["sh", "-c", &script];
    let what = || format!("cannot look into pod `{pod}`");
    let run = async {
        let running = exec::start(&component.api(), pod, component.name, &command).await?;
        let (ended, said) = running.finish().await?;
        Ok((ended, String::from_utf8_lossy(&said).into_owned()))
    };
    timeout(EFFECT, run).await.map_err(|_| Error::new(what(), "no answer in time"))?
}
