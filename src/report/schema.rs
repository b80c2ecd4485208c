//! Reports as JSON: what their fields mean is versioned.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Result, err};

/// The version of all reports. It rises when a field goes or changes its meaning; new fields may come at
/// any time. `docs/REPORTS.md` lists them.
pub const SCHEMA: u32 = 1;

/// A report of a command as JSON, with the field `schema` first: `onnxpress/COMMAND/VERSION`.
///
/// # Errors
/// When the report is no object, or has no JSON.
pub fn versioned(command: &str, report: &impl Serialize) -> Result<Value> {
    let report = serde_json::to_value(report).map_err(|error| err!(Engine, "no JSON: {error}"))?;
    let Value::Object(fields) = report else {
        return Err(err!(Engine, "the report of {command} is no object"));
    };
    let mut whole = Map::new();
    whole.insert("schema".to_owned(), format!("onnxpress/{command}/{SCHEMA}").into());
    whole.extend(fields);
    Ok(Value::Object(whole))
}
