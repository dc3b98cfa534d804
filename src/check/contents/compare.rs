//! Compares what was there with what is there: schema, sequences, rows, objects.
//!
//! Pure. Where others write, additions are no difference, and a row of theirs that is another now may be their own work.
//! What they had changed by the recovery point that was restored is told from loss by what the point had.

use super::catalogue::{SchemaLines, SequenceState};
use super::difference::{Differences, Meaning};
use super::objects::{BucketContents, ObjectContent};
use super::rows::{RowDigest, TableContents};
use super::ways::Belonging;
use std::collections::{BTreeMap, BTreeSet};

/// The schema. A part of an object that is gone itself is not told of.
pub fn schema(before: &SchemaLines, now: &SchemaLines, differences: &mut Differences) {
    for (object, parts) in before {
        let Some(now) = now.get(object) else {
            differences.push(Meaning::Harm, format!("the {} is gone", told(object)));
            continue;
        };
        for (part, text) in parts {
            match now.get(part) {
                None => differences.push(Meaning::Harm, format!("{}: the {part} is gone", told(object))),
                Some(other) if other != text => {
                    differences
                        .push(Meaning::Harm, format!("{}: the {part} is `{other}` and was `{text}`", told(object)));
                }
                Some(_) => {}
            }
        }
        for part in now.keys().filter(|part| !parts.contains_key(*part)) {
            differences.push(Meaning::Harm, format!("{}: the {part} was not there", told(object)));
        }
    }
    for object in now.keys().filter(|object| !before.contains_key(*object)) {
        differences.push(Meaning::Harm, format!("the {} was not there", told(object)));
    }
}

/// An object of the schema with its name quoted: "table `public.runs`".
fn told(object: &str) -> String {
    let kinds = ["event trigger", "extension", "function", "schema", "sequence", "table", "type", "view"];
    let kind = kinds.iter().find(|kind| object.strip_prefix(**kind).is_some_and(|rest| rest.starts_with(' ')));
    kind.map_or_else(|| object.to_owned(), |kind| format!("{kind} `{}`", &object[kind.len() + 1..]))
}

/// The sequences against the rows that they feed. They may be ahead; what they may not is give a number that is there.
pub fn sequences(
    before: &BTreeMap<String, SequenceState>,
    now: &BTreeMap<String, SequenceState>,
    differences: &mut Differences,
) {
    for (sequence, then) in before {
        let Some(now) = now.get(sequence) else { continue }; // the schema says so
        if now.collides() && !then.collides() {
            differences.push(Meaning::Harm, now.told(sequence));
        } else if then.feeds.is_none() && now.next < then.next {
            let text = format!("the sequence `{sequence}` gives {} next, and gave {} before", now.next, then.next);
            differences.push(Meaning::Harm, text);
        }
    }
}

/// The rows of one table.
pub struct RowComparison<'a> {
    /// The table, as SQL writes it.
    pub table: &'a str,
    /// What was there.
    pub before: &'a TableContents,
    /// What the recovery point had that was restored last, if that was something else. Then this is what must be there:
    /// users made the difference, and not a loss.
    pub at_point: Option<&'a TableContents>,
    /// What is there.
    pub now: &'a TableContents,
    /// The names of the experiments, by id.
    pub names: &'a BTreeMap<String, String>,
    /// Is it a standing platform, where others write too?
    pub standing: bool,
}

