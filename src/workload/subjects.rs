//! Plans what each mark does, and judges the marks that are read back; both are pure.
//!
//! Apart so that the judgement can be tested with thousands of histories and no platform. A subject's marks are in order:
//! create, then overwrites, then perhaps a delete. The state of a part, the row or the object, shows how many of these
//! marks were applied to it. A mark that was not applied to a part is missing in that part.

use super::Entry;
use crate::model::ledger::Operation;
use crate::model::{Mark, MarkState, Part};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use std::collections::BTreeMap;

/// Plans the marks of one stream: which subject is written next, and with which operation.
pub struct Subjects {
    stream: &'static str,
    parts: &'static [Part],
    rng: StdRng,
    made: u64,
    idle: Vec<(String, String)>,
}

/// A mark to be sent, with the bytes of its object, if it has one.
#[derive(Debug, Clone)]
pub struct WriteRequest {
    /// The mark.
    pub mark: Mark,
    /// The object's bytes; the mark's value is their digest.
    pub bytes: Vec<u8>,
}

impl Subjects {
    /// A stream of subjects named `STREAM N`, the same for the same seed and the same answers.
    pub fn new(stream: &'static str, parts: &'static [Part], seed: u64) -> Self {
        Self { stream, parts, rng: StdRng::seed_from_u64(seed), made: 0, idle: vec![] }
    }

    /// The next write. One in ten changes an earlier subject, of those that are acknowledged and have no write under
    /// way; the others make a new one.
    pub fn next(&mut self, number: u64) -> WriteRequest {
        let change = self.rng.random_ratio(1, 10) && !self.idle.is_empty();
        let (subject, at, operation) = if change {
            let (subject, at) = self.idle.swap_remove(self.rng.random_range(0..self.idle.len()));
            (subject, Some(at), if self.rng.random_bool(0.5) { Operation::Overwrite } else { Operation::Delete })
        } else {
            self.made += 1;
            (format!("{} {}", self.stream, self.made), None, Operation::Create)
        };
        let (value, bytes) =
            if operation == Operation::Delete { ("deleted".to_owned(), vec![]) } else { self.content() };
        WriteRequest { mark: Mark { number, subject, operation, parts: self.parts.to_vec(), value, at }, bytes }
    }

    /// The mark was acknowledged, and this is the id of its subject. The subject may be changed again, unless it was
    /// deleted. The subject of a mark without an answer is never changed again.
    pub fn acknowledged(&mut self, mark: &Mark, at: &str) {
        if mark.operation != Operation::Delete {
            self.idle.push((mark.subject.clone(), at.to_owned()));
        }
    }

    fn content(&mut self) -> (String, Vec<u8>) {
        if !self.parts.contains(&Part::Object) {
            return (format!("{:016x}", self.rng.next_u64()), vec![]);
        }
        let mut bytes = vec![0; self.rng.random_range(1024..8192)];
        self.rng.fill_bytes(&mut bytes);
        (blake3::hash(&bytes).to_hex().to_string(), bytes)
    }
}

/// The state of one part of a subject when it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartState {
    /// It is there with this value (for an object: the digest).
    Value(String),
    /// Its row is there, marked as deleted.
    Deleted,
    /// It is not there.
    Absent,
    /// It could not be read.
    Unread,
}

/// The state of a subject's data when it is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataState {
    /// All of it is there as it was written, or none was to be written.
    Whole,
    /// Some of it is not there.
    Missing,
    /// All of it is there, and some of it is not as it was written.
    Changed,
}

/// The state of all parts of a subject when it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBack {
    /// Its row.
    pub row: PartState,
    /// Its data; ignored for a subject without any, and for one without a row.
    pub data: DataState,
    /// Its object; ignored for a subject without one.
    pub object: PartState,
}

/// The state of each acknowledged mark, in the order of their numbers. A subject that was not read back is absent.
///
/// A mark that was applied to both parts survived. One that was applied to neither is lost, or resurrected if it is a
/// delete and something of the subject is there. One that was applied to one part is half. A later mark that was never
/// acknowledged may be applied or not, in either part. A content that no mark wrote makes the newest acknowledged mark
/// corrupted. Data are written by the first mark alone: if some are missing it is half, if some are changed corrupted.
pub fn judge(entries: &[Entry], seen: &BTreeMap<String, ReadBack>) -> Vec<(u64, MarkState)> {
    let mut subjects: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        subjects.entry(&entry.mark.subject).or_default().push(entry);
    }
    let absent = ReadBack { row: PartState::Absent, data: DataState::Whole, object: PartState::Absent };
    let mut states = vec![];
    for (subject, mut history) in subjects {
        history.sort_by_key(|entry| entry.mark.number);
        judge_subject(&history, seen.get(subject).unwrap_or(&absent), &mut states);
    }
    states.sort_by_key(|(number, _)| *number);
    states
}

/// How many marks of its subject were applied to a part: 0 is before the first one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AppliedMarks {
    Marks(usize),
    UnknownContent,
    Unread,
}

