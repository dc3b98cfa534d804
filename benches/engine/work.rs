//! One work that two or more sides do in turn: each round all of them, each time another first.
//!
//! A new row is one function that answers a [`Work`]; nothing else has to know of it but the list in `main.rs`.

use crate::measure::{Bench, Server};
use crate::rows::{ROUNDS, Round, Row};
use lifeboat::client::Error;
use std::path::{Path, PathBuf};

/// What is done, and by whom.
pub struct Work {
    /// What, with its size.
    pub name: String,
    /// The server that they work on.
    pub server: Server,
    /// Ours.
    pub ours: Side,
    /// The others.
    pub peers: Vec<Side>,
    /// Ends what the last round may have left running; empty if nothing is.
    pub after: String,
}

/// One side. Its parts are scripts that are timed; the others are not.
pub struct Side {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Makes everything ready for it.
    pub before: String,
    /// What is timed, one after the other, each with its name.
    pub parts: Vec<(&'static str, String)>,
    /// Done before the last part, untimed; may be empty.
    pub between: String,
    /// Fails if the result is not right.
    pub check: String,
    /// What the result takes.
    pub bytes: Bytes,
}

/// What a side stored or had copied.
pub enum Bytes {
    /// Nothing.
    None,
    /// As much as a file or folder holds; the first part stores it.
    Stored(PathBuf),
    /// So much for each part.
    Parts(Vec<u64>),
}

impl Side {
    async fn round(&self, bench: &Bench, server: Server) -> Result<Vec<Round>, Error> {
        bench.run(&self.before).await?;
        let mut rounds = vec![];
        for (at, (_, script)) in self.parts.iter().enumerate() {
            if at > 0 && at + 1 == self.parts.len() {
                bench.run(&self.between).await?;
            }
            rounds.push(bench.measure(script, server).await?);
        }
        let bytes = match &self.bytes {
            Bytes::None => vec![],
            Bytes::Stored(path) => vec![size(path)],
            Bytes::Parts(parts) => parts.clone(),
        };
        rounds.iter_mut().zip(bytes).for_each(|(round, bytes)| round.bytes = Some(bytes));
        bench.run(&self.check).await?;
        Ok(rounds)
    }
}

impl Work {
    /// All rounds of all sides; answers the rows, and says why there are none of a side.
    pub async fn rows(&self, bench: &Bench, missing: &mut Vec<String>) -> Vec<Row> {
        let sides: Vec<_> = std::iter::once(&self.ours).chain(&self.peers).collect();
        let mut done: Vec<Vec<Vec<Round>>> = vec![vec![]; sides.len()];
        for round in 0..ROUNDS {
            for turn in 0..sides.len() {
                let at = (round + turn) % sides.len();
                if done[at].len() < round {
                    continue; // it failed before
                }
                match sides[at].round(bench, self.server).await {
                    Ok(rounds) => {
                        let seconds: Vec<_> = rounds.iter().map(|round| format!("{:.2} s", round.seconds)).collect();
                        let (round, name) = (round + 1, &sides[at].name);
                        eprintln!("{}, round {round}, {name}: {}", self.name, seconds.join(" + "));
                        done[at].push(rounds);
                    }
                    Err(error) => missing.push(format!("{} by {}: {error}", self.name, sides[at].name)),
                }
            }
        }
        if let Err(error) = bench.run(&self.after).await {
            missing.push(format!("{}: what it left: {error}", self.name));
        }
        let parts: Vec<_> = self.ours.parts.iter().map(|(name, _)| *name).collect();
        let mut rows = vec![];
        for (peer, theirs) in self.peers.iter().zip(&done[1..]) {
            let mut add = |name: String, of: &dyn Fn(&[Round]) -> Round| {
                let sides = [&done[0], theirs].map(|rounds| rounds.iter().map(|it| of(it)).collect::<Vec<_>>());
                rows.extend(Row::of(&name, (&peer.name, &peer.version), &sides[0], &sides[1]));
            };
            for (at, part) in parts.iter().enumerate().filter(|_| parts.len() > 1) {
                add(format!("{}: {part}", self.name), &|round| round[at].clone());
            }
            let all = if parts.len() > 1 { format!("{}: {}", self.name, parts.join(" + ")) } else { self.name.clone() };
            add(all, &|round| round[1..].iter().fold(round[0].clone(), Round::then));
        }
        rows
    }
}

/// The bytes of a file, or of all files under a folder.
fn size(path: &Path) -> u64 {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| size(&entry.path())).sum(),
        Err(_) => path.metadata().map_or(0, |metadata| metadata.len()),
    }
}
