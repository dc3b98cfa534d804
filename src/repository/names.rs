//! Names of a point's files as paths of a tree: odd ones made safe, and the order in which they must come.
//!
//! Apart because S3 allows keys that no tree can hold: empty parts, `.` and `..`, control characters, a key that is
//! another's folder. Each name has one path and each path one name, so the true key is never lost.

use std::cmp::Ordering;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A part of a name that is empty, and what is put behind a file's path that is another's folder. A percent sign of a
/// name is always followed by two digits.
const MARK: char = '%';

/// The order in which files must be put: by the parts of their paths, which is not S3's order (`a-b`, `a.c`, `a/x`).
/// Unsorted, an unchanged file is not found in the point before and read again.
pub fn order(one: &str, other: &str) -> Ordering {
    one.split('/').map(part).cmp(other.split('/').map(part))
}

/// The path of a name, from the root.
pub(super) fn path(name: &str) -> PathBuf {
    let mut path = PathBuf::from("/");
    path.extend(name.split('/').map(part));
    path
}

/// The path of a file whose own path is a folder of others: it stands behind the folder.
pub(super) fn beside_folder(path: &Path) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(MARK.to_string());
    text.into()
}

/// The name of a path, with or without the root.
pub(super) fn name(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = text.trim_start_matches('/');
    let text = if text == "%" || text.ends_with("/%") { text } else { text.strip_suffix(MARK).unwrap_or(text) };
    text.split('/').map(true_part).collect::<Vec<_>>().join("/")
}

fn part(part: &str) -> String {
    match part {
        "" => return MARK.into(),
        "." => return "%2E".into(),
        ".." => return "%2E%2E".into(),
        _ => {}
    }
    let mut safe = String::with_capacity(part.len());
    for c in part.chars() {
        // Besides control characters those that restic and rustic write with escapes.
        match u8::try_from(c) {
            Ok(byte) if c.is_ascii_control() || matches!(c, '%' | '\\' | '"') => {
                let _ = write!(safe, "%{byte:02X}");
            }
            _ => safe.push(c),
        }
    }
    safe
}

fn true_part(part: &str) -> String {
    if part == "%" {
        return String::new();
    }
    let (mut name, mut rest) = (String::with_capacity(part.len()), part);
    while let Some((before, behind)) = rest.split_once(MARK) {
        name.push_str(before);
        let byte = behind.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(u8::is_ascii) {
            Some(byte) => {
                name.push(char::from(byte));
                rest = &behind[2..];
            }
            None => {
                name.push(MARK);
                rest = behind;
            }
        }
    }
    name.push_str(rest);
    name
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    #[test]
    fn odd_names_have_safe_paths() {
        let safe = |text: &str| path(text).to_string_lossy().into_owned();
        assert_eq!(safe("1/model/a b.txt"), "/1/model/a b.txt");
        assert_eq!(safe("a//b/../."), "/a/%/b/%2E%2E/%2E");
        assert_eq!(safe("50%\n\"x\\"), "/50%25%0A%22x%5C");
        assert_eq!(safe("a/"), "/a/%");
        assert_eq!(name(&beside_folder(&path("a"))), "a");
    }

    #[test]
    fn the_order_is_that_of_paths_and_not_of_keys() {
        let mut names = vec!["a-b", "a.c", "a/x", "a"];
        names.sort_by(|a, b| order(a, b));
        assert_eq!(names, ["a", "a/x", "a-b", "a.c"]);
    }

    proptest! {
        #[test]
        fn every_name_comes_back_from_its_path(text in "([a./%\\\\\"\u{0}\n é2E]{0,3}/?){0,4}") {
            let there = path(&text);
            prop_assert_eq!(name(&there), text.clone());
            prop_assert_eq!(name(&beside_folder(&there)), text.clone());
            let normal = |c: &Component| matches!(c, Component::Normal(_) | Component::RootDir);
            prop_assert!(there.components().all(|c| normal(&c)));
            prop_assert_eq!(there.components().count(), text.split('/').count() + 1);
        }

        #[test]
        fn two_names_have_two_paths_in_the_same_order(one in "[a./%-]{0,5}", other in "[a./%-]{0,5}") {
            prop_assert_eq!(order(&one, &other), path(&one).cmp(&path(&other)));
            prop_assert_eq!(one == other, path(&one) == path(&other));
            prop_assert!(path(&one) != beside_folder(&path(&other)) || one != other);
        }
    }
}
