//! Tables of histories and what is to be done to each.
#![allow(clippy::unwrap_used)]

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Entries of one key, newest first: `o` a version, `x` a marker, each with its second and, for a version, its content.
fn history(text: &str) -> S3History {
    let entry = |(index, word): (usize, &str)| {
        let (marker, rest) = (word.starts_with('x'), &word[1..]);
        let (second, etag) = rest.split_once(':').unwrap_or((rest, rest));
        let (second, coarse) = second.strip_suffix('~').map_or((second, false), |second| (second, true));
        let from = at(second.parse().unwrap());
        let to = if coarse { at(from.as_second() + 1) } else { from };
        let (key, id, etag) = ("k".into(), word.into(), if marker { String::new() } else { etag.into() });
        S3Version { key, id, marker, latest: index == 0, from, to, size: u64::from(!marker), etag }
    };
    S3History::new("k".into(), text.split_whitespace().enumerate().map(entry).collect())
}

fn said(plan: &KeyPlan) -> String {
    let act = match &plan.act {
        Some(RollbackAct::Remove { markers, shows, .. }) => format!("remove {} show {shows}", markers.join(" ")),
        Some(RollbackAct::Copy { id, .. }) => format!("copy {id}"),
        Some(RollbackAct::Hide { .. }) => "hide".into(),
        None => plan.gone.clone().unwrap_or_else(|| "nothing".into()),
    };
    if plan.ambiguous { format!("{act}, ambiguous") } else { act }
}

/// To the second 10.
fn to_10(text: &str) -> String {
    said(&plan(&history(text), &RollbackGoal::Moment { at: at(10), until: None, keep_created: false }, None))
}

#[test]
fn a_key_is_put_back_to_a_moment_with_the_fewest_acts() {
    for (entries, expected) in [
        ("o5", "nothing"),
        ("x12 o5", "remove x12 show o5"),
        ("x14 x12 o5", "remove x14 x12 show o5"),
        ("x14 o12 o5", "copy o5"),
        ("o12 o5", "copy o5"),
        ("o14 o12 o5 o3", "copy o5"),
        ("o12 x11 o5", "copy o5"),
        ("o12", "hide"),
        ("o14 x12 o11", "hide"),
        ("x12 o11", "nothing"),
        ("x12 x9 o5", "nothing"),
        ("o12 x9 o5", "hide"),
        ("x9 o5", "nothing"),
        ("x12", "no version of it is left"),
    ] {
        assert_eq!(to_10(entries), expected, "{entries}");
    }
}

#[test]
fn what_has_the_content_of_then_already_is_not_copied_again() {
    assert_eq!(to_10("o20:same o12:bad o5:same"), "nothing", "the copy of an earlier rollback");
    assert_eq!(to_10("x25 o20:same o12:bad o5:same"), "remove x25 show o20:same");
    assert_eq!(to_10("o20:other o12:bad o5:same"), "copy o5:same");
}

#[test]
fn an_entry_of_the_second_in_which_the_moment_lies_is_said() {
    assert_eq!(to_10("o10~ o5"), "copy o5, ambiguous", "it may be the harm, and nothing is lost by undoing it");
    assert_eq!(to_10("x10~ o5"), "remove x10~ show o5, ambiguous");
    assert_eq!(to_10("o10~"), "nothing, ambiguous", "nothing older is there to come back to");
    assert_eq!(to_10("o12 o10~ o5"), "copy o5, ambiguous");
    assert_eq!(to_10("o12 o10~"), "copy o10~, ambiguous");
    assert_eq!(to_10("o11~ o5"), "copy o5", "surely later");
}

#[test]
fn what_users_did_after_the_disaster_and_what_they_made_can_stay() {
    let said = |text: &str| {
        said(&plan(&history(text), &RollbackGoal::Moment { at: at(10), until: Some(at(20)), keep_created: true }, None))
    };
    assert_eq!(said("o12 o5"), "copy o5");
    assert_eq!(said("o25 o12 o5"), "nothing", "a user has written it again");
    assert_eq!(said("x25 o12 o5"), "nothing", "a user has deleted it since");
    assert_eq!(said("o12"), "nothing", "a user made it");
    assert_eq!(said("o15 x12 o5"), "copy o5");
}

#[test]
fn a_null_version_beside_dated_ids_is_the_oldest() {
    let mut all = history("o12 x11").entries;
    all[0].id = "01ARYZ6S41TSV4RRFFQ69G5FAV".into();
    let null = S3Version { id: "null".into(), latest: false, from: at(12), to: at(13), ..all[0].clone() };
    let null = S3Version { etag: "first".into(), ..null };
    all.push(null);
    let goal = RollbackGoal::Moment { at: at(10), until: None, keep_created: false };
    assert_eq!(said(&plan(&S3History::new("k".into(), all), &goal, None)), "copy null");
}

#[test]
fn a_key_is_put_back_to_the_recorded_version_or_to_none() {
    let recorded = |text: &str, id: &str, etag: Option<&str>| {
        let recorded = RecordedObject { id: id.into(), etag: etag.map(str::to_owned) };
        said(&plan(&history(text), &RollbackGoal::Recorded { keep_others: false }, Some(&recorded)))
    };
    assert_eq!(recorded("o5", "o5", None), "nothing");
    assert_eq!(recorded("x12 o5", "o5", None), "remove x12 show o5");
    assert_eq!(recorded("o5~ o5", "o5", None), "copy o5", "ids need no times");
    assert_eq!(recorded("o12 o5", "o5", Some("5")), "copy o5");
    assert_eq!(recorded("o12 o5", "o5", Some("6")), "the version `o5` has another content");
    assert_eq!(recorded("o12", "o5", None), "the version `o5` is not there any more");
    assert_eq!(recorded("x12 o5", "x12", None), "`x12` is a delete marker");
    let absent = |text: &str, keep_others| said(&plan(&history(text), &RollbackGoal::Recorded { keep_others }, None));
    assert_eq!(absent("o12", false), "hide");
    assert_eq!(absent("x12 o5", false), "nothing");
    assert_eq!(absent("o12", true), "nothing");
}

/// Deleted between the seconds 10 and 20.
fn undeleted(text: &str) -> String {
    said(&plan(&history(text), &RollbackGoal::Deleted { begin: at(10), end: at(20) }, None))
}

#[test]
fn only_markers_of_the_disaster_that_hide_something_are_taken_away() {
    assert_eq!(undeleted("x12 o5"), "remove x12 show o5");
    assert_eq!(undeleted("x9 o5"), "nothing", "a user deleted it before");
    assert_eq!(undeleted("x21 o5"), "nothing", "a user deleted it after");
    assert_eq!(undeleted("o13 x12 o5"), "nothing", "a user has written it again");
    assert_eq!(undeleted("x12 x9 o5"), "nothing", "it was not there when the disaster came");
    assert_eq!(undeleted("x30 x12 o5"), "nothing", "a user deleted it once more");
    assert_eq!(undeleted("x14 x12 o5"), "remove x14 x12 show o5");
    assert_eq!(undeleted("x12"), "no version of it is left");
}