impl RowComparison<'_> {
    /// Compares by rows where they are kept, else by groups.
    pub fn compare(&self, differences: &mut Differences) {
        let then = self.then();
        match (&then.rows, &self.now.rows) {
            _ if then.groups == self.now.groups => {}
            (Some(then), Some(now)) => self.each(then, now, differences),
            _ => self.groups(differences),
        }
    }

    /// What must be there.
    fn then(&self) -> &TableContents {
        self.at_point.unwrap_or(self.before)
    }

    fn each(&self, then: &BTreeMap<String, String>, now: &BTreeMap<String, String>, differences: &mut Differences) {
        let all = |rows: &[&String]| rows.iter().map(|row| self.row(row)).collect::<Vec<_>>();
        let gone: Vec<_> = then.keys().filter(|row| !now.contains_key(*row)).collect();
        let changed: Vec<_> =
            then.iter().filter(|(row, hash)| now.get(*row).is_some_and(|h| h != *hash)).map(|(row, _)| row).collect();
        // What users had deleted by the point, and is as it was before that.
        let before = self.at_point.and(self.before.rows.as_ref());
        let is_back = |row: &String| before.is_some_and(|before| before.get(row) == now.get(row));
        let new = now.keys().filter(|row| !then.contains_key(*row));
        let (back, new): (Vec<_>, Vec<_>) = new.partition(|row| is_back(row));
        let table = self.table;
        differences.named(Meaning::Harm, &format!("rows of `{table}` are gone:"), &all(&gone));
        differences.named(self.changed(), &format!("rows of `{table}` are others now:"), &all(&changed));
        differences.named(Meaning::Untold, &format!("rows of `{table}` are back that had been deleted:"), &all(&back));
        differences.named(self.added(), &format!("rows of `{table}` were not there:"), &all(&new));
        if gone.is_empty() && changed.is_empty() && back.is_empty() && new.is_empty() {
            // The rows are the same and their groups are not: they went to another experiment with a row between.
            self.groups(differences);
        }
    }

    fn groups(&self, differences: &mut Differences) {
        let (mut gone, mut changed, mut back, mut new) = (vec![], vec![], vec![], vec![]);
        let names: BTreeSet<_> = self.then().groups.keys().chain(self.now.groups.keys()).collect();
        let none = RowDigest(0, String::new());
        for name in names {
            let [before, then, now] =
                [self.before, self.then(), self.now].map(|contents| contents.groups.get(name).unwrap_or(&none));
            let told = self.told(name);
            match now.0 - then.0 {
                0 if then == now => {}
                0 => changed.push(format!("{} of {told}", rows(now.0))),
                less if less < 0 => gone.push(format!("{} of {told} ({} of {})", rows(-less), -less, then.0)),
                more if self.at_point.is_some() && now == before => back.push(format!("{} of {told}", rows(more))),
                more => new.push(format!("{} of {told}", rows(more))),
            }
        }
        let (table, then) = (self.table, if self.at_point.is_some() { "in the recovery point" } else { "before" });
        differences.named(Meaning::Harm, &format!("`{table}`: gone are"), &gone);
        differences.named(self.changed(), &format!("`{table}`: others than {then} are"), &changed);
        differences.named(Meaning::Untold, &format!("`{table}`: back after they had been deleted are"), &back);
        differences.named(self.added(), &format!("`{table}`: not there {then} were"), &new);
    }

    /// What a row that is another now means. Where others write, only what belongs to an ended run or to the registry
    /// must be as it was.
    fn changed(&self) -> Meaning {
        let way = self.before.way.as_ref();
        match self.standing {
            false => Meaning::Harm,
            true if way.is_some_and(|way| way.runs.is_some() || way.to == Belonging::Model) => Meaning::Untold,
            true => Meaning::Remark,
        }
    }

    fn added(&self) -> Meaning {
        match (self.standing, self.before.rows.is_some()) {
            (false, _) => Meaning::Harm,
            (true, true) => Meaning::Remark,
            // Of a group it is not seen whether the rows of before are among those of now.
            (true, false) => self.changed(),
        }
    }

    /// A row by its key; an experiment also by its name.
    fn row(&self, key: &str) -> String {
        let way = self.before.way.as_ref();
        let experiment = way.is_some_and(|way| way.to == Belonging::Experiment && way.key == self.before.key);
        let name = self.names.get(key).filter(|_| experiment);
        name.map_or_else(|| format!("`{key}`"), |name| format!("`{key}` ({name})"))
    }

    fn told(&self, group: &str) -> String {
        match self.before.way.as_ref().map(|way| way.to) {
            Some(Belonging::Experiment) if !group.is_empty() => match self.names.get(group) {
                Some(name) => format!("the experiment `{name}`"),
                None => format!("the experiment {group}, which has no row"),
            },
            Some(Belonging::Model) if !group.is_empty() => {
                format!("the model `{}`", group.strip_prefix("default/").unwrap_or(group))
            }
            _ if self.before.whole => "all".to_owned(),
            _ => "no experiment and no model".to_owned(),
        }
    }
}

