//! Chooses the rows of one registered model in a database at the side: the model, its versions with tags and aliases, the
//! runs and logged models that its versions name, and what all of them need.
//!
//! By foreign keys, wherever MLflow has some. It has none from a version to its run, from a version to its logged model,
//! and from a run to its datasets: these are named here. A row is the model's own, or it is only needed by one that is,
//! such as an experiment; others may need it too.
//! Not here: what the live database has of them.

use super::tables::{CopiedTables, listed, tables};
use crate::client::{Error, ErrorKind, ForeignKey, foreign_keys, postgres};
use crate::engine::{WantedModel, WantedVersions};
use postgres_protocol::escape::escape_literal;
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// The rows of a model, each marked by its place in the database at the side.
pub struct Selection<'a> {
    /// The connection that holds the marks.
    pub side: &'a Client,
    /// All tables.
    pub tables: CopiedTables,
    keys: Vec<ForeignKey>,
    schema: String,
    /// The tables of which rows are chosen, and the number of each one's marks.
    marks: BTreeMap<String, usize>,
}

/// The tables that a row belongs to when it refers to one of their rows.
const OWNERS: [&str; 4] = ["registered_models", "model_versions", "runs", "logged_models"];

impl<'a> Selection<'a> {
    /// Chooses the rows.
    pub async fn of(side: &'a Client, wanted: &WantedModel) -> Result<Self, Error> {
        let found = "SELECT format('%I', n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.oid = to_regclass('registered_models')";
        let found = postgres::rows(side, found).await?;
        let absent = || Error::new(wanted.to_string(), "the point has no registry").kind(ErrorKind::NotFound);
        let schema = found.first().map(|row| row.get(0)).ok_or_else(absent)?;
        let (tables, keys) = (tables(side).await?, foreign_keys(side).await?);
        let mut this = Self { side, tables, keys, schema, marks: BTreeMap::new() };
        for owner in OWNERS {
            this.mark(&this.named(owner)).await?;
        }
        this.registry(wanted).await?;
        this.runs().await?;
        for owner in OWNERS {
            this.belonging(&this.named(owner), wanted.versions).await?;
        }
        this.inputs().await?;
        this.needed().await?;
        Ok(this)
    }

    /// A table of MLflow's, with its schema.
    pub fn named(&self, name: &str) -> String {
        format!("{}.{name}", self.schema)
    }

    /// The tables of which rows are chosen: those that others refer to come first.
    pub fn in_order(&self) -> Vec<&str> {
        let mut left: Vec<_> = self.marks.keys().map(String::as_str).collect();
        let mut ordered = vec![];
        while !left.is_empty() {
            let waits = |table: &str| {
                let to_others = self.keys.iter().filter(|key| key.table == table && key.other != table);
                to_others.clone().any(|key| left.contains(&key.other.as_str()))
            };
            let (ready, rest): (Vec<_>, Vec<_>) = left.iter().partition(|table| !waits(table));
            // Tables that refer to each other in a circle: the server says what it makes of it.
            let (ready, rest) = if ready.is_empty() { (rest, vec![]) } else { (ready, rest) };
            ordered.extend(ready);
            left = rest;
        }
        ordered
    }

    /// The chosen rows of a table, as SQL that others can join.
    pub fn chosen(&self, table: &str) -> String {
        let marks = self.marks.get(table).map_or_else(String::new, |number| marks(*number));
        format!("{table} chosen JOIN {marks} mark ON mark.place = chosen.ctid")
    }

    /// The key columns of the foreign keys that point at a table, with the tables that have them.
    pub fn keys_to(&self, table: &str) -> impl Iterator<Item = &ForeignKey> {
        self.keys.iter().filter(move |key| key.other == table)
    }

    async fn mark(&mut self, table: &str) -> Result<(), Error> {
        if self.marks.contains_key(table) || !self.tables.contains_key(table) {
            return Ok(());
        }
        let number = self.marks.len();
        let make = format!("CREATE TEMP TABLE {} (place tid PRIMARY KEY, own boolean NOT NULL)", marks(number));
        self.side.batch_execute(&make).await.map_err(chose)?;
        self.marks.insert(table.to_owned(), number);
        Ok(())
    }

