//! What people see while a run goes on: data on standard output, talk on standard error.
//!
//! With a terminal a live line stands below the talk; without one there is only the talk, a line for each thing
//! worth saying. Which facts are worth saying is decided here and nowhere else.

use crate::clock::Stopwatch;
use crate::model::{Answer, Depth, Fact, Line, Phase, Terms};
use crate::run::Observer;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use parking_lot::Mutex;
use std::fmt::Write;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

/// Prints data, with a line's end; a reader who has gone away is no error.
pub(super) fn out(data: impl AsRef<[u8]>) {
    let data = data.as_ref();
    let mut stdout = std::io::stdout().lock();
    let end: &[u8] = if data.ends_with(b"\n") { b"" } else { b"\n" };
    let _ = stdout.write_all(data).and_then(|()| stdout.write_all(end)).and_then(|()| stdout.flush());
}

/// How wide a table may be: what the shell says, else what fits nearly everywhere.
pub(super) fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|n| *n >= 40).unwrap_or(100)
}

/// Watches a run for people.
pub(super) struct Console {
    live: Option<ProgressBar>,
    seen: Mutex<LiveLine>,
}

/// What the live line says.
#[derive(Default)]
struct LiveLine {
    phase: Option<Phase>,
    acknowledged: u64,
    answers: Vec<(Depth, Option<bool>)>,
}

impl Console {
    /// For a run with these terms; live if standard error is a terminal.
    pub(super) fn new(terms: &Terms) -> Self {
        let live = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            // The bar begins with the run, and its clock goes on while nothing happens.
            let style = ProgressStyle::with_template("{spinner} {clock} {wide_msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let stopwatch = Stopwatch::start();
            bar.set_style(style.with_key("clock", move |_: &ProgressState, line: &mut dyn Write| {
                let _ = write!(line, "{:7.1} s", stopwatch.seconds()); // writing to a text cannot fail
            }));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let answers = terms.probes.iter().map(|watch| (watch.depth, None)).collect();
        Self { live, seen: Mutex::new(LiveLine { answers, ..LiveLine::default() }) }
    }

    /// Without a live line.
    pub(super) fn plain() -> Self {
        Self { live: None, seen: Mutex::default() }
    }

    /// Takes the live line away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        match &self.live {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }
}

impl Observer for Console {
    fn line(&self, line: &Line) {
        let shown = {
            let mut seen = self.seen.lock();
            seen.take(line);
            self.live.as_ref().map(|bar| (bar, seen.show()))
        };
        if let Some(text) = told(&line.fact) {
            self.say(&format!("{:8.2} s  {text}", line.at.seconds()));
        }
        if let Some((bar, text)) = shown {
            bar.set_message(text);
        }
    }

    fn progress(&self, text: &str) {
        self.say(&format!("            {text}"));
    }
}

impl LiveLine {
    fn take(&mut self, line: &Line) {
        match &line.fact {
            Fact::Phase(phase) => self.phase = Some(*phase),
            Fact::Acknowledged { .. } => self.acknowledged += 1,
            Fact::Answered(answered) => {
                if let Some((_, last)) = self.answers.get_mut(answered.probe) {
                    match answered.answer {
                        Answer::Served => *last = Some(true),
                        Answer::Failed(_) => *last = Some(false),
                        Answer::Unasked => *last = None,
                    }
                }
            }
            _ => {}
        }
    }

    fn show(&self) -> String {
        let phase = self.phase.map(|phase| phase.to_string()).unwrap_or_default();
        let mut text = format!("{phase:<9}");
        for (depth, last) in &self.answers {
            let sign = last.map_or('·', |good| if good { '✓' } else { '✗' });
            let _ = write!(text, " {depth} {sign}"); // writing to a text cannot fail
        }
        let _ = write!(text, "  {} writes acknowledged", self.acknowledged);
        text
    }
}

/// A fact in words, if people want to hear of it.
fn told(fact: &Fact) -> Option<String> {
    let why = |reason: &Option<String>| reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    Some(match fact {
        Fact::Began { run, .. } => format!("run {run}"),
        Fact::Phase(phase) => format!("phase {phase}"),
        Fact::Intended { kind, .. } => format!("fault {kind}"),
        Fact::Injected { error: Some(error), .. } => format!("fault not injected: {error}"),
        Fact::Confirmed { finding, .. } => format!("fault's effect: {}{}", finding.verdict, why(&finding.reason)),
        Fact::Lifted { error: None, .. } => "fault lifted".into(),
        Fact::Lifted { error: Some(error), .. } => format!("fault not lifted: {error}"),
        Fact::StepBegan { id, .. } => format!("step {id}"),
        Fact::StepEnded { id, finding } => format!("step {id}: {}{}", finding.verdict, why(&finding.reason)),
        Fact::StepSkipped { id, reason, .. } => format!("step {id} skipped: {reason}"),
        Fact::BackupEnded { number, error: Some(error), .. } => format!("backup {number} failed: {error}"),
        Fact::BackupEnded { number, point: Some(_), .. } => format!("backup {number} is complete"),
        Fact::Stalled { from, to } => format!("Lifeboat itself stood still for {:.2} s", to.since(*from)),
        Fact::Checked { check, finding } => format!("check {check}: {}{}", finding.verdict, why(&finding.reason)),
        Fact::Decided { what, verdict, reason } => format!("{what}: {verdict}{}", why(reason)),
        Fact::Interrupted => "interrupted: undoing; once more to leave at once".into(),
        Fact::Left(thing) => format!("left behind: {thing}"),
        Fact::Removed => "all that was created is removed".into(),
        Fact::Note(text) => text.clone(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Moment, wall};
    use crate::model::{Answered, Finding};

    #[test]
    fn a_failed_step_is_told_with_its_reason_and_an_answer_is_not_told() {
        let fact = Fact::StepEnded { id: "restore-postgres".into(), finding: Finding::missed("no point") };
        assert_eq!(told(&fact).as_deref(), Some("step restore-postgres: missed: no point"));
        let at = Moment(0);
        let answer = Fact::Answered(Answered { probe: 0, due: at, asked: at, ended: at, answer: Answer::Served });
        assert_eq!(told(&answer), None);
    }

    #[test]
    fn the_live_line_shows_the_last_answer_of_each_depth() {
        let mut seen = LiveLine { answers: vec![(Depth::Health, None), (Depth::Read, None)], ..LiveLine::default() };
        let at = Moment::at(12.3);
        let answer = Answered { probe: 1, due: at, asked: at, ended: at, answer: Answer::Failed("500".into()) };
        for fact in [Fact::Phase(Phase::Recovery), Fact::Answered(answer), Fact::Acknowledged { mark: 1, at: None }] {
            seen.take(&Line { schema: 1, number: 0, at, wall: wall(), before: String::new(), fact });
        }
        assert_eq!(seen.show(), "recovery  health · read ✗  1 writes acknowledged");
    }
}
