//! A secret that is named in a file and read when it is needed.
//!
//! Apart so that no settings ever hold a secret: what is shown, logged or compared is only where it stands.

use crate::client::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a secret stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretFrom {
    /// In an environment variable.
    Env(String),
    /// In a file; an end of line at its end does not count.
    File(PathBuf),
}

impl SecretFrom {
    /// The secret. `what` names it in an error.
    ///
    /// # Errors
    /// When it is not there or empty.
    pub fn read(&self, what: &str) -> Result<String, Error> {
        let failed = format!("cannot read {what}");
        let secret = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| {
                Error::new(&failed, format!("the environment variable `{name}` is not set"))
                    .hint(format!("set `{name}`, or name a file: `file: PATH`"))
            })?,
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|e| Error::caused_by(format!("{failed} from `{}`", path.display()), e))?,
        };
        let secret = secret.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(Error::new(failed, "it is empty"));
        }
        Ok(secret.to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_file_without_the_end_of_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "open sesame\n").unwrap();
        let secret = SecretFrom::File(path.clone());
        assert_eq!(secret.read("the password").unwrap(), "open sesame");
        assert!(!format!("{secret:?}").contains("sesame"));
        std::fs::write(&path, "\n").unwrap();
        assert!(secret.read("the password").unwrap_err().to_string().contains("it is empty"));
    }

    #[test]
    fn a_secret_that_is_not_there_is_an_error_that_names_its_place() {
        let why = SecretFrom::Env("LIFEBOAT_TEST_NO_SUCH".into()).read("the password").unwrap_err().to_string();
        assert!(why.contains("the password") && why.contains("`LIFEBOAT_TEST_NO_SUCH` is not set"), "{why}");
    }
}
