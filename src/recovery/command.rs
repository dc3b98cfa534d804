//! The step that is a shell command of the user's own; its output is kept in `logs/command.log` of the run's folder.

use super::{Hands, Step};
use crate::client::shell;
use crate::engine::command::variables;
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// `command: "…"` or `command: { run: "…" }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "command",
    about: "Runs a shell command of your own.",
    example: "command: { run: 'curl --fail \"$LIFEBOAT_MLFLOW/health\"' }",
    schema,
    parse: |n, p| match n.text() {
        Some(run) => Some(Box::new(Command { run: run.to_owned() })),
        None => read::<Command>(n, p).map(|k| Box::new(k) as _),
    },
};

/// Runs a shell command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Command {
    /// What `sh -c` gets; `$LIFEBOAT_MLFLOW`, `$LIFEBOAT_POSTGRES` and the like are set.
    run: String,
}

fn schema(generator: &mut SchemaGenerator) -> Schema {
    let map = generator.subschema_for::<Command>();
    json_schema!({ "anyOf": [{ "type": "string", "description": "What `sh -c` gets." }, map] })
}

#[async_trait]
impl Step for Command {
    async fn carry_out(&self, hands: &Hands<'_>) -> Finding {
        let log = hands.folder.join("logs/command.log");
        match shell::run(&self.run, &variables(hands.env.doors()), &log).await {
            Ok(()) => Finding::met(),
            Err(trouble) => Finding::missed(trouble.to_string()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kind::pick;
    use crate::node::parse;

    #[test]
    fn a_command_is_a_text_or_a_map() {
        let mut problems = vec![];
        for text in ["command: ./restart.sh now", "command: { run: ./restart.sh }"] {
            assert!(pick("step", super::super::STEPS, &parse(text).unwrap(), &mut problems).is_some());
        }
        assert!(problems.is_empty());
        assert!((KIND.parse)(&parse("{}").unwrap(), &mut problems).is_none());
    }
}
