//! Pictures of what is better seen than read, as inline SVG: histograms with the range chosen, the error
//! along the network, rankings, steps.

mod frame;
mod histogram;
mod times;

use serde_json::Value;

use crate::report::html::markup::Markup;
use crate::report::text::DECIBEL_LIMIT;
use frame::{Frame, Point};

/// Bars of a ranking; the table beside it has the others.
const MOST_BARS: usize = 40;
/// Points of a curve that are marked and named.
const MOST_MARKS: usize = 200;

/// The pictures of a field, before its table. Which there are follows from what its rows hold.
pub(super) fn of(page: &mut Markup, name: &str, value: &Value) {
    let Some(rows) = value.as_array().filter(|rows| rows.len() > 1) else {
        return histogram::of(page, value);
    };
    match name {
        "ranking" => {
            ranking(page, "outputs when it alone is quantized", rows, |row| number(row, "sqnr_db"))
        }
        "groups" => ranking(page, "outputs when it alone is cut", rows, |row| {
            let tried = row.get("tried")?.as_array()?.iter();
            tried.filter_map(|tried| number(tried, "sqnr_db")).min_by(f64::total_cmp)
        }),
        "worst" => ranking(page, "outputs of the sample", rows, |row| number(row, "sqnr_db")),
        "steps" => steps(page, rows),
        "by_operator" => times::of(page, "operator", rows, MOST_BARS),
        "by_node" => times::of(page, "node", rows, MOST_BARS),
        "layers" => along(page, rows, "accumulated_db", "with all layers before it"),
        "values" => along(page, rows, "sqnr_db", "of the value"),
        _ => {}
    }
    histogram::of(page, value);
}

fn number(row: &Value, field: &str) -> Option<f64> {
    row.get(field).and_then(Value::as_f64)
}

/// What a row is called.
fn label(row: &Value) -> String {
    let named = ["name", "place", "value", "layer", "file"];
    let text = named.iter().find_map(|field| row.get(*field)?.as_str());
    match (text, row.get("index")) {
        (Some(text), _) => text.to_owned(),
        (None, Some(index)) => format!("sample {index}"),
        (None, None) => String::new(),
    }
}

/// Horizontal bars of noise: the longer, the worse.
fn ranking(page: &mut Markup, what: &str, rows: &[Value], ratio: impl Fn(&Value) -> Option<f64>) {
    let mut bars: Vec<(String, f64)> =
        rows.iter().filter_map(|row| Some((label(row), ratio(row)?))).collect();
    bars.retain(|(_, ratio)| ratio.abs() < DECIBEL_LIMIT);
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    bars.truncate(MOST_BARS);
    let (Some(worst), Some(best)) = (bars.first(), bars.last()) else { return };
    let (worst, best) = (worst.1, best.1);
    // The best of all has a bar that can be seen.
    let span = (best - worst).max(1.0) * 1.05;
    page.raw("<figure><figcaption>noise in the ").text(what);
    page.raw(": the longest bar is the worst</figcaption><div class=bars>");
    for (name, ratio) in &bars {
        let share = 100.0 * (1.0 - (ratio - worst) / span);
        page.raw("<span>").text(name).raw("</span><b");
        page.attribute("style", format_args!("--w:{share:.1}%")).raw(">");
        page.text(format_args!("{ratio:.1} dB")).raw("</b>");
    }
    page.raw("</div></figure>");
}

/// A curve over the rows in their order.
fn along(page: &mut Markup, rows: &[Value], field: &str, what: &str) {
    let numbers = rows.iter().enumerate().filter_map(|(at, row)| {
        let y = number(row, field).filter(|y| y.abs() < DECIBEL_LIMIT)?;
        Some(Point { x: at as f64, y, name: format!("{}: {y:.1} dB", label(row)) })
    });
    let points: Vec<Point> = numbers.collect();
    if points.len() < 2 {
        return;
    }
    let caption = format!("signal-to-noise ratio {what}, from the input to the output");
    Frame::of(&points).curve(page, &caption, "dB", "", points.len() <= MOST_MARKS);
}

/// What each step of pruning kept.
fn steps(page: &mut Markup, rows: &[Value]) {
    let points = |y: &dyn Fn(&Value) -> Option<f64>| -> Vec<Point> {
        let points = rows.iter().enumerate().filter_map(|(at, row)| {
            let drift = row.get("drift")?;
            let macs = drift.get("macs")?;
            let share = number(macs, "candidate")? / number(macs, "original")?;
            let y = y(drift).filter(|y| y.is_finite() && y.abs() < DECIBEL_LIMIT)?;
            let name = format!("step {}: {:.1} % of the MACs, {y:.4}", at + 1, 100.0 * share);
            share.is_finite().then_some(Point { x: 100.0 * share, y, name })
        });
        points.collect()
    };
    let top = points(&|drift| number(drift.get("accuracy")?.get("top1")?, "candidate"));
    if top.len() > 1 {
        Frame::of(&top).curve(page, "top-1 of each step", "", "% of the MACs", true);
    }
    let sqnr = points(&|drift| number(drift.get("outputs")?.get(0)?, "sqnr_db"));
    if sqnr.len() > 1 {
        let caption = "signal-to-noise ratio of the first output at each step";
        Frame::of(&sqnr).curve(page, caption, "dB", "% of the MACs", true);
    }
}
