//! The way to a cluster's API: which one is meant, and calls that end in time and say plainly why they failed.
//!
//! Apart because the crate's client waits for ever where nobody answers, and repeats nothing.

use crate::client::{Error, chain};
use crate::clock::Deadline;
use kube::config::{KubeConfigOptions, Kubeconfig, NamedContext};
use kube::{Client, Config};
use std::path::Path;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long one call may take.
pub const CALL: Duration = Duration::from_secs(10);
/// How long a call is repeated while the cluster says that it is busy.
const PATIENCE: Duration = Duration::from_secs(30);
const WHAT: &str = "cannot use the cluster";

/// A client of the cluster that a kubeconfig and a context name; by default those that `kubectl` would take.
pub async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, Error> {
    let mut config = match read(kubeconfig) {
        Err(_) if kubeconfig.is_none() && context.is_none() && inside() => {
            Config::incluster().map_err(|e| Error::caused_by(WHAT, e))?
        }
        Err(error) => return Err(error),
        Ok(known) => {
            if let Some(error) = missing(&known, context) {
                return Err(error);
            }
            let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
            let config = Config::from_custom_kubeconfig(known, &options).await;
            config.map_err(|e| Error::caused_by(WHAT, e).hint("is the kubeconfig whole?"))?
        }
    };
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config).map_err(|e| refusal(WHAT, &e))
}

fn read(path: Option<&Path>) -> Result<Kubeconfig, Error> {
    let read = path.map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    let hint = "name one in the environment's `kubeconfig`, or in KUBECONFIG";
    read.map_err(|e| Error::caused_by("cannot read the kubeconfig", e).hint(hint))
}

/// Does this program run in a pod?
fn inside() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// What is wrong with the choice of a context.
fn missing(config: &Kubeconfig, context: Option<&str>) -> Option<Error> {
    let name = context.or(config.current_context.as_deref()).unwrap_or_default();
    if config.contexts.iter().any(|known| known.name == name) {
        return None;
    }
    let known: Vec<&str> = config.contexts.iter().map(|NamedContext { name, .. }| name.as_str()).collect();
    let why = if name.is_empty() {
        "the kubeconfig has no current context".into()
    } else {
        format!("there is no context `{name}`")
    };
    let known =
        if known.is_empty() { "the kubeconfig knows none".into() } else { format!("known: {}", known.join(", ")) };
    Some(Error::new(WHAT, why).hint(known))
}

/// Waits for a call, but not for ever.
pub async fn ask<T>(what: impl Into<String>, call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match timeout(CALL, call).await {
        Ok(answer) => answer.map_err(|e| refusal(what, &e)),
        Err(_) => Err(Error::new(what, format!("no answer of the cluster within {} s", CALL.as_secs()))),
    }
}

