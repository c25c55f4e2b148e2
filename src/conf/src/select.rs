//! Selectors of nodes and objects (src/conf/README.md, Node selectors, Object selectors).

mod nodes;
mod objects;
mod path_query;

pub use nodes::NodeSelector;
pub use objects::{ObjectSelector, Objects};

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

/// Conditions of one selector: each costs a look at every object, or node.
const MAX_ATOMS: usize = 1_000;

/// Bytes of one selector.
const MAX_LENGTH: usize = 64 << 10;

/// Work of one selector, in steps of about a nanosecond: beyond, it is refused.
const MAX_WORK: u64 = 1_000_000_000;

/// What is left of the work that a selector may cost.
struct Work(Cell<u64>);

impl Work {
    fn new(steps: u64) -> Self {
        Self(Cell::new(steps))
    }

    fn left(&self) -> u64 {
        self.0.get()
    }

    fn spend(&self, steps: u64) -> Result<(), SelectorError> {
        let left = self.0.get().checked_sub(steps.max(1));
        self.0.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| {
            SelectorError("it takes more work than a selector may: ask for less at once".to_owned())
        })
    }
}

/// Refuses what is longer, or asks for more at once, than anybody writes.
fn check_size(selector: &str) -> Result<(), SelectorError> {
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
fn glob_counted(pattern: &[char], text: &[char], steps: &mut u64) -> bool {
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

/// Whether `c` is in the class that `pattern` starts with, and its length; none when the class is not closed.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_as_in_a_shell() {
        for (pattern, text, matches) in [
            ("n?", "n1", true),
            ("n?", "n", false),
            ("*", "", true),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("n[12]", "n2", true),
            ("n[!12]", "n2", false),
            ("n[1-3]", "n2", true),
            ("[", "[", true),
            ("[]a]", "]", true),
            ("a/*", "a/b/c", true),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(5_000), &"a".repeat(4_999)));
    }
}
