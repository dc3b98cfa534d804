//! The check `contents`: what was there before the drill is there afterwards, row by row and byte by byte.
//!
//! Counts prove nothing: a restore can bring back as many rows as were lost, with other values in them. So before the
//! fault it reads every table's rows as digests, the schema as text, and every object; afterwards it reads them again and
//! names what differs. What the drill itself wrote is left out: the ledger judges that. Not looked at: large objects,
//! the comment on the database (an owner's consent stands there), times and version ids of objects.

mod catalogue;
mod compare;
mod difference;
mod digests;
mod expression;
mod objects;
mod own;
mod point;
mod rows;
mod sql;
mod ways;

pub(super) use catalogue::sequences;
pub(super) use difference::{Differences, Meaning};
pub use digests::{compare_digests, read_digests};
pub(super) use sql::DatabaseSnapshot;

use super::Check;
use crate::client::s3::ObjectSource;
use crate::client::{Error, foreign_keys};
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Planted};
use crate::node::read;
use async_trait::async_trait;
use catalogue::{SchemaLines, SequenceState};
use compare::RowComparison;
use objects::BucketContents;
use own::KnownExperiments;
use point::PointContents;
use rows::{RowScope, TableContents};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
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
    /// On a standing platform, the time by the database's clock, in milliseconds since 1970: only the rows of runs that had
    /// ended by then are compared.
    ended_by: Option<i64>,
    experiments: KnownExperiments,
    tables: BTreeMap<String, TableContents>,
    schema: SchemaLines,
    sequences: BTreeMap<String, SequenceState>,
    bucket: BucketContents,
}

impl PlantedContents {
    fn rows(&self) -> RowScope {
        self.ended_by.map_or(RowScope::All, RowScope::EndedBy)
    }

    /// Of the database alone.
    async fn of_database(
        snapshot: &DatabaseSnapshot,
        shapes: &BTreeMap<String, TableShape>,
        ended_by: Option<i64>,
        experiments: KnownExperiments,
    ) -> Result<Self, Error> {
        let scope = ended_by.map_or(RowScope::All, RowScope::EndedBy);
        let ways = ways::ways(shapes, &foreign_keys(snapshot.client()).await?);
        Ok(Self {
            run: String::new(),
            ended_by,
            tables: rows::plant(snapshot, shapes, &ways, scope, &experiments).await?,
            schema: catalogue::schema(snapshot).await?,
            sequences: catalogue::sequences(snapshot).await?,
            bucket: BucketContents::default(),
            experiments,
        })
    }

    fn planted(&self) -> Result<Planted, Error> {
        let planted = serde_json::to_value(self).map(Planted);
        planted.map_err(|e| Error::caused_by("cannot record what was planted", e))
    }

