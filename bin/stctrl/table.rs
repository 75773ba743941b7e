//! Tables for people: one line a row, cells between bars, columns as wide as their longest cell.

use super::text::clean;

/// Rows of cells.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a first row of titles.
    pub(super) fn new<const COLUMNS: usize>(titles: [&str; COLUMNS]) -> Self {
        Table { rows: vec![titles.map(str::to_owned).to_vec()] }
    }

    /// One more row. Cells stay on their line, also those with line breaks in them.
    pub(super) fn row<const COLUMNS: usize>(&mut self, cells: [&str; COLUMNS]) {
        self.rows.push(cells.map(clean).to_vec());
    }

    /// The text, each line with its end.
    pub(super) fn to_text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells: String = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |")).collect();
            format!("|{cells}\n")
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let mut table = Table::new(["a", "name"]);
        table.row(["1", "zoë"]);
        table.row(["12345", "x\ny"]);
        assert_eq!(table.to_text(), "| a     | name |\n| 1     | zoë  |\n| 12345 | x\u{fffd}y  |\n");
    }
}
