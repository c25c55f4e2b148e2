//! Styled text, and its width on a terminal.

use std::borrow::Cow;
use std::fmt;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A size for a reader, in three digits: `23.5g`. `unit` is that of `count`: 0 for KiB, 1 for MiB.
#[must_use]
pub fn size(count: f64, unit: usize) -> String {
    const UNITS: [&str; 5] = ["k", "m", "g", "t", "p"];
    let (mut count, mut unit) = (count, unit.min(UNITS.len() - 1));
    while count >= 1024.0 && unit + 1 < UNITS.len() {
        count /= 1024.0;
        unit += 1;
    }
    let digits = match count {
        count if count >= 100.0 => 0,
        count if count >= 10.0 => 1,
        _ => 2,
    };
    format!("{count:.digits$}{}", UNITS[unit])
}

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

    /// The part of this cell that fits into `width` columns; `>` ends it if there was more than blanks.
    #[must_use]
    pub fn cropped(self, width: usize) -> Self {
        let mut plain = String::new();
        self.0.iter().for_each(|(_, text)| plain.push_str(text));
        if plain.trim_end_matches(' ').width() <= width {
            return self;
        }
        let mut cropped = Self::default();
        let mut left = width.saturating_sub(1);
        'cell: for (tone, text) in self.0 {
            let mut kept = String::new();
            for c in text.chars() {
                let columns = c.width().unwrap_or(0);
                if columns > left {
                    cropped = cropped.and(tone, &kept);
                    break 'cell;
                }
                left -= columns;
                kept.push(c);
            }
            cropped = cropped.and(tone, &kept);
        }
        cropped.and(Tone::Note, ">")
    }

    /// This cell and the words of a text, in lines of `width` columns; all but the first begin with `indent` blanks.
    #[must_use]
    pub fn wrapped(self, text: &str, width: usize, indent: usize) -> Text {
        let mut lines = Text::default();
        let mut line = self;
        for word in printable(text).split(' ').filter(|word| !word.is_empty()) {
            if line.width() + 1 + word.width() > width && line.width() > indent {
                lines.push(std::mem::take(&mut line));
                line = Self::plain(&" ".repeat(indent)).and(Tone::Plain, word);
            } else {
                line = line.and(Tone::Plain, " ").and(Tone::Plain, word);
            }
        }
        lines.push(line);
        lines
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

    /// Puts lines before that line, counted from 0.
    pub fn insert(&mut self, at: usize, lines: impl Iterator<Item = Cell>) {
        let at = at.min(self.0.len());
        self.0.splice(at..at, lines);
    }

    /// Columns of the longest line, blanks at its end left out.
    #[must_use]
    pub fn width(&self) -> usize {
        let width = |line: &Cell| {
            let text: String = line.0.iter().map(|(_, text)| text.as_str()).collect();
            text.trim_end_matches(' ').width()
        };
        self.0.iter().map(width).max().unwrap_or(0)
    }

    /// Its lines, each as words with their tones: for who draws them otherwise.
    pub fn lines(&self) -> impl Iterator<Item = &[(Tone, String)]> {
        self.0.iter().map(|line| line.0.as_slice())
    }

    /// Number of lines.
    #[must_use]
    pub fn height(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This text on a screen of `width` columns: what is beyond ends with `>`.
    #[must_use]
    pub fn cropped(self, width: usize) -> Self {
        Self(self.0.into_iter().map(|line| line.cropped(width)).collect())
    }

    /// This text drawn over what a terminal of `height` lines shows, without a moment at which it shows less: each line
    /// is overwritten, then what was below is cleared. What does not fit is counted in the last line.
    #[must_use]
    pub fn frame(&self, height: usize, is_styled: bool) -> String {
        const HOME: &str = "\u{1b}[H";
        const CLEAR_LINE: &str = "\u{1b}[K";
        const CLEAR_BELOW: &str = "\u{1b}[J";
        // A line break after the last line would scroll.
        let height = height.max(2);
        let mut lines = self.0.clone();
        if lines.len() > height {
            let more = lines.len() - (height - 1);
            lines.truncate(height - 1);
            lines.push(Cell::new(Tone::Note, &format!("{more} more lines")));
        }
        let drawn = lines.into_iter().map(|line| {
            let line = Self(vec![line]);
            let text = if is_styled { line.to_string() } else { line.plain() };
            format!("{}{CLEAR_LINE}", text.trim_end_matches('\n'))
        });
        let lines: Vec<String> = drawn.collect();
        format!("{HOME}{}{CLEAR_BELOW}", lines.join("\n"))
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
    fn what_is_wider_than_the_screen_is_cut_and_what_fits_is_not() {
        let cell = |text: &str| Cell::new(Tone::Good, text).and(Tone::Plain, "日本  ");
        let cropped = |text: &str, width| {
            let mut whole = Text::default();
            whole.push(cell(text));
            whole.cropped(width).plain()
        };
        assert_eq!(cropped("up", 6), "up日本\n");
        assert_eq!(cropped("up", 5), "up日>\n");
        assert_eq!(cropped("up", 4), "up>\n");
        assert_eq!(cropped("up", 1), ">\n");
    }

    #[test]
    fn a_frame_overwrites_line_by_line_and_fits_the_height() {
        let mut text = Text::default();
        for line in ["a", "b", "c"] {
            text.push(Cell::new(Tone::Good, line));
        }
        let (home, line, below) = ("\u{1b}[H", "\u{1b}[K", "\u{1b}[J");
        assert_eq!(text.frame(3, false), format!("{home}a{line}\nb{line}\nc{line}{below}"));
        assert_eq!(text.frame(2, false), format!("{home}a{line}\n2 more lines{line}{below}"));
        assert!(text.frame(3, true).contains("\u{1b}[32ma\u{1b}[0m"));
    }

    #[test]
    fn colours_wrap_words_and_not_the_blanks_after_them() {
        let mut text = Text::default();
        text.push(Cell::new(Tone::Good, "up").padded(10));
        assert_eq!(text.to_string(), "\u{1b}[32mup\u{1b}[0m\n");
        assert_eq!(text.plain(), "up\n");
    }
}
