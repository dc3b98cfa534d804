//! A repository in a temporary directory, for tests.

use super::{Flaw, NewFile, NewPoint, OpenPoint, OpenRepository, Patience, RepositorySettings, Stored};
use crate::client::Error;
use crate::clock::wall;
use crate::node::parse;
use futures::StreamExt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

pub const QUICK: Patience = Patience {
    request: Duration::from_secs(5),
    beat: Duration::from_millis(200),
    dead: Duration::from_secs(6),
    turn: Duration::from_millis(500),
};

pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub settings: RepositorySettings,
    pub patience: Patience,
    pub repository: OpenRepository,
}

pub fn settings(folder: &Path) -> RepositorySettings {
    let text = format!("{{ directory: {0}/repository, password: {{ file: {0}/password }} }}", folder.display());
    RepositorySettings::read("near", &parse(&text).unwrap(), &mut vec![]).unwrap()
}

pub fn point(label: &str) -> NewPoint {
    NewPoint { label: label.into(), tags: vec!["scheduled".into(), "full".into()], time: wall() }
}

impl Fixture {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), "open sesame\n").unwrap();
        let settings = settings(folder.path());
        let repository = OpenRepository::create(&settings, QUICK).await.unwrap();
        Self { folder, settings, patience: QUICK, repository }
    }

    pub async fn put(&self, label: &str, files: Vec<NewFile>) -> Result<Stored, Error> {
        self.repository.put(point(label), futures::stream::iter(files.into_iter().map(Ok))).await
    }

    pub async fn read(&self, id: &str, name: &str) -> Vec<u8> {
        let contents = self.repository.point(id).await.unwrap();
        let file = contents.find(name).await.unwrap();
        read_all(contents.read(&file)).await.unwrap()
    }

    pub async fn flaws(&self) -> Vec<Flaw> {
        self.repository.verify(|_, _| {}).await.unwrap().flaws
    }

    pub async fn ids(&self) -> Vec<String> {
        self.repository.points().await.unwrap().points.into_iter().map(|point| point.id).collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("repository").join(name)
    }

    pub fn damage(&self, name: &str) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        bytes[20] ^= 1; // of a pack, its first blob; a file is read without the header at its end
        fs::write(self.path(name), bytes).unwrap();
    }

    /// The names of restic's files.
    pub fn files(&self) -> Vec<String> {
        self.bytes_of_all_files()
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with("lifeboat"))
            .collect()
    }

    pub fn bytes_of_all_files(&self) -> Vec<(String, Vec<u8>)> {
        let (mut folders, mut files) = (vec![self.path("")], vec![]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.path("")).unwrap().to_string_lossy().into_owned();
                    files.push((name, fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

/// Bytes as a file is opened.
#[allow(clippy::unnecessary_wraps)] // as an opener answers
pub fn opened(bytes: impl Into<Vec<u8>>) -> Result<Box<dyn AsyncRead + Send + Unpin>, Error> {
    Ok(Box::new(std::io::Cursor::new(bytes.into())))
}

pub async fn read_all(mut reader: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![];
    reader.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

pub async fn names(contents: &OpenPoint, under: &str) -> Vec<String> {
    contents.list(under).map(|file| file.unwrap().name).collect().await
}
