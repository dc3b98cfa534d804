//! What a user sees: the real program in a pseudo-terminal of 80 and of 200 columns, its screens held as goldens.
//!
//! `LIFEBOAT_GOLDENS=write cargo test --test pure screens` renews them; look at what changed before it is committed.
#![allow(clippy::unwrap_used, missing_docs)]

use lifeboat::measure::measure;
use lifeboat::model::report::{Measurement, Report};
use lifeboat::model::{Depth, Verdict};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use tempfile::TempDir;

const WIDTHS: [u16; 2] = [80, 200];
/// Higher than all that is shown, so that nothing scrolls away.
const ROWS: u16 = 400;

/// What the program wrote to a terminal, in the order written, and how it ended.
struct Shown {
    bytes: Vec<u8>,
    status: ExitStatus,
}

/// Runs the program in a terminal of this width.
fn terminal(columns: u16, args: &[&str], folder: &Path, variables: &[(&str, &str)]) -> Shown {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, vec![]).unwrap().into_string().unwrap();
    let theirs = File::options().read(true).write(true).open(name).unwrap();
    tcsetwinsize(&theirs, Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    for name in ["COLUMNS", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "LIFEBOAT_REPORTS", "LIFEBOAT_ENVIRONMENT"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm-256color").envs(variables.iter().copied()).args(args).current_dir(folder);
    command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
    let mut child = command.spawn().unwrap();
    drop(command); // it holds the terminal open
    let (mut bytes, mut part, mut ours) = (vec![], [0; 4096], File::from(ours));
    while let Ok(n @ 1..) = ours.read(&mut part) {
        bytes.extend_from_slice(&part[..n]); // at the end a terminal answers with an error
    }
    Shown { bytes, status: child.wait().unwrap() }
}

/// The screen after these bytes, without colours; no line may have wrapped.
#[track_caller]
fn screen(bytes: &[u8], columns: u16) -> String {
    let (text, wrapped) = drawn(bytes, columns);
    assert!(wrapped.is_empty(), "the rows {wrapped:?} are wider than {columns}:\n{text}");
    assert!(text.lines().all(|line| line.trim_end() == line), "blanks at a line's end:\n{text}");
    text
}

/// The screen after these bytes, and the rows that go on in the next one.
fn drawn(bytes: &[u8], columns: u16) -> (String, Vec<u16>) {
    let mut parser = vt100::Parser::new(ROWS.try_into().unwrap(), columns.try_into().unwrap(), 0);
    parser.process(bytes);
    let screen = parser.screen();
    (screen.contents(), (0..ROWS).filter(|row| screen.row_wrapped(*row)).collect())
}

/// Compares a screen with its golden, or writes it.
#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens").join(name);
    let text = format!("{}\n", text.trim_end());
    if std::env::var("LIFEBOAT_GOLDENS").is_ok_and(|how| how == "write") {
        fs::write(path, text).unwrap();
        return;
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert!(known == text, "`{name}` is another; LIFEBOAT_GOLDENS=write renews it:\n{text}\nit was:\n{known}");
}

/// Holds what a command shows at both widths.
#[track_caller]
fn hold(name: &str, args: &[&str], folder: &Path, code: i32) {
    for columns in WIDTHS {
        let shown = terminal(columns, args, folder, &[]);
        assert_eq!(shown.status.code(), Some(code), "{}", String::from_utf8_lossy(&shown.bytes));
        golden(&format!("{name}-{columns}.txt"), &screen(&shown.bytes, columns));
    }
}

/// As [`hold`], for what has lines of its own that a terminal may wrap.
#[track_caller]
fn hold_lines(name: &str, args: &[&str], folder: &Path, code: i32) {
    for columns in WIDTHS {
        let shown = terminal(columns, args, folder, &[]);
        assert_eq!(shown.status.code(), Some(code), "{}", String::from_utf8_lossy(&shown.bytes));
        golden(&format!("{name}-{columns}.txt"), &drawn(&shown.bytes, columns).0);
    }
}

fn source() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_help_fits() {
    hold("help", &["--help"], &source(), 0);
    hold("help-run", &["run", "--help"], &source(), 0);
}

#[test]
fn the_kinds_fit() {
    hold("kinds", &["kinds"], &source(), 0);
    hold("kinds-kill", &["kinds", "kill"], &source(), 0);
    // An example is to be copied, so that a terminal may wrap it.
    hold_lines("kinds-kubernetes", &["kinds", "kubernetes"], &source(), 0);
}

#[test]
fn the_plan_fits() {
    hold("plan", &["plan", "first"], &source(), 0);
}

#[test]
fn a_wrong_word_gets_a_pointer() {
    hold("pointer", &["run", "--dry-run", "first"], &source(), 2);
}

/// Ten drills, each with something else that is wrong.
fn wrong_files() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let first = |kind: &str| fs::read_to_string(source().join(kind).join("first.yaml")).unwrap();
    for kind in ["drills", "scenarios"] {
        fs::create_dir(folder.path().join(kind)).unwrap();
    }
    fs::write(folder.path().join("scenarios/first.yaml"), first("scenarios")).unwrap();
    let changes = [
        ("drill: first", "drill: First Drill"),
        ("scenario: first", "scenario: frist"),
        ("simulated:", "simulatd:"),
        ("start: 2s", "start: 2"),
        ("every: 100ms", "every: often"),
        ("running:", "runing:"),
        ("baseline: 3s", "baseline: 0s"),
        ("rto: 20s", "rto: 20 minutes"),
        ("at: health", "at: heart"),
        ("recovery: 30s", "recovry: 30s"),
    ];
    for (n, (from, to)) in changes.iter().enumerate() {
        let text = first("drills");
        assert!(text.contains(from), "{from}");
        fs::write(folder.path().join(format!("drills/wrong-{n}.yaml")), text.replacen(from, to, 1)).unwrap();
    }
    folder
}

