//! What is typed and not shown.

use std::io::{BufRead as _, Read as _, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Longest password.
const MOST_PASSWORD: u64 = 4 << 10;

/// The first line of the standard input, which `name` says what it is.
pub(crate) fn first_line(name: &str) -> Result<Zeroizing<String>, Failure> {
    // Of its full length at once: one that grows leaves copies behind.
    let mut line = Zeroizing::new(String::with_capacity(MOST_PASSWORD as usize));
    std::io::stdin()
        .lock()
        .take(MOST_PASSWORD)
        .read_line(&mut line)
        .map_err(|error| Failure::new(format!("{name}: {error}")))?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// What a terminal makes of Ctrl-C when it sends no signal.
const CTRL_C: u8 = 3;

/// One line of a terminal: what one read gives.
fn typed_line() -> std::io::Result<Zeroizing<String>> {
    let mut stdin = std::io::stdin().lock();
    let bytes = Zeroizing::new(stdin.fill_buf()?.to_vec());
    stdin.consume(bytes.len());
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The terminal as it was, once this is dropped.
struct Silent(Termios);

impl Silent {
    /// A terminal that shows nothing of what is typed, and hands Ctrl-C over as a character: nobody else would make it show
    /// again.
    fn new() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// What is typed at the terminal, without showing it.
pub(crate) fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let mut out = std::io::stderr().lock();
    out.write_all(prompt.as_bytes()).and_then(|()| out.flush())?;
    let silent = Silent::new()?;
    let line = typed_line();
    drop(silent);
    out.write_all(b"\n")?;
    let line = line?;
    if line.contains(char::from(CTRL_C)) {
        return Err(Failure { lines: vec!["interrupted".to_owned()], code: 130 });
    }
    Ok(line)
}