fn rows(count: i64) -> String {
    if count == 1 { "a row".to_owned() } else { format!("{count} rows") }
}

/// The objects.
pub fn objects(before: &BucketContents, now: &BucketContents, standing: bool, differences: &mut Differences) {
    let (mut gone, mut changed, mut untold, mut new) = (vec![], vec![], vec![], vec![]);
    for (key, then) in &before.objects {
        match now.objects.get(key).map(|now| same(then, now)) {
            None => gone.push(format!("`{key}`")),
            Some(Some(true)) => {}
            Some(Some(false)) => changed.push(format!("`{key}`")),
            Some(None) => untold.push(format!("`{key}`")),
        }
    }
    new.extend(now.objects.keys().filter(|key| !before.objects.contains_key(*key)).map(|key| format!("`{key}`")));
    let none = BTreeMap::new();
    let [then, after] = [before, now].map(|contents| contents.groups.as_ref().unwrap_or(&none));
    for (prefix, then) in then {
        let count = after.get(prefix).map_or(0, |group| group.objects);
        match after.get(prefix) {
            Some(now) if now == then => {}
            Some(_) if count > then.objects => new.push(format!("{} under `{prefix}`", count - then.objects)),
            Some(_) if count == then.objects => changed.push(format!("some of {count} under `{prefix}`")),
            _ => gone.push(format!("{} of {} under `{prefix}`", then.objects - count, then.objects)),
        }
    }
    let unknown = after.iter().filter(|(prefix, _)| !then.contains_key(*prefix));
    new.extend(unknown.map(|(prefix, group)| format!("{} under `{prefix}`", group.objects)));
    let (other, more) = if standing { (Meaning::Untold, Meaning::Remark) } else { (Meaning::Harm, Meaning::Harm) };
    differences.named(Meaning::Harm, "objects are gone:", &gone);
    differences.named(other, "objects have other bytes:", &changed);
    differences.named(Meaning::Untold, "objects may have other bytes, since the server calls them otherwise:", &untold);
    // A group that grew may hide one that is gone.
    let more = if standing && before.groups.is_some() { Meaning::Untold } else { more };
    differences.named(more, "objects were not there:", &new);
    if before.versions == Some(true) && now.versions == Some(false) {
        differences.push(Meaning::Harm, "the bucket keeps no versions any more");
    }
    let renamed = before.objects.iter().filter(|(key, then)| {
        now.objects.get(*key).is_some_and(|now| now.etag != then.etag && same(then, now) == Some(true))
    });
    let renamed = renamed.count();
    if renamed > 0 {
        differences.push(Meaning::Remark, format!("{renamed} objects have the bytes of before under another ETag"));
    }
}

/// Has an object the bytes of before? Nothing if that cannot be told.
fn same(then: &ObjectContent, now: &ObjectContent) -> Option<bool> {
    if then.size != now.size {
        return Some(false);
    }
    if let (Some(then), Some(now)) = (&then.digest, &now.digest) {
        return Some(then == now);
    }
    // A plain ETag is the MD5 of the bytes. That of a multipart upload also says in which parts they came.
    let plain = |etag: &String| etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (&then.etag, &now.etag) {
        (Some(then), Some(now)) if then == now => Some(true),
        (Some(then), Some(now)) if plain(then) && plain(now) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
