//! The check `contents`: what was there before the drill is there afterwards, row by row and byte by byte.
//!
//! Counts prove nothing: a restore can bring back as many rows as were lost, with other values in them. So before the
//! fault it reads every table's rows as digests, the schema as text, and every object; afterwards it reads them again and
//! names what differs. What the drill itself wrote is left out: the ledger judges that. Not looked at: large objects,
//! the comment on the database (an owner's consent stands there), times and version ids of objects.

mod catalogue;
mod compare;
mod difference;
mod objects;
mod own;
mod rows;
mod sql;
mod ways;

use super::Check;
use crate::client::{Error, foreign_keys};
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Planted};
use crate::node::read;
use async_trait::async_trait;
use catalogue::{SchemaLines, SequenceState};
use compare::RowComparison;
use difference::{Differences, Meaning};
use objects::BucketContents;
use own::KnownExperiments;
use rows::{RowScope, TableContents};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sql::DatabaseSnapshot;
use std::collections::BTreeMap;
use ways::TableShape;

/// History by content.
pub const KIND: Kind<dyn Check> = Kind {
    name: "contents",
    about: "Every row, every table, key, index and sequence, and every object is as it was, but for what the drill wrote.",
    example: "contents: {}",
    schema: |g| g.subschema_for::<Contents>(),
    parse: |n, p| read::<Contents>(n, p).map(|k| Box::new(k) as _),
};

/// It has no settings.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Contents {}

/// What was there before the fault.
#[derive(Debug, Serialize, Deserialize)]
struct PlantedContents {
    run: String,
    /// By the database's clock, in milliseconds since 1970, if others write here too: only the rows of runs that had
    /// ended by then are compared.
    shared_since: Option<i64>,
    experiments: KnownExperiments,
    tables: BTreeMap<String, TableContents>,
    schema: SchemaLines,
    sequences: BTreeMap<String, SequenceState>,
    bucket: BucketContents,
}

impl PlantedContents {
    fn rows(&self) -> RowScope {
        self.shared_since.map_or(RowScope::All, RowScope::EndedBy)
    }
}

#[async_trait]
impl Check for Contents {
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql, Power::Objects]
    }

    fn after_lift(&self) -> bool {
        true
    }

    async fn plant(&self, platform: &dyn Platform, run: &str) -> Result<Planted, Error> {
        let snapshot = DatabaseSnapshot::begin(platform).await?;
        let shapes = catalogue::tables(&snapshot).await?;
        let experiments = experiments(&snapshot, &shapes, run, platform).await?;
        let now = "SELECT (extract(epoch FROM now()) * 1000)::bigint";
        let now: Option<i64> = snapshot.rows(now).await?.first().map(|row| row.get(0));
        let shared_since = now.filter(|_| platform.shared());
        let scope = shared_since.map_or(RowScope::All, RowScope::EndedBy);
        let ways = ways::ways(&shapes, &foreign_keys(snapshot.client()).await?);
        let before = PlantedContents {
            run: run.to_owned(),
            shared_since,
            tables: rows::plant(&snapshot, &shapes, &ways, scope, &experiments).await?,
            schema: catalogue::schema(&snapshot).await?,
            sequences: catalogue::sequences(&snapshot).await?,
            bucket: objects::plant(platform.objects()?, &experiments).await?,
            experiments,
        };
        serde_json::to_value(before).map(Planted).map_err(|e| Error::caused_by("cannot record what was planted", e))
    }

    async fn verify(&self, platform: &dyn Platform, planted: &Planted) -> Finding {
        let before = match PlantedContents::deserialize(&planted.0) {
            Ok(before) => before,
            Err(error) => return Finding::unknown(format!("what was planted cannot be read: {error}")),
        };
        let (mut differences, mut compared) = (Differences::default(), Compared::default());
        let known = match database(platform, &before, &mut differences, &mut compared).await {
            Ok(known) => known,
            Err(error) => {
                differences.push(Meaning::Untold, error.to_string());
                before.experiments.clone()
            }
        };
        match bucket(platform, &before.bucket, &known).await {
            Ok(now) => {
                compare::objects(&before.bucket, &now, before.shared_since.is_some(), &mut differences);
                compared.objects = now.count();
                compared.read = now.read();
            }
            Err(error) => differences.push(Meaning::Untold, error.to_string()),
        }
        compared.told(differences.finding())
    }

    async fn clear(&self, _: &dyn Platform, _: &Planted) -> Result<(), Error> {
        Ok(())
    }
}

/// How much was compared.
#[derive(Default)]
struct Compared {
    tables: usize,
    rows: i64,
    objects: u64,
    read: usize,
}

impl Compared {
    fn told(&self, finding: Finding) -> Finding {
        let finding = finding.figure("tables", self.tables).figure("rows", self.rows);
        finding.figure("objects", self.objects).figure("objects read", self.read)
    }
}

async fn experiments(
    snapshot: &DatabaseSnapshot,
    shapes: &BTreeMap<String, TableShape>,
    run: &str,
    platform: &dyn Platform,
) -> Result<KnownExperiments, Error> {
    let needed = ["experiment_id", "name", "artifact_location"];
    let fits = |shape: &TableShape| {
        shape.name == "experiments" && needed.iter().all(|column| shape.columns.contains_key(*column))
    };
    let table = shapes.iter().find(|(_, shape)| fits(shape)).map(|(table, _)| table.as_str());
    KnownExperiments::read(snapshot, table, run, platform.objects()?).await
}

/// Compares the database; answers whose experiments there were and are.
async fn database(
    platform: &dyn Platform,
    before: &PlantedContents,
    differences: &mut Differences,
    compared: &mut Compared,
) -> Result<KnownExperiments, Error> {
    let snapshot = DatabaseSnapshot::begin(platform).await?;
    let shapes = catalogue::tables(&snapshot).await?;
    let known = experiments(&snapshot, &shapes, &before.run, platform).await?.and(&before.experiments);
    compare::schema(&before.schema, &catalogue::schema(&snapshot).await?, differences);
    compare::sequences(&before.sequences, &catalogue::sequences(&snapshot).await?, differences);
    for (table, then) in before.tables.iter().filter(|(table, _)| shapes.contains_key(*table)) {
        let stands = then.key.iter().all(|column| shapes[table].columns.contains_key(column));
        if !stands || then.way.as_ref().is_some_and(|way| !way.stands(table, &shapes)) {
            continue; // a column on the way to its rows is gone, and the schema's difference says so
        }
        let now = rows::read(&snapshot, table, then, before.rows(), &known).await?;
        compared.tables += 1;
        compared.rows += now.groups.values().map(|group| group.0).sum::<i64>();
        let shared = before.shared_since.is_some();
        if now.groups != then.groups {
            RowComparison { table, before: then, now: &now, names: &known.names, shared }.compare(differences);
        }
    }
    Ok(known)
}

async fn bucket(
    platform: &dyn Platform,
    before: &BucketContents,
    known: &KnownExperiments,
) -> Result<BucketContents, Error> {
    objects::read(platform.objects()?, known, before).await
}
