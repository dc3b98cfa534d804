//! Which cluster is meant: a client from a kubeconfig and a context, as `kubectl` chooses them.
//!
//! Apart from the calls because only an environment connects; all others are handed what it connected to.

use super::call::refusal;
use crate::client::Error;
use kube::config::{KubeConfigOptions, Kubeconfig, NamedContext};
use kube::{Client, Config};
use std::path::Path;
use std::time::Duration;

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
