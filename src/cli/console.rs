//! How the program writes: data on standard output, talk on standard error, at the terminal's width and with colours
//! only where they are wanted.
//!
//! Talk is handed to a thread of its own (`talk_writer`), so that a terminal that nobody reads never holds up a run. Data is
//! what was asked for: where it cannot be written, that is an error.

use super::talk_writer;
use crate::client::Error;
use anstream::ColorChoice;
use std::io::{self, IsTerminal, Write};

/// How wide a table is where there is no terminal.
const PIPE: usize = 100;
/// Narrower than this no terminal is taken to be.
const NARROWEST: usize = 40;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// Decides about colours, for all that is written from here on.
pub(super) fn set_colour(colour: Colour) {
    match colour {
        Colour::Auto => ColorChoice::Auto,
        Colour::Always => ColorChoice::AlwaysAnsi,
        Colour::Never => ColorChoice::Never,
    }
    .write_global();
}

/// Prints data, with a line's end, after all that was said before; a reader who has gone away is no error.
pub(super) fn out(data: impl AsRef<[u8]>) -> Result<(), Error> {
    talk_writer::settle();
    let data = data.as_ref();
    let mut stdout = anstream::stdout().lock();
    let end: &[u8] = if data.ends_with(b"\n") { b"" } else { b"\n" };
    let written = stdout.write_all(data).and_then(|()| stdout.write_all(end)).and_then(|()| stdout.flush());
    written_out(written)
}

/// What became of data on standard output: an error, unless it only has no reader any more.
pub(super) fn written_out(written: io::Result<()>) -> Result<(), Error> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe && !hung_up() => {
            Err(Error::caused_by("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
}

/// Is standard output a terminal that was closed?
fn hung_up() -> bool {
    rustix::termios::tcgetattr(io::stdout()).is_err_and(|error| error == rustix::io::Errno::IO)
}

/// Says a line on standard error; one who does not listen misses it.
pub(super) fn say(text: impl AsRef<str>) {
    talk_writer::say(text.as_ref());
}

/// How wide a table may be: what `COLUMNS` says, else the terminal's width, else a width that fits nearly everywhere.
pub(super) fn width() -> usize {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    set.or_else(terminal).filter(|n| *n >= NARROWEST).unwrap_or(PIPE)
}

/// The width of the terminal that standard output is, if it is one.
fn terminal() -> Option<usize> {
    let stdout = io::stdout();
    let size = rustix::termios::tcgetwinsize(&stdout).ok().filter(|_| stdout.is_terminal())?;
    Some(usize::from(size.ws_col))
}
