//! Calls of a cluster's API: they end in time and say why they failed.
//!
//! Apart because kube's client waits for ever for an answer and repeats nothing.

use crate::client::{Error, chain};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long one call may take.
pub const CALL: Duration = Duration::from_secs(10);
/// How long a call is repeated while the cluster says that it is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a call, but not for ever.
pub async fn ask<T>(what: impl Into<String>, call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match timeout(CALL, call).await {
        Ok(answer) => answer.map_err(|e| refusal(what, &e)),
        Err(_) => Err(Error::new(what, format!("no answer of the cluster within {} s", CALL.as_secs()))),
    }
}

/// As [`ask`], and again while the cluster is busy or cannot be reached. The call must be one that may be made twice.
pub async fn retry<T, F>(what: impl Into<String>, call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = kube::Result<T>>,
{
    let mut last = None;
    let asking = async {
        let mut pause = Duration::from_millis(100);
        loop {
            last = match timeout(CALL, call()).await {
                Ok(Err(error)) if transient(&error) => Some(error),
                Ok(answer) => return answer,
                Err(_) => None,
            };
            sleep(pause.max(asked_for(last.as_ref()))).await;
            pause = (pause * 2).min(Duration::from_secs(3));
        }
    };
    let answer = timeout(PATIENCE, asking).await;
    match answer {
        Ok(answer) => answer.map_err(|error| refusal(what, &error)),
        Err(_) => Err(match last {
            Some(error) => refusal(what, &error),
            None => Error::new(what, format!("no answer of the cluster within {} s", PATIENCE.as_secs())),
        }),
    }
}

/// `None` if the cluster answers that there is no such object.
pub fn found<T>(answer: kube::Result<T>) -> kube::Result<Option<T>> {
    match answer {
        Ok(thing) => Ok(Some(thing)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// No error if the cluster answers that it is there already: an earlier try may have made it.
pub fn made<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other.map(drop),
    }
}

/// How long a busy cluster asks us to wait.
fn asked_for(refusal: Option<&kube::Error>) -> Duration {
    let Some(kube::Error::Api(status)) = refusal else { return Duration::ZERO };
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    Duration::from_secs(seconds.into())
}

/// Did a quota refuse, not a lack of permission? Both answer 403.
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

/// What the cluster said, with a hint where the user can do something about it.
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

/// Why the API refused or did not answer, in its own words alone.
pub fn why(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("the API answers {} {}", status.code, status.reason),
        other => chain(other),
    }
}

/// The error of an act that the API refused.
pub fn cannot(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
    let what = what.into();
    move |error| refusal(what, &error)
}

/// Did the API answer with this code?
pub fn says(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
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
    async fn a_busy_cluster_is_asked_again_after_the_time_it_names() {
        let (began, asked) = (Stopwatch::start(), AtomicU32::new(0));
        let call = async || match asked.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(status(429, "too many requests")),
            _ => Ok("done"),
        };
        assert_eq!(retry("x", &call).await.unwrap(), "done");
        assert_eq!(began.elapsed().as_secs(), 14);
        let refused = retry::<(), _>("x", || async { Err(status(403, "no")) }).await.unwrap_err();
        assert_eq!(refused.why, "no");
        let busy = retry::<(), _>("x", || async { Err(status(429, "too many requests")) }).await.unwrap_err();
        assert_eq!((busy.why.as_str(), began.elapsed().as_secs() < 50), ("too many requests", true));
    }
}
