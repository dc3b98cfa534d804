//! The facts of a run: what happened, never how to show it.
//!
//! The list is closed and its payloads are plain data, so that a new fault, check or environment needs no new fact.

use super::{Finding, JudgementKind, Mark, MarkState, Planted, Receipt, RecoveryPoint, Span, Terms, Verdict};
use crate::clock::Moment;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of a timeline's lines: another one is not read.
pub const VERSION: u32 = 4;

/// The part of a run that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The platform is set up and seeded.
    Provision,
    /// Backups run, clients write, and the steady state is proved.
    Baseline,
    /// The fault is injected and proved to take effect.
    Disaster,
    /// The runbook's steps, until clients are served again and stay served.
    Recovery,
    /// The service is proved whole, the marks are read back.
    Verify,
    /// Everything that was created is removed.
    Teardown,
}

/// What a probe got as an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The right answer, in time.
    Served,
    /// A wrong answer, a refusal or none in time; why.
    Failed(String),
    /// Not asked in time, or Lifeboat's own connection failed; never an outage.
    Unasked,
}

/// One tick of a probe: when it asked, and the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Index into the terms' probes.
    pub probe: usize,
    /// When it should have been asked.
    pub due: Moment,
    /// When it was asked.
    pub asked: Moment,
    /// When the answer had come.
    pub ended: Moment,
    /// The answer.
    pub answer: Answer,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The run began.
    Began {
        /// The run's name.
        run: String,
        /// Lifeboat's version.
        version: String,
        /// Digest of the plan.
        plan: String,
        /// Objectives, probes and checks of the drill. Boxed, because otherwise this rare fact would make all facts larger.
        terms: Box<Terms>,
    },
    /// A phase began; the one before ended.
    Phase(Phase),
    /// Something will be created that is to be removed again; fsynced before it is.
    Creating(Receipt),
    /// What is there will be changed, and nothing is made by it: an act of a step, or what a run found and renewed of a
    /// standing platform; fsynced before it is done.
    Acting(Receipt),
    /// All that was created has been removed.
    Removed,
    /// Something could not be removed.
    Left(String),
    /// A fault will be injected; fsynced before it is.
    Intended {
        /// Index of the fault.
        fault: usize,
        /// Its kind.
        kind: String,
        /// Enough to undo it.
        receipt: Receipt,
    },
    /// The call that injects the fault is being made.
    Injecting {
        /// Index of the fault.
        fault: usize,
    },
    /// The call that injects the fault returned.
    Injected {
        /// Index of the fault.
        fault: usize,
        /// Why it did not succeed.
        error: Option<String>,
    },
    /// The fault's own effect was looked for.
    Confirmed {
        /// Index of the fault.
        fault: usize,
        /// Met: it took effect.
        finding: Finding,
    },
    /// The fault was lifted.
    Lifted {
        /// Index of the fault.
        fault: usize,
        /// Why it could not be.
        error: Option<String>,
    },
    /// A step of the runbook began.
    StepBegan {
        /// Its id.
        id: String,
        /// Its kind.
        kind: String,
    },
    /// A step of the runbook ended.
    StepEnded {
        /// Its id.
        id: String,
        /// Its result.
        finding: Finding,
    },
    /// A step of the runbook was not carried out.
    StepSkipped {
        /// Its id.
        id: String,
        /// Its kind.
        kind: String,
        /// Why.
        reason: String,
    },
    /// A backup began.
    BackupBegan {
        /// Its number, from 1.
        number: u64,
    },
    /// A backup ended.
    BackupEnded {
        /// Its number.
        number: u64,
        /// The recovery point that it made.
        point: Option<RecoveryPoint>,
        /// Why it made none.
        error: Option<String>,
    },
    /// A probe's tick.
    Answered(Answered),
    /// The harness itself was stalled, or the machine was suspended.
    Stalled {
        /// The last heartbeat before.
        from: Moment,
        /// The first heartbeat after.
        to: Moment,
        /// How long the machine was suspended meanwhile: time that the monotonic clock does not count.
        #[serde(default = "none", skip_serializing_if = "is_none")]
        suspended: Span,
    },
    /// A mark will be sent.
    Sending(Mark),
    /// All parts of a mark were acknowledged.
    Acknowledged {
        /// Its number.
        mark: u64,
        /// The id of its subject.
        at: Option<String>,
    },
    /// A mark got no answer or a bad one: it may or may not be there.
    Unanswered {
        /// Its number.
        mark: u64,
        /// What was answered instead, or that there was no answer.
        reason: String,
    },
    /// A mark was read back.
    MarkState {
        /// Its number.
        mark: u64,
        /// What became of it.
        state: MarkState,
    },
    /// A check recorded, and perhaps made, what it will look for.
    Planted {
        /// Its name.
        check: String,
        /// What it planted.
        planted: Planted,
    },
    /// A check verified what it had planted.
    Checked {
        /// Its name.
        check: String,
        /// What it found.
        finding: Finding,
    },
    /// The run took a decision about itself, such as that on the baseline.
    Decided {
        /// What sort of thing was judged.
        kind: JudgementKind,
        /// What was judged.
        what: String,
        /// The result.
        verdict: Verdict,
        /// Why.
        reason: Option<String>,
    },
    /// The user stopped the run.
    Interrupted,
    /// A remark for the report.
    Note(String),
    /// The run ended.
    Ended,
}

impl Fact {
    /// What was recorded before something was made or changed.
    pub fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Creating(receipt) | Self::Acting(receipt) => Some(receipt),
            _ => None,
        }
    }
}

fn none() -> Span {
    Span::seconds(0)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_none(span: &Span) -> bool {
    span.0.is_zero()
}

/// A line of the timeline: a fact with its number, its times and the digest of the line before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Version of the schema.
    pub schema: u32,
    /// Number, from 0, without gaps.
    pub number: u64,
    /// When, on the run's monotonic clock.
    pub at: Moment,
    /// When, in wall time.
    pub wall: Timestamp,
    /// Digest of the line before.
    pub before: String,
    /// What happened.
    pub fact: Fact,
}

impl Line {
    /// A line of today's schema; the timeline gives it its number and the digest when it is appended.
    pub fn new(at: Moment, wall: Timestamp, fact: Fact) -> Self {
        Self { schema: VERSION, number: 0, at, wall, before: String::new(), fact }
    }
}
