//! Folders and timelines on disk: where runs are kept, and how a timeline is appended to and read.
//!
//! Each line has the digest of the line before, so that a change is found. An incomplete last line is accepted, because a
//! crash may leave one.

use crate::clock;
use crate::model::Line;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The name of the timeline in a run's folder.
pub const TIMELINE: &str = "timeline.jsonl";
/// The version of the timeline's lines.
pub const VERSION: u32 = 3;

/// The folder where set-up keeps what it downloads and builds: `LIFEBOAT_CACHE`, else `/var/cache/lifeboat` for root (whose
/// home others may not enter, and PostgreSQL runs as another user), else `~/.cache/lifeboat`.
pub fn cache() -> PathBuf {
    folder("LIFEBOAT_CACHE", "/var/cache/lifeboat", "XDG_CACHE_HOME", ".cache")
}

/// The folder of platforms while a drill runs: `LIFEBOAT_STATE`, else `/var/lib/lifeboat` for root, else
/// `~/.local/state/lifeboat`.
pub fn state() -> PathBuf {
    folder("LIFEBOAT_STATE", "/var/lib/lifeboat", "XDG_STATE_HOME", ".local/state")
}

fn folder(own: &str, root: &str, xdg: &str, home: &str) -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set(own).unwrap_or_else(|| {
        if rustix::process::geteuid().is_root() {
            return root.into();
        }
        let base = set(xdg).unwrap_or_else(|| set("HOME").unwrap_or_else(std::env::temp_dir).join(home));
        base.join("lifeboat")
    })
}

/// Writes a new file that only its owner may read, from its first moment on; makes its folder if it is missing.
///
/// # Errors
/// When the file cannot be written, or exists.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// A run's folder: `REPORTS/DRILL/STARTED`, with `REPORTS/DRILL/latest` pointing to it.
#[derive(Debug, Clone)]
pub struct RunFolder {
    /// The folder.
    pub path: PathBuf,
    /// The run's name: drill and start, unique on this machine.
    pub run: String,
}

impl RunFolder {
    /// Makes the folder of a run that starts now.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn create(reports: &Path, drill: &str) -> io::Result<Self> {
        let started = clock::wall().strftime("%Y%m%dT%H%M%S").to_string();
        let suffix: String = format!("{:04x}", rand::random::<u16>());
        let name = format!("{started}-{suffix}");
        let path = reports.join(drill).join(&name);
        fs::create_dir_all(path.join("logs"))?;
        let latest = reports.join(drill).join("latest");
        let _ = fs::remove_file(&latest); // a link of an earlier run; not there is fine too
        let _ = std::os::unix::fs::symlink(&name, &latest); // a convenience: some file systems have no links
        Ok(Self { path: path.canonicalize()?, run: format!("{drill}-{name}") })
    }
}

/// All run folders under `reports`, oldest first.
pub fn runs(reports: &Path) -> Vec<PathBuf> {
    let entries =
        |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect::<Vec<_>>();
    let mut found: Vec<PathBuf> = entries(reports)
        .iter()
        .flat_map(|drill| entries(drill))
        .filter(|path| !path.is_symlink() && path.join(TIMELINE).is_file())
        .collect();
    found.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    found
}

/// The timeline being written. One writer; [`Timeline::sync`] makes what was appended durable.
#[derive(Debug)]
pub struct Timeline {
    file: File,
    number: u64,
    before: String,
}

impl Timeline {
    /// Begins a run's timeline.
    ///
    /// # Errors
    /// When the file cannot be made, or exists.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(folder.join(TIMELINE))?;
        File::open(folder)?.sync_all()?;
        Ok(Self { file, number: 0, before: String::new() })
    }

    /// Continues the timeline of a dead run; an incomplete last line is removed.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn reopen(folder: &Path) -> io::Result<Self> {
        let path = folder.join(TIMELINE);
        let text = fs::read(&path)?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let file = OpenOptions::new().append(true).open(&path)?;
        file.set_len(whole as u64)?;
        let text = &text[..whole];
        let last = text.split(|b| *b == b'\n').rfind(|line| !line.is_empty());
        let number = text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count() as u64;
        Ok(Self { file, number, before: last.map(digest).unwrap_or_default() })
    }

    /// Appends lines in one write and sets their numbers and digests. Returns the lines as written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, mut lines: Vec<Line>) -> io::Result<Vec<Line>> {
        let mut bytes = Vec::with_capacity(lines.len() * 256);
        for line in &mut lines {
            line.number = self.number;
            line.before.clone_from(&self.before);
            let start = bytes.len();
            serde_json::to_writer(&mut bytes, line)?;
            self.before = digest(&bytes[start..]);
            self.number += 1;
            bytes.push(b'\n');
        }
        self.file.write_all(&bytes)?;
        Ok(lines)
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Reads a timeline.
///
/// # Errors
/// When it is not there, a line cannot be read, or a line was changed. An incomplete last line is left out.
pub fn read_timeline(folder: &Path) -> io::Result<Vec<Line>> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(folder.join(TIMELINE))?);
    let (mut lines, mut before, mut text) = (vec![], String::new(), vec![]);
    loop {
        text.clear();
        if reader.read_until(b'\n', &mut text)? == 0 || text.pop() != Some(b'\n') {
            return Ok(lines);
        }
        let wrong =
            |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {why}", lines.len() + 1));
        if let Some(schema) = other_schema(&text) {
            let what = format!("it is of schema {schema}, and this Lifeboat reads schema {VERSION}");
            return Err(wrong(format!("{what}: use the version of Lifeboat that recorded the run")));
        }
        let line: Line = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
        if line.before != before {
            return Err(wrong("the line before it was changed".into()));
        }
        before = digest(&text);
        lines.push(line);
    }
}

/// The schema of a line, if it is not the one that is read here.
fn other_schema(line: &[u8]) -> Option<u32> {
    #[derive(serde::Deserialize)]
    struct Head {
        schema: u32,
    }
    let head: Head = serde_json::from_slice(line).ok()?;
    Some(head.schema).filter(|schema| *schema != VERSION)
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().as_str()[..16].to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::model::Fact;

    fn note(text: &str) -> Line {
        Line {
            schema: VERSION,
            number: 0,
            at: Moment(1),
            wall: clock::wall(),
            before: String::new(),
            fact: Fact::Note(text.into()),
        }
    }

    #[test]
    fn a_timeline_of_another_schema_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TIMELINE), "{\"schema\":1,\"fact\":{\"unheard_of\":1}}\n").unwrap();
        let said = read_timeline(folder.path()).unwrap_err().to_string();
        assert!(said.contains("line 1: it is of schema 1, and this Lifeboat reads schema 3"), "{said}");
    }

    #[test]
    fn an_incomplete_last_line_is_accepted_and_a_changed_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut timeline = Timeline::create(folder.path()).unwrap();
        timeline.append(vec![note("a"), note("b"), note("c")]).unwrap();
        let path = folder.path().join(TIMELINE);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        assert_eq!(read_timeline(folder.path()).unwrap().len(), 2);
        Timeline::reopen(folder.path()).unwrap().append(vec![note("d")]).unwrap();
        assert_eq!(read_timeline(folder.path()).unwrap().len(), 3);
        fs::write(&path, whole.replace("\"b\"", "\"x\"")).unwrap();
        assert!(read_timeline(folder.path()).unwrap_err().to_string().contains("line 3"));
    }
}
