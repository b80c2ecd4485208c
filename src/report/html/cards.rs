//! What is asked first: how much smaller, how much faster, how much worse.

use serde_json::Value;

use crate::report::html::markup::Markup;
use crate::report::html::words::{float, scalar};

/// Outputs of a report with two models: those on test samples say more than others.
const COMPARISONS: [&str; 2] = ["test", "drift"];
/// Ratios this close to 1 are no difference.
const SAME: f64 = 0.05;

/// The cards at the top of a page.
pub(super) fn write(page: &mut Markup, report: &Value) {
    let compared = COMPARISONS.iter().find_map(|name| report.get(name)).unwrap_or(report);
    page.raw("<div class=cards>");
    for (title, field) in [
        ("size in bytes", "size_bytes"),
        ("parameters", "parameters"),
        ("multiply-accumulates", "macs"),
        ("nodes", "nodes"),
    ] {
        let found = compared.get(field).or_else(|| report.get(field));
        match found {
            Some(pair) if pair.is_object() => amounts(page, title, field, pair),
            Some(number) if number.is_number() => single(page, title, field, number),
            _ => {}
        }
    }
    for (name, top) in compared.get("accuracy").and_then(Value::as_object).into_iter().flatten() {
        accuracy(page, name, top);
    }
    outputs(page, compared);
    let latency = [compared, report].into_iter().chain(report.get("drift"));
    if let Some(latency) = latency.filter_map(|part| part.get("latency_ms")).next() {
        times(page, latency);
    }
    if let Some(reason) = compared.get("not_validated").and_then(Value::as_str) {
        card(page, "outputs", "not executed", reason, "bad");
    }
    if let Some(passed) = compared.get("passed").and_then(Value::as_bool) {
        let missed = compared.get("missed").and_then(Value::as_array);
        let missed = missed.into_iter().flatten().filter_map(Value::as_str);
        let below = missed.collect::<Vec<_>>().join("; ");
        if !passed {
            card(page, "bounds", "missed", &below, "bad");
        }
    }
    page.raw("</div>");
}

fn card(page: &mut Markup, title: &str, figure: &str, below: &str, class: &str) {
    page.raw("<div").attribute("class", class).raw(">").text(title);
    page.element("b", figure).element("span class=soft", below).raw("</div>");
}

fn sides(pair: &Value) -> Option<(f64, f64)> {
    let side = |name: &str| pair.get(name).and_then(Value::as_f64);
    side("original").zip(side("candidate"))
}

/// A percentage of what was there, and both numbers.
fn amounts(page: &mut Markup, title: &str, field: &str, pair: &Value) {
    let Some((before, after)) = sides(pair) else { return };
    let class = if before > 0.0 && after > before { "bad" } else { "" };
    page.raw("<div").attribute("class", class).raw(">").text(title).raw("<b>");
    match before > 0.0 {
        true => page.text(format_args!("{:.1} %", 100.0 * after / before)),
        false => page.raw("–"),
    };
    page.raw("</b><span class=soft>");
    scalar(page, field, &pair["original"]);
    page.raw(" → ");
    scalar(page, field, &pair["candidate"]);
    page.raw("</span></div>");
}

fn single(page: &mut Markup, title: &str, field: &str, number: &Value) {
    page.raw("<div>").text(title).raw("<b>");
    scalar(page, field, number);
    page.raw("</b></div>");
}

fn accuracy(page: &mut Markup, name: &str, top: &Value) {
    let Some((before, after)) = sides(top) else { return };
    let agreement = top.get("agreement").and_then(Value::as_f64).unwrap_or_default();
    let below = format!("{:.2} % before; both agree on {:.2} %", 100.0 * before, 100.0 * agreement);
    let title = name.strip_prefix("top").map_or(name.to_owned(), |k| format!("top-{k} accuracy"));
    card(page, &title, &format!("{:.2} %", 100.0 * after), &below, "");
}

/// The output that moves most.
fn outputs(page: &mut Markup, compared: &Value) {
    let outputs = compared.get("outputs").and_then(Value::as_array).into_iter().flatten();
    let ratio = |output: &&Value| output.get("sqnr_db").and_then(Value::as_f64);
    let worst = outputs.min_by(|a, b| {
        ratio(a).unwrap_or(f64::INFINITY).total_cmp(&ratio(b).unwrap_or(f64::INFINITY))
    });
    let Some((output, ratio)) = worst.and_then(|output| Some((output, ratio(&output)?))) else {
        return;
    };
    let name = output.get("name").and_then(Value::as_str).unwrap_or_default();
    let figure = crate::report::decibel(ratio);
    card(page, "signal-to-noise ratio", &figure, &format!("output {name}"), "");
}

fn times(page: &mut Markup, latency: &Value) {
    let Some((before, after)) = sides(latency) else { return };
    let engine = latency.get("engine").and_then(Value::as_str).unwrap_or("the engine");
    let (figure, class) = match after / before {
        ratio if ratio > 1.0 + SAME => (format!("{ratio:.2} × slower"), "bad"),
        ratio if ratio < 1.0 - SAME => (format!("{:.2} × faster", 1.0 / ratio), ""),
        _ => ("no difference".to_owned(), ""),
    };
    let below = format!("{} → {} ms in {engine}", float(before), float(after));
    card(page, "latency", &figure, &below, class);
}
