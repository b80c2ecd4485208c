//! A report as one HTML page that needs nothing else: no script, no network, readable on a phone, in the
//! dark and on paper. It is made of the JSON of the report, so that each number there is on the page; what
//! is better seen has a picture beside its table.

mod cards;
mod charts;
mod markup;
mod table;
mod value;
mod words;

use serde::Serialize;
use serde_json::Value;

use crate::error::Result;
use crate::report::versioned;
use markup::Markup;

/// What a page says besides its report.
#[derive(Debug, Clone)]
pub struct Page<'a> {
    /// The command that made the report: `quantize`.
    pub command: &'a str,
    /// The command line, ready to be repeated.
    pub line: &'a str,
    /// The version of onnxpress.
    pub version: &'a str,
}

/// Fields that stand at the top of a page, in their own form.
const AT_TOP: [&str; 2] = ["warnings", "schema"];
/// Fields that stand before others, the last one first.
const AT_START: [&str; 2] = ["drift", "test"];
/// The field that stands at the end.
const AT_END: &str = "passes";
/// Level of the headings of fields.
const FIRST_LEVEL: usize = 2;
/// Scripts, fonts and addresses have no place in a report, whatever a model is called.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

impl Page<'_> {
    /// The page of a report, as a whole file.
    ///
    /// # Errors
    /// When the report has no JSON.
    pub fn of(&self, report: &impl Serialize) -> Result<String> {
        let report = versioned(self.command, report)?;
        let mut page = Markup::default();
        let title = self.title(&report);
        page.raw("<!doctype html>\n<html lang=en><head><meta charset=utf-8>");
        page.raw("<meta name=viewport content=\"width=device-width, initial-scale=1\">");
        page.raw("<meta http-equiv=Content-Security-Policy").attribute("content", POLICY).raw(">");
        page.raw("<link rel=icon href=\"data:,\">").element("title", &title);
        page.raw("<style>").raw(include_str!("style.css")).raw("</style></head><body><header>");
        page.element("h1", format_args!("onnxpress {}", self.command));
        page.raw("<p class=soft>").text(&title).raw("</p></header><main>");
        cards::write(&mut page, &report);
        warnings(&mut page, &report);
        self.fields(&mut page, &report);
        page.raw("<section><h2>repeat</h2>").element("pre", self.line).raw("</section></main>");
        page.raw("<footer><p>onnxpress ").text(self.version);
        if let Some(schema) = report.get("schema").and_then(Value::as_str) {
            page.raw(" · ").text(schema);
        }
        page.raw("</p></footer></body></html>\n");
        Ok(page.finish())
    }

    fn title(&self, report: &Value) -> String {
        let text = |field: &str| report.get(field).and_then(Value::as_str);
        match (text("input"), text("output")) {
            (Some(input), Some(output)) => format!("{input} → {output}"),
            _ => self.line.to_owned(),
        }
    }

    fn fields(&self, page: &mut Markup, report: &Value) {
        let mut rest = report.as_object().cloned().unwrap_or_default();
        rest.retain(|name, _| !AT_TOP.contains(&name.as_str()));
        // How it was done comes after what came out.
        let passes = rest.shift_remove(AT_END).map(|passes| (AT_END.to_owned(), passes));
        rest.extend(passes);
        // What came out on samples of their own comes first.
        for name in AT_START {
            if let Some(found) = rest.shift_remove(name) {
                rest.shift_insert(0, name.to_owned(), found);
            }
        }
        value::object(page, &rest, words::Entries::Fields, FIRST_LEVEL);
    }
}

fn warnings(page: &mut Markup, report: &Value) {
    let Some(warnings) = report.get("warnings").and_then(Value::as_array) else { return };
    if warnings.is_empty() {
        return;
    }
    page.raw("<div class=warnings role=note><ul>");
    for warning in warnings {
        page.raw("<li>");
        words::scalar(page, "", warning);
        page.raw("</li>");
    }
    page.raw("</ul></div>");
}
