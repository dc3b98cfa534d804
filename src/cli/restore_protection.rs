//! `lifeboat restore FILE`: restores a point of a protection, beside the live database or in its place.
//!
//! Apart from the other half of `restore`, which ends what a run left: this one knows of no run.

use super::console::{out, say};
use super::failure::Failure;
use super::find::find_repository;
use super::restore_configuration::{self, WantedConfiguration};
use super::{CommandResult, exit};
use crate::client::Error;
use crate::clock::Stopwatch;
use crate::engine::{ModelRestore, RestorePlan, TransactionEnd, WantedModel};
use crate::environment::Asset;
use crate::model::{Finding, Verdict};
use crate::protect::{self, ChosenRestore, RestoreTarget};
use crate::report::words;
use crate::spec::{Protection, load_protection};
use serde_json::json;
use std::path::{Path, PathBuf};

/// What is restored of a protection, and where to.
#[derive(Debug, Default, clap::Args)]
pub(super) struct OfProtection {
    /// Of a protection: `latest`, a point's name, a time such as 2026-03-01T12:00:00Z for the newest state until then, or
    /// `before:` with a transaction or a named point of the log
    #[arg(long, value_name = "POINT", conflicts_with_all = ["point", "done"])]
    to: Option<String>,
    /// Only from this repository of the protection
    #[arg(long, value_name = "REPOSITORY", requires = "to")]
    from: Option<String>,
    /// Restore the database into a new one of this name, beside the live one
    #[arg(long, value_name = "DATABASE", requires = "to")]
    into: Option<String>,
    /// Restore the artifacts into this bucket, beside the live one; it must be empty
    #[arg(long, value_name = "BUCKET", requires = "to")]
    into_bucket: Option<String>,
    /// Restore the server into a new data directory on this machine, and leave it stopped; with --only configuration, write
    /// the files of the configuration below a new directory
    #[arg(long, value_name = "DIRECTORY", requires = "to", conflicts_with_all = ["into", "into_bucket", "replace"])]
    pub(super) into_directory: Option<PathBuf>,
    /// Replace what is protected: the database, and each artifact that is not as it was
    #[arg(long, requires = "to", conflicts_with_all = ["into", "into_bucket"])]
    replace: bool,
    /// With --replace or --model: only the database, or only the artifacts; or only the sealed configuration
    #[arg(long, value_name = "ASSET", requires = "to", conflicts_with_all = ["into", "into_bucket"])]
    only: Option<OnlyAsset>,
    /// With --only configuration: the file with the secret key of one of its recipients
    #[arg(long, value_name = "KEYFILE", requires = "only")]
    pub(super) identity: Option<PathBuf>,
    /// Put back only this registered model, or one version of it: NAME, NAME/3, NAME/latest; with --replace also what is
    /// there of it and differs
    #[arg(long, value_name = "MODEL", requires = "to", conflicts_with_all = ["into", "into_bucket"])]
    model: Option<WantedModel>,
    /// With --model: put it into the platform of this other protection; experiments have their own numbers there
    #[arg(long, value_name = "FILE", requires = "model")]
    into_platform: Option<PathBuf>,
    /// Show what would be restored; change nothing
    #[arg(long, requires = "to")]
    pub(super) dry_run: bool,
    /// Print what was restored as JSON
    #[arg(long, requires = "to")]
    pub(super) json: bool,
}

/// What of a point is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnlyAsset {
    Database,
    Artifacts,
    Configuration,
}

impl OnlyAsset {
    /// The asset of a platform, if it is one: its configuration is beside it.
    fn asset(self) -> Option<Asset> {
        match self {
            Self::Database => Some(Asset::Database),
            Self::Artifacts => Some(Asset::Artifacts),
            Self::Configuration => None,
        }
    }
}

/// Is this the file of a protection, rather than a run?
pub(super) fn is_protection(what: &str) -> bool {
    Path::new(what).extension().is_some_and(|end| end == "yaml" || end == "yml")
}

pub(super) async fn main(file: &str, args: &OfProtection) -> CommandResult {
    let protection = load_protection(Path::new(file))?;
    let Some(to) = &args.to else {
        let hint = "add `--to latest`; `lifeboat points` lists the points".to_owned();
        return Err(Failure::Usage("what is to be restored of the protection?".into(), Some(hint)));
    };
    let from = args.from.as_ref().map(|from| find_repository(&protection, from)).transpose()?;
    if args.only == Some(OnlyAsset::Configuration) {
        if args.replace || args.model.is_some() {
            let hint = "write it below a new directory (`--into-directory NEW`), and put each file where it belongs"
                .to_owned();
            return Err(Failure::Usage("the configuration replaces nothing".into(), Some(hint)));
        }
        let (identity, into) = (args.identity.as_deref(), args.into_directory.as_deref());
        let wanted = WantedConfiguration { identity, into, dry_run: args.dry_run, json: args.json };
        return restore_configuration::main(&protection, to, from, &wanted).await;
    }
    if let (Some(_), Some(_)) = (&args.only, &args.into_directory) {
        let hint = "take `--only` out: a data directory is a whole server's".to_owned();
        return Err(Failure::Usage("only a part cannot be restored into a directory".into(), Some(hint)));
    }
    let target = target(&protection, args)?;
    let chosen = protect::choose(&protection, to, from, &target).await?;
    if let Some(model) = &args.model {
        let elsewhere = args.into_platform.is_some();
        let restore = ModelRestore { model: model.clone(), replace: args.replace, dry_run: args.dry_run, elsewhere };
        return one_model(&chosen, &restore, args.json).await;
    }
    if args.dry_run {
        out(if args.json { written(&chosen, None, 0.0)? } else { sentence(&chosen, &target) })?;
        return Ok(exit::MET);
    }
    if !args.json {
        say(sentence(&chosen, &target));
    }
    let time = Stopwatch::start();
    let finding = protect::restore(&chosen).await;
    let done = format!("restored {} in {}", what(&chosen), words::time(time.seconds()));
    let ended = ended(&chosen, &finding, &time, (!args.json).then_some(done))?;
    if chosen.plan.directory.is_some() && !args.json && finding.verdict == Verdict::Met {
        finding.figures.iter().try_for_each(|(name, value)| out(format!("  {name}: {value}")))?;
    }
    Ok(ended)
}

