//! Charts as SVG, drawn by hand: areas, lines and bars over a numeric axis.
//!
//! Colours are CSS classes (`c0`, `c1`, … for fills and `l0`, `l1`, … for lines), so that a page
//! decides how a chart looks by day, by night and on paper. A chart is drawn for a width in
//! pixels; its text keeps its size, so a narrow one stays readable on a phone. The console and the
//! report of a run draw with it.

use std::fmt::Write;

/// A chart.
#[derive(Default)]
pub struct Chart {
    /// What is seen, in a sentence.
    pub title: String,
    /// What is drawn, for those who cannot see it.
    pub description: String,
    /// Range of the horizontal axis.
    pub x: (f64, f64),
    /// Ticks of the horizontal axis, with labels; those that do not fit are left out.
    pub ticks: Vec<(f64, String)>,
    /// What stands behind the numbers of the vertical axis, for example `%`.
    pub suffix: &'static str,
    /// What is drawn, from back to front.
    pub marks: Vec<Mark>,
}

/// A part of a chart. Colours are numbers of the page's palette.
pub enum Mark {
    /// The surface between two lines.
    Area {
        /// Its colour.
        colour: Colour,
        /// Horizontal place, lower and upper edge.
        points: Vec<(f64, f64, f64)>,
    },
    /// A line, with its name at its end.
    Line {
        /// Its colour.
        colour: Colour,
        /// Horizontal and vertical place.
        points: Vec<(f64, f64)>,
        /// Its name; empty if it has none.
        label: String,
    },
    /// A bar, with a text that shows when it is pointed at.
    Bar {
        /// Its colour.
        colour: Colour,
        /// Left and right edge.
        x: (f64, f64),
        /// Lower and upper edge.
        y: (f64, f64),
        /// What it shows.
        hint: String,
    },
}

/// A colour of the page's palette.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(
    /// Its class.
    pub &'static str,
);

const TEXT: f64 = 12.0;
/// Average width of a letter or digit.
const LETTER: f64 = 6.7;
const LINE_HEIGHT: f64 = 15.0;

/// Where things are in a drawing.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: (f64, f64),
    highest: f64,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        let span = (self.x.1 - self.x.0).max(f64::MIN_POSITIVE);
        self.left + (value - self.x.0) / span * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - value / self.highest * (self.bottom - self.top)
    }
}

impl Chart {
    /// Draws the chart.
    pub fn svg(&self, width: f64, height: f64) -> String {
        let ticks = ticks(self.highest(), (height / 55.0) as usize);
        let labels: Vec<_> = ticks
            .iter()
            .map(|&tick| format!("{}{}", decimal(tick, decimals(&ticks)), self.suffix))
            .collect();
        let longest = |labels: &mut dyn Iterator<Item = usize>| labels.max().unwrap_or(0) as f64;
        let left = longest(&mut labels.iter().map(|label| label.chars().count())) * LETTER + 10.0;
        let names = longest(&mut self.line_ends().map(|(_, _, label)| label.chars().count()));
        let right = if names > 0.0 {
            names * LETTER + 12.0
        } else {
            10.0
        };
        let frame = Frame {
            left,
            right: width - right,
            top: 8.0,
            bottom: height - 22.0,
            x: self.x,
            highest: ticks.last().copied().unwrap_or(1.0),
        };
        let mut svg = String::new();
        let _ = write!(
            svg,
            r#"<svg viewBox="0 0 {width:.0} {height:.0}" role="img"><title>{}</title><desc>{}</desc>"#,
            escape(&self.title),
            escape(&self.description)
        );
        for (&tick, label) in ticks.iter().zip(&labels) {
            let y = frame.y(tick);
            let class = if tick == 0.0 { "base" } else { "grid" };
            let _ = write!(
                svg,
                r#"<line class="{class}" x1="{left:.1}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                frame.right,
                left - 7.0,
                y + TEXT / 3.0,
                escape(label)
            );
        }
        self.draw_x_axis(&frame, width, &mut svg);
        for mark in &self.marks {
            mark.draw(&frame, &mut svg);
        }
        self.draw_names(&frame, &mut svg);
        svg.push_str("</svg>");
        svg
    }

