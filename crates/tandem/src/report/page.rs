//! What a page is made of: sections with tables, figures, facts and text.

use askama::Template;
use tandem_web::chart::{Chart, Colour};

use super::text::upper_first;
use super::{Check, Note};

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) checked: String,
    /// Who, and from when to when.
    pub(super) subtitle: String,
    pub(super) notes: &'a [Note],
    pub(super) failed: Vec<&'a Check>,
    pub(super) summary: Vec<Paragraph>,
    pub(super) tiles: Vec<Tile>,
    pub(super) sections: Vec<Section>,
    /// What stands beside figures that follow from what borrowers paid; empty for nothing.
    pub(super) label: String,
    /// Number of the note that explains it.
    pub(super) note: usize,
    pub(super) generated_with: &'a str,
}

/// A sentence or two of the summary.
pub(super) struct Paragraph {
    pub(super) text: String,
    pub(super) paid: Paid,
}

/// A figure that the first screen shows.
pub(super) struct Tile {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) unit: String,
    pub(super) detail: String,
    pub(super) paid: Paid,
}

/// A part of the page.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: String,
    /// What it shows and how to read it.
    pub(super) lead: String,
    pub(super) blocks: Vec<Block>,
}

/// A part of a section.
pub(super) enum Block {
    Table(Table),
    Figure(Figure),
    Facts(Facts),
}

/// Names with what belongs to them.
pub(super) struct Facts {
    pub(super) facts: Vec<(String, String)>,
    pub(super) paid: Paid,
}

/// How far something follows from what borrowers paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Paid {
    #[default]
    No,
    /// Only as far as repayments make room under limits.
    Partly,
    Wholly,
}

/// A table.
#[derive(Default)]
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) paid: Paid,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// A row of a table.
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) cells: Vec<Cell>,
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// A heading for the rows below.
    Group,
    /// A sum of the rows above.
    Sum,
}

/// A cell of a table.
pub(super) enum Cell {
    Words(String),
    Number(String),
    /// Parts of a bar, each with its length of one.
    Bar(Vec<(Colour, f64)>),
}

impl Table {
    pub(super) fn new(caption: impl Into<String>, head: &[&str]) -> Table {
        Table {
            caption: caption.into(),
            head: head.iter().map(|&name| name.to_owned()).collect(),
            ..Table::default()
        }
    }

    /// Marks what follows from what borrowers paid.
    pub(super) fn paid(mut self) -> Table {
        self.paid = Paid::Wholly;
        self
    }

    /// Marks how it follows from what borrowers paid.
    pub(super) fn marked(mut self, paid: Paid) -> Table {
        self.paid = paid;
        self
    }

    pub(super) fn row(&mut self, kind: Kind, cells: Vec<Cell>) {
        self.rows.push(Row { kind, cells });
    }

    pub(super) fn plain(&mut self, cells: Vec<Cell>) {
        self.row(Kind::Plain, cells);
    }

    /// How a column is set, by what most of its cells are.
    fn column(&self, index: &usize) -> &'static str {
        let cells = self.rows.iter().filter(|row| row.kind != Kind::Group);
        let first = cells
            .map(|row| &row.cells)
            .find_map(|cells| cells.get(*index));
        first.map_or("words", Cell::class)
    }

    /// True if it may be broken over pages.
    fn is_long(&self) -> bool {
        self.rows.len() > 24
    }

    fn width(&self) -> usize {
        self.head.len()
    }
}

impl Page<'_> {
    /// The mark of a figure; empty for none.
    fn mark(&self, paid: &Paid) -> String {
        match paid {
            _ if self.label.is_empty() => String::new(),
            Paid::No => String::new(),
            Paid::Partly => format!("in part: {}", self.label),
            Paid::Wholly => self.label.clone(),
        }
    }
}

impl Note {
    fn heading(&self) -> String {
        upper_first(&self.label)
    }
}

impl Row {
    fn class(&self) -> &'static str {
        match self.kind {
            Kind::Plain => "plain",
            Kind::Group => "group",
            Kind::Sum => "sum",
        }
    }
}

impl Cell {
    pub(super) fn words(text: impl Into<String>) -> Cell {
        Cell::Words(text.into())
    }

    /// One bar of a length between 0 and 1.
    pub(super) fn bar(colour: Colour, length: Option<f64>) -> Cell {
        Cell::Bar(vec![(colour, length.unwrap_or(0.0))])
    }

    fn class(&self) -> &'static str {
        match self {
            Cell::Words(_) => "words",
            Cell::Number(_) => "number",
            Cell::Bar(_) => "bar",
        }
    }

    /// The parts of a bar as rectangles: colour, place and width in per cent.
    fn rectangles(parts: &[(Colour, f64)]) -> Vec<(&'static str, String, String)> {
        let mut from = 0.0;
        let place = |&(Colour(colour), length): &(Colour, f64)| {
            let rectangle = (
                colour,
                format!("{from:.2}%"),
                format!("{:.2}%", length * 100.0),
            );
            from += length * 100.0;
            rectangle
        };
        parts.iter().map(place).collect()
    }
}

/// Numbers of a row.
pub(super) fn numbers(texts: impl IntoIterator<Item = String>) -> impl Iterator<Item = Cell> {
    texts.into_iter().map(Cell::Number)
}

/// A chart with what stands around it.
pub(super) struct Figure {
    /// What is seen, in a sentence.
    pub(super) title: String,
    /// What is measured, and in which unit.
    pub(super) measure: String,
    pub(super) legend: Vec<(Colour, String)>,
    pub(super) wide: String,
    pub(super) narrow: String,
    pub(super) paid: Paid,
}

impl Figure {
    pub(super) fn new(chart: Chart, measure: impl Into<String>) -> Figure {
        Figure {
            measure: measure.into(),
            legend: Vec::new(),
            wide: chart.svg(800.0, 280.0),
            narrow: chart.svg(350.0, 240.0),
            title: chart.title,
            paid: Paid::Wholly,
        }
    }

    pub(super) fn legend(mut self, legend: impl IntoIterator<Item = (Colour, String)>) -> Figure {
        self.legend = legend.into_iter().collect();
        self
    }
}
