//! Styled text, and its width on a terminal.

use std::borrow::Cow;
use std::fmt;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

/// What a word means, which decides its colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// A name.
    Strong,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// To be looked at.
    Warn,
    /// About to change, or only informative.
    Note,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Note => AnsiColor::BrightBlue.on_default(),
        }
    }

    /// The tone of a state.
    #[must_use]
    pub fn of(status: &str) -> Self {
        match status {
            "up" | "stdby up" | "running" | "optimal" => Self::Good,
            "down" | "stdby down" | "stopped" | "terminated" | "error" | "err" => Self::Bad,
            "warn" | "warning" | "undef" | "restarting" | "stopping" => Self::Warn,
            "n/a" | "info" => Self::Note,
            _ => Self::Plain,
        }
    }
}

/// Makes text safe for a terminal: control characters, and those that reorder what is read, become escapes.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => safe.push_str("    "),
            c if is_unsafe(c) => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Part of a line: words with their tones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell(Vec<(Tone, String)>);

impl Cell {
    /// A word.
    #[must_use]
    pub fn new(tone: Tone, text: &str) -> Self {
        Self::default().and(tone, text)
    }

    /// A word without tone.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        Self::new(Tone::Plain, text)
    }

    /// This cell with one more word, nothing between.
    #[must_use]
    pub fn and(mut self, tone: Tone, text: &str) -> Self {
        if !text.is_empty() {
            self.0.push((tone, printable(text).into_owned()));
        }
        self
    }

    /// This cell with the words of another one.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Columns it takes on a terminal.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.width()).sum()
    }

    /// This cell with blanks at its right up to `width` columns.
    #[must_use]
    pub fn padded(self, width: usize) -> Self {
        let missing = width.saturating_sub(self.width());
        self.and(Tone::Plain, &" ".repeat(missing))
    }
}

/// Lines of styled text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(Vec<Cell>);

impl Text {
    /// Adds a line.
    pub fn push(&mut self, line: Cell) {
        self.0.push(line);
    }

    /// Adds the lines of another text.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without terminal escapes, blanks at the ends of lines removed.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut plain = String::new();
        for line in &self.0 {
            let start = plain.len();
            line.0.iter().for_each(|(_, text)| plain.push_str(text));
            plain.truncate(start + plain[start..].trim_end_matches(' ').len());
            plain.push('\n');
        }
        plain
    }
}

impl fmt::Display for Text {
    /// With terminal escapes; each line ends with a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.0 {
            // Blanks at the end are not worth a scroll on a narrow terminal.
            let mut cells: Vec<(Tone, &str)> =
                line.0.iter().map(|(tone, text)| (*tone, text.as_str())).collect();
            while let Some((_, text)) = cells.last_mut() {
                *text = text.trim_end_matches(' ');
                if text.is_empty() {
                    cells.pop();
                } else {
                    break;
                }
            }
            for (tone, text) in cells {
                let style = tone.style();
                write!(f, "{style}{text}{style:#}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{7f}"), "a\\u{1b}[31mb\\u{7f}");
        assert_eq!(printable("a\nb\tc"), "a\\nb    c");
        assert_eq!(printable("\u{202e}abc\u{9b}"), "\\u{202e}abc\\u{9b}");
        assert!(matches!(printable("grün 日本"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_wide_character_takes_two_columns() {
        assert_eq!(Cell::plain("日本").width(), 4);
        assert_eq!(Cell::plain("日").padded(4).width(), 4);
    }

    #[test]
    fn colours_wrap_words_and_not_the_blanks_after_them() {
        let mut text = Text::default();
        text.push(Cell::new(Tone::Good, "up").padded(10));
        assert_eq!(text.to_string(), "\u{1b}[32mup\u{1b}[0m\n");
        assert_eq!(text.plain(), "up\n");
    }
}
