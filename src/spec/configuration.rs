//! `configuration` of a protection: which files of this machine are kept in each point, and for whom they are sealed.
//!
//! Apart because it is the only part of a protection that holds secrets: so it is never kept in the clear, and who may read
//! it must be said. Not here: sealing and opening.

use crate::node::{Node, Problem};
use age::x25519::Recipient;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Component, PathBuf};

/// Files that it takes to start the same platform again: Helm values, environment files, certificates and keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`files` and `seal`")]
pub struct Configuration {
    /// Files and directories of the machine that takes the backups.
    pub files: Vec<PathBuf>,
    /// Who may read them. The repository's password is not enough, and the machine that takes the backups cannot.
    pub seal: Seal,
}

/// For whom the configuration is sealed: recipients of age (`age-keygen`), in the file or beside it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`age` and `recipients`")]
pub struct Seal {
    /// Recipients, `age1…`.
    #[serde(default)]
    pub age: Vec<String>,
    /// A file with a recipient a line, read when a backup is taken.
    #[serde(default)]
    pub recipients: Option<PathBuf>,
}

impl Configuration {
    /// What is wrong with it.
    pub fn check(&self, node: &Node, problems: &mut Vec<Problem>) {
        let files = node.at(&["files"]);
        if self.files.is_empty() {
            problems.push(Problem::new(files, "there is no file to keep").hint("name files or directories"));
        }
        for (path, node) in self.files.iter().zip(files.items()) {
            if path.components().any(|part| part == Component::ParentDir) {
                let problem = Problem::new(node, "the path leads upwards");
                problems.push(problem.hint("write it without `..`: it is kept under this path"));
            }
        }
        let seal = node.at(&["seal"]);
        if self.seal.age.is_empty() && self.seal.recipients.is_none() {
            let problem = Problem::new(seal, "there is no recipient: nobody could read the configuration again");
            problems.push(problem.hint("make a key with `age-keygen`, keep it elsewhere, and write `age: [age1…]`"));
        }
        for (recipient, node) in self.seal.age.iter().zip(seal.at(&["age"]).items()) {
            if recipient.parse::<Recipient>().is_err() {
                let secret = recipient.to_ascii_uppercase().starts_with("AGE-SECRET-KEY");
                let hint =
                    if secret { "that is the secret key; `age-keygen -y` prints" } else { "`age-keygen` prints" };
                let problem = Problem::new(node, "this is no recipient of age");
                problems.push(problem.hint(format!("{hint} the recipient, `age1…`")));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::{parse, read};

    fn problems_of(text: &str) -> Vec<String> {
        let (node, mut problems) = (parse(text).unwrap(), vec![]);
        if let Some(configuration) = read::<Configuration>(&node, &mut problems) {
            configuration.check(&node, &mut problems);
        }
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_is_kept_without_somebody_who_can_read_it() {
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        assert_eq!(problems_of(&format!("{{ files: [a], seal: {{ age: [{recipient}] }} }}")), [""; 0]);
        assert_eq!(problems_of("{ files: [a], seal: { recipients: file } }"), [""; 0]);
        assert!(problems_of("{ files: [a], seal: {} }")[0].contains("there is no recipient"));
        assert!(problems_of("{ files: [a] }")[0].contains("seal"));
        assert!(problems_of("{ files: [a], sealed: false, seal: { recipients: x } }")[0].contains("sealed"));
        let said = problems_of("{ files: [], seal: { age: [age1abc, AGE-SECRET-KEY-1ABC] } }");
        assert!(said[0].contains("no file to keep") && said[1].contains("no recipient of age"), "{said:?}");
        assert!(said[2].contains("that is the secret key") && !said[2].contains("1ABC"), "{said:?}");
        assert!(problems_of("{ files: [a/../b], seal: { recipients: x } }")[0].contains("leads upwards"));
    }
}
