//! Lists of objects as tables: a column for each field, with bars behind numbers.

use std::collections::HashSet;

use serde_json::Value;

use crate::report::html::markup::Markup;
use crate::report::html::value::cell;
use crate::report::html::words::heading;
use crate::report::text::DECIBEL_LIMIT;

/// Numbers that name something: no bar says anything about them.
const NAMES: &[&str] = &["index", "label", "axis", "original", "candidate", "zero_point", "left"];
/// Nesting of objects that becomes columns.
const MOST_DEPTH: usize = 3;

/// A table; fields of objects within a row are columns of their own.
pub(super) struct Table<'a> {
    columns: Vec<String>,
    rows: Vec<Vec<(String, &'a Value)>>,
}

/// Original and candidate: one cell.
pub(super) fn is_pair(value: &Value) -> bool {
    let fields = value.as_object();
    fields.is_some_and(|fields| {
        let whole = |value: &Value| value.is_number() || value.is_string() || value.is_array();
        ["original", "candidate"].iter().all(|side| fields.get(*side).is_some_and(whole))
            && fields.values().all(|value| !value.is_object())
    })
}

impl<'a> Table<'a> {
    /// The table of a list of objects.
    pub fn of(items: &'a [Value]) -> Self {
        let mut columns = Vec::new();
        let mut known = HashSet::new();
        let mut rows = Vec::new();
        for item in items {
            let mut row = Vec::new();
            flatten("", item, 0, &mut row);
            for (name, _) in &row {
                if known.insert(name.clone()) {
                    columns.push(name.clone());
                }
            }
            rows.push(row);
        }
        // A column of objects that are missing in some rows.
        columns.retain(|name| {
            let values = rows.iter().flatten().filter(|(column, _)| column == name);
            let inner = known.iter().any(|other| other.starts_with(&format!("{name}.")));
            !inner || values.into_iter().any(|(_, value)| !value.is_null())
        });
        Self { columns, rows }
    }

    /// Writes it into a box of its own that scrolls.
    pub fn write(&self, page: &mut Markup) {
        page.raw("<div class=scroll><table><thead><tr>");
        for column in &self.columns {
            page.element("th scope=col", heading(column));
        }
        page.raw("</tr></thead><tbody>");
        let largest: Vec<Option<f64>> = self.columns.iter().map(|c| self.largest(c)).collect();
        for row in &self.rows {
            page.raw("<tr>");
            for (column, largest) in self.columns.iter().zip(&largest) {
                let found = row.iter().find(|(name, _)| name == column).map(|(_, value)| *value);
                let value = found.unwrap_or(&Value::Null);
                page.raw(if value.is_number() { "<td class=n" } else { "<td" });
                if let (Some(largest), Some(x)) = (largest, value.as_f64()) {
                    let share = (100.0 * x / largest).clamp(0.0, 100.0);
                    page.attribute("style", format_args!("--w:{share:.1}%"));
                }
                page.raw(">");
                cell(page, last(column), value);
                page.raw("</td>");
            }
            page.raw("</tr>");
        }
        page.raw("</tbody></table></div>");
    }

    /// The number that a full bar stands for; `None` for columns without bars.
    fn largest(&self, column: &str) -> Option<f64> {
        if NAMES.contains(&last(column)) {
            return None;
        }
        let cells = self.rows.iter().flatten().filter(|(name, _)| name == column);
        let numbers: Vec<f64> = cells.filter_map(|(_, value)| value.as_f64()).collect();
        let finite =
            numbers.iter().copied().filter(|x| x.abs() < DECIBEL_LIMIT || !is_decibel(column));
        let largest = finite.fold(0.0, f64::max);
        let all = numbers.len() > 1 && numbers.iter().all(|&x| x >= 0.0);
        (all && largest > 0.0).then_some(largest)
    }
}

fn is_decibel(column: &str) -> bool {
    column.ends_with("_db")
}

fn last(column: &str) -> &str {
    column.rsplit('.').next().unwrap_or(column)
}

fn flatten<'a>(prefix: &str, value: &'a Value, depth: usize, row: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(fields) if depth < MOST_DEPTH && (depth == 0 || !is_pair(value)) => {
            for (name, value) in fields {
                let name =
                    if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, depth + 1, row);
            }
        }
        other => row.push((prefix.to_owned(), other)),
    }
}