    fn of(planted: &Planted) -> Result<Self, Error> {
        Self::deserialize(&planted.0).map_err(|e| Error::caused_by("what was planted cannot be read", e))
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

    fn judges_points(&self) -> bool {
        true
    }

    async fn plant(&self, platform: &dyn Platform, run: &str) -> Result<Planted, Error> {
        let snapshot = DatabaseSnapshot::begin(platform).await?;
        let shapes = catalogue::tables(&snapshot).await?;
        let experiments = experiments(&snapshot, &shapes, run, platform).await?;
        let now = "SELECT (extract(epoch FROM now()) * 1000)::bigint";
        let now: Option<i64> = snapshot.rows(now).await?.first().map(|row| row.get(0));
        let ended_by = now.filter(|_| platform.standing());
        let of_database = PlantedContents::of_database(&snapshot, &shapes, ended_by, experiments).await?;
        let bucket = objects::plant(platform.objects()?, &of_database.experiments).await?;
        PlantedContents { run: run.to_owned(), bucket, ..of_database }.planted()
    }

    async fn at_point(
        &self,
        platform: &dyn Platform,
        planted: &Planted,
        snapshot: &str,
    ) -> Result<Option<Planted>, Error> {
        let point = PointContents::read(platform, &PlantedContents::of(planted)?, snapshot).await?;
        let point = serde_json::to_value(point).map(Planted);
        point.map(Some).map_err(|e| Error::caused_by("cannot record what a recovery point holds", e))
    }

    /// By what was there before, also where others write: what was read in the point itself would excuse its own harm. So
    /// there a point is refused too in which users had changed what must stay.
    async fn in_point(&self, beside: &dyn Platform, objects: Option<&dyn ObjectSource>, planted: &Planted) -> Finding {
        let before = match PlantedContents::of(planted) {
            Ok(before) => before,
            Err(error) => return Finding::unknown(error.to_string()),
        };
        let (mut differences, mut compared) = (Differences::default(), Compared::default());
        let looked = point_differences(beside, objects, &before, &mut differences, &mut compared).await;
        if let Err(error) = looked {
            differences.push(Meaning::Untold, error.to_string());
        }
        compared.told(differences.finding())
    }

    async fn verify(&self, platform: &dyn Platform, planted: &Planted, at_point: Option<&Planted>) -> Finding {
        let before = match PlantedContents::of(planted) {
            Ok(before) => before,
            Err(error) => return Finding::unknown(error.to_string()),
        };
        // Elsewhere nobody but the drill can have changed anything by then.
        let point = at_point.filter(|_| before.ended_by.is_some()).map(|kept| PointContents::deserialize(&kept.0));
        let point = match point.transpose() {
            Ok(point) => point,
            Err(error) => return Finding::unknown(format!("what the point held cannot be read: {error}")),
        };
        let (mut differences, mut compared) = (Differences::default(), Compared::default());
        let known = match database(platform, &before, point.as_ref(), &mut differences, &mut compared).await {
            Ok(known) => known,
            Err(error) => {
                differences.push(Meaning::Untold, error.to_string());
                before.experiments.clone()
            }
        };
        match bucket(platform, &before.bucket, &known).await {
            Ok(now) => compared.objects(&before, &now, &mut differences),
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
    /// Compares the objects.
    fn objects(&mut self, before: &PlantedContents, now: &BucketContents, differences: &mut Differences) {
        compare::objects(&before.bucket, now, before.ended_by.is_some(), differences);
        (self.objects, self.read) = (now.count(), now.read());
    }

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
    KnownExperiments::read(snapshot, of_experiments(shapes), run, platform.objects()?).await
}

/// The table of the experiments.
fn of_experiments(shapes: &BTreeMap<String, TableShape>) -> Option<&str> {
    let needed = ["experiment_id", "name", "artifact_location"];
    let fits = |shape: &TableShape| {
        shape.name == "experiments" && needed.iter().all(|column| shape.columns.contains_key(*column))
    };
    shapes.iter().find(|(_, shape)| fits(shape)).map(|(table, _)| table.as_str())
}

/// Compares the database; answers whose experiments there were and are.
async fn database(
    platform: &dyn Platform,
    before: &PlantedContents,
    point: Option<&PointContents>,
    differences: &mut Differences,
    compared: &mut Compared,
) -> Result<KnownExperiments, Error> {
    let snapshot = DatabaseSnapshot::begin(platform).await?;
    let shapes = catalogue::tables(&snapshot).await?;
    let mut known = experiments(&snapshot, &shapes, &before.run, platform).await?;
    if let Some(point) = point {
        known = known.and(&point.experiments);
    }
    let known = known.and(&before.experiments);
    compare_database((&snapshot, &shapes), &known, before, point, differences, compared).await?;
    Ok(known)
}

/// Compares schema, sequences and rows with what a snapshot shows.
async fn compare_database(
    (snapshot, shapes): (&DatabaseSnapshot, &BTreeMap<String, TableShape>),
    known: &KnownExperiments,
    before: &PlantedContents,
    point: Option<&PointContents>,
    differences: &mut Differences,
    compared: &mut Compared,
) -> Result<(), Error> {
    compare::schema(&before.schema, &catalogue::schema(snapshot).await?, differences);
    compare::sequences(&before.sequences, &catalogue::sequences(snapshot).await?, differences);
    let mut by_point = vec![];
    for (table, then) in before.tables.iter().filter(|(table, then)| then.stands(table, shapes)) {
        let at_point = point.and_then(|point| point.tables.get(table));
        by_point.extend(at_point.map(|_| format!("`{table}`")));
        let now = rows::read(snapshot, table, at_point.unwrap_or(then), before.rows(), known).await?;
        compared.tables += 1;
        compared.rows += now.groups.values().map(|group| group.0).sum::<i64>();
        let (names, standing) = (&known.names, before.ended_by.is_some());
        RowComparison { table, before: then, at_point, now: &now, names, standing }.compare(differences);
    }
    differences.named(Meaning::Remark, "had other rows in the recovery point, and are compared with it:", &by_point);
    Ok(())
}

/// Compares a recovery point that lies beside the live state.
async fn point_differences(
    beside: &dyn Platform,
    objects: Option<&dyn ObjectSource>,
    before: &PlantedContents,
    differences: &mut Differences,
    compared: &mut Compared,
) -> Result<(), Error> {
    let known = database(beside, before, None, differences, compared).await?;
    if let Some(source) = objects {
        let now = objects::read_from(source, beside.objects()?, &known, &before.bucket).await?;
        compared.objects(before, &now, differences);
    }
    Ok(())
}

async fn bucket(
    platform: &dyn Platform,
    before: &BucketContents,
    known: &KnownExperiments,
) -> Result<BucketContents, Error> {
    objects::read(platform.objects()?, known, before).await
}
