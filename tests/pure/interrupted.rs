//! What may happen to the program from outside while a drill goes on: signals, closed and silent terminals, full disks,
//! what commands leave behind. In the simulated environment; each ends with the report, or says why not.

use crate::binary::{Home, Live, nobody, root, stderr};
use crate::skips::lacking;
use lifeboat::client::process;
use lifeboat::model::{Fact, Line};
use lifeboat::store;
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A drill of some seconds: `recovery` is its runbook, `more` stands in its environment.
fn home_with(recovery: &str, more: &str) -> Home {
    let home = Home::new(None);
    let scenario = format!("scenario: s\nfaults: [ {{ kill: {{ component: mlflow }} }} ]\nrecovery: {recovery}\n");
    let drill = format!(
        "drill: s\nscenario: s\nenvironment: {{ simulated: {{ components: [mlflow], start: 300ms{more} }} }}\n\
         probes: [ {{ running: {{ component: mlflow, every: 100ms }} }} ]\nstable: 1s\n\
         objectives: {{ rto: 10s }}\nlimits: {{ baseline: 1s, recovery: 20s, drill: 1m }}\n"
    );
    fs::write(home.path().join("scenarios/s.yaml"), scenario).unwrap();
    fs::write(home.path().join("drills/s.yaml"), drill).unwrap();
    home
}

fn home() -> Home {
    home_with("[ start: { component: mlflow } ]", "")
}

const LONG: &str = "[ command: 'sleep 15', start: { component: mlflow } ]";
/// Leaves a process running that holds the tear-down up for some seconds.
const STUBBORN: &str = "setsid sh -c 'trap : TERM; sleep 60 & wait; sleep 60' >/dev/null 2>&1 &";
const DRILL: [&str; 2] = ["run", "drills/s.yaml"];

fn run_folder(home: &Home) -> PathBuf {
    home.path().join("reports/s/latest").canonicalize().unwrap()
}

fn facts(home: &Home) -> Vec<Fact> {
    store::read_timeline(&run_folder(home)).unwrap().into_iter().map(|Line { fact, .. }| fact).collect()
}

fn report(home: &Home) -> String {
    fs::read_to_string(run_folder(home).join("report.md")).unwrap()
}

/// Runs a shell script where the program is.
fn script(home: &Home, script: &str) -> Output {
    home.dressed(Command::new("sh"), &["-c", script]).output().unwrap()
}

#[test]
fn each_signal_that_asks_to_end_stops_the_run_and_undoes_it() {
    for signal in [Signal::HUP, Signal::TERM, Signal::INT] {
        let home = home_with(LONG, "");
        // Under `nohup` this test has SIGHUP ignored, and so would the program.
        let run = ["--default-signal=HUP", "./lifeboat", "run", "drills/s.yaml"];
        let mut live = Live::start(&mut home.dressed(Command::new("env"), &run));
        live.until_it_says("step command");
        live.signal(signal);
        let (code, said) = live.end();
        assert_eq!(code, Some(130), "{signal:?}: {said}");
        assert!(said.contains("interrupted: undoing") && said.contains("all that was created is removed"), "{said}");
        assert!(report(&home).contains("interrupted"));
    }
}

#[test]
fn a_signal_that_comes_twice_within_a_moment_is_one_request() {
    let home = home_with(LONG, "");
    // `timeout` sends its signal to the program and then to its group, which is the program's too.
    let output = script(&home, "timeout 4 ./lifeboat run drills/s.yaml");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(124), "{said}");
    assert!(said.contains("interrupted: undoing") && said.contains("all that was created is removed"), "{said}");
    assert!(!said.contains("left behind"), "{said}");
    let home = home_with(&format!("[ command: {:?} ]", format!("{STUBBORN} sleep 15")), "");
    let mut live = Live::start(&mut home.command(&DRILL));
    live.until_it_says("step command");
    std::thread::sleep(Duration::from_millis(300)); // so that it has left something running
    live.signal(Signal::TERM);
    live.until_it_says("interrupted");
    live.signal(Signal::HUP);
    let (code, said) = live.end();
    assert!(code == Some(130) && !said.contains("left behind"), "{said}");
}

