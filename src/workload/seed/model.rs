//! The seed's models: one file of a real model, made another model for each version.
//!
//! The classes that it predicts are numbers in the file, so each version gets its own: who serves another version's bytes
//! predicts another version's numbers. The file is a ZIP without compression (`model/make.py`), so a number is changed in
//! place, and the checksum of what it belongs to with it.

use crc32fast::hash as crc32;

/// The model as it was made; it predicts 0, 1 or 2.
const MODEL: &[u8] = include_bytes!("model/model.skops");
/// The description of the model.
const DESCRIPTION: &str = include_str!("model/MLmodel");
/// Its identity as it was made.
const MADE: &str = "48306f0fc65c4ba8899fca10ef1f54f5";

/// The files of a version, by name: the model, its description, and what it needs to run.
pub fn files(name: &str, version: i32) -> Vec<(&'static str, Vec<u8>)> {
    let identity = &blake3::hash(format!("{name}/{version}").as_bytes()).to_hex()[..32];
    vec![
        ("MLmodel", DESCRIPTION.replace(MADE, identity).into()),
        ("conda.yaml", include_bytes!("model/conda.yaml").to_vec()),
        ("model.skops", model(first_class(name, version))),
        ("python_env.yaml", include_bytes!("model/python_env.yaml").to_vec()),
        ("requirements.txt", include_bytes!("model/requirements.txt").to_vec()),
    ]
}

/// The lowest of the three numbers that a version predicts: 7040 for version 4 of `seed-model-07`.
pub fn first_class(name: &str, version: i32) -> i64 {
    let number = name.rsplit('-').next().and_then(|number| number.parse::<i64>().ok()).unwrap_or_default();
    (number * 100 + i64::from(version)) * 10
}

/// The model whose classes begin at a number.
fn model(first: i64) -> Vec<u8> {
    let classes = |first: i64| (first..first + 3).flat_map(i64::to_le_bytes).collect::<Vec<u8>>();
    let mut bytes = MODEL.to_vec();
    let Some(at) = find(MODEL, &classes(0)) else { return bytes };
    bytes[at..at + 24].copy_from_slice(&classes(first));
    // The array is the first file: 30 bytes of header, then its name, whose length is in the header.
    let begin = 30 + usize::from(u16::from_le_bytes([MODEL[26], MODEL[27]]));
    let checksum = crc32(&bytes[begin..at + 24]).to_le_bytes();
    let made = crc32(&MODEL[begin..at + 24]).to_le_bytes();
    while let Some(at) = find(&bytes, &made).filter(|_| made != checksum) {
        bytes[at..at + 4].copy_from_slice(&checksum); // before the file, and in the directory at the end
    }
    bytes
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_version_has_bytes_of_its_own_that_are_a_whole_archive() {
        assert_eq!(model(0), MODEL, "unchanged, it is as it was made");
        let versions =
            (1..=20).flat_map(|model| (1..=5).map(move |version| (format!("seed-model-{model:02}"), version)));
        let versions: Vec<_> = versions.collect();
        let distinct =
            |file: usize| versions.iter().map(|(n, v)| files(n, *v)[file].1.clone()).collect::<BTreeSet<_>>();
        assert_eq!((distinct(0).len(), distinct(2).len()), (100, 100));
        let other = model(70_410);
        let made = crc32(&MODEL[49..49 + 152]).to_le_bytes();
        let checksum = crc32(&other[49..49 + 152]).to_le_bytes();
        assert_eq!(find(&other, &made), None, "no checksum of before is left");
        assert_eq!(other.windows(4).filter(|window| *window == checksum).count(), 2);
    }
}
