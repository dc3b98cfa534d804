//! A kind's JSON Schema as a list of keys for people: nested objects flattened, with defaults and meanings.

use serde_json::{Map, Value};

/// Deeper than this no schema is followed: one may contain itself.
const DEPTH: usize = 4;

/// One key of a kind.
#[derive(Debug, PartialEq)]
pub(super) struct Setting {
    /// `mlflow.replicas`; `nodes[].name` in each item of a list.
    pub(super) key: String,
    /// Its default, or `required`, or a dash.
    pub(super) default: String,
    /// What it means, and which words it takes.
    pub(super) meaning: String,
}

/// All keys that a schema knows.
pub(super) fn settings(schema: &Value) -> Vec<Setting> {
    let mut found = vec![];
    object(schema, schema, "", DEPTH, &mut found);
    if found.is_empty() && resolved(schema, schema).get("type").is_some_and(|kind| kind != "object") {
        let meaning = meaning(schema, schema);
        found.push(Setting { key: "(its value)".into(), default: "required".into(), meaning });
    }
    found
}

/// Adds the keys of an object, or of each form that it may have.
fn object(schema: &Value, root: &Value, prefix: &str, depth: usize, found: &mut Vec<Setting>) {
    let schema = resolved(schema, root);
    if depth == 0 {
        return;
    }
    for form in forms(schema) {
        object(form, root, prefix, depth - 1, found);
    }
    if let Some(items) = schema.get("items") {
        object(items, root, &format!("{}[].", prefix.trim_end_matches('.')), depth - 1, found);
    }
    let required: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    let mut properties: Vec<_> = schema.get("properties").and_then(Value::as_object).into_iter().flatten().collect();
    properties.sort_by_key(|(name, _)| !required.iter().any(|it| *it == *name)); // those first that must be given
    for (name, property) in properties {
        let key = format!("{prefix}{name}");
        if found.iter().any(|setting| setting.key == key) {
            continue; // it stands in several forms
        }
        let default = match property.get("default") {
            Some(Value::Null) | None if required.iter().any(|it| *it == name) => "required".to_owned(),
            Some(Value::Null) | None => "–".to_owned(),
            Some(value) => written(value),
        };
        found.push(Setting { key: key.clone(), default, meaning: meaning(property, root) });
        object(property, root, &format!("{key}."), depth - 1, found);
    }
}

/// What a schema refers to, if it does.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
    name.and_then(|name| root.get("$defs")?.get(name)).unwrap_or(schema)
}

/// The forms that a value may have.
fn forms(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten()
}

fn meaning(property: &Value, root: &Value) -> String {
    let inner: Vec<_> = forms(property).chain([property]).map(|form| resolved(form, root)).collect();
    let described = |schema: &Value| schema.get("description").and_then(Value::as_str).map(str::to_owned);
    let text = described(property).or_else(|| inner.iter().copied().find_map(described)).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut words: Vec<String> = vec![];
    for form in inner.into_iter().flat_map(|schema| forms(schema).chain([schema])) {
        let listed = form.get("enum").and_then(Value::as_array).into_iter().flatten();
        for word in listed.chain(form.get("const")).filter(|word| !word.is_null()).map(written) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    match words.as_slice() {
        [] => text,
        words => format!("{text} One of {}.", words.join(", ")).trim_start().to_owned(),
    }
}

/// A value as it is written in YAML, in one line.
fn written(value: &Value) -> String {
    let entry = |(key, value): (&String, &Value)| format!("{key}: {}", written(value));
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) if text.is_empty() => "''".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => format!("{{ {} }}", Map::iter(map).map(entry).collect::<Vec<_>>().join(", ")),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_objects_are_flattened_with_defaults_and_meanings() {
        let schema = json!({
            "type": "object",
            "required": ["component"],
            "properties": {
                "component": { "type": "string", "description": "The\ncomponent." },
                "mlflow": { "$ref": "#/$defs/Server", "description": "The server.", "default": { "replicas": 1 } },
                "size": { "anyOf": [{ "$ref": "#/$defs/Size" }, { "type": "null" }] },
            },
            "$defs": {
                "Server": { "type": "object", "properties": { "replicas": { "default": 1, "description": "How many." } } },
                "Size": { "enum": ["small", "large"], "description": "How large." },
            },
        });
        let found: Vec<_> =
            settings(&schema).into_iter().map(|it| [it.key, it.default, it.meaning].join(" | ")).collect();
        assert_eq!(
            found,
            [
                "component | required | The component.",
                "mlflow | { replicas: 1 } | The server.",
                "mlflow.replicas | 1 | How many.",
                "size | – | How large. One of small, large.",
            ]
        );
    }
}
