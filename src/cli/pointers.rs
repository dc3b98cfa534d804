//! Wrong words that other tools use, and the right ones here.

use super::console::{say, written_out};
use super::{CommandResult, exit};
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands of other tools, and what to type instead.
const COMMANDS: &[(&str, &str)] = &[
    ("list", "`lifeboat runs` lists the runs, `lifeboat kinds` what files may name"),
    ("ls", "`lifeboat runs` lists the runs, `lifeboat kinds` what files may name"),
    ("validate", "`lifeboat check FILE` checks drill and scenario files"),
    ("lint", "`lifeboat check FILE` checks drill and scenario files"),
    ("start", "`lifeboat run DRILL` carries out a drill"),
    ("exec", "`lifeboat run DRILL` carries out a drill"),
    ("apply", "`lifeboat run DRILL` carries out a drill"),
    ("drill", "`lifeboat run DRILL` carries out a drill"),
    ("status", "`lifeboat runs` lists the runs and says which of them still go on"),
    ("show", "`lifeboat report RUN` shows a run, `lifeboat plan DRILL` what a drill would do"),
    ("stop", "stop a run with Ctrl-C: it undoes what it did"),
    ("clean", "`lifeboat cleanup` removes what dead runs left behind"),
    ("rm", "`lifeboat cleanup` removes what dead runs left behind"),
    ("destroy", "`lifeboat cleanup` removes what dead runs left behind"),
    ("init", "`lifeboat new drill` writes a first drill file"),
    ("create", "`lifeboat new drill` writes a first drill file"),
    ("version", "`lifeboat --version`"),
];

/// Options of other tools, and what to type instead.
const OPTIONS: &[(&str, &str)] = &[
    ("--dry-run", "`lifeboat plan DRILL` shows what would be done and changes nothing"),
    ("--dryrun", "`lifeboat plan DRILL` shows what would be done and changes nothing"),
    ("--check", "`lifeboat check FILE` checks drill and scenario files"),
    ("--output", "`--json` or `--format` choose how a result is shown; `--reports DIR` says where runs are kept"),
    ("--env", "`--environment KIND` chooses another environment"),
    ("--count", "`lifeboat series --times N DRILL` carries a drill out several times"),
    ("--repeat", "`lifeboat series --times N DRILL` carries a drill out several times"),
];

/// Says what is wrong with a command line, and answers the exit code; help and version are shown here too.
pub(super) fn answer(error: &clap::Error) -> CommandResult {
    match pointer(error) {
        Some((text, hint)) => {
            say(format!("error: {text}\nhint: {hint}"));
            Ok(exit::USAGE)
        }
        None => {
            written_out(error.print())?;
            Ok(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE))
        }
    }
}

fn pointer(error: &clap::Error) -> Option<(String, &'static str)> {
    let (kind, words, what) = match error.kind() {
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, COMMANDS, "command"),
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, OPTIONS, "option"),
        _ => return None,
    };
    let Some(ContextValue::String(word)) = error.get(kind) else { return None };
    let (_, hint) = words.iter().find(|(wrong, _)| wrong == word)?;
    Some((format!("there is no {what} `{word}`"), hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::{CommandFactory, Parser};

    #[test]
    fn words_of_other_tools_get_a_pointer_and_other_wrong_words_do_not() {
        let hint = |args: &[&str]| Cli::try_parse_from(args).err().and_then(|e| pointer(&e)).map(|(_, hint)| hint);
        assert!(hint(&["lifeboat", "list"]).is_some_and(|h| h.contains("lifeboat runs")));
        assert!(hint(&["lifeboat", "run", "--dry-run", "x"]).is_some_and(|h| h.contains("lifeboat plan")));
        assert_eq!(hint(&["lifeboat", "rnu"]), None);
    }

    #[test]
    fn no_wrong_word_is_a_command() {
        let cli = Cli::command();
        let known: Vec<_> = cli.get_subcommands().map(clap::Command::get_name).collect();
        assert!(COMMANDS.iter().all(|(word, _)| !known.contains(word)), "{known:?}");
    }
}
