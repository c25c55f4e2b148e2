//! Columns.

use super::text::{Cell, Text, Tone};

/// Where the words of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At its left.
    Left,
    /// At its right.
    Right,
}

/// Lays rows out in columns, `gap` blanks between. Columns beyond `aligns` stand at the left.
#[must_use]
pub fn table(rows: Vec<Vec<Cell>>, aligns: &[Align], gap: usize) -> Text {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; count];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = Text::default();
    for row in rows {
        let mut line = Cell::default();
        for (column, cell) in row.into_iter().enumerate() {
            if column > 0 && widths[column] > 0 {
                line = line.and(Tone::Plain, &" ".repeat(gap));
            }
            let blanks = " ".repeat(widths[column] - cell.width());
            line = match aligns.get(column) {
                Some(Align::Right) => line.and(Tone::Plain, &blanks).join(cell),
                _ => line.join(cell).and(Tone::Plain, &blanks),
            };
        }
        text.push(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_word() {
        let row = |words: [&str; 3]| words.map(Cell::plain).to_vec();
        let text = table(
            vec![row(["a", "1", "x"]), row(["日本", "100", "y"])],
            &[Align::Left, Align::Right],
            2,
        );
        assert_eq!(text.plain(), "a       1  x\n日本  100  y\n");
    }
}
