//! The screen: tables that fit it, and tables that are drawn again.

use std::io::{IsTerminal as _, Write as _};

use cli::render::{Room, Text};

use crate::om::print;

/// Clears the terminal, the cursor at the first line.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// A text as wide as the terminal, if it is written to one.
pub(crate) fn fitted(text: Text) -> String {
    match screen() {
        Some(screen) => text.cropped(screen.width).to_string(),
        None => text.to_string(),
    }
}

/// The room on the terminal, if it is one, less the columns and lines that are kept free.
pub(crate) fn room(columns: usize, lines: usize) -> Room {
    screen().map_or(Room::ENDLESS, |screen| Room {
        width: screen.width.saturating_sub(columns),
        height: screen.height.saturating_sub(lines),
    })
}

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Screen {
    width: usize,
    height: usize,
}

/// The terminal that is written to; none when it is none, or does not tell its size: a pipe gets whole lines.
fn screen() -> Option<Screen> {
    let output = std::io::stdout();
    if !output.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&output).ok();
    let told = |name: &str| std::env::var(name).ok()?.trim().parse::<usize>().ok();
    let side = |name: &str, cells: Option<u16>| {
        told(name).or(cells.map(usize::from)).filter(|cells| *cells > 0).unwrap_or(usize::MAX)
    };
    Some(Screen {
        width: side("COLUMNS", size.map(|size| size.ws_col)),
        height: side("LINES", size.map(|size| size.ws_row)),
    })
}

/// Draws over what the terminal shows; what is equal to it is not drawn again. To a pipe, a text after the other.
pub(crate) fn draw(text: Text, shown: &mut String) {
    let mut output = std::io::stdout();
    let Some(screen) = screen() else {
        let text = text.to_string();
        if *shown != text {
            print(&text);
            *shown = text;
        }
        return;
    };
    // Not through the stream that leaves colours out, and the moves of the cursor with them.
    let is_styled = anstream::AutoStream::choice(&output) != anstream::ColorChoice::Never;
    // Clearing the rest of a line that ends in the last column would take its last sign, too.
    let frame = text.cropped(screen.width.saturating_sub(1)).frame(screen.height, is_styled);
    if *shown == frame {
        return;
    }
    let clear = if shown.is_empty() { CLEAR } else { "" };
    if output.write_all(format!("{clear}{frame}").as_bytes()).and_then(|()| output.flush()).is_err()
    {
        std::process::exit(0);
    }
    *shown = frame;
}
