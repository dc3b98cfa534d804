//! What people see while a run goes on, on standard error.
//!
//! There is a line for each thing worth saying (`talk`), and on a terminal a live line below them (`live_line`). When
//! nothing was said for ten seconds, a line says what is being waited for (`acts`). Nothing is written here: a terminal
//! that nobody reads holds up the thread that writes (`talk_writer`) and not the run.

use super::acts::Acts;
use super::live_line::LiveLine;
use super::talk::{Talk, said};
use super::talk_writer;
use crate::clock::{Clock, Moment};
use crate::model::Line;
use crate::plan::Plan;
use crate::report::words::time;
use crate::run::Observer;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A silence that is longer is explained.
const SILENCE: f64 = 10.0;

/// Follows a run for people.
pub(super) struct Progress {
    screen: Arc<Screen>,
}

/// What is shown, and how.
struct Screen {
    talk: Talk,
    has_live_line: bool,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    live_line: LiveLine,
    acts: Acts,
    /// The run's moment of the last fact, and when that was on our own clock.
    anchor: (Moment, Moment),
    /// When something was said last, on our own clock, and after how long a silence is explained.
    said: (Moment, f64),
}

impl Progress {
    /// For a run of this plan; with a live line if standard error is a terminal. `number` is its number in a series.
    pub(super) fn new(plan: &Plan, talk: Talk, number: &str) -> Self {
        let shown = std::io::stderr().is_terminal() && !talk.quiet;
        Self::with(talk, shown, LiveLine::new(plan, number), Acts::new(plan))
    }

    /// Without a live line, and without a plan.
    pub(super) fn plain(talk: Talk) -> Self {
        Self::with(talk, false, LiveLine::default(), Acts::default())
    }

    fn with(talk: Talk, has_live_line: bool, live_line: LiveLine, acts: Acts) -> Self {
        let start = (Moment(0), Moment(0));
        let state = State { live_line, acts, anchor: start, said: (Moment(0), SILENCE) };
        let screen = Arc::new(Screen { talk, has_live_line, clock: Clock::start(), state: Mutex::new(state) });
        talk_writer::show(screen.clone());
        Self { screen }
    }

    /// Takes the live line away.
    pub(super) fn finish(&self) {
        talk_writer::hide(self.screen.as_ref());
        talk_writer::settle();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How wide the live line may be: one column stays free for the cursor, two are the spinner's.
fn room() -> usize {
    let stderr = std::io::stderr();
    let columns = rustix::termios::tcgetwinsize(&stderr).map_or(80, |size| usize::from(size.ws_col));
    columns.max(20) - 3
}

impl talk_writer::Live for Screen {
    /// Also explains a silence.
    fn tick(&self) -> Option<String> {
        let (live, explained) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            let run = state.now(now);
            let silent = now.since(state.said.0) >= state.said.1;
            let explained = silent.then(|| {
                state.said = (now, state.said.1 * 2.0); // the longer it lasts, the less often
                format!("{:>8}  {}", time(run.seconds()), state.acts.explained(run))
            });
            (self.has_live_line.then(|| state.live_line.show(run, room())), explained)
        };
        if let Some(text) = explained.filter(|_| !self.talk.quiet) {
            talk_writer::mention(&text);
        }
        live
    }
}

impl State {
    /// The run's moment, now.
    fn now(&self, now: Moment) -> Moment {
        self.anchor.0.plus(Duration::from_secs_f64(now.since(self.anchor.1).max(0.0)))
    }

    fn spoke(&mut self, now: Moment) {
        self.said = (now, SILENCE);
    }
}

impl Observer for Progress {
    fn line(&self, line: &Line) {
        let screen = &self.screen;
        let text = said(&line.fact, screen.talk);
        {
            let mut state = screen.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = screen.clock.now();
            state.anchor = (line.at, now);
            state.live_line.take(line);
            state.acts.take(line);
            if text.is_some() {
                state.spoke(now);
            }
        }
        if let Some(text) = text {
            talk_writer::mention(&format!("{:>8}  {text}", time(line.at.seconds())));
        }
    }

    fn progress(&self, text: &str) {
        let screen = &self.screen;
        {
            let mut state = screen.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = screen.clock.now();
            let at = state.now(now);
            state.acts.progress(text, at);
            state.spoke(now);
        }
        if !screen.talk.quiet {
            talk_writer::mention(&format!("          {text}"));
        }
    }
}
