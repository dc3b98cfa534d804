//! Tests of the comparison: each difference is named, and what an honest restore changes is none.

use super::super::difference::Meaning::{Harm, Remark, Untold};
use super::super::objects::ObjectGroup;
use super::super::ways::Way;
use super::*;

fn lines(all: &[(&str, &str, &str)]) -> SchemaLines {
    let mut lines = SchemaLines::new();
    for (object, part, text) in all {
        lines.entry((*object).to_owned()).or_default().insert((*part).to_owned(), (*text).to_owned());
    }
    lines
}

#[test]
fn each_difference_of_the_schema_is_named_and_parts_of_what_is_gone_are_not() {
    let before = lines(&[
        ("table public.runs", "column a", "integer"),
        ("table public.runs", "index i", "CREATE INDEX i"),
        ("table public.tags", "column a", "integer"),
    ]);
    let now = lines(&[
        ("table public.runs", "column a", "bigint"),
        ("table public.runs", "column b", "text"),
        ("view public.v", "definition", "SELECT 1"),
    ]);
    let mut differences = Differences::default();
    schema(&before, &now, &mut differences);
    let texts: Vec<_> = differences.texts().into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        texts,
        [
            "table `public.runs`: the column a is `bigint` and was `integer`",
            "table `public.runs`: the index i is gone",
            "table `public.runs`: the column b was not there",
            "the table `public.tags` is gone",
            "the view `public.v` was not there",
        ]
    );
}

#[test]
fn a_sequence_may_be_ahead_and_must_not_collide() {
    let state = |next, highest, feeds: Option<&str>| SequenceState { next, highest, feeds: feeds.map(str::to_owned) };
    let said = |then: SequenceState, now: SequenceState| {
        let mut differences = Differences::default();
        let one = |state| BTreeMap::from([("s".to_owned(), state)]);
        sequences(&one(then), &one(now), &mut differences);
        differences.texts().first().map(|(_, text)| (*text).to_owned())
    };
    let feeding = |next, highest| state(next, Some(highest), Some("t.id"));
    assert_eq!(said(feeding(10, 9), feeding(42, 9)), None);
    assert_eq!(said(feeding(10, 9), feeding(7, 3)), None, "rows are judged elsewhere");
    assert_eq!(said(feeding(5, 9), feeding(5, 9)), None, "so it was before");
    let collides = said(feeding(10, 9), feeding(9, 9)).unwrap_or_default();
    assert_eq!(collides, "the sequence `s` gives 9 next, and `t.id` has 9 already");
    assert!(said(state(10, None, None), state(4, None, None)).is_some(), "one that feeds nothing does not go back");
}

fn contents(
    groups: &[(&str, i64, &str)],
    rows: Option<&[(&str, &str)]>,
    to: Option<(Belonging, bool)>,
) -> TableContents {
    let way = |(to, runs): (Belonging, bool)| Way { to, joins: vec![], key: vec!["x".into()], runs: runs.then_some(0) };
    let group = |(name, rows, digest): &(&str, i64, &str)| ((*name).to_owned(), RowDigest(*rows, (*digest).to_owned()));
    let row = |(key, hash): &(&str, &str)| ((*key).to_owned(), (*hash).to_owned());
    TableContents {
        way: to.map(way),
        groups: groups.iter().map(group).collect(),
        rows: rows.map(|rows| rows.iter().map(row).collect()),
        ..Default::default()
    }
}

fn compared(before: &TableContents, now: &TableContents, standing: bool) -> Vec<(Meaning, String)> {
    compared_by_point(before, None, now, standing)
}

fn compared_by_point(
    before: &TableContents,
    at_point: Option<&TableContents>,
    now: &TableContents,
    standing: bool,
) -> Vec<(Meaning, String)> {
    let names = BTreeMap::from([("1".to_owned(), "churn".to_owned())]);
    let mut differences = Differences::default();
    RowComparison { table: "public.t", before, at_point, now, names: &names, standing }.compare(&mut differences);
    differences.texts().into_iter().map(|(meaning, text)| (meaning, text.to_owned())).collect()
}

#[test]
fn rows_that_are_gone_changed_or_new_are_named_by_their_experiment() {
    let to = Some((Belonging::Experiment, true));
    let before = contents(&[("1", 10, "a"), ("2", 5, "b"), ("3", 5, "c"), ("4", 5, "d")], None, to);
    let now = contents(&[("1", 7, "x"), ("2", 5, "y"), ("3", 5, "c"), ("5", 1, "z"), ("4", 5, "d")], None, to);
    assert_eq!(compared(&before, &before, false), []);
    assert_eq!(
        compared(&before, &now, false),
        [
            (Harm, "`public.t`: gone are 3 rows of the experiment `churn` (3 of 10)".to_owned()),
            (Harm, "`public.t`: others than before are 5 rows of the experiment 2, which has no row".to_owned()),
            (Harm, "`public.t`: not there before were a row of the experiment 5, which has no row".to_owned()),
        ]
    );
}

