//! Tables of text: columns as wide as their widest cell, words to the left, figures to the right.

/// A table; the first row is its header.
pub(crate) struct Grid {
    rows: Vec<Vec<String>>,
    /// Number of columns of words; those behind them hold figures.
    words: usize,
}

impl Grid {
    /// Starts a table of which the first `words` columns hold words.
    pub(crate) fn new<C: Into<String>>(words: usize, header: impl IntoIterator<Item = C>) -> Grid {
        let mut grid = Grid {
            rows: Vec::new(),
            words,
        };
        grid.row(header);
        grid
    }

    /// Adds a row.
    pub(crate) fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// As lines for a terminal, indented.
    pub(crate) fn plain(&self, indent: usize) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate();
            let cells: Vec<_> = cells
                .map(|(at, (cell, &width))| self.pad(at, cell, width))
                .collect();
            let line = format!("{:indent$}{}", "", cells.join("  "));
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// As a Markdown table that reads well unrendered too.
    pub(crate) fn markdown(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for (place, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate();
            let cells: Vec<_> = cells
                .map(|(at, (cell, &width))| self.pad(at, cell, width))
                .collect();
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
            if place == 0 {
                let rule = |(at, &width): (usize, &usize)| match at < self.words {
                    true => "-".repeat(width + 2),
                    false => "-".repeat(width + 1) + ":",
                };
                let rules: Vec<_> = widths.iter().enumerate().map(rule).collect();
                out.push_str(&format!("|{}|\n", rules.join("|")));
            }
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |at: usize| self.rows.iter().filter_map(move |row| row.get(at));
        (0..columns)
            .map(|at| cells(at).map(|cell| width(cell)).max().unwrap_or(0))
            .collect()
    }

    fn pad(&self, at: usize, cell: &str, wanted: usize) -> String {
        let space = " ".repeat(wanted.saturating_sub(width(cell)));
        match at < self.words {
            true => format!("{cell}{space}"),
            false => format!("{space}{cell}"),
        }
    }
}

/// Columns that a text takes on a terminal: two for the wide characters of East Asia.
fn width(text: &str) -> usize {
    let wide = |character: char| {
        matches!(u32::from(character),
            0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x20000..=0x3fffd)
    };
    text.chars()
        .map(|character| 1 + usize::from(wide(character)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_figures_right() {
        let mut grid = Grid::new(1, ["account", "debit"]);
        grid.row(["loans", "1,000.00"]);
        grid.row(["贷款", "5.00"]);
        assert_eq!(
            grid.plain(2),
            "  account     debit\n  loans    1,000.00\n  贷款         5.00\n"
        );
        assert_eq!(
            grid.markdown(),
            "| account |    debit |\n|---------|---------:|\n| loans   | 1,000.00 |\n| 贷款    |     5.00 |\n"
        );
    }
}