#[test]
fn a_hangup_that_is_ignored_from_the_start_does_not_stop_the_run() {
    let home = home();
    let mut live =
        Live::start(&mut home.dressed(Command::new("sh"), &["-c", "trap '' HUP; exec ./lifeboat run drills/s.yaml"]));
    live.until_it_says("phase baseline");
    live.signal(Signal::HUP);
    let (code, said) = live.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_first_interrupt_of_an_ordinary_tear_down_lets_it_go_on() {
    let home = home_with(&format!("[ start: {{ component: mlflow }}, command: {STUBBORN:?} ]"), "");
    let mut live = Live::start(&mut home.command(&DRILL));
    live.until_it_says("phase teardown");
    live.signal(Signal::INT);
    let (code, said) = live.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted: undoing") && !said.contains("left behind"), "{said}");
    let judged = home.lifeboat(&["report", "s", "--format", "json"]);
    let judged: serde_json::Value = serde_json::from_slice(&judged.stdout).unwrap();
    assert_eq!(judged["verdict"], "met", "the drill had come to its end");
}

#[test]
fn a_second_interrupt_names_what_is_left_and_no_act_that_is_over() {
    let steps = "stop: { component: mlflow }, start: { component: mlflow }";
    let home = home_with(&format!("[ {steps}, command: {STUBBORN:?} ]"), "");
    let mut live = Live::start(&mut home.command(&DRILL));
    live.until_it_says("phase teardown");
    live.signal(Signal::INT);
    live.until_it_says("interrupted");
    std::thread::sleep(Duration::from_millis(1500)); // or it would be one request
    live.signal(Signal::INT);
    let (code, said) = live.end();
    assert_eq!(code, Some(6), "{said}");
    let left: Vec<_> = facts(&home)
        .into_iter()
        .filter_map(|fact| if let Fact::Left(left) = fact { Some(left) } else { None })
        .collect();
    assert!(!left.is_empty(), "{said}");
    for thing in &left {
        assert!(
            thing.starts_with("process ") && thing.ends_with("not known to be gone at the second interrupt"),
            "{left:?}"
        );
    }
    let cleaned = home.lifeboat(&["cleanup"]);
    assert_eq!(cleaned.status.code(), Some(0), "{}", stderr(&cleaned));
}

#[test]
fn a_reader_who_goes_away_ends_the_talk_and_not_the_run() {
    let home = home();
    let output = script(&home, "(./lifeboat run -v drills/s.yaml; echo $? >code) 2>&1 | head -3");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    assert_eq!(fs::read_to_string(home.path().join("code")).unwrap(), "0\n");
    assert!(report(&home).contains("met"));
    let closed = script(&home, "./lifeboat run drills/s.yaml 2>&- >&-; echo $?");
    assert_eq!(String::from_utf8_lossy(&closed.stdout), "0\n", "closed from the start");
}

#[test]
fn a_reader_who_never_reads_does_not_hold_the_run_up() {
    let home = home();
    let (reader, mut writer) = std::io::pipe().unwrap();
    // Full, so that not even the first line goes in.
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let mut child = home.command(&DRILL).stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_mins(2);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(std::time::Instant::now() < deadline, "it hangs: {:?}", child.kill());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(0));
    assert!(facts(&home).contains(&Fact::Ended));
    drop(reader);
}

#[test]
fn data_that_cannot_be_written_is_an_error_and_a_closed_pipe_is_none() {
    let home = home();
    assert_eq!(home.lifeboat(&DRILL).status.code(), Some(0));
    for command in
        ["run --json drills/s.yaml", "report s --format json", "runs", "kinds", "plan drills/s.yaml", "--help"]
    {
        let output = script(&home, &format!("./lifeboat {command} >/dev/full"));
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(5), "{command}: {said}");
        assert!(said.contains("error: cannot write to standard output: No space left"), "{command}: {said}");
        let output = script(&home, &format!("(./lifeboat {command}; echo $? >code) | true"));
        assert_eq!(fs::read_to_string(home.path().join("code")).unwrap(), "0\n", "{command}: {}", stderr(&output));
    }
}

#[test]
fn a_full_disk_stops_the_run_at_once_and_leaves_a_timeline_that_can_be_continued() {
    let home = home_with(LONG, "");
    let mount = "mount -t tmpfs -o size=1m none reports";
    let flags = if root() { "-m" } else { "-rm" };
    let world = |script: &str| home.dressed(Command::new("unshare"), &[flags, "sh", "-c", script]).output();
    if !world(mount).is_ok_and(|output| output.status.success()) {
        lacking("a full disk: a small one cannot be mounted here");
        return;
    }
    let script = format!(
        "{mount}; ./lifeboat run drills/s.yaml 2>said & until grep -q 'step command' said; do sleep 0.1; done; \
         dd if=/dev/zero of=reports/full bs=4k 2>/dev/null; date +%s >full; wait $!; echo $?; date +%s; cat full said; \
         rm reports/full; ./lifeboat report s; echo report $?; ./lifeboat cleanup; echo cleanup $?; \
         ./lifeboat cleanup; grep -c . reports/s/latest/timeline.jsonl"
    );
    let output = world(&script).unwrap();
    let all = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
    let mut lines = all.lines();
    assert_eq!(lines.next(), Some("5"), "{all}");
    let seconds = |line: Option<&str>| line.and_then(|line| line.parse::<u64>().ok()).unwrap();
    let (ended, full) = (seconds(lines.next()), seconds(lines.next()));
    assert!(ended - full < 10, "it went on for {} s:\n{all}", ended - full);
    for part in ["cannot write the timeline", "No space left", "is the disk of the reports folder full?", "cleanup 0"] {
        assert!(all.contains(part), "`{part}` is not in:\n{all}");
    }
    assert!(all.contains("report 4"), "the run was stopped, and is unknown:\n{all}");
    assert!(all.contains("all is gone") || all.contains("nothing to clean up"), "{all}");
}

