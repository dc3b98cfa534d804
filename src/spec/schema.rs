//! JSON Schemas of the files users write, of the report, and of the kinds, for editors and other programs.

use super::catalogue::catalogue;
use super::drill::DrillFile;
use super::protection::ProtectionFile;
use super::scenario::ScenarioFile;
use crate::model::report::Report;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The schema of a drill file.
pub fn drill() -> Schema {
    root::<DrillFile>()
}

/// The schema of a scenario file.
pub fn scenario() -> Schema {
    root::<ScenarioFile>()
}

/// The schema of a protection file.
pub fn protection() -> Schema {
    root::<ProtectionFile>()
}

/// The schema of `report.json`.
pub fn report() -> Schema {
    root::<Report>()
}

/// Each kind with its sentence, example and schema, by seam and name.
pub fn kinds() -> Value {
    let mut seams = Map::new();
    for kind in catalogue() {
        let mut g = generator();
        let schema = whole((kind.schema)(&mut g), &mut g);
        let seam = seams.entry(kind.seam).or_insert_with(|| json!({}));
        let (beside, outputs) = (kind.beside, kind.outputs());
        seam[kind.name] = json!({
            "about": kind.about, "example": kind.example, "schema": schema, "beside": beside, "outputs": outputs,
        });
    }
    Value::Object(seams)
}

/// A schema with what it refers to, so that it stands on its own.
pub fn whole(schema: Schema, g: &mut SchemaGenerator) -> Value {
    let mut schema = schema.to_value();
    let definitions = g.take_definitions(true);
    if let (Some(map), false) = (schema.as_object_mut(), definitions.is_empty()) {
        map.insert("$defs".into(), Value::Object(definitions));
    }
    schema
}

/// Makes schemas of the draft that editors know.
pub fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

fn root<T: JsonSchema>() -> Schema {
    generator().into_root_schema_for::<T>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_a_drill_knows_its_keys_and_every_kind() {
        let text = serde_json::to_string(&drill()).unwrap_or_default();
        for key in ["drill", "scenario", "protect", "streak", "mlflow-smoke", "simulated", "baseline"] {
            assert!(text.contains(&format!("\"{key}\"")), "{key}");
        }
    }

    #[test]
    fn the_schema_of_a_scenario_knows_the_keys_beside_a_kind_and_the_kinds_their_outputs() {
        let text = scenario().to_value().to_string();
        for key in ["after", "when", "always", "deadline", "at", "^(disaster|recovery)"] {
            assert!(text.contains(&format!("\"{key}")), "{key}");
        }
        assert_eq!(kinds()["step"]["restore"]["outputs"], json!(["point", "taken_at"]));
        assert_eq!(kinds()["fault"]["kill"]["beside"], json!(["at"]));
    }

    #[test]
    fn every_reference_of_a_schema_leads_somewhere() {
        for schema in [drill().to_value(), scenario().to_value(), report().to_value()] {
            let text = schema.to_string();
            for name in text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(schema["$defs"].get(name).is_some(), "{name}");
            }
        }
    }
}