    /// Chooses more rows of a table: those, called `it`, that meet a condition; answers how many are new. No row is chosen
    /// of a table that is not there.
    async fn choose(&mut self, table: &str, own: bool, condition: &str) -> Result<u64, Error> {
        self.mark(table).await?;
        let Some(number) = self.marks.get(table) else { return Ok(0) };
        let choose = format!(
            "INSERT INTO {} SELECT it.ctid, {own} FROM {table} it WHERE {condition} ON CONFLICT DO NOTHING",
            marks(*number)
        );
        self.side.execute(&choose, &[]).await.map_err(chose)
    }

    /// The model and its versions.
    async fn registry(&mut self, wanted: &WantedModel) -> Result<(), Error> {
        let (models, versions) = (self.named("registered_models"), self.named("model_versions"));
        let absent = |why: String| Error::new(wanted.to_string(), why).kind(ErrorKind::NotFound);
        match self.choose(&models, true, &format!("it.name = {}", escape_literal(&wanted.name))).await? {
            1 => {}
            0 => return Err(absent("the point does not have it".into())),
            more => return Err(absent(format!("{more} workspaces have a model of this name"))),
        }
        let of_model = self.keys_to(&models).find(|key| key.table == versions).cloned();
        let of_model = of_model.ok_or_else(|| absent("the point's versions do not refer to their models".into()))?;
        let of_model = self.refers(&of_model, "it");
        let number = match wanted.versions {
            WantedVersions::All => String::new(),
            WantedVersions::Latest => {
                format!(" AND it.version = (SELECT max(it.version) FROM {versions} it WHERE {of_model})")
            }
            WantedVersions::Number(number) => format!(" AND it.version = {number}"),
        };
        let chosen = self.choose(&versions, true, &format!("{of_model}{number}")).await?;
        if chosen == 0 && wanted.versions != WantedVersions::All {
            let known = format!(
                "SELECT coalesce(string_agg(it.version::text, ', ' ORDER BY it.version), 'none') \
                FROM {versions} it WHERE {of_model}"
            );
            let known: String = postgres::one(self.side, &known).await?.get(0);
            return Err(absent("the point does not have it".into()).hint(format!("its versions there: {known}")));
        }
        Ok(())
    }

    /// The logged models that the versions name, and the runs that either names.
    async fn runs(&mut self) -> Result<(), Error> {
        let (models, runs) = (self.named("logged_models"), self.named("runs"));
        let versions = self.chosen(&self.named("model_versions"));
        let location = "rtrim(chosen.storage_location, '/')";
        let logged = format!(
            "EXISTS (SELECT FROM {versions} WHERE chosen.source IN ('models:/' || it.model_id, 'models:/' || it.model_id || '/') \
             OR {location} = rtrim(it.artifact_location, '/') \
             OR starts_with({location}, rtrim(it.artifact_location, '/') || '/'))"
        );
        self.choose(&models, true, &logged).await?;
        let named = format!("it.run_uuid IN (SELECT chosen.run_id FROM {versions})");
        let logged = self.marks.get(&models).map(|_| self.chosen(&models));
        let named = logged.map_or_else(
            || named.clone(),
            |logged| format!("{named} OR it.run_uuid IN (SELECT chosen.source_run_id FROM {logged})"),
        );
        self.choose(&runs, true, &named).await.map(drop)
    }