fn judge_subject(history: &[&Entry], seen: &ReadBack, states: &mut Vec<(u64, MarkState)>) {
    let Some(newest) = history.iter().rposition(|entry| entry.acknowledged) else { return };
    let with_object = history.iter().any(|entry| entry.mark.parts.contains(&Part::Object));
    let row = applied(history, &seen.row);
    let object = match (with_object, &seen.object) {
        (false, _) => row,
        // An object that is not there was deleted or never written: the row tells which.
        (true, PartState::Absent) if row != AppliedMarks::Marks(0) => applied(history, &PartState::Deleted),
        (true, state) => applied(history, state),
    };
    let there = [&seen.row, &seen.object]
        .iter()
        .zip([true, with_object])
        .any(|(s, asked)| asked && matches!(s, PartState::Value(_)));
    for (index, entry) in history.iter().enumerate().filter(|(_, entry)| entry.acknowledged) {
        let has = |applied: AppliedMarks| match applied {
            AppliedMarks::Marks(count) => index < count,
            AppliedMarks::UnknownContent | AppliedMarks::Unread => true,
        };
        let state = match (has(row), has(object)) {
            _ if row == AppliedMarks::Unread || object == AppliedMarks::Unread => MarkState::Unread,
            _ if index == newest && (row == AppliedMarks::UnknownContent || object == AppliedMarks::UnknownContent) => {
                MarkState::Corrupted
            }
            (true, true) => data_state(&entry.mark, seen.data),
            (false, false) if entry.mark.operation == Operation::Delete && there => MarkState::Resurrected,
            (false, false) => MarkState::Lost,
            _ => MarkState::Half,
        };
        states.push((entry.mark.number, state));
    }
}

/// The state of a mark whose row and object are there.
fn data_state(mark: &Mark, data: DataState) -> MarkState {
    let writes_data = mark.operation == Operation::Create && mark.parts.contains(&Part::Data);
    match data {
        DataState::Missing if writes_data => MarkState::Half,
        DataState::Changed if writes_data => MarkState::Corrupted,
        _ => MarkState::Survived,
    }
}

