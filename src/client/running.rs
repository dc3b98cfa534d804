//! A program at work somewhere, here or inside a component: what goes in, what comes out, and how it ends.
//!
//! Apart from processes because whoever reads a dump does not care on which side of a wall it is made.

use super::Error;
use super::log::last;
use futures::future::BoxFuture;
use std::fmt;
use std::pin::Pin;
use std::process::Stdio;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::process::Command;

/// A program at work. Dropping it ends it, where that is possible.
pub struct Running {
    /// Its standard input; dropping it closes it.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its standard output.
    pub output: Pin<Box<dyn AsyncRead + Send>>,
    /// How it ends. To be waited for while its output is read, or a talkative program waits for ever.
    pub ended: BoxFuture<'static, Result<Ended, Error>>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; none if a signal ended it or nobody knows.
    pub code: Option<i64>,
    /// What it said on standard error.
    pub said: String,
}

impl Ended {
    /// Did it do what it was asked?
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

/// Why it failed: the last line it said, else its exit code.
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (last(&self.said), self.code) {
            (Some(line), _) => f.write_str(line),
            (None, Some(code)) => write!(f, "exit code {code}"),
            (None, None) => f.write_str("it was ended from outside"),
        }
    }
}

impl Running {
    /// Starts a process of this machine.
    pub fn process(mut command: Command) -> Result<Self, Error> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let what = format!("cannot start `{program}`");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| Error::caused_by(&what, e))?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
        let ((input, output), mut errors) = pipes.ok_or_else(|| Error::new(&what, "no pipe"))?;
        let ended = async move {
            let mut said = vec![];
            let failed = |e: std::io::Error| Error::caused_by(format!("`{program}`"), e);
            errors.read_to_end(&mut said).await.map_err(failed)?;
            let status = child.wait().await.map_err(failed)?;
            Ok(Ended { code: status.code().map(i64::from), said: String::from_utf8_lossy(&said).into_owned() })
        };
        Ok(Self { input: Box::pin(input), output: Box::pin(output), ended: Box::pin(ended) })
    }

    /// Gives it nothing and waits for its end: how it ended, and all it put out.
    pub async fn finish(self) -> Result<(Ended, Vec<u8>), Error> {
        let Self { input, mut output, ended } = self;
        drop(input);
        let read = async {
            let mut bytes = vec![];
            let read = output.read_to_end(&mut bytes).await;
            read.map(|_| bytes).map_err(|e| Error::caused_by("cannot read what it put out", e))
        };
        let (ended, bytes) = tokio::join!(ended, read);
        Ok((ended?, bytes?))
    }

    /// As [`Self::finish`], for a command that must succeed: what it put out, as text.
    pub async fn text(self, what: &str) -> Result<String, Error> {
        let (ended, bytes) = self.finish().await?;
        if ended.success() { Ok(String::from_utf8_lossy(&bytes).into_owned()) } else { Err(Error::new(what, ended)) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn shell(text: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        Running::process(command).unwrap()
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_and_the_end_is_told() {
        let Running { mut input, mut output, ended } = shell("cat; echo bad >&2; exit 3");
        input.write_all(b"hello").await.unwrap();
        drop(input);
        let mut text = String::new();
        output.read_to_string(&mut text).await.unwrap();
        let ended = ended.await.unwrap();
        assert_eq!((text.as_str(), ended.code, ended.to_string().as_str()), ("hello", Some(3), "bad"));
    }

    #[tokio::test]
    async fn a_command_that_must_succeed_says_why_it_did_not() {
        assert_eq!(shell("echo yes").text("asking").await.unwrap(), "yes\n");
        assert_eq!(shell("echo no >&2; false").text("asking").await.unwrap_err().to_string(), "asking: no");
        assert_eq!(shell("kill -9 $$").text("asking").await.unwrap_err().why, "it was ended from outside");
    }
}
