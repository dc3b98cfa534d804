//! Text from outside: what other programs, servers and users' commands say, made fit for a terminal, a report and a log.
//!
//! Apart because it is the one place where secrets are masked and control characters are taken out, for errors, findings
//! and logs alike. A secret is what a variable with a secret-looking name holds, what was [`remember`]ed, and a password
//! in a URL. Not here: names that code acts on; those are never changed.

use parking_lot::RwLock;
use std::sync::LazyLock;

/// What stands in a secret's place.
const MASK: &str = "***";
/// A value that is shorter is no secret: it would be found everywhere.
const SHORTEST: usize = 4;
/// A secret that is shorter is masked only where it stands alone, not within a word.
const WITHIN_WORDS: usize = 8;

/// The known secrets, the longest first.
static SECRETS: LazyLock<RwLock<Vec<String>>> = LazyLock::new(|| {
    let set =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut secrets: Vec<String> = vec![];
    set.filter(|(name, _)| is_secret(name)).for_each(|(_, value)| add(&mut secrets, &value));
    RwLock::new(secrets)
});

/// From now on this is masked wherever it is said: it is known to be a secret, so its letters may be those of a word. Only
/// of fewer than four nothing is masked.
pub fn remember(secret: &str) {
    add_known(&mut SECRETS.write(), secret);
}

/// The text without secrets and without control characters but tabs and line ends.
pub fn clean(text: &str) -> String {
    masked(&plain(text), &SECRETS.read())
}

/// The text without control characters but tabs and line ends: escape sequences are taken out whole, and what a carriage
/// return would overwrite stands in a line of its own.
pub fn plain(text: &str) -> String {
    if !text.chars().any(|c| is_control(c) || c == '\r') {
        return text.to_owned();
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    // Line by line: a sequence without an end would take all that follows with it.
    let lines = text.split('\n').map(|line| anstream::adapter::strip_str(line).to_string());
    lines.collect::<Vec<_>>().join("\n").chars().filter(|c| !is_control(*c)).collect()
}

/// Also those that turn the direction of writing, so that a text would read otherwise than it is.
fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Does a variable of this name hold a secret?
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let says = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY"];
    let word = |word: &str| matches!(word, "KEY" | "KEYS" | "PASS");
    says.iter().any(|part| name.contains(part)) || name.split('_').any(word) || name.ends_with("_PWD")
}

/// Adds what a variable with a secret's name holds, if it is worth hiding: nobody knows whether it is a secret, so a word
/// of fewer than eight small letters, a number of fewer than six digits and a path that exists are none.
fn add(secrets: &mut Vec<String>, value: &str) {
    let value = value.trim();
    let common = matches!(value.to_ascii_lowercase().as_str(), "true" | "false" | "none" | "null");
    let number = value.len() < 6 && value.chars().all(|c| c.is_ascii_digit());
    // Such as `mlflow`, which is a component too: it would be missing in every sentence.
    let word = value.len() < WITHIN_WORDS && value.chars().all(|c| c.is_ascii_lowercase());
    let path = value.starts_with('/') && std::path::Path::new(value).exists();
    if !(common || number || word || path) {
        add_known(secrets, value);
    }
}

/// Adds a secret, unless it is too short; of several lines also each that is long enough.
fn add_known(secrets: &mut Vec<String>, value: &str) {
    let value = value.trim();
    if value.len() < SHORTEST {
        return;
    }
    let lines = value.lines().map(str::trim).filter(|line| *line == value || line.len() >= WITHIN_WORDS);
    for secret in lines.chain([value]) {
        if !secrets.iter().any(|known| known == secret) {
            secrets.push(secret.to_owned());
        }
    }
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
}

fn masked(text: &str, secrets: &[String]) -> String {
    let mut text = without_passwords(text);
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        if text.contains(secret.as_str()) {
            text = replaced(&text, secret);
        }
    }
    text
}

fn replaced(text: &str, secret: &str) -> String {
    let (mut done, mut rest) = (String::new(), text);
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    while let Some(at) = rest.find(secret) {
        let (before, after) = (&rest[..at], &rest[at + secret.len()..]);
        let before_it = before.chars().next_back().or_else(|| done.chars().next_back());
        let within = secret.len() < WITHIN_WORDS && (is_word(before_it) || is_word(after.chars().next()));
        done.push_str(before);
        done.push_str(if within { secret } else { MASK });
        rest = after;
    }
    done + rest
}

/// Without the passwords of URLs such as `postgresql://user:password@host`.
fn without_passwords(text: &str) -> String {
    let (mut done, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        done.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '`')).unwrap_or(after.len());
        let login = after[..end].rfind('@').and_then(|at| after[..at].split_once(':').map(|(user, _)| (user, at)));
        rest = match login {
            Some((user, at)) => {
                done.extend([user, ":", MASK]);
                &after[at..]
            }
            None => after,
        };
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str, values: &[&str]) -> String {
        let mut secrets = vec![];
        values.iter().for_each(|value| add(&mut secrets, value));
        masked(text, &secrets)
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands_and_what_only_looks_like_one_is_not() {
        assert_eq!(hidden("psql: hunter2hunter2, xhunter2hunter2y", &["hunter2hunter2"]), "psql: ***, x***y");
        assert_eq!(
            hidden("ma1n doma1n ma1n-1", &["ma1n"]),
            "*** doma1n ***-1",
            "a short one only where it stands alone"
        );
        assert_eq!(hidden("abcdefgh-long abcdefgh", &["abcdefgh", "abcdefgh-long"]), "*** ***", "the longest first");
        assert_eq!(hidden("TRUE 8080 abc mlflow", &["TRUE", "8080", "abc", "mlflow"]), "TRUE 8080 abc mlflow");
        let key = "-----BEGIN-----\nAAAABBBBCCCC\n-----END-----";
        assert_eq!(hidden("line AAAABBBBCCCC of it", &[key]), "line *** of it");
    }

    #[test]
    fn a_secret_that_is_known_to_be_one_is_masked_whatever_its_letters() {
        let mut secrets = vec![];
        ["mlflow", "8080", "true", "abc"].iter().for_each(|value| add_known(&mut secrets, value));
        assert_eq!(masked("pw=mlflow 8080 true abc mlflows", &secrets), "pw=*** *** *** abc mlflows");
    }

    #[test]
    fn a_name_says_whether_its_value_is_a_secret() {
        for name in
            ["PGPASSWORD", "db_password", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "API_KEY", "DB_PWD", "MY_PASS"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["PWD", "OLDPWD", "PATH", "KEYBOARD", "PGPASSFILE_", "MONKEY", "HOME"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn the_password_of_a_url_is_masked() {
        assert_eq!(
            clean("at postgresql://me:s3cr3t@db/x and http://h:80/"),
            "at postgresql://me:***@db/x and http://h:80/"
        );
        assert_eq!(clean("://"), "://");
    }

    #[test]
    fn control_characters_and_escape_sequences_are_taken_out() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m\u{7} \u{1b}]0;title\u{7}x\ty\n"), "red x\ty\n");
        assert_eq!(plain("one\u{1b}]0;two\nthree"), "one\nthree", "a sequence without an end ends with its line");
        assert_eq!(plain("10%\r20%\r\nend\u{202e}\u{9b}"), "10%\n20%\nend");
    }
}
