//! The ways from a table's rows to the experiment or the registered model that they belong to.
//!
//! Found in the foreign keys, and where a table has none, in its columns; never in a list of MLflow's tables, so that a
//! table of a newer MLflow is grouped too. Pure: the catalogue is read elsewhere.

use super::sql::{alias, column};
use crate::client::ForeignKey;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a group of rows belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Belonging {
    /// An experiment, by its id.
    Experiment,
    /// A registered model, by its workspace and name.
    Model,
}

/// The tables that groups are named after.
const ROOTS: [(&str, Belonging); 2] = [("experiments", Belonging::Experiment), ("registered_models", Belonging::Model)];
/// The table of runs, and the column that says when one ended.
const RUNS: (&str, &str) = ("runs", "end_time");
/// Names of columns that say nothing of what they point at.
const VAGUE: [&str; 4] = ["id", "key", "name", "version"];

/// A table with its columns, as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableShape {
    /// Its name without the schema.
    pub name: String,
    /// Its columns with their types.
    pub columns: BTreeMap<String, String>,
    /// The columns of its primary key.
    pub key: Vec<String>,
}

/// How a row's experiment or model is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Way {
    /// What is found.
    pub to: Belonging,
    /// The tables between.
    pub joins: Vec<Join>,
    /// The columns of the last table that name it.
    pub key: Vec<String>,
    /// Which of the tables on the way is that of the runs: 0 is the table itself.
    pub runs: Option<usize>,
}

/// One table on a way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// The table, as SQL writes it.
    pub table: String,
    /// Pairs of columns that are equal: of the table before, of this one.
    pub on: Vec<(String, String)>,
}

impl Way {
    /// SQL for the group's name; empty where a row belongs to none.
    pub fn group(&self) -> String {
        let last = self.joins.len();
        let columns: Vec<_> = self.key.iter().map(|name| column(last, name)).collect();
        format!("concat_ws('/', {})", columns.join(", "))
    }

    /// SQL that joins the tables between.
    pub fn joined(&self) -> String {
        let join = |(at, join): (usize, &Join)| {
            let on: Vec<_> =
                join.on.iter().map(|(from, to)| format!("{} = {}", column(at, from), column(at + 1, to))).collect();
            format!(" LEFT JOIN {} {} ON {}", join.table, alias(at + 1), on.join(" AND "))
        };
        self.joins.iter().enumerate().map(join).collect()
    }

    /// SQL for when the row's run ended, if the way leads over a run.
    pub fn ended(&self) -> Option<String> {
        self.runs.map(|at| column(at, RUNS.1))
    }

    /// Can it still be gone? A harm may have taken a table or a column.
    pub fn stands(&self, table: &str, tables: &BTreeMap<String, TableShape>) -> bool {
        let has = |table: &str, name: &str| tables.get(table).is_some_and(|shape| shape.columns.contains_key(name));
        let mut last = table;
        for join in &self.joins {
            if !join.on.iter().all(|(from, to)| has(last, from) && has(&join.table, to)) {
                return false;
            }
            last = &join.table;
        }
        self.key.iter().all(|name| has(last, name))
    }
}

/// The way of each table that has one: the shortest, and of several the first.
pub fn ways(tables: &BTreeMap<String, TableShape>, keys: &[ForeignKey]) -> BTreeMap<String, Way> {
    let keys: Vec<_> = keys.iter().cloned().chain(likely(tables)).collect();
    tables.keys().filter_map(|table| Some((table.clone(), way(table, tables, &keys)?))).collect()
}

fn way(table: &str, tables: &BTreeMap<String, TableShape>, keys: &[ForeignKey]) -> Option<Way> {
    let root = |table: &str| {
        let name = &tables.get(table)?.name;
        ROOTS.iter().find(|(root, _)| root == name).map(|(_, to)| *to)
    };
    let runs = |path: &[&ForeignKey]| {
        let passed = std::iter::once(table).chain(path.iter().map(|key| key.other.as_str()));
        passed.enumerate().find(|(_, table)| is_runs(tables, table)).map(|(at, _)| at)
    };
    if let Some(to) = root(table) {
        return Some(Way { to, joins: vec![], key: tables[table].key.clone(), runs: None });
    }
    let mut queue = VecDeque::from([(table, vec![])]);
    let mut seen = BTreeSet::from([table]);
    while let Some((at, path)) = queue.pop_front() {
        for key in keys.iter().filter(|key| key.table == at) {
            if let Some(to) = root(&key.other) {
                let joins = path.iter().map(|key: &&ForeignKey| Join {
                    table: key.other.clone(),
                    on: key.columns.iter().cloned().zip(key.others.iter().cloned()).collect(),
                });
                return Some(Way { to, joins: joins.collect(), key: key.columns.clone(), runs: runs(&path) });
            }
            if tables.contains_key(&key.other) && seen.insert(&key.other) {
                let path = path.iter().copied().chain([key]).collect();
                queue.push_back((&key.other, path));
            }
        }
    }
    None
}

