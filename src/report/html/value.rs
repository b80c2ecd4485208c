//! Any report as HTML: facts, tables, and what is below them. Nothing of a report is left out.

use serde_json::{Map, Value};

use crate::report::html::charts;
use crate::report::html::markup::Markup;
use crate::report::html::table::{self, Table};
use crate::report::html::words::{Entries, float, heading, scalar};

/// Lists of more numbers or words are folded away.
const INLINE: usize = 12;
/// Levels of headings.
const HEADINGS: usize = 6;
/// Nesting after which the rest is shown as JSON: far more than reports have.
const MOST_DEPTH: usize = 16;

/// A field of a report below its heading; `depth` is the level of the heading.
fn field(page: &mut Markup, title: &str, name: &str, value: &Value, depth: usize) {
    if depth > MOST_DEPTH {
        page.element("pre", value);
        return;
    }
    let level = depth.min(HEADINGS);
    page.raw(if depth == 2 { "<section>" } else { "<div>" });
    page.element(&format!("h{level}"), title);
    charts::of(page, name, value);
    match value {
        Value::Object(fields) if table::is_pair(value) => {
            pair(page, name, fields);
        }
        Value::Object(fields) => object(page, fields, Entries::of(name), depth + 1),
        Value::Array(items) => list(page, name, items),
        other => {
            page.raw("<p>");
            scalar(page, name, other);
            page.raw("</p>");
        }
    }
    page.raw(if depth == 2 { "</section>" } else { "</div>" });
}

/// The fields of an object: first a table of what is short, then the rest with headings.
pub(super) fn object(
    page: &mut Markup,
    fields: &Map<String, Value>,
    entries: Entries,
    depth: usize,
) {
    let (short, long): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, value)| is_short(value));
    if !short.is_empty() {
        facts(page, &short, entries);
    }
    for (name, value) in long {
        field(page, &entries.title(name), name, value, depth);
    }
}

/// Two columns: heading and value.
fn facts(page: &mut Markup, fields: &[(&String, &Value)], entries: Entries) {
    page.raw("<div class=scroll><table class=facts>");
    for (name, value) in fields {
        page.raw("<tr>").element("th scope=row", entries.heading(name)).raw("<td>");
        cell(page, name, value);
        page.raw("</td></tr>");
    }
    page.raw("</table></div>");
}

fn is_short(value: &Value) -> bool {
    match value {
        Value::Object(_) => table::is_pair(value),
        Value::Array(items) => items.iter().all(is_scalar) && items.len() <= INLINE,
        _ => true,
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// A value within a line of a table.
pub(super) fn cell(page: &mut Markup, name: &str, value: &Value) {
    match value {
        Value::Object(fields) if table::is_pair(value) => pair(page, name, fields),
        Value::Object(fields) => {
            page.raw("<details>").element("summary", "more");
            object(page, fields, Entries::of(name), HEADINGS);
            page.raw("</details>");
        }
        Value::Array(items) if items.is_empty() => drop(page.raw("–")),
        Value::Array(items) if items.iter().all(is_scalar) && items.len() <= INLINE => {
            words(page, name, items);
        }
        Value::Array(items) => {
            page.raw("<details>").element("summary", items.len());
            list(page, name, items);
            page.raw("</details>");
        }
        other => scalar(page, name, other),
    }
}

/// What stands before, what after, and the share, with what else is known of them.
fn pair(page: &mut Markup, name: &str, fields: &Map<String, Value>) {
    let [before, after] = ["original", "candidate"].map(|side| fields.get(side));
    let (Some(before), Some(after)) = (before, after) else { return };
    cell(page, name, before);
    page.raw(" → ");
    cell(page, name, after);
    if let (Some(a), Some(b)) = (before.as_f64(), after.as_f64())
        && a > 0.0
        && a != b
        && !fields.contains_key("agreement")
        && !fields.contains_key("ratio")
    {
        page.raw(" <span class=soft>").text(format_args!("({} %)", float(100.0 * b / a)));
        page.raw("</span>");
    }
    for (name, value) in
        fields.iter().filter(|(name, _)| !["original", "candidate"].contains(&&***name))
    {
        page.raw(", ").text(heading(name)).raw(" ");
        cell(page, name, value);
    }
}

/// A list: a table of objects or of places with texts, or words.
fn list(page: &mut Markup, name: &str, items: &[Value]) {
    if items.is_empty() {
        page.raw("<p class=soft>none</p>");
    } else if items.iter().all(Value::is_object) {
        Table::of(items).write(page);
    } else if items
        .iter()
        .all(|item| item.as_array().is_some_and(|pair| pair.iter().all(is_scalar)))
    {
        page.raw("<div class=scroll><table>");
        for item in items {
            page.raw("<tr>");
            for part in item.as_array().into_iter().flatten() {
                page.raw("<td>");
                scalar(page, name, part);
                page.raw("</td>");
            }
            page.raw("</tr>");
        }
        page.raw("</table></div>");
    } else if items.iter().all(is_scalar) {
        page.raw("<p>");
        words(page, name, items);
        page.raw("</p>");
    } else {
        for item in items {
            cell(page, name, item);
        }
    }
}

fn words(page: &mut Markup, name: &str, items: &[Value]) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            page.raw(", ");
        }
        scalar(page, name, item);
    }
}
