//! The timeline of a run on disk: appended to by the run or its `cleanup`, and read.
//!
//! Each line has the digest of the line before, so that a change is found. A torn line is accepted, because a crash or a
//! full disk may leave one.

use super::TIMELINE;
use crate::model::Line;
use crate::model::fact::VERSION;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The timeline being written. One writer; [`Timeline::sync`] makes what was appended durable.
#[derive(Debug)]
pub struct Timeline {
    file: File,
    number: u64,
    before: String,
    /// How long the file is, and whether a torn line stands at its end.
    length: u64,
    torn: bool,
    torn_lines: usize,
}

impl Timeline {
    /// Begins a run's timeline.
    ///
    /// # Errors
    /// When the file cannot be made, or exists.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(folder.join(TIMELINE))?;
        File::open(folder)?.sync_all()?;
        Ok(Self { file, number: 0, before: String::new(), length: 0, torn: false, torn_lines: 0 })
    }

    /// Continues the timeline of a dead run. A torn line at its end stays as it is, and a fresh one begins after it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn reopen(folder: &Path) -> io::Result<Self> {
        let read = TimelineText::read(folder)?;
        let file = OpenOptions::new().append(true).open(folder.join(TIMELINE))?;
        let length = file.metadata()?.len();
        let (number, torn_lines) = (read.lines.len() as u64, read.torn_lines);
        Ok(Self { file, number, before: read.before, length, torn: read.open, torn_lines })
    }

    /// How many lines that were there before are torn.
    pub fn torn_lines(&self) -> usize {
        self.torn_lines
    }

    /// Appends lines in one write and sets their numbers and digests: all of them, or none.
    ///
    /// # Errors
    /// When they cannot be written; they may be appended again.
    pub fn append(&mut self, lines: &mut [Line]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(lines.len() * 256);
        if self.torn {
            bytes.push(b'\n');
        }
        let (mut number, mut before) = (self.number, self.before.clone());
        for line in lines {
            (line.number, line.before) = (number, before);
            let start = bytes.len();
            serde_json::to_writer(&mut bytes, line)?;
            (number, before) = (number + 1, digest(&bytes[start..]));
            bytes.push(b'\n');
        }
        if let Err(error) = self.file.write_all(&bytes) {
            self.torn |= self.file.set_len(self.length).is_err(); // a full disk took only a part of it
            return Err(error);
        }
        self.length += bytes.len() as u64;
        (self.number, self.before, self.torn) = (number, before, false);
        Ok(())
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Reads a timeline. Torn lines are left out: a crash or a full disk may leave one, at the end or, if the run was
/// continued, before other lines.
///
/// # Errors
/// When it is not there, or a line was changed.
pub fn read_timeline(folder: &Path) -> io::Result<Vec<Line>> {
    TimelineText::read(folder).map(|read| read.lines)
}

/// What a timeline's file holds.
struct TimelineText {
    lines: Vec<Line>,
    /// Digest of the last whole line.
    before: String,
    /// Does it end in the middle of a line?
    open: bool,
    /// How many lines are torn.
    torn_lines: usize,
}

impl TimelineText {
    fn read(folder: &Path) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(folder.join(TIMELINE))?);
        let (mut read, mut text, mut number) =
            (Self { lines: vec![], before: String::new(), open: false, torn_lines: 0 }, vec![], 0);
        let mut torn = false; // is the line before it one?
        loop {
            text.clear();
            number += 1;
            if reader.read_until(b'\n', &mut text)? == 0 {
                return Ok(read);
            }
            read.open = text.last() != Some(&b'\n');
            if !read.open {
                text.pop();
            }
            let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("line {number}: {why}"));
            if let Some(schema) = other_schema(&text) {
                let what = format!("it is of schema {schema}, and this Lifeboat reads schema {VERSION}");
                return Err(wrong(format!("{what}: use the version of Lifeboat that recorded the run")));
            }
            let line: Line = match serde_json::from_slice(&text) {
                Ok(line) => line,
                // Whether it was torn or changed, the next whole line says.
                Err(error) if error.is_syntax() || error.is_eof() => {
                    torn = true;
                    read.torn_lines += 1;
                    continue;
                }
                Err(error) => return Err(wrong(error.to_string())),
            };
            if line.before != read.before {
                let which = if torn { "a line before it was changed" } else { "the line before it was changed" };
                return Err(wrong(which.into()));
            }
            torn = false;
            read.before = digest(&text);
            read.lines.push(line);
        }
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
    use crate::clock::{self, Moment};
    use crate::model::Fact;
    use std::fs;

    fn note(text: &str) -> Line {
        Line::new(Moment(1), clock::wall(), Fact::Note(text.into()))
    }

    #[test]
    fn a_timeline_of_another_schema_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TIMELINE), "{\"schema\":1,\"fact\":{\"unheard_of\":1}}\n").unwrap();
        let said = read_timeline(folder.path()).unwrap_err().to_string();
        let told = format!("line 1: it is of schema 1, and this Lifeboat reads schema {VERSION}");
        assert!(said.contains(&told), "{said}");
    }

    #[test]
    fn a_torn_line_is_left_out_wherever_it_stands_and_a_changed_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut timeline = Timeline::create(folder.path()).unwrap();
        timeline.append(&mut [note("a"), note("b"), note("c")]).unwrap();
        let path = folder.path().join(TIMELINE);
        let notes = || {
            let fact = |line: Line| if let Fact::Note(text) = line.fact { text } else { String::new() };
            read_timeline(folder.path()).map(|lines| lines.into_iter().map(fact).collect::<Vec<_>>())
        };
        let whole = fs::read_to_string(&path).unwrap();
        for (cut, kept) in [(1, &["a", "b", "c"][..]), (2, &["a", "b"]), (60, &["a", "b"])] {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            assert_eq!(notes().unwrap(), kept);
            let mut timeline = Timeline::reopen(folder.path()).unwrap();
            assert_eq!(timeline.torn_lines(), usize::from(cut > 1));
            timeline.append(&mut [note("d")]).unwrap();
            Timeline::reopen(folder.path()).unwrap().append(&mut [note("e")]).unwrap();
            assert_eq!(notes().unwrap(), [kept, &["d", "e"]].concat());
        }
        for (from, to) in [("\"b\"", "\"x\""), ("\"b\"", "b")] {
            fs::write(&path, whole.replace(from, to)).unwrap();
            assert!(notes().unwrap_err().to_string().contains("line 3"), "{to}");
        }
    }
}
