//! Plain data that all modules share: no behaviour beyond arithmetic, and no I/O.

pub mod at;
pub mod fact;
pub mod finding;
pub mod ledger;
pub mod onset;
pub mod report;
pub mod series;
pub mod span;
pub mod terms;
pub mod verdict;

pub use at::At;
pub use fact::{Answer, Answered, Fact, Line, Phase};
pub use finding::{Finding, Planted, Receipt, RecoveryPoint};
pub use ledger::{Mark, MarkState, Part};
pub use onset::{Disaster, Onset};
pub use span::{Period, Rate, Span};
pub use terms::{Depth, Expected, Objectives, StepTerms, StreakRule, Terms, Watch, When};
pub use verdict::{JudgementKind, Verdict};
