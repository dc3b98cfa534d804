//! Takes small files out of a tar stream that passes by, and counts what passes.
//!
//! Apart from the backup because it is a small parser. `pg_basebackup` writes plain ustar headers with names of up to 100
//! bytes and puts the manifest in last, so that is all that is read here. Nothing is buffered but the wanted files.

use std::collections::BTreeMap;

const BLOCK: usize = 512;

/// The tap.
#[derive(Debug, Default)]
pub struct TarTap {
    wanted: &'static [&'static str],
    /// The wanted files so far.
    pub found: BTreeMap<String, Vec<u8>>,
    /// Bytes that passed.
    pub bytes: u64,
    /// Files that passed.
    pub files: u64,
    header: Vec<u8>,
    /// The name of the wanted file that is passing.
    taking: Option<String>,
    /// How many bytes of the file are still to come, and how many of its padding.
    content: u64,
    padding: u64,
    ended: bool,
}

impl TarTap {
    /// For files of these names.
    pub fn new(wanted: &'static [&'static str]) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Did the stream end as an archive ends?
    pub fn whole(&self) -> bool {
        self.ended
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() && !self.ended {
            if self.content > 0 {
                let passing = cut(&mut bytes, &mut self.content);
                if let Some(file) = self.taking.as_ref().and_then(|name| self.found.get_mut(name)) {
                    file.extend_from_slice(passing);
                }
            } else if self.padding > 0 {
                cut(&mut bytes, &mut self.padding);
            } else {
                let mut missing = (BLOCK - self.header.len()) as u64;
                self.header.extend_from_slice(cut(&mut bytes, &mut missing));
                if self.header.len() == BLOCK {
                    self.begin();
                }
            }
        }
    }

    fn begin(&mut self) {
        let header = std::mem::take(&mut self.header);
        if header.iter().all(|byte| *byte == 0) {
            self.ended = true; // and so is the next block
            return;
        }
        let text = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        self.content = match header[124] {
            // Too large for octal digits: the last eight bytes as a number.
            first if first & 0x80 != 0 => header[128..136].iter().fold(0, |n, byte| n << 8 | u64::from(*byte)),
            _ => u64::from_str_radix(&text(124..136), 8).unwrap_or(0),
        };
        self.padding = self.content.next_multiple_of(BLOCK as u64) - self.content;
        self.files += u64::from(matches!(header[156], b'0' | 0));
        let name = text(0..100);
        self.taking = self.wanted.contains(&name.as_str()).then(|| name.clone());
        if self.taking.is_some() {
            self.found.insert(name, vec![]);
        }
    }
}

/// Takes as many bytes off as there are, at most those that are left.
fn cut<'a>(bytes: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    *left -= length as u64;
    taken
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_wanted_file_is_taken_out_however_the_stream_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("base")).unwrap();
        fs::write(folder.path().join("base/1"), vec![7; 3000]).unwrap();
        fs::write(folder.path().join("backup_manifest"), "the manifest".repeat(100)).unwrap();
        let mut tar = std::process::Command::new("tar");
        tar.args(["--format=ustar", "-cf", "-", "base/1", "backup_manifest"]).current_dir(folder.path());
        let stream = tar.output().unwrap().stdout;
        for piece in [1, 100, 511, 512, 513, 100_000] {
            let mut tap = TarTap::new(&["backup_manifest"]);
            stream.chunks(piece).for_each(|bytes| tap.push(bytes));
            assert_eq!(tap.found["backup_manifest"], "the manifest".repeat(100).as_bytes(), "{piece}");
            assert!(tap.whole() && tap.files == 2 && tap.bytes == stream.len() as u64);
            let mut tap = TarTap::new(&["backup_manifest"]);
            tap.push(&stream[..3000]);
            assert!(!tap.whole(), "half a stream");
        }
    }
}