#[test]
fn what_is_wrong_with_ten_files_is_told_file_by_file() {
    let folder = wrong_files();
    let files: Vec<_> = (0..10).map(|n| format!("drills/wrong-{n}.yaml")).collect();
    let args: Vec<_> = std::iter::once("check").chain(files.iter().map(String::as_str)).collect();
    // A problem is one line, however long, so that other programs can read where it is: a terminal may wrap it.
    hold_lines("check", &args, folder.path(), 2);
}

/// A folder with four runs: one met, one missed that was not back, one unknown, one that was killed.
fn kept_runs() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let keep = |drill: &str, run: &str, report: Option<Report>| {
        let path = folder.path().join("reports").join(drill).join(run);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("timeline.jsonl"), "").unwrap();
        if let Some(report) = report {
            fs::write(path.join("report.json"), serde_json::to_vec(&report).unwrap()).unwrap();
        }
    };
    let report = |verdict, rta: Measurement, rpa: Option<f64>| {
        let mut report = measure(&[]);
        (report.verdict, report.began) = (verdict, "2026-03-04T05:06:07.123456789Z".into());
        report.measurements.rta.insert(Depth::Read, rta);
        report.measurements.rpa.strict = Measurement { seconds: rpa, ..Measurement::default() };
        Some(report)
    };
    let time = |seconds, low| Measurement { seconds, low, objective: Some(120.0), ..Measurement::default() };
    keep("database-drop", "20260304T050607-0a1b", report(Verdict::Met, time(Some(13.14), Some(13.1)), Some(2.4)));
    keep("database-drop", "20260304T060607-0a1c", report(Verdict::Missed, time(None, Some(303.2)), Some(0.0)));
    let unknown = report(Verdict::Unknown, time(None, None), None);
    keep("namespace-removed", "20260304T070607-0a1d", unknown);
    keep("mlflow-crash", "20260304T080607-0a1e", None);
    folder
}

#[test]
fn the_runs_fit() {
    let folder = kept_runs();
    hold("runs", &["runs"], folder.path(), 0);
    hold("runs-missed", &["runs", "database-drop", "--verdict", "missed"], folder.path(), 0);
}

#[test]
fn colours_are_there_on_a_terminal_and_not_where_they_are_not_wanted() {
    let folder = kept_runs();
    let coloured = |args: &[&str], variables: &[(&str, &str)]| {
        let bytes = terminal(80, args, folder.path(), variables).bytes;
        String::from_utf8(bytes).unwrap().contains("\u{1b}[31mmissed")
    };
    assert!(coloured(&["runs"], &[]));
    assert!(!coloured(&["runs"], &[("NO_COLOR", "1")]));
    assert!(!coloured(&["runs", "--color", "never"], &[]));
    assert!(coloured(&["--color", "always", "runs"], &[("NO_COLOR", "1")]));
}

#[test]
fn a_pipe_gets_no_colours_and_no_blanks_at_line_ends() {
    let folder = kept_runs();
    for args in [&["runs"][..], &["kinds"], &["kinds", "kubernetes"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args).env_remove("COLUMNS").current_dir(folder.path());
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.trim_end() == line), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}

/// A text without what differs from run to run: numbers, and the clock's padding.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            c => masked.push(c),
        }
    }
    masked.replace("#.#", "#").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_first_drill_is_met_and_its_live_line_says_how_long_the_outage_lasts() {
    for columns in WIDTHS {
        let reports = tempfile::tempdir().unwrap();
        let folder = reports.path().display().to_string();
        let shown = terminal(columns, &["run", "first", "--reports", &folder], &source(), &[]);
        let text = screen(&shown.bytes, columns);
        assert_eq!(shown.status.code(), Some(0), "{text}");
        assert!(text.contains("MET first ("), "{text}");
        // The live line stands last on the screen; here it is as it was during the outage.
        let mut parser = vt100::Parser::new(ROWS.try_into().unwrap(), columns.try_into().unwrap(), 0);
        let mut live = None;
        for byte in &shown.bytes {
            parser.process(&[*byte]);
            if *byte == b'\r' || *byte == b'\x1b' {
                let contents = parser.screen().contents();
                let last = contents.lines().last().unwrap_or_default().trim_end().to_owned();
                live = Some(last).filter(|line| line.contains("recovery") && line.contains(" down ")).or(live);
            }
        }
        let live = live.expect("the outage was not shown");
        assert!(live.chars().count() < usize::from(columns), "{live}");
        golden(&format!("live-{columns}.txt"), &masked(live.split_once(' ').unwrap().1));
    }
}
