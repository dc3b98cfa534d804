//! The rows of the comparison: medians, ratios and the limit that was hit.
//!
//! Apart and pure, so that `tests/pure/engine_bench.rs` holds the arithmetic. Not here: measuring.

use serde::Serialize;
use std::ops::AddAssign;
use tabled::builder::Builder;
use tabled::settings::Style;

/// Fewer rounds make no row.
pub const ROUNDS: usize = 3;
/// Above this share of its time a resource counts as the limit.
const FULL: f64 = 0.85;
const MEGABYTE: f64 = 1e6;

/// What one side did in one round.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Wall time.
    pub seconds: f64,
    /// The most memory that its processes held at once, in bytes.
    pub peak: u64,
    /// What it stored.
    pub bytes: Option<u64>,
    /// What kept the machine busy meanwhile.
    pub load: Load,
}

/// Seconds of work within a time: of all processors, and of the disk.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// Processors of the machine.
    pub processors: f64,
    /// All that processors did.
    pub busy: f64,
    /// Of that, the client with all its processes.
    pub client: f64,
    /// Of that, the server that it works on.
    pub server: f64,
    /// The time in which the disk had something to do; nothing where it is not known.
    pub disk: Option<f64>,
    /// The busiest process that has one thread only.
    pub single: f64,
    /// Which server that is: `postgres` or `store`.
    pub on: &'static str,
}

/// One line of the comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What is done, with its size.
    pub work: String,
    /// Beside what.
    pub peer: String,
    /// Its version.
    pub peer_version: String,
    /// Our median, in seconds.
    pub ours_s: f64,
    /// The peer's median, in seconds.
    pub peer_s: f64,
    /// The peer's time by ours: above 1 we are faster.
    pub ratio: f64,
    /// What ours stored, or what the server copied for it; nothing where nothing is stored.
    pub ours_bytes: Option<u64>,
    /// The same of the peer.
    pub peer_bytes: Option<u64>,
    /// What held ours back.
    pub limit: String,
    /// The most memory of our client's processes, in megabytes.
    pub ours_peak_mb: f64,
    /// The same of the peer's.
    pub peer_peak_mb: f64,
    /// Ours, round by round.
    pub ours_rounds_s: Vec<f64>,
    /// The peer's, round by round.
    pub peer_rounds_s: Vec<f64>,
}

/// The median; of an even number the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

impl Round {
    /// Two parts, one after the other, as one.
    pub fn then(mut self, next: &Self) -> Self {
        self.seconds += next.seconds;
        self.peak = self.peak.max(next.peak);
        self.bytes = [self.bytes, next.bytes].into_iter().flatten().reduce(|a, b| a + b);
        self.load += &next.load;
        self
    }
}

impl AddAssign<&Self> for Load {
    fn add_assign(&mut self, next: &Self) {
        self.processors = next.processors;
        self.busy += next.busy;
        self.client += next.client;
        self.server += next.server;
        self.disk = self.disk.zip(next.disk).map(|(a, b)| a + b);
        self.single += next.single;
        self.on = next.on;
    }
}

impl Load {
    /// What held the client back for so many seconds, in short. On loopback it is never the network.
    pub fn limit(&self, seconds: f64) -> String {
        let (seconds, processors) = (seconds.max(f64::EPSILON), self.processors.max(1.0));
        let share = |part: f64| part / (seconds * processors);
        let (busy, disk, single) = (share(self.busy), self.disk.map(|disk| disk / seconds), self.single / seconds);
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let name = match () {
            () if busy >= FULL && self.busy > 2.0 * (self.client + self.server) => "cpu, most of it other programs'",
            () if busy >= FULL && self.server > 2.0 * self.client => "cpu of the server",
            () if busy >= FULL => "cpu",
            () if disk.is_some_and(|disk| disk >= FULL) => "disk",
            () if single >= FULL => "cpu, one process of one thread",
            () if self.on == "store" => "store",
            () => "none alone",
        };
        let disk = disk.map(|disk| format!(", disk {}", percent(disk.min(1.0)))).unwrap_or_default();
        let (ours, server) = (percent(share(self.client)), percent(share(self.server)));
        format!("{name} (processors {}: ours {ours}, {} {server}{disk})", percent(busy.min(1.0)), self.on)
    }
}

impl Row {
    /// A row from the rounds of both sides; nothing if there were too few.
    pub fn of(work: &str, peer: (&str, &str), ours: &[Round], theirs: &[Round]) -> Option<Self> {
        if ours.len() < ROUNDS || theirs.len() < ROUNDS {
            return None;
        }
        let seconds = |rounds: &[Round]| rounds.iter().map(|round| round.seconds).collect::<Vec<_>>();
        let (ours_rounds_s, peer_rounds_s) = (seconds(ours), seconds(theirs));
        let (ours_s, peer_s) = (median(ours_rounds_s.clone())?, median(peer_rounds_s.clone())?);
        let peak = |rounds: &[Round]| rounds.iter().map(|round| round.peak).max().unwrap_or_default();
        #[allow(clippy::cast_precision_loss)] // of megabytes
        let peak = |rounds: &[Round]| round(peak(rounds) as f64 / MEGABYTE, 1.0);
        let typical = ours.iter().min_by(|a, b| {
            let far = |round: &Round| (round.seconds - ours_s).abs();
            far(a).total_cmp(&far(b))
        })?;
        Some(Self {
            work: work.to_owned(),
            peer: peer.0.to_owned(),
            peer_version: peer.1.to_owned(),
            ours_s: round(ours_s, 1e3),
            peer_s: round(peer_s, 1e3),
            ratio: round(peer_s / ours_s.max(f64::EPSILON), 1e2),
            ours_bytes: typical.bytes,
            peer_bytes: theirs[0].bytes,
            limit: typical.load.limit(typical.seconds),
            ours_peak_mb: peak(ours),
            peer_peak_mb: peak(theirs),
            ours_rounds_s: ours_rounds_s.into_iter().map(|it| round(it, 1e3)).collect(),
            peer_rounds_s: peer_rounds_s.into_iter().map(|it| round(it, 1e3)).collect(),
        })
    }
}

fn round(value: f64, by: f64) -> f64 {
    (value * by).round() / by
}

/// The rows for a terminal.
pub fn table(rows: &[Row]) -> String {
    let mut builder = Builder::default();
    builder.push_record([
        "work",
        "peer",
        "ours s",
        "peer s",
        "peer/ours",
        "ours MB",
        "peer MB",
        "ours peak MB",
        "peer peak MB",
        "limit",
    ]);
    #[allow(clippy::cast_precision_loss)] // of megabytes
    let megabytes = |bytes: Option<u64>| bytes.map_or("-".into(), |bytes| format!("{:.0}", bytes as f64 / MEGABYTE));
    for row in rows {
        builder.push_record([
            row.work.clone(),
            format!("{} {}", row.peer, row.peer_version),
            format!("{:.2}", row.ours_s),
            format!("{:.2}", row.peer_s),
            format!("{:.2}", row.ratio),
            megabytes(row.ours_bytes),
            megabytes(row.peer_bytes),
            format!("{:.0}", row.ours_peak_mb),
            format!("{:.0}", row.peer_peak_mb),
            row.limit.clone(),
        ]);
    }
    builder.build().with(Style::psql()).to_string()
}
