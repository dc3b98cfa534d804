//! The step that is a shell command of the user's own; its output is kept in `logs/command.log` of the run's folder.

use super::text::Text;
use super::{Step, StepContext};
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
        Some(_) => read::<Text>(n, p).map(|run| Box::new(CommandStep { run }) as _),
        None => read::<CommandStep>(n, p).map(|k| Box::new(k) as _),
    },
};

/// Runs a shell command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CommandStep {
    /// What `sh -c` gets; `$LIFEBOAT_MLFLOW`, `$LIFEBOAT_POSTGRES` and the like are set. An output of an earlier step,
    /// `${steps.ID.outputs.NAME}`, acts as a shell variable: it belongs in double quotes, and single quotes keep it
    /// from being expanded.
    run: Text,
}

fn schema(generator: &mut SchemaGenerator) -> Schema {
    let map = generator.subschema_for::<CommandStep>();
    json_schema!({ "anyOf": [{ "type": "string", "description": "What `sh -c` gets." }, map] })
}

#[async_trait]
impl Step for CommandStep {
    fn texts(&self) -> Vec<(&'static str, &Text)> {
        vec![("run", &self.run)]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let log = context.folder.join("logs/command.log");
        let (command, outputs) = self.run.shell(context.outputs);
        let variables = [variables(context.platform), outputs].concat();
        match shell::run(&command, &variables, &log).await {
            Ok(()) => Finding::met(),
            Err(error) => Finding::missed(error.to_string()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::Error;
    use crate::environment::{Endpoints, Journal, Platform};
    use crate::kind::pick;
    use crate::model::{Disaster, Onset, Receipt, Verdict};
    use crate::node::parse;
    use crate::recovery::Conditions;
    use crate::recovery::text::Reference;

    struct Nowhere(Endpoints);

    #[async_trait]
    impl Platform for Nowhere {
        fn endpoints(&self) -> &Endpoints {
            &self.0
        }
        async fn remove(&self) -> Vec<String> {
            vec![]
        }
    }

    #[async_trait]
    impl Journal for Nowhere {
        async fn creating(&self, _: Receipt) -> Result<(), Error> {
            Ok(())
        }
        async fn acting(&self, _: Receipt) -> Result<(), Error> {
            Ok(())
        }
        fn progress(&self, _: &str) {}
    }

    #[async_trait]
    impl Conditions for Nowhere {
        async fn lift(&self) -> Result<(), Error> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_value_is_never_read_as_shell() {
        let (folder, nowhere) = (tempfile::tempdir().unwrap(), Nowhere(Endpoints::default()));
        let value = "a  b'\"; touch evil; $(touch evil) `touch evil` ${HOME}";
        let run = "printf '%s|' \"is ${steps.x.outputs.point}\" \"${steps.x.outputs.gone}\"".parse().unwrap();
        let point = Reference { step: "x".into(), output: "point".into() };
        let context = StepContext {
            platform: &nowhere,
            disaster: Disaster::of_one(Onset::default(), crate::clock::wall(), crate::clock::wall()),
            session: None,
            outputs: &[(point, value.to_owned())].into(),
            folder: folder.path(),
            conditions: &nowhere,
            checks: None,
            journal: &nowhere,
        };
        assert_eq!(CommandStep { run }.carry_out(&context).await.verdict, Verdict::Met);
        let said = std::fs::read_to_string(folder.path().join("logs/command.log")).unwrap();
        assert_eq!(said, format!("is {value}||\n"));
    }

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