/// Where it is restored to.
fn target(protection: &Protection, args: &OfProtection) -> Result<RestoreTarget, Failure> {
    let only = args.only.and_then(OnlyAsset::asset);
    let other = args.into_platform.as_deref().map(load_protection).transpose()?;
    let of_server = protection.engine.keeps_log() && !args.replace;
    Ok(match (&args.into, &args.into_bucket, other) {
        (None, None, Some(other)) => RestoreTarget::Elsewhere(Box::new(other), only),
        (None, None, None) if args.into_directory.is_some() || args.dry_run && of_server => {
            RestoreTarget::Directory(args.into_directory.clone())
        }
        (None, None, None) if args.replace || args.dry_run || args.model.is_some() => RestoreTarget::Live(only),
        (None, None, None) => {
            let hint = if of_server {
                "`--into-directory NEW` restores the server into a new data directory"
            } else {
                "`--into NEW` and `--into-bucket NEW` restore beside what is live, `--replace` in its place"
            };
            return Err(Failure::Usage("where is it to be restored to?".into(), Some(hint.to_owned())));
        }
        (database, bucket, _) => RestoreTarget::Beside { database: database.clone(), bucket: bucket.clone() },
    })
}

/// Restores one model; what was found of it is told table by table.
async fn one_model(chosen: &ChosenRestore, restore: &ModelRestore, json: bool) -> CommandResult {
    if !json {
        let point = &chosen.plan.point;
        let act = if restore.dry_run { "is compared with" } else { "goes into" };
        say(format!("{} of the point {} of {} {act} {}", restore.model, point.id, point.taken_at, what(chosen)));
    }
    let time = Stopwatch::start();
    let finding = protect::restore_model(chosen, restore).await;
    if !json {
        finding.figures.iter().for_each(|(name, value)| say(format!("  {name}: {value}")));
    }
    let act = if restore.dry_run { "would restore" } else { "restored" };
    let done = format!("{act} {}, in {}", restore.model, words::time(time.seconds()));
    ended(chosen, &finding, &time, (!json).then_some(done))
}

/// Says how it ended: the sentence if it went well, or JSON if there is none.
fn ended(chosen: &ChosenRestore, finding: &Finding, time: &Stopwatch, done: Option<String>) -> CommandResult {
    match done {
        None => out(written(chosen, Some(finding), time.seconds())?)?,
        Some(done) if finding.verdict == Verdict::Met => out(done)?,
        Some(_) => say(format!("error: not restored: {}", finding.reason.as_deref().unwrap_or_default())),
    }
    Ok(exit::of(finding.verdict))
}

fn sentence(chosen: &ChosenRestore, target: &RestoreTarget) -> String {
    let point = &chosen.plan.point;
    let bytes = point.bytes.map(words::bytes).unwrap_or_default();
    let from =
        format!("the point {} of {} ({bytes}) of the repository {}", point.id, point.taken_at, chosen.repository);
    match target {
        RestoreTarget::Beside { .. } => format!("{from} goes into {}", what(chosen)),
        RestoreTarget::Live(_) | RestoreTarget::Elsewhere(..) => format!("{from} replaces {}", what(chosen)),
        RestoreTarget::Directory(_) => format!("{from} goes into {}{}", what(chosen), replay(&chosen.plan)),
    }
}

/// What is replayed of the log, and what is on both sides of the target.
fn replay(plan: &RestorePlan) -> String {
    let target = plan.target.as_ref().map(|target| format!(", up to {target}")).unwrap_or_default();
    let Some(log) = &plan.log else { return format!("{target}; the log is looked at when it is restored") };
    let side = |end: &TransactionEnd| format!("{} of {}", end.xid, end.at);
    let before = log.before.as_ref().map(|end| format!("; the last transaction is {}", side(end))).unwrap_or_default();
    let next = log.next.as_ref().map(|end| format!(", and {} is not replayed", side(end))).unwrap_or_default();
    format!("{target}, with the log from {} on ({}){before}{next}", log.from, words::bytes(log.bytes))
}

/// What is restored, by name.
fn what(chosen: &ChosenRestore) -> String {
    let database = chosen.database.as_ref().map(|name| format!("the database `{name}`"));
    let bucket = chosen.bucket.as_ref().map(|name| format!("the artifacts in the bucket `{name}`"));
    let directory = chosen.plan.directory.as_ref().map(|path| format!("the data directory `{}`", path.display()));
    let directory = directory.or((database.is_none() && bucket.is_none()).then(|| "a new data directory".to_owned()));
    database.into_iter().chain(bucket).chain(directory).collect::<Vec<_>>().join(" and ")
}

fn written(chosen: &ChosenRestore, finding: Option<&Finding>, seconds: f64) -> Result<String, Error> {
    let told = json!({
        "repository": chosen.repository, "database": chosen.database, "bucket": chosen.bucket, "plan": chosen.plan,
        "finding": finding, "seconds": finding.map(|_| seconds),
    });
    serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write what was restored", e))
}
