//! What people see while a run goes on, on standard error.
//!
//! There is a line for each thing worth saying (`talk`), and on a terminal a live line below them (`live_line`). When
//! nothing was said for ten seconds, a line says what is being waited for (`acts`).

use super::acts::Acts;
use super::console::for_stderr;
use super::live_line::LiveLine;
use super::talk::{Talk, said};
use crate::clock::{Clock, Moment};
use crate::model::Line;
use crate::plan::Plan;
use crate::report::words::time;
use crate::run::Observer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A silence that is longer is explained.
const SILENCE: f64 = 10.0;
/// How often the live line is drawn anew and a silence is noticed.
const TICK: Duration = Duration::from_millis(500);

/// Follows a run for people.
pub(super) struct Progress {
    screen: Arc<Screen>,
    /// Its end stops the thread that draws while nothing happens.
    ticker: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

/// What is shown, and how.
struct Screen {
    talk: Talk,
    live: Option<ProgressBar>,
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
        Self::with(talk, shown.then(bar), LiveLine::new(plan, number), Acts::new(plan))
    }

    /// Without a live line, and without a plan.
    pub(super) fn plain(talk: Talk) -> Self {
        Self::with(talk, None, LiveLine::default(), Acts::default())
    }

    fn with(talk: Talk, live: Option<ProgressBar>, live_line: LiveLine, acts: Acts) -> Self {
        let start = (Moment(0), Moment(0));
        let state = State { live_line, acts, anchor: start, said: (Moment(0), SILENCE) };
        let screen = Arc::new(Screen { talk, live, clock: Clock::start(), state: Mutex::new(state) });
        let (end, ended) = channel();
        let drawn = Arc::clone(&screen);
        let thread = std::thread::spawn(move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                drawn.tick();
            }
        });
        Self { screen, ticker: Mutex::new(Some((end, thread))) }
    }

    /// Takes the live line away.
    pub(super) fn finish(&self) {
        let ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((end, thread)) = ticker {
            drop(end);
            let _ = thread.join(); // it cannot fail
        }
        if let Some(bar) = &self.screen.live {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// An empty live line.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}

/// How wide the live line may be: one column stays free for the cursor, two are the spinner's.
fn room() -> usize {
    let stderr = std::io::stderr();
    let columns = rustix::termios::tcgetwinsize(&stderr).map_or(80, |size| usize::from(size.ws_col));
    columns.max(20) - 3
}

impl Screen {
    /// Prints a line above the live line.
    fn say(&self, text: &str) {
        let text = for_stderr(text);
        match &self.live {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Draws the live line anew, and explains a silence.
    fn tick(&self) {
        let (live, explained) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            let run = state.now(now);
            let silent = now.since(state.said.0) >= state.said.1;
            let explained = silent.then(|| {
                state.said = (now, state.said.1 * 2.0); // the longer it lasts, the less often
                format!("{:>8}  {}", time(run.seconds()), state.acts.explained(run))
            });
            (state.live_line.show(run, room()), explained)
        };
        if let Some(text) = explained.filter(|_| !self.talk.quiet) {
            self.say(&text);
        }
        if let Some(bar) = &self.live {
            bar.set_message(live);
            bar.tick();
        }
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
            screen.say(&format!("{:>8}  {text}", time(line.at.seconds())));
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
            screen.say(&format!("          {text}"));
        }
    }
}
