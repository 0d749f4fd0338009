//! What pages are made of. A page is a list of sections, a section a list of blocks; one template
//! writes them all, so that every page looks and works alike.

use askama::Template;
use tandem_domain::money::{Amount, Currency, Rate};

use super::page::Visit;

/// A page.
#[derive(Template)]
#[template(path = "page.html")]
pub(super) struct Sheet<'a> {
    pub(super) visit: &'a Visit,
    pub(super) title: String,
    /// The page above: its name and address.
    pub(super) above: Option<(String, String)>,
    pub(super) lead: String,
    pub(super) status: Option<(Tone, String)>,
    pub(super) sections: Vec<Section>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(visit: &'a Visit, title: impl Into<String>) -> Sheet<'a> {
        Sheet {
            visit,
            title: title.into(),
            above: None,
            lead: String::new(),
            status: None,
            sections: Vec::new(),
        }
    }

    /// The page above, by the key of its name.
    pub(super) fn below(mut self, key: &str, path: impl Into<String>) -> Self {
        self.above = Some((self.visit.t(key).to_owned(), path.into()));
        self
    }

    /// Adds blocks without a heading.
    pub(super) fn add(&mut self, id: &'static str, blocks: Vec<Block>) {
        self.section(Section {
            id,
            blocks,
            ..Section::default()
        });
    }

    pub(super) fn section(&mut self, section: Section) {
        self.sections.push(section);
    }
}

/// A part of a page.
#[derive(Default)]
pub(super) struct Section {
    /// Its name in the page's address.
    pub(super) id: &'static str,
    /// Empty if it has no heading.
    pub(super) title: String,
    /// How to read it: what is counted, in which unit.
    pub(super) measure: String,
    /// True if it takes half of a wide page.
    pub(super) half: bool,
    /// True if only its heading shows at first.
    pub(super) folded: bool,
    /// True if it is a form, which must not change while somebody fills it in.
    pub(super) still: bool,
    pub(super) blocks: Vec<Block>,
}

impl Section {
    pub(super) fn new(id: &'static str, title: impl Into<String>) -> Section {
        Section {
            id,
            title: title.into(),
            ..Section::default()
        }
    }

    pub(super) fn measured(mut self, measure: impl Into<String>) -> Self {
        self.measure = measure.into();
        self
    }

    pub(super) fn half(mut self) -> Self {
        self.half = true;
        self
    }

    pub(super) fn folded(mut self) -> Self {
        self.folded = true;
        self
    }

    pub(super) fn with(mut self, block: Block) -> Self {
        self.still |= matches!(block, Block::Form(_) | Block::Filter(_) | Block::Passkey(_));
        self.blocks.push(block);
        self
    }
}

/// A block of a page.
pub(super) enum Block {
    Tiles(Vec<Tile>),
    Facts(Vec<(String, Cell)>),
    Table(Table),
    Timeline(Vec<Moment>),
    /// A drawing, wide and narrow, with its legend.
    Figure(Figure),
    Filter(Filter),
    Form(Form),
    /// A form that a device fills in.
    Passkey(PasskeyForm),
    Notice(Tone, String),
    Text(String),
    /// Lines of a text, of which some were added or taken away.
    Diff(Vec<(char, String)>),
    Links(Vec<(String, String)>),
}

/// How something is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
}

impl Tone {
    pub(super) fn class(&self) -> &'static str {
        match self {
            Tone::Plain => "plain",
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
        }
    }
}

/// A figure that counts on its own.
pub(super) struct Tile {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) unit: String,
    pub(super) detail: String,
    /// Where more is told.
    pub(super) path: String,
}

/// A drawing.
pub(super) struct Figure {
    /// Class of the colour, and what has it.
    pub(super) legend: Vec<(&'static str, String)>,
    pub(super) wide: String,
    pub(super) narrow: String,
}

/// Something that happened.
pub(super) struct Moment {
    pub(super) day: String,
    pub(super) title: String,
    pub(super) details: Vec<String>,
    pub(super) tone: Tone,
    pub(super) path: String,
}

/// A table.
#[derive(Default)]
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) head: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// What is said if there is no row.
    pub(super) empty: String,
    /// Where the list goes on.
    pub(super) more: Option<String>,
}

/// A column.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) number: bool,
    /// Left out on narrow screens.
    pub(super) minor: bool,
    /// Never broken into lines.
    pub(super) tight: bool,
}

/// A row.
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    /// True if it is the sum of those above.
    pub(super) sum: bool,
}

