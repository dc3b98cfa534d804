//! The thread that writes to standard error: lines of talk, and on a terminal the live line below them.
//!
//! Apart because a write may take for ever: a terminal after Ctrl-S, a pipe that nobody reads. What is said waits in a
//! queue, and what does not fit into it is dropped; nobody else writes there while a run goes on.

use crate::clock::Deadline;
use anstream::{AutoStream, ColorChoice};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use std::io::{Write, stderr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// How many lines may wait.
const QUEUE: usize = 1000;
/// How often the live line is drawn anew.
const TICK: Duration = Duration::from_millis(500);
/// How long a slow reader of standard error is waited for, before data and at the end.
const GRACE: Duration = Duration::from_secs(1);

/// What is shown besides what is said.
pub(super) trait Live: Send + Sync {
    /// Called every half a second: what the live line shows now, if there is to be one.
    fn tick(&self) -> Option<String>;
}

/// What the thread is told.
enum Said {
    Line(String),
    /// Everything before this was written, when it is answered.
    Settled(SyncSender<()>),
}

struct Voice {
    queue: SyncSender<Said>,
    live: Mutex<Option<Arc<dyn Live>>>,
    /// How many lines were written.
    written: AtomicU64,
    /// Was a line given up because nobody read?
    unheard: AtomicBool,
}

static VOICE: LazyLock<Voice> = LazyLock::new(|| {
    let (queue, said) = sync_channel(QUEUE);
    std::thread::spawn(move || speak(&said));
    Voice { queue, live: Mutex::default(), written: AtomicU64::new(0), unheard: AtomicBool::new(false) }
});

/// Says a line at once or never: if too many wait already, nobody hears it.
pub(super) fn mention(text: &str) {
    let _ = VOICE.queue.try_send(Said::Line(text.to_owned()));
}

/// Says a line; waits for a reader who is slow, and not for one who does not read.
pub(super) fn say(text: &str) {
    let mut said = Said::Line(text.to_owned());
    while let Err(TrySendError::Full(again)) = VOICE.queue.try_send(said) {
        let before = VOICE.written.load(Ordering::Relaxed);
        std::thread::sleep(if VOICE.unheard.load(Ordering::Relaxed) { Duration::ZERO } else { GRACE });
        if VOICE.written.load(Ordering::Relaxed) == before {
            return VOICE.unheard.store(true, Ordering::Relaxed);
        }
        VOICE.unheard.store(false, Ordering::Relaxed);
        said = again;
    }
}

/// Shows this live line from now on.
pub(super) fn show(live: Arc<dyn Live>) {
    *VOICE.live.lock() = Some(live);
}

/// Shows this live line no more.
pub(super) fn hide(live: &dyn Live) {
    VOICE.live.lock().take_if(|shown| std::ptr::addr_eq(Arc::as_ptr(shown), live));
}

/// Returns when all that was said is written, or nobody reads it.
pub(super) fn settle() {
    let (done, settled) = sync_channel(1);
    if VOICE.queue.try_send(Said::Settled(done)).is_err() {
        return;
    }
    let mut before = VOICE.written.load(Ordering::Relaxed);
    while settled.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
        let now = VOICE.written.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

fn speak(said: &Receiver<Said>) {
    let (mut bar, mut next_tick): (Option<ProgressBar>, _) = (None, Deadline::within(TICK));
    loop {
        let next = said.recv_timeout(next_tick.left());
        let live = VOICE.live.lock().clone();
        if live.is_none()
            && let Some(bar) = bar.take()
        {
            bar.finish_and_clear();
        }
        match (next, &bar) {
            (Ok(Said::Line(text)), Some(bar)) => bar.suspend(|| write(&text)),
            (Ok(Said::Line(text)), None) => write(&text),
            (Ok(Said::Settled(done)), _) => drop(done.send(())), // who asked may no longer wait
            (Err(RecvTimeoutError::Disconnected), _) => return,
            (Err(RecvTimeoutError::Timeout), _) => {}
        }
        if next_tick.passed() {
            next_tick = Deadline::within(TICK);
            if let Some(text) = live.and_then(|live| live.tick()) {
                let bar = bar.get_or_insert_with(fresh);
                bar.set_message(text);
                bar.tick();
            }
        }
    }
}

/// A reader who has gone away is no error.
fn write(text: &str) {
    let _ = match AutoStream::choice(&stderr()) {
        ColorChoice::Never => writeln!(stderr(), "{}", anstream::adapter::strip_str(text)),
        _ => writeln!(stderr(), "{text}"),
    };
    VOICE.written.fetch_add(1, Ordering::Relaxed);
}

/// An empty live line.
fn fresh() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}
