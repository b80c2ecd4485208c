//! Where the time goes: two bars for each operator or node, before and after.

use serde_json::Value;

use crate::report::html::markup::Markup;
use crate::report::html::words::float;

/// The pair of bars of each row, at most `most` rows.
pub(super) fn of(page: &mut Markup, what: &str, rows: &[Value], most: usize) {
    let side = |row: &Value, side: &str| row.get("milliseconds")?.get(side)?.as_f64();
    let bars: Vec<(String, [f64; 2])> = rows
        .iter()
        .filter_map(|row| {
            let text = |field: &str| row.get(field).and_then(Value::as_str);
            let name = [text("op"), text("name")].into_iter().flatten().collect::<Vec<_>>();
            Some((name.join(" "), [side(row, "original")?, side(row, "candidate")?]))
        })
        .take(most)
        .collect();
    let longest = bars.iter().flat_map(|(_, times)| *times).fold(0.0, f64::max);
    if longest <= 0.0 {
        return;
    }
    page.raw("<figure><figcaption>milliseconds of each ").text(what);
    page.raw(": the original above, the candidate below</figcaption><div class=\"bars two\">");
    for (name, times) in &bars {
        page.raw("<span>").text(name).raw("</span>");
        for time in times {
            let share = 100.0 * time / longest;
            page.raw("<b").attribute("style", format_args!("--w:{share:.1}%")).raw(">");
            page.text(format_args!("{} ms", float(*time))).raw("</b>");
        }
    }
    page.raw("</div></figure>");
}
