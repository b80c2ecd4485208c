//! A curve in a frame with its scale.

use crate::report::html::markup::Markup;
use crate::report::html::words::float;

/// Width and height of a picture in its own units; it is as wide as its place.
const SIZE: (f64, f64) = (640.0, 220.0);
/// Room for the numbers of the scale: left, and below.
const ROOM: (f64, f64) = (52.0, 22.0);
/// Room above and at the right.
const EDGE: f64 = 8.0;
/// Lines of the scale.
const LINES: usize = 4;

/// A point of a curve.
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
    /// Shown when it is pointed at.
    pub name: String,
}

/// A curve, and what its axes span.
pub(super) struct Frame<'a> {
    points: &'a [Point],
    x: (f64, f64),
    y: (f64, f64),
}

impl<'a> Frame<'a> {
    /// The frame around finite points.
    pub fn of(points: &'a [Point]) -> Self {
        let span = |of: fn(&Point) -> f64| {
            let low = points.iter().map(of).fold(f64::INFINITY, f64::min);
            let high = points.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
            if high > low { (low, high) } else { (low - 0.5, high + 0.5) }
        };
        Self { points, x: span(|point| point.x), y: span(|point| point.y) }
    }

    fn place(&self, point: &Point) -> (f64, f64) {
        let share = |at: f64, (low, high): (f64, f64)| (at - low) / (high - low);
        let (width, height) = (SIZE.0 - ROOM.0 - EDGE, SIZE.1 - ROOM.1 - EDGE);
        let x = ROOM.0 + width * share(point.x, self.x);
        (x, EDGE + height * (1.0 - share(point.y, self.y)))
    }

    /// Writes the curve; `y` and `x` are units, `marks` shows each point.
    pub fn curve(&self, page: &mut Markup, caption: &str, y: &str, x: &str, marks: bool) {
        page.raw("<figure>").element("figcaption", caption);
        page.raw("<svg role=img").attribute("aria-label", caption);
        page.attribute("viewBox", format_args!("0 0 {} {}", SIZE.0, SIZE.1)).raw(">");
        for line in 0..=LINES {
            let at = self.y.0 + (self.y.1 - self.y.0) * line as f64 / LINES as f64;
            let (_, height) = self.place(&Point { x: self.x.0, y: at, name: String::new() });
            page.raw("<line class=grid").attribute("x1", ROOM.0).attribute("x2", SIZE.0 - EDGE);
            let height = format!("{height:.1}");
            page.attribute("y1", &height).attribute("y2", &height).raw("/>");
            page.raw("<text class=end").attribute("x", ROOM.0 - 6.0).attribute("y", &height);
            page.raw(" dy=\".32em\">").text(short(at)).raw("</text>");
        }
        page.raw("<text").attribute("x", 2).attribute("y", SIZE.1 - 6.0).raw(">").text(y);
        page.raw("</text>");
        if !x.is_empty() {
            let ends = [(self.x.0, "start", ROOM.0), (self.x.1, "end", SIZE.0 - EDGE)];
            for (at, class, place) in ends {
                page.raw("<text").attribute("class", class).attribute("x", place);
                page.attribute("y", SIZE.1 - 6.0).raw(">");
                page.text(format_args!("{} {x}", short(at))).raw("</text>");
            }
        }
        page.raw("<polyline class=curve points=\"");
        for point in self.points {
            let (x, y) = self.place(point);
            page.text(format_args!("{x:.1},{y:.1} "));
        }
        page.raw("\"/>");
        for point in self.points.iter().filter(|_| marks) {
            let (x, y) = self.place(point);
            page.raw("<circle class=mark r=3").attribute("cx", format_args!("{x:.1}"));
            page.attribute("cy", format_args!("{y:.1}")).raw("><title>").text(&point.name);
            page.raw("</title></circle>");
        }
        page.raw("</svg></figure>");
    }
}

/// Three digits or so for a scale.
fn short(x: f64) -> String {
    match x.abs() {
        size if size >= 100.0 => float(x.round()),
        size if size >= 1.0 => float((x * 10.0).round() / 10.0),
        _ => float((x * 1000.0).round() / 1000.0),
    }
}
