//! The identity lock: what may be done to a standing platform, given what its owner opted in and what was found.
//!
//! Opted in: each part that a drill touches carries the drill token. Meant: the fingerprints, which cannot be copied with
//! a name, are those in the drill's file. What is on the deny list is never touched. Apart from the look at the platform
//! because this is pure: it compares.

use super::names::TOKEN;
use super::settings::{Attach, Fingerprints};
use crate::environment::{Act, Identity};
use std::collections::BTreeSet;

/// The parts that carry the token, as they are said.
pub const TOKENS: [&str; 4] = ["the platform's namespace", "the store's namespace", "the database", "the bucket"];
/// The fingerprints' names in a drill's file, in the order of [`Fingerprints`].
pub const FINGERPRINTS: [&str; 6] = ["cluster", "namespace", "store", "postgres", "database", "bucket"];
/// Of which fingerprint each token's part is; by index.
const OF: [usize; 4] = [1, 2, 4, 5];

/// The token of a part.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum PartToken {
    /// The part does not answer.
    #[default]
    Silent,
    /// It carries none.
    Absent,
    /// It carries this one.
    Carried(String),
}

impl PartToken {
    /// Of a part that answers.
    pub fn of(found: Option<String>) -> Self {
        found.map_or(Self::Absent, Self::Carried)
    }
}

/// What was found of a platform that identifies it.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct PlatformIdentity {
    /// In the order of [`TOKENS`].
    pub tokens: [PartToken; 4],
    /// In the order of [`FINGERPRINTS`]; none where it could not be read.
    pub fingerprints: [Option<String>; 6],
    /// Where MLflow keeps its artifacts, if its settings could be read.
    pub settings: Option<String>,
}

impl PlatformIdentity {
    /// The fingerprints, for a drill's file.
    pub fn told(&self) -> impl Iterator<Item = (&'static str, &str)> {
        FINGERPRINTS.into_iter().zip(self.fingerprints.iter().map(|seen| seen.as_deref().unwrap_or("cannot be read")))
    }
}

/// What a run knows of a standing platform beside the drill's file.
#[derive(Debug, Default, Clone)]
pub struct Known {
    /// The fingerprints of what took the place of something, by their names.
    pub renewed: Vec<(&'static str, String)>,
    /// The fingerprints that acts of this run have ended and that nothing is known of yet.
    pub ended: BTreeSet<&'static str>,
    /// Has this run struck? Then a part may be silent.
    pub struck: bool,
}

impl Known {
    /// An act ends an identity, and all that goes with it.
    pub fn ends(&mut self, identity: Identity) {
        let names: &[&'static str] = match identity {
            Identity::Database => &["database"],
            Identity::Server => &["postgres", "database"],
            Identity::Namespace => &["namespace", "postgres", "database"],
        };
        self.ended.extend(names);
    }

    /// Takes what stands in the place of what this run has ended for what it has to be from now on; answers what is new.
    pub fn bind(&mut self, attach: &Attach, seen: &PlatformIdentity) -> Vec<(&'static str, String)> {
        let new: Vec<_> = FINGERPRINTS
            .iter()
            .zip(&seen.fingerprints)
            .zip(expected(attach, self))
            .filter_map(|((name, found), expected)| {
                let found = found.as_ref().filter(|found| **found != expected)?;
                self.ended.contains(name).then(|| (*name, found.clone()))
            })
            .collect();
        self.renew(&new);
        new
    }

