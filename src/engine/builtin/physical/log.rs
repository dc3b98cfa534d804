//! The log beside a restored copy: brought there, looked at for gaps and damage, and searched for the target.
//!
//! Apart from the order of a restore because a log that ends too early is the silent failure of every such restore: PostgreSQL
//! takes the first segment that is missing or damaged for the end. So a target behind that place is refused, with the
//! newest state that can be reached.

use super::base::BaseRecord;
use super::resolve::ResolvedTarget;
use super::scan::Scan;
use super::segment::Segment;
use super::segments::{PARTIAL, Reach, ReceivedLog};
use super::sure::SurePoint;
use crate::client::{Error, ErrorKind, Running, process};
use crate::engine::LogTarget;
use crate::engine::Lsn;
use crate::environment::{SidePart, Volumes};
use std::path::Path;
use std::process::Command;
use tokio::io::{AsyncBufReadExt, BufReader};

/// How far in front of a boundary a record may begin that ends behind it.
const RECORD: u64 = 64 * 1024;

/// The log in the side folder.
pub struct SideLog<'a> {
    component: &'a str,
    base: &'a BaseRecord,
    size: u64,
    reach: Reach,
}

impl<'a> SideLog<'a> {
    /// Puts the segments of a folder of this machine into the side folder, beside what came with the base backup.
    pub async fn bring(
        volumes: &dyn Volumes,
        component: &'a str,
        base: &'a BaseRecord,
        folder: &Path,
        run: Option<&str>,
    ) -> Result<Self, Error> {
        let what = || format!("cannot use the log in `{}`", folder.display());
        let size = segment_size(volumes, component).await?;
        let log = ReceivedLog::read(folder, size).map_err(|e| Error::caused_by(what(), e))?;
        if let Some(later) = log.later_timelines(base.timeline).first() {
            let why = format!("it goes on on timeline {later}, and the base backup is of timeline {}", base.timeline);
            return Err(Error::new(what(), why).hint(format!("take a base backup of timeline {later}")));
        }
        if log.systems.iter().any(|system| system.to_string() != base.system) {
            return Err(Error::new(what(), "it is of another server than the base backup").hint("each has its own log"));
        }
        let from = Segment::holding(base.timeline, base.start, size);
        let brought = bring_segments(volumes, component, (folder, &log), from, run).await;
        if let Err(error) = brought {
            // One that was completed meanwhile has another name now.
            let now = ReceivedLog::read(folder, size).map_err(|e| Error::caused_by(what(), e))?;
            if now.files == log.files {
                return Err(Error::caused_by(what(), error));
            }
            bring_segments(volumes, component, (folder, &now), from, run).await?;
        }
        let settle = format!(
            "cd wal && for f in *{PARTIAL}; do [ ! -e \"$f\" ] || mv \"$f\" \"${{f%{PARTIAL}}}\"; done; \
             for f in ../data/pg_wal/????????????????????????; do [ -e \"${{f##*/}}\" ] || cp \"$f\" .; done; ls"
        );
        let listed = volumes.side_tool(component, "sh", &["-c", &settle]).await?.text(&what()).await?;
        let segments = listed.lines().filter_map(|name| Some((Segment::named(name, size)?, name.to_owned())));
        let reach = ReceivedLog::of(segments.collect(), size).reach(base.timeline, base.start);
        let missing = || Error::new(what(), format!("segment `{}` of it is missing", from.name(size)));
        Ok(Self { component, base, size, reach: reach.ok_or_else(|| missing().kind(ErrorKind::NotFound))? })
    }

    /// Reads it for the target, and decides how that is reached. `sure`: how far it is known to have been received.
    pub async fn find(
        &self,
        volumes: &dyn Volumes,
        target: &LogTarget,
        sure: Option<SurePoint>,
    ) -> Result<ResolvedTarget, Error> {
        let asked = arguments(self.base, target, self.reach.behind(self.size));
        let all = [["-p", "wal"].map(str::to_owned).to_vec(), asked].concat();
        let args: Vec<&str> = all.iter().map(String::as_str).collect();
        let scan = read(volumes.side_tool(self.component, "pg_waldump", &args).await?, target, self.base.stop).await?;
        reached(scan, (&self.reach, self.size), self.base, target, sure)
    }
}