/// What stands in a place of a table.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Text(String),
    Soft(String),
    Number(String),
    Link(String, String),
    NumberLink(String, String),
    Badge(Tone, String),
    Code(String),
    /// An address, which leads there.
    Address(String),
    /// Parts of a whole, as class and hundredths of a per cent.
    Bar(Vec<(&'static str, u32)>),
    Lines(Vec<String>),
    /// A button that sends a form: address, fields, label.
    Button(String, Vec<(&'static str, String)>, String),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    pub(super) fn number(text: impl ToString) -> Cell {
        Cell::Number(text.to_string())
    }

    /// An amount in the page's currency, which stands beside the table.
    pub(super) fn amount(amount: Amount, currency: Currency) -> Cell {
        match amount {
            Amount::ZERO => Cell::Number("–".to_owned()),
            amount => Cell::Number(money(amount, currency)),
        }
    }

    fn csv(&self) -> String {
        match self {
            Cell::Number(text) | Cell::NumberLink(text, _) => match text.as_str() {
                "–" => "0".to_owned(),
                text => quoted(&text.replace(',', "").replace('−', "-")),
            },
            Cell::Text(text)
            | Cell::Soft(text)
            | Cell::Link(text, _)
            | Cell::Badge(_, text)
            | Cell::Code(text)
            | Cell::Address(text) => literal(text),
            Cell::Lines(lines) => literal(&lines.join("; ")),
            Cell::Bar(_) | Cell::Button(..) => String::new(),
        }
    }

    /// Rectangles of a bar: class, place and width in per cent.
    pub(super) fn rectangles(parts: &[(&'static str, u32)]) -> Vec<(&'static str, String, String)> {
        let mut from = 0;
        let hundredths = |number: u32| format!("{}.{:02}%", number / 100, number % 100);
        let mut rectangles = Vec::new();
        for &(class, width) in parts {
            rectangles.push((class, hundredths(from), hundredths(width)));
            from += width;
        }
        rectangles
    }
}

/// A field of CSV with words, marked where a spreadsheet would take it for a formula.
fn literal(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@']) {
        true => quoted(&format!("'{text}")),
        false => quoted(text),
    }
}

/// A field of CSV (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

impl Table {
    /// A table with columns, by name and kind: `#` has numbers, `!` is never broken into lines, `?`
    /// is left out on narrow screens.
    pub(super) fn new(columns: &[(&str, &str)]) -> Table {
        let column = |&(name, kind): &(&str, &str)| Column {
            name: name.to_owned(),
            number: kind.contains('#'),
            minor: kind.contains('?'),
            tight: kind.contains('!'),
        };
        Table {
            head: columns.iter().map(column).collect(),
            ..Table::default()
        }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(Row { cells, sum: false });
    }

    pub(super) fn sum(&mut self, cells: Vec<Cell>) {
        self.rows.push(Row { cells, sum: true });
    }

    pub(super) fn empty(mut self, text: &str) -> Table {
        text.clone_into(&mut self.empty);
        self
    }

    /// The table for a spreadsheet, without its sums: amounts as plain numbers, the text in UTF-8
    /// with the mark by which spreadsheets know it.
    pub(super) fn csv(&self) -> String {
        let head = self.head.iter().map(|column| quoted(&column.name));
        let mut text = format!("\u{feff}{}\r\n", head.collect::<Vec<_>>().join(","));
        for row in self.rows.iter().filter(|row| !row.sum) {
            let cells = row.cells.iter().map(Cell::csv);
            text += &format!("{}\r\n", cells.collect::<Vec<_>>().join(","));
        }
        text
    }

    /// Class of a column.
    fn class(&self, place: &usize) -> String {
        let Some(column) = self.head.get(*place) else {
            return String::new();
        };
        let class = [
            (column.number, "number"),
            (column.minor, "minor"),
            (column.tight, "tight"),
        ];
        let class = class.into_iter().filter(|(is, _)| *is);
        class.map(|(_, name)| name).collect::<Vec<_>>().join(" ")
    }
}

/// Choices above a list.
pub(super) struct Filter {
    pub(super) path: String,
    pub(super) inputs: Vec<Input>,
}

/// A form.
pub(super) struct Form {
    pub(super) action: String,
    pub(super) inputs: Vec<Input>,
    pub(super) submit: String,
}

/// What a device needs to make a passkey.
pub(super) struct PasskeyForm {
    pub(super) challenge: String,
    /// Host that it is for.
    pub(super) party: String,
    pub(super) user: i64,
    pub(super) login: String,
    pub(super) name: String,
    /// Keys that the person has, in hexadecimal digits: a device that has one makes no other.
    pub(super) known: String,
}

/// A place to fill in.
pub(super) struct Input {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) value: String,
    pub(super) kind: InputKind,
}

/// What can be filled in.
pub(super) enum InputKind {
    Text,
    Day,
    Long,
    /// A whole document.
    Document,
    Hidden,
    /// A password: what the browser may fill in, as HTML calls it.
    Password(&'static str),
    /// Value and label of each choice.
    Choice(Vec<(String, String)>),
    /// Value, label, ticked.
    Ticks(Vec<(String, String, bool)>),
}

impl Input {
    pub(super) fn new(
        name: &'static str,
        label: impl Into<String>,
        value: impl Into<String>,
        kind: InputKind,
    ) -> Input {
        Input {
            name,
            label: label.into(),
            value: value.into(),
            kind,
        }
    }

    pub(super) fn hidden(name: &'static str, value: impl Into<String>) -> Input {
        Input::new(name, "", value, InputKind::Hidden)
    }
}

/// An amount without its currency, with a true minus sign.
pub(super) fn money(amount: Amount, currency: Currency) -> String {
    currency.grouped(amount).replace('-', "−")
}

/// A whole number with thousands separators.
pub(super) fn count(number: impl TryInto<i64>) -> String {
    let number = number.try_into().unwrap_or(i64::MAX);
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 {
        format!("−{text}")
    } else {
        text
    }
}

/// A rate in per cent with one or two decimals; a dash where there is nothing to divide by.
pub(super) fn percent(part: Amount, whole: Amount) -> String {
    if !whole.is_positive() {
        return "–".to_owned();
    }
    rate(Rate::of(part, whole))
}

/// A rate in per cent with two decimals.
pub(super) fn rate(rate: Rate) -> String {
    let hundredths = (rate.0 + rate.0.signum() * 5_000) / 10_000;
    let sign = if hundredths < 0 { "−" } else { "" };
    let hundredths = hundredths.unsigned_abs();
    format!("{sign}{}.{:02}%", hundredths / 100, hundredths % 100)
}

/// A part of a whole in hundredths of a per cent, at most all of it.
pub(super) fn hundredths(part: Amount, whole: Amount) -> u32 {
    if !whole.is_positive() || part.0 <= 0 {
        return 0;
    }
    let share = i128::from(part.0) * 10_000 / i128::from(whole.0);
    u32::try_from(share.min(10_000)).unwrap_or(10_000)
}

/// A quotient, rounded to the nearest whole number, halves away from zero.
fn nearest(value: i128, by: i128) -> i128 {
    (value + value.signum() * by / 2) / by
}

/// A large amount in a few digits: `12.3 million`, by the reader's language.
pub(super) fn rounded(visit: &Visit, amount: Amount, currency: Currency) -> (String, String) {
    let unit = 10i128.pow(currency.digits());
    let steps: &[(i128, &str)] = match visit.language {
        super::texts::Language::English => {
            &[(1_000_000_000, "unit.billion"), (1_000_000, "unit.million")]
        }
        super::texts::Language::Chinese => &[
            (100_000_000, "unit.hundred_million"),
            (10_000, "unit.ten_thousand"),
        ],
    };
    let value = i128::from(amount.0);
    for &(step, key) in steps {
        if value.abs() >= step * unit {
            let hundredths = nearest(value * 100, step * unit);
            let sign = if hundredths < 0 { "−" } else { "" };
            let hundredths = hundredths.unsigned_abs();
            let text = format!(
                "{sign}{}.{:02}",
                count((hundredths / 100) as i64),
                hundredths % 100
            );
            return (text, format!("{} {}", visit.t(key), currency.code()));
        }
    }
    let whole = count(nearest(value, unit) as i64);
    (whole, currency.code().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_by_spreadsheets() {
        let mut table = Table::new(&[("Account", ""), ("Debit, credit", "#")]);
        table.row(vec![
            Cell::Link("Due to \"River\", in all".to_owned(), "/".to_owned()),
            Cell::number("−1,234.56"),
        ]);
        table.row(vec![Cell::text("=1+1"), Cell::number("–")]);
        let lines = ["+1".to_owned(), "=2".to_owned()];
        table.row(vec![Cell::Lines(lines.into()), Cell::number("1")]);
        table.sum(vec![Cell::text("Total"), Cell::number("−1,234.56")]);
        let expected = "\u{feff}Account,\"Debit, credit\"\r\n\
            \"Due to \"\"River\"\", in all\",-1234.56\r\n\
            '=1+1,0\r\n\
            '+1; =2,1\r\n";
        assert_eq!(table.csv(), expected);
    }
}