    fn highest(&self) -> f64 {
        let of = |mark: &Mark| match mark {
            Mark::Area { points, .. } => points.iter().map(|point| point.2).fold(0.0, f64::max),
            Mark::Line { points, .. } => points.iter().map(|point| point.1).fold(0.0, f64::max),
            Mark::Bar { y, .. } => y.1,
        };
        self.marks.iter().map(of).fold(0.0, f64::max)
    }

    fn draw_x_axis(&self, frame: &Frame, width: f64, svg: &mut String) {
        let mut free_from = 0.0;
        for (place, label) in &self.ticks {
            let half = label.chars().count() as f64 * LETTER / 2.0;
            let centre = frame.x(*place);
            // Names at the ends stay inside.
            let middle = centre.clamp(half, (width - half).max(half));
            if middle - half < free_from {
                continue;
            }
            free_from = middle + half + 8.0;
            let _ = write!(
                svg,
                r#"<line class="base" x1="{centre:.1}" x2="{centre:.1}" y1="{:.1}" y2="{:.1}"/><text class="tick" x="{middle:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                frame.bottom,
                frame.bottom + 4.0,
                frame.bottom + 17.0,
                escape(label)
            );
        }
    }

    /// Last point and name of every line that has a name.
    fn line_ends(&self) -> impl Iterator<Item = (Colour, (f64, f64), &str)> {
        self.marks.iter().filter_map(|mark| match mark {
            Mark::Line {
                colour,
                points,
                label,
            } if !label.is_empty() => Some((*colour, *points.last()?, label.as_str())),
            _ => None,
        })
    }

    /// Writes the names of lines at their ends and keeps them from running into each other.
    fn draw_names(&self, frame: &Frame, svg: &mut String) {
        let mut names: Vec<_> = self
            .line_ends()
            .map(|(colour, end, label)| (frame.y(end.1), frame.x(end.0), colour, label))
            .collect();
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ends: Vec<_> = names.iter().map(|name| name.0).collect();
        let places = spread(&ends, LINE_HEIGHT, frame.top, frame.bottom);
        for ((_, x, Colour(colour), label), y) in names.into_iter().zip(places) {
            let _ = write!(
                svg,
                r#"<text class="name n-{colour}" x="{:.1}" y="{:.1}">{}</text>"#,
                x + 6.0,
                y + TEXT / 3.0,
                escape(label)
            );
        }
    }
}