fn applied(history: &[&Entry], state: &PartState) -> AppliedMarks {
    let last = |wanted: &dyn Fn(&Mark) -> bool| history.iter().rposition(|entry| wanted(&entry.mark)).map(|i| i + 1);
    match state {
        PartState::Value(value) => last(&|mark| mark.operation != Operation::Delete && mark.value == *value)
            .map_or(AppliedMarks::UnknownContent, AppliedMarks::Marks),
        PartState::Deleted => AppliedMarks::Marks(last(&|mark| mark.operation == Operation::Delete).unwrap_or(0)),
        PartState::Absent => AppliedMarks::Marks(0),
        PartState::Unread => AppliedMarks::Unread,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(number: u64, operation: Operation, acknowledged: bool, parts: &[Part]) -> Entry {
        let value = format!("value {number}");
        let mark = Mark { number, subject: "run 1".into(), operation, parts: parts.to_vec(), value, at: None };
        Entry { mark, acknowledged }
    }

    fn states(entries: &[Entry], row: PartState, object: PartState) -> Vec<MarkState> {
        let seen = BTreeMap::from([("run 1".to_owned(), ReadBack { row, data: DataState::Whole, object })]);
        judge(entries, &seen).into_iter().map(|(_, state)| state).collect()
    }

    fn value(number: u64) -> PartState {
        PartState::Value(format!("value {number}"))
    }

    const ROW: &[Part] = &[Part::Row];
    const BOTH: &[Part] = &[Part::Row, Part::Object];

    #[test]
    fn an_older_value_means_that_the_newer_marks_are_lost() {
        let history =
            [1, 2, 3].map(|n| entry(n, if n == 1 { Operation::Create } else { Operation::Overwrite }, true, ROW));
        assert_eq!(
            states(&history, value(2), PartState::Absent),
            [MarkState::Survived, MarkState::Survived, MarkState::Lost]
        );
        assert_eq!(states(&history, PartState::Absent, PartState::Absent), [MarkState::Lost; 3]);
    }

    #[test]
    fn a_delete_that_was_undone_is_resurrected_and_nothing_else_is() {
        let history = [entry(1, Operation::Create, true, BOTH), entry(2, Operation::Delete, true, BOTH)];
        assert_eq!(states(&history, value(1), value(1)), [MarkState::Survived, MarkState::Resurrected]);
        assert_eq!(states(&history, PartState::Deleted, PartState::Absent), [MarkState::Survived; 2]);
        assert_eq!(states(&history, value(1), PartState::Absent), [MarkState::Survived, MarkState::Half]);
    }

    #[test]
    fn a_row_without_its_object_is_half_there_and_unknown_content_is_corrupted() {
        let history = [entry(1, Operation::Create, true, BOTH)];
        assert_eq!(states(&history, value(1), PartState::Absent), [MarkState::Half]);
        assert_eq!(states(&history, PartState::Absent, value(1)), [MarkState::Half]);
        assert_eq!(states(&history, value(1), value(9)), [MarkState::Corrupted]);
        assert_eq!(states(&history, value(1), PartState::Unread), [MarkState::Unread]);
    }

    #[test]
    fn a_run_without_its_params_or_metrics_is_half_there_and_with_others_it_is_corrupted() {
        let parts = &[Part::Row, Part::Data];
        let history = [entry(1, Operation::Create, true, parts), entry(2, Operation::Overwrite, true, parts)];
        let states = |row, data| {
            let seen = BTreeMap::from([("run 1".to_owned(), ReadBack { row, data, object: PartState::Absent })]);
            judge(&history, &seen).into_iter().map(|(_, state)| state).collect::<Vec<_>>()
        };
        assert_eq!(states(value(2), DataState::Whole), [MarkState::Survived; 2]);
        assert_eq!(states(value(2), DataState::Missing), [MarkState::Half, MarkState::Survived]);
        assert_eq!(states(value(2), DataState::Changed), [MarkState::Corrupted, MarkState::Survived]);
        assert_eq!(states(PartState::Absent, DataState::Missing), [MarkState::Lost; 2]);
    }

    #[test]
    fn a_write_without_an_answer_may_be_applied_to_either_part() {
        let history = [entry(1, Operation::Create, true, BOTH), entry(2, Operation::Overwrite, false, BOTH)];
        for (row, object) in [(1, 1), (2, 2), (2, 1), (1, 2)] {
            assert_eq!(states(&history, value(row), value(object)), [MarkState::Survived]);
        }
    }

    #[test]
    fn one_write_at_most_is_under_way_for_a_subject_and_one_in_ten_is_a_change() {
        let mut subjects = Subjects::new("artifact", BOTH, 7);
        let mut under_way: Vec<Mark> = vec![];
        let mut changes = 0;
        for number in 1..=2000 {
            let mark = subjects.next(number).mark;
            assert!(under_way.iter().all(|other| other.subject != mark.subject), "{mark:?}");
            changes += usize::from(mark.operation != Operation::Create);
            under_way.push(mark);
            if under_way.len() > 20 {
                let mark = under_way.remove(0);
                subjects.acknowledged(&mark, "1/a");
            }
        }
        assert!((150..250).contains(&changes), "{changes}");
    }

    /// The delivery of a write: was it acknowledged? If not, was it applied to the row, and to the object?
    type Delivery = (bool, bool, bool);

    fn delivery() -> impl Strategy<Value = Delivery> {
        (prop::bool::weighted(0.7), any::<bool>(), any::<bool>())
    }

    /// The simplest possible store: of the first `cut` writes it applies those that were delivered.
    fn replay(history: &[(Operation, bool)], cut: usize, gone: &PartState) -> PartState {
        let mut state = PartState::Absent;
        for (index, (operation, _)) in history.iter().enumerate().take(cut).filter(|(_, (_, came))| *came) {
            state = if *operation == Operation::Delete { gone.clone() } else { value(index as u64) };
        }
        state
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_judgement_names_exactly_the_marks_that_a_cut_removed(
            create in delivery(), overwrites in prop::collection::vec(delivery(), 0..5), delete in prop::option::of(delivery()),
            rows_cut in 0usize..8, objects_cut in 0usize..8, together in any::<bool>(), with_object in any::<bool>(),
        ) {
            let mut acts = vec![(Operation::Create, create)];
            acts.extend(overwrites.iter().map(|delivery| (Operation::Overwrite, *delivery)));
            acts.extend(delete.map(|delivery| (Operation::Delete, delivery)));
            let parts = if with_object { BOTH } else { ROW };
            let objects_cut = if together || !with_object { rows_cut } else { objects_cut };
            let entries: Vec<_> =
                acts.iter().enumerate().map(|(i, (operation, delivery))| entry(i as u64, *operation, delivery.0, parts)).collect();
            let rows: Vec<_> = acts.iter().map(|(operation, delivery)| (*operation, delivery.0 || delivery.1)).collect();
            let objects: Vec<_> = acts.iter().map(|(operation, delivery)| (*operation, delivery.0 || delivery.2)).collect();
            let (row, object) = (replay(&rows, rows_cut, &PartState::Deleted), replay(&objects, objects_cut, &PartState::Absent));
            // Without a history an object that was deleted looks like one that was never written.
            let never = !objects.iter().take(objects_cut).any(|(_, came)| *came);
            let ambiguous = with_object && delete.is_some() && object == PartState::Absent && never != (row == PartState::Absent);
            prop_assume!(!ambiguous);
            let there = matches!(row, PartState::Value(_)) || with_object && matches!(object, PartState::Value(_));
            let expected: Vec<_> = acts.iter().enumerate().filter(|(_, (_, delivery))| delivery.0).map(|(i, (operation, _))| {
                match (i < rows_cut, i < objects_cut) {
                    (true, true) => MarkState::Survived,
                    (false, false) if *operation == Operation::Delete && there => MarkState::Resurrected,
                    (false, false) => MarkState::Lost,
                    _ => MarkState::Half,
                }
            }).collect();
            prop_assert_eq!(states(&entries, row, object), expected);
        }
    }
}
