//! What is wrong with files: every problem of each, with line and column.
//!
//! Apart because it is shown in one way wherever it is found: `path:line:column: text; hint`, as editors read it.

use crate::node::Problem;
use std::fmt;
use std::path::{Path, PathBuf};

/// A file and its problems.
#[derive(Debug, Clone)]
pub struct WrongFile {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, in the order of the file.
    pub problems: Vec<Problem>,
}

/// Files that cannot be used as they are.
#[derive(Debug, Clone, Default)]
pub struct Wrong {
    /// Only those with problems.
    pub files: Vec<WrongFile>,
}

impl Wrong {
    /// Of several files; those without problems are left out.
    pub fn new(files: impl IntoIterator<Item = (PathBuf, Vec<Problem>)>) -> Self {
        let files = files.into_iter().filter(|(_, problems)| !problems.is_empty());
        let sorted = files.map(|(path, mut problems)| {
            problems.sort_by_key(|problem| problem.position);
            WrongFile { path, problems }
        });
        Self { files: sorted.collect() }
    }

    /// Of one file.
    pub fn one(path: &Path, problems: Vec<Problem>) -> Self {
        Self::new([(path.to_owned(), problems)])
    }

    /// Each problem with line and column, on a line of its own.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let all = self.files.iter().flat_map(|WrongFile { path, problems }| problems.iter().map(move |it| (path, it)));
        all.map(|(path, problem)| match problem.position {
            Some(at) => format!("{}:{}:{}: {problem}", path.display(), at.line, at.column),
            None => format!("{}: {problem}", path.display()),
        })
    }

    /// How many problems there are.
    pub fn count(&self) -> usize {
        self.files.iter().map(|file| file.problems.len()).sum()
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "{line}")?;
        }
        match self.count() {
            1 => f.write_str("1 problem"),
            n => write!(f, "{n} problems"),
        }
    }
}

impl std::error::Error for Wrong {}
