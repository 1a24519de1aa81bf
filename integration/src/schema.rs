//! The JSON schemas of the specification, as far as they are used by what a runtime prints.

use serde_json::{Value, json};
use std::path::Path;

/// Checks a document against a file of the specification's `schema` directory: the keywords that the schemas of the state and of
/// the features use.
///
/// # Panics
/// When the document is not valid; the message names the place.
pub fn assert_valid(document: &Value, schema: &str) {
    valid(document, &json!({"$ref": format!("{schema}#")}), "", "");
}

fn valid(value: &Value, schema: &Value, file: &str, at: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime-lib/tests/spec-samples/schema");
    if let Some(reference) = schema["$ref"].as_str() {
        let (other, pointer) = reference.split_once('#').unwrap();
        let file = if other.is_empty() { file } else { other };
        let text = std::fs::read(directory.join(file)).unwrap();
        let document: Value = serde_json::from_slice(&text).unwrap();
        return valid(value, document.pointer(pointer).unwrap(), file, at);
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        other => other.is_none(),
    };
    assert!(fits, "{at}: {value} is no {schema}");
    if let (Some(least), Some(number)) = (schema["minimum"].as_i64(), value.as_i64()) {
        assert!(number >= least, "{at}: {value}");
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value}");
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(required.as_str().unwrap()).is_some(), "{at}: {required}");
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let patterns = schema["patternProperties"].as_object().into_iter().flatten().map(|(_, schema)| schema);
        for schema in schema["properties"].get(name).into_iter().chain(patterns) {
            valid(member, schema, file, &format!("{at}.{name}"));
        }
    }
    for (index, element) in value.as_array().into_iter().flatten().enumerate() {
        valid(element, &schema["items"], file, &format!("{at}[{index}]"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own samples, which a validator has to tell apart.
    #[test]
    fn samples_are_valid_or_not_as_their_folder_says() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime-lib/tests/spec-samples");
        for (kind, schema) in [("state", "state-schema.json"), ("features", "features-schema.json")] {
            for folder in ["good", "bad"] {
                for entry in std::fs::read_dir(directory.join(kind).join(folder)).unwrap() {
                    let path = entry.unwrap().path();
                    let outcome = std::panic::catch_unwind(|| {
                        assert_valid(&serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(), schema);
                    });
                    assert_eq!(outcome.is_ok(), folder == "good", "{path:?}");
                }
            }
        }
    }
}
