//! A file of YAML as text: whatever cannot be such a file is refused here, with what to do about it.
//!
//! Apart because what is wrong before the first character is read has nothing to do with YAML.

use super::problem::Problem;
use super::{Position, nearest};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// More than any drill, scenario or manifest has.
const MOST: u64 = 4 << 20;

/// The text of a file.
///
/// # Errors
/// When it cannot be read or is no text.
pub fn text(path: &Path) -> Result<String, Problem> {
    if path.is_dir() {
        let problem = Problem::whole("cannot be read: it is a folder");
        return Err(problem.hint(format!("name a file in it; `lifeboat check {}` checks all of them", path.display())));
    }
    let mut bytes = vec![];
    let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(path, &error))?;
    decoded(bytes)
}

/// The text of bytes that were read, without a byte order mark.
///
/// # Errors
/// When they are no text, or too many.
pub fn decoded(mut bytes: Vec<u8>) -> Result<String, Problem> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST) {
        let problem = Problem::whole(format!("is larger than {} MB", MOST >> 20));
        return Err(problem.hint("no drill or scenario is: is it the right file?"));
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(Problem::whole("is text in UTF-16").at(FIRST).hint("save it as UTF-8"));
    }
    if bytes.contains(&0) {
        let problem = Problem::whole("is not a text file").at(FIRST);
        return Err(problem.hint("YAML is text: is it the right file?"));
    }
    if bytes.starts_with(&[0xEF, 0xBB, 0xBF]) {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
        let last = before.rsplit('\n').next().unwrap_or_default();
        let (line, column) = (before.matches('\n').count() + 1, last.chars().count() + 1);
        let position = Position { line: line as u64, column: column as u64, id: 0 };
        Problem::whole("here is a character that is not UTF-8").at(position).hint("save the file as UTF-8")
    })
}

const FIRST: Position = Position { line: 1, column: 1, id: 0 };

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound => {
            let problem = Problem::whole("cannot be read: there is no such file");
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let known = beside(path);
            problem.hint(match nearest(&stem, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}.yaml`?"),
                None => "is the path right?".into(),
            })
        }
        io::ErrorKind::PermissionDenied => {
            Problem::whole("cannot be read: you may not").hint("see who owns it with `ls -l`")
        }
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
            Problem::whole(format!("cannot be read: {text}")).hint("is it a file?")
        }
    }
}

/// The names of the YAML files in a file's folder.
pub fn beside(path: &Path) -> Vec<String> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .filter_map(|p| p.file_stem().map(|s| s.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text_and_a_foreign_character_is_told_at_its_place() {
        assert_eq!(decoded(b"\xEF\xBB\xBFdrill: x".to_vec()).unwrap(), "drill: x");
        let problem = decoded(b"drill: x\nabout: caf\xE9\n".to_vec()).unwrap_err();
        let at = problem.position.unwrap();
        assert_eq!((at.line, at.column), (2, 11), "{problem}");
    }
}