    /// The rows that belong to chosen rows of a table: those that cannot be without it, and whose every owner is chosen. A
    /// logged model's metric of another model's run is that one's.
    async fn belonging(&mut self, table: &str, versions: WantedVersions) -> Result<(), Error> {
        let mut tables = vec![table.to_owned()];
        let owners: Vec<_> = OWNERS.iter().map(|owner| self.named(owner)).collect();
        let numbered = self.named("model_versions");
        let number = self.tables.get(&numbered).map(|table| table.key.clone()).unwrap_or_default();
        while let Some(table) = tables.pop() {
            let children: Vec<_> = self.keys_to(&table).cloned().collect();
            for key in children {
                let Some(child) = self.tables.get(&key.table).cloned() else { continue };
                let needs = key.columns.iter().all(|column| child.required.contains(column));
                if owners.contains(&key.table) || !needs {
                    continue;
                }
                let keys = self.keys.iter().filter(|it| it.table == key.table && owners.contains(&it.other));
                let mut all: Vec<_> = keys.filter(|it| self.marks.contains_key(&it.other)).collect();
                if all.is_empty() {
                    all.push(&key);
                }
                let mut conditions: Vec<_> = all.into_iter().map(|key| self.refers(key, "it")).collect();
                if versions != WantedVersions::All && child.has(&number) {
                    let of_chosen = format!("SELECT {} FROM {}", listed(&number, "chosen"), self.chosen(&numbered));
                    conditions.push(format!("({}) IN ({of_chosen})", listed(&number, "it")));
                }
                if self.choose(&key.table, true, &conditions.join(" AND ")).await? > 0 {
                    tables.push(key.table);
                }
            }
        }
        Ok(())
    }

    /// What the chosen runs and logged models read and made: the rows that say so, their tags, and the datasets.
    async fn inputs(&mut self) -> Result<(), Error> {
        let (inputs, runs, models) = (self.named("inputs"), self.named("runs"), self.named("logged_models"));
        if !self.tables.contains_key(&inputs) {
            return Ok(());
        }
        let ids = |table: &str, column: &str| {
            let chosen = self.marks.get(table).map(|_| self.chosen(table));
            chosen.map_or_else(|| "NULL".to_owned(), |chosen| format!("SELECT chosen.{column} FROM {chosen}"))
        };
        let (runs, models) = (ids(&runs, "run_uuid"), ids(&models, "model_id"));
        let read = format!("it.destination_type = 'RUN' AND it.destination_id IN ({runs})");
        let made = format!(
            "it.destination_type LIKE 'MODEL%' AND it.destination_id IN ({models}) AND it.source_id IN ({runs})"
        );
        self.choose(&inputs, true, &format!("{read} OR {made}")).await?;
        let all = self.chosen(&inputs);
        let tags = self.named("input_tags");
        self.choose(&tags, true, &format!("it.input_uuid IN (SELECT chosen.input_uuid FROM {all})")).await?;
        let datasets = self.named("datasets");
        let of_inputs = format!("SELECT chosen.source_id FROM {all} WHERE chosen.source_type = 'DATASET'");
        self.choose(&datasets, false, &format!("it.dataset_uuid IN ({of_inputs})")).await.map(drop)
    }

    /// What chosen rows refer to.
    async fn needed(&mut self) -> Result<(), Error> {
        loop {
            let mut new = 0;
            for key in self.keys.clone() {
                if !self.marks.contains_key(&key.table) {
                    continue;
                }
                let referred = format!("SELECT {} FROM {}", listed(&key.columns, "chosen"), self.chosen(&key.table));
                let referred = format!("({}) IN ({referred})", listed(&key.others, "it"));
                new += self.choose(&key.other, false, &referred).await?;
            }
            if new == 0 {
                return Ok(());
            }
        }
    }

    /// SQL that says whether a row refers to a chosen one by this key.
    fn refers(&self, key: &ForeignKey, row: &str) -> String {
        let others = format!("SELECT {} FROM {}", listed(&key.others, "chosen"), self.chosen(&key.other));
        format!("({}) IN ({others})", listed(&key.columns, row))
    }
}

fn marks(number: usize) -> String {
    format!("pg_temp.lifeboat_chosen_{number}")
}

fn chose(error: tokio_postgres::Error) -> Error {
    Error::caused_by("cannot choose the model's rows", error)
}
