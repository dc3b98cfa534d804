//! The pods' logs, kept in the run's folder before the pods go.
//!
//! A convenience: what cannot be had is left out, and nothing fails for it.

use super::component::KubernetesComponent;
use crate::client::kubernetes::ask;
use kube::ResourceExt;
use kube::api::LogParams;
use std::path::Path;

/// At most this much of each log.
const LINES: i64 = 20_000;

/// Keeps the logs of all pods, and of the containers that ran in them before.
pub async fn keep(components: &[KubernetesComponent], folder: &Path) {
    if std::fs::create_dir_all(folder).is_err() {
        return;
    }
    for component in components {
        for pod in component.pods().await.unwrap_or_default() {
            let mut text = String::new();
            for previous in [true, false] {
                let container = Some(component.name.to_owned());
                let params = LogParams {
                    container,
                    previous,
                    tail_lines: Some(LINES),
                    timestamps: true,
                    ..LogParams::default()
                };
                let (api, name) = (component.api(), pod.name_any());
                text.push_str(&ask("cannot read a log", api.logs(&name, &params)).await.unwrap_or_default());
            }
            let _ = std::fs::write(folder.join(format!("{}.log", pod.name_any())), text);
        }
    }
}
