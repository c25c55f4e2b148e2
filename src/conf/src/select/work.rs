//! How much a selector may ask for, and the patterns in it.

use std::cell::Cell;

/// Why a selector was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorError(pub String);

impl std::fmt::Display for SelectorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "selector: {}", self.0)
    }
}

impl std::error::Error for SelectorError {}

/// Longest regular expression, in bytes: each sign of it may stand for a class of thousands, which takes 6 KiB before it is
/// known how large the whole is.
pub const LONGEST_EXPRESSION: usize = 1 << 10;

/// Work of one selector, in steps of about a nanosecond: beyond, it is refused.
pub(crate) const MAX_WORK: u64 = 1_000_000_000;

/// What is left of the work that a selector may cost.
pub(crate) struct Work(Cell<u64>);

impl Work {
    pub(crate) fn new(steps: u64) -> Self {
        Self(Cell::new(steps))
    }

    pub(crate) fn left(&self) -> u64 {
        self.0.get()
    }

    pub(crate) fn spend(&self, steps: u64) -> Result<(), SelectorError> {
        let left = self.0.get().checked_sub(steps.max(1));
        self.0.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| {
            SelectorError("it takes more work than a selector may: ask for less at once".to_owned())
        })
    }
}

/// Refuses what is longer, or asks for more at once, than anybody writes.
pub(crate) fn check_size(selector: &str) -> Result<(), SelectorError> {
    if selector.len() > MAX_LENGTH {
        return Err(SelectorError(format!("more than {MAX_LENGTH} bytes")));
    }
    if selector.split([',', '+']).count() > MAX_ATOMS {
        return Err(SelectorError(format!("more than {MAX_ATOMS} conditions")));
    }
    Ok(())
}

/// Whether a text matches a shell pattern of `*`, `?`, `[..]` and `[!..]`, slashes included. Work is bounded by the
/// product of both lengths.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    glob_counted(&pattern, &text, &mut 0)
}

/// The same, adding to `steps` what it looked at.
pub(crate) fn glob_counted(pattern: &[char], text: &[char], steps: &mut u64) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry = None;
    while t < text.len() {
        *steps += 1;
        let step = match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => match class(&pattern[p..], text[t]) {
                Some((is_in, length)) => {
                    *steps += length as u64;
                    is_in.then_some(p + length)
                }
                // The rest was looked at for the end of the class.
                None => {
                    *steps += (pattern.len() - p) as u64;
                    (text[t] == '[').then_some(p + 1)
                }
            },
            Some(c) => (*c == text[t]).then_some(p + 1),
            None => None,
        };
        match (step, retry) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((star, at))) => {
                p = star + 1;
                t = at + 1;
                retry = Some((star, at + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Conditions of one selector: each costs a look at every object, or node.
const MAX_ATOMS: usize = 1_000;

/// Bytes of one selector.
pub(crate) const MAX_LENGTH: usize = 64 << 10;

/// Whether `c` is in the class that `pattern` starts with, and its length; none when the class is not closed.
pub(crate) fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let is_negated = pattern.get(1) == Some(&'!');
    let start = 1 + usize::from(is_negated);
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let mut is_in = false;
    let mut at = start;
    while at < end {
        if at + 2 < end && pattern[at + 1] == '-' {
            is_in |= (pattern[at]..=pattern[at + 2]).contains(&c);
            at += 3;
        } else {
            is_in |= pattern[at] == c;
            at += 1;
        }
    }
    Some((is_in != is_negated, end + 1))
}
