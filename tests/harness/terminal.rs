//! A command of `om` on a terminal: what it prints there, keys that are typed, and its size.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Child;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::{Node, at_this_load};

/// Longest wait for what a command is to print.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command on a terminal. It is killed when this is dropped.
pub struct Terminal {
    command: Child,
    keys: File,
    pieces: mpsc::Receiver<Vec<u8>>,
    /// All that it printed.
    printed: String,
}

impl Terminal {
    /// Runs `om` with these words on a terminal of 80 columns and 24 lines.
    #[must_use]
    pub fn run(node: &Node, words: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other side");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("a size");
        let name = ptsname(&master, vec![]).expect("its name").into_string().expect("UTF-8");
        let side = || File::options().read(true).write(true).open(&name).expect("its other side");
        let command = node.spawn_on(words, side(), side(), side());
        let (sender, pieces) = mpsc::channel();
        let mut output = File::from(master.try_clone().expect("a copy"));
        std::thread::spawn(move || {
            let mut piece = [0; 8_192];
            while let Ok(count @ 1..) = output.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { command, keys: File::from(master), pieces, printed: String::new() }
    }

    /// Types these keys.
    pub fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("typed");
    }

    /// Waits until what was printed since the last call contains `wanted`, and returns it.
    ///
    /// # Panics
    ///
    /// It does not come.
    pub fn wait(&mut self, wanted: &str) -> String {
        let end = Instant::now() + at_this_load(PATIENCE);
        while !words_of(&self.printed).contains(wanted) {
            // A screen is drawn again and again: that something comes is not what is waited for.
            match self.pieces.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.printed += &String::from_utf8_lossy(&piece),
                Err(error) => panic!("{wanted:?} was not printed ({error}): {:?}", self.printed),
            }
        }
        std::mem::take(&mut self.printed)
    }

    /// Waits for its end: its exit code, and what it printed since the last call.
    ///
    /// # Panics
    ///
    /// It does not end.
    pub fn wait_end(&mut self) -> (Option<i32>, String) {
        let ended =
            crate::wait_until("the command ends", || self.command.try_wait().ok().flatten());
        // What is still on its way.
        while let Ok(piece) = self.pieces.recv_timeout(Duration::from_millis(200)) {
            self.printed += &String::from_utf8_lossy(&piece);
        }
        (ended.code(), std::mem::take(&mut self.printed))
    }
}

/// What was printed, with one blank for each move of the cursor and each run of blanks: who draws a screen skips blanks that are
/// there.
fn words_of(printed: &str) -> String {
    let mut words = String::with_capacity(printed.len());
    let mut chars = printed.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\u{1b}' {
            // `ESC [ .. letter`
            _ = chars.by_ref().skip(1).find(char::is_ascii_alphabetic);
            ' '
        } else {
            c
        };
        if c != ' ' || !words.ends_with(' ') {
            words.push(c);
        }
    }
    words
}

impl Drop for Terminal {
    fn drop(&mut self) {
        _ = self.command.kill();
        _ = self.command.wait();
    }
}