#[test]
fn rows_of_small_tables_are_named_by_their_key() {
    let to = Some((Belonging::Model, false));
    let before = contents(&[("m", 3, "a")], Some(&[("m/1", "1"), ("m/2", "2"), ("m/3", "3")]), to);
    let now = contents(&[("m", 3, "b")], Some(&[("m/1", "1"), ("m/2", "9"), ("m/4", "4")]), to);
    let said = [
        (Harm, "rows of `public.t` are gone: `m/3`".to_owned()),
        (Harm, "rows of `public.t` are others now: `m/2`".to_owned()),
        (Harm, "rows of `public.t` were not there: `m/4`".to_owned()),
    ];
    assert_eq!(compared(&before, &now, false), said);
    let standing = compared(&before, &now, true).into_iter().map(|(meaning, _)| meaning).collect::<Vec<_>>();
    assert_eq!(standing, [Harm, Untold, Remark], "another may have changed it, and nobody may have lost it");
}

#[test]
fn where_others_write_ended_runs_must_stay_and_what_is_not_of_them_is_a_remark() {
    let (ended, traces) = (Some((Belonging::Experiment, true)), Some((Belonging::Experiment, false)));
    let meanings = |before: &TableContents, now: &TableContents| {
        compared(before, now, true).into_iter().map(|(meaning, _)| meaning).collect::<Vec<_>>()
    };
    for (to, changed) in [(ended, Untold), (traces, Remark)] {
        let before = contents(&[("1", 5, "a")], None, to);
        assert_eq!(meanings(&before, &contents(&[("1", 5, "a")], None, to)), []);
        assert_eq!(meanings(&before, &contents(&[("1", 4, "b")], None, to)), [Harm]);
        assert_eq!(meanings(&before, &contents(&[("1", 5, "b")], None, to)), [changed]);
        assert_eq!(meanings(&before, &contents(&[("1", 6, "b")], None, to)), [changed]);
    }
}

/// The rows `r/1` … of a small table that belongs to a model, with the digest of each; all of them are one group.
fn small(rows: &[(&str, &str)]) -> TableContents {
    let digest = format!("{rows:?}");
    let count = i64::try_from(rows.len()).unwrap_or_default();
    contents(&[("m", count, &digest)], Some(rows), Some((Belonging::Model, false)))
}

#[test]
fn what_users_had_changed_by_the_recovery_point_is_no_loss() {
    let before = small(&[("r/1", "a"), ("r/2", "b"), ("r/3", "c")]);
    let point = small(&[("r/1", "A"), ("r/3", "c"), ("r/4", "d")]); // one changed, one deleted, one new
    let said = |now: &[(&str, &str)]| compared_by_point(&before, Some(&point), &small(now), true);
    let one = |meaning, text: &str| vec![(meaning, format!("rows of `public.t` {text}"))];
    assert_eq!(said(&[("r/1", "A"), ("r/3", "c"), ("r/4", "d")]), [], "as in the point");
    assert_eq!(said(&[("r/1", "A"), ("r/4", "d")]), one(Harm, "are gone: `r/3`"), "before and in the point");
    assert_eq!(said(&[("r/1", "A"), ("r/3", "c")]), one(Harm, "are gone: `r/4`"), "in the point alone");
    let changed = one(Untold, "are others now: `r/1`");
    assert_eq!(said(&[("r/1", "x"), ("r/3", "c"), ("r/4", "d")]), changed, "neither as before nor as in the point");
    assert_eq!(said(&[("r/1", "a"), ("r/3", "c"), ("r/4", "d")]), changed, "as before and not as in the point");
    let changed = one(Untold, "are others now: `r/3`");
    assert_eq!(said(&[("r/1", "A"), ("r/3", "x"), ("r/4", "d")]), changed, "changed after the point alone");
    let point_and = |row| [("r/1", "A"), row, ("r/3", "c"), ("r/4", "d")];
    assert_eq!(said(&point_and(("r/2", "b"))), one(Untold, "are back that had been deleted: `r/2`"));
    assert_eq!(said(&point_and(("r/9", "z"))), one(Remark, "were not there: `r/9`"));
    let without = compared(&before, &small(&[("r/1", "A"), ("r/3", "c"), ("r/4", "d")]), true);
    let meanings: Vec<_> = without.into_iter().map(|(meaning, _)| meaning).collect();
    assert_eq!(meanings, [Harm, Untold, Remark], "of a point without digests nothing is known");
}

