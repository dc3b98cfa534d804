//! The experiments of a model in another tracking server, where their numbers may be another's.
//!
//! One of the same name takes the model's runs. Else the experiment is made, under its own number if that is free, and all
//! chosen rows that refer to it follow. Artifacts stay at the paths that their rows name, whose first part is the old number.

use super::selection::Selection;
use super::tables::{CopiedTable, beside};
use crate::client::Error;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

/// The old and the new numbers.
const NUMBERS: &str = "pg_temp.lifeboat_numbers";

/// Gives the chosen experiments, beside the live ones, numbers that fit there.
pub async fn renumber(live: &Client, selection: &Selection<'_>, order: &[(String, CopiedTable)]) -> Result<(), Error> {
    let experiments = selection.named("experiments");
    let place = |table: &str| order.iter().position(|(name, _)| name == table);
    let Some(number) = place(&experiments) else { return Ok(()) };
    let own = beside(number);
    let in_workspaces = order[number].1.has(&["workspace".to_owned()]);
    let same = if in_workspaces { "it.name = own.name AND it.workspace = own.workspace" } else { "it.name = own.name" };
    let mut statements = vec![format!(
        "CREATE TEMP TABLE {NUMBERS} ON COMMIT DROP AS SELECT own.experiment_id AS old, coalesce( \
         (SELECT it.experiment_id FROM {experiments} it WHERE {same}), \
         CASE WHEN EXISTS (SELECT FROM {experiments} it WHERE it.experiment_id = own.experiment_id) \
         THEN greatest((SELECT max(it.experiment_id) FROM {experiments} it), (SELECT max(experiment_id) FROM {own})) \
             + row_number() OVER (ORDER BY own.experiment_id) ELSE own.experiment_id END) AS new FROM {own} own"
    )];
    let follow = |table: &str, column: &str| {
        let column = escape_identifier(column);
        format!("UPDATE {table} own SET {column} = it.new FROM {NUMBERS} it WHERE own.{column} = it.old")
    };
    for key in selection.keys_to(&experiments) {
        if let (Some(number), [column]) = (place(&key.table), key.columns.as_slice()) {
            statements.push(follow(&beside(number), column));
        }
    }
    statements.push(format!("DELETE FROM {own} own WHERE EXISTS (SELECT FROM {experiments} it WHERE {same})"));
    statements.push(follow(&own, "experiment_id"));
    let cannot = |e| Error::caused_by("cannot give the model's experiments numbers of the other server", e);
    live.batch_execute(&statements.join("; ")).await.map_err(cannot)
}
