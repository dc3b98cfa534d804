//! Texts of a runbook that may refer to what earlier steps put out: `${steps.ID.outputs.NAME}`.
//!
//! Apart from the steps because any of them may have such texts. A value never becomes part of a shell command: the
//! reference becomes a variable of its environment, which the shell expands and does not read again.

use crate::client::shell::Variable;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What the steps that have ended have put out.
pub type Outputs = BTreeMap<Reference, String>;

/// An output of a step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The step's id.
    pub step: String,
    /// The output's name.
    pub output: String,
}

/// A text that may refer to outputs of earlier steps.
#[derive(Debug, Clone)]
pub struct Text(Vec<TextPart>);

#[derive(Debug, Clone)]
enum TextPart {
    Plain(String),
    Output(Reference),
}

const OPEN: &str = "${steps.";

impl Text {
    /// The outputs that it refers to.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|part| if let TextPart::Output(reference) = part { Some(reference) } else { None })
    }

    /// As a plain text; an output that is not there is an empty text.
    pub fn plain(&self, outputs: &Outputs) -> String {
        let part = |part: &TextPart| match part {
            TextPart::Plain(text) => text.clone(),
            TextPart::Output(reference) => outputs.get(reference).cloned().unwrap_or_default(),
        };
        self.0.iter().map(part).collect()
    }

    /// As a shell command and the variables it needs. An output that is not there, because its step was skipped or
    /// failed before it had any, is an empty text.
    pub fn shell(&self, outputs: &Outputs) -> (String, Vec<Variable>) {
        let (mut command, mut variables) = (String::new(), vec![]);
        for part in &self.0 {
            match part {
                TextPart::Plain(text) => command.push_str(text),
                TextPart::Output(reference) => {
                    let name = format!("LIFEBOAT_OUTPUT_{}", variables.len() + 1);
                    command.extend(["${", &name, "}"]);
                    variables.push((name, outputs.get(reference).cloned().unwrap_or_default().into()));
                }
            }
        }
        (command, variables)
    }
}

impl std::str::FromStr for Text {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (vec![], text);
        while let Some((plain, from)) = rest.split_once(OPEN) {
            let (inner, after) = from.split_at(from.find('}').map_or(from.len(), |end| end + 1));
            let words: Option<Vec<_>> = inner.strip_suffix('}').map(|words| words.split('.').collect());
            let Some([step, "outputs", output]) = words.as_deref() else {
                return Err(format!("`{OPEN}{inner}` is no output, such as ${{steps.restore-postgres.outputs.point}}"));
            };
            parts.push(TextPart::Plain(plain.to_owned()));
            parts.push(TextPart::Output(Reference { step: (*step).to_owned(), output: (*output).to_owned() }));
            rest = after;
        }
        parts.push(TextPart::Plain(rest.to_owned()));
        Ok(Self(parts))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A text; may name outputs: ${steps.ID.outputs.NAME}" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_becomes_a_variable_and_all_else_stays() {
        let text: Text = "a ${HOME} \"${steps.x-1.outputs.taken_at}\" ${steps.y.outputs.point}".parse().unwrap();
        let seen = Reference { step: "x-1".into(), output: "taken_at".into() };
        let outputs = [(seen, "now".to_owned())].into();
        assert_eq!(text.plain(&outputs), "a ${HOME} \"now\" ");
        let (command, variables) = text.shell(&outputs);
        assert_eq!(command, "a ${HOME} \"${LIFEBOAT_OUTPUT_1}\" ${LIFEBOAT_OUTPUT_2}");
        let value = |n: usize| variables[n].1.to_str().unwrap();
        assert_eq!((value(0), value(1)), ("now", ""), "what is not there is empty");
    }

    #[test]
    fn what_looks_like_a_reference_and_is_none_is_refused() {
        for text in ["${steps.x}", "${steps.x.output.point}", "${steps.x.outputs.a.b}", "${steps.x.outputs.point"] {
            assert!(text.parse::<Text>().is_err(), "{text}");
        }
    }
}