/// As [`ask`], repeated while the cluster is busy or cannot be reached. The call must be one that may be made twice.
pub async fn insist<T, F>(what: impl Into<String>, call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = kube::Result<T>>,
{
    let (what, deadline) = (what.into(), Deadline::within(PATIENCE));
    let mut pause = Duration::from_millis(100);
    loop {
        let refusal = match timeout(CALL, call()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if !transient(&error) || deadline.left() <= pause => {
                return Err(refusal(what, &error));
            }
            Err(_) if deadline.left() <= pause => {
                return Err(Error::new(what, format!("no answer of the cluster within {} s", PATIENCE.as_secs())));
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        sleep(pause.max(asked_for(refusal.as_ref())).min(deadline.left())).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

/// `None` where the cluster answers that there is no such thing.
pub fn found<T>(answer: kube::Result<T>) -> kube::Result<Option<T>> {
    match answer {
        Ok(thing) => Ok(Some(thing)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Nothing where the cluster answers that it is there already: a call that was repeated may have been heard before.
pub fn made<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other.map(drop),
    }
}

/// How long a busy cluster asks to be left alone.
fn asked_for(refusal: Option<&kube::Error>) -> Duration {
    let Some(kube::Error::Api(status)) = refusal else { return Duration::ZERO };
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    Duration::from_secs(seconds.into())
}

/// Did a quota refuse, and no lack of permission? Both are told as forbidden.
fn quota(message: &str) -> bool {
    message.contains("exceeded quota")
}

/// Did a webhook or an admission policy refuse?
fn policy(message: &str) -> bool {
    message.contains("denied the request") || message.contains("denied request")
}

fn transient(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 500 | 502..=504) || status.is_conflict(),
        kube::Error::Service(_) | kube::Error::HyperError(_) => true,
        _ => false,
    }
}

/// What the cluster said, with a hint where it is the caller's business.
pub fn refusal(what: impl Into<String>, error: &kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => {
            let said = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
            let error = Error::new(what, said.trim());
            match status.code {
                401 => error.hint("the cluster does not know these credentials, or no longer: log in again"),
                403 if quota(&status.message) => error.hint("raise the quota, or free some of it"),
                403 if !policy(&status.message) => error.hint("the roles of deploy/rbac have what Lifeboat needs"),
                _ if policy(&status.message) => error.hint("a policy of the cluster refuses it: ask its owner"),
                _ => error,
            }
        }
        kube::Error::Service(error) => {
            Error::new(what, chain(error.as_ref())).hint("does the cluster run, and can it be reached from here?")
        }
        other => Error::new(what, chain(other)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::Stopwatch;
    use kube::core::Status;
    use serde_json::json;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn status(code: u16, message: &str) -> kube::Error {
        let status = json!({ "status": "Failure", "reason": "x", "code": code, "message": message,
            "details": { "retryAfterSeconds": 7 } });
        kube::Error::Api(serde_json::from_value::<Status>(status).unwrap().boxed())
    }

    #[test]
    fn a_refusal_comes_with_the_way_out_that_fits_it() {
        for (code, message, way) in [
            (401, "Unauthorized", "log in again"),
            (403, "pods is forbidden: User \"x\" cannot list resource \"pods\"", "deploy/rbac"),
            (403, "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0", "raise the quota"),
            (403, "admission webhook \"no.example.org\" denied the request: no", "a policy of the cluster"),
            (400, "admission webhook \"no.example.org\" denied the request: no", "a policy of the cluster"),
            (422, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", "a policy of the cluster"),
        ] {
            let hint = refusal("x", &status(code, message)).hint.unwrap();
            assert!(hint.contains(way), "{message}: {hint}");
        }
        assert_eq!(refusal("x", &status(500, "broken")).hint, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_is_busy_is_left_alone_for_as_long_as_it_asks_and_asked_again() {
        let (began, asked) = (Stopwatch::start(), AtomicU32::new(0));
        let call = async || match asked.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(status(429, "too many requests")),
            _ => Ok("done"),
        };
        assert_eq!(insist("x", &call).await.unwrap(), "done");
        assert_eq!(began.elapsed().as_secs(), 14);
        let refused = insist::<(), _>("x", || async { Err(status(403, "no")) }).await.unwrap_err();
        assert_eq!(refused.why, "no");
        let busy = insist::<(), _>("x", || async { Err(status(429, "too many requests")) }).await.unwrap_err();
        assert_eq!((busy.why.as_str(), began.elapsed().as_secs() < 50), ("too many requests", true));
    }

    #[test]
    fn a_context_that_is_not_there_is_told_with_those_that_are() {
        let text = "contexts: [{ name: here, context: { cluster: c } }, { name: there, context: { cluster: c } }]";
        let config = Kubeconfig::from_yaml(&format!("{text}\ncurrent-context: here\n")).unwrap();
        assert!(missing(&config, None).is_none() && missing(&config, Some("there")).is_none());
        let said = missing(&config, Some("nowhere")).unwrap().to_string();
        assert_eq!(said, "cannot use the cluster: there is no context `nowhere` (known: here, there)");
        let none = Kubeconfig::from_yaml(text).unwrap();
        assert!(missing(&none, None).unwrap().why.contains("no current context"));
    }
}
