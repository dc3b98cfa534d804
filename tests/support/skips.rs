//! Tests that are skipped say so in one uniform line, past the capture of tests' output; `make test` counts these lines.

use std::io::Write;

/// As [`skipped`], for what a machine of CI has: `LIFEBOAT_TEST_LOCAL=require` makes the test fail instead.
#[allow(dead_code)] // not in each group
#[track_caller]
pub fn lacking(what: &str) {
    assert!(std::env::var("LIFEBOAT_TEST_LOCAL").as_deref() != Ok("require"), "{what}");
    skipped(what);
}

/// Says what is skipped and why.
#[allow(dead_code)] // not in each group
pub fn skipped(what: &str) {
    let _ = std::io::stderr().write_all(format!("skipped: {what}\n").as_bytes());
}