    /// Remembers new identities.
    pub fn renew(&mut self, new: &[(&'static str, String)]) {
        for (name, found) in new {
            self.ended.remove(name);
            self.renewed.retain(|(known, _)| known != name);
            self.renewed.push((name, found.clone()));
        }
    }
}

fn expected(attach: &Attach, known: &Known) -> [String; 6] {
    let Fingerprints { cluster, namespace, store, postgres, database, bucket } = attach.fingerprints.clone();
    let mut all = [cluster, namespace, store, postgres, database, bucket];
    for (name, slot) in FINGERPRINTS.iter().zip(&mut all) {
        if let Some((_, renewed)) = known.renewed.iter().find(|(renewed, _)| renewed == name) {
            slot.clone_from(renewed);
        }
    }
    all
}

/// All reasons why an act must not be done.
pub fn differences(attach: &Attach, known: &Known, seen: &PlatformIdentity, act: Act) -> Vec<String> {
    let mut all = vec![];
    if act != Act::Mend {
        all.extend((0..TOKENS.len()).filter_map(|index| token(attach, known, seen, act, index)));
    }
    for ((what, found), expected) in FINGERPRINTS.iter().zip(&seen.fingerprints).zip(expected(attach, known)) {
        match found {
            Some(found) if attach.deny.contains(found) => {
                all.push(format!("the fingerprint `{what}` is on the deny list: {found}"));
            }
            Some(found) if *found == expected || known.ended.contains(what) => {}
            Some(found) => all.push(format!("the fingerprint `{what}` is {found}, not {expected}")),
            None if may_be_silent(what, known, act) => {}
            None => all.push(format!("the fingerprint `{what}` cannot be read")),
        }
    }
    // A fault may change the settings, so they count only before the first.
    if let (false, Some(said), Some(reached)) =
        (known.struck || act == Act::Mend, &seen.settings, &seen.fingerprints[5])
        && said != reached
    {
        all.push(format!("MLflow's settings name the artifacts {said}, and the drill would reach {reached}"));
    }
    all
}

/// Has the owner withdrawn the token from a part that this run has not just replaced? Then no other part gets it.
pub fn withdrawn(attach: &Attach, seen: &PlatformIdentity, new: &[(&'static str, String)]) -> bool {
    let kept = |index: &usize| !new.iter().any(|(name, _)| *name == FINGERPRINTS[OF[*index]]);
    (0..TOKENS.len()).filter(kept).any(|index| match &seen.tokens[index] {
        PartToken::Carried(token) => *token != attach.token,
        PartToken::Absent => true,
        PartToken::Silent => false,
    })
}

/// What is wrong with the token of a part.
fn token(attach: &Attach, known: &Known, seen: &PlatformIdentity, act: Act, index: usize) -> Option<String> {
    let (part, fingerprint) = (TOKENS[index], FINGERPRINTS[OF[index]]);
    match &seen.tokens[index] {
        PartToken::Carried(token) if *token == attach.token => None,
        PartToken::Carried(token) => Some(format!("{part} is opted in as `{token}`, not as `{}`", attach.token)),
        PartToken::Absent => Some(format!("{part} carries no drill token: its owner has not opted it in ({TOKEN})")),
        PartToken::Silent if may_be_silent(fingerprint, known, act) => None,
        PartToken::Silent => Some(format!("whether {part} carries the drill token cannot be read")),
    }
}

/// May nothing be known of it? Clusters and stores always speak; the rest may have been silenced by this run.
fn may_be_silent(what: &str, known: &Known, act: Act) -> bool {
    match what {
        "cluster" | "store" => false,
        "namespace" => known.ended.contains(what),
        _ => act != Act::Plant && known.struck,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn attach(deny: &[&str]) -> Attach {
        let text = |text: &str| text.to_owned();
        let [cluster, namespace, store, postgres, database, bucket] = RIGHT.map(text);
        Attach {
            namespace: text("dr-test"),
            store: text("dr-test-store"),
            token: text("mine"),
            fingerprints: Fingerprints { cluster, namespace, store, postgres, database, bucket },
            deny: deny.iter().map(|it| text(it)).collect(),
        }
    }

    const RIGHT: [&str; 6] = ["c", "n", "s", "p", "p/1", "http://s3/b"];

    fn right() -> PlatformIdentity {
        let token = PartToken::Carried("mine".to_owned());
        PlatformIdentity {
            tokens: [token.clone(), token.clone(), token.clone(), token],
            fingerprints: RIGHT.map(|it| Some(it.to_owned())),
            settings: Some("http://s3/b".into()),
        }
    }

    fn said(known: &Known, seen: &PlatformIdentity, act: Act) -> Vec<String> {
        differences(&attach(&[]), known, seen, act)
    }

    fn struck() -> Known {
        Known { struck: true, ..Known::default() }
    }

    const ACTS: [Act; 3] = [Act::Plant, Act::Strike, Act::Mend];

    #[test]
    fn only_the_platform_that_was_opted_in_and_meant_is_touched() {
        for act in ACTS {
            assert!(said(&Known::default(), &right(), act).is_empty());
            for (index, name) in FINGERPRINTS.iter().enumerate() {
                let mut seen = right();
                seen.fingerprints[index] = Some("x".into());
                seen.settings = None;
                let all = said(&struck(), &seen, act);
                assert_eq!(all, [format!("the fingerprint `{name}` is x, not {}", RIGHT[index])]);
            }
        }
    }

    #[test]
    fn a_token_that_any_one_part_lacks_stops_the_harm_and_not_the_healing() {
        for (index, part) in TOKENS.iter().enumerate() {
            for (token, why) in [(None, "carries no drill token"), (Some("other".to_owned()), "opted in as `other`")] {
                let mut seen = right();
                seen.tokens[index] = PartToken::of(token);
                for act in [Act::Plant, Act::Strike] {
                    let all = said(&struck(), &seen, act);
                    assert!(all.len() == 1 && all[0].starts_with(part) && all[0].contains(why), "{all:?}");
                }
                assert!(said(&struck(), &seen, Act::Mend).is_empty());
            }
        }
    }

    #[test]
    fn the_deny_list_wins_for_every_part_and_every_act() {
        for denied in RIGHT {
            for act in ACTS {
                let all = differences(&attach(&[denied]), &struck(), &right(), act);
                assert!(all.len() == 1 && all[0].ends_with(&format!("is on the deny list: {denied}")), "{all:?}");
            }
        }
        let mut known = struck();
        known.ends(Identity::Namespace);
        let mut seen = right();
        seen.fingerprints[4] = Some("production".into());
        let all = differences(&attach(&["production"]), &known, &seen, Act::Mend);
        assert_eq!(all.len(), 1, "what took the place of something may be denied as well: {all:?}");
    }

    #[test]
    fn what_this_run_has_silenced_need_not_speak_and_before_that_everything_does() {
        for index in [3, 4, 5] {
            let mut silent = right();
            silent.fingerprints[index] = None;
            if let Some(token) = OF.iter().position(|of| *of == index) {
                silent.tokens[token] = PartToken::Silent;
            }
            assert!(!said(&Known::default(), &silent, Act::Plant).is_empty());
            assert!(!said(&Known::default(), &silent, Act::Strike).is_empty(), "nothing was struck yet");
            assert!(!said(&struck(), &silent, Act::Plant).is_empty());
            assert!(said(&struck(), &silent, Act::Strike).is_empty());
            assert!(said(&struck(), &silent, Act::Mend).is_empty());
        }
        for index in [0, 1, 2] {
            let mut silent = right();
            silent.fingerprints[index] = None;
            assert_eq!(said(&struck(), &silent, Act::Mend).len(), 1, "{}", FINGERPRINTS[index]);
        }
    }

    #[test]
    fn what_takes_the_place_of_what_this_run_ended_is_right_and_a_third_is_not() {
        let mut known = struck();
        let mut restored = right();
        restored.fingerprints[4] = Some("p/2".into());
        assert_eq!(said(&known, &restored, Act::Mend).len(), 1, "this run has not ended it");
        known.ends(Identity::Database);
        assert!(said(&known, &right(), Act::Mend).is_empty(), "it is not dropped yet");
        assert_eq!(known.bind(&attach(&[]), &right()), []);
        assert!(said(&known, &restored, Act::Mend).is_empty());
        assert_eq!(known.bind(&attach(&[]), &restored), [("database", "p/2".to_owned())]);
        assert!(said(&known, &restored, Act::Mend).is_empty());
        let mut third = right();
        third.fingerprints[4] = Some("p/3".into());
        assert_eq!(said(&known, &third, Act::Mend), ["the fingerprint `database` is p/3, not p/2"]);
        let mut server = right();
        (server.fingerprints[3], server.fingerprints[4]) = (Some("q".into()), Some("q/1".into()));
        assert_eq!(said(&known, &server, Act::Mend).len(), 2, "another server is another platform");
        known.ends(Identity::Server);
        assert!(said(&known, &server, Act::Mend).is_empty(), "unless this run took its disk");
    }

    #[test]
    fn what_was_replaced_gets_no_token_once_the_owner_has_withdrawn_it_elsewhere() {
        let new = [("database", "p/2".to_owned())];
        let mut restored = right();
        restored.tokens[2] = PartToken::Absent;
        assert!(!withdrawn(&attach(&[]), &restored, &new));
        assert!(withdrawn(&attach(&[]), &restored, &[]));
        restored.tokens[0] = PartToken::Absent;
        assert!(withdrawn(&attach(&[]), &restored, &new));
    }

    #[test]
    fn a_store_that_mlflow_does_not_use_is_not_the_one_that_was_meant() {
        let seen = PlatformIdentity { settings: Some("http://s3.other/b".into()), ..right() };
        let all = said(&Known::default(), &seen, Act::Plant);
        assert!(all.len() == 1 && all[0].contains("http://s3.other/b"), "{all:?}");
        assert!(said(&struck(), &seen, Act::Mend).is_empty(), "a fault may have changed the settings");
    }
}
