//! How elements are spread, and which part of that a range keeps.

use serde_json::Value;

use crate::report::html::charts::label;
use crate::report::html::markup::Markup;
use crate::report::html::words::float;

/// Width and height of a picture in its own units.
const SIZE: (f64, f64) = (256.0, 84.0);
/// Height of the bars; the ends of the scale stand below.
const BARS: f64 = 68.0;
/// Pictures on one page: the table has the others.
const MOST: usize = 300;

/// Pictures of the rows of a table that have a histogram.
pub(super) fn of(page: &mut Markup, rows: &Value) {
    let rows = rows.as_array().into_iter().flatten();
    let spread: Vec<Spread> = rows.filter_map(Spread::of).take(MOST).collect();
    if spread.is_empty() {
        return;
    }
    page.raw("<figure><figcaption>how elements are spread (square root of their number)");
    if spread.iter().any(|spread| spread.kept.is_some()) {
        page.raw("; the range that integers cover is between the lines");
    }
    page.raw("</figcaption><div class=many>");
    spread.iter().for_each(|spread| spread.write(page));
    page.raw("</div></figure>");
}

/// A row with its histogram.
struct Spread {
    name: String,
    ends: (f64, f64),
    counts: Vec<f64>,
    /// The range chosen.
    kept: Option<(f64, f64)>,
}

impl Spread {
    fn of(row: &Value) -> Option<Self> {
        let number = |field: &str| row.get(field).and_then(Value::as_f64);
        let counts: Vec<f64> =
            row.get("histogram")?.as_array()?.iter().filter_map(Value::as_f64).collect();
        let ends = (number("min")?, number("max")?);
        let kept = number("from").zip(number("to"));
        (!counts.is_empty()).then(|| Self { name: label(row), ends, counts, kept })
    }

    fn write(&self, page: &mut Markup) {
        let (low, high) = self.ends;
        let largest = self.counts.iter().copied().fold(1.0, f64::max).sqrt();
        let width = SIZE.0 / self.counts.len() as f64;
        page.raw("<div><svg role=img").attribute("aria-label", &self.name);
        page.attribute("viewBox", format_args!("0 0 {} {}", SIZE.0, SIZE.1))
            .raw("><path class=bar d=\"");
        for (at, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            // What is there at all can be seen.
            let height = (BARS * count.sqrt() / largest).max(1.0);
            let (x, y) = (width * at as f64, BARS - height);
            page.text(format_args!("M{x:.2} {y:.1}h{width:.2}v{height:.1}h-{width:.2}z"));
        }
        page.raw("\"/>");
        let place = |x: f64| SIZE.0 * ((x - low) / (high - low)).clamp(0.0, 1.0);
        for end in self.kept.filter(|_| high > low).map_or(Vec::new(), |(from, to)| vec![from, to])
        {
            let x = format!("{:.1}", place(end));
            page.raw("<line class=cut y1=0").attribute("y2", BARS);
            page.attribute("x1", &x).attribute("x2", &x).raw("/>");
        }
        page.raw("<text").attribute("x", 0).attribute("y", SIZE.1 - 3.0).raw(">").text(float(low));
        page.raw("</text><text class=end").attribute("x", SIZE.0).attribute("y", SIZE.1 - 3.0);
        page.raw(">").text(float(high)).raw("</text></svg><div class=name>").text(&self.name);
        page.raw("</div></div>");
    }
}