impl Mark {
    fn draw(&self, frame: &Frame, svg: &mut String) {
        match self {
            Mark::Area {
                colour: Colour(colour),
                points,
            } => {
                let _ = write!(svg, r#"<path class="f-{colour}" d=""#);
                let upper = points.iter().map(|&(x, _, high)| (x, high));
                let lower = points.iter().rev().map(|&(x, low, _)| (x, low));
                path(frame, upper.chain(lower), svg);
                svg.push_str("Z\"/>");
            }
            Mark::Line {
                colour: Colour(colour),
                points,
                ..
            } => {
                let _ = write!(svg, r#"<path class="line s-{colour}" d=""#);
                path(frame, points.iter().copied(), svg);
                svg.push_str("\"/>");
            }
            Mark::Bar {
                colour: Colour(colour),
                x,
                y,
                hint,
            } => {
                let (left, right) = (frame.x(x.0), frame.x(x.1));
                let (top, bottom) = (frame.y(y.1), frame.y(y.0));
                if bottom - top < 0.05 {
                    return;
                }
                let _ = write!(
                    svg,
                    r#"<rect class="f-{colour}" x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>{}</title></rect>"#,
                    right - left,
                    bottom - top,
                    escape(hint)
                );
            }
        }
    }
}

fn path(frame: &Frame, points: impl Iterator<Item = (f64, f64)>, svg: &mut String) {
    for (index, (x, y)) in points.enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(svg, "{command}{:.1} {:.1}", frame.x(x), frame.y(y));
    }
}

/// Moves sorted places apart until each has `gap` to the next, within `low` and `high`.
fn spread(places: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut spread: Vec<f64> = places.to_vec();
    for index in 1..spread.len() {
        spread[index] = spread[index].max(spread[index - 1] + gap);
    }
    let mut most = high;
    for place in spread.iter_mut().rev() {
        *place = place.min(most).max(low);
        most = *place - gap;
    }
    spread
}

/// Ticks from zero to at least `highest`, about `wanted` of them, at steps of 1, 2 or 5.
fn ticks(highest: f64, wanted: usize) -> Vec<f64> {
    if !highest.is_finite() || highest <= 0.0 {
        return vec![0.0, 1.0];
    }
    let rough = highest / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= rough * 0.8)
        .unwrap_or(power * 10.0);
    let steps = (highest / step - 1e-9).ceil().max(1.0) as usize;
    (0..=steps).map(|index| index as f64 * step).collect()
}

/// Decimals that tell the ticks apart.
fn decimals(ticks: &[f64]) -> usize {
    let step = ticks.get(1).copied().unwrap_or(1.0);
    (-step.log10().floor()).clamp(0.0, 6.0) as usize
}

/// A float with a fixed number of decimals: `−1,234.5`.
fn decimal(value: f64, decimals: usize) -> String {
    let plain = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut text = String::from(if value < 0.0 { "−" } else { "" });
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

/// Text as it may stand in markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_highest_value() {
        for (highest, wanted, expected) in [
            (97.0, 5, &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0][..]),
            (100.0, 5, &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
            (312.4, 4, &[0.0, 100.0, 200.0, 300.0, 400.0]),
            (0.031, 4, &[0.0, 0.01, 0.02, 0.03, 0.04]),
            (3.0, 3, &[0.0, 1.0, 2.0, 3.0]),
            (0.0, 4, &[0.0, 1.0]),
            (f64::NAN, 4, &[0.0, 1.0]),
        ] {
            let found = ticks(highest, wanted);
            let same = found.len() == expected.len()
                && found
                    .iter()
                    .zip(expected)
                    .all(|(a, b)| (a - b).abs() < 1e-9);
            assert!(same, "{highest} in {wanted}: {found:?}");
        }
        assert_eq!(decimals(&[0.0, 0.05]), 2);
        assert_eq!(decimals(&[0.0, 0.5]), 1);
        assert_eq!(decimals(&[0.0, 20.0]), 0);
    }

    #[test]
    fn names_of_lines_do_not_run_into_each_other() {
        assert_eq!(
            spread(&[10.0, 12.0, 80.0], 15.0, 0.0, 100.0),
            [10.0, 25.0, 80.0]
        );
        assert_eq!(
            spread(&[95.0, 96.0, 97.0], 15.0, 0.0, 100.0),
            [70.0, 85.0, 100.0]
        );
    }

    #[test]
    fn a_chart_says_what_it_shows() {
        let chart = Chart {
            title: "Risk & return".into(),
            description: "One line.".into(),
            x: (0.0, 2.0),
            ticks: vec![(0.0, "a".into()), (2.0, "b".into())],
            suffix: "%",
            marks: vec![Mark::Line {
                colour: Colour("accent"),
                points: vec![(0.0, 0.0), (2.0, 4.0)],
                label: "here".into(),
            }],
        };
        let svg = chart.svg(300.0, 200.0);
        for part in [
            "<title>Risk &amp; return</title>",
            "<desc>One line.</desc>",
            ">here</text>",
            ">4%</text>",
        ] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
    }
}
