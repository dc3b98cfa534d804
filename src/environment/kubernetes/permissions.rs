//! What this environment must be allowed to do in a cluster.
//!
//! The list is that of `deploy/rbac/role.yaml`; what drills need besides is in `deploy/rbac/drills.yaml`. Tests compare.

use crate::client::kubernetes::Permission;

/// A namespace in place of the run's own, which does not exist yet when permissions are asked for.
pub const SOME: &str = "lifeboat-survey";

/// What the powers, the endpoints and the survey do, on a throw-away platform and on a standing one.
const SHARED: &[Permission] = &[
    Permission::everywhere("get", "", "namespaces"),
    Permission::everywhere("list", "", "nodes"),
    Permission::within("get", "", "secrets"),
    Permission::within("get", "", "services"),
    Permission::within("get", "apps", "deployments/scale"),
    Permission::within("get", "apps", "statefulsets/scale"),
    Permission::within("patch", "apps", "deployments/scale"),
    Permission::within("patch", "apps", "statefulsets/scale"),
    Permission::within("get", "", "pods"),
    Permission::within("list", "", "pods"),
    Permission::within("get", "", "pods/log"),
    Permission::within("list", "", "events"),
    // A WebSocket is asked for with GET; from Kubernetes 1.35 on the right to create is asked too.
    Permission::within("create", "", "pods/exec"),
    Permission::within("get", "", "pods/exec"),
    Permission::within("create", "", "pods/portforward"),
    Permission::within("get", "", "pods/portforward"),
];

/// What provisioning and the removal do besides.
const PROVISION: &[Permission] = &[
    Permission::everywhere("create", "", "namespaces"),
    Permission::everywhere("delete", "", "namespaces"),
    Permission::everywhere("list", "", "persistentvolumes"),
    Permission::everywhere("list", "storage.k8s.io", "storageclasses"),
    Permission::within("create", "", "configmaps"),
    Permission::within("create", "", "secrets"),
    Permission::within("create", "", "services"),
    Permission::within("create", "apps", "deployments"),
    Permission::within("create", "apps", "statefulsets"),
    Permission::within("deletecollection", "", "pods"),
    Permission::within("deletecollection", "", "persistentvolumeclaims"),
];

/// What attaching to a standing platform does besides: it reads which one that is, and takes a lease for itself.
const ATTACH: &[Permission] = &[
    Permission::within("get", "", "configmaps"),
    Permission::within("get", "apps", "deployments"),
    Permission::everywhere("get", "coordination.k8s.io", "leases"),
    Permission::everywhere("create", "coordination.k8s.io", "leases"),
    Permission::everywhere("update", "coordination.k8s.io", "leases"),
    Permission::everywhere("delete", "coordination.k8s.io", "leases"),
];

/// What is needed whatever the drill does, of a throw-away platform or of a standing one.
pub fn needed(attach: bool) -> impl Iterator<Item = Permission> {
    let besides = if attach { ATTACH } else { PROVISION };
    SHARED.iter().chain(besides).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::ENGINES;
    use crate::fault::FAULTS;
    use crate::kind::Kind;
    use crate::recovery::STEPS;
    use serde_json::Value;
    use std::collections::BTreeSet;

    const ROLE: &str = include_str!("../../../deploy/rbac/role.yaml");
    const DRILLS: &str = include_str!("../../../deploy/rbac/drills.yaml");

    type Allowed = BTreeSet<(String, String, String)>;

    fn allowed(role: &str) -> Allowed {
        let documents: Vec<Value> = serde_saphyr::from_multiple(role).unwrap();
        let list = |rule: &Value, key: &str| -> Vec<String> {
            rule[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let mut allowed = BTreeSet::new();
        for rule in documents.iter().find(|d| d["kind"] == "ClusterRole").unwrap()["rules"].as_array().unwrap() {
            for group in list(rule, "apiGroups") {
                for resource in list(rule, "resources") {
                    let each = |verb: &String| (verb.clone(), group.clone(), resource.clone());
                    allowed.extend(list(rule, "verbs").iter().map(each));
                }
            }
        }
        allowed
    }

    fn done(permissions: impl IntoIterator<Item = Permission>) -> Allowed {
        permissions.into_iter().map(|p| (p.verb.into(), p.group.into(), p.resource.into())).collect()
    }

    fn parsed<T: ?Sized>(kinds: &[Kind<T>], besides: &[&str]) -> Vec<Box<T>> {
        let examples = kinds.iter().map(|kind| kind.example).chain(besides.iter().copied());
        let parse = |example: &str| {
            let (name, inner) = example.split_once(": ").unwrap();
            let kind = kinds.iter().find(|kind| kind.name == name).unwrap();
            (kind.parse)(&crate::node::parse(inner).unwrap(), &mut vec![]).unwrap()
        };
        examples.map(parse).collect()
    }

    #[test]
    fn the_role_allows_what_is_needed_and_no_more() {
        assert_eq!(allowed(ROLE), done(needed(false)));
    }

    #[test]
    fn the_second_role_allows_what_faults_steps_engines_and_attaching_do_and_no_more() {
        let forms = [
            "config-lost: { config_map: a }",
            "config-lost: { config_map: a, key: b, value: c }",
            "config-lost: { secret: a, key: b, value: c }",
        ];
        let faults = parsed(FAULTS, &forms).into_iter().flat_map(|fault| fault.permissions());
        let forms = ["deployment", "pod", "job", "node"];
        let forms = forms.map(|of| format!("wait-for: {{ condition: Ready, of: {of}/x }}"));
        let steps =
            parsed(STEPS, &forms.each_ref().map(String::as_str)).into_iter().flat_map(|step| step.permissions());
        let engines =
            parsed(ENGINES, &["builtin: { postgres: physical }"]).into_iter().flat_map(|engine| engine.permissions());
        let done = done(faults.chain(steps).chain(engines).chain(needed(true)));
        let besides: Allowed = done.difference(&allowed(ROLE)).cloned().collect();
        assert_eq!(allowed(DRILLS), besides);
    }
}
