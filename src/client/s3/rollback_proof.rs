//! The proof of a rollback: a fresh listing beside the acts of the plan, key by key.
//!
//! Apart because it must not rest on what the acts say of themselves. Fast clients have lost objects without an error
//! (peak/s5cmd#419), so every key is looked at: those with an act must show what the act was to show, and those without
//! one must still need none.

use super::history::S3History;
use super::rollback_plan::{KeyPlan, RollbackAct, RollbackGoal};
use crate::client::Error;
use futures::{Stream, TryStreamExt, pin_mut};
use std::collections::BTreeMap;

/// So many keys are kept by name; the rest is counted.
pub const NAMED: usize = 100;

/// Keys that are not as they should be: how many, and some of them with the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedKeys {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub named: BTreeMap<String, String>,
}

impl FailedKeys {
    /// One more.
    pub fn add(&mut self, key: String, why: String) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.insert(key, why);
        }
    }

    /// Leaves those out that are named in another, whose reason is the better one.
    pub fn forget(&mut self, other: &Self) {
        let before = self.named.len();
        self.named.retain(|key, _| !other.named.contains_key(key));
        self.count -= (before - self.named.len()) as u64;
    }
}

/// Compares a listing with the acts that were planned; both are in the order of the keys. `copies` are the ids of
/// copies by the numbers of their acts, `plan` is the plan of a key by now.
pub async fn compare(
    listing: impl Stream<Item = Result<S3History, Error>>,
    acts: impl Iterator<Item = Result<(u64, RollbackAct), Error>>,
    goal: &RollbackGoal,
    copies: &BTreeMap<u64, String>,
    mut plan: impl FnMut(&S3History) -> Result<KeyPlan, Error>,
) -> Result<FailedKeys, Error> {
    let mut different = FailedKeys::default();
    let mut acts = acts.peekable();
    pin_mut!(listing);
    while let Some(history) = listing.try_next().await? {
        let fresh = plan(&history)?;
        let mut of_key = None;
        let up_to = |next: &Result<(u64, RollbackAct), Error>| {
            next.as_ref().map_or(true, |(_, it)| it.key() <= history.key.as_str())
        };
        while let Some(next) = acts.next_if(up_to) {
            let (number, act) = next?;
            if act.key() == history.key {
                of_key = Some((number, act));
            } else {
                unlisted(&mut different, &act);
            }
        }
        let why = match &of_key {
            Some((number, act)) => wrong(&history, act, copies.get(number).map(String::as_str), goal),
            None => fresh.act.map(|_| "it was changed while the bucket was rolled back".to_owned()),
        };
        if let Some(why) = why {
            different.add(history.key, why);
        }
    }
    acts.try_for_each(|next| next.map(|(_, act)| unlisted(&mut different, &act)))?;
    Ok(different)
}

/// Nothing is left of a key that had an act. To be hidden, it need not be there.
fn unlisted(different: &mut FailedKeys, act: &RollbackAct) {
    if !matches!(act, RollbackAct::Hide { .. }) {
        different.add(act.key().to_owned(), "it is not listed".into());
    }
}

/// Why a key does not show what its act was to show; nothing if it does.
fn wrong(history: &S3History, act: &RollbackAct, copy: Option<&str>, goal: &RollbackGoal) -> Option<String> {
    // Where users go on writing, a key that they have written since is theirs.
    let users_go_on = !matches!(goal, RollbackGoal::Recorded { .. } | RollbackGoal::Moment { until: None, .. });
    match (act, history.visible()) {
        (RollbackAct::Hide { .. }, None) => None,
        (RollbackAct::Hide { .. }, Some(_)) => Some("it is still seen".into()),
        (_, None) => Some("it is not listed".into()),
        (RollbackAct::Remove { shows, .. }, Some(seen)) => {
            (seen.id != *shows && !users_go_on).then(|| format!("`{}` is seen in place of `{shows}`", seen.id))
        }
        (RollbackAct::Copy { id, size, etag, .. }, Some(seen)) => {
            let same = seen.same_content(etag, *size) || copy == Some(seen.id.as_str()) && seen.size == *size;
            (!same).then(|| format!("its content is not that of `{id}`"))
        }
    }
}