#[test]
fn a_process_that_a_command_left_behind_is_ended_and_said() {
    let home = home_with("[ start: { component: mlflow }, command: 'setsid sleep 3071 >/dev/null 2>&1 &' ]", "");
    let output = home.lifeboat(&DRILL);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("(`sleep 3071`) was left running by a command: it is ended"), "{said}");
}

#[test]
fn cleanup_ends_the_command_of_a_killed_run() {
    let home = home_with("[ command: 'setsid sleep 3072 & sleep 3073' ]", "");
    let mut live = Live::start(&mut home.command(&DRILL));
    let run = live.run();
    live.until_it_says("step command");
    while process::commands_of(&run).len() < 3 {
        std::thread::sleep(Duration::from_millis(20));
    }
    live.signal(Signal::KILL);
    assert_eq!(live.end().0, None);
    assert_eq!(process::commands_of(&run).len(), 3, "they live on");
    let output = home.lifeboat(&["cleanup"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("ending process") && said.contains("(`sleep 3073`)") && said.contains("all is gone"),
        "{said}"
    );
    assert!(process::commands_of(&run).is_empty());
}

#[test]
fn what_a_failing_command_says_is_masked_and_without_escape_sequences_everywhere() {
    let says = "printf \"\\033[31mpw=$MY_PASSWORD\\033[0m postgresql://me:pa55@h/\\n\"; exit 3";
    let home = home_with(&format!("\n- start: {{ component: mlflow }}\n- command: |\n    {says}"), "")
        .with("MY_PASSWORD", "hunter2hunter2");
    let output = home.lifeboat(&DRILL);
    let folder = run_folder(&home);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let files = ["report.md", "report.json", "timeline.jsonl", "logs/command.log"].map(read);
    let console = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
    for text in files.iter().chain([&console]) {
        assert!(text.contains("pw=*** postgresql://me:***@h/"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("pa55") && !text.contains('\u{1b}'), "{text}");
        assert!(!text.contains("u001b"), "{text}");
    }
    let modes = ["", "logs", "timeline.jsonl", "plan.yaml", "report.md", "logs/command.log"]
        .map(|name| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777);
    assert_eq!(modes, [0o700, 0o700, 0o600, 0o600, 0o600, 0o600]);
}

#[test]
fn an_endless_output_leaves_a_log_of_a_bounded_size() {
    let home = home_with(
        "[ start: { component: mlflow }, command: 'yes a line | head -c 300000000; echo; echo the end; exit 4' ]",
        "",
    );
    let output = home.lifeboat(&DRILL);
    let log = fs::read(run_folder(&home).join("logs/command.log")).unwrap();
    assert!(log.len() < 2_000_000, "{}", log.len());
    assert!(String::from_utf8_lossy(&log).contains("bytes of output are left out here]"));
    assert!(stderr(&output).contains("exit status: 4: the end"), "{}", stderr(&output));
}

#[test]
fn a_time_for_each_undo_that_is_none_is_refused() {
    let output = home().lifeboat(&["cleanup", "--within", "soon"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("soon"), "{}", stderr(&output));
}

#[test]
fn without_a_home_a_folder_that_others_planted_is_refused() {
    let user = nobody(); // root's folders are not in a home
    if root() && user.is_none() {
        return lacking("a user without a home: there is no `nobody`");
    }
    let home = Home::new(user);
    let temp = home.path().join("tmp");
    fs::create_dir(&temp).unwrap();
    fs::set_permissions(&temp, fs::Permissions::from_mode(0o1777)).unwrap();
    let script = "unset HOME LIFEBOAT_STATE LIFEBOAT_CACHE XDG_CACHE_HOME XDG_STATE_HOME; export TMPDIR=$PWD/tmp; \
        ./lifeboat plan drills/tiny.yaml >/dev/null; echo $?; stat -c %a tmp/lifeboat-$(id -u); \
        chmod 755 tmp/lifeboat-$(id -u); ./lifeboat plan drills/tiny.yaml; echo $?";
    let output = home.dressed(Command::new("sh"), &["-c", script]).output().unwrap();
    let (out, said) = (String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output));
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[1] == "700" && lines[2] == "5", "{out}{said}");
    assert!(
        said.contains("is not a folder that only this user may enter") && said.contains("LIFEBOAT_STATE"),
        "{said}"
    );
}