/// Puts the segments of a folder, from this one on, into the side folder.
async fn bring_segments(
    volumes: &dyn Volumes,
    component: &str,
    (folder, log): (&Path, &ReceivedLog),
    from: Segment,
    run: Option<&str>,
) -> Result<(), Error> {
    let names: Vec<&str> = log.files.range(from..).map(|(_, name)| name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(folder).args(["-c", "-f", "-", "--"]).args(&names);
    tar.envs(run.map(|run| (process::RUN, run))).env(process::COMPONENT, process::TOOL);
    let Running { input, output, ended } = Running::process(tar.into())?;
    drop(input);
    let (unpacked, ended) = tokio::join!(volumes.unpack(component, SidePart::Wal, output), ended);
    let ended = ended?;
    unpacked?;
    // 1: the segment that is still received grew meanwhile. How far it can be read is found out later.
    if ended.success() || ended.code == Some(1) { Ok(()) } else { Err(Error::new("`tar`", ended)) }
}

/// What `pg_waldump` is asked for a target, in a log that ends in front of `behind`. Without an end it waits five seconds
/// for a segment that does not come (`pg_waldump.c`, `WALDumpOpenSegment`).
pub fn arguments(base: &BaseRecord, target: &LogTarget, behind: Lsn) -> Vec<String> {
    let (start, behind, timeline) = (base.start.to_string(), behind.to_string(), base.timeline.to_string());
    let mut args = vec!["-t", &timeline, "-s", &start, "-e", &behind, "-r", "Transaction"];
    if matches!(target, LogTarget::Name(_)) {
        args.extend(["-r", "XLOG"]);
    }
    args.into_iter().map(str::to_owned).collect()
}

/// Reads all that `pg_waldump` tells; `stop` is where the base backup is consistent.
pub async fn read(running: Running, target: &LogTarget, stop: Lsn) -> Result<Scan, Error> {
    let what = "`pg_waldump`";
    let Running { input, output, ended } = running;
    drop(input);
    let mut scan = Scan::default();
    let read = async {
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await.map_err(|e| Error::caused_by(what, e))? {
            scan.take(&line, target, stop);
        }
        Ok::<_, Error>(())
    };
    let (read, ended) = tokio::join!(read, ended);
    let ended = ended.and_then(|ended| read.map(|()| ended))?;
    let at_its_end = ["error in WAL record at", "could not find file"].iter().any(|s| ended.said.contains(s));
    if !ended.success() && !at_its_end {
        return Err(Error::new(what, ended));
    }
    scan.ended(&ended.said);
    Ok(scan)
}

/// Decides how a target is reached in a log of this reach, whose segments have this size, or why it is not.
pub fn reached(
    mut scan: Scan,
    (reach, size): (&Reach, u64),
    base: &BaseRecord,
    target: &LogTarget,
    sure: Option<SurePoint>,
) -> Result<ResolvedTarget, Error> {
    let end = *scan.end.get_or_insert(reach.behind(size));
    // A target in front of the trouble is reached all the same.
    let reached = scan.next.is_some() || scan.hit.is_some() || *target == LogTarget::Base;
    match trouble(reach, size, end, sure).filter(|_| !reached) {
        None => target.resolve(base, scan, sure.map(|sure| sure.at)),
        Some(trouble) => {
            let last = scan.last.as_ref().map_or(base.ended, |last| last.at);
            let error = Error::new(format!("cannot restore {target}"), trouble).kind(ErrorKind::NotFound);
            Err(error.hint(format!("the newest state that can be reached is that of {last}")))
        }
    }
}

/// Why a log that can be read up to `end` is not complete.
fn trouble(reach: &Reach, size: u64, end: Lsn, sure: Option<SurePoint>) -> Option<String> {
    let readable = Lsn(end.0.saturating_add(RECORD));
    if readable < reach.last.start(size) {
        return Some(format!("the log is damaged at {end}"));
    }
    if let Some(missing) = &reach.gap {
        return Some(format!("segment `{missing}` of the log is missing or damaged"));
    }
    // A record may lie across the end of a segment, but what was received behind it lies in a next one.
    let short = sure.filter(|sure| sure.lsn > readable || sure.lsn > reach.behind(size));
    short.map(|sure| format!("the log can be read up to {end}, and had been received up to {}", sure.lsn))
}

async fn segment_size(volumes: &dyn Volumes, component: &str) -> Result<u64, Error> {
    let tool = volumes.side_tool(component, "pg_controldata", &["-D", "data"]).await?;
    let said = tool.text("`pg_controldata`").await?;
    let size = said.lines().find_map(|line| line.strip_prefix("Bytes per WAL segment:")?.trim().parse().ok());
    size.ok_or_else(|| Error::new("`pg_controldata`", "it does not say how large a segment of the log is"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn a_log_that_ends_too_early_is_told_from_one_at_its_end() {
        const MB: u64 = 1 << 20;
        let segment = |number| Segment { timeline: 1, number };
        let reach = |gap: Option<&str>| Reach { first: segment(2), last: segment(5), gap: gap.map(str::to_owned) };
        let sure = |lsn| Some(SurePoint { lsn: Lsn(lsn), at: Timestamp::UNIX_EPOCH });
        assert_eq!(trouble(&reach(None), MB, Lsn(5 * MB + 10), None), None);
        assert_eq!(trouble(&reach(None), MB, Lsn(5 * MB - 10), None), None, "a record that lies across the boundary");
        assert_eq!(trouble(&reach(None), MB, Lsn(5 * MB + 10), sure(5 * MB)), None);
        let said = |reach, end, sure| trouble(&reach, MB, Lsn(end), sure).unwrap_or_default();
        assert_eq!(said(reach(None), 3 * MB, None), "the log is damaged at 0/300000");
        assert_eq!(said(reach(Some("X")), 6 * MB, None), "segment `X` of the log is missing or damaged");
        assert!(said(reach(None), 5 * MB, sure(6 * MB)).ends_with("had been received up to 0/600000"));
        let next = said(reach(None), 6 * MB, sure(6 * MB + 10));
        assert!(
            next.ends_with("up to 0/600000, and had been received up to 0/60000A"),
            "its last segment is gone: {next}"
        );
    }
}
