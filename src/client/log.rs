//! The log of a program that is not ours: without secrets and control characters, and of a bounded size.
//!
//! Of what one command says, the first and the last half megabyte are kept, and the log says how much is left out
//! between. A log of many commands keeps its newest part. What cannot be written is left out: a full disk is told by the
//! timeline.

use crate::outside;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// How many bytes of one command are kept at its beginning, and as many at its end.
const HALF: usize = 512 * 1024;
/// How much is looked at in one piece; a longer line is cut.
const PIECE: usize = 16 * 1024;
/// How long a log may be before another command adds to it; then half of it stays.
const WHOLE: u64 = 8 * 1024 * 1024;

/// A log of one command, which may go on an earlier one. What waits is written when this is dropped.
#[derive(Debug)]
pub struct CommandLog {
    file: File,
    /// How many bytes are still written at once.
    room: usize,
    /// What does not stand in the file yet: the beginning of a line, and where no room is left all that is newest.
    waiting: Vec<u8>,
    left_out: usize,
    last: Option<String>,
}

impl CommandLog {
    /// Opens a log, which is made with its folder if it is missing.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        let length = file.metadata()?.len();
        if length > WHOLE {
            shorten(&mut file, length)?;
        }
        Ok(Self { file, room: HALF, waiting: vec![], left_out: 0, last: None })
    }

    /// Takes what the program said.
    pub fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.waiting.extend_from_slice(piece);
            if self.room == 0 {
                // In large steps: to move the rest costs more than to wait.
                self.leave_out(if self.waiting.len() > 2 * HALF { self.waiting.len() - HALF } else { 0 });
                continue;
            }
            let end = self.waiting.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
            let end = end.or((self.waiting.len() >= PIECE).then_some(self.waiting.len())).unwrap_or(0);
            let whole: Vec<u8> = self.waiting.drain(..end).collect();
            self.room = self.room.saturating_sub(whole.len());
            self.write(&whole);
        }
    }

    /// Writes what waits.
    pub fn settle(&mut self) {
        self.leave_out(self.waiting.len().saturating_sub(HALF));
        if self.left_out > 0 {
            let line = self.waiting.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            self.leave_out(line); // its beginning is gone
            let _ = writeln!(self.file, "[{} bytes of output are left out here]", self.left_out);
        }
        self.left_out = 0;
        let waiting = std::mem::take(&mut self.waiting);
        self.write(&waiting);
    }

    /// The last line so far that says something; asked after [`Self::settle`].
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    fn leave_out(&mut self, bytes: usize) {
        self.waiting.drain(..bytes);
        self.left_out += bytes;
    }

    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let mut text = outside::clean(&String::from_utf8_lossy(lines));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let _ = self.file.write_all(text.as_bytes());
        self.last = last(&text).map(str::to_owned).or_else(|| self.last.take());
    }
}

impl Drop for CommandLog {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Opens a log to append to, which only its owner may read; makes it and its folder if they are missing.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    path.parent().map_or(Ok(()), |folder| DirBuilder::new().recursive(true).mode(0o700).create(folder))?;
    OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)
}

/// The last line that says something.
pub fn last(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// Leaves the newer half of a log.
fn shorten(file: &mut File, length: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(length - WHOLE / 2))?;
    let mut newer = vec![];
    file.read_to_end(&mut newer)?;
    let from = newer.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    file.set_len(0)?;
    file.write_all(b"[older output is left out]\n")?;
    file.write_all(&newer[from..])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn log_of(said: &[&[u8]]) -> (String, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/a.log");
        let mut log = CommandLog::open(&path).unwrap();
        said.iter().for_each(|part| log.take(part));
        log.settle();
        (std::fs::read_to_string(&path).unwrap(), log.last().map(str::to_owned))
    }

    #[test]
    fn what_is_said_is_kept_line_by_line_without_escape_sequences() {
        let (text, last) = log_of(&[b"on", b"e\n\x1b[31mtwo\x1b[0m\nhttp://a:pass", b"word@b/\n", b"\n"]);
        assert_eq!((text.as_str(), last.as_deref()), ("one\ntwo\nhttp://a:***@b/\n\n", Some("http://a:***@b/")));
        assert_eq!(log_of(&[b"no end"]).0, "no end\n");
    }

    #[test]
    fn of_a_great_deal_the_beginning_and_the_end_are_kept_and_the_gap_is_told() {
        let line = |n: usize| format!("{n:07} {}\n", "x".repeat(91));
        let all: String = (0..100_000).map(line).collect();
        let (text, last) = log_of(&[all.as_bytes()]);
        assert!(text.len() <= 2 * HALF + 2 * PIECE, "{}", text.len());
        assert!(text.starts_with("0000000 ") && last.unwrap().starts_with("0099999 "));
        let gap = text.lines().find(|line| line.starts_with('[')).unwrap();
        let left_out: usize = gap.trim_start_matches('[').split(' ').next().unwrap().parse().unwrap();
        assert_eq!(text.len() - gap.len() - 1 + left_out, all.len());
    }

    #[test]
    fn a_log_and_its_folder_are_the_users_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        open(&folder.path().join("logs/a.log")).unwrap();
        let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("logs"), mode("logs/a.log")), (0o700, 0o600));
    }

    #[test]
    fn a_log_of_many_commands_keeps_its_newest_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        for n in 0..20 {
            CommandLog::open(&path).unwrap().take(format!("{n} {}\n", "x".repeat(90)).repeat(12_000).as_bytes());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < 10 * 1024 * 1024 && text.starts_with("[older output is left out]\n"), "{}", text.len());
        assert!(text.ends_with(&format!("19 {}\n", "x".repeat(90))));
    }
}
