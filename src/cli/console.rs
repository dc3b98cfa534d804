//! How the program writes: data on standard output, talk on standard error, at the terminal's width and with colours
//! only where they are wanted.

use anstream::ColorChoice;
use std::io::{IsTerminal, Write};

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

/// Prints data, with a line's end; a reader who has gone away is no error.
pub(super) fn out(data: impl AsRef<[u8]>) {
    let data = data.as_ref();
    let mut stdout = anstream::stdout().lock();
    let end: &[u8] = if data.ends_with(b"\n") { b"" } else { b"\n" };
    let _ = stdout.write_all(data).and_then(|()| stdout.write_all(end)).and_then(|()| stdout.flush());
}

/// A text for standard error as it may be shown there: without colours where none are wanted.
pub(super) fn for_stderr(text: &str) -> String {
    match anstream::AutoStream::choice(&std::io::stderr()) {
        ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        _ => text.to_owned(),
    }
}

/// How wide a table may be: what `COLUMNS` says, else the terminal's width, else a width that fits nearly everywhere.
pub(super) fn width() -> usize {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    set.or_else(terminal).filter(|n| *n >= NARROWEST).unwrap_or(PIPE)
}

/// The width of the terminal that standard output is, if it is one.
fn terminal() -> Option<usize> {
    let stdout = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&stdout).ok().filter(|_| stdout.is_terminal())?;
    Some(usize::from(size.ws_col))
}