fn is_runs(tables: &BTreeMap<String, TableShape>, table: &str) -> bool {
    tables
        .get(table)
        .is_some_and(|shape| shape.name == RUNS.0 && shape.columns.get(RUNS.1).is_some_and(|kind| kind == "bigint"))
}

/// Columns that are named as the one key column of another table and have its type.
fn likely(tables: &BTreeMap<String, TableShape>) -> Vec<ForeignKey> {
    let keyed = tables.iter().filter_map(|(table, shape)| match shape.key.as_slice() {
        [key] if !VAGUE.contains(&key.as_str()) => Some((table, key, shape.columns.get(key)?)),
        _ => None,
    });
    let pointing = |(other, key, kind): (&String, &String, &String)| {
        let has = |(table, shape): &(&String, &TableShape)| *table != other && shape.columns.get(key) == Some(kind);
        let from = |(table, _): (&String, &TableShape)| ForeignKey {
            table: table.clone(),
            columns: vec![key.clone()],
            other: other.clone(),
            others: vec![key.clone()],
        };
        tables.iter().filter(has).map(from).collect::<Vec<_>>()
    };
    keyed.flat_map(pointing).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tables() -> BTreeMap<String, TableShape> {
        let table = |name: &str, columns: &[(&str, &str)], key: &[&str]| {
            let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect();
            let key = key.iter().map(|&name| name.to_owned()).collect();
            (format!("public.{name}"), TableShape { name: name.to_owned(), columns, key })
        };
        let (id, text, time) = ("integer", "text", "bigint");
        BTreeMap::from([
            table("experiments", &[("experiment_id", id), ("name", text)], &["experiment_id"]),
            table("runs", &[("run_uuid", text), ("experiment_id", id), ("end_time", time)], &["run_uuid"]),
            table("metrics", &[("run_uuid", text), ("value", "double precision")], &["run_uuid"]),
            table("registered_models", &[("workspace", text), ("name", text)], &["workspace", "name"]),
            table("versions", &[("workspace", text), ("model", text)], &["workspace", "model"]),
            table("rollups", &[("experiment_id", id)], &[]),
            table("other", &[("experiment_id", text)], &[]),
        ])
    }

    fn keys() -> Vec<ForeignKey> {
        let key = |table: &str, columns: &[&str], other: &str, others: &[&str]| ForeignKey {
            table: format!("public.{table}"),
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            other: format!("public.{other}"),
            others: others.iter().map(|&name| name.to_owned()).collect(),
        };
        vec![
            key("metrics", &["run_uuid"], "runs", &["run_uuid"]),
            key("runs", &["experiment_id"], "experiments", &["experiment_id"]),
            key("versions", &["workspace", "model"], "registered_models", &["workspace", "name"]),
        ]
    }

    #[test]
    fn a_row_belongs_to_an_experiment_over_its_run_or_to_a_model() {
        let found = ways(&tables(), &keys());
        let metrics = &found["public.metrics"];
        assert_eq!((metrics.to, metrics.runs), (Belonging::Experiment, Some(1)));
        assert_eq!(metrics.group(), r#"concat_ws('/', "lifeboat 1"."experiment_id")"#);
        let on = r#" LEFT JOIN public.runs "lifeboat 1" ON "lifeboat 0"."run_uuid" = "lifeboat 1"."run_uuid""#;
        assert_eq!(metrics.joined(), on);
        assert_eq!((found["public.runs"].runs, found["public.runs"].joins.len()), (Some(0), 0));
        assert_eq!(found["public.versions"].to, Belonging::Model);
        assert_eq!(found["public.registered_models"].key, ["workspace", "name"]);
    }

    #[test]
    fn a_column_with_the_name_and_type_of_a_key_leads_there_without_a_foreign_key() {
        let found = ways(&tables(), &keys());
        assert_eq!(found["public.rollups"].key, ["experiment_id"]);
        assert!(!found.contains_key("public.other"), "another type is another thing");
        let without = ways(&tables(), &[]);
        assert_eq!(without["public.metrics"], found["public.metrics"]);
        assert!(!without.contains_key("public.versions"), "nothing leads from `model` to `name`");
    }

    #[test]
    fn a_way_over_a_column_that_is_gone_does_not_stand() {
        let mut tables = tables();
        let way = ways(&tables, &keys())["public.metrics"].clone();
        assert!(way.stands("public.metrics", &tables));
        tables.get_mut("public.runs").unwrap().columns.remove("experiment_id");
        assert!(!way.stands("public.metrics", &tables));
        tables.remove("public.runs");
        assert!(!way.stands("public.metrics", &tables));
    }
}