#[test]
fn groups_are_compared_with_the_recovery_point_too() {
    let to = Some((Belonging::Experiment, true));
    let of = |rows, digest: &str| contents(&[("1", rows, digest)], None, to);
    let (before, point) = (of(10, "a"), of(8, "b"));
    let said = |now: TableContents| compared_by_point(&before, Some(&point), &now, true);
    let one = |meaning, text: &str| vec![(meaning, format!("`public.t`: {text} of the experiment `churn`"))];
    assert_eq!(said(of(8, "b")), [], "as in the point");
    assert_eq!(said(of(7, "c")), [(Harm, "`public.t`: gone are a row of the experiment `churn` (1 of 8)".to_owned())]);
    assert_eq!(said(of(8, "x")), one(Untold, "others than in the recovery point are 8 rows"));
    assert_eq!(said(of(9, "x")), one(Untold, "not there in the recovery point were a row"));
    assert_eq!(said(of(10, "a")), one(Untold, "back after they had been deleted are 2 rows"), "an older state");
    let gone = contents(&[], None, to);
    assert_eq!(compared_by_point(&before, Some(&gone), &gone, true), [], "all of it was deleted by the point");
}

fn bucket(all: &[(&str, u64, &str, Option<&str>)]) -> BucketContents {
    let object = |(key, size, etag, digest): &(&str, u64, &str, Option<&str>)| {
        let content = ObjectContent { size: *size, etag: Some((*etag).to_owned()), digest: digest.map(str::to_owned) };
        ((*key).to_owned(), content)
    };
    BucketContents { objects: all.iter().map(object).collect(), ..Default::default() }
}

fn objects_compared(before: &BucketContents, now: &BucketContents, standing: bool) -> Vec<(Meaning, String)> {
    let mut differences = Differences::default();
    objects(before, now, standing, &mut differences);
    differences.texts().into_iter().map(|(meaning, text)| (meaning, text.to_owned())).collect()
}

const MD5: [&str; 2] = ["d41d8cd98f00b204e9800998ecf8427e", "900150983cd24fb0d6963f7d28e17f72"];

#[test]
fn objects_are_judged_by_their_bytes_and_where_those_were_not_read_by_the_servers_word() {
    let before =
        bucket(&[("a", 1, "x-2", Some("A")), ("b", 1, MD5[0], None), ("c", 1, "x-2", None), ("d", 1, "", None)]);
    let now = bucket(&[("a", 1, "y-3", Some("A")), ("b", 1, MD5[1], None), ("c", 1, "y-3", None), ("e", 1, "", None)]);
    assert_eq!(objects_compared(&before, &before, false), []);
    assert_eq!(
        objects_compared(&before, &now, false),
        [
            (Harm, "objects are gone: `d`".to_owned()),
            (Harm, "objects have other bytes: `b`".to_owned()),
            (Untold, "objects may have other bytes, since the server calls them otherwise: `c`".to_owned()),
            (Harm, "objects were not there: `e`".to_owned()),
            (Remark, "1 objects have the bytes of before under another ETag".to_owned()),
        ]
    );
    let flipped =
        bucket(&[("a", 1, "x-2", Some("B")), ("b", 1, MD5[0], None), ("c", 1, "x-2", None), ("d", 1, "", None)]);
    assert_eq!(objects_compared(&before, &flipped, false)[0].1, "objects have other bytes: `a`", "under the same ETag");
    let longer = bucket(&[("a", 2, "x-2", None), ("b", 1, MD5[0], None), ("c", 1, "x-2", None), ("d", 1, "", None)]);
    assert_eq!(objects_compared(&before, &longer, true)[0].0, Untold, "another may have written it");
}

#[test]
fn groups_of_objects_say_how_many_are_gone_or_new() {
    let group = |objects, digest: &str| ObjectGroup { objects, bytes: 9, digest: digest.to_owned() };
    let of = |groups: &[(&str, ObjectGroup)]| BucketContents {
        groups: Some(groups.iter().map(|(prefix, group)| ((*prefix).to_owned(), group.clone())).collect()),
        ..Default::default()
    };
    let before = of(&[("1/", group(5, "a")), ("2/", group(5, "b")), ("3/", group(5, "c"))]);
    let now = of(&[("1/", group(3, "x")), ("2/", group(5, "y")), ("4/", group(1, "z"))]);
    assert_eq!(
        objects_compared(&before, &now, false),
        [
            (Harm, "objects are gone: 2 of 5 under `1/`, 5 of 5 under `3/`".to_owned()),
            (Harm, "objects have other bytes: some of 5 under `2/`".to_owned()),
            (Harm, "objects were not there: 1 under `4/`".to_owned()),
        ]
    );
}

#[test]
fn a_bucket_that_keeps_no_versions_any_more_is_a_harm() {
    let of = |versions| BucketContents { versions, ..Default::default() };
    assert_eq!(objects_compared(&of(Some(true)), &of(Some(false)), true).len(), 1);
    assert_eq!(objects_compared(&of(Some(true)), &of(None), false), []);
}
